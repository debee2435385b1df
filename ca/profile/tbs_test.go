package profile_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
)

// decision is one that the profile takes, the n-th sample. Its key is always
// the same, so that fuzzing in several processes is about the same bytes.
func decision(t testing.TB, p *profile.Profile, n int) *profile.Content {
	t.Helper()
	subject, names, err := p.Sample(n)
	if err != nil {
		t.Fatal(err)
	}
	scalar := sha256.Sum256([]byte("a key for tests"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
	if err != nil {
		t.Fatal(err)
	}
	spki, err := profile.MarshalPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := asn1.Marshal(pkix.Name{CommonName: "CA"}.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	start, end, err := p.Period(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC), time.Time{}, time.Time{}, profile.Never())
	if err != nil {
		t.Fatal(err)
	}
	return &profile.Content{
		Serial: []byte{0x80, 1, 2, 3, 4, 5, 6, 7, 8}, Algorithm: profile.ECDSAWithSHA256, Issuer: issuer, AuthorityKeyID: []byte("01234567890123456789"),
		NotBefore: start, NotAfter: end, Subject: subject, Names: names, Key: key.Public(), SPKI: spki,
	}
}

func fullProfile(t testing.TB) *profile.Profile {
	t.Helper()
	p, err := profile.Load([]byte(everyField), decode)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustTBS(t testing.TB, p *profile.Profile, c *profile.Content) []byte {
	t.Helper()
	tbs, err := p.TBS(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CheckTBS(tbs, c); err != nil {
		t.Fatalf("CheckTBS of what TBS made: %v", err)
	}
	return tbs
}

// The standard library's view of what we build.
func TestACertificateSaysWhatItsProfileSays(t *testing.T) {
	p := fullProfile(t)
	c := decision(t, p, 1)
	c.Algorithm = profile.ECDSAWithSHA384
	tbs := mustTBS(t, p, c)
	raw, err := profile.Assemble(tbs, c.Algorithm, []byte{0x30, 6, 2, 1, 1, 2, 1, 1})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	d := p.Document()
	for what, pair := range map[string][2]any{
		"serial":               {cert.SerialNumber.Bytes(), c.Serial},
		"version":              {cert.Version, 3},
		"start":                {cert.NotBefore, c.NotBefore},
		"end":                  {cert.NotAfter, c.NotAfter},
		"key usage":            {cert.KeyUsage, x509.KeyUsageDigitalSignature},
		"purposes":             {cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageOCSPSigning}},
		"other purposes":       {cert.UnknownExtKeyUsage, []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 28}, {1, 3, 6, 1, 4, 1, 32473, 9}}},
		"CA":                   {cert.IsCA, false},
		"basic constraints":    {cert.BasicConstraintsValid, true},
		"authority key":        {cert.AuthorityKeyId, c.AuthorityKeyID},
		"subject key":          {cert.SubjectKeyId, profile.KeyID(c.SPKI)},
		"issuing certificates": {cert.IssuingCertificateURL, d.CAIssuers},
		"OCSP":                 {cert.OCSPServer, d.OCSP},
		"distribution points":  {cert.CRLDistributionPoints, d.CRL},
		"policies":             {cert.PolicyIdentifiers, []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 32473, 5}, {2, 23, 140, 1, 2, 1}}},
		"DNS names":            {cert.DNSNames, c.Names.DNS},
		"addresses":            {cert.IPAddresses, c.Names.IP},
		"URIs":                 {cert.URIs, c.Names.URI},
		"mail addresses":       {cert.EmailAddresses, c.Names.Email},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s = %v, want %v", what, pair[0], pair[1])
		}
	}
	var subject pkix.RDNSequence
	if _, err := asn1.Unmarshal(cert.RawSubject, &subject); err != nil || subject.String() != c.Subject.String() {
		t.Errorf("subject = %s, %v, want %s", subject, err, c.Subject)
	}
	found := false
	for _, e := range cert.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 32}) {
			found = !e.Critical && bytes.Equal(e.Value, append([]byte{22, byte(len(d.MASAURL))}, d.MASAURL...))
		}
	}
	if !found {
		t.Error("the MASA URL is missing or wrong (RFC 8995, Section 2.3.2)")
	}
}

