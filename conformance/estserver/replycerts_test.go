package estserver_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"
)

// sign answers with a certificate of that template, which is signed as it is.
func (a *reply) sign(template *x509.Certificate) {
	if len(a.csr.Extensions) > 0 {
		return // it is about something else
	}
	b := a.h.backend
	template.RawSubject = a.csr.RawSubject
	if template.SerialNumber == nil {
		template.SerialNumber = big.NewInt(time.Now().UnixNano())
	}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if template.ExtKeyUsage == nil {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, b.CA.Certificate, a.csr.PublicKey, b.CA.Key)
	if err != nil {
		a.h.t.Error(err)
		return
	}
	a.certsOnly(der)
}

// forEver outlives the issuer.
func (a *reply) forEver() {
	a.sign(&x509.Certificate{NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().AddDate(50, 0, 0)})
}

// forServers is for servers alone.
func (a *reply) forServers() {
	a.sign(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

// longSerial has 20 octets and a bit.
func (a *reply) longSerial() {
	a.resign(func(tbs []byte) []byte { return tbs }, func(c *certificate) {
		serial := make([]byte, 21)
		_, _ = rand.Read(serial) // never fails
		serial[0] = 0x7f
		c.TBS.Serial = new(big.Int).SetBytes(serial)
	})
}

// version1 is without a version.
func (a *reply) version1() {
	a.resign(func(tbs []byte) []byte { return tbs }, func(c *certificate) { c.TBS.Version = 0; c.TBS.Extensions = nil })
}

// otherIssuer names another issuer than the CA.
func (a *reply) otherIssuer() {
	a.resign(func(tbs []byte) []byte { return bytes.Replace(tbs, []byte("EST test CA"), []byte("Est test CA"), 1) }, func(*certificate) {})
}

// certificate is RFC 5280, Section 4.1, field by field.
type certificate struct {
	TBS       tbs
	Algorithm pkix.AlgorithmIdentifier
	Signature asn1.BitString
}

type tbs struct {
	Version    int `asn1:"optional,explicit,default:0,tag:0"`
	Serial     *big.Int
	Algorithm  pkix.AlgorithmIdentifier
	Issuer     asn1.RawValue
	Validity   asn1.RawValue
	Subject    asn1.RawValue
	Key        asn1.RawValue
	Extensions []pkix.Extension `asn1:"optional,omitempty,explicit,tag:3"`
}

// resign changes the certificate in the answer and signs it again.
func (a *reply) resign(text func([]byte) []byte, change func(*certificate)) {
	certs, err := certsOf(a.body)
	if err != nil {
		a.h.t.Error(err)
		return
	}
	var c certificate
	if _, err := asn1.Unmarshal(certs[0].Raw, &c); err != nil {
		a.h.t.Error(err)
		return
	}
	change(&c)
	raw, err := asn1.Marshal(c.TBS)
	if err != nil {
		a.h.t.Error(err)
		return
	}
	raw = text(raw)
	digest := crypto.SHA256.New()
	digest.Write(raw)
	signature, err := a.h.backend.CA.Key.Sign(rand.Reader, digest.Sum(nil), crypto.SHA256)
	if err != nil {
		a.h.t.Error(err)
		return
	}
	der, err := asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: raw}, c.Algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	if err != nil {
		a.h.t.Error(err)
		return
	}
	a.certsOnly(der)
}
