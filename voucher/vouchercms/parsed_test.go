package vouchercms_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// Certificates that the caller has are taken as they are, and others parsed; an
// artifact means the same with and without, and its signature is checked.
func TestCertificatesThatTheCallerHasAreNotParsedAgain(t *testing.T) {
	ca := testpki.NewRoot(t, "domain CA")
	registrar := ca.Registrar(t, "registrar")
	raw, err := vouchercms.Format{}.SignRequest(t.Context(), &voucher.Request{
		Assertion: voucher.Proximity, CreatedOn: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), SerialNumber: "SN-1", Nonce: "0123456789abcdef",
	}, &voucher.Signer{Key: registrar.Key, Certificate: registrar.Certificate, Chain: registrar.Chain})
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	format := voucher.WithParsed(vouchercms.Format{}, func(der []byte) *x509.Certificate {
		asked++
		if bytes.Equal(der, registrar.Certificate.Raw) {
			return registrar.Certificate
		}
		return nil
	})
	_, got, err := format.OpenRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	_, want, err := vouchercms.Format{}.OpenRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got.Signer != registrar.Certificate || len(got.Certificates) != len(want.Certificates) || asked != len(want.Certificates) {
		t.Errorf("the signer is another certificate than the one at hand, or %d of %d certificates are there", len(got.Certificates), len(want.Certificates))
	}
	for i, c := range want.Certificates {
		if !got.Certificates[i].Equal(c) {
			t.Errorf("certificate %d is another one", i)
		}
	}
	forged := bytes.Replace(raw, []byte("SN-1"), []byte("SN-2"), 1)
	if _, _, err := format.OpenRequest(forged); !errors.Is(err, voucher.ErrSigned) {
		t.Errorf("with another serial number: %v, want ErrSigned", err)
	}
}
