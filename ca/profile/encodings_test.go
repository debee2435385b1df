package profile_test

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// EST-5280-4.1.2.4-02: whatever string type a request has, the certificate's are
// PrintableString, UTF8String or, where the attribute has it, IA5String.
func TestStringsOfRequestsAreConvertedOrRefused(t *testing.T) {
	d := profile.Device()
	d.Subject.Attributes = append(d.Subject.Attributes, profile.AttributeRule{Type: "domain_component"}, profile.AttributeRule{Type: "organization"})
	p := mustNew(t, d)
	organization, component := asn1.ObjectIdentifier{2, 5, 4, 10}, asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
	for what, c := range map[string]struct {
		attribute asn1.ObjectIdentifier
		tag       cbasn1.Tag
		value     string
		want      cbasn1.Tag // 0: refused
	}{
		"TeletexString":             {organization, cbasn1.T61String, "Example", cbasn1.PrintableString},
		"TeletexString, Latin-1":    {organization, cbasn1.T61String, "Ger\xe4te", 0},
		"BMPString":                 {organization, 30, "\x00G\x00e\x00r\x00\xe4\x00t", cbasn1.UTF8String},
		"BMPString, odd":            {organization, 30, "\x00G\x00", 0},
		"UniversalString":           {organization, 28, "\x00\x00\x00G", 0},
		"PrintableString":           {organization, cbasn1.PrintableString, "Example", cbasn1.PrintableString},
		"PrintableString, with @":   {organization, cbasn1.PrintableString, "a@b", cbasn1.UTF8String},
		"UTF8String":                {organization, cbasn1.UTF8String, "Ger\u00e4t", cbasn1.UTF8String},
		"UTF8String, no UTF-8":      {organization, cbasn1.UTF8String, "Ger\xe4t", 0},
		"IA5String":                 {organization, cbasn1.IA5String, "Example", cbasn1.PrintableString},
		"a number":                  {organization, cbasn1.INTEGER, "\x01", 0},
		"domain component":          {component, cbasn1.IA5String, "example", cbasn1.IA5String},
		"domain component, Teletex": {component, cbasn1.T61String, "example", cbasn1.IA5String},
	} {
		var b cryptobyte.Builder
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(c.attribute)
					b.AddASN1(c.tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(c.value)) })
				})
			})
		})
		subject, _, err := p.Names(&profile.Requested{Subject: b.BytesOrPanic()}, nil)
		if c.want == 0 {
			if !errors.Is(err, ca.ErrRejected) {
				t.Errorf("%s: %v, %v, want ErrRejected", what, subject, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		content := decision(t, p, 0)
		content.Subject = subject
		cert := parseTBS(t, mustTBS(t, p, content), content)
		if tag := stringTagOf(t, cert.RawSubject); tag != c.want {
			t.Errorf("%s is written with the tag %d, want %d", what, tag, c.want)
		}
	}
}

// stringTagOf is the tag of the only attribute's value.
func stringTagOf(t *testing.T, name []byte) cbasn1.Tag {
	t.Helper()
	in := cryptobyte.String(name)
	var seq, set, atv, value cryptobyte.String
	var tag cbasn1.Tag
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1(&set, cbasn1.SET) || !set.ReadASN1(&atv, cbasn1.SEQUENCE) ||
		!atv.SkipASN1(cbasn1.OBJECT_IDENTIFIER) || !atv.ReadAnyASN1(&value, &tag) {
		t.Fatalf("no name: %x", name)
	}
	return tag
}

// EST-5280-4.2.1.6-02: what is no list of names is none of a SubjectAltName.
func TestAlternativeNamesThatCannotBeReadAreRefused(t *testing.T) {
	p := mustNew(t, everyName())
	subject := subjectDER(t, pkix.Name{CommonName: "device"})
	for what, san := range map[string][]byte{
		"an empty list":        {0x30, 0},
		"no list":              {5, 0},
		"an address of 5":      generalNames(t, general(7, "\x0a\x00\x00\x01\x00")),
		"an address of none":   generalNames(t, general(7, "")),
		"a network":            generalNames(t, general(7, "\x0a\x00\x00\x00\xff\x00\x00\x00")),
		"bytes after the list": append(generalNames(t, general(2, "a.example")), 0),
		"a name cut short":     {0x30, 3, 0x82, 5, 'a'},
		"an unknown tag":       generalNames(t, general(9, "a")),
		"NUL within":           generalNames(t, general(2, "a.example\x00.b")),
		"no IA5":               generalNames(t, general(2, "\xe4.example")),
	} {
		_, names, err := p.Names(&profile.Requested{Subject: subject, SAN: san}, nil)
		if !errors.Is(err, ca.ErrRejected) {
			t.Errorf("%s: %+v, %v, want ErrRejected", what, names, err)
		}
	}
}
