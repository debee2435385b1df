package catest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
)

// Fixture is one issuer under test.
type Fixture struct {
	Issuer ca.Issuer
	// Profile is one that takes a common name "device-N" and a DNS name
	// "device-N.example.com" with a P-256 key.
	Profile string
	// Signer is the CA's key, when the issuer signs with one here; nil
	// otherwise.
	Signer *Signer
	// Break changes a good request into one that the profile refuses for its
	// names.
	Break func(r *ca.Request)
}

// NewIssuer makes a fresh fixture.
type NewIssuer func(t *testing.T) Fixture

// TestIssuer checks everything that the comments of ca.Issuer promise.
func TestIssuer(t *testing.T, newIssuer NewIssuer) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, f *harness)
	}{
		{"A certificate says what was decided and chains to the root", testContent},
		{"Record is called once, before the signer, with what is then signed", testRecordOnce},
		{"When Record fails nothing is signed and its error comes back", testRecordFails},
		{"When the signer fails the intent stays without a certificate", testSignerFails},
		{"A cancelled context issues nothing", testCancelled},
		{"An unknown profile is refused by name before Record", testUnknownProfile},
		{"Names outside the profile are refused before Record", testOutsideNames},
		{"A validity is never longer than the profile's", testValidity},
		{"Many at once get certificates of their own", testConcurrent},
		{"The CSR decides no names", testCSRDecidesNothing},
		{"The chain ends in a self-signed root", testChain},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.run(t, &harness{Fixture: newIssuer(t), t: t})
		})
	}
}

// harness keeps what Record was told.
type harness struct {
	Fixture
	t *testing.T

	mu      sync.Mutex
	intents []*ca.Intent // guarded by mu
}

// request is the n-th good one.
func (h *harness) request(n int) *ca.Request {
	h.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	name := fmt.Sprintf("device-%d", n)
	subject := pkix.Name{CommonName: name}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject, DNSNames: []string{name + ".example.com"}}, key)
	if err != nil {
		h.t.Fatal(err)
	}
	return &ca.Request{
		ID: fmt.Sprintf("request-%d", n), Profile: h.Profile, PublicKey: key.Public(), Subject: subject.ToRDNSequence(),
		Names: ca.Names{DNS: []string{name + ".example.com"}}, CSR: csr, Record: h.recorder(h.keep),
	}
}

func (h *harness) recorder(next func(context.Context, *ca.Intent) error) func(context.Context, *ca.Intent) error {
	if h.Signer == nil {
		return next
	}
	return h.Signer.Recorder(next)
}

func (h *harness) keep(_ context.Context, in *ca.Intent) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.intents = append(h.intents, in)
	return nil
}

func (h *harness) recorded() []*ca.Intent {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*ca.Intent(nil), h.intents...)
}

// issue issues a good request and parses what comes back.
func (h *harness) issue(r *ca.Request) (*ca.Certificate, *x509.Certificate) {
	h.t.Helper()
	c, err := h.Issuer.Issue(h.t.Context(), r)
	if err != nil {
		h.t.Fatalf("Issue(%s): %v", r.ID, err)
	}
	parsed, err := x509.ParseCertificate(c.Raw)
	if err != nil {
		h.t.Fatalf("Issue(%s) returned what is no certificate: %v", r.ID, err)
	}
	return c, parsed
}

// noneRecorded fails when anything was recorded or signed.
func (h *harness) noneRecorded() {
	h.t.Helper()
	if n := len(h.recorded()); n != 0 {
		h.t.Errorf("%d intents on record, want none", n)
	}
	if h.Signer != nil && h.Signer.Calls() != 0 {
		h.t.Errorf("the signer was called %d times, want never", h.Signer.Calls())
	}
}

