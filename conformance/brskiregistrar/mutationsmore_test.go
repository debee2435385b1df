package brskiregistrar_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"github.com/briskest/briskest/conformance/conformancetest/faulty"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/voucher/voucherjws"
)

func readingMutations() []mutation {
	jws := voucherRequest().and(field("Content-Type", voucherjws.MediaType))
	return []mutation{
		breaks("RFC8995-5-REG-2", "writes base64url", func(h *house) {
			h.signed = func(b []byte) []byte { return h.inBase64URL(b) }
		}, "RFC8995-5.2-REG-1", "RFC8995-5.5-REG-1"),
		breaks("RFC8366BIS-7.1-REG-2", "wants no signed attributes", lenient(envelope(func(_ *http.Request, sd *cms.SignedData) bool {
			return !sd.Signers[0].HasSignedAttributes
		}))),
		breaks("RFC8366BIS-9-REG-1", "looks at the certificate first", func(h *house) { h.certFirst = true }),
		breaks("RFC8366BIS-9-REG-2", "looks at the certificate first", func(h *house) { h.certFirst = true }),
		breaks("JWSVOUCHER-3-REG-4", "takes one signature alone", rewrites(jws, func(a *httptest.ResponseRecorder) {
			if bytes.Count(a.Body.Bytes(), []byte(`"protected"`)) > 1 {
				a.Code = 502
			}
		})),
		breaks("JWSVOUCHER-3.2-REG-3", "wants typ", replies(jws.and(not(protected(`"typ"`))), 400, "")),
		breaks("JWSVOUCHER-3.2-REG-4", "takes any typ", lenient(jws.and(protected(`"JWT"`)))),
		breaks("JWSVOUCHER-3.2-REG-5", "does not know escapes", replies(jws.and(protected(`\/`)), 400, "")),
	}
}

// inBase64URL writes the binary leaves of a CMS request in base64url.
func (h *house) inBase64URL(b []byte) []byte {
	sd, err := cms.ParseSignedData(b)
	if err != nil {
		return b // of another format
	}
	var m map[string]map[string]any
	if err := json.Unmarshal(sd.Content, &m); err != nil {
		h.t.Error(err)
	}
	for _, leaves := range m {
		for _, name := range []string{"idevid-issuer", "prior-signed-voucher-request"} {
			if text, ok := leaves[name].(string); ok {
				leaves[name] = strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(text)
			}
		}
	}
	content, err := json.Marshal(m)
	if err != nil {
		h.t.Error(err)
	}
	out, err := cms.Sign(&cms.SignRequest{
		ContentType: cms.OIDAnimaJSONVoucher(), Content: content, Key: h.signer.Key, Certificate: h.signer.Certificate, Chain: h.signer.Chain,
	})
	if err != nil {
		h.t.Error(err)
	}
	return out
}

func not(m match) match {
	return func(h *house, r *http.Request, body []byte) bool { return !m(h, r, body) }
}

// protected picks JWS by a text in the protected header.
func protected(text string) match {
	return func(_ *house, _ *http.Request, body []byte) bool {
		_, rest, found := bytes.Cut(body, []byte(`"protected":"`))
		value, _, _ := bytes.Cut(rest, []byte(`"`))
		header, err := base64.RawURLEncoding.DecodeString(string(value))
		return found && err == nil && bytes.Contains(header, []byte(text))
	}
}

func joiningMutations() []mutation {
	named := func(name string) match {
		return client(func(_ *house, c *x509.Certificate) bool { return c != nil && c.Subject.CommonName == name })
	}
	return []mutation{
		breaks("8021AR-8-REG-1", "wants to be told what the key is for", replies(voucherRequest().and(named("Model 802")).and(client(func(_ *house, c *x509.Certificate) bool {
			return c != nil && len(c.ExtKeyUsage) == 0
		})), 403, "")),
		breaks("RFC8995-4.3-REG-1", "looks at Host", wrap(func(h *house, next http.Handler, w http.ResponseWriter, r *http.Request, _ []byte) {
			if "https://"+r.Host != h.target.URL {
				w.WriteHeader(http.StatusMisdirectedRequest)
				return
			}
			next.ServeHTTP(w, r)
		})),
	}
}

func estMutations() []mutation {
	enroll, renew := at("POST", "simpleenroll"), at("POST", "simplereenroll")
	lined := match(func(_ *house, _ *http.Request, body []byte) bool { return bytes.Contains(body, []byte("\r\n")) })
	encoded := field("Content-Transfer-Encoding", "base64")
	return []mutation{
		breaks("RFC7030-3.6.1-REG-1", "is a web server", func(h *house) {
			h.identity = h.issuing.Server(h.t, "web")
			h.tls.Certificates = []tls.Certificate{h.identity.TLS()}
		}),
		breaks("RFC7030-4.1.2-REG-1", "shows cacerts to devices alone", replies(at("GET", "cacerts").and(client(nobody)), 403, "")),
		breaks("RFC7030-4.1.3-REG-1", "has cacerts as text", rewrites(at("GET", "cacerts"), faulty.On(200, faulty.Header("Content-Type", "text/plain")))),
		breaks("RFC7030-4.2.2-REG-1", "renews under any subject", func(h *house) { h.anyRenewal = true }),
		breaks("RFC7030-4.2.2-REG-2", "renews under any name", func(h *house) { h.anyRenewal = true }),
		breaks("RFC7030-4.2.3-REG-1", "renews as text", rewrites(renew, faulty.On(200, faulty.Header("Content-Type", "text/plain")))),
		breaks("RFC7030-4.5.2-REG-1", "has no SEQUENCE", replies(at("GET", "csrattrs"), 200, "BAA=")),
		breaks("RFC8951-3-REG-1", "wants no header", replies(enroll.and(encoded).and(not(lined)), 400, "")),
		breaks("RFC8951-3-REG-2", "does not know lines", replies(enroll.and(lined), 400, "")),
	}
}
