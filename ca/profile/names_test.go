package profile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
)

func mustNew(t testing.TB, d *profile.Document) *profile.Profile {
	t.Helper()
	p, err := profile.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// generalNames encodes names of any type: tag and content.
func generalNames(t testing.TB, names ...asn1.RawValue) []byte {
	t.Helper()
	der, err := asn1.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func general(tag int, content string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: tag == 0 || tag == 3 || tag == 4 || tag == 5, Bytes: []byte(content)}
}

func subjectDER(t testing.TB, name pkix.Name) []byte {
	t.Helper()
	der, err := asn1.Marshal(name.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// everyName takes each type of name there is.
func everyName() *profile.Document {
	d := profile.Device()
	d.Name = "every-name"
	open := func() *profile.NameRule { return &profile.NameRule{Request: true} }
	d.SAN = profile.NameRules{
		DNS: open(), Email: open(), URI: open(), ACP: open(), IP: &profile.IPRule{Request: true},
		HardwareModule: &profile.HardwareModuleRule{Request: true, Types: []string{"1.3.6.1.4.1.32473.1"}},
	}
	return d
}

// R14: every GeneralName type is taken or refused by name.
func TestEachTypeOfNameIsAllowedByNameOnly(t *testing.T) {
	hardware, err := profile.HardwareModuleName(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 1}, []byte("SN1"))
	if err != nil {
		t.Fatal(err)
	}
	acp, err := profile.ACPNodeName("fd89b714f3db00000200000064000000+area51.research@acp.example.com")
	if err != nil {
		t.Fatal(err)
	}
	upn := "\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x14\x02\x03\xa0\x05\x0c\x03a@b"
	types := map[string]asn1.RawValue{
		"dns": general(2, "a.example.com"), "email": general(1, "a@example.com"), "uri": general(6, "urn:dev:a"),
		"ip": general(7, "\x0a\x00\x00\x01"), "hardware_module_name": {FullBytes: hardware}, "acp_node_name": {FullBytes: acp},
		"otherName 1.3.6.1.4.1.311.20.2.3": general(0, upn), "x400Address": general(3, ""), "directoryName": general(4, "\x30\x00"),
		"ediPartyName": general(5, ""), "registeredID": general(8, "\x2a\x03"),
	}
	takeable := map[string]func(*profile.NameRules){
		"dns":   func(r *profile.NameRules) { r.DNS = &profile.NameRule{Request: true} },
		"email": func(r *profile.NameRules) { r.Email = &profile.NameRule{Request: true} },
		"uri":   func(r *profile.NameRules) { r.URI = &profile.NameRule{Request: true} },
		"ip":    func(r *profile.NameRules) { r.IP = &profile.IPRule{Request: true} },
		"hardware_module_name": func(r *profile.NameRules) {
			r.HardwareModule = &profile.HardwareModuleRule{Request: true, Types: []string{"1.3.6.1.4.1.32473.1"}}
		},
		"acp_node_name": func(r *profile.NameRules) { r.ACP = &profile.NameRule{Request: true} },
	}
	subject := subjectDER(t, pkix.Name{CommonName: "device"})
	combinations := 0
	for allowed, allow := range takeable {
		d := profile.Device()
		d.SAN = profile.NameRules{}
		allow(&d.SAN)
		p := mustNew(t, d)
		for kind, name := range types {
			combinations++
			_, names, err := p.Names(&profile.Requested{Subject: subject, SAN: generalNames(t, name)}, nil)
			if kind == allowed {
				if err != nil {
					t.Errorf("a profile that takes %s refused one: %v", allowed, err)
				}
				if n := len(names.DNS) + len(names.Email) + len(names.URI) + len(names.IP) + len(names.Other); n != 1 {
					t.Errorf("a profile that takes %s made %d names of one", allowed, n)
				}
				continue
			}
			var refused *profile.NameError
			if !errors.As(err, &refused) || refused.Type != kind || !errors.Is(err, profile.ErrNameType) || !errors.Is(err, ca.ErrRejected) {
				t.Errorf("a profile that takes %s alone, asked for %s: %v, want ErrNameType for it", allowed, kind, err)
			}
		}
	}
	t.Logf("%d combinations of allowed and requested types", combinations)
}

// R14, EST-5280-4.2.1.6-02: characters that would mean something else downstream.
func TestDangerousValuesAreRefused(t *testing.T) {
	p := mustNew(t, everyName())
	hardware := func(serial string) asn1.RawValue {
		der, err := profile.HardwareModuleName(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 1}, []byte(serial))
		if err != nil {
			t.Fatal(err)
		}
		return asn1.RawValue{FullBytes: der}
	}
	acp := func(name string) asn1.RawValue {
		der, err := profile.ACPNodeName(name)
		if err != nil {
			t.Fatal(err)
		}
		return asn1.RawValue{FullBytes: der}
	}
	for name, san := range map[string]asn1.RawValue{
		"DNS wildcard": general(2, "*.example.com"), "DNS NUL": general(2, "a.example.com\x00.evil.example"), "DNS comma": general(2, "a,b.example.com"),
		"DNS slash": general(2, "a/b"), "DNS empty": general(2, ""), "DNS empty label": general(2, "a..b"), "DNS final dot": general(2, "a.example."),
		"DNS hyphen first": general(2, "-a.example"), "DNS underscore": general(2, "a_b.example"), "DNS address": general(2, "10.0.0.1"),
		"DNS long label": general(2, strings.Repeat("a", 64)+".example"), "DNS long": general(2, strings.Repeat("a.", 127)+"example"),
		"DNS space": general(2, "a b"), "DNS not ASCII": general(2, "b\xc3\xbccher.example"), "DNS LF": general(2, "a.example\n"),
		"email no at": general(1, "device"), "email two at": general(1, "a@b@example.com"), "email quoted": general(1, `"a b"@example.com`),
		"email NUL": general(1, "a\x00@example.com"), "email list": general(1, "a@example.com,b@example.com"), "email angle": general(1, "<a@example.com>"),
		"email wildcard": general(1, "*@example.com"), "email host only": general(1, "@example.com"), "email dots": general(1, "a..b@example.com"),
		"URI relative": general(6, "/device"), "URI user": general(6, "https://u:p@example.com/"), "URI NUL": general(6, "urn:a\x00"),
		"URI wildcard": general(6, "https://*.example.com/"), "URI comma": general(6, "https://a,b/"), "URI space": general(6, "https://example.com/a b"),
		"URI no host": general(6, "https:///a"), "URI bad host": general(6, "https://-a/"), "URI long": general(6, "urn:"+strings.Repeat("a", 1100)),
		"IP mapped": general(7, string(net.ParseIP("10.0.0.1").To16())), "IP unspecified": general(7, "\x00\x00\x00\x00"),
		"hardware empty": hardware(""), "hardware long": hardware(strings.Repeat("a", 65)),
		"ACP no at": acp("fd89"), "ACP upper case": acp("FD89B714F3DB00000200000064000000@example.com"), "ACP space": acp("0 @example.com"),
		"ACP wildcard": acp("0@*.example.com"), "ACP bad rsub": acp("0+-@example.com"), "ACP empty extension": acp("0+a+@example.com"),
	} {
		_, _, err := p.Names(&profile.Requested{SAN: generalNames(t, san)}, nil)
		if !errors.Is(err, profile.ErrNameValue) || !errors.Is(err, ca.ErrRejected) {
			t.Errorf("%s: %v, want ErrNameValue", name, err)
		}
	}
	for _, value := range []string{
		"*", "a/b", "a,b", "a\x00b", "a\nb", "a;b", "a+b", "a=b", "a<b", `a"b`, `a\b`, "a#b", " a", "a ", "a\u202eb", "a\u200bb", "a\ufffdb", "a\u00a0b", "",
		"\xff", strings.Repeat("a", 65),
	} {
		for kind, name := range map[string]pkix.Name{"common_name": {CommonName: value}, "serial_number": {SerialNumber: value}} {
			der := rawSubject(t, kind, value)
			_, _, err := p.Names(&profile.Requested{Subject: der}, nil)
			var refused *profile.NameError
			if !errors.As(err, &refused) || refused.Kind != profile.ErrNameValue && refused.Kind != profile.ErrNameEncoding {
				t.Errorf("%s %q (%v): %v, want a NameError about its value", kind, value, name, err)
			}
		}
	}
	// X520SerialNumber is a PrintableString (RFC 5280, Appendix A.1).
	if _, _, err := p.Names(&profile.Requested{Subject: rawSubject(t, "serial_number", "a_b")}, nil); !errors.Is(err, profile.ErrNameValue) {
		t.Errorf("serial_number a_b: %v, want ErrNameValue", err)
	}
}

// rawSubject writes one attribute as a UTF8String whatever is in it.
func rawSubject(t testing.TB, kind, value string) []byte {
	t.Helper()
	last := map[string]int{"common_name": 3, "serial_number": 5, "organization": 10, "country": 6}[kind]
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	type set []attribute
	der, err := asn1.Marshal([]asn1.RawValue{{FullBytes: mustDER(t, set{{asn1.ObjectIdentifier{2, 5, 4, last}, asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(value)}}}, "set")}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func mustDER(t testing.TB, v any, params string) []byte {
	t.Helper()
	der, err := asn1.MarshalWithParams(v, params)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestUsefulValuesAreTaken(t *testing.T) {
	p := mustNew(t, everyName())
	for _, value := range []string{"device 1", "00-D0-E5-F2-00-03", "PID:IE-4000 SN:FDO1234", "requester", "Gerät 7", "a_b@c", "urn:uuid", "127.0.0.1", "設備"} {
		if _, _, err := p.Names(&profile.Requested{Subject: rawSubject(t, "common_name", value)}, nil); err != nil {
			t.Errorf("common name %q: %v", value, err)
		}
	}
	for _, name := range []asn1.RawValue{
		general(2, "localhost"), general(2, "Device-1.Example.COM"), general(2, "xn--bcher-kva.example"), general(6, "spiffe://example.com/device/1"),
		general(6, "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"), general(7, string(net.IPv6loopback)), general(7, "\x7f\x00\x00\x01"), general(1, "first.last+tag@example.com"),
	} {
		if _, _, err := p.Names(&profile.Requested{SAN: generalNames(t, name)}, nil); err != nil {
			t.Errorf("name %q: %v", name.Bytes, err)
		}
	}
}

// R20: with N names, each of the N is decided on.
func TestEachOfManyNamesIsChecked(t *testing.T) {
	d := profile.Device()
	d.SAN = profile.NameRules{DNS: &profile.NameRule{Request: true, Max: 10, Patterns: []string{`[a-z0-9]+\.good\.example`}}}
	p := mustNew(t, d)
	names := make([]asn1.RawValue, 10)
	for bad := -1; bad < len(names); bad++ {
		for i := range names {
			names[i] = general(2, fmt.Sprintf("d%d.good.example", i))
			if i == bad {
				names[i] = general(2, fmt.Sprintf("d%d.bad.example", i))
			}
		}
		_, taken, err := p.Names(&profile.Requested{SAN: generalNames(t, names...)}, nil)
		if bad < 0 {
			distinct := map[string]bool{}
			for _, name := range taken.DNS {
				distinct[name] = true
			}
			if err != nil || len(distinct) != len(names) {
				t.Errorf("%d good names gave %d distinct, %v", len(names), len(distinct), err)
			}
			continue
		}
		var refused *profile.NameError
		if !errors.As(err, &refused) || refused.Kind != profile.ErrNamePattern || refused.Value != fmt.Sprintf("d%d.bad.example", bad) {
			t.Errorf("name %d is bad: %v, want ErrNamePattern for it", bad, err)
		}
	}
	_, _, err := p.Names(&profile.Requested{SAN: generalNames(t, general(2, "a.good.example"), general(2, "A.good.example"))}, nil)
	if !errors.Is(err, profile.ErrNameValue) {
		t.Errorf("one name twice: %v, want ErrNameValue", err)
	}
	eleven := names
	for i := range 11 {
		if i < 10 {
			eleven[i] = general(2, fmt.Sprintf("d%d.good.example", i))
		} else {
			eleven = append(eleven, general(2, "d10.good.example"))
		}
	}
	if _, _, err := p.Names(&profile.Requested{SAN: generalNames(t, eleven...)}, nil); !errors.Is(err, profile.ErrNameCount) {
		t.Errorf("11 names of 10: %v, want ErrNameCount", err)
	}
}

func TestSubjectRules(t *testing.T) {
	d := profile.Device()
	d.Subject = profile.SubjectRules{Attributes: []profile.AttributeRule{
		{Type: "country", Value: "DE"}, {Type: "organization", Value: "Example, Inc."},
		{Type: "organizational_unit", Value: "{group}"}, {Type: "organizational_unit"},
		{Type: "serial_number", Required: true}, {Type: "common_name", Pattern: `node/[0-9]+`},
	}}
	p := mustNew(t, d)
	facts := &profile.Facts{Group: "plant-7"}
	name := pkix.Name{SerialNumber: "S1"}
	with := func(change func(*pkix.Name)) pkix.Name {
		n := name
		change(&n)
		return n
	}
	for title, c := range map[string]struct {
		name pkix.Name
		want string // RFC 4514 by package pkix, most specific first
		err  error
	}{
		"its own come first":        {name, "SERIALNUMBER=S1,OU=plant-7,O=Example\\, Inc.,C=DE", nil},
		"its own may be requested":  {with(func(n *pkix.Name) { n.Country, n.OrganizationalUnit = []string{"DE"}, []string{"plant-7"} }), "SERIALNUMBER=S1,OU=plant-7,C=DE,O=Example\\, Inc.", nil},
		"a pattern allows":          {with(func(n *pkix.Name) { n.CommonName = "node/7" }), "SERIALNUMBER=S1,CN=node/7,OU=plant-7,O=Example\\, Inc.,C=DE", nil},
		"a pattern refuses":         {with(func(n *pkix.Name) { n.CommonName = "node/7x" }), "", profile.ErrNamePattern},
		"another country":           {with(func(n *pkix.Name) { n.Country = []string{"FR"} }), "", profile.ErrNameDiffers},
		"a type without rule":       {with(func(n *pkix.Name) { n.Locality = []string{"Here"} }), "", profile.ErrNameType},
		"too many":                  {with(func(n *pkix.Name) { n.OrganizationalUnit = []string{"a", "b"} }), "", profile.ErrNameCount},
		"a required one is missing": {pkix.Name{CommonName: "node/1"}, "", profile.ErrNameMissing},
	} {
		subject, _, err := p.Names(&profile.Requested{Subject: subjectDER(t, c.name)}, facts)
		if !errors.Is(err, c.err) || (err == nil && subject.String() != c.want) {
			t.Errorf("%s: %s, %v, want %s, %v", title, subject, err, c.want, c.err)
		}
	}
	if _, _, err := p.Names(&profile.Requested{Subject: subjectDER(t, name)}, nil); !errors.Is(err, profile.ErrNameMissing) {
		t.Errorf("without the fact a template uses: %v, want ErrNameMissing", err)
	}
}

// R13: with others ignored, the names are the profile's whatever is requested.
func TestIgnoredNamesNeverReachTheCertificate(t *testing.T) {
	d := profile.Device()
	d.Subject = profile.SubjectRules{Attributes: []profile.AttributeRule{{Type: "common_name", Value: "{device_id}"}}, Others: "ignore"}
	d.SAN = profile.NameRules{DNS: &profile.NameRule{Values: []string{"{serial_number}.devices.example"}}, Others: "ignore"}
	p := mustNew(t, d)
	facts := &profile.Facts{DeviceID: "d1", SerialNumber: "s1"}
	for _, r := range []*profile.Requested{
		{},
		{Subject: subjectDER(t, pkix.Name{CommonName: "admin", Organization: []string{"Evil"}})},
		{SAN: generalNames(t, general(2, "admin.example"), general(7, "\x01\x01\x01\x01"), general(4, "\x30\x00"))},
		{Subject: subjectDER(t, pkix.Name{CommonName: "d1"}), SAN: generalNames(t, general(2, "s1.devices.example"))},
	} {
		subject, names, err := p.Names(r, facts)
		if err != nil || subject.String() != "CN=d1" || fmt.Sprint(names) != fmt.Sprint(ca.Names{DNS: []string{"s1.devices.example"}}) {
			t.Errorf("Names(%x) = %s, %v, %v; want CN=d1 and s1.devices.example", r, subject, names, err)
		}
	}
}

// R14: values put into templates never change the text around them.
func TestTemplatesEscapeOrRefuse(t *testing.T) {
	d := profile.Device()
	d.Subject = profile.SubjectRules{Attributes: []profile.AttributeRule{{Type: "common_name", Value: "device {serial_number}"}}}
	d.SAN = profile.NameRules{
		URI: &profile.NameRule{Values: []string{"spiffe://example.com/device/{model}"}},
		DNS: &profile.NameRule{Values: []string{"{device_id}.devices.example"}},
	}
	p := mustNew(t, d)
	good := profile.Facts{SerialNumber: "S1", Model: "M1", DeviceID: "d1"}
	for value, c := range map[string]struct {
		uri               string // "" when refused
		subject, dnsLabel bool
	}{
		"plain-1":      {"plain-1", true, true},
		"a/b":          {"a%2Fb", false, false},
		"a b":          {"a%20b", true, false},
		"a,b":          {"a%2Cb", false, false},
		"a*":           {"a%2A", false, false},
		"a.b":          {"a.b", true, false},
		"..":           {"", true, false},
		"a%2e":         {"a%252e", true, false},
		"a?b#c":        {"a%3Fb%23c", false, false},
		"a\x00b":       {"", false, false},
		"{model}":      {"%7Bmodel%7D", true, false},
		"-a":           {"-a", true, false},
		"ü":            {"%C3%BC", true, false},
		"a\u202eb":     {"", false, false},
		"a@b":          {"a%40b", true, false},
		"":             {"", false, false},
		" a":           {"", false, false},
		"CN=x,O=y":     {"CN%3Dx%2CO%3Dy", false, false},
		"a\r\nHost: b": {"", false, false},
	} {
		facts := good
		facts.Model = value
		_, names, err := p.Names(new(profile.Requested), &facts)
		if c.uri == "" && err == nil {
			t.Errorf("%q in a URI gave %s, want a refusal", value, names.URI)
		}
		if c.uri != "" && (err != nil || names.URI[0].String() != "spiffe://example.com/device/"+c.uri) {
			t.Errorf("%q in a URI gave %v, %v, want %s", value, names.URI, err, c.uri)
		}
		facts = good
		facts.SerialNumber = value
		if subject, _, err := p.Names(new(profile.Requested), &facts); (err == nil) != c.subject {
			t.Errorf("%q in a subject gave %s, %v, want taken: %v", value, subject, err, c.subject)
		}
		facts = good
		facts.DeviceID = value
		if _, names, err := p.Names(new(profile.Requested), &facts); (err == nil) != c.dnsLabel {
			t.Errorf("%q in a DNS name gave %s, %v, want taken: %v", value, names.DNS, err, c.dnsLabel)
		}
	}
}

func TestNetworksBoundAddresses(t *testing.T) {
	d := profile.Device()
	d.SAN.IP.Networks = []string{"10.0.0.0/8", "fd00::/8"}
	p := mustNew(t, d)
	for address, want := range map[string]error{
		"10.1.2.3": nil, "fd00::1": nil, "11.0.0.1": profile.ErrNamePattern, "2001:db8::1": profile.ErrNamePattern,
	} {
		ip := net.ParseIP(address)
		if v4 := ip.To4(); v4 != nil {
			ip = v4
		}
		_, _, err := p.Names(&profile.Requested{SAN: generalNames(t, general(7, string(ip)))}, nil)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", address, err, want)
		}
	}
}

func TestACertificateNeedsSomeName(t *testing.T) {
	p := mustNew(t, profile.Device())
	if _, _, err := p.Names(new(profile.Requested), nil); !errors.Is(err, profile.ErrNameMissing) {
		t.Errorf("no names at all: %v, want ErrNameMissing", err)
	}
}

func TestUnreadableNamesAreRefused(t *testing.T) {
	p := mustNew(t, profile.Device())
	deep := []byte{0x30, 0x02, 0x31, 0x00}
	for title, r := range map[string]*profile.Requested{
		"subject: no DER":        {Subject: []byte{0x30, 0x05, 0x31}},
		"subject: trailing byte": {Subject: append(subjectDER(t, pkix.Name{CommonName: "a"}), 0)},
		"subject: empty set":     {Subject: deep},
		"subject: too long":      {Subject: make([]byte, 9000)},
		"subject: number":        {Subject: []byte("\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x02\x01\x05")},
		"SAN: empty list":        {SAN: []byte{0x30, 0}},
		"SAN: trailing byte":     {SAN: append(generalNames(t, general(2, "a")), 0)},
		"SAN: unknown tag":       {SAN: generalNames(t, general(9, "a"))},
		"SAN: address of 5":      {SAN: generalNames(t, general(7, "aaaaa"))},
		"SAN: address of 8":      {SAN: generalNames(t, general(7, "aaaaaaaa"))},
		"SAN: otherName":         {SAN: generalNames(t, general(0, "a"))},
		"SAN: too long":          {SAN: make([]byte, 40000)},
	} {
		_, _, err := p.Names(r, nil)
		if !errors.Is(err, profile.ErrNameEncoding) || !errors.Is(err, ca.ErrRejected) {
			t.Errorf("%s: %v, want ErrNameEncoding", title, err)
		}
	}
	many := make([]asn1.RawValue, 200)
	for i := range many {
		many[i] = general(2, fmt.Sprintf("d%d", i))
	}
	if _, _, err := p.Names(&profile.Requested{SAN: generalNames(t, many...)}, nil); !errors.Is(err, profile.ErrNameEncoding) {
		t.Errorf("200 names: %v, want ErrNameEncoding", err)
	}
}

func TestNamesOfACSR(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	uri, _ := url.Parse("urn:dev:1")
	template := &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "device-1", SerialNumber: "S1"}, DNSNames: []string{"device-1.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	csr := func() *x509.CertificateRequest {
		der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificateRequest(der)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	p := mustNew(t, profile.Device())
	requested, err := profile.FromCSR(csr())
	if err != nil {
		t.Fatal(err)
	}
	subject, names, err := p.Names(requested, nil)
	if err != nil || subject.String() != template.Subject.ToRDNSequence().String() || fmt.Sprint(names.DNS, names.IP) != "[device-1.example.com] [127.0.0.1]" {
		t.Errorf("Names = %s, %v, %v", subject, names, err)
	}
	template.URIs = []*url.URL{uri}
	if requested, err = profile.FromCSR(csr()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Names(requested, nil); !errors.Is(err, profile.ErrNameType) {
		t.Errorf("a URI besides: %v, want ErrNameType", err)
	}
	twice := csr()
	twice.Extensions = append(twice.Extensions, twice.Extensions...)
	if _, err := profile.FromCSR(twice); !errors.Is(err, profile.ErrNameEncoding) {
		t.Errorf("SubjectAltName twice: %v, want ErrNameEncoding", err)
	}
}
