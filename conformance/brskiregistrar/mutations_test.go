package brskiregistrar_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"github.com/briskest/briskest/conformance/conformancetest/faulty"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance/brskiregistrar"
	"github.com/briskest/briskest/conformance/conformancetest"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/vouchercose"
	"github.com/briskest/briskest/voucher/voucherjws"
)

func TestEveryCheckHasBeenSeenToFail(t *testing.T) {
	conformancetest.Mutations(t, brskiregistrar.Checks(), slices.Concat(
		endpointMutations(), requestMutations(), forwardedMutations(), answerMutations(), telemetryMutations(), enrollMutations(), formatMutations(),
		readingMutations(), joiningMutations(), estMutations(),
	))
}

func endpointMutations() []mutation {
	missing := func(method, operation string) fault {
		return replies(at(method, operation).and(field("Content-Type", "")), http.StatusNotFound, "")
	}
	version := func(low, high uint16) fault { return func(h *house) { h.tls.MinVersion, h.tls.MaxVersion = low, high } }
	return []mutation{
		breaks("RFC8995-1.5-REG-1", "has no requestvoucher", missing("POST", "requestvoucher")),
		breaks("RFC8995-1.5-REG-2", "has no voucher_status", missing("POST", "voucher_status")),
		breaks("RFC8995-1.5-REG-3", "has no enrollstatus", missing("POST", "enrollstatus")),
		breaks("RFC8995-1.5-REG-4", "has no cacerts", missing("GET", "cacerts"), "RFC8995-5.9.1-REG-1"),
		breaks("RFC8995-1.5-REG-5", "has no csrattrs", missing("GET", "csrattrs")),
		breaks("RFC8995-1.5-REG-6", "has no simpleenroll", missing("POST", "simpleenroll")),
		breaks("RFC8995-1.5-REG-7", "has no simplereenroll", missing("POST", "simplereenroll")),
		breaks("RFC8995-8.3.1-REG-1", "answers everywhere", replies(at("POST", "requestvouchers"), 200, "")),
		breaks("RFC8446-4.2.1-REG-1", "has no TLS 1.2", version(tls.VersionTLS13, 0)),
		breaks("RFC8446-4.2.1-REG-2", "has no TLS 1.3", version(tls.VersionTLS12, tls.VersionTLS12)),
		breaks("RFC8446-4.2.1-REG-3", "has TLS 1.1", version(tls.VersionTLS10, 0)),
		breaks("RFC8995-E6648-REG-1", "looks at the name", func(h *house) {
			other := h.issuing.Registrar(h.t, "other").TLS()
			h.tls.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				if hello.ServerName != "no-such-name.example" {
					return nil, nil
				}
				c := h.tls.Clone()
				c.Certificates = []tls.Certificate{other}
				return c, nil
			}
		}),
		breaks("RFC8995-5-REG-1", "closes each connection", rewrites(voucherRequest(), faulty.On(200, faulty.Header("Connection", "close")))),
	}
}

