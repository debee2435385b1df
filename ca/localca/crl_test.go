package localca_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/localca"
	"pgregory.net/rapid"
)

func revocationList(number int64, revoked ...ca.Revocation) *ca.RevocationList {
	return &ca.RevocationList{Number: number, ThisUpdate: start(), NextUpdate: start().Add(7 * 24 * time.Hour), Revoked: revoked}
}

// R12: the list holds every entry it was given, in order, and no other.
func TestTheCRLHoldsEveryEntryGiven(t *testing.T) {
	c := newCA(t, ecKey(t, elliptic.P256()))
	serial := rapid.Custom(func(t *rapid.T) string {
		b := rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "serial")
		b[0] = max(b[0]&0x7f, 1)
		return string(b)
	})
	rapid.Check(t, func(t *rapid.T) {
		serials := rapid.SliceOfNDistinct(serial, 0, 60, rapid.ID).Draw(t, "serials")
		list := revocationList(rapid.Int64Range(1, 1<<62).Draw(t, "number"))
		for _, s := range serials {
			list.Revoked = append(list.Revoked, ca.Revocation{
				Serial: []byte(s), At: start().Add(-time.Duration(rapid.IntRange(0, 1<<30).Draw(t, "ago")) * time.Second),
				Reason: rapid.SampledFrom([]int{0, 1, 2, 3, 4, 5, 6, 9, 10}).Draw(t, "reason"),
			})
		}
		raw, err := c.CRL(context.Background(), list)
		if err != nil {
			t.Fatalf("CRL: %v", err)
		}
		parsed, err := x509.ParseRevocationList(raw)
		if err != nil {
			t.Fatalf("crypto/x509 cannot read the list: %v", err)
		}
		if err := parsed.CheckSignatureFrom(c.Certificate()); err != nil {
			t.Fatalf("signature: %v", err)
		}
		if parsed.Number.Int64() != list.Number || !parsed.ThisUpdate.Equal(list.ThisUpdate) || !parsed.NextUpdate.Equal(list.NextUpdate) || !bytes.Equal(parsed.AuthorityKeyId, c.Certificate().SubjectKeyId) {
			t.Fatalf("number %v, %s to %s, key %x", parsed.Number, parsed.ThisUpdate, parsed.NextUpdate, parsed.AuthorityKeyId)
		}
		want := slices.Clone(list.Revoked)
		slices.SortFunc(want, func(a, b ca.Revocation) int {
			return cmp.Compare(new(big.Int).SetBytes(a.Serial).Cmp(new(big.Int).SetBytes(b.Serial)), 0)
		})
		if len(parsed.RevokedCertificateEntries) != len(want) {
			t.Fatalf("%d entries, want %d", len(parsed.RevokedCertificateEntries), len(want))
		}
		for i, got := range parsed.RevokedCertificateEntries {
			if !bytes.Equal(got.SerialNumber.Bytes(), want[i].Serial) || !got.RevocationTime.Equal(want[i].At) || got.ReasonCode != want[i].Reason {
				t.Fatalf("entry %d = %x %s %d, want %x %s %d", i, got.SerialNumber, got.RevocationTime, got.ReasonCode, want[i].Serial, want[i].At, want[i].Reason)
			}
		}
	})
}

func TestListsThatCannotBeAreRefusedWhole(t *testing.T) {
	c := newCA(t, ecKey(t, elliptic.P256()))
	good := ca.Revocation{Serial: []byte{1, 2}, At: start(), Reason: 1}
	with := func(change func(r *ca.Revocation)) ca.Revocation {
		r := good
		change(&r)
		return r
	}
	for name, list := range map[string]*ca.RevocationList{
		"number 0":            revocationList(0, good),
		"no next update":      {Number: 1, ThisUpdate: start(), Revoked: []ca.Revocation{good}},
		"no serial":           revocationList(1, good, with(func(r *ca.Revocation) { r.Serial = nil })),
		"serial 0":            revocationList(1, good, with(func(r *ca.Revocation) { r.Serial = []byte{0} })),
		"serial not minimal":  revocationList(1, good, with(func(r *ca.Revocation) { r.Serial = []byte{0, 1} })),
		"serial of 21 bytes":  revocationList(1, good, with(func(r *ca.Revocation) { r.Serial = bytes.Repeat([]byte{1}, 21) })),
		"serial of 20, 0x80":  revocationList(1, good, with(func(r *ca.Revocation) { r.Serial = bytes.Repeat([]byte{0x80}, 20) })),
		"one twice":           revocationList(1, good, good),
		"reason 7":            revocationList(1, with(func(r *ca.Revocation) { r.Reason = 7 })),
		"reason 8, of deltas": revocationList(1, with(func(r *ca.Revocation) { r.Reason = 8 })),
		"reason 11":           revocationList(1, with(func(r *ca.Revocation) { r.Reason = 11 })),
		"reason -1":           revocationList(1, with(func(r *ca.Revocation) { r.Reason = -1 })),
		"no date":             revocationList(1, with(func(r *ca.Revocation) { r.At = time.Time{} })),
		"too many":            revocationList(1, make([]ca.Revocation, localca.MaxRevoked+1)...),
	} {
		if raw, err := c.CRL(t.Context(), list); !errors.Is(err, localca.ErrList) || raw != nil {
			t.Errorf("%s: CRL = %d bytes, %v, want ErrList", name, len(raw), err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.CRL(ctx, revocationList(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v", err)
	}
}

// RFC 5280, Section 4.2.1.3.
func TestACAWithoutCRLSignSignsNoLists(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "no lists"}, NotBefore: start().Add(-time.Hour), NotAfter: start().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	c, err := localca.New(localca.Config{Certificate: root, Key: key, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CRL(t.Context(), revocationList(1)); !errors.Is(err, localca.ErrList) {
		t.Errorf("CRL = %v, want ErrList", err)
	}
}

func TestEveryKindOfCAKeySignsLists(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), rsaKey, edKey} {
		c := newCA(t, key)
		raw, err := c.CRL(t.Context(), revocationList(1, ca.Revocation{Serial: []byte{1}, At: start()}))
		if err != nil {
			t.Fatalf("CRL with a %T: %v", key, err)
		}
		parsed, err := x509.ParseRevocationList(raw)
		if err != nil {
			t.Fatalf("%T: %v", key, err)
		}
		if err := parsed.CheckSignatureFrom(c.Certificate()); err != nil {
			t.Errorf("%T: %v", key, err)
		}
	}
}

// With 100,000 entries a list is made whole, and in linear memory.
func TestALongListIsWhole(t *testing.T) {
	c := newCA(t, ecKey(t, elliptic.P256()))
	const n = 100_000
	list := revocationList(1)
	for i := range n {
		list.Revoked = append(list.Revoked, ca.Revocation{Serial: []byte{1, byte(i), byte(i >> 8), byte(i >> 16)}, At: start(), Reason: 1})
	}
	raw, err := c.CRL(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseRevocationList(raw)
	if err != nil || len(parsed.RevokedCertificateEntries) != n {
		t.Fatalf("a list of %d bytes holds %d entries, %v, want %d", len(raw), len(parsed.RevokedCertificateEntries), err, n)
	}
}
