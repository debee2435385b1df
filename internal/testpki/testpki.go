// Package testpki makes certificates for tests: roots, intermediates, IDevIDs,
// registrars, MASAs, clients. Nothing here is used outside tests.
package testpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// Identity is a certificate with its key and the CAs above it.
type Identity struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
	Chain       []*x509.Certificate // the CAs above, issuing CA first, root last
}

// NewRoot makes a self-signed CA with a P-256 key, valid from an hour ago for
// ten years.
func NewRoot(t testing.TB, commonName string) *Identity {
	t.Helper()
	key := NewKey(t)
	template := caTemplate(commonName)
	cert := create(t, template, template, key.Public(), key)
	return &Identity{Certificate: cert, Key: key}
}

// NewIntermediate makes a CA below id.
func (id *Identity) NewIntermediate(t testing.TB, commonName string) *Identity {
	t.Helper()
	return id.Issue(t, caTemplate(commonName), NewKey(t))
}

// Issue signs template for key's public key with id, and fills in what the
// template leaves out: serial number, validity (an hour ago for a year), key usage.
func (id *Identity) Issue(t testing.TB, template *x509.Certificate, key crypto.Signer) *Identity {
	t.Helper()
	if template.SerialNumber == nil {
		template.SerialNumber = newSerial(t)
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = template.NotBefore.AddDate(1, 0, 0)
	}
	if template.KeyUsage == 0 {
		template.KeyUsage = x509.KeyUsageDigitalSignature
	}
	cert := create(t, template, id.Certificate, key.Public(), id.Key)
	return &Identity{Certificate: cert, Key: key, Chain: append([]*x509.Certificate{id.Certificate}, id.Chain...)}
}

// IDevID issues a device's manufacturer certificate: an X520SerialNumber in
// the subject and, unless masaURL is empty, the MASA URL extension
// (RFC 8995, Section 2.3.2). It never expires (9999-12-31), as IEEE 802.1AR asks.
func (id *Identity) IDevID(t testing.TB, serialNumber, masaURL string) *Identity {
	t.Helper()
	template := &x509.Certificate{
		Subject:  pkix.Name{SerialNumber: serialNumber, Organization: []string{"Example Devices"}},
		NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	if masaURL != "" {
		value, err := asn1.MarshalWithParams(masaURL, "ia5")
		if err != nil {
			t.Fatalf("testpki: MASA URL: %v", err)
		}
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 32}, Value: value}}
	}
	return id.Issue(t, template, NewKey(t))
}

// Registrar issues a registrar's certificate: id-kp-cmcRA (RFC 8995, Section
// 5.5.4), serverAuth and clientAuth, for localhost, 127.0.0.1 and ::1.
func (id *Identity) Registrar(t testing.TB, commonName string) *Identity {
	t.Helper()
	return id.Issue(t, &x509.Certificate{
		Subject:            pkix.Name{CommonName: commonName},
		DNSNames:           []string{"localhost"},
		IPAddresses:        []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage:        []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 28}},
	}, NewKey(t))
}

// Server issues a TLS server certificate for localhost, 127.0.0.1 and ::1.
func (id *Identity) Server(t testing.TB, commonName string) *Identity {
	t.Helper()
	return id.Issue(t, &x509.Certificate{
		Subject:     pkix.Name{CommonName: commonName},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, NewKey(t))
}

// Client issues a TLS client certificate.
func (id *Identity) Client(t testing.TB, commonName string) *Identity {
	t.Helper()
	return id.Issue(t, &x509.Certificate{
		Subject:     pkix.Name{CommonName: commonName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, NewKey(t))
}

// TLS returns id as crypto/tls wants it: leaf first, the root left out.
func (id *Identity) TLS() tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{id.Certificate.Raw}, PrivateKey: id.Key, Leaf: id.Certificate}
	for _, ca := range id.Chain {
		if ca.CheckSignatureFrom(ca) != nil {
			c.Certificate = append(c.Certificate, ca.Raw)
		}
	}
	return c
}

// Pool returns a pool of id's certificate alone.
func (id *Identity) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(id.Certificate)
	return pool
}

// PEM returns id's certificate, and the CAs above it, as PEM.
func (id *Identity) PEM() []byte {
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Certificate.Raw})
	for _, ca := range id.Chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})...)
	}
	return out
}

// CSR makes a PKCS#10 request for template with key, as DER.
func CSR(t testing.TB, template *x509.CertificateRequest, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatalf("testpki: CSR: %v", err)
	}
	return der
}

// NewKey makes a P-256 key.
func NewKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("testpki: key: %v", err)
	}
	return key
}

func caTemplate(commonName string) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func create(t testing.TB, template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	if template.SerialNumber == nil {
		template.SerialNumber = newSerial(t)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		t.Fatalf("testpki: certificate: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("testpki: certificate: %v", err)
	}
	return cert
}

func newSerial(t testing.TB) *big.Int {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatalf("testpki: serial: %v", err)
	}
	return serial.Add(serial, big.NewInt(1))
}