func requestMutations() []mutation {
	cmsType := field("Content-Type", vouchercms.MediaType)
	foo := field("Content-Type", "application/voucher-foo")
	leaf := func(name string, f func(value any) bool) match {
		return says(func(m map[string]any) bool { return f(m[name]) })
	}
	empty := match(func(_ *house, r *http.Request, body []byte) bool {
		return len(body) == 0 && r.Header.Get("Content-Type") != ""
	})
	refuse := func(m match) fault { return replies(voucherRequest().and(m), 400, "no") }
	return []mutation{
		breaks("RFC8995-5.2-REG-1", "has no vouchers", replies(voucherRequest().and(cmsType), 500, "")),
		breaks("RFC8995-5.2-REG-2", "answers GET", replies(at("GET", "requestvoucher"), 200, "")),
		breaks("RFC8995-5.2-REG-3", "takes any proximity", lenient(says(func(m map[string]any) bool {
			return m["assertion"] == "proximity" && m["proximity-registrar-cert"] != nil
		}).and(field("Accept", vouchercms.MediaType)).and(client(func(h *house, c *x509.Certificate) bool { return c != nil && h.ours(c) })).and(
			says(func(m map[string]any) bool { return m["serial-number"] == "P-1" })).and(proximityIsPledges))),
		breaks("RFC8995-5.2-REG-4", "keeps the connection", rewrites(voucherRequest(), faulty.On(401, faulty.Header("Connection", "")))),
		breaks("RFC8995-5.2-REG-5", "takes any assertion", lenient(leaf("assertion", func(v any) bool { return v == "logged" }))),
		breaks("RFC8995-5.2-REG-6", "wants no proximity", lenient(says(func(m map[string]any) bool {
			return m["assertion"] == "proximity" && m["proximity-registrar-cert"] == nil
		}))),
		breaks("RFC8995-5.2-REG-7", "wants no assertion", lenient(leaf("assertion", func(v any) bool { return v == nil }))),
		breaks("RFC8995-5.2-REG-8", "takes any media type", lenient(foo)),
		breaks("RFC8995-5.2-REG-9", "closes the connection", rewrites(voucherRequest().and(foo), faulty.Header("Connection", "close"))),
		breaks("RFC8995-5.2-REG-10", "takes any signer", lenient(envelope(otherSigner))),
		breaks("RFC8995-5.2-REG-11", "takes an empty body", lenient(empty)),
		breaks("RFC8995-5.3-REG-1", "says 400 to strangers", rewrites(voucherRequest().and(client(stranger)), faulty.Code(400))),
		breaks("RFC8995-5.3-REG-2", "says 400 to other content", rewrites(contains("example:other"), faulty.Code(400))),
		breaks("RFC8995-5.3-REG-3", "takes no JSON", lenient(envelope(func(_ *http.Request, sd *cms.SignedData) bool { return string(sd.Content) == "{" }))),
		breaks("RFC8995-3.4-REG-1", "repeats what it is told", changed(func(r *voucher.Request, q *brski.VoucherRequest) {
			r.DomainCertRevocationChecks = q.Request.DomainCertRevocationChecks
		})),
		breaks("RFC8995-3.4-REG-2", "repeats the pin", changed(func(r *voucher.Request, q *brski.VoucherRequest) { r.PinnedDomainCert = q.Request.PinnedDomainCert })),
		breaks("RFC8366-5.4-REG-1", "does not verify", lenient(envelope(badlySigned))),
		breaks("RFC8366-5.4-REG-2", "takes half of it", lenient(cmsType.and(off(func(n int) bool { return n < 0 })))),
		breaks("RFC8366-5.4-REG-3", "passes over what follows", lenient(cmsType.and(off(func(n int) bool { return n == 2 })))),
		breaks("RFC8366-5.4-REG-4", "takes any size", lenient(func(_ *house, _ *http.Request, body []byte) bool { return len(body) > 2<<20 })),
		breaks("RFC8366-5.4-REG-5", "takes JSON", lenient(func(_ *house, _ *http.Request, body []byte) bool { return bytes.HasPrefix(body, []byte(`{"ietf`)) })),
		breaks("RFC8366-5.4-REG-6", "takes a certificate", lenient(func(_ *house, _ *http.Request, body []byte) bool {
			_, err := x509.ParseCertificate(body)
			return err == nil
		})),
		breaks("RFC8366-5.4-REG-7", "wants version 3", refuse(envelope(func(_ *http.Request, sd *cms.SignedData) bool { return sd.Version == 1 }))),
		breaks("RFC8366-5.3-REG-1", "takes a short nonce", lenient(nonceOf(7))),
		breaks("RFC8366-5.3-REG-2", "takes a long nonce", lenient(nonceOf(33))),
		breaks("RFC8366-5.3-REG-3", "wants more than 8 bytes", refuse(nonceOf(8))),
		breaks("RFC8995-6-REG-1", "answers in base64", rewrites(voucherRequest().and(field("Content-Type", vouchercms.MediaType)), faulty.On(200, faulty.Text(func(b []byte) []byte {
			return []byte(base64.StdEncoding.EncodeToString(b))
		}))), "RFC8995-5.6-REG-1"),
		breaks("RFC8995-6-REG-2", "asks in base64", func(h *house) {
			h.signed = func(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) }
		}, "JWSVOUCHER-3-REG-1", "RFC8366BIS-7.1-REG-1"),
		breaks("RFC8995-6-REG-3", "wants no Content-Transfer-Encoding", refuse(field("Content-Transfer-Encoding", "base64"))),
		breaks("RFC8995-5.1-REG-1", "wants no certificate", lenient(client(nobody))),
		breaks("RFC8995-5.1-REG-2", "trusts strangers", lenient(client(stranger)), "RFC8995-5.3-REG-1"),
		breaks("RFC8995-5.1-REG-3", "trusts a name", lenient(client(func(h *house, c *x509.Certificate) bool {
			return c != nil && bytes.Equal(c.RawIssuer, h.vendor.Certificate.RawSubject) && !h.ours(c)
		}))),
		breaks("RFC8995-5.1-REG-4", "takes a device for a CA", lenient(client(func(h *house, c *x509.Certificate) bool {
			return c != nil && !stranger(h, c) && !bytes.Equal(c.RawIssuer, h.vendor.Certificate.RawSubject)
		}))),
		breaks("RFC8995-2.3.1-REG-1", "wants no serial number", lenient(client(func(_ *house, c *x509.Certificate) bool { return c != nil && c.Subject.SerialNumber == "" }))),
		breaks("RFC8995-2.3.1-REG-2", "makes up a serial number", changed(func(r *voucher.Request, _ *brski.VoucherRequest) { r.SerialNumber = "77" })),
		breaks("RFC9110-12.5.1-REG-1", "passes over Accept", lenient(field("Accept", "text/html"))),
		breaks("RFC9110-12.5.1-REG-2", "wants Accept", refuse(cmsType.and(field("Accept", "")))),
		breaks("RFC9110-12.5.1-REG-3", "does not know wildcards", refuse(field("Accept", "*/*"))),
		breaks("RFC9110-8.3.1-REG-1", "compares media types with case", refuse(field("Content-Type", "Application/Voucher-CMS+json"))),
		breaks("RFC9112-7.1-REG-1", "wants a length", refuse(func(_ *house, r *http.Request, body []byte) bool { return r.ContentLength < 0 })),
	}
}

