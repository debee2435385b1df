package responder_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/responder"
	"golang.org/x/crypto/ocsp"
)

func good() responder.Status { return responder.Status{Issued: true} }

func revoked(at time.Time, reason int) responder.Status {
	return responder.Status{Issued: true, Revoked: true, At: at, Reason: reason}
}

// EST-6960-4.2.2.1-01, EST-5019-2.2-01: the times of an answer are those of the look at the record,
// it says when the next one comes, and it is never about a time before a revocation that was made.
func TestAnAnswerTellsWhatIsOnRecordNow(t *testing.T) {
	h := newHouse(t)
	cert := h.ca.device(t, 7)
	h.set(7, good())
	r := h.ask(cert)
	if r.Status != ocsp.Good || !r.ThisUpdate.Equal(start()) || !r.ProducedAt.Equal(start()) || !r.NextUpdate.Equal(start().Add(time.Hour)) {
		t.Errorf("answer = %d, %s to %s, produced at %s", r.Status, r.ThisUpdate, r.NextUpdate, r.ProducedAt)
	}
	h.advance(time.Minute)
	for reason := range 11 {
		if reason == 7 || reason == 8 {
			continue
		}
		h.set(7, revoked(h.now(), reason))
		r = h.ask(cert)
		if r.Status != ocsp.Revoked || !r.RevokedAt.Equal(h.now()) || r.RevocationReason != reason || r.ThisUpdate.Before(r.RevokedAt) {
			t.Errorf("after a revocation for reason %d: %d, at %s, reason %d, as of %s", reason, r.Status, r.RevokedAt, r.RevocationReason, r.ThisUpdate)
		}
	}
	h.set(7, good()) // released
	if r = h.ask(cert); r.Status != ocsp.Good {
		t.Errorf("after the release: %d", r.Status)
	}
}

// EST-6960-2.2-02: a serial number that was never issued is not good.
func TestASerialNumberThatWasNeverIssuedIsNotGood(t *testing.T) {
	h := newHouse(t)
	r := h.ask(h.ca.device(t, 99))
	if r.Status != ocsp.Unknown {
		t.Errorf("status = %d, want unknown", r.Status)
	}
	if r.NextUpdate.Sub(r.ThisUpdate) > time.Minute {
		t.Errorf("it counts for %s: it may be issued meanwhile", r.NextUpdate.Sub(r.ThisUpdate))
	}
	h.set(99, good())
	if r := h.ask(h.ca.device(t, 99)); r.Status != ocsp.Good {
		t.Errorf("once it is issued: %d", r.Status)
	}
}

// EST-6960-2.2-01, EST-6960-4.2.2.2-01: answers are signed by a responder whose certificate the CA's own
// key issued for OCSP, and who is not to be asked about itself.
func TestTheResponderIsDelegatedByTheCA(t *testing.T) {
	h := newHouse(t)
	h.set(7, good())
	c := h.ask(h.ca.device(t, 7)).Certificate
	if c == nil {
		t.Fatal("the answer has no certificate")
	}
	if err := c.CheckSignatureFrom(h.ca.cert); err != nil {
		t.Errorf("issued by another: %v", err)
	}
	if !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
		t.Errorf("extended key usage %v", c.ExtKeyUsage)
	}
	if !slices.ContainsFunc(c.Extensions, func(e pkixExtension) bool { return e.Id.Equal(nocheck.Id) }) {
		t.Error("no id-pkix-ocsp-nocheck")
	}
	if h.certified != 1 {
		t.Errorf("%d certificates were issued, want 1", h.certified)
	}
}

// A certificate that clients would refuse is never used: they are told to try later.
func TestAResponderThatClientsWouldRefuseAnswersNobody(t *testing.T) {
	for name, delegate := range map[string]func(h *house) func(c *x509.Certificate) *authority{
		"without OCSPSigning": func(h *house) func(c *x509.Certificate) *authority {
			return func(c *x509.Certificate) *authority { c.ExtKeyUsage = nil; return h.ca }
		},
		"of another CA": func(h *house) func(c *x509.Certificate) *authority {
			other := newAuthority(t, "other CA")
			return func(*x509.Certificate) *authority { return other }
		},
		"expired": func(h *house) func(c *x509.Certificate) *authority {
			return func(c *x509.Certificate) *authority { c.NotAfter = start().Add(-time.Minute); return h.ca }
		},
	} {
		h := newHouse(t)
		h.set(7, good())
		h.delegate = delegate(h)
		r := h.post(h.request(7))
		if got := errorStatus(body(t, r)); got != ocsp.TryLater || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %v, Retry-After %q", name, got, r.Header.Get("Retry-After"))
		}
		h.delegate = nil
		h.advance(11 * time.Second)
		if r := h.ask(h.ca.device(t, 7)); r.Status != ocsp.Good {
			t.Errorf("%s: once that is repaired: %d", name, r.Status)
		}
	}
}

