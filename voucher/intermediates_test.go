package voucher_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
)

// A bag is a peer's choice: what no chain runs through is not tried.
func TestIntermediatesAreTheCAsThatAChainCanRunThrough(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	upper := root.NewIntermediate(t, "upper")
	lower := upper.NewIntermediate(t, "lower")
	leaf := lower.Registrar(t, "registrar")
	other := testpki.NewRoot(t, "other").NewIntermediate(t, "below other")
	bag := append([]*x509.Certificate{leaf.Certificate, other.Certificate, lower.Registrar(t, "lower").Certificate}, other.Chain...)
	bag = append(append(bag, leaf.Chain...), leaf.Chain...)
	got, err := voucher.Intermediates(leaf.Certificate, bag)
	if err != nil {
		t.Fatal(err)
	}
	want := x509.NewCertPool()
	for _, c := range leaf.Chain {
		want.AddCert(c)
	}
	if !got.Equal(want) {
		t.Error("Intermediates are not the three CAs above the leaf")
	}
}

func TestACrowdOfCAsOfOneNameIsNotTried(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	ca := root.NewIntermediate(t, "CA")
	leaf := ca.Registrar(t, "registrar")
	bag := append([]*x509.Certificate{leaf.Certificate}, leaf.Chain...)
	for len(bag) < voucher.MaxCertificates+1 {
		bag = append(bag, root.Issue(t, &x509.Certificate{
			Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}, ca.Key).Certificate)
	}
	artifact := &voucher.Artifact{Signer: leaf.Certificate, Certificates: bag}
	if _, err := artifact.VerifySigner(root.Pool(), time.Now()); err != nil {
		t.Errorf("VerifySigner through one of %d CAs: %v", voucher.MaxCertificates, err)
	}
	artifact.Certificates = append(bag, root.NewIntermediate(t, "CA").Certificate)
	if _, err := artifact.VerifySigner(root.Pool(), time.Now()); !errors.Is(err, voucher.ErrTooManyCertificates) {
		t.Errorf("VerifySigner through one of %d CAs = %v, want %v", voucher.MaxCertificates+1, err, voucher.ErrTooManyCertificates)
	}
}
