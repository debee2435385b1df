package attack_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// A chain of certificates that all have one name is tried in every order
// unless somebody says stop: nobody gets to verify it more than once.
func TestACrowdOfClientCertificatesIsRefusedBeforeAnyIsVerified(t *testing.T) {
	h := newHouse(t, nil)
	crowd := make([]*x509.Certificate, 9)
	for i := range crowd {
		crowd[i] = testpki.NewRoot(t, "vendor root").Certificate
	}
	for what, served := range map[string]struct {
		handler      http.Handler
		method, path string
		mediaType    string
	}{
		"csrattrs":       {&est.Handler{Backend: h.service}, http.MethodGet, "/.well-known/est/csrattrs", ""},
		"simpleenroll":   {&est.Handler{Backend: h.service}, http.MethodPost, "/.well-known/est/simpleenroll", "application/pkcs10"},
		"requestvoucher": {h.bootstrap(), http.MethodPost, "/.well-known/brski/requestvoucher", vouchercms.MediaType},
		"enrollstatus":   {h.bootstrap(), http.MethodPost, "/.well-known/brski/enrollstatus", "application/json"},
	} {
		for _, n := range []int{8, 9} {
			r := httptest.NewRequestWithContext(t.Context(), served.method, "https://registrar"+served.path, nil)
			r.Header.Set("Content-Type", served.mediaType)
			r.TLS = &tls.ConnectionState{PeerCertificates: crowd[:n]}
			w := httptest.NewRecorder()
			served.handler.ServeHTTP(w, r)
			refused := strings.Contains(w.Body.String(), est.ReasonTooManyCertificates)
			if refused != (n > est.MaxCertificates) || refused && w.Code != http.StatusForbidden {
				t.Errorf("%s with %d certificates: %d %s", what, n, w.Code, w.Body)
			}
		}
	}
	if _, err := h.enroll(crowd[0].Subject).cert(crowd...).send(); reason(err) != registrar.ReasonUntrusted && reason(err) != registrar.ReasonNoCredentials {
		t.Errorf("past the handler: %v", err)
	}
}

func (h *house) bootstrap() http.Handler {
	return &brski.RegistrarHandler{Backend: h.service.BRSKI(), Formats: []voucher.Format{vouchercms.Format{}}}
}
