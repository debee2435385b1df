package est_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

// certWith makes a certificate with exactly this subject and, unless names is nil, these alternative names.
func certWith(t *testing.T, subject []byte, names []byte) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{RawSubject: subject}
	if names != nil {
		template.ExtraExtensions = []pkix.Extension{{Id: oidSAN, Value: names}}
	}
	return testpki.NewRoot(t, "root").Issue(t, template, testpki.NewKey(t)).Certificate
}

func csrWith(t *testing.T, subject []byte, attributes ...[]byte) *x509.CertificateRequest {
	t.Helper()
	csr, err := est.ParseCSR(forged{subject: subject, attributes: attributes}.der(t))
	if err != nil {
		t.Fatalf("ParseCSR: %v", err)
	}
	return csr.CertificateRequest
}

// EST-7030-4.2.2-03: RFC 5280, Section 7.1.
func TestSameNamesComparesSubjectsAsNamesNotAsBytes(t *testing.T) {
	const utf8, printable, ia5, octets = cbasn1.UTF8String, cbasn1.PrintableString, cbasn1.IA5String, cbasn1.OCTET_STRING
	cn := func(tag cbasn1.Tag, s string) []byte { return name(atv(oidCommonName, tag, s)) }
	org, device := atv(oidOrganization, utf8, "Example"), atv(oidCommonName, utf8, "device 7")
	for what, c := range map[string]struct {
		cert, csr []byte
		want      string
	}{
		"the same bytes":                      {cn(utf8, "device"), cn(utf8, "device"), ""},
		"another string type":                 {cn(utf8, "device"), cn(printable, "device"), ""},
		"BMPString":                           {cn(utf8, "device"), cn(tagBMP, bmp("device")), ""},
		"UniversalString":                     {cn(utf8, "device"), cn(tagUniversal, universal("device")), ""},
		"TeletexString, Latin-1":              {cn(utf8, "Ger\u00e4t"), cn(tagT61, "ger\xe4t"), ""},
		"another letter case":                 {cn(utf8, "Device"), cn(utf8, "dEVICE"), ""},
		"another case beyond ASCII":           {cn(utf8, "\u00c4\u03a3"), cn(utf8, "\u00e4\u03c2"), ""},
		"white space around and inside":       {cn(utf8, "device 7"), cn(utf8, "  device   7 "), ""},
		"white space left out":                {cn(utf8, "device 7"), cn(utf8, "device7"), est.ReasonReenrollSubject},
		"another name":                        {cn(utf8, "device"), cn(utf8, "device2"), est.ReasonReenrollSubject},
		"a look-alike":                        {cn(utf8, "device"), cn(utf8, "d\u0435vice"), est.ReasonReenrollSubject},
		"no name":                             {cn(utf8, "device"), sequence(), est.ReasonReenrollSubject},
		"a name for none":                     {sequence(), cn(utf8, "device"), est.ReasonReenrollSubject},
		"two RDNs in another order":           {name(org, device), name(device, org), est.ReasonReenrollSubject},
		"one RDN in another order":            {sequence(rdn(device, org)), sequence(rdn(org, device)), ""},
		"one RDN of two for two of one":       {sequence(rdn(org, device)), name(org, device), est.ReasonReenrollSubject},
		"an RDN more":                         {name(device), name(device, org), est.ReasonReenrollSubject},
		"another type of attribute":           {cn(utf8, "device"), name(atv(oidOrganization, utf8, "device")), est.ReasonReenrollSubject},
		"octets for a string":                 {cn(utf8, "device"), cn(octets, "device"), est.ReasonReenrollSubject},
		"an address whose host differs":       {name(atv(oidEmail, ia5, "a@Example.org")), name(atv(oidEmail, ia5, "a@example.org")), ""},
		"an address whose local part differs": {name(atv(oidEmail, ia5, "A@example.org")), name(atv(oidEmail, ia5, "a@example.org")), est.ReasonReenrollSubject},
		"values that run into each other":     {name(atv(oidCommonName, utf8, "ab"), atv(oidCommonName, utf8, "c")), name(atv(oidCommonName, utf8, "a"), atv(oidCommonName, utf8, "bc")), est.ReasonReenrollSubject},
	} {
		err := est.SameNames(csrWith(t, c.csr), certWith(t, c.cert, nil))
		if got := reasonOf(err); got != c.want {
			t.Errorf("SameNames with %s: %q, want %q", what, got, c.want)
		}
	}
}

