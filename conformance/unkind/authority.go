package unkind

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
	"fmt"
	"math/big"
	"net"
	"time"
)

// CMCRA is the extended key usage id-kp-cmcRA (RFC 6402, Section 2.10).
func CMCRA() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28} }

// Authority is a certification authority for a run; it keeps no records.
type Authority struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
	Above       []*x509.Certificate // its issuer first, the root last; none for a root
}

// NewKey makes a P-256 key.
func NewKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func authorityTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().AddDate(10, 0, 0).UTC(),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// NewRoot makes a self-signed CA.
func NewRoot(name string) (*Authority, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	template := authorityTemplate(name)
	cert, err := create(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &Authority{Certificate: cert, Key: key}, nil
}

// Below makes a CA below a.
func (a *Authority) Below(name string) (*Authority, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	cert, err := a.Issue(authorityTemplate(name), key.Public())
	if err != nil {
		return nil, err
	}
	return &Authority{Certificate: cert, Key: key, Above: a.Chain()}, nil
}

// Chain is the CA's certificate and those above it.
func (a *Authority) Chain() []*x509.Certificate {
	return append([]*x509.Certificate{a.Certificate}, a.Above...)
}

// Cross makes a certificate of a's key and name under other, as where a root is
// replaced (RFC 4210, Section 4.4).
func (a *Authority) Cross(other *Authority) (*x509.Certificate, error) {
	template := authorityTemplate("")
	template.RawSubject = a.Certificate.RawSubject
	template.SubjectKeyId = a.Certificate.SubjectKeyId
	return other.Issue(template, a.Key.Public())
}

// Issue makes a certificate. Serial number and validity, an hour ago for a
// year, are filled in where the template leaves them out.
func (a *Authority) Issue(template *x509.Certificate, key crypto.PublicKey) (*x509.Certificate, error) {
	return create(template, a.Certificate, key, a.Key)
}

func create(template, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	t := *template
	if t.SerialNumber == nil {
		serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
		if err != nil {
			return nil, err
		}
		t.SerialNumber = serial.Add(serial, big.NewInt(1))
	}
	if t.NotBefore.IsZero() {
		t.NotBefore = time.Now().Add(-time.Hour)
	}
	if t.NotAfter.IsZero() {
		t.NotAfter = time.Now().AddDate(1, 0, 0)
	}
	der, err := x509.CreateCertificate(rand.Reader, &t, parent, key, signer)
	if err != nil {
		return nil, fmt.Errorf("certificate for %q: %w", t.Subject, err)
	}
	return x509.ParseCertificate(der)
}

// ServerTemplate is of a TLS server's certificate that is a registration
// authority's as well, for host.
func ServerTemplate(host string) *x509.Certificate {
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: "unkind server"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage:        []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{CMCRA()},
	}
	if ip := net.ParseIP(host); ip != nil {
		t.IPAddresses = []net.IP{ip}
	} else {
		t.DNSNames = []string{host}
	}
	return t
}

// Present makes a key and its certificate for TLS, with the CAs below the root.
func (a *Authority) Present(template *x509.Certificate) (*tls.Certificate, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	cert, err := a.Issue(template, key.Public())
	if err != nil {
		return nil, err
	}
	c := &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
	for _, above := range a.Chain() {
		if above.CheckSignatureFrom(above) != nil {
			c.Certificate = append(c.Certificate, above.Raw)
		}
	}
	return c, nil
}

// Serving is TLS with that certificate: client certificates are asked for and
// not verified.
func Serving(c *tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{*c}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
	}
}

// PEM encodes certificates.
func PEM(certs ...*x509.Certificate) []byte {
	var b []byte
	for _, c := range certs {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return b
}

// KeyPEM encodes a key as PKCS #8.
func KeyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