// RFC 5280, Section 4.2.1.6.
func TestTheSubjectAltNameIsCriticalOnlyWithoutASubject(t *testing.T) {
	p := mustNew(t, profile.Device())
	c := decision(t, p, 1)
	for _, empty := range []bool{false, true} {
		if empty {
			c.Subject = nil
		}
		raw, err := profile.Assemble(mustTBS(t, p, c), c.Algorithm, []byte{0x30, 6, 2, 1, 1, 2, 1, 1})
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range cert.Extensions {
			if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) && e.Critical != empty {
				t.Errorf("with an empty subject %v: critical = %v", empty, e.Critical)
			}
		}
	}
}

// EST-5280-4.1.2.5-01: UTCTime to 2049, GeneralizedTime after.
func TestTimesChangeTheirFormIn2050(t *testing.T) {
	p := mustNew(t, profile.IDevID(""))
	c := decision(t, p, 0)
	for end, want := range map[time.Time]string{
		time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC): "\x17\x0d491231235959Z",
		time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC):      "\x18\x0f20500101000000Z",
		profile.Never(): "\x18\x0f99991231235959Z",
	} {
		c.NotAfter = end
		if tbs := mustTBS(t, p, c); !bytes.Contains(tbs, []byte(want)) {
			t.Errorf("notAfter %s is not written %q", end, want)
		}
	}
}

func TestMultiValuedNamesKeepTheirSets(t *testing.T) {
	p := mustNew(t, profile.Device())
	want := pkix.RDNSequence{{
		{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "device"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 5}, Value: "S1"},
	}}
	der, err := asn1.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	subject, _, err := p.Names(&profile.Requested{Subject: der}, nil)
	if err != nil || len(subject) != 1 || len(subject[0]) != 2 {
		t.Fatalf("Names = %v, %v, want one set of two", subject, err)
	}
	c := decision(t, p, 0)
	c.Subject = subject
	if tbs := mustTBS(t, p, c); !bytes.Contains(tbs, der) {
		t.Error("the set is not in the certificate as crypto/x509 writes it")
	}
}

