package localca_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/localca"
)

const (
	partition = "http://pki.example.com/crl/00ff/16/3.crl"
	freshest  = "http://pki.example.com/crl/00ff/16/3-delta.crl"
)

// extension returns a list's extension under id-ce.
func extension(t *testing.T, raw []byte, last int) (value string, critical, there bool) {
	t.Helper()
	list, err := x509.ParseRevocationList(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, last}) {
			return string(e.Value), e.Critical, true
		}
	}
	return "", false, false
}

// RFC 5280, Sections 5.2.4, 5.2.5 and 5.2.6, byte for byte.
func TestListsSayWhatTheyAreAbout(t *testing.T) {
	c := newCA(t, ecKey(t, elliptic.P256()))
	scoped, delta := revocationList(9), revocationList(10, ca.Revocation{Serial: []byte{5}, At: start(), Reason: 8})
	scoped.DistributionPoint, scoped.Freshest = partition, []string{freshest}
	delta.DistributionPoint, delta.Base = partition, 9
	point := func(url string) string {
		name := "\x86" + string(rune(len(url))) + url
		full := "\xa0" + string(rune(len(name))) + name
		return "\xa0" + string(rune(len(full))) + full
	}
	sequence := func(s string) string { return "\x30" + string(rune(len(s))) + s }
	for _, check := range []struct {
		what     string
		list     *ca.RevocationList
		last     int
		critical bool
		want     string
	}{
		{"a full list has no base", revocationList(1), 27, false, ""},
		{"a full list of all has no distribution point", revocationList(1), 28, false, ""},
		{"a full list names no deltas unasked", revocationList(1), 46, false, ""},
		{"the list of a partition names it", scoped, 28, true, sequence(point(partition))},
		{"a list with deltas names them", scoped, 46, false, sequence(sequence(point(freshest)))},
		{"a delta names its base", delta, 27, true, "\x02\x01\x09"},
		{"a delta has the scope of its base", delta, 28, true, sequence(point(partition))},
		{"a delta has no deltas", delta, 46, false, ""},
	} {
		raw, err := c.CRL(t.Context(), check.list)
		if err != nil {
			t.Errorf("%s: %v", check.what, err)
			continue
		}
		value, critical, there := extension(t, raw, check.last)
		if value != check.want || critical != check.critical || there != (check.want != "") {
			t.Errorf("%s: extension %d is %x, critical %t, want %x, %t", check.what, check.last, value, critical, check.want, check.critical)
		}
	}
}

func TestListsOfImpossibleScopeAreRefused(t *testing.T) {
	c := newCA(t, ecKey(t, elliptic.P256()))
	for name, change := range map[string]func(l *ca.RevocationList){
		"its own base":      func(l *ca.RevocationList) { l.Base = l.Number },
		"a later base":      func(l *ca.RevocationList) { l.Base = l.Number + 1 },
		"a base below 0":    func(l *ca.RevocationList) { l.Base = -1 },
		"deltas of deltas":  func(l *ca.RevocationList) { l.Base, l.Freshest = 1, []string{freshest} },
		"a URL with spaces": func(l *ca.RevocationList) { l.DistributionPoint = "http://pki example" },
		"a URL with a NUL":  func(l *ca.RevocationList) { l.Freshest = []string{"http://pki\x00example"} },
		"a long URL":        func(l *ca.RevocationList) { l.DistributionPoint = "http://" + strings.Repeat("a", 1100) },
		"many URLs":         func(l *ca.RevocationList) { l.Freshest = make([]string, 9) },
	} {
		list := revocationList(5)
		change(list)
		if raw, err := c.CRL(t.Context(), list); !errors.Is(err, localca.ErrList) || raw != nil {
			t.Errorf("%s: CRL = %d bytes, %v, want ErrList", name, len(raw), err)
		}
	}
}

// OpenSSL reads a delta and the list of a partition.
func TestOpenSSLReadsDeltasAndPartitions(t *testing.T) {
	c := newCA(t, ecKey(t, elliptic.P256()))
	dir := t.TempDir()
	writePEM(t, filepath.Join(dir, "ca.pem"), "CERTIFICATE", c.Certificate().Raw)
	full, delta := revocationList(9), revocationList(10, ca.Revocation{Serial: []byte{5}, At: start(), Reason: 8})
	full.DistributionPoint, full.Freshest = partition, []string{freshest}
	delta.DistributionPoint, delta.Base = partition, 9
	for list, want := range map[*ca.RevocationList][]string{
		full:  {"X509v3 Issuing Distribution Point: critical", "URI:" + partition, "X509v3 Freshest CRL", "URI:" + freshest},
		delta: {"X509v3 Delta CRL Indicator: critical", "09", "Remove From CRL", "X509v3 Issuing Distribution Point: critical"},
	} {
		raw, err := c.CRL(t.Context(), list)
		if err != nil {
			t.Fatal(err)
		}
		writePEM(t, filepath.Join(dir, "crl.pem"), "X509 CRL", raw)
		out, err := openssl(t, dir, "crl", "-in", "crl.pem", "-CAfile", "ca.pem", "-noout", "-text")
		if err != nil || !strings.Contains(out, "verify OK") {
			t.Errorf("openssl crl: %v: %s", err, out)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("openssl crl does not show %q: %s", w, out)
			}
		}
	}
}

// EST-5280-5.3.1-01: each entry has the reason it was given, and unspecified is left out.
func TestAnEntryHasARealReasonOrNone(t *testing.T) {
	c := newCA(t, ecKey(t, elliptic.P256()))
	for _, reason := range []int{0, 1, 2, 3, 4, 5, 6, 9, 10} {
		raw, err := c.CRL(t.Context(), revocationList(1, ca.Revocation{Serial: []byte{5}, At: start(), Reason: reason}))
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(raw)
		if err != nil {
			t.Fatal(err)
		}
		entry := list.RevokedCertificateEntries[0]
		if entry.ReasonCode != reason || (len(entry.Extensions) == 0) != (reason == 0) {
			t.Errorf("reason %d: the entry has %d and %d extensions", reason, entry.ReasonCode, len(entry.Extensions))
		}
	}
}
