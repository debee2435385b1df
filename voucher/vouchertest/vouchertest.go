// Package vouchertest is the contract that every voucher.Format passes. It is
// used in tests only.
package vouchertest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
)

// NewSigner returns a root and a signer below it with an intermediate CA between.
func NewSigner(t testing.TB, commonName string) (root *testpki.Identity, s *voucher.Signer) {
	t.Helper()
	root = testpki.NewRoot(t, commonName+" root")
	id := root.NewIntermediate(t, commonName+" CA").Client(t, commonName)
	return root, &voucher.Signer{Key: id.Key, Certificate: id.Certificate, Chain: id.Chain}
}

// Voucher returns a voucher that nothing is wrong with.
func Voucher(t testing.TB) *voucher.Voucher {
	t.Helper()
	return &voucher.Voucher{
		Assertion:        voucher.Proximity,
		CreatedOn:        time.Date(2026, 11, 22, 22, 21, 7, 0, time.UTC),
		SerialNumber:     "PEER-0001",
		Nonce:            "r/nxO6eY1SqtTUBNlNlWJQ==",
		PinnedDomainCert: testpki.NewRoot(t, "Domain CA").Certificate.Raw,
	}
}

// Request returns a pledge's voucher-request that nothing is wrong with.
func Request(t testing.TB) *voucher.Request {
	t.Helper()
	return &voucher.Request{
		Assertion:              voucher.Proximity,
		CreatedOn:              time.Date(2026, 11, 22, 22, 21, 7, 0, time.UTC),
		SerialNumber:           "PEER-0001",
		Nonce:                  voucher.NewNonce(),
		ProximityRegistrarCert: testpki.NewRoot(t, "Registrar").Certificate.Raw,
	}
}

// TestFormat checks f against the contract of voucher.Format.
func TestFormat(t *testing.T, f voucher.Format) {
	t.Helper()
	t.Run("what is signed opens as the same", func(t *testing.T) { testRoundTrip(t, f) })
	t.Run("a nonce of another alphabet is kept as it is", func(t *testing.T) { testNonce(t, f) })
	t.Run("opening does not decide trust", func(t *testing.T) { testTrust(t, f) })
	t.Run("each changed byte is noticed or changes nothing", func(t *testing.T) { testChangedBytes(t, f) })
	t.Run("a cut or longer artifact is refused", func(t *testing.T) { testLength(t, f) })
	t.Run("a voucher is no request and a request no voucher", func(t *testing.T) { testConfusion(t, f) })
	t.Run("what must not be said is not signed", func(t *testing.T) { testRefusals(t, f) })
	t.Run("methods may run concurrently", func(t *testing.T) { testConcurrent(t, f) })
}

func testRoundTrip(t *testing.T, f voucher.Format) {
	_, s := NewSigner(t, "signer")
	v, r := Voucher(t), Request(t)
	der := signVoucher(t, f, v, s)
	got, a, err := f.OpenVoucher(der)
	if err != nil || !reflect.DeepEqual(got, v) {
		t.Fatalf("OpenVoucher() = %+v, %v, want %+v", got, err, v)
	}
	checkArtifact(t, f, a, der, s)
	der = signRequest(t, f, r, s)
	gotRequest, a, err := f.OpenRequest(der)
	if err != nil || !reflect.DeepEqual(gotRequest, r) {
		t.Fatalf("OpenRequest() = %+v, %v, want %+v", gotRequest, err, r)
	}
	checkArtifact(t, f, a, der, s)
}

func checkArtifact(t *testing.T, f voucher.Format, a *voucher.Artifact, raw []byte, s *voucher.Signer) {
	t.Helper()
	if !bytes.Equal(a.Raw, raw) || a.MediaType != f.MediaType() || len(a.Payload) == 0 {
		t.Errorf("Artifact has raw bytes as received: %t, media type %q, payload %q", bytes.Equal(a.Raw, raw), a.MediaType, a.Payload)
	}
	if !a.Signer.Equal(s.Certificate) || len(a.Certificates) != 1+len(s.Chain) {
		t.Errorf("Artifact has signer %v and %d certificates, want %v and %d",
			a.Signer.Subject, len(a.Certificates), s.Certificate.Subject, 1+len(s.Chain))
	}
	if len(a.Findings) != 0 {
		t.Errorf("what we sign has findings: %v", a.Findings)
	}
}

// testNonce: reach sends unpadded base64url, and compares what it gets as text.
func testNonce(t *testing.T, f voucher.Format) {
	_, s := NewSigner(t, "signer")
	v, r := Voucher(t), Request(t)
	v.Nonce, r.Nonce = "r_nxO6eY1SqtTUBNlNlWJQ", "r_nxO6eY1SqtTUBNlNlWJQ"
	if got, _, err := f.OpenVoucher(signVoucher(t, f, v, s)); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("OpenVoucher() = %+v, %v, want %+v", got, err, v)
	}
	if got, _, err := f.OpenRequest(signRequest(t, f, r, s)); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("OpenRequest() = %+v, %v, want %+v", got, err, r)
	}
}

func testTrust(t *testing.T, f voucher.Format) {
	root, s := NewSigner(t, "signer")
	_, a, err := f.OpenVoucher(signVoucher(t, f, Voucher(t), s))
	if err != nil {
		t.Fatal(err)
	}
	at := s.Certificate.NotBefore.Add(time.Second)
	if chain, err := a.VerifySigner(root.Pool(), at); err != nil || len(chain) != 3 {
		t.Errorf("VerifySigner(its root) = %d certificates, %v, want 3", len(chain), err)
	}
	if _, err := a.VerifySigner(testpki.NewRoot(t, "another").Pool(), at); !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("VerifySigner(another root) = %v, want an unknown authority", err)
	}
	if _, err := a.VerifySigner(root.Pool(), s.Certificate.NotAfter.Add(time.Second)); err == nil {
		t.Error("VerifySigner(after the end) = nil, want an error")
	}
}

