package brskimasa_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"github.com/briskest/briskest/conformance/conformancetest/faulty"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance/brskimasa"
	"github.com/briskest/briskest/conformance/conformancetest"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/vouchercose"
	"github.com/briskest/briskest/voucher/voucherjws"
)

func TestEveryCheckHasBeenSeenToFail(t *testing.T) {
	conformancetest.Mutations(t, brskimasa.Checks(), slices.Concat(
		transportMutations(), requestMutations(), domainMutations(), proximityMutations(), answerMutations(), voucherMutations(),
		leafMutations(), logMutations(), logFormMutations(), noncelessMutations(), httpMutations(), formatMutations(),
	))
}

func transportMutations() []mutation {
	version := func(low, high uint16) fault { return func(h *house) { h.tls.MinVersion, h.tls.MaxVersion = low, high } }
	return []mutation{
		breaks("RFC8446-4.2.1-MASA-1", "has no TLS 1.3", version(tls.VersionTLS12, tls.VersionTLS12)),
		breaks("RFC8446-4.2.1-MASA-2", "has no TLS 1.2", version(tls.VersionTLS13, 0)),
		breaks("RFC8446-4.2.1-MASA-3", "has TLS 1.1", version(tls.VersionTLS10, 0)),
		breaks("RFC8366-7.4-MASA-1", "answers without TLS", func(h *house) {
			h.plain = "HTTP/1.1 200 OK\r\nContent-Type: " + vouchercms.MediaType + "\r\nContent-Length: 7\r\nConnection: close\r\n\r\nvoucher"
		}),
		breaks("RFC8995-9.1.1-MASA-1", "is not where the IDevID leads", func(h *house) {
			base, err := voucher.MASAURL(h.devices[0].idevid)
			if err != nil {
				h.t.Fatal(err)
			}
			id := h.vendor.IDevID(h.t, "P-1", strings.TrimSuffix(base, brski.PathPrefix)+"/nowhere")
			h.devices[0].idevid, h.target.Pledge = id.Certificate, whole(id)
		}),
		breaks("RFC8995-5.4-MASA-1", "asks for no certificate", func(h *house) { h.tls.ClientAuth = tls.NoClientCert }),
		breaks("RFC8995-5.4-MASA-2", "fails where there is none", replies(voucherRequest().and(client(nobody)), 500, "")),
		breaks("RFC8995-5.4-MASA-3", "pins the TLS client", func(h *house) {
			h.pin = func(q *asked) *x509.Certificate {
				if q.client != nil && !q.client.Equal(q.artifact.Signer) {
					return q.client
				}
				return q.pinned
			}
		}),
		breaks("RFC8995-5.4.1-MASA-1", "sets a cookie", rewrites(voucherRequest(), faulty.Header("Set-Cookie", "registrar=1"))),
	}
}

