package delegate_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/delegate"
	"github.com/briskest/briskest/ca/profile"
)

// RFC 5280, Sections 4.2.1.3, 4.2.1.9 and 4.2.1.12: what a certificate is for is what was ordered.
func TestACertificateForOtherUsesThanOrderedIsAMismatch(t *testing.T) {
	const usual = x509.KeyUsageDigitalSignature
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for name, c := range map[string]struct {
		usage    x509.KeyUsage
		extended []x509.ExtKeyUsage
		other    []asn1.ObjectIdentifier
		says     string
	}{
		"what was ordered":             {usual, client, nil, ""},
		"more that is usual":           {usual | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement, append(client, x509.ExtKeyUsageServerAuth), nil, ""},
		"neither extension":            {0, nil, nil, ""},
		"no signatures":                {x509.KeyUsageKeyAgreement, client, nil, "key usage lacks"},
		"contentCommitment":            {usual | x509.KeyUsageContentCommitment, client, nil, "key usage has"},
		"certificates":                 {usual | x509.KeyUsageCertSign, client, nil, "sign certificates"},
		"lists":                        {usual | x509.KeyUsageCRLSign, client, nil, "sign certificates"},
		"servers alone":                {usual, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, nil, "lacks the extended key usage 1.3.6.1.5.5.7.3.2"},
		"anything":                     {usual, append(client, x509.ExtKeyUsageAny), nil, "2.5.29.37.0"},
		"OCSP answers":                 {usual, append(client, x509.ExtKeyUsageOCSPSigning), nil, "1.3.6.1.5.5.7.3.9"},
		"code":                         {usual, append(client, x509.ExtKeyUsageCodeSigning), nil, "1.3.6.1.5.5.7.3.3"},
		"a usage that nobody knows of": {usual, client, []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 99999, 1}}, "1.3.6.1.4.1.99999.1"},
	} {
		h := newHouse(t)
		o := h.order(t)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(4711), RawSubject: o.CSR.RawSubject, DNSNames: o.CSR.DNSNames, NotBefore: o.Intent.NotBefore, NotAfter: o.Intent.NotAfter,
			KeyUsage: c.usage, ExtKeyUsage: c.extended, UnknownExtKeyUsage: c.other, BasicConstraintsValid: true,
		}
		raw, err := x509.CreateCertificate(rand.Reader, template, h.Issuing, o.CSR.PublicKey, h.Key)
		if err != nil {
			t.Fatal(err)
		}
		_, err = o.Accept(raw, nil)
		var wrong *ca.Mismatch
		if (err == nil) != (c.says == "") || err != nil && (!errors.As(err, &wrong) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: Accept = %v, want a Mismatch with %q", name, err, c.says)
		}
	}
}

// A CA above may limit its certificates to uses (RFC 5280, Section 4.2.1.12, as verifiers have it), to how many CAs may
// stand below (Section 4.2.1.9), and may be none at all.
func TestAChainThatDoesNotAllowTheOrderedUseIsAMismatch(t *testing.T) {
	for name, c := range map[string]struct {
		change func(issuing *x509.Certificate)
		says   string
	}{
		"as it should be": {func(*x509.Certificate) {}, ""},
		"for servers alone": {func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}, "does not allow an extended key usage"},
		"for clients":         {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, ""},
		"may not sign":        {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, "does not come from"},
		"is no CA":            {func(c *x509.Certificate) { c.IsCA = false }, "does not come from"},
		"below a full parent": {func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }, ""},
	} {
		h := newHouse(t)
		rootKey := newHouse(t) // another key
		root := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: h.Root.Subject, NotBefore: h.Root.NotBefore, NotAfter: h.Root.NotAfter,
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, MaxPathLen: 1,
		}
		create := func(template, parent *x509.Certificate, pub any, by *catest.Foreign) *x509.Certificate {
			der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, by.Key)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			return cert
		}
		root = create(root, root, rootKey.Key.Public(), rootKey.Foreign)
		good := &x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: h.Issuing.Subject, NotBefore: root.NotBefore, NotAfter: root.NotAfter,
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, MaxPathLen: -1,
		}
		bad := *good
		c.change(&bad)
		issuing := create(&bad, root, h.Key.Public(), rootKey.Foreign)
		rules := delegate.Rules{Profiles: map[string]*profile.Profile{"device": catest.DeviceProfile(t)}, Chain: []*x509.Certificate{issuing, root}}
		o, err := rules.Begin(t.Context(), h.request)
		if err != nil {
			t.Fatal(err)
		}
		_, err = o.Accept(h.Sign(h.wish(o)), nil)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("a CA that is %s: Accept = %v, want %q", name, err, c.says)
		}
	}
}
