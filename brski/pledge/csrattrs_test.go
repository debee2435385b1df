package pledge_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"testing"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/est"
)

// RFC 8995, Section 5.9.2; RFC 9908, Section 3.4.
func TestThePledgeMakesItsRequestAsTheRegistrarSays(t *testing.T) {
	w := brskitest.New(t)
	plan := est.CSRPlan{
		Key:     &est.KeyPlan{Algorithm: x509.ECDSA, Curve: elliptic.P384()},
		Subject: [][]est.SubjectAttribute{{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}}}, {{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: []byte("\x13\x02us")}}},
	}
	der, err := plan.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	w.Registrar.SetCSRAttrs(der)
	newDevice(t, w).onboard()
	sent := w.Registrar.Enrollments()
	if len(sent) != 1 {
		t.Fatalf("%d requests", len(sent))
	}
	csr := sent[0].CSR
	if key, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P384() || csr.Subject.String() != "CN=JADA123456789,O=us" {
		t.Errorf("key %T, subject %s", csr.PublicKey, csr.Subject)
	}
}

// What cannot be read or followed does not keep a device out: the registrar says itself what it will not take.
func TestThePledgeGoesOnWhereItCannotDoAsTheRegistrarSays(t *testing.T) {
	macAddress, err := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 6, 1, 1, 1, 1, 22})
	if err != nil {
		t.Fatal(err)
	}
	unknownCurve := est.CSRAttrs{Items: []est.Attribute{{OID: asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, Values: [][]byte{macAddress}}}}
	curve, err := unknownCurve.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	wantsOrganization := est.CSRPlan{Subject: [][]est.SubjectAttribute{{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}}}}}
	subject, err := wantsOrganization.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for what, der := range map[string][]byte{"an unknown curve": curve, "an attribute that it does not know of itself": subject} {
		w := brskitest.New(t)
		w.Registrar.SetCSRAttrs(der)
		newDevice(t, w).onboard()
		if sent := w.Registrar.Enrollments(); len(sent) != 1 || sent[0].CSR.Subject.String() != "SERIALNUMBER=JADA123456789" {
			t.Errorf("%s: %d requests", what, len(sent))
		}
	}
}