func testContent(t *testing.T, h *harness) {
	r := h.request(1)
	c, parsed := h.issue(r)
	if !parsed.PublicKey.(*ecdsa.PublicKey).Equal(r.PublicKey) {
		t.Error("the certificate has another key than was asked for")
	}
	var subject pkix.RDNSequence
	if _, err := asn1.Unmarshal(parsed.RawSubject, &subject); err != nil || subject.String() != r.Subject.String() {
		t.Errorf("subject = %s, %v, want %s", subject, err, r.Subject)
	}
	if len(parsed.DNSNames) != 1 || parsed.DNSNames[0] != r.Names.DNS[0] || len(parsed.IPAddresses)+len(parsed.URIs)+len(parsed.EmailAddresses) != 0 {
		t.Errorf("names = %q %v, want %q alone", parsed.DNSNames, parsed.IPAddresses, r.Names.DNS)
	}
	if parsed.IsCA {
		t.Error("the certificate is a CA's")
	}
	if !bytes.Equal(parsed.SerialNumber.Bytes(), c.Serial) || parsed.SerialNumber.Sign() != 1 || len(c.Serial) > 20 {
		t.Errorf("serial = %x, certificate's %x; want the same, positive, at most 20 bytes (RFC 5280, Section 4.1.2.2)", c.Serial, parsed.SerialNumber)
	}
	if !parsed.NotBefore.Equal(c.NotBefore) || !parsed.NotAfter.Equal(c.NotAfter) {
		t.Errorf("validity = %s to %s, certificate's %s to %s", c.NotBefore, c.NotAfter, parsed.NotBefore, parsed.NotAfter)
	}
	if c.Profile != h.Profile || c.Version == "" {
		t.Errorf("profile = %q version %q, want %q and a version", c.Profile, c.Version, h.Profile)
	}
	roots, above := x509.NewCertPool(), x509.NewCertPool()
	chain, err := h.Issuer.Chain(t.Context())
	if err != nil {
		t.Fatalf("Chain: %v", err)
	}
	roots.AddCert(chain[len(chain)-1])
	for _, one := range chain[:len(chain)-1] {
		above.AddCert(one)
	}
	_, err = parsed.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: above, CurrentTime: parsed.NotBefore.Add(time.Hour), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		t.Errorf("the certificate does not verify: %v", err)
	}
}

func testRecordOnce(t *testing.T, h *harness) {
	r := h.request(1)
	c, parsed := h.issue(r)
	intents := h.recorded()
	if len(intents) != 1 {
		t.Fatalf("Record was called %d times, want once", len(intents))
	}
	in := intents[0]
	if in.KeyHash != sha256.Sum256(parsed.RawSubjectPublicKeyInfo) {
		t.Error("the intent's KeyHash is not that of the certificate's key")
	}
	if in.Profile != c.Profile || in.Version != c.Version {
		t.Errorf("intent has profile %q %q, certificate %q %q", in.Profile, in.Version, c.Profile, c.Version)
	}
	if in.Serial == nil { // another CA builds the certificate
		if in.TBSHash != sha256.Sum256(r.CSR) {
			t.Error("an intent without a serial number needs the hash of the CSR")
		}
		return
	}
	if !bytes.Equal(in.Serial, c.Serial) {
		t.Errorf("intent's serial = %x, certificate's %x", in.Serial, c.Serial)
	}
	if in.TBSHash != sha256.Sum256(parsed.RawTBSCertificate) {
		t.Error("the intent's TBSHash is not that of the certificate")
	}
	if !in.NotBefore.Equal(c.NotBefore) || !in.NotAfter.Equal(c.NotAfter) {
		t.Errorf("intent's validity = %s to %s, certificate's %s to %s", in.NotBefore, in.NotAfter, c.NotBefore, c.NotAfter)
	}
}

func testRecordFails(t *testing.T, h *harness) {
	r := h.request(1)
	full := errors.New("disk full")
	r.Record = h.recorder(func(context.Context, *ca.Intent) error { return full })
	c, err := h.Issuer.Issue(t.Context(), r)
	if !errors.Is(err, full) || c != nil {
		t.Errorf("Issue = %v, %v, want Record's error and no certificate", c, err)
	}
	h.noneRecorded()
}

func testSignerFails(t *testing.T, h *harness) {
	if h.Signer == nil {
		t.Log("this issuer has no signer here")
		return
	}
	h.Signer.Fail(errors.New("token gone"))
	c, err := h.Issuer.Issue(t.Context(), h.request(1))
	if !errors.Is(err, ca.ErrUnavailable) || c != nil {
		t.Errorf("Issue = %v, %v, want ErrUnavailable and no certificate", c, err)
	}
	if n := len(h.recorded()); n != 1 {
		t.Errorf("%d intents on record, want 1", n)
	}
	h.Signer.Fail(nil)
	h.issue(h.request(2))
}

func testCancelled(t *testing.T, h *harness) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err := h.Issuer.Issue(ctx, h.request(1))
	if !errors.Is(err, context.Canceled) || c != nil {
		t.Errorf("Issue = %v, %v, want context.Canceled", c, err)
	}
	h.noneRecorded()
}

