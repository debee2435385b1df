package cmpca_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/internal/cmp"
	"github.com/briskest/briskest/internal/testpki"
)

// verdict is what the port says of an answer.
type verdict string

const (
	lost        verdict = "ErrUnavailable, to be asked again" // an answer that may be anybody's
	unavailable verdict = "ErrUnavailable"
	rejected    verdict = "ErrRejected"
	mismatch    verdict = "ErrMismatch"
	revoke      verdict = "Mismatch with a certificate to revoke"
	pending     verdict = "ErrPending"
	issued      verdict = "a certificate"
)

func verdictOf(c *ca.Certificate, err error) verdict {
	var later *ca.Later
	var wrong *ca.Mismatch
	isLater := errors.As(err, &later)
	switch {
	case err == nil && c != nil:
		return issued
	case c != nil:
		return "a certificate beside an error"
	case errors.As(err, &wrong) && len(wrong.Raw) > 0 && !isLater:
		return revoke
	case errors.Is(err, ca.ErrMismatch) && !isLater:
		return mismatch
	case errors.Is(err, ca.ErrPending) && isLater:
		return pending
	case errors.Is(err, ca.ErrUnavailable) && isLater:
		return lost
	case errors.Is(err, ca.ErrUnavailable):
		return unavailable
	case errors.Is(err, ca.ErrRejected):
		return rejected
	}
	return "another error"
}

// hostile is one CA that lies, or somebody between it and us.
type hostile struct {
	name string
	want verdict
	rig  func(h *house)
}

// header changes the header of each answer.
func header(f func(h *cmp.Header)) func(*house) {
	return func(h *house) {
		h.ca.Reply = func(_ *cmp.Message, r *catest.CMPReply) { f(&r.Header) }
	}
}

// body replaces the answer to messages of one kind.
func body(kind cmp.Kind, f func(h *house, asked *cmp.Message, r *catest.CMPReply)) func(*house) {
	return func(h *house) {
		h.ca.Reply = func(asked *cmp.Message, r *catest.CMPReply) {
			if asked.Kind == kind {
				f(h, asked, r)
			}
		}
	}
}

// response answers a p10cr.
func response(f func(h *house, c *cmp.CertResponse)) func(*house) {
	return body(cmp.P10CR, func(h *house, asked *cmp.Message, r *catest.CMPReply) {
		signed := h.ca.Signed()
		c := cmp.CertResponse{RequestID: -1, Certificate: signed[len(signed)-1]}
		f(h, &c)
		r.Body = cmp.NewCertRep(cmp.CP, &cmp.CertRep{Responses: []cmp.CertResponse{c}})
	})
}

// failing answers a kind with an error message.
func failing(kind cmp.Kind, s cmp.Status, f cmp.Failure, text string) func(*house) {
	return body(kind, func(_ *house, _ *cmp.Message, r *catest.CMPReply) {
		r.Body = cmp.NewError(&cmp.ErrorContent{StatusInfo: cmp.StatusInfo{Status: s, Failure: f, Text: []string{text}}})
	})
}

// unprotected removes the protection of the answers to a kind.
func unprotected(kind cmp.Kind, before func(*house)) func(*house) {
	return func(h *house) {
		before(h)
		inner := h.ca.Reply
		h.ca.Reply = func(asked *cmp.Message, r *catest.CMPReply) {
			if inner != nil {
				inner(asked, r)
			}
			if asked.Kind == kind {
				r.Protection = nil
			}
		}
	}
}

// signedBy signs answers with somebody else's key and certificate.
func signedBy(identity func(h *house) *testpki.Identity, sender []byte) func(*house) {
	return func(h *house) {
		id := identity(h)
		h.ca.Reply = func(_ *cmp.Message, r *catest.CMPReply) {
			r.Protection, r.ExtraCerts = &cmp.Signature{Key: id.Key}, [][]byte{id.Certificate.Raw}
			for _, above := range id.Chain {
				r.ExtraCerts = append(r.ExtraCerts, above.Raw)
			}
			r.Header.Sender = cmp.DirectoryName(id.Certificate.RawSubject)
			if sender != nil {
				r.Header.Sender = cmp.DirectoryName(sender)
			}
		}
	}
}