func proximityIsPledges(_ *house, r *http.Request, body []byte) bool {
	sd, err := cms.ParseSignedData(body)
	return err == nil && bytes.Contains(sd.Content, []byte(base64.StdEncoding.EncodeToString(r.TLS.PeerCertificates[0].Raw)))
}

// changed changes the registrar's request.
func changed(f func(*voucher.Request, *brski.VoucherRequest)) fault {
	return func(h *house) { h.request = f }
}

func calling(f func(*http.Request)) fault { return func(h *house) { h.call = f } }

func isLog(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/requestauditlog") }

func forwardedMutations() []mutation {
	client := func(f func(*tls.Config)) fault {
		return func(h *house) { f(h.client.Transport.(*http.Transport).TLSClientConfig) }
	}
	noKeyID := func(q *brski.VoucherRequest) bool { return len(q.Peer.Certificates[0].AuthorityKeyId) == 0 }
	return []mutation{
		breaks("RFC8995-5.5-REG-1", "does not sign", func(h *house) {
			h.signed = func(b []byte) []byte { b = slices.Clone(b); b[len(b)-1] ^= 0xff; return b }
		}, "RFC8995-5.2-REG-1"),
		breaks("RFC8995-5.5-REG-2", "makes nonces of its own", changed(func(r *voucher.Request, q *brski.VoucherRequest) {
			if strings.HasSuffix(r.Nonce, "==") {
				r.Nonce = voucher.NewNonce()
			}
		})),
		breaks("RFC8995-5.5-REG-3", "writes base64 anew", changed(func(r *voucher.Request, _ *brski.VoucherRequest) {
			if strings.HasPrefix(r.Nonce, "-_") {
				r.Nonce = strings.NewReplacer("-", "+", "_", "/").Replace(r.Nonce) + "=="
			}
		})),
		breaks("RFC8995-5.5-REG-4", "writes hexadecimal anew", changed(func(r *voucher.Request, _ *brski.VoucherRequest) {
			if len(r.Nonce) == 26 {
				r.Nonce = "AA" + r.Nonce[2:]
			}
		})),
		breaks("RFC8995-5.5-REG-5", "takes any serial number", lenient(says(func(m map[string]any) bool { return m["serial-number"] == "P-1-other" }))),
		breaks("RFC8995-5.5-REG-6", "leaves out what the pledge sent", changed(func(r *voucher.Request, _ *brski.VoucherRequest) { r.PriorSignedVoucherRequest = nil })),
		breaks("RFC8995-5.5-REG-7", "repeats the proximity", changed(func(r *voucher.Request, q *brski.VoucherRequest) {
			r.ProximityRegistrarCert = q.Request.ProximityRegistrarCert
		})),
		breaks("RFC8995-5.5-REG-8", "has a slow clock", changed(func(r *voucher.Request, _ *brski.VoucherRequest) { r.CreatedOn = r.CreatedOn.Add(-time.Hour) })),
		breaks("RFC8995-5.5-REG-9", "has the pledge's clock", changed(func(r *voucher.Request, q *brski.VoucherRequest) { r.CreatedOn = q.Request.CreatedOn })),
		breaks("RFC8995-5.5-REG-10", "signs as a web server", func(h *house) { h.signer = h.issuing.Server(h.t, "web") }),
		breaks("RFC8995-5.5-REG-11", "sends what is nobody's", func(h *house) {
			other := *h.signer
			other.Chain = append(slices.Clone(other.Chain), testpki.NewRoot(h.t, "another").Certificate)
			h.signer = &other
		}),
		breaks("RFC8995-5.5-REG-12", "takes anything", calling(func(r *http.Request) { r.Header.Set("Accept", "*/*") })),
		breaks("RFC8995-5.5-REG-13", "asks with another media type", calling(func(r *http.Request) { r.Header.Set("Content-Type", "application/pkcs7-mime") }), "RFC8995-5.2-REG-1"),
		breaks("RFC8995-5.5-REG-14", "signs as another domain", func(h *house) { h.signer = testpki.NewRoot(h.t, "elsewhere").Registrar(h.t, "registrar") }, "RFC8995-5.2-REG-1"),
		breaks("RFC8995-5.5-REG-15", "asks twice", func(h *house) { h.twice = true }),
		breaks("RFC8366BIS-6.1-REG-1", "leaves the issuer out", changed(func(r *voucher.Request, _ *brski.VoucherRequest) { r.IDevIDIssuer = nil }), "CBRSKI-9.2-REG-1"),
		breaks("RFC8366BIS-6.1-REG-2", "takes the pledge's issuer", changed(func(r *voucher.Request, q *brski.VoucherRequest) {
			if len(q.Request.IDevIDIssuer) > 0 {
				r.IDevIDIssuer = q.Request.IDevIDIssuer
			}
		})),
		breaks("RFC8366BIS-6.1-REG-3", "makes up an issuer", changed(func(r *voucher.Request, q *brski.VoucherRequest) {
			if noKeyID(q) {
				r.IDevIDIssuer = []byte{4, 1, 0}
			}
		})),
		breaks("RFC8366BIS-6.3-REG-1", "sends the key identifier alone", changed(func(r *voucher.Request, q *brski.VoucherRequest) {
			if !noKeyID(q) {
				r.IDevIDIssuer = r.IDevIDIssuer[2:]
			}
		})),
		breaks("RFC8366BIS-7.1-REG-1", "signs in version 1", func(h *house) {
			h.signed = func(b []byte) []byte {
				if at := bytes.Index(b, []byte{2, 1, 3}); b[0] == 0x30 && at > 0 && at < 40 {
					b = slices.Clone(b)
					b[at+2] = 1
				}
				return b
			}
		}),
		breaks("RFC8995-2.3.2-REG-1", "asks elsewhere", calling(func(r *http.Request) { r.URL.Path = strings.Replace(r.URL.Path, "/.well-known/", "/well-known/", 1) })),
		breaks("RFC8995-2.3.2-REG-2", "passes over paths", calling(func(r *http.Request) { r.URL.Path = strings.Replace(r.URL.Path, "/custom/", "/.well-known/", 1) })),
		breaks("RFC8995-2.3.2-REG-3", "asks without TLS", func(h *house) {
			base, err := voucher.MASAURL(h.target.Pledge.Leaf)
			replies(func(_ *house, r *http.Request, _ []byte) bool {
				if len(r.TLS.PeerCertificates) > 0 && bytes.Contains(r.TLS.PeerCertificates[0].Raw, []byte("http://")) && err == nil {
					if a, err := http.Get(strings.Replace(base, "https:", "http:", 1)); err == nil {
						a.Body.Close()
					}
				}
				return false
			}, 500, "")(h)
		}),
		breaks("RFC8995-5.4-REG-1", "trusts any MASA", client(func(c *tls.Config) { c.InsecureSkipVerify = true })),
		breaks("RFC8995-5.4-REG-2", "makes success of 401", passing(func(status int, _ string, _ []byte) bool { return status == 401 })),
		breaks("RFC8995-5.4-REG-3", "has no TLS 1.3", client(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })),
		breaks("RFC8995-E6642-REG-1", "sends no name", client(func(c *tls.Config) { c.ServerName = "127.0.0.1" })),
	}
}