func requestMutations() []mutation {
	cmsType := field("Content-Type", vouchercms.MediaType)
	leaf := func(name string, f func(value any) bool) match {
		return says(func(m map[string]any) bool { return f(m[name]) })
	}
	return []mutation{
		breaks("RFC8995-5.5-MASA-1", "says 400 to other types", rewrites(voucherRequest().and(field("Content-Type", "application/voucher-foo")), faulty.Code(400))),
		breaks("RFC8995-5.5-MASA-2", "says 400 to no type", rewrites(voucherRequest().and(field("Content-Type", "")), faulty.Code(400))),
		breaks("RFC8995-5.5-MASA-3", "takes other content", lenient(contains("example:other"))),
		breaks("RFC8995-5.5-MASA-4", "takes a voucher", lenient(cmsType.and(contains(`"ietf-voucher:voucher"`)))),
		breaks("RFC8995-5.5-MASA-5", "wants no serial number", lenient(leaf("serial-number", func(v any) bool { return v == nil }))),
		breaks("RFC8995-5.5-MASA-6", "takes any date", lenient(leaf("created-on", func(v any) bool { return v == "yesterday" }))),
		breaks("RFC8995-5.5-MASA-7", "takes any issuer", ignores("issuer"), "RFC8995-5.8-MASA-7"),
		breaks("RFC8995-3.4-MASA-1", "pins what it is told", func(h *house) {
			h.pin = func(q *asked) *x509.Certificate {
				if c, err := x509.ParseCertificate(q.request.PinnedDomainCert); err == nil {
					return c
				}
				return q.pinned
			}
		}),
		breaks("RFC8995-3.4-MASA-2", "repeats what it is told", content(func(v *voucher.Voucher, q *asked) {
			v.DomainCertRevocationChecks = q.request.DomainCertRevocationChecks
		})),
		breaks("RFC8995-3.4-MASA-3", "repeats the date", content(func(v *voucher.Voucher, q *asked) {
			if v.LastRenewalDate = q.request.LastRenewalDate; !v.LastRenewalDate.IsZero() {
				v.ExpiresOn, v.AllowNonceWithExpiresOn = v.CreatedOn.Add(time.Hour), true
			}
		})),
		breaks("RFC8995-3.4-MASA-4", "believes what it is told", ignores("assertion")),
		breaks("RFC8995-3.4-MASA-5", "puts the request into the voucher", resigned(func(m map[string]any) { m["prior-signed-voucher-request"] = "AAAA" })),
		breaks("RFC8366-5.4-MASA-3", "takes half of it", lenient(cmsType.and(off(func(n int) bool { return n < 0 })))),
		breaks("RFC8366-5.4-MASA-4", "passes over what follows", lenient(cmsType.and(off(func(n int) bool { return n == 2 })))),
		breaks("RFC8366-5.4-MASA-5", "takes any size", lenient(func(_ *house, _ *http.Request, body []byte) bool { return len(body) > 4<<20 })),
		breaks("RFC8366-5.4-MASA-6", "takes nothing", lenient(cmsType.and(func(_ *house, _ *http.Request, body []byte) bool { return len(body) == 0 }))),
		breaks("RFC8366-5.4-MASA-7", "takes JSON", lenient(cmsType.and(func(_ *house, _ *http.Request, body []byte) bool { return bytes.HasPrefix(body, []byte("{")) }))),
		breaks("RFC8366-5.4-MASA-8", "takes a certificate", lenient(func(_ *house, _ *http.Request, body []byte) bool {
			_, err := x509.ParseCertificate(body)
			return err == nil
		})),
		breaks("RFC8366-5.4-MASA-9", "takes no JSON", lenient(envelope(func(_ *http.Request, sd *cms.SignedData) bool { return string(sd.Content) == "{" }))),
		breaks("RFC8995-6-MASA-1", "takes base64", func(h *house) { h.masa.TakeBase64 = true }, "RFC8995-5.8-MASA-9"),
		breaks("RFC8995-6-MASA-2", "answers in base64", cmsBytes(func(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) }), "RFC8366-5.4-MASA-1"),
	}
}

func domainMutations() []mutation {
	return []mutation{
		breaks("RFC8995-5.5.2-MASA-1", "verifies no chain", ignores("chain")),
		breaks("RFC8995-5.5.2-MASA-2", "pins itself of strangers", content(func(v *voucher.Voucher, q *asked) {
			if !q.pinned.Equal(q.h.domain.Certificate) {
				v.PinnedDomainCert = q.h.vendor.Certificate.Raw
			}
		})),
		breaks("RFC8995-5.5.3-MASA-1", "verifies no signature", ignores("signature"), "RFC8995-5.8-MASA-8"),
		breaks("RFC8995-5.5.3-MASA-2", "verifies no signature", ignores("signature"), "RFC8995-5.8-MASA-8"),
		breaks("RFC8995-5.5.3-MASA-3", "knows no time", ignores("end")),
		breaks("RFC8995-5.5.3-MASA-4", "fetches no list", ignores("revocation")),
		breaks("RFC8995-5.5.4-MASA-1", "wants no usage", ignores("role")),
		breaks("RFC8995-5.5.4-MASA-2", "answers devices", ignores("role of devices"), "RFC8995-5.8-MASA-11"),
		breaks("RFC8995-5.5.4-MASA-3", "needs no nonce", ignores("nonceless")),
	}
}

