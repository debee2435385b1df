package registrar_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// EST-9325-3.4-02, R1: a resumed session has the client's certificate still,
// and its revocation is looked at anew.
func TestAResumedSessionOfARevokedCertificateAuthenticatesNothing(t *testing.T) {
	h := newHouse(t, nil)
	url := h.serve()
	key := testpki.NewKey(t)
	csr := testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "resumed"}}, key)
	cert, err := h.client(url, func(c *est.Client) { c.User, c.Password = group, h.passwords[group] }).SimpleEnroll(t.Context(), csr)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{
			RootCAs: h.root.Pool(), MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1),
			Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
		}
		// A renewal repeated within minutes gets the same certificate, so that
		// the one that asks stays the current one.
		renew := func() (status int, resumed bool) {
			conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), config)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/.well-known/est/simplereenroll",
				strings.NewReader(base64.StdEncoding.EncodeToString(csr)))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/pkcs10")
			return roundTrip(t, conn, request), conn.ConnectionState().DidResume
		}
		if status, resumed := renew(); status != 200 || resumed {
			t.Fatalf("TLS %#x: the first renewal: %d, resumed %t", version, status, resumed)
		}
		if status, resumed := renew(); status != 200 || !resumed {
			t.Fatalf("TLS %#x: the renewal of a resumed session: %d, resumed %t", version, status, resumed)
		}
		if version == tls.VersionTLS12 {
			continue
		}
		h.revoke(cert)
		if status, resumed := renew(); status != 403 || !resumed {
			t.Errorf("a revoked certificate on a resumed session: %d, resumed %t; want 403", status, resumed)
		}
		h.lastRefusedAs(registrar.ReasonRevoked)
	}
}

// lastRefusedAs fails the test unless the trail's last refusal has the reason.
func (h *house) lastRefusedAs(reason string) {
	h.t.Helper()
	refused := h.entries(registrar.KindRefused)
	if len(refused) == 0 || refused[len(refused)-1].Reason != reason {
		h.t.Errorf("the last of %d refusals is not for %q", len(refused), reason)
	}
}