func passing(f func(status int, mediaType string, body []byte) bool) fault {
	return func(h *house) { h.passes = f }
}

func ignoring(what string) fault { return func(h *house) { h.ignores = what } }

func answerMutations() []mutation {
	status := func(want int) fault { return passing(func(got int, _ string, _ []byte) bool { return got == want }) }
	return []mutation{
		breaks("RFC8995-5.6-REG-1", "adds to the voucher", rewrites(voucherRequest(), faulty.On(200, faulty.Text(func(b []byte) []byte { return append(b, 0) })))),
		breaks("RFC8995-5.6-REG-2", "answers with text", rewrites(voucherRequest().and(field("Content-Type", vouchercms.MediaType)), faulty.On(200, faulty.Header("Content-Type", "text/plain")))),
		breaks("RFC8995-5.6-REG-3", "makes success of 403", status(403)),
		breaks("RFC8995-5.6-REG-4", "makes success of 404", status(404)),
		breaks("RFC8995-5.6-REG-5", "makes success of 406", status(406)),
		breaks("RFC8995-5.6-REG-6", "makes success of 500", status(500)),
		breaks("RFC8995-5.6-REG-7", "makes success of nothing", passing(func(got int, _ string, _ []byte) bool { return got == 0 }), "RFC8995-5.4-REG-1"),
		breaks("RFC8995-5.6-REG-8", "passes on an empty body", passing(func(got int, _ string, b []byte) bool { return got == 200 && len(b) == 0 })),
		breaks("RFC8995-5.6-REG-9", "passes on a page", passing(func(_ int, m string, _ []byte) bool { return m == "text/html" })),
		breaks("RFC8995-5.6-REG-10", "makes success of a redirect", status(307)),
		breaks("RFC8995-5.6-REG-11", "passes on half a voucher", ignoring("form")),
		breaks("RFC8995-5.6-REG-12", "passes on what is not signed", ignoring("form")),
		breaks("RFC8995-5.6-REG-13", "passes on any size", ignoring("form")),
		breaks("RFC8995-5.6-REG-14", "passes on any nonce", ignoring("nonce")),
		breaks("RFC8995-5.6-REG-15", "passes on any serial number", ignoring("serial")),
		breaks("RFC8995-5.6-REG-16", "passes on any signer", ignoring("signer")),
		breaks("RFC8995-5.6-REG-17", "passes on what has expired", ignoring("expiry")),
		breaks("RFC8995-5.6-REG-18", "answers once", func(h *house) {
			seen := make(map[string]bool)
			replies(func(_ *house, r *http.Request, body []byte) bool {
				if len(body) == 0 || !strings.HasSuffix(r.URL.Path, "/requestvoucher") {
					return false
				}
				before := seen[string(body)]
				seen[string(body)] = true
				return before
			}, 409, "")(h)
		}),
		breaks("RFC8995-5.6-REG-19", "calls a refusal a voucher", rewrites(voucherRequest(), faulty.On(502, faulty.Header("Content-Type", vouchercms.MediaType)))),
		breaks("RFC8995-5.6.2-REG-1", "passes on any pin", ignoring("pin")),
	}
}