// The responder's certificate is renewed by itself, while the old one is still good.
func TestTheResponderRenewsItsCertificate(t *testing.T) {
	h := newHouse(t)
	h.set(7, good())
	cert := h.ca.device(t, 7)
	first := h.ask(cert).Certificate
	h.advance(21 * 24 * time.Hour)
	h.mu.Lock()
	h.blocked = make(chan struct{})
	h.mu.Unlock()
	if r := h.ask(cert); !bytes.Equal(r.Certificate.Raw, first.Raw) { // while the new one is being made
		t.Error("the old certificate does not answer any more")
	}
	close(h.blocked)
	h.responder.Close()
	h.advance(time.Hour)
	r := h.ask(cert)
	if bytes.Equal(r.Certificate.Raw, first.Raw) || h.certified != 2 {
		t.Errorf("the certificate was not renewed: %d issued", h.certified)
	}
	h.advance(40 * 24 * time.Hour) // long asleep
	if r := h.ask(cert); h.now().After(r.Certificate.NotAfter) {
		t.Error("an expired responder answered")
	}
}

// When the CA does not renew it, the old certificate answers to its end, and no answer counts longer.
func TestNoAnswerOutlivesItsResponder(t *testing.T) {
	h := newHouse(t)
	h.set(7, good())
	cert := h.ca.device(t, 7)
	end := h.ask(cert).Certificate.NotAfter
	h.mu.Lock()
	h.delegate = func(c *x509.Certificate) *authority { c.ExtKeyUsage = nil; return h.ca }
	h.at = end.Add(-10 * time.Minute)
	h.mu.Unlock()
	if r := h.ask(cert); r.NextUpdate.After(end) {
		t.Errorf("the answer counts to %s, its signer's certificate to %s", r.NextUpdate, end)
	}
	h.responder.Close()
	h.advance(10 * time.Minute)
	if got := errorStatus(body(t, h.post(h.request(7)))); got != ocsp.TryLater {
		t.Errorf("after its end: %v", got)
	}
}

// Answers are signed once while nothing changes, and a revocation is in the very next one.
func TestAnAnswerIsUsedAgainWhileItIsTrue(t *testing.T) {
	h := newHouse(t)
	h.set(7, good())
	first := body(t, h.post(h.request(7)))
	h.advance(29 * time.Minute)
	if again := body(t, h.post(h.request(7))); !bytes.Equal(first, again) {
		t.Error("the answer was signed again")
	}
	if sha256 := body(t, h.post(h.requestBy(crypto.SHA256, 7))); bytes.Equal(first, sha256) {
		t.Error("a question by SHA-256 got the answer to one by SHA-1")
	}
	h.set(7, revoked(h.now(), 1))
	if r := h.ask(h.ca.device(t, 7)); r.Status != ocsp.Revoked {
		t.Error("the answer after the revocation is the old one")
	}
	h.set(7, good())
	h.advance(2 * time.Minute)
	if again := body(t, h.post(h.request(7))); bytes.Equal(first, again) {
		t.Error("an answer past half of its life is given out")
	}
}

func TestFewAnswersAreKept(t *testing.T) {
	h := newHouse(t, func(c *responder.Config) { c.Answers = 4 })
	for n := range int64(100) {
		h.set(n+1, good())
		first := body(t, h.post(h.request(n+1)))
		if !bytes.Equal(first, body(t, h.post(h.request(n+1)))) {
			t.Fatalf("certificate %d: the newest answer is not kept", n+1)
		}
	}
}

// RFC 6960, Section 2.3: what the record does not say is not guessed.
func TestWithoutTheRecordNobodyIsAnswered(t *testing.T) {
	h := newHouse(t)
	h.set(7, good())
	h.ask(h.ca.device(t, 7))
	h.broken = errors.New("disk")
	if got := errorStatus(body(t, h.post(h.request(7)))); got != ocsp.TryLater {
		t.Errorf("status = %v, want tryLater, although an answer is kept", got)
	}
}

func TestHeadAndOtherMethods(t *testing.T) {
	h := newHouse(t)
	for method, want := range map[string]int{http.MethodPut: 405, http.MethodDelete: 405} {
		for _, path := range []string{"/ocsp", "/crl/x/1/0.crl", "/ca/x.cer"} {
			if r := h.do(httptest.NewRequest(method, path, nil)); r.StatusCode != want || r.Header.Get("Allow") == "" {
				t.Errorf("%s %s = %d, Allow %q", method, path, r.StatusCode, r.Header.Get("Allow"))
			}
		}
	}
}
