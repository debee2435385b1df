package cms_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

// RFC 5272, Section 4.1. EST-5652-5.1-03: DER is written, and BER is read.
func TestCertsOnlyGivesBackTheCertificatesInOrder(t *testing.T) {
	ids := []*cmstest.Identity{cmstest.New(t, "RSA"), cmstest.New(t, "P-256"), cmstest.New(t, "Ed25519")}
	var raw [][]byte
	for _, id := range ids {
		raw = append(raw, id.Certificate.Raw)
		der, err := cms.CertsOnly(raw...)
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range [][]byte{der, cmstest.Indefinite(der, 10)} {
			certs, err := cms.ParseCertsOnly(data)
			if err != nil || len(certs) != len(raw) {
				t.Fatalf("ParseCertsOnly = %d certificates, %v, want %d", len(certs), err, len(raw))
			}
			for i, c := range certs {
				if !bytes.Equal(c.Raw, raw[i]) {
					t.Errorf("certificate %d of %d is another", i+1, len(raw))
				}
			}
		}
		sd := parse(t, der)
		if sd.Version != 1 || sd.Content != nil || len(sd.Signers) != 0 || sd.CRLs != nil || !sd.ContentType.Equal(cms.OIDData()) {
			t.Errorf("%+v is not the degenerate form", sd)
		}
	}
}

func TestCertsOnlyAllocatesOnce(t *testing.T) {
	raw := cmstest.New(t, "P-256").Certificate.Raw
	if n := testing.AllocsPerRun(100, func() { _, _ = cms.CertsOnly(raw) }); n > 1 {
		t.Errorf("CertsOnly allocates %v times, want once", n)
	}
}

func TestCertsOnlyRefusesWhatIsNoCertificate(t *testing.T) {
	raw := cmstest.New(t, "P-256").Certificate.Raw
	for name, certs := range map[string][][]byte{
		"none": {}, "empty": {nil}, "cut off": {raw[:len(raw)-1]}, "trailing byte": {append(bytes.Clone(raw), 0)},
		"no sequence": {{4, 0}}, "the second is empty": {raw, {}}, "indefinite": {{0x30, 0x80, 0, 0}}, "long length": {{0x30, 0x81, 0}},
	} {
		if der, err := cms.CertsOnly(certs...); !errors.Is(err, cms.ErrRequest) {
			t.Errorf("CertsOnly of %s = %x, %v, want %v", name, der, err, cms.ErrRequest)
		}
	}
}

func TestMoreThanCertificatesIsNotCertsOnly(t *testing.T) {
	id := cmstest.New(t, "P-256")
	m := func(spoil func(*cmstest.Message)) []byte {
		message := &cmstest.Message{ContentType: cms.OIDData(), Certificates: [][]byte{id.Certificate.Raw}}
		spoil(message)
		return message.Bytes(t)
	}
	for _, test := range []struct {
		name string
		data []byte
		want error
	}{
		{"nothing spoiled", m(func(*cmstest.Message) {}), nil},
		{"empty CRLs, as in RFC 7030, Appendix A.1", m(func(m *cmstest.Message) { m.CRLs = [][]byte{} }), nil},
		{"CRLs", m(func(m *cmstest.Message) { m.CRLs = [][]byte{{0x30, 0}} }), nil},
		{"no certificates field", m(func(m *cmstest.Message) { m.Certificates = nil }), cms.ErrNoCertificates},
		{"empty certificates field", m(func(m *cmstest.Message) { m.Certificates = [][]byte{} }), cms.ErrNoCertificates},
		{"a certificate that cannot be read", m(func(m *cmstest.Message) { m.Certificates = append(m.Certificates, []byte{0x30, 0}) }), cms.ErrNotCertsOnly},
		{"a huge key", m(func(m *cmstest.Message) { m.Certificates = append(m.Certificates, hugeKey(t)) }), cms.ErrKeySize},
		{"content", m(func(m *cmstest.Message) { m.Content = []byte("content") }), cms.ErrNotCertsOnly},
		{"another content type", m(func(m *cmstest.Message) { m.ContentType = cms.OIDPKIResponse() }), cms.ErrNotCertsOnly},
		{"a signer", signed(t, id, []byte("content")), cms.ErrNotCertsOnly},
		{"a bare certificate", id.Certificate.Raw, cms.ErrSyntax},
		{"a trailing byte", append(m(func(*cmstest.Message) {}), 0), cms.ErrTrailingData},
	} {
		if _, err := cms.ParseCertsOnly(test.data); !errors.Is(err, test.want) {
			t.Errorf("ParseCertsOnly of %s: %v, want %v", test.name, err, test.want)
		}
	}
}

// hugeKey returns a certificate whose RSA key has one bit more than is read.
func hugeKey(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n := new(big.Int).Lsh(big.NewInt(1), cms.MaxRSABits)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "huge"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func BenchmarkCertsOnly(b *testing.B) {
	raw := cmstest.New(b, "P-256").Certificate.Raw
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cms.CertsOnly(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseAndVerify(b *testing.B) {
	der := signed(b, cmstest.New(b, "P-256"), make([]byte, 1500))
	b.ReportAllocs()
	for b.Loop() {
		if err := openAndVerify(der); err != nil {
			b.Fatal(err)
		}
	}
}