func telemetryMutations() []mutation {
	var all []mutation
	for prefix, operation := range map[string]string{"RFC8995-5.7-REG-": "voucher_status", "RFC8995-5.9.4-REG-": "enrollstatus"} {
		to := func(m match) match { return at("POST", operation).and(m) }
		idevid := client(func(h *house, c *x509.Certificate) bool { return !member(h, c) })
		all = append(all,
			breaks(prefix+"1", "breaks on "+operation, replies(to(contains(`"reason-context":{}`)).and(idevid), 500, "")),
			breaks(prefix+"2", "takes no failure in "+operation, replies(to(contains(`"none"`)), 400, "")),
			breaks(prefix+"3", "wants no version in "+operation, replies(to(contains(`{"status":true}`)), 200, "")),
			breaks(prefix+"4", "compares without case in "+operation, replies(to(contains(`"Status"`)), 200, "")),
			breaks(prefix+"5", "takes anything for "+operation, replies(to(contains("version 1")), 200, "")),
			breaks(prefix+"6", "takes anybody's "+operation, replies(to(client(nobody)), 200, "")),
		)
	}
	return append(all,
		breaks("RFC8995-5.7-REG-7", "wants version 1", replies(contains(`"version":9`), 400, "")),
		breaks("RFC8995-5.7-REG-8", "refuses what it does not know", replies(contains("colour"), 400, "")),
		breaks("RFC8995-5.7-REG-9", "answers GET voucher_status", replies(at("GET", "voucher_status"), 200, "")),
		breaks("RFC8995-E6834-REG-1", "refuses reasons", replies(contains("cold"), 400, "")),
		breaks("RFC8995-5.8-REG-1", "asks for no audit-log", func(h *house) { h.noLog = true }, "RFC8995-5.8.3-REG-1"),
		breaks("RFC8995-5.8-REG-2", "asks for the audit-log otherwise", calling(func(r *http.Request) {
			if isLog(r) {
				r.Header.Set("Content-Type", r.Header.Get("Content-Type")+"; charset=utf-8")
			}
		})),
		breaks("RFC8995-5.8-REG-3", "does not go to the audit-log", func(h *house) { h.notThere = true }),
		breaks("RFC8995-5.8-REG-4", "puts for the audit-log", calling(func(r *http.Request) {
			if isLog(r) {
				r.Method = http.MethodPut
			}
		})),
		breaks("RFC8995-5.8.1-REG-1", "wants numbers", ignoring("strings")),
		breaks("RFC8995-5.8.2-REG-1", "does not know itself", func(h *house) {
			h.refusesEnroll = func(q *est.EnrollRequest) bool {
				return strings.HasPrefix(q.Peer.Certificates[0].Subject.SerialNumber, "CONFORMANCE-")
			}
		}),
		breaks("RFC8995-5.8.3-REG-1", "passes over the audit-log", ignoring("log")),
	)
}

