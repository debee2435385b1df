package registrar

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/est"
)

// signedRequest is a certification request for the decided names, signed with a
// key that was made here: an issuer that asks another CA passes it on, and the
// client's is signed with another key (RFC 7030, Section 4.4.1).
func signedRequest(key crypto.Signer, subject pkix.RDNSequence, names *ca.Names) (*x509.CertificateRequest, error) {
	own := &x509.CertificateRequest{}
	var err error
	if own.RawSubject, err = asn1.Marshal(subject); err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	san, err := alternativeNames(names)
	if err != nil {
		return nil, err
	}
	if san != nil {
		own.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: san}}
	}
	der, err := est.CreateCSR(key, &est.CSRRequest{Own: own, KeepNames: true})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificateRequest(der)
}

// alternativeNames writes a SubjectAltName (RFC 5280, Section 4.2.1.6); nil for none.
func alternativeNames(names *ca.Names) ([]byte, error) {
	var b cryptobyte.Builder
	n := 0
	add := func(b *cryptobyte.Builder, tag uint8, value []byte) {
		n++
		b.AddASN1(cryptobyte_asn1.Tag(tag).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(value) })
	}
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, name := range names.Email {
			add(b, 1, []byte(name))
		}
		for _, name := range names.DNS {
			add(b, 2, []byte(name))
		}
		for _, name := range names.URI {
			add(b, 6, []byte(name.String()))
		}
		for _, ip := range names.IP {
			if v4 := ip.To4(); v4 != nil {
				ip = v4
			}
			add(b, 7, ip)
		}
		for _, der := range names.Other {
			n++
			b.AddBytes(der)
		}
	})
	der, err := b.Bytes()
	if err != nil || n == 0 {
		return nil, err
	}
	return der, nil
}