func testUnknownProfile(t *testing.T, h *harness) {
	r := h.request(1)
	r.Profile = "no-such-profile"
	if c, err := h.Issuer.Issue(t.Context(), r); !errors.Is(err, ca.ErrUnknownProfile) || c != nil {
		t.Errorf("Issue = %v, %v, want ErrUnknownProfile", c, err)
	}
	h.noneRecorded()
}

func testOutsideNames(t *testing.T, h *harness) {
	r := h.request(1)
	h.Break(r)
	if c, err := h.Issuer.Issue(t.Context(), r); !errors.Is(err, ca.ErrRejected) || c != nil {
		t.Errorf("Issue = %v, %v, want ErrRejected", c, err)
	}
	h.noneRecorded()
}

func testValidity(t *testing.T, h *harness) {
	_, usual := h.issue(h.request(1))
	shorter := h.request(2)
	shorter.NotAfter = usual.NotAfter.Add(-time.Hour)
	if _, parsed := h.issue(shorter); !parsed.NotAfter.Equal(shorter.NotAfter) {
		t.Errorf("NotAfter = %s, want the %s that was asked for", parsed.NotAfter, shorter.NotAfter)
	}
	longer := h.request(3)
	longer.NotAfter = usual.NotAfter.AddDate(200, 0, 0)
	before := len(h.recorded())
	if c, err := h.Issuer.Issue(t.Context(), longer); !errors.Is(err, ca.ErrRejected) || c != nil {
		t.Errorf("Issue for 200 years more = %v, %v, want ErrRejected", c, err)
	}
	if len(h.recorded()) != before {
		t.Error("a refused validity was recorded")
	}
}

func testConcurrent(t *testing.T, h *harness) {
	const workers, each = 8, 16
	requests := make([]*ca.Request, workers*each)
	for i := range requests {
		requests[i] = h.request(i)
	}
	issued := make([]*ca.Certificate, len(requests))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w * each; i < (w+1)*each; i++ {
				c, err := h.Issuer.Issue(t.Context(), requests[i])
				if err != nil {
					t.Errorf("Issue(%d): %v", i, err)
					return
				}
				issued[i] = c
			}
		})
	}
	wg.Wait()
	seen := make(map[string]bool)
	for i, c := range issued {
		if c == nil {
			continue
		}
		if seen[string(c.Serial)] {
			t.Errorf("the serial %x was given twice", c.Serial)
		}
		seen[string(c.Serial)] = true
		parsed, err := x509.ParseCertificate(c.Raw)
		if err != nil || parsed.Subject.CommonName != fmt.Sprintf("device-%d", i) || !parsed.PublicKey.(*ecdsa.PublicKey).Equal(requests[i].PublicKey) {
			t.Errorf("request %d got somebody else's certificate, or none: %v", i, err)
		}
	}
	if n := len(h.recorded()); n != len(requests) {
		t.Errorf("Record was called %d times for %d requests", n, len(requests))
	}
}

// The names of a certificate are the decision's, whatever the request said
// (R13). An issuer whose CA takes them from the CSR refuses one that differs.
func testCSRDecidesNothing(t *testing.T, h *harness) {
	r := h.request(1)
	other := h.request(2)
	r.CSR = other.CSR
	r.PublicKey = other.PublicKey // a delegating issuer needs them to agree
	c, err := h.Issuer.Issue(t.Context(), r)
	if errors.Is(err, ca.ErrRejected) && c == nil && h.Signer == nil {
		h.noneRecorded()
		return
	}
	if err != nil {
		t.Fatalf("Issue: %v", err)
	}
	parsed, err := x509.ParseCertificate(c.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Subject.CommonName != "device-1" || len(parsed.DNSNames) != 1 || parsed.DNSNames[0] != "device-1.example.com" {
		t.Errorf("names = %s %q, want the decision's, device-1", parsed.Subject, parsed.DNSNames)
	}
}

func testChain(t *testing.T, h *harness) {
	chain, err := h.Issuer.Chain(t.Context())
	if err != nil || len(chain) == 0 {
		t.Fatalf("Chain = %d certificates, %v", len(chain), err)
	}
	for i, c := range chain {
		upper := chain[min(i+1, len(chain)-1)]
		if err := c.CheckSignatureFrom(upper); err != nil {
			t.Errorf("certificate %d of the chain was not issued by the next, or the last is no root: %v", i, err)
		}
	}
	_, parsed := h.issue(h.request(1))
	if err := parsed.CheckSignatureFrom(chain[0]); err != nil {
		t.Errorf("the first of the chain did not issue the certificate: %v", err)
	}
}