func enrollMutations() []mutation {
	enroll := at("POST", "simpleenroll")
	badCSR := match(func(_ *house, _ *http.Request, body []byte) bool {
		der, err := base64.StdEncoding.DecodeString(string(body))
		csr, errCSR := x509.ParseCertificateRequest(der)
		return err == nil && errCSR == nil && csr.CheckSignature() != nil
	})
	return []mutation{
		breaks("RFC8995-5.9-REG-1", "enrolls every device of the manufacturer", rewrites(enroll.and(client(func(_ *house, c *x509.Certificate) bool {
			return c != nil && strings.HasPrefix(c.Subject.SerialNumber, "CONFORMANCE-")
		})), faulty.On(403, faulty.Code(200)))),
		breaks("RFC8995-5.9-REG-2", "enrolls strangers", rewrites(enroll.and(client(stranger)), faulty.Code(200))),
		breaks("RFC8995-5.9-REG-3", "enrolls nobody", replies(enroll.and(field("Content-Type", "application/pkcs10")), 403, ""), "RFC8995-5.8.2-REG-1"),
		breaks("RFC8995-5.9-REG-4", "does not verify CSRs", replies(enroll.and(badCSR), 200, "")),
		breaks("RFC8995-5.9.1-REG-1", "does not send the root", func(h *house) {
			rewrites(at("GET", "cacerts"), faulty.Text(func([]byte) []byte { return []byte(certsOnly(h.t, h.issuing.Certificate)) }))(h)
		}),
		breaks("RFC8995-5.9.2-REG-1", "sends no base64", replies(at("GET", "csrattrs"), 200, "***")),
		breaks("RFC8995-5.9.3-REG-1", "issues by another CA", func(h *house) {
			h.issuesBad = func(q *est.EnrollRequest) bool { return q.Operation == est.OpSimpleEnroll }
		}, "RFC8995-5.9.5-REG-2"),
		breaks("RFC8995-5.9.5-REG-1", "takes members' telemetry for nobody's", replies(at("POST", "enrollstatus").and(client(member)), 403, "")),
		breaks("RFC8995-5.9.5-REG-2", "renews nothing", replies(at("POST", "simplereenroll").and(field("Content-Type", "application/pkcs10")), 403, "")),
	}
}