// below issues a certificate under the CA itself.
func below(template *x509.Certificate) func(h *house) *testpki.Identity {
	return func(h *house) *testpki.Identity {
		above := &testpki.Identity{Certificate: h.ca.Issuing, Key: h.ca.Key}
		template.Subject.CommonName += " (below the CA)"
		return above.Issue(h.t, template, testpki.NewKey(h.t))
	}
}

func elsewhere(h *house) *testpki.Identity {
	return testpki.NewRoot(h.t, "somebody's root").Issue(h.t, cmcCA("CMP server"), testpki.NewKey(h.t))
}

func cmcCA(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 27}},
	}
}

func nothing(*house) {}

func hostiles() []hostile {
	past := cmcCA("expired")
	past.NotBefore, past.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour)
	encipher := cmcCA("no digitalSignature")
	encipher.KeyUsage = x509.KeyUsageKeyAgreement
	name, err := asn1.Marshal(pkix.Name{CommonName: "CMP server"}.ToRDNSequence())
	if err != nil {
		panic(err)
	}
	return []hostile{
		{"the truth", issued, nothing},
		{"another recipNonce", lost, header(func(h *cmp.Header) { h.RecipientNonce = make([]byte, 16) })},
		{"no recipNonce", lost, header(func(h *cmp.Header) { h.RecipientNonce = nil })},
		{"no senderNonce", lost, header(func(h *cmp.Header) { h.SenderNonce = nil })},
		{"another transactionID", lost, header(func(h *cmp.Header) { h.TransactionID = make([]byte, 16) })},
		{"no transactionID", lost, header(func(h *cmp.Header) { h.TransactionID = nil })},
		{"a messageTime of yesterday", lost, header(func(h *cmp.Header) { h.Time = h.Time.AddDate(0, 0, -1) })},
		{"no messageTime", issued, header(func(h *cmp.Header) { h.Time = time.Time{} })},
		{"another recipient", lost, header(func(h *cmp.Header) { h.Recipient = cmp.DirectoryName(name) })},
		{"a sender that is not the signer", lost, header(func(h *cmp.Header) { h.Sender = cmp.DirectoryName([]byte{0x30, 0}) })},
		{"a senderKID of another key", lost, func(h *house) {
			id := below(&x509.Certificate{SubjectKeyId: []byte("one key"), UnknownExtKeyUsage: cmcCA("").UnknownExtKeyUsage})(h)
			signedBy(func(*house) *testpki.Identity { return id }, nil)(h)
			inner := h.ca.Reply
			h.ca.Reply = func(m *cmp.Message, r *catest.CMPReply) { inner(m, r); r.Header.SenderKID = []byte("other") }
		}},
		{"no protection", lost, unprotected(cmp.P10CR, nothing)},
		{"signed below another root", lost, signedBy(elsewhere, nil)},
		{"signed below another root in the name of the CA", lost, signedBy(elsewhere, name)},
		{"signed by a device of the same CA", lost, signedBy(below(&x509.Certificate{Subject: pkix.Name{CommonName: "device"}}), nil)},
		{"signed by a device in the name of the CA's server", lost, signedBy(below(&x509.Certificate{Subject: pkix.Name{CommonName: "device"}}), name)},
		{"signed by an expired certificate", lost, signedBy(below(past), nil)},
		{"signed by a key that may not sign", lost, signedBy(below(encipher), nil)},
		{"signed by another certificate with id-kp-cmcCA", issued, signedBy(below(cmcCA("second server")), nil)},
		{"32 certificates in extraCerts", issued, func(h *house) {
			h.ca.Reply = func(_ *cmp.Message, r *catest.CMPReply) {
				for len(r.ExtraCerts) < 32 {
					r.ExtraCerts = append(r.ExtraCerts, h.ca.Issuing.Raw)
				}
			}
		}},
		{"a MAC where a signature is due", lost, func(h *house) {
			h.ca.Reply = func(_ *cmp.Message, r *catest.CMPReply) {
				r.Protection = &cmp.MAC{Secret: []byte("guess"), Iterations: 1}
			}
		}},
		{"another secret", lost, func(h *house) {
			h.byMAC(false)
			h.ca.Reply = func(_ *cmp.Message, r *catest.CMPReply) {
				r.Protection = &cmp.MAC{Secret: []byte("guess"), Iterations: 1}
			}
		}},
		{"a signature where a MAC is due", lost, func(h *house) {
			h.byMAC(false)
			h.ca.Reply = func(_ *cmp.Message, r *catest.CMPReply) { r.Protection = &cmp.Signature{Key: h.ca.SignerKey} }
		}},
		{"a certReqId of another request", revoke, response(func(_ *house, c *cmp.CertResponse) { c.RequestID = 1 })},
		{"certReqId 0 for a PKCS #10 request", issued, func(h *house) { h.ca.P10CRID = 0 }},
		{"accepted without a certificate", mismatch, response(func(_ *house, c *cmp.CertResponse) { c.Certificate = nil })},
		{"grantedWithMods, and nothing of ours changed", issued, response(func(_ *house, c *cmp.CertResponse) { c.StatusInfo.Status = cmp.GrantedWithMods })},
		{"grantedWithMods, the modification being the name", revoke, func(h *house) {
			h.ca.Fail(catest.WrongNames)
			response(func(_ *house, c *cmp.CertResponse) { c.StatusInfo.Status = cmp.GrantedWithMods })(h)
		}},
		{"waiting with a certificate", revoke, response(func(_ *house, c *cmp.CertResponse) { c.StatusInfo.Status = cmp.Waiting })},
		{"rejected with a certificate", revoke, response(func(_ *house, c *cmp.CertResponse) { c.StatusInfo.Status = cmp.Rejection })},
		{"keyUpdateWarning", revoke, response(func(_ *house, c *cmp.CertResponse) { c.StatusInfo.Status = cmp.KeyUpdateWarning })},
		{"status 9", mismatch, response(func(_ *house, c *cmp.CertResponse) { c.StatusInfo.Status, c.Certificate = 9, nil })},
		{"bytes for a certificate", mismatch, response(func(_ *house, c *cmp.CertResponse) { c.Certificate = []byte{0x30, 0} })},
		{"an ip for a p10cr", mismatch, body(cmp.P10CR, func(h *house, _ *cmp.Message, r *catest.CMPReply) {
			r.Body = cmp.NewCertRep(cmp.IP, &cmp.CertRep{})
		})},
		{"a cp without an answer", mismatch, body(cmp.P10CR, func(h *house, _ *cmp.Message, r *catest.CMPReply) {
			r.Body = cmp.NewCertRep(cmp.CP, &cmp.CertRep{})
		})},
		{"a pkiconf for a p10cr", mismatch, body(cmp.P10CR, func(h *house, _ *cmp.Message, r *catest.CMPReply) { r.Body = cmp.NewPKIConf() })},
		{"a pollRep for a p10cr", mismatch, body(cmp.P10CR, func(h *house, _ *cmp.Message, r *catest.CMPReply) {
			r.Body = cmp.NewPollRep(cmp.Poll{RequestID: -1})
		})},
		{"caPubs of a root that issued the certificate", revoke, body(cmp.P10CR, func(h *house, asked *cmp.Message, r *catest.CMPReply) {
			h.t.Helper()
			root, csr := testpki.NewRoot(h.t, "trust me"), mustCSR(h.t, asked.Body)
			leaf := selfMade(h.t, root, csr)
			r.Body = cmp.NewCertRep(cmp.CP, &cmp.CertRep{
				CAPubs: [][]byte{root.Certificate.Raw}, Responses: []cmp.CertResponse{{RequestID: -1, Certificate: leaf}},
			})
			r.ExtraCerts = append(r.ExtraCerts, root.Certificate.Raw)
		})},
		{"two answers to one request", revoke, body(cmp.P10CR, func(h *house, _ *cmp.Message, r *catest.CMPReply) {
			one := cmp.CertResponse{RequestID: -1, Certificate: h.ca.Signed()[0]}
			r.Body = cmp.NewCertRep(cmp.CP, &cmp.CertRep{Responses: []cmp.CertResponse{one, one}})
		})},
		{"waiting for ever", pending, func(h *house) { h.ca.Fail(catest.Waits) }},
		{"waiting for ever by error messages", pending, body(cmp.P10CR, func(_ *house, _ *cmp.Message, r *catest.CMPReply) {
			r.Body = cmp.NewError(&cmp.ErrorContent{StatusInfo: cmp.StatusInfo{Status: cmp.Waiting}})
		})},
		{"a wait of 250 years", pending, func(h *house) {
			h.ca.Fail(catest.Waits)
			body(cmp.PollReq, func(_ *house, _ *cmp.Message, r *catest.CMPReply) {
				r.Body = cmp.NewPollRep(cmp.Poll{RequestID: -1, After: 250 * 365 * 24 * time.Hour})
			})(h)
		}},
		{"a pollRep about another request", mismatch, func(h *house) {
			h.ca.Fail(catest.Waits)
			body(cmp.PollReq, func(_ *house, _ *cmp.Message, r *catest.CMPReply) { r.Body = cmp.NewPollRep(cmp.Poll{RequestID: 7}) })(h)
		}},
		{"a transaction that is forgotten while it is polled", unavailable, func(h *house) {
			h.ca.Fail(catest.Waits)
			failing(cmp.PollReq, cmp.Rejection, cmp.BadRequest, "which transaction?")(h)
		}},
		{"systemUnavail", unavailable, failing(cmp.P10CR, cmp.Rejection, cmp.SystemUnavail, "come back")},
		{"signerNotTrusted", unavailable, failing(cmp.P10CR, cmp.Rejection, cmp.SignerNotTrusted, "who?")},
		{"badRequest", rejected, failing(cmp.P10CR, cmp.Rejection, cmp.BadRequest, "no")},
		{"badPOP and systemFailure", unavailable, failing(cmp.P10CR, cmp.Rejection, cmp.BadPOP|cmp.SystemFailure, "no")},
		{"an error of status accepted", mismatch, failing(cmp.P10CR, cmp.Accepted, 0, "fine")},
		{"an error without protection", lost, unprotected(cmp.P10CR, failing(cmp.P10CR, cmp.Rejection, cmp.BadRequest, "no"))},
		{"an error without protection, where they are taken", rejected, func(h *house) {
			h.settings.AllowUnprotectedErrors = true
			unprotected(cmp.P10CR, failing(cmp.P10CR, cmp.Rejection, cmp.BadRequest, "no"))(h)
		}},
		{"no protection, where such errors are taken", lost, func(h *house) {
			h.settings.AllowUnprotectedErrors = true
			unprotected(cmp.P10CR, nothing)(h)
		}},
		{"an error of another transaction without protection, where they are taken", lost, func(h *house) {
			h.settings.AllowUnprotectedErrors = true
			unprotected(cmp.P10CR, failing(cmp.P10CR, cmp.Rejection, cmp.BadRequest, "no"))(h)
			inner := h.ca.Reply
			h.ca.Reply = func(m *cmp.Message, r *catest.CMPReply) { inner(m, r); r.Header.TransactionID = make([]byte, 16) }
		}},
		{"a pkiconf without protection", lost, unprotected(cmp.CertConf, nothing)},
		{"a confirmation refused", revoke, failing(cmp.CertConf, cmp.Rejection, cmp.BadCertID, "which?")},
		{"a confirmation that came too early", lost, failing(cmp.CertConf, cmp.Rejection, cmp.SystemUnavail, "busy")},
		{"a cp for a certConf", revoke, body(cmp.CertConf, func(_ *house, _ *cmp.Message, r *catest.CMPReply) {
			r.Body = cmp.NewCertRep(cmp.CP, &cmp.CertRep{})
		})},
		{"implicitConfirm that nobody asked for", issued, func(h *house) {
			header(func(h *cmp.Header) { h.Infos = append(h.Infos, cmp.ImplicitConfirm()) })(h)
		}},
		{"the question sent back", lost, func(h *house) {
			h.ca.Reply = func(asked *cmp.Message, r *catest.CMPReply) {
				r.Body, r.Protection, r.ExtraCerts = cmp.NewP10CR(asked.Body), &cmp.Signature{Key: h.raKey}, [][]byte{h.ca.RA.Raw}
				r.Header = asked.Header
			}
		}},
		{"a message of a MB", lost, func(h *house) {
			h.ca.Reply = func(_ *cmp.Message, r *catest.CMPReply) { r.Bytes = bytes.Repeat([]byte{0x30, 0x80}, 1<<19) }
		}},
	}
}

