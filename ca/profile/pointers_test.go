package profile_test

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca/profile"
)

// parseTBS gives a to-be-signed certificate a signature of nobody, to be read by the standard library.
func parseTBS(t testing.TB, tbs []byte, c *profile.Content) *x509.Certificate {
	t.Helper()
	raw, err := profile.Assemble(tbs, c.Algorithm, []byte{0x30, 6, 2, 1, 1, 2, 1, 1})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func pointing() *profile.Document {
	d := profile.Device()
	d.CRL = []string{"http://pki.example.com/crl/{authority}/{crl_partition}.crl"}
	d.FreshestCRL = []string{"http://pki.example.com/delta/{authority}/{crl_partition}.crl"}
	d.OCSP = []string{"http://ocsp.example.com/{authority}"}
	d.CAIssuers = []string{"http://pki.example.com/{authority}.der", "http://pki.example.com/ca.der"}
	return d
}

// EST-5280-4.2.1.13-01.
func TestURLsLeadToTheAuthorityAndThePartition(t *testing.T) {
	p := mustNew(t, pointing())
	const id = "3031323334353637383930313233343536373839"
	for _, count := range []int{0, 1, 2, 16, 1 << 16} {
		c := decision(t, p, 0)
		c.Partitions = count
		digest := sha256.Sum256(c.Serial)
		index := (int(digest[0])<<8 | int(digest[1])) * max(count, 1) >> 16
		cert := parseTBS(t, mustTBS(t, p, c), c)
		partition := fmt.Sprintf("%d/%d", max(count, 1), index)
		for what, pair := range map[string][2][]string{
			"CRL":        {cert.CRLDistributionPoints, {"http://pki.example.com/crl/" + id + "/" + partition + ".crl"}},
			"OCSP":       {cert.OCSPServer, {"http://ocsp.example.com/" + id}},
			"CA issuers": {cert.IssuingCertificateURL, {"http://pki.example.com/" + id + ".der", "http://pki.example.com/ca.der"}},
		} {
			if !slices.Equal(pair[0], pair[1]) {
				t.Errorf("%d partitions, %s: %q, want %q", count, what, pair[0], pair[1])
			}
		}
		i := slices.IndexFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 46}) })
		if want := "http://pki.example.com/delta/" + id + "/" + partition + ".crl"; i < 0 || !strings.Contains(string(cert.Extensions[i].Value), want) {
			t.Errorf("%d partitions: no freshest CRL %s", count, want)
		}
	}
}

// What was decided about partitions is what is compared before signing.
func TestATBSOfAnotherPartitionOrAuthorityIsNotSigned(t *testing.T) {
	p := mustNew(t, pointing())
	c := decision(t, p, 0)
	c.Partitions = 16
	tbs := mustTBS(t, p, c)
	for what, change := range map[string]func(*profile.Content){
		"partitions": func(c *profile.Content) { c.Partitions = 32 },
		"authority":  func(c *profile.Content) { c.AuthorityKeyID = []byte("another key") },
	} {
		other := *c
		change(&other)
		if err := p.CheckTBS(tbs, &other); !errors.Is(err, profile.ErrTBS) {
			t.Errorf("other %s: %v, want ErrTBS", what, err)
		}
	}
}

func TestPartitionsSplitInTwoAndHoldAboutAsMany(t *testing.T) {
	const count, serials = 16, 4096
	var sizes [count]int
	for n := range serials {
		serial := []byte{1, byte(n >> 8), byte(n)}
		i := profile.Partition(serial, count)
		sizes[i]++
		if half := profile.Partition(serial, 2*count); half>>1 != i || profile.Partition(serial, 1) != 0 {
			t.Fatalf("serial number %x: partition %d of 16, %d of 32", serial, i, half)
		}
	}
	for i, n := range sizes {
		if n < serials/count/2 || n > serials/count*2 {
			t.Errorf("partition %d holds %d of %d", i, n, serials)
		}
	}
	for count, valid := range map[int]bool{-1: false, 0: false, 1: true, 2: true, 3: false, 1 << 16: true, 1 << 17: false} {
		if profile.ValidPartitions(count) != valid {
			t.Errorf("ValidPartitions(%d) = %v", count, !valid)
		}
	}
}

func TestURLsWithOtherWordsAreRefused(t *testing.T) {
	for what, change := range map[string]func(*profile.Document){
		"crl[0]":           func(d *profile.Document) { d.CRL = []string{"http://a.example/{serial_number}"} },
		"ocsp[0]":          func(d *profile.Document) { d.OCSP = []string{"http://a.example/{crl_partition}"} },
		"ca_issuers[0]":    func(d *profile.Document) { d.CAIssuers = []string{"http://a.example/{authority"} },
		"freshest_crl[0]":  func(d *profile.Document) { d.FreshestCRL = []string{"https://a.example/"} },
		"ocsp_no_check":    func(d *profile.Document) { d.OCSPNoCheck = true },
		"crl[0]: \"http:/": func(d *profile.Document) { d.CRL = []string{"http:///{authority}"} },
	} {
		d := profile.Device()
		change(d)
		if _, err := profile.New(d); !errors.Is(err, profile.ErrDocument) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// RFC 6960, Section 4.2.2.2.1.
func TestAResponderIsNotAskedAbout(t *testing.T) {
	p := mustNew(t, profile.OCSPResponder())
	c := decision(t, p, 0)
	cert := parseTBS(t, mustTBS(t, p, c), c)
	i := slices.IndexFunc(cert.Extensions, func(e pkix.Extension) bool {
		return e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5})
	})
	if i < 0 || cert.Extensions[i].Critical || string(cert.Extensions[i].Value) != "\x05\x00" {
		t.Errorf("id-pkix-ocsp-nocheck is missing or wrong: %v", cert.Extensions)
	}
	if !slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}) || cert.IsCA {
		t.Errorf("purposes %v, CA %v", cert.ExtKeyUsage, cert.IsCA)
	}
}
