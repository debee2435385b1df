package localca_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/profile"
)

// BenchmarkIssue is all that an issuance costs here, without the record.
func BenchmarkIssue(b *testing.B) {
	c := newCA(b, ecKey(b, elliptic.P256()), profile.Device())
	r := request(ecKey(b, elliptic.P256()).Public(), "device", "device-0001", "device-0001.example.com")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Issue(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkX509CreateCertificate is the standard library's way to the same
// certificate: no checks against a profile, but it verifies its signature.
func BenchmarkX509CreateCertificate(b *testing.B) {
	key := ecKey(b, elliptic.P256())
	parent := newRoot(b, key, -1)
	pub := ecKey(b, elliptic.P256()).Public()
	b.ReportAllocs()
	for b.Loop() {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1 << 60), Subject: pkix.Name{CommonName: "device-0001"}, DNSNames: []string{"device-0001.example.com"},
			NotBefore: start(), NotAfter: start().Add(365 * 24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, SubjectKeyId: []byte("01234567890123456789"),
		}
		if _, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key); err != nil {
			b.Fatal(err)
		}
	}
}