func mustCSR(t testing.TB, der []byte) *x509.CertificateRequest {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

// selfMade is what was asked for, from another root.
func selfMade(t testing.TB, root *testpki.Identity, csr *x509.CertificateRequest) []byte {
	der, err := x509.CreateCertificate(nil, &x509.Certificate{
		SerialNumber: big.NewInt(77), RawSubject: csr.RawSubject, DNSNames: csr.DNSNames,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, root.Certificate, csr.PublicKey, root.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Every lie of a CA, or of whoever is between, has its error of the port. What may be anybody's is asked again and ends well
// when the lie ends; what the CA itself signed wrongly is put on record.
func TestEveryHostileCAIsRefused(t *testing.T) {
	for _, c := range hostiles() {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			c.rig(h)
			issuer := h.issuer()
			r := h.request("one")
			cert, err := issuer.Issue(t.Context(), r)
			if got := verdictOf(cert, err); got != c.want {
				t.Fatalf("Issue = %v, %v; that is %s, want %s", cert, err, got, c.want)
			}
			t.Logf("%s: %v", c.want, err)
			if err != nil && strings.ContainsFunc(err.Error(), func(c rune) bool { return c < ' ' || c > '~' }) {
				t.Errorf("the error has unprintable characters: %q", err)
			}
			var later *ca.Later
			if !errors.As(err, &later) || c.want == pending {
				return
			}
			h.ca.Reply = nil
			cert, err = issuer.Issue(t.Context(), h.again(r, later.State))
			if got := verdictOf(cert, err); got != issued {
				t.Errorf("once it is over, Issue = %v, %v", cert, err)
			}
		})
	}
}

func TestAWaitIsBounded(t *testing.T) {
	for _, c := range hostiles() {
		if c.want != pending {
			continue
		}
		h := newHouse(t)
		c.rig(h)
		_, err := h.issuer().Issue(t.Context(), h.request("one"))
		var later *ca.Later
		if !errors.As(err, &later) || later.After < 0 || later.After > 24*time.Hour {
			t.Errorf("%s: %v, come again in %s", c.name, err, later.After)
		}
	}
}

func TestWhatTheCASaysIsFitForALog(t *testing.T) {
	h := newHouse(t)
	failing(cmp.P10CR, cmp.Rejection, cmp.BadRequest, "no\x1b[31m\nlevel=ERROR \u202e"+strings.Repeat("x", 4000))(h)
	_, err := h.issuer().Issue(t.Context(), h.request("one"))
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\n\u202e") || len(err.Error()) > 500 || !strings.Contains(err.Error(), "badRequest") {
		t.Errorf("Issue = %q", err)
	}
}

// RFC 9811, Section 3: what is no CMP is no word of the CA's about a request.
func TestHTTPAnswersThatAreNoCMP(t *testing.T) {
	for name, c := range map[string]struct {
		want   verdict
		answer http.HandlerFunc
	}{
		"an HTML page": {lost, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }},
		"404":          {unavailable, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }},
		"a redirection": {unavailable, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}},
		"503":                {lost, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }},
		"403":                {unavailable, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }},
		"200 and no content": {lost, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "application/pkixcmp") }},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			h := newHouse(t)
			h.settings.URL = server.URL
			cert, err := h.issuer().Issue(t.Context(), h.request("one"))
			if got := verdictOf(cert, err); got != c.want {
				t.Errorf("Issue = %v, %v; that is %s, want %s", cert, err, got, c.want)
			}
		})
	}
}

// A CA that nobody reaches any more does not end an issuance that may have been signed.
func TestARepetitionThatDoesNotArriveIsAskedAgain(t *testing.T) {
	for _, first := range []catest.Fault{catest.AnswerLost, catest.Waits} {
		h := newHouse(t)
		issuer := h.issuer()
		r := h.request("one")
		h.ca.Fail(first)
		_, err := issuer.Issue(t.Context(), r)
		var later *ca.Later
		if !errors.As(err, &later) {
			t.Fatalf("the CA %s: Issue = %v, want a Later", first, err)
		}
		h.ca.Fail(catest.Down)
		if _, err = issuer.Issue(t.Context(), h.again(r, later.State)); verdictOf(nil, err) != lost {
			t.Errorf("the CA %s, then is down: Issue = %v, want %s", first, err, lost)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err = issuer.Issue(ctx, h.again(r, later.State)); err == nil {
			t.Errorf("the CA %s: Issue after the end = nil", first)
		}
	}
}