// R13: what is signed equals the decision; anything else is not signed.
func TestCheckTBSSeesEveryDifference(t *testing.T) {
	p := fullProfile(t)
	good := decision(t, p, 1)
	tbs := mustTBS(t, p, good)
	for name, change := range map[string]func(c *profile.Content){
		"serial":          func(c *profile.Content) { c.Serial = []byte{1} },
		"no serial":       func(c *profile.Content) { c.Serial = nil },
		"algorithm":       func(c *profile.Content) { c.Algorithm = profile.ECDSAWithSHA384 },
		"issuer":          func(c *profile.Content) { c.Issuer = []byte{0x30, 0} },
		"key id":          func(c *profile.Content) { c.AuthorityKeyID = []byte("x") },
		"start":           func(c *profile.Content) { c.NotBefore = c.NotBefore.Add(time.Second) },
		"end":             func(c *profile.Content) { c.NotAfter = c.NotAfter.Add(-time.Second) },
		"key":             func(c *profile.Content) { c.SPKI = append(bytes.Clone(c.SPKI), 0) },
		"subject shorter": func(c *profile.Content) { c.Subject = c.Subject[1:] },
		"subject longer":  func(c *profile.Content) { c.Subject = append(c.Subject[:len(c.Subject):len(c.Subject)], c.Subject[0]) },
		"subject order":   func(c *profile.Content) { c.Subject = pkix.RDNSequence{c.Subject[1], c.Subject[0], c.Subject[2]} },
		"subject value":   func(c *profile.Content) { c.Subject = subjectWith(c.Subject, 0, "Evil") },
		"DNS name":        func(c *profile.Content) { c.Names.DNS = []string{"evil.example", c.Names.DNS[1]} },
		"DNS name fewer":  func(c *profile.Content) { c.Names.DNS = c.Names.DNS[1:] },
		"no names":        func(c *profile.Content) { c.Names = ca.Names{} },
		"another type": func(c *profile.Content) {
			c.Names.Email, c.Names.DNS = append(c.Names.Email, c.Names.DNS[0]), c.Names.DNS[1:]
		},
		"URI":                 func(c *profile.Content) { c.Names.URI = []*url.URL{{Scheme: "urn", Opaque: "x"}} },
		"address":             func(c *profile.Content) { c.Names.IP = append(c.Names.IP[1:2:2], c.Names.IP[1:]...) },
		"other name":          func(c *profile.Content) { c.Names.Other = c.Names.Other[:1] },
		"too long a validity": func(c *profile.Content) { c.NotAfter = c.NotAfter.AddDate(2, 0, 0) },
	} {
		c := *good
		change(&c)
		if err := p.CheckTBS(tbs, &c); !errors.Is(err, profile.ErrTBS) {
			t.Errorf("%s: CheckTBS = %v, want ErrTBS", name, err)
		}
		if name == "no serial" {
			continue
		}
		if made, err := p.TBS(&c); err == nil && p.CheckTBS(made, good) == nil {
			t.Errorf("%s: a certificate that differs passes", name)
		}
	}
	// A certificate of another profile, over the same decision.
	for name, change := range map[string]func(d *profile.Document){
		"more usage": func(d *profile.Document) {
			d.KeyUsage, d.Keys = append(d.KeyUsage, "key_agreement"), d.Keys[1:2]
		},
		"fewer purposes": func(d *profile.Document) { d.ExtendedKeyUsage = d.ExtendedKeyUsage[1:] },
		"purposes gone": func(d *profile.Document) {
			d.ExtendedKeyUsage, d.ExtendedKeyUsageCritical, d.OCSPNoCheck = nil, false, false
		},
		"checked":             func(d *profile.Document) { d.OCSPNoCheck = false },
		"another delta":       func(d *profile.Document) { d.FreshestCRL[0] += "x" },
		"no delta":            func(d *profile.Document) { d.FreshestCRL = nil },
		"uncritical purposes": func(d *profile.Document) { d.ExtendedKeyUsageCritical = false },
		"a CA": func(d *profile.Document) {
			d.BasicConstraints.CA, d.KeyUsage, d.Keys = true, append(d.KeyUsage, "key_cert_sign"), d.Keys[1:]
		},
		"no constraints":  func(d *profile.Document) { d.BasicConstraints = nil },
		"another OCSP":    func(d *profile.Document) { d.OCSP[0] += "/x" },
		"no issuer":       func(d *profile.Document) { d.CAIssuers = nil },
		"another CRL":     func(d *profile.Document) { d.CRL = d.CRL[:1] },
		"another policy":  func(d *profile.Document) { d.Policies[1].OID = "1.2.3" },
		"another CPS":     func(d *profile.Document) { d.Policies[0].CPS += "x" },
		"another MASA":    func(d *profile.Document) { d.MASAURL = "evil.example" },
		"no subject key":  func(d *profile.Document) { d.SubjectKeyIdentifier = "none" },
		"no MASA":         func(d *profile.Document) { d.MASAURL = "" },
		"no distribution": func(d *profile.Document) { d.CRL = nil },
	} {
		d := fullProfile(t).Document()
		change(d)
		q := mustNew(t, d)
		made, err := q.TBS(good)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.CheckTBS(made, good); !errors.Is(err, profile.ErrTBS) {
			t.Errorf("%s: CheckTBS = %v, want ErrTBS", name, err)
		}
	}
}

func subjectWith(subject pkix.RDNSequence, i int, value string) pkix.RDNSequence {
	out := append(pkix.RDNSequence(nil), subject...)
	out[i] = pkix.RelativeDistinguishedNameSET{{Type: subject[i][0].Type, Value: value}}
	return out
}

// Every single changed, cut or added byte is seen.
func TestCheckTBSSeesEveryChangedByte(t *testing.T) {
	p := fullProfile(t)
	c := decision(t, p, 1)
	tbs := mustTBS(t, p, c)
	for i := range tbs {
		for _, mask := range []byte{0x01, 0x20, 0x80, 0xff} {
			changed := bytes.Clone(tbs)
			changed[i] ^= mask
			if err := p.CheckTBS(changed, c); err == nil {
				t.Errorf("byte %d of %d changed by %#x (%x) passes", i, len(tbs), mask, tbs[max(0, i-3):min(len(tbs), i+4)])
			}
		}
		if p.CheckTBS(tbs[:i], c) == nil {
			t.Errorf("%d of %d bytes pass", i, len(tbs))
		}
	}
	if p.CheckTBS(append(bytes.Clone(tbs), 0), c) == nil {
		t.Error("an added byte passes")
	}
}

func TestSampleCertificatesDiffer(t *testing.T) {
	p := mustNew(t, profile.Device())
	a, _, err := p.Sample(1)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := p.Sample(3)
	if err != nil || a.String() == b.String() {
		t.Errorf("samples 1 and 3 are %s and %s, %v", a, b, err)
	}
}
