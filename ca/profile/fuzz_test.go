package profile_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/profile"
)

// FuzzProfileNames: names from anywhere, in requests and in templates, are
// refused or end in a certificate that others read as it was decided.
func FuzzProfileNames(f *testing.F) {
	p := mustNew(f, everyName())
	d := profile.Device()
	d.Subject = profile.SubjectRules{Attributes: []profile.AttributeRule{{Type: "common_name", Value: "device {serial_number}"}}, Others: "ignore"}
	d.SAN = profile.NameRules{
		DNS: &profile.NameRule{Values: []string{"{device_id}.devices.example"}}, URI: &profile.NameRule{Values: []string{"spiffe://example.com/device/{model}/x"}}, Others: "ignore",
	}
	templates := mustNew(f, d)
	base := decision(f, p, 1)
	for _, value := range []string{"a", "*", "a/b", "a,b", "a\x00b", "..", "%2e%2e", "{model}", "ü", "a.b", "\xff", strings.Repeat("a", 65)} {
		f.Add(rawSubject(f, "common_name", value), generalNames(f, general(2, value), general(1, value), general(6, value), general(7, value)), value)
		f.Add(rawSubject(f, "serial_number", value), generalNames(f, general(0, value), general(4, value), general(8, value)), value)
	}
	f.Add(subjectDER(f, pkix.Name{CommonName: "device", SerialNumber: "S1"}), generalNames(f, general(2, "a.example.com"), general(6, "urn:dev:a")), "S-1")
	f.Fuzz(func(t *testing.T, subjectName, san []byte, fact string) {
		subject, names, err := p.Names(&profile.Requested{Subject: subjectName, SAN: san}, nil)
		if err == nil {
			c := *base
			c.Subject, c.Names = subject, names
			cert := parse(t, p, &c)
			if got := len(cert.DNSNames) + len(cert.EmailAddresses) + len(cert.URIs) + len(cert.IPAddresses) + len(names.Other); got != len(names.DNS)+len(names.Email)+len(names.URI)+len(names.IP)+len(names.Other) {
				t.Errorf("crypto/x509 reads %d names of %+v", got, names)
			}
			for _, name := range cert.DNSNames {
				if strings.ContainsAny(name, "*/,\x00 ") {
					t.Errorf("the DNS name %q was taken", name)
				}
			}
		}
		facts := &profile.Facts{SerialNumber: fact, DeviceID: fact, Model: fact}
		if subject, names, err = templates.Names(&profile.Requested{Subject: subjectName, SAN: san}, facts); err != nil {
			return
		}
		c := *base
		c.Subject, c.Names = subject, names
		parse(t, templates, &c)
		if len(subject) != 1 || subject[0][0].Value != "device "+fact {
			t.Errorf("fact %q gave the subject %s", fact, subject)
		}
		if len(names.DNS) != 1 || strings.Count(names.DNS[0], ".") != 2 {
			t.Errorf("fact %q gave the names %q", fact, names.DNS)
		}
		if u, err := url.Parse(names.URI[0].String()); err != nil || u.Host != "example.com" || strings.Count(u.EscapedPath(), "/") != 3 || u.RawQuery != "" || u.Fragment != "" || u.Path != "/device/"+fact+"/x" {
			t.Errorf("fact %q gave the URI %s", fact, names.URI[0])
		}
	})
}

// parse builds, checks and reads a certificate back with crypto/x509.
func parse(t *testing.T, p *profile.Profile, c *profile.Content) *x509.Certificate {
	t.Helper()
	raw, err := profile.Assemble(mustTBS(t, p, c), c.Algorithm, []byte{0x30, 6, 2, 1, 1, 2, 1, 1})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatalf("crypto/x509 cannot read the certificate for %v %+v: %v", c.Subject, c.Names, err)
	}
	return cert
}

// FuzzTBSCheck: whatever passes the check is, to crypto/x509, the certificate
// that was decided.
func FuzzTBSCheck(f *testing.F) {
	p := fullProfile(f)
	c := decision(f, p, 1)
	good := mustTBS(f, p, c)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append(bytes.Clone(good), 0))
	f.Add([]byte{0x30, 0})
	for i := 0; i < len(good); i += 7 {
		changed := bytes.Clone(good)
		changed[i] ^= 0x21
		f.Add(changed)
	}
	f.Fuzz(func(t *testing.T, tbs []byte) {
		if p.CheckTBS(tbs, c) != nil {
			return
		}
		raw, err := profile.Assemble(tbs, c.Algorithm, []byte{0x30, 6, 2, 1, 1, 2, 1, 1})
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatalf("it passes and crypto/x509 cannot read it: %v", err)
		}
		if !bytes.Equal(cert.SerialNumber.Bytes(), c.Serial) || !cert.NotAfter.Equal(c.NotAfter) || cert.IsCA || len(cert.DNSNames) != len(c.Names.DNS) ||
			!bytes.Equal(cert.RawSubjectPublicKeyInfo, c.SPKI) || len(cert.Extensions) != 12 {
			t.Errorf("what passes says something else: %x", tbs)
		}
	})
}

// FuzzProfileDocument: no document makes the loader fail otherwise than by an error.
func FuzzProfileDocument(f *testing.F) {
	for _, d := range documents() {
		f.Add(mustDocument(f, d))
	}
	f.Add([]byte(`{"schema":1,"name":"a","version":"1","subject":{"attributes":[{"type":"common_name","pattern":"(a|b)*{1,3}"}]},"keys":[{"type":"ecdsa"}],"key_usage":["digital_signature"],"validity":{"lifetime":"1h"}}`))
	key := ecKey(f, elliptic.P256())
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := profile.ParseJSON(data)
		if err != nil {
			return
		}
		_ = p.CheckKey(key.Public())
		if _, _, err := p.Period(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), time.Time{}, time.Time{}, profile.Never()); err != nil {
			t.Errorf("Period of a profile that was taken: %v", err)
		}
		for n := range 4 {
			if _, _, err := p.Sample(n); err != nil {
				t.Errorf("Sample of a profile that was taken: %v", err)
			}
		}
	})
}

func mustDocument(t testing.TB, d *profile.Document) []byte {
	t.Helper()
	data, err := json.Marshal(mustNew(t, d).Document())
	if err != nil {
		t.Fatal(err)
	}
	return data
}
