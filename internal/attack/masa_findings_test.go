package attack_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// registrarTemplate is what a certificate of a registrar has to say.
func registrarTemplate(serial int64, name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 28}}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func asCA(template *x509.Certificate) *x509.Certificate {
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage, template.UnknownExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
	return template
}

// issue makes a certificate for any public key, as any CA can.
func issue(t *testing.T, template, parent *x509.Certificate, public, private any) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, private)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// One signature check with such a key is seconds of CPU, for 100 kB of a
// stranger's: no signature is checked with it.
func TestAHugeRSAKeyInARequestIsRefusedBeforeItIsUsed(t *testing.T) {
	const bits = 400000
	v, d := newVendor(t, nil), newDomain(t, "d")
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), bits))
	if err != nil {
		t.Fatal(err)
	}
	n.SetBit(n.SetBit(n, bits-1, 1), 0, 1)
	giant := issue(t, asCA(registrarTemplate(5, "giant")), d.ca.Certificate, &rsa.PublicKey{N: n, E: 65537}, d.ca.Key)
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key := testpki.NewKey(t)
	leaf := withSignature(t, issue(t, registrarTemplate(6, "registrar"), &x509.Certificate{Subject: giant.Subject}, key.Public(), small), bits)
	raw := signRequest(t, &voucher.Request{Assertion: voucher.Proximity, CreatedOn: v.at, SerialNumber: deviceSerial, Nonce: "MTIzNDU2Nzg5MA=="},
		&testpki.Identity{Certificate: leaf, Key: key}, giant)
	_, err = v.service.RequestVoucher(t.Context(), &brski.MASARequest{MediaType: vouchercms.MediaType, Raw: raw, Accept: []string{vouchercms.MediaType}, At: v.at})
	if reason(err) != "request-form" || !errors.Is(err, vouchercms.ErrKeySize) {
		t.Errorf("RequestVoucher = %q, %v; want request-form, %v", reason(err), err, vouchercms.ErrKeySize)
	}
}

// withSignature puts noise of that many bits in place of the signature.
func withSignature(t *testing.T, cert *x509.Certificate, bits int) *x509.Certificate {
	t.Helper()
	var outer struct {
		TBS, Alg asn1.RawValue
		Sig      asn1.BitString
	}
	if _, err := asn1.Unmarshal(cert.Raw, &outer); err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, bits/8)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	noise[0] &= 0x3f
	outer.Sig = asn1.BitString{Bytes: noise, BitLength: bits}
	der, err := asn1.Marshal(outer)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return cert
}

// A bag of CAs of one name, each said to be issued by it, and of leaves: each
// leaf is a chain to look for through all of them.
func TestABagOfCertificatesIsNotTriedOneByOne(t *testing.T) {
	v, d, other := newVendor(t, nil), newDomain(t, "d"), newDomain(t, "other")
	signer, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: "c"}}
	var bag []*x509.Certificate
	for i := range int64(248) {
		if i < 108 {
			key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			bag = append(bag, issue(t, asCA(registrarTemplate(i+2, "c")), parent, key.Public(), signer))
			continue
		}
		bag = append(bag, issue(t, registrarTemplate(i+2, "l"), parent, d.registrar.Key.Public(), signer))
	}
	const nonce = "MTIzNDU2Nzg5MA=="
	_, err = v.service.RequestVoucher(t.Context(), v.registrarRequest(d, v.pledgeRequest(other.registrar, nonce), nonce, bag...))
	if reason(err) != "request-form" || !errors.Is(err, vouchercms.ErrTooManyCertificates) {
		t.Errorf("RequestVoucher = %q, %v; want request-form, %v", reason(err), err, vouchercms.ErrTooManyCertificates)
	}
}

// RFC 8995, Section 5.5.5: a CA may certify any public key and any root, and
// then be the one that a voucher "by proximity" pins.
func TestProximityIsShownByTheSignersKeyAlone(t *testing.T) {
	const nonce = "MTIzNDU2Nzg5MA=="
	v, victim, thief := newVendor(t, nil), newDomain(t, "victim"), newDomain(t, "thief")
	certified := issue(t, registrarTemplate(7, "another of mine"), thief.ca.Certificate, victim.registrar.Certificate.PublicKey, thief.ca.Key)
	crossed := asCA(registrarTemplate(8, ""))
	crossed.RawSubject = victim.root.Certificate.RawSubject
	cross := issue(t, crossed, thief.root.Certificate, victim.root.Certificate.PublicKey, thief.root.Key)
	prior := v.pledgeRequest(victim.registrar, nonce)
	for what, bag := range map[string][]*x509.Certificate{
		"a thief that certified the victim's public key": {certified},
		"a thief that cross-certified the victim's root": {victim.registrar.Certificate, victim.ca.Certificate, cross},
	} {
		if _, err := v.service.RequestVoucher(t.Context(), v.registrarRequest(thief, prior, nonce, bag...)); reason(err) != "proximity-mismatch" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := v.service.RequestVoucher(t.Context(), v.registrarRequest(victim, prior, nonce)); err != nil {
		t.Errorf("the victim, afterwards: %v", err)
	}
}

// R18: what a registrar reads over and over is on the trail once a minute, and
// in the minute of its voucher with that.
func TestADomainCannotGrowTheMASAsTrailWithoutEnd(t *testing.T) {
	v, d := newVendor(t, nil), newDomain(t, "d")
	r := v.registrarRequest(d, v.pledgeRequest(d.registrar, "MTIzNDU2Nzg5MA=="), "MTIzNDU2Nzg5MA==")
	if _, err := v.service.RequestVoucher(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	count := func() int {
		all, err := v.store.TrailEntries(t.Context(), "default", "", 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before := count()
	answered := 0
	for range 700 {
		_, err := v.service.RequestAuditLog(t.Context(), r)
		switch {
		case err == nil:
			answered++
		case reason(err) != "request-budget":
			t.Fatalf("RequestAuditLog: %v", err)
		}
	}
	v.service.Close()      // writes what is queued
	if answered != 600-1 { // and the voucher
		t.Errorf("%d of 700 requests were answered, want 599", answered)
	}
	if n := count() - before; n != 1 {
		t.Errorf("%d trail entries by one registrar that asked the same thing 700 times, want one for the refusal", n)
	}
}