func certsOnly(t testing.TB, certs ...*x509.Certificate) string {
	var raws [][]byte
	for _, c := range certs {
		raws = append(raws, c.Raw)
	}
	der, err := cms.CertsOnly(raws...)
	if err != nil {
		t.Error(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func formatMutations() []mutation {
	jws, cose := field("Content-Type", voucherjws.MediaType), field("Content-Type", vouchercose.MediaType)
	return []mutation{
		breaks("JWSVOUCHER-3-REG-1", "asks in CMS for everybody", func(h *house) {
			h.format = func(voucher.Format) voucher.Format { return vouchercms.Format{} }
		}, "JWSVOUCHER-4-REG-1", "CBRSKI-9.2-REG-1", "JWSVOUCHER-3.2-REG-3", "JWSVOUCHER-3.2-REG-5"),
		breaks("JWSVOUCHER-3-REG-2", "takes the compact serialization", lenient(jws.and(func(_ *house, _ *http.Request, body []byte) bool { return bytes.HasPrefix(body, []byte("ey")) }))),
		breaks("JWSVOUCHER-3-REG-3", "takes the flattened serialization", lenient(jws.and(func(_ *house, _ *http.Request, body []byte) bool {
			return body[0] == '{' && !bytes.Contains(body, []byte(`"signatures"`))
		}))),
		breaks("JWSVOUCHER-3.2-REG-1", "does not verify headers", lenient(jws.and(protected("{ ")))),
		breaks("JWSVOUCHER-3.2-REG-2", "takes none", lenient(jws.and(protected(`"none"`)))),
		breaks("JWSVOUCHER-4-REG-1", "answers JWS with text", rewrites(voucherRequest().and(jws), faulty.On(200, faulty.Header("Content-Type", "text/plain")))),
		breaks("CBRSKI-9.2-REG-1", "leaves the issuer out of COSE", changed(func(r *voucher.Request, q *brski.VoucherRequest) {
			if q.Format.MediaType() == vouchercose.MediaType {
				r.IDevIDIssuer = nil
			}
		})),
		breaks("CBRSKI-9.2-REG-2", "does not verify COSE", lenient(cose.and(func(_ *house, _ *http.Request, body []byte) bool {
			_, _, err := vouchercose.Format{}.OpenRequest(body)
			return err != nil
		}))),
	}
}
