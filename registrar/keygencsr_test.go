package registrar_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
)

// RFC 7030, Section 4.4.1: the client's CSR is signed with another key, so that
// a CA which is passed a CSR gets one of the key that was made here.
func TestAGeneratedKeyIsCertifiedByACAThatWantsACSR(t *testing.T) {
	device, err := profile.New(profile.Device())
	if err != nil {
		t.Fatal(err)
	}
	remote := catest.NewRemote(t, device)
	h := newHouse(t, func(h *house) {
		h.reprofile(func(*profile.Document) {})
		h.settings.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: remote}
	})
	k, err := h.as(h.serve(), group).ServerKeyGen(t.Context(), &est.KeyGenRequest{Names: &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "sensor-7", SerialNumber: "sensor-7"},
	}})
	if err != nil {
		t.Fatalf("ServerKeyGen: %v", err)
	}
	if !k.Key.Public().(*ecdsa.PublicKey).Equal(k.Certificate.PublicKey) || k.Certificate.Subject.CommonName != "sensor-7" {
		t.Error("the certificate is not for the generated key and the name that was asked for")
	}
	if signed := remote.Signed(); len(signed) != 1 {
		t.Errorf("the CA signed %d certificates, want 1", len(signed))
	}
	if rows := h.certificates(registrar.Issued); len(rows) != 1 || rows[0].Operation != registrar.OpKeyGen {
		t.Errorf("%d certificates on record, want the one", len(rows))
	}
}
