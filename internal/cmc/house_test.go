package cmc_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cmstest"
)

// csr makes a PKCS #10 request by key for a subject, with the extensions.
func csr(t testing.TB, key crypto.Signer, name string, extensions ...pkix.Extension) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name + ".example"}, ExtraExtensions: extensions,
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// keyID is the subject key identifier that the tests' requests ask for.
func keyID(key crypto.Signer) []byte {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(der)
	return sum[:20]
}

func keyIDExtension(ski []byte) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 14}, Value: cmstest.Element(4, ski)}
}

// pkcs10 is a request with bodyPartID 1 that asks for its key's subject key identifier.
func pkcs10(t testing.TB, key crypto.Signer, name string) cmc.Request {
	t.Helper()
	r, err := cmc.NewPKCS10(1, csr(t, key, name, keyIDExtension(keyID(key))))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sign(t testing.TB, d *cmc.PKIData, id *cmstest.Identity) []byte {
	t.Helper()
	der, err := cmc.SignRequest(d, &cmc.Signing{Key: id.Key, Certificate: id.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func marshal(t testing.TB, d *cmc.PKIData) []byte {
	t.Helper()
	der, err := d.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func open(t testing.TB, der []byte, o *cmc.OpenOptions) *cmc.FullRequest {
	t.Helper()
	f, err := cmc.OpenRequest(der, o)
	if err != nil {
		t.Fatalf("OpenRequest = %v", err)
	}
	return f
}

// id is a bodyPartID below 128.
func id(n int64) []byte { return []byte{2, 1, byte(n)} }

func seq(contents ...[]byte) []byte { return cmstest.Element(0x30, contents...) }

// control is a TaggedAttribute as the test wants it.
func control(part int64, arc int, values ...[]byte) []byte {
	oid := cmstest.OID(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 7, arc})
	return seq(id(part), oid, cmstest.Element(0x31, values...))
}

// pkiData is a PKIData of the controls and requests, as they are.
func pkiData(controls, requests []byte) []byte {
	return seq(seq(controls), seq(requests), seq(), seq())
}