// EST-7030-4.2.2-03: RFC 5280, Sections 7.2 to 7.5.
func TestSameNamesComparesAlternativeNamesAsASet(t *testing.T) {
	subject := name(atv(oidCommonName, cbasn1.UTF8String, "device"))
	dns, ip, mail, uri := general(2, "a.example"), general(7, "\x7f\x00\x00\x01"), general(1, "Bob@example.org"), general(6, "https://a.example/Path")
	dir := func(s string) []byte {
		return tlv(cbasn1.Tag(4).ContextSpecific().Constructed(), string(name(atv(oidCommonName, cbasn1.UTF8String, s))))
	}
	other := func(s string) []byte {
		return tlv(cbasn1.Tag(0).ContextSpecific().Constructed(), "\x06\x03\x2a\x03\x04"+string(tlv(cbasn1.Tag(0).ContextSpecific().Constructed(), string(tlv(cbasn1.UTF8String, s)))))
	}
	for what, c := range map[string]struct {
		cert, csr [][]byte
		critical  bool
		want      string
	}{
		"the same":                       {[][]byte{dns, ip}, [][]byte{dns, ip}, false, ""},
		"another order":                  {[][]byte{dns, ip, mail, uri}, [][]byte{uri, mail, ip, dns}, false, ""},
		"critical or not":                {[][]byte{dns}, [][]byte{dns}, true, ""},
		"one twice":                      {[][]byte{dns, ip}, [][]byte{dns, ip, dns}, false, ""},
		"dNSName in capitals":            {[][]byte{dns}, [][]byte{general(2, "A.EXAMPLE")}, false, ""},
		"rfc822Name, host in capitals":   {[][]byte{mail}, [][]byte{general(1, "Bob@EXAMPLE.org")}, false, ""},
		"rfc822Name, another local part": {[][]byte{mail}, [][]byte{general(1, "bob@example.org")}, false, est.ReasonReenrollSAN},
		"URI, host in capitals":          {[][]byte{uri}, [][]byte{general(6, "HTTPS://A.example/Path")}, false, ""},
		"URI, another path":              {[][]byte{uri}, [][]byte{general(6, "https://a.example/path")}, false, est.ReasonReenrollSAN},
		"directoryName in capitals":      {[][]byte{dir("unit")}, [][]byte{dir("UNIT")}, false, ""},
		"another directoryName":          {[][]byte{dir("unit")}, [][]byte{dir("unit2")}, false, est.ReasonReenrollSAN},
		"the same otherName":             {[][]byte{other("x")}, [][]byte{other("x")}, true, ""},
		"an otherName in capitals":       {[][]byte{other("x")}, [][]byte{other("X")}, false, est.ReasonReenrollSAN},
		"one more":                       {[][]byte{dns}, [][]byte{dns, ip}, false, est.ReasonReenrollSAN},
		"one less":                       {[][]byte{dns, ip}, [][]byte{dns}, false, est.ReasonReenrollSAN},
		"none for some":                  {[][]byte{dns}, nil, false, est.ReasonReenrollSAN},
		"some for none":                  {nil, [][]byte{dns}, false, est.ReasonReenrollSAN},
		"another address":                {[][]byte{ip}, [][]byte{general(7, "\x7f\x00\x00\x02")}, false, est.ReasonReenrollSAN},
		"a name of another type":         {[][]byte{dns}, [][]byte{general(1, "a.example")}, false, est.ReasonReenrollSAN},
		"none at all":                    {nil, nil, false, ""},
	} {
		var names []byte
		if c.cert != nil {
			names = sequence(c.cert...)
		}
		var attributes [][]byte
		if c.csr != nil {
			attributes = [][]byte{extensionRequest(san(c.critical, c.csr...))}
		}
		err := est.SameNames(csrWith(t, subject, attributes...), certWith(t, subject, names))
		if got := reasonOf(err); got != c.want {
			t.Errorf("SameNames with %s: %q, want %q", what, got, c.want)
		}
	}
}

func TestCanonicalURIFoldsSchemeAndHostOnly(t *testing.T) {
	for in, want := range map[string]string{
		"HTTPS://User@Host.Example:8443/Path?Q#F": "https://User@host.example:8443/Path?Q#F",
		"URN:Dev:A": "urn:Dev:A", "no-colon": "no-colon", "https://HOST": "https://host", "x://A?B": "x://a?B",
	} {
		if got := est.CanonicalURI(in); got != want {
			t.Errorf("CanonicalURI(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzSameNames(f *testing.F) {
	subject := name(atv(oidCommonName, cbasn1.UTF8String, "device"), atv(oidEmail, cbasn1.IA5String, "a@b"))
	tbs := build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(0)
			b.AddBytes(sequence())
			b.AddBytes(sequence())
			b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(*cryptobyte.Builder) {})
		})
	})
	f.Add(subject, sequence(general(2, "a.example"), general(6, "https://a/")))
	f.Add(sequence(rdn(atv(oidCommonName, tagBMP, bmp("x")))), sequence(general(4, string(subject))))
	f.Fuzz(func(t *testing.T, subject, names []byte) {
		_, ok := est.CanonicalName(subject)
		cert := &x509.Certificate{RawSubject: subject, Extensions: []pkix.Extension{{Id: oidSAN, Value: names}}}
		// Bytes that are not the certificate's, so that the names have to be read.
		csr := &x509.CertificateRequest{RawTBSCertificateRequest: tbs, RawSubject: append([]byte{0}, subject...), Extensions: cert.Extensions}
		if err := est.SameNames(csr, cert); err == nil {
			t.Error("SameNames took a subject that cannot be read")
		}
		set, altOK := est.CanonicalAltNames(names)
		if ok && altOK && !slices.IsSorted(set) {
			t.Errorf("CanonicalAltNames(%x) = %q, not sorted", names, set)
		}
		csr.RawSubject = subject
		if err := est.SameNames(csr, cert); err != nil {
			t.Errorf("SameNames of a name with itself: %v", err)
		}
	})
}