func proximityMutations() []mutation {
	return []mutation{
		breaks("RFC8995-5.5.5-MASA-1", "says logged", content(func(v *voucher.Voucher, q *asked) {
			if v.Assertion == voucher.Proximity && len(q.prior.ProximityRegistrarPubkSHA256)+len(q.prior.ProximityRegistrarPubk) == 0 {
				v.Assertion = voucher.Logged
			}
		})),
		breaks("RFC8995-5.5.5-MASA-2", "compares nothing", ignores("proximity"), "RFC8366bis-9-MASA-1"),
		breaks("RFC8995-5.5.5-MASA-3", "compares certificates", ignores("key")),
		breaks("RFC8995-5.5.5-MASA-4", "compares no serial numbers", ignores("serial")),
		breaks("RFC8995-5.5.5-MASA-5", "compares no serial numbers of the pledge's", ignores("prior serial")),
		breaks("RFC8995-5.5.5-MASA-6", "knows devices by name", ignores("anchor")),
		breaks("RFC8995-5.5.5-MASA-7", "knows who signs itself", ignores("self-signed")),
		breaks("RFC8995-5.5.5-MASA-8", "verifies no pledge", ignores("prior signature")),
		breaks("RFC8995-5.5.5-MASA-9", "opens no pledge's request", ignores("prior form")),
		breaks("RFC8995-5.5.5-MASA-10", "says proximity of nobody", ignores("no prior")),
		breaks("RFC8995-5.5.5-MASA-11", "says proximity to nobody", ignores("named nobody")),
		breaks("RFC8995-5.5.6-MASA-1", "compares no nonces", ignores("nonce")),
		breaks("RFC8995-5.5.6-MASA-2", "takes none for one", ignores("missing nonce")),
		breaks("RFC8366bis-8.4-MASA-1", "takes a short nonce", lenient(nonceOf(7))),
		breaks("RFC8366bis-8.4-MASA-2", "takes a long nonce", lenient(nonceOf(33))),
		breaks("RFC8366bis-8.4-MASA-3", "wants 16 bytes", replies(voucherRequest().and(nonceOf(32)), 400, "no")),
	}
}

func answerMutations() []mutation {
	cmsType := field("Content-Type", vouchercms.MediaType)
	unknown := says(func(m map[string]any) bool { return m["serial-number"] == "conformance-no-such-device" })
	return []mutation{
		breaks("RFC8995-5.6-MASA-1", "has no vouchers", replies(voucherRequest().and(cmsType), 500, "")),
		breaks("RFC8995-5.6-MASA-2", "says another type", rewrites(voucherRequest().and(cmsType), faulty.On(200, mediaType("application/octet-stream")))),
		breaks("RFC8995-5.6-MASA-3", "explains in JSON", rewrites(voucherRequest(), faulty.On(403, mediaType("application/problem+json")))),
		breaks("RFC8995-5.6-MASA-4", "says 400 to bad signatures", rewrites(voucherRequest().and(envelope(badlySigned)), faulty.On(403, faulty.Code(400)))),
		breaks("RFC8995-5.6-MASA-5", "lets others keep it", rewrites(voucherRequest(), faulty.On(200, faulty.Header("Cache-Control", "public, max-age=600")))),
		breaks("RFC8995-5.6-MASA-6", "issues anew", func(h *house) { h.forgets = func(*record, *asked) bool { return true } }, "RFC8995-5.8.1-MASA-7"),
		breaks("RFC8995-5.6-MASA-7", "issues anew for other bytes", func(h *house) {
			h.forgets = func(old *record, q *asked) bool { return !bytes.Equal(old.request, q.artifact.Raw) }
		}),
		breaks("RFC8995-5.6-MASA-8", "blocks nobody", ignores("blocked")),
		breaks("RFC8995-5.6-MASA-9", "knows no owners", ignores("owner")),
		breaks("RFC8995-5.6-MASA-10", "says 400 to strange devices", rewrites(voucherRequest().and(unknown), faulty.Code(400))),
	}
}

