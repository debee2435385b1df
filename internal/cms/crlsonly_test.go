package cms_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
	"github.com/briskest/briskest/internal/testpki"
)

// RFC 8295, Section 4.
func TestCRLsOnlyGivesBackTheListsInOrder(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	now := time.Now()
	var raw [][]byte
	for n := range int64(2) {
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(n + 1), ThisUpdate: now, NextUpdate: now.Add(time.Hour), RevokedCertificateEntries: []x509.RevocationListEntry{
				{SerialNumber: big.NewInt(7), RevocationTime: now, ExtraExtensions: []pkix.Extension{}},
			},
		}, root.Certificate, root.Key)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, der)
		message, err := cms.CRLsOnly(raw...)
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range [][]byte{message, cmstest.Indefinite(message, 10)} {
			lists, err := cms.ParseCRLsOnly(data)
			if err != nil || len(lists) != len(raw) || lists[n].Number.Int64() != n+1 || lists[n].CheckSignatureFrom(root.Certificate) != nil {
				t.Fatalf("ParseCRLsOnly = %v, %v", lists, err)
			}
		}
		if _, err := cms.ParseCertsOnly(message); !errors.Is(err, cms.ErrNoCertificates) {
			t.Errorf("ParseCertsOnly of CRLs: %v", err)
		}
	}
	if _, err := cms.CRLsOnly(); !errors.Is(err, cms.ErrRequest) {
		t.Errorf("CRLsOnly of none: %v", err)
	}
	certs, err := cms.CertsOnly(root.Certificate.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cms.ParseCRLsOnly(certs); !errors.Is(err, cms.ErrNoCRLs) {
		t.Errorf("ParseCRLsOnly of certificates: %v", err)
	}
	broken, err := cms.CRLsOnly([]byte{0x30, 0})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cms.ParseCRLsOnly(broken); !errors.Is(err, cms.ErrNotCertsOnly) {
		t.Errorf("ParseCRLsOnly of what is no CRL: %v", err)
	}
}