// testChangedBytes changes one byte after the other. Certificates that sign
// nothing here are protected by their own signatures only.
func testChangedBytes(t *testing.T, f voucher.Format) {
	_, s := NewSigner(t, "signer")
	s.Chain = nil
	v := Voucher(t)
	der := signVoucher(t, f, v, s)
	for i := range der {
		changed := bytes.Clone(der)
		changed[i] ^= 0x01
		got, a, err := f.OpenVoucher(changed)
		if err != nil {
			continue
		}
		if !reflect.DeepEqual(got, v) {
			t.Errorf("byte %d changed: OpenVoucher() = %+v, want an error or the same voucher", i, got)
		}
		if key, ok := a.Signer.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !key.Equal(s.Certificate.PublicKey) {
			t.Errorf("byte %d changed: another key is said to have signed", i)
		}
	}
}

func testLength(t *testing.T, f voucher.Format) {
	_, s := NewSigner(t, "signer")
	v := Voucher(t)
	der := signVoucher(t, f, v, s)
	for n := range der {
		if _, _, err := f.OpenVoucher(der[:n]); err == nil {
			t.Fatalf("OpenVoucher(first %d of %d bytes) = nil, want an error", n, len(der))
		}
	}
	// White space after a JSON text is part of it (RFC 8259, Section 2).
	if got, _, err := f.OpenVoucher(append(bytes.Clone(der), '\n')); err == nil && !reflect.DeepEqual(got, v) {
		t.Errorf("OpenVoucher(artifact and a line feed) = %+v, want an error or the same voucher", got)
	}
	for _, tail := range []string{"\x00", "{}", string(der)} {
		if _, _, err := f.OpenVoucher(append(bytes.Clone(der), tail...)); err == nil {
			t.Errorf("OpenVoucher(artifact and %.10q) = nil, want an error", tail)
		}
	}
}

func testConfusion(t *testing.T, f voucher.Format) {
	_, s := NewSigner(t, "signer")
	if _, _, err := f.OpenVoucher(signRequest(t, f, Request(t), s)); err == nil {
		t.Error("OpenVoucher(request) = nil, want an error")
	}
	r, a, err := f.OpenRequest(signVoucher(t, f, Voucher(t), s))
	if err == nil && len(a.Findings) == 0 {
		t.Errorf("OpenRequest(voucher) = %+v without a finding, want an error or a finding", r)
	}
}

func testRefusals(t *testing.T, f voucher.Format) {
	_, s := NewSigner(t, "signer")
	v := Voucher(t)
	v.ExpiresOn = v.CreatedOn.Add(time.Hour)
	if _, err := f.SignVoucher(t.Context(), v, s); !errors.Is(err, voucher.ErrNonceWithExpiresOn) {
		t.Errorf("SignVoucher(nonce and expires-on) = %v, want %v", err, voucher.ErrNonceWithExpiresOn)
	}
	v.AllowNonceWithExpiresOn = true // rfc8366bis
	back, _, err := f.OpenVoucher(signVoucher(t, f, v, s))
	strict := errors.Is(err, voucher.ErrNonceWithExpiresOn)
	if !strict && (err != nil || back.Nonce != v.Nonce || !back.ExpiresOn.Equal(v.ExpiresOn)) {
		t.Errorf("voucher with nonce and expires-on as rfc8366bis allows = %+v, %v", back, err)
	}
	if _, err := f.SignRequest(t.Context(), new(voucher.Request), s); !errors.Is(err, voucher.ErrMissingLeaf) {
		t.Errorf("SignRequest(nothing) = %v, want %v", err, voucher.ErrMissingLeaf)
	}
	_, other := NewSigner(t, "other")
	for name, bad := range map[string]*voucher.Signer{
		"nil": nil, "empty": {}, "no key": {Certificate: s.Certificate}, "no certificate": {Key: s.Key},
		"another's key": {Key: other.Key, Certificate: s.Certificate},
	} {
		if _, err := f.SignVoucher(t.Context(), Voucher(t), bad); err == nil {
			t.Errorf("SignVoucher with a signer that is %s = nil, want an error", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.SignVoucher(ctx, Voucher(t), s); !errors.Is(err, context.Canceled) {
		t.Errorf("SignVoucher(cancelled) = %v, want %v", err, context.Canceled)
	}
}

func testConcurrent(t *testing.T, f voucher.Format) {
	_, s := NewSigner(t, "signer")
	v := Voucher(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			der, err := f.SignVoucher(t.Context(), v, s)
			if err != nil {
				t.Errorf("SignVoucher() = %v", err)
				return
			}
			if _, _, err := f.OpenVoucher(der); err != nil {
				t.Errorf("OpenVoucher() = %v", err)
			}
		})
	}
	wg.Wait()
}

func signVoucher(t *testing.T, f voucher.Format, v *voucher.Voucher, s *voucher.Signer) []byte {
	t.Helper()
	der, err := f.SignVoucher(t.Context(), v, s)
	if err != nil {
		t.Fatalf("SignVoucher() = %v", err)
	}
	return der
}

func signRequest(t *testing.T, f voucher.Format, r *voucher.Request, s *voucher.Signer) []byte {
	t.Helper()
	der, err := f.SignRequest(t.Context(), r, s)
	if err != nil {
		t.Fatalf("SignRequest() = %v", err)
	}
	return der
}