func voucherMutations() []mutation {
	return []mutation{
		breaks("RFC8995-5.6-MASA-11", "has a nonce of its own", content(func(v *voucher.Voucher, q *asked) {
			if v.Nonce != "" {
				v.Nonce = voucher.NewNonce()
			}
		})),
		breaks("RFC8995-5.6-MASA-12", "names another device", content(func(v *voucher.Voucher, _ *asked) { v.SerialNumber = "P-2" })),
		breaks("RFC8995-5.6-MASA-13", "pins itself", content(func(v *voucher.Voucher, q *asked) {
			if q.pinned.Equal(q.h.domain.Certificate) && v.Nonce != "" {
				v.PinnedDomainCert = q.h.vendor.Certificate.Raw
			}
		})),
		breaks("RFC8995-5.6-MASA-14", "wants revocation checked", content(func(v *voucher.Voucher, q *asked) {
			if yes := true; q.request.DomainCertRevocationChecks == nil {
				v.DomainCertRevocationChecks = &yes
			}
		})),
		breaks("RFC8995-5.6-MASA-15", "repeats the first nonce", func(h *house) {
			first := ""
			h.voucher = func(v *voucher.Voucher, q *asked) {
				if first == "" {
					first = v.Nonce
				}
				if v.Nonce != "" && q.answer.MediaType() == vouchercms.MediaType {
					v.Nonce = first
				}
			}
		}),
		breaks("RFC8366-5.3-MASA-1", "expires beside a nonce", content(func(v *voucher.Voucher, _ *asked) {
			v.ExpiresOn, v.AllowNonceWithExpiresOn = v.CreatedOn.Add(time.Hour), true
		})),
		breaks("RFC8366-5.3-MASA-2", "swears", resigned(func(m map[string]any) { m["assertion"] = "sworn" }), "RFC8366-5.4-MASA-1"),
		breaks("RFC8366-5.3-MASA-3", "lives in the past", content(func(v *voucher.Voucher, _ *asked) { v.CreatedOn = v.CreatedOn.Add(-24 * time.Hour) })),
		breaks("RFC8366-5.4-MASA-1", "signs badly", cmsBytes(broken)),
		breaks("RFC8366-5.4-MASA-2", "leaves its chain out", func(h *house) { h.signer.Chain = nil }),
		breaks("RFC8995-5.6.1-MASA-1", "is somebody else", func(h *house) {
			h.cmsSigner = testpki.NewRoot(h.t, "Else").Issue(h.t, &x509.Certificate{}, testpki.NewKey(h.t))
		}, "RFC8366-5.4-MASA-2"),
		breaks("RFC8366bis-7.1-MASA-1", "writes version 1", cmsBytes(version1)),
		breaks("RFC8366bis-7.1-MASA-2", "signs data", handsOut(vouchercms.MediaType, asData)),
		breaks("RFC8366bis-7.1-MASA-3", "writes BER", cmsBytes(indefinite)),
		breaks("RFC8366bis-7.1-MASA-4", "signs no attributes", handsOut(vouchercms.MediaType, withoutAttributes), "RFC8366-5.4-MASA-1"),
	}
}

