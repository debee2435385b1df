package brskiregistrar_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"github.com/briskest/briskest/conformance/conformancetest/faulty"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// match picks requests.
type match func(h *house, r *http.Request, body []byte) bool

func (m match) and(n match) match {
	return func(h *house, r *http.Request, body []byte) bool { return m(h, r, body) && n(h, r, body) }
}

// at picks the requests for an operation.
func at(method, operation string) match {
	return func(_ *house, r *http.Request, _ []byte) bool {
		return r.Method == method && strings.HasSuffix(r.URL.Path, "/"+operation)
	}
}

func voucherRequest() match { return at(http.MethodPost, "requestvoucher") }

func field(name, value string) match {
	return func(_ *house, r *http.Request, _ []byte) bool { return r.Header.Get(name) == value }
}

func contains(part string) match {
	return func(_ *house, _ *http.Request, body []byte) bool { return bytes.Contains(body, []byte(part)) }
}

// client picks requests by the client's certificate; nil for none.
func client(f func(h *house, leaf *x509.Certificate) bool) match {
	return func(h *house, r *http.Request, _ []byte) bool {
		if len(r.TLS.PeerCertificates) == 0 {
			return f(h, nil)
		}
		return f(h, r.TLS.PeerCertificates[0])
	}
}

func nobody(_ *house, leaf *x509.Certificate) bool { return leaf == nil }

func stranger(_ *house, leaf *x509.Certificate) bool {
	return leaf != nil && leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil
}

func member(h *house, leaf *x509.Certificate) bool {
	return leaf != nil && leaf.CheckSignatureFrom(h.issuing.Certificate) == nil
}

// says picks CMS voucher-requests by their content, whatever is wrong with it.
func says(f func(leaves map[string]any) bool) match {
	return func(_ *house, _ *http.Request, body []byte) bool {
		sd, err := cms.ParseSignedData(body)
		if err != nil {
			return false
		}
		var m map[string]map[string]any
		return json.Unmarshal(sd.Content, &m) == nil && m["ietf-voucher-request:voucher"] != nil && f(m["ietf-voucher-request:voucher"])
	}
}

func nonceOf(n int) match {
	return says(func(m map[string]any) bool {
		text, _ := m["nonce"].(string)
		return text != "" && voucher.NonceLength(text) == n
	})
}

// envelope picks CMS by its form.
func envelope(f func(r *http.Request, sd *cms.SignedData) bool) match {
	return func(_ *house, r *http.Request, body []byte) bool {
		sd, err := cms.ParseSignedData(body)
		return err == nil && len(sd.Signers) == 1 && f(r, sd)
	}
}

func badlySigned(_ *http.Request, sd *cms.SignedData) bool {
	cert, err := sd.SignerCertificate(sd.Signers[0])
	return err == nil && sd.Signers[0].HasSignedAttributes && sd.Verify(sd.Signers[0], cert) != nil
}

func otherSigner(r *http.Request, sd *cms.SignedData) bool {
	cert, err := sd.SignerCertificate(sd.Signers[0])
	return err == nil && len(r.TLS.PeerCertificates) > 0 && !bytes.Equal(cert.Raw, r.TLS.PeerCertificates[0].Raw)
}

// off picks DER that is so many bytes longer than it says.
func off(f func(more int) bool) match {
	return func(_ *house, _ *http.Request, body []byte) bool {
		return len(body) > 4 && body[0] == 0x30 && body[1] == 0x82 && f(len(body)-4-(int(body[2])<<8|int(body[3])))
	}
}

func wrap(f func(h *house, next http.Handler, w http.ResponseWriter, r *http.Request, body []byte)) fault {
	return func(h *house) {
		h.handler = faulty.Between(h.handler, func(next http.Handler, w http.ResponseWriter, r *http.Request, body []byte) { f(h, next, w, r, body) })
	}
}

// replies answers those requests itself.
func replies(m match, status int, text string) fault {
	return wrap(func(h *house, next http.Handler, w http.ResponseWriter, r *http.Request, body []byte) {
		if m(h, r, body) {
			faulty.Reply(w, status, text)
		} else {
			next.ServeHTTP(w, r)
		}
	})
}

// rewrites changes the answers to those requests.
func rewrites(m match, edit faulty.Edit) fault {
	return wrap(func(h *house, next http.Handler, w http.ResponseWriter, r *http.Request, body []byte) {
		if m(h, r, body) {
			faulty.Rewrite(next, w, r, edit)
		} else {
			next.ServeHTTP(w, r)
		}
	})
}

// lenient hands out a voucher for what is refused, for those requests.
func lenient(m match) fault {
	return rewrites(voucherRequest().and(m), func(a *httptest.ResponseRecorder) {
		if a.Code >= 400 {
			a.Code = http.StatusOK
			a.Header().Set("Content-Type", vouchercms.MediaType)
		}
	})
}
