package estserver

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"github.com/briskest/briskest/conformance"
)

// sign makes a certificate with a serial number and a validity.
func sign(template, issuer *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, public, key)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// below issues a certificate with a new key under an issuer, and sends the
// issuer along.
func below(template, issuer *x509.Certificate, key crypto.Signer) (*tls.Certificate, error) {
	own, err := newKey()
	if err != nil {
		return nil, err
	}
	cert, err := sign(template, issuer, own.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw, issuer.Raw}, PrivateKey: own, Leaf: cert}, nil
}

func (t *Target) selfSigned(context.Context) (*tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := t.leafTemplate()
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

// authority is a CA of that name under a signature of its own.
func authority(rawName []byte, name pkix.Name) (*x509.Certificate, crypto.Signer, error) {
	key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		RawSubject: rawName, Subject: name, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert, err := sign(template, template, key.Public(), key)
	return cert, key, err
}

// falseCA issues under the name of the server's CA with another key.
func (t *Target) falseCA(ctx context.Context) (*tls.Certificate, error) {
	_, certs, err := t.caCertificates(ctx)
	if err != nil {
		return nil, err
	}
	ca, key, err := authority(certs[0].RawSubject, certs[0].Subject)
	if err != nil {
		return nil, err
	}
	return below(t.leafTemplate(), ca, key)
}

// issuedByEndEntity uses a certificate that the server issued to us as a CA's.
func (t *Target) issuedByEndEntity(ctx context.Context) (*tls.Certificate, error) {
	id, err := t.enrolled(ctx)
	if err != nil {
		return nil, err
	}
	return below(t.leafTemplate(), id.certificate, id.key)
}

func (t *Target) foreignRA(context.Context) (*tls.Certificate, error) {
	ca, key, err := authority(nil, pkix.Name{CommonName: "a CA from elsewhere"})
	if err != nil {
		return nil, err
	}
	template := t.leafTemplate()
	template.UnknownExtKeyUsage = []asn1.ObjectIdentifier{oidCMCRA}
	return below(template, ca, key)
}

// registrationAuthority returns the target's certificate when it is an RA's.
func (t *Target) registrationAuthority() (as, error) {
	if t.Certificate != nil {
		leaf, err := x509.ParseCertificate(t.Certificate.Certificate[0])
		if err != nil {
			return as{}, fmt.Errorf("client certificate: %w", err)
		}
		if isRAClient(leaf) {
			return as{certificate: t.Certificate}, nil
		}
	}
	return as{}, conformance.Skip("no certificate with id-kp-cmcRA was given; give a registration authority's with --cert")
}

func isRAClient(c *x509.Certificate) bool {
	for _, usage := range c.UnknownExtKeyUsage {
		if usage.Equal(oidCMCRA) {
			return true
		}
	}
	return false
}

// expired is a self-signed client certificate of last year.
func (t *Target) expired() (*tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := t.leafTemplate()
	template.NotBefore, template.NotAfter = time.Now().AddDate(-2, 0, 0), time.Now().AddDate(-1, 0, 0)
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}