func leafMutations() []mutation {
	issuer := func(f func(b []byte) bool) match {
		return says(func(m map[string]any) bool {
			text, _ := m["idevid-issuer"].(string)
			b, err := base64.StdEncoding.DecodeString(text)
			return err == nil && len(b) > 2 && f(b)
		})
	}
	refuse := func(m match) fault { return replies(voucherRequest().and(m), 400, "no") }
	only := func(name string) match {
		return priorSays(func(m map[string]any) bool { return m[name] != nil && m["proximity-registrar-cert"] == nil })
	}
	return []mutation{
		breaks("RFC8366bis-6.2-MASA-1", "always names the issuer", ignores("uniqueness")),
		breaks("RFC8366bis-6.2-MASA-2", "never names the issuer", content(func(v *voucher.Voucher, _ *asked) { v.IDevIDIssuer = nil })),
		breaks("RFC8366bis-6.3-MASA-1", "takes no SEQUENCE", refuse(issuer(func(b []byte) bool { return b[0] == 0x30 }))),
		breaks("RFC8366bis-6.3-MASA-2", "takes no bare identifier", refuse(issuer(func(b []byte) bool { return len(b) == 20 }))),
		breaks("RFC8366bis-9.2-MASA-1", "knows no pubk", refuse(only("proximity-registrar-pubk"))),
		breaks("RFC8366bis-9.2-MASA-2", "knows no hash", refuse(only("proximity-registrar-pubk-sha256"))),
		breaks("RFC8366bis-9-MASA-1", "prefers certificates", ignores("order")),
		breaks("RFC8366bis-9-MASA-2", "prefers certificates", ignores("order")),
	}
}

func logMutations() []mutation {
	cmsType := field("Content-Type", vouchercms.MediaType)
	unknown := says(func(m map[string]any) bool { return m["serial-number"] == "conformance-no-such-device" })
	return []mutation{
		breaks("RFC8995-5.8-MASA-1", "has no logs", rewrites(auditLog(), faulty.On(200, faulty.Code(500)))),
		breaks("RFC8995-5.8-MASA-2", "serves anybody", ignores("log owner")),
		breaks("RFC8995-5.8-MASA-3", "says 403 to strange devices", rewrites(auditLog().and(unknown), faulty.Code(403))),
		breaks("RFC8995-5.8-MASA-4", "says which it knows", rewrites(auditLog().and(says(func(m map[string]any) bool { return m["serial-number"] == "P-1" })),
			faulty.On(404, faulty.Text(func([]byte) []byte { return []byte("not yours") })))),
		breaks("RFC8995-5.8-MASA-5", "serves the last alone", ignores("history")),
		breaks("RFC8995-5.8-MASA-6", "forgets owners", ignores("former")),
		breaks("RFC8995-5.8-MASA-7", "takes any issuer", ignores("issuer"), "RFC8995-5.5-MASA-7"),
		breaks("RFC8995-5.8-MASA-8", "verifies no signature", lenientAt(auditLog(), envelope(badlySigned))),
		breaks("RFC8995-5.8-MASA-9", "takes base64", lenientAt(auditLog(), cmsType.and(func(_ *house, _ *http.Request, body []byte) bool { return bytes.HasPrefix(body, []byte("MI")) }))),
		breaks("RFC8995-5.8-MASA-10", "says 400 to other types", rewrites(auditLog().and(field("Content-Type", "application/json")), faulty.Code(400))),
		breaks("RFC8995-5.8-MASA-11", "serves devices", lenientAt(auditLog(), signedBy(func(c *x509.Certificate) bool { return c.Subject.SerialNumber != "" }))),
		breaks("RFC8995-5.8-MASA-12", "logs questions", func(h *house) { h.recordsAsking = true }),
		breaks("RFC8995-5.8-MASA-13", "goes by the serial number", ignores("shared log")),
	}
}

func logFormMutations() []mutation {
	return []mutation{
		breaks("RFC8995-5.8.1-MASA-1", "says text", rewrites(auditLog(), faulty.On(200, mediaType("text/plain")))),
		breaks("RFC8995-5.8.1-MASA-2", "quotes the version", replaces(`"version":1`, `"version":"1"`)),
		breaks("RFC8995-5.8.1-MASA-3", "writes no dates", replaces(`"date":"`, `"date":"on `)),
		breaks("RFC8995-5.8.1-MASA-4", "logs nothing", audited(func(l *brski.AuditLog, q *asked) {
			if q.device == q.h.devices[0] {
				l.Events = []brski.AuditEvent{}
			}
		})),
		breaks("RFC8995-5.8.1-MASA-5", "logs another assertion", events(func(e *brski.AuditEvent) { e.Assertion = voucher.Logged })),
		breaks("RFC8995-5.8.1-MASA-6", "logs other dates", events(func(e *brski.AuditEvent) { e.Date = e.Date.AddDate(-1, 0, 0) })),
		breaks("RFC8995-5.8.1-MASA-7", "logs twice", audited(func(l *brski.AuditLog, _ *asked) { l.Events = slices.Concat(l.Events, l.Events) })),
		breaks("RFC8995-5.8.1-MASA-8", "leaves nonceless ones out", audited(func(l *brski.AuditLog, _ *asked) {
			l.Events = slices.DeleteFunc(l.Events, func(e brski.AuditEvent) bool { return e.Nonce == nil })
		})),
		breaks("RFC8995-5.8.1-MASA-9", "counts in words", replaces(`"truncation":{}`, `"truncation":{"arbitrary":"none"}`)),
		breaks("RFC8995-5.8.1-MASA-10", "logs the asker alone", audited(func(l *brski.AuditLog, q *asked) {
			own := base64.StdEncoding.EncodeToString(voucher.DomainID(q.pinned))
			l.Events = slices.DeleteFunc(l.Events, func(e brski.AuditEvent) bool { return e.DomainID != own })
		})),
		breaks("RFC8995-5.8.2-MASA-1", "always hashes", audited(func(l *brski.AuditLog, q *asked) {
			sum := keyOf(q.h.domain.Certificate)
			for i := range l.Events {
				if l.Events[i].DomainID == base64.StdEncoding.EncodeToString(voucher.DomainID(q.h.domain.Certificate)) {
					l.Events[i].DomainID = base64.StdEncoding.EncodeToString(sum[:])
				}
			}
		})),
		breaks("RFC8995-5.8.2-MASA-2", "shortens the hash", events(func(e *brski.AuditEvent) {
			if raw, err := base64.StdEncoding.DecodeString(e.DomainID); err == nil && len(raw) == 32 {
				e.DomainID = base64.StdEncoding.EncodeToString(raw[:20])
			}
		})),
	}
}

func noncelessMutations() []mutation {
	return []mutation{
		breaks("RFC8995-9-MASA-1", "issues with nonces alone", func(h *house) { h.devices[2].nonceless = false }),
		breaks("RFC8995-7.4.1-MASA-1", "issues for ever", content(func(v *voucher.Voucher, _ *asked) { v.ExpiresOn = time.Time{} })),
		breaks("RFC8366-5.3-MASA-4", "outlives the domain", resigned(func(m map[string]any) {
			if m["nonce"] == nil {
				m["expires-on"] = "2199-01-01T00:00:00Z"
			}
		})),
		breaks("RFC8366bis-8.4-MASA-4", "renews what does not expire", resigned(func(m map[string]any) {
			if m["nonce"] == nil {
				delete(m, "expires-on")
				m["last-renewal-date"] = "2030-01-01T00:00:00Z"
			}
		}), "RFC8995-7.4.1-MASA-1"),
	}
}

func httpMutations() []mutation {
	answers := func(m match) fault { return replies(m, 200, "") }
	refuse := func(m match) fault { return replies(voucherRequest().and(m), 406, "") }
	return []mutation{
		breaks("RFC9110-9.1-MASA-1", "answers GET", answers(at("GET", "requestvoucher"))),
		breaks("RFC9110-9.1-MASA-2", "answers PUT", answers(at("PUT", "requestvoucher"))),
		breaks("RFC9110-9.1-MASA-3", "answers HEAD", answers(at("HEAD", "requestvoucher"))),
		breaks("RFC9110-9.1-MASA-4", "answers GET", answers(at("GET", "requestauditlog"))),
		breaks("RFC8995-8.3.1-MASA-1", "answers everywhere", answers(at("POST", "requestvouchers"))),
		breaks("RFC8995-8.3.1-MASA-2", "is a registrar", answers(at("POST", "voucher_status"))),
		breaks("RFC9110-12.5.1-MASA-1", "says 400", rewrites(field("Accept", "text/html"), faulty.Code(400))),
		breaks("RFC9110-12.5.1-MASA-2", "wants Accept", refuse(field("Accept", ""))),
		breaks("RFC9110-12.5.1-MASA-3", "wants its own type", refuse(field("Accept", "*/*"))),
		breaks("RFC9110-12.5.1-MASA-4", "reads no q", rewrites(voucherRequest().and(field("Accept", vouchercms.MediaType+";q=0, */*;q=0.5")), mediaType(vouchercms.MediaType))),
		breaks("RFC9110-8.3.1-MASA-1", "wants lower case", replies(field("Content-Type", "Application/Voucher-CMS+json"), 415, "")),
		breaks("RFC9110-8.4.1-MASA-1", "looks at no coding", lenient(func(_ *house, r *http.Request, _ []byte) bool { return r.Header.Get("Content-Encoding") != "" })),
		breaks("RFC9112-7.1-MASA-1", "wants a length", replies(func(_ *house, r *http.Request, _ []byte) bool { return r.ContentLength < 0 }, 411, "")),
		breaks("RFC9112-9.3-MASA-1", "closes each connection", rewrites(voucherRequest(), faulty.On(200, faulty.Header("Connection", "close")))),
	}
}

func formatMutations() []mutation {
	inJWS, inCOSE := field("Content-Type", voucherjws.MediaType), field("Content-Type", vouchercose.MediaType)
	octets := faulty.On(200, func(a *httptest.ResponseRecorder) { a.Header().Set("Content-Type", "application/octet-stream") })
	return []mutation{
		breaks("JWSVOUCHER-3-MASA-1", "flattens", rewritesJWS(flattened), "JWSVOUCHER-3.2-MASA-3"),
		breaks("JWSVOUCHER-3-MASA-2", "takes the compact form", lenient(inJWS.and(func(_ *house, _ *http.Request, body []byte) bool { return bytes.HasPrefix(body, []byte("ey")) }))),
		breaks("JWSVOUCHER-3.1-MASA-1", "has another container", rewritesJWS(otherContainer), "JWSVOUCHER-3.2-MASA-3"),
		breaks("JWSVOUCHER-3.1-MASA-2", "verifies nothing", lenient(inJWS.and(jwsSays(`"created-on":"21`)))),
		breaks("JWSVOUCHER-3.2-MASA-1", "takes none", lenient(inJWS.and(jwsSays(`"none"`)))),
		breaks("JWSVOUCHER-3.2-MASA-2", "takes HS256", lenient(inJWS.and(jwsSays(`"HS256"`)))),
		breaks("JWSVOUCHER-3.2-MASA-3", "has no x5c", rewritesJWS(withoutX5C)),
		breaks("PRM-7.3.1-MASA-1", "says another type", rewrites(inJWS, octets)),
		breaks("CBRSKI-7.1-MASA-1", "says another type", rewrites(inCOSE, octets)),
		breaks("RFC8366bis-8.5-MASA-1", "writes words", handsOut(vouchercose.MediaType, assertionAsText)),
		breaks("CBRSKI-9.2-MASA-1", "signs badly", handsOut(vouchercose.MediaType, func(_ *house, b []byte) []byte { return broken(b) })),
		breaks("CBRSKI-9.2-MASA-2", "verifies nothing", lenient(badCOSE)),
	}
}
