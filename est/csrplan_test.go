package est_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"os"
	"path/filepath"
	"testing"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/est"
)

var (
	oidTemplate     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 61}
	oidKeyUsage     = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage  = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidSerialNumber = asn1.ObjectIdentifier{2, 5, 4, 5}
	oidOrgUnit      = asn1.ObjectIdentifier{2, 5, 4, 11}
	oidECPublicKey  = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidSecp384r1    = asn1.ObjectIdentifier{1, 3, 132, 0, 34}
	oidMacAddress   = asn1.ObjectIdentifier{1, 3, 6, 1, 1, 1, 1, 22}
	oidECDSASHA384  = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
)

func vector(t *testing.T, name string) []byte {
	t.Helper()
	der, err := os.ReadFile(filepath.Join(filepath.Dir(vectors(t)), "est", name))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func bare(oid asn1.ObjectIdentifier) est.Attribute { return est.Attribute{OID: oid, Bare: true} }

func oidValue(t *testing.T, oid asn1.ObjectIdentifier) []byte {
	t.Helper()
	der, err := asn1.Marshal(oid)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// EST-8951-4-01: the encoder writes the bytes of RFC 8951, Section 4, for the same input.
func TestCSRAttrsMarshalWritesTheExampleOfRFC8951(t *testing.T) {
	attrs := est.CSRAttrs{Items: []est.Attribute{
		bare(oidChallengePassword),
		{OID: oidECPublicKey, Values: [][]byte{oidValue(t, oidSecp384r1)}},
		{OID: oidExtensionRequest, Values: [][]byte{oidValue(t, oidMacAddress)}},
		bare(oidECDSASHA384),
	}}
	der, err := attrs.Marshal()
	if err != nil {
		t.Fatalf("Marshal: %v", err)
	}
	if want := vector(t, "rfc8951/4-csrattrs-example.der"); !bytes.Equal(der, want) {
		t.Errorf("Marshal = %x, want %x", der, want)
	}
}

// EST-7030-4.5.2-10: what is decoded is encoded as the same bytes, over all published lists.
func TestCSRAttrsReadAndWrittenAgainAreTheSameBytes(t *testing.T) {
	n := 0
	for _, pattern := range []string{"rfc9908/*.der", "rfc8951/*.der", "constructed/csrattrs-*.der", "rfc7030/a2-csrattrs-response.der"} {
		files, err := filepath.Glob(filepath.Join(filepath.Dir(vectors(t)), "est", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			der, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			attrs, err := est.ParseCSRAttrs(der)
			if err != nil {
				t.Fatal(err)
			}
			again, err := attrs.Marshal()
			if err != nil || !bytes.Equal(again, der) {
				t.Errorf("%s: written as %x, %v; want %x", filepath.Base(file), again, err, der)
			}
			n++
		}
	}
	if n < 15 {
		t.Errorf("only %d lists read", n)
	}
}

// EST-9908-3.2-02, EST-9908-3.2-03, EST-9908-3.2-04: one id-ExtensionReq, with one list, with each extension once.
func TestCSRAttrsMarshalRefuses(t *testing.T) {
	list := func(extensions ...[]byte) []byte { return sequence(extensions...) }
	usage := extension(oidKeyUsage, true, []byte{3, 2, 7, 0x80})
	for what, items := range map[string][]est.Attribute{
		"two id-ExtensionReq":             {{OID: oidExtensionRequest, Values: [][]byte{list(usage)}}, {OID: oidExtensionRequest, Values: [][]byte{list(usage)}}},
		"an id-ExtensionReq of two lists": {{OID: oidExtensionRequest, Values: [][]byte{list(usage), list(usage)}}},
		"an id-ExtensionReq of none":      {{OID: oidExtensionRequest}},
		"an extension twice":              {{OID: oidExtensionRequest, Values: [][]byte{list(usage, usage)}}},
		"an identifier with values":       {{OID: oidMacAddress, Bare: true, Values: [][]byte{{5, 0}}}},
		"a value that is no DER":          {{OID: oidMacAddress, Values: [][]byte{{5}}}},
		"a value with more behind it":     {{OID: oidMacAddress, Values: [][]byte{{5, 0, 0}}}},
		"no identifier":                   {{}},
		"1025 elements":                   make([]est.Attribute, 1025),
	} {
		if der, err := (&est.CSRAttrs{Items: items}).Marshal(); der != nil || !errors.Is(err, est.ErrCSRAttrs) {
			t.Errorf("Marshal of %s = %x, %v", what, der, err)
		}
	}
}

func mustAttrs(t *testing.T, p *est.CSRPlan) *est.CSRAttrs {
	t.Helper()
	attrs, err := p.CSRAttrs()
	if err != nil {
		t.Fatalf("CSRAttrs: %v", err)
	}
	return attrs
}

// templateOf returns the template in the list and its DER.
func templateOf(t *testing.T, attrs *est.CSRAttrs) (*est.CSRTemplate, []byte) {
	t.Helper()
	for _, item := range attrs.Items {
		if item.OID.Equal(oidTemplate) && len(item.Values) == 1 {
			template, err := est.ParseCSRTemplate(item.Values[0])
			if err != nil {
				t.Fatal(err)
			}
			return template, item.Values[0]
		}
	}
	t.Fatal("there is no template")
	return nil, nil
}

// EST-9908-3.2-05, EST-9908-3.2-07, EST-7030-4.5.2-07, EST-7030-4.5.2-08: the list before the template is that of the
// examples in RFC 9908, Section 5, with one key type, its length or curve, and the hash.
func TestAPlanGivesTheListsOfRFC9908(t *testing.T) {
	for file, plan := range map[string]*est.CSRPlan{
		"rfc9908/5.4-rsa4096.der": {Link: true, Key: &est.KeyPlan{Algorithm: x509.RSA, Bits: 4096}, Hash: crypto.SHA256},
		"rfc9908/5.5-p384-serial.der": {
			Link: true, Key: &est.KeyPlan{Algorithm: x509.ECDSA, Curve: elliptic.P384()}, Hash: crypto.SHA384,
			Subject: [][]est.SubjectAttribute{{{Type: oidSerialNumber}}},
		},
		"rfc9908/5.2-rfc7030-corrected.der": {
			Link: true, Key: &est.KeyPlan{Algorithm: x509.ECDSA, Curve: elliptic.P384()}, Hash: crypto.SHA384,
			Wanted: []asn1.ObjectIdentifier{oidMacAddress},
		},
		"rfc9908/5.1-acp-san.der": {Extensions: planned(t, "rfc9908/5.1-acp-san.der")},
		"constructed/csrattrs-9908-5.3-as-described.der": {
			Link: true, Key: &est.KeyPlan{Algorithm: x509.ECDSA, Curve: elliptic.P521()}, Hash: crypto.SHA512,
			Extensions: planned(t, "constructed/csrattrs-9908-5.3-as-described.der"),
		},
		"constructed/csrattrs-pop-only.der": {Link: true},
	} {
		attrs := mustAttrs(t, plan)
		templateOf(t, attrs)
		attrs.Items = attrs.Items[:len(attrs.Items)-1]
		der, err := attrs.Marshal()
		if want := vector(t, file); err != nil || !bytes.Equal(der, want) {
			t.Errorf("%s: the list is %x, %v; want %x", file, der, err, want)
		}
	}
}

func planned(t *testing.T, file string) []est.PlannedExtension {
	t.Helper()
	plan, err := est.ParseCSRPlan(vector(t, file))
	if err != nil || len(plan.Extensions) == 0 {
		t.Fatalf("ParseCSRPlan(%s) = %+v, %v", file, plan, err)
	}
	return plan.Extensions
}

// example is the one of RFC 9908, Section 3.4.
func example() *est.CSRPlan {
	return &est.CSRPlan{
		Key: &est.KeyPlan{Algorithm: x509.ECDSA, Curve: elliptic.P256()},
		Subject: [][]est.SubjectAttribute{
			{{Type: oidCommonName}},
			{{Type: oidOrgUnit, Value: []byte("\x0c\x06myDept")}},
			{{Type: oidOrgUnit, Value: []byte("\x0c\x07myGroup")}},
		},
		Extensions: []est.PlannedExtension{
			{ID: oidSAN, Value: []byte("\x30\x14\x82\x10www.myServer.com\x87\x00")},
			{ID: oidKeyUsage, Critical: true, Value: []byte{3, 2, 3, 0x88}},
			{ID: oidExtKeyUsage},
		},
	}
}

// EST-9908-3.4-04, EST-9908-3.4-12, EST-9908-3.4-02: the example of RFC 9908, Section 3.4, byte for byte: version 0,
// an attribute of the subject without value, one value that is a SEQUENCE OF ExtensionTemplate.
func TestATemplateIsThatOfRFC9908(t *testing.T) {
	_, der := templateOf(t, mustAttrs(t, example()))
	attrs, err := est.ParseCSRAttrs(vector(t, "constructed/csrattrs-template-9908-3.4.der"))
	if err != nil {
		t.Fatal(err)
	}
	if want := attrs.Items[0].Values[0]; !bytes.Equal(der, want) {
		t.Errorf("template = %x, want %x", der, want)
	}
	if !bytes.HasPrefix(der[3:], []byte{2, 1, 0}) {
		t.Errorf("the template %x does not start with version 0", der)
	}
}

// EST-9908-3.4-07: the placeholder of an RSA-3072 policy, which is that of the vector; no other key has one.
func TestOnlyAFixedRSALengthHasAPlaceholder(t *testing.T) {
	plan := &est.CSRPlan{
		Key:        &est.KeyPlan{Algorithm: x509.RSA, Bits: 3072},
		Extensions: []est.PlannedExtension{{ID: oidKeyUsage, Critical: true, Value: []byte{3, 2, 7, 0x80}}},
	}
	_, der := templateOf(t, mustAttrs(t, plan))
	attrs, err := est.ParseCSRAttrs(vector(t, "constructed/csrattrs-template-rsa3072.der"))
	if err != nil {
		t.Fatal(err)
	}
	if want := attrs.Items[0].Values[0]; !bytes.Equal(der, want) {
		t.Errorf("template = %x, want %x", der, want)
	}
	for _, key := range []est.KeyPlan{
		{Algorithm: x509.RSA}, {Algorithm: x509.ECDSA}, {Algorithm: x509.ECDSA, Curve: elliptic.P256()},
		{Algorithm: x509.ECDSA, Curve: elliptic.P521()}, {Algorithm: x509.Ed25519},
	} {
		if _, der := templateOf(t, mustAttrs(t, &est.CSRPlan{Key: &key})); len(der) > 40 {
			t.Errorf("the template for %s has something in place of a key: %x", key.Name(), der)
		}
	}
}

// EST-9908-3.4-03, EST-9908-3.4-06: subject and subjectPKInfo are there exactly when they are constrained.
func TestATemplateHasSubjectAndKeyOnlyWhereTheServerCares(t *testing.T) {
	for _, plan := range []*est.CSRPlan{
		{Link: true},
		{Link: true, Key: &est.KeyPlan{Algorithm: x509.ECDSA}},
		{Link: true, Subject: [][]est.SubjectAttribute{{{Type: oidCommonName}}}},
	} {
		template, _ := templateOf(t, mustAttrs(t, plan))
		if (template.Key != nil) != (plan.Key != nil) || (template.Subject != nil) != (plan.Subject != nil) {
			t.Errorf("template of %+v = %+v", plan, template)
		}
	}
}

// EST-9908-3.2-01, EST-9908-3.4-09: extensions are below id-ExtensionReq, in list and template, unless a value is open;
// their own identifiers stand nowhere else.
func TestExtensionsAreBelowIDExtensionReqUnlessOneIsOpen(t *testing.T) {
	given := example()
	given.Extensions = given.Extensions[:2]
	for _, c := range []struct {
		plan   *est.CSRPlan
		listed int    // extensions in the list
		want   string // in the template
	}{
		{given, 2, "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"},
		{example(), 2, "\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x3e"},
	} {
		attrs := mustAttrs(t, c.plan)
		if _, der := templateOf(t, attrs); !bytes.Contains(der, []byte(c.want)) {
			t.Errorf("%x is not in the template %x", c.want, der)
		}
		listed := est.CSRAttrs{Items: attrs.Items[:len(attrs.Items)-1]}
		plan, err := listed.Plan()
		if err != nil || len(plan.Extensions) != c.listed {
			t.Errorf("the list has %d extensions, %v; want %d", len(plan.Extensions), err, c.listed)
		}
		for _, item := range attrs.Items {
			if item.OID.Equal(oidSAN) || item.OID.Equal(oidKeyUsage) || item.OID.Equal(oidExtKeyUsage) {
				t.Errorf("%s stands by itself in the list", item.OID)
			}
		}
	}
}

// EST-9908-3.4-10, EST-9908-3.4-11: neither a second id-aa-extensionReqTemplate nor one beside an id-ExtensionReq is
// written or read.
func TestATemplateHasOneRequestForExtensions(t *testing.T) {
	oidExtensionTemplate := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 62}
	misprint := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 62}
	open := sequence(sequence(oidValue(t, oidExtKeyUsage)))
	full := sequence(extension(oidKeyUsage, true, []byte{3, 2, 7, 0x80}))
	for what, attributes := range map[string][]est.Attribute{
		"two templates":                      {{OID: oidExtensionTemplate, Values: [][]byte{open}}, {OID: oidExtensionTemplate, Values: [][]byte{open}}},
		"a template and an id-ExtensionReq":  {{OID: oidExtensionTemplate, Values: [][]byte{open}}, {OID: oidExtensionRequest, Values: [][]byte{full}}},
		"two id-ExtensionReq":                {{OID: oidExtensionRequest, Values: [][]byte{full}}, {OID: oidExtensionRequest, Values: [][]byte{full}}},
		"a template and a misprinted one":    {{OID: oidExtensionTemplate, Values: [][]byte{open}}, {OID: misprint, Values: [][]byte{open}}},
		"a template with two values":         {{OID: oidExtensionTemplate, Values: [][]byte{open, open}}},
		"an id-ExtensionReq without a value": {{OID: oidExtensionRequest, Values: [][]byte{open}}},
		"an empty list":                      {{OID: oidExtensionRequest, Values: [][]byte{sequence()}}},
	} {
		in := [][]byte{{2, 1, 0}, tagged(1, attributesDER(attributes...))}
		if template, err := est.ParseCSRTemplate(sequence(in...)); template != nil || !errors.Is(err, est.ErrCSRTemplate) {
			t.Errorf("ParseCSRTemplate of %s = %+v, %v", what, template, err)
		}
		if der, err := (&est.CSRTemplate{Attributes: attributes}).Marshal(); der != nil || !errors.Is(err, est.ErrCSRTemplate) {
			t.Errorf("Marshal of %s = %x, %v", what, der, err)
		}
	}
	twice := []est.PlannedExtension{{ID: oidExtKeyUsage}, {ID: oidExtKeyUsage}}
	if der, err := (&est.CSRTemplate{Extensions: twice}).Marshal(); der != nil || !errors.Is(err, est.ErrCSRTemplate) {
		t.Errorf("Marshal of an extension twice = %x, %v", der, err)
	}
	if attrs, err := (&est.CSRPlan{Extensions: twice}).CSRAttrs(); attrs != nil || err == nil {
		t.Errorf("CSRAttrs of an extension twice = %+v, %v", attrs, err)
	}
}

func attributesDER(attributes ...est.Attribute) []byte {
	var out []byte
	for _, a := range attributes {
		out = append(out, attribute(a.OID, a.Values...)...)
	}
	return out
}

func tagged(n byte, content []byte) []byte { return tlv(cbasn1.Tag(0xa0|n), string(content)) }

func TestParseCSRTemplateRefuses(t *testing.T) {
	none := tagged(1, nil)
	for what, der := range map[string][]byte{
		"nothing": nil, "a NULL": {5, 0}, "no attributes": sequence([]byte{2, 1, 0}), "version 1": sequence([]byte{2, 1, 1}, none),
		"trailing bytes":            append(sequence([]byte{2, 1, 0}, none), 0),
		"more in it":                sequence([]byte{2, 1, 0}, none, []byte{5, 0}),
		"an empty relative name":    sequence([]byte{2, 1, 0}, sequence(tlv(0x31, "")), none),
		"an attribute of two":       sequence([]byte{2, 1, 0}, sequence(tlv(0x31, string(sequence(oidValue(t, oidCommonName), []byte{5, 0}, []byte{5, 0})))), none),
		"a key without algorithm":   sequence([]byte{2, 1, 0}, tagged(0, []byte{5, 0}), none),
		"a placeholder of no key":   sequence([]byte{2, 1, 0}, tagged(0, append(sequence([]byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1}, []byte{5, 0}), 3, 2, 0, 0)), none),
		"a key with something else": sequence([]byte{2, 1, 0}, tagged(0, append(sequence(oidValue(t, oidECPublicKey)), 5, 0)), none),
		"64 KiB":                    make([]byte, 64<<10+1),
	} {
		if template, err := est.ParseCSRTemplate(der); template != nil || !errors.Is(err, est.ErrCSRTemplate) {
			t.Errorf("ParseCSRTemplate of %s = %+v, %v", what, template, err)
		}
	}
}

// The prose of RFC 9908, Section 3.4, has one ExtensionTemplate where its ASN.1 module has a list of them.
func TestParseCSRTemplateReadsASingleExtensionTemplate(t *testing.T) {
	single := sequence(oidValue(t, oidExtKeyUsage))
	in := sequence([]byte{2, 1, 0}, tagged(1, attribute(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 62}, single)))
	template, err := est.ParseCSRTemplate(in)
	if err != nil || len(template.Extensions) != 1 || !template.Extensions[0].ID.Equal(oidExtKeyUsage) || template.Extensions[0].Value != nil {
		t.Errorf("ParseCSRTemplate = %+v, %v", template, err)
	}
}

func TestAPlanThatWantsNothingHasNoDER(t *testing.T) {
	if der, err := new(est.CSRPlan).Marshal(); der != nil || err != nil {
		t.Errorf("Marshal = %x, %v", der, err)
	}
}

func TestAPlanIsRefusedThatCannotBeWritten(t *testing.T) {
	for what, plan := range map[string]*est.CSRPlan{
		"RSA with 1024 bits":         {Key: &est.KeyPlan{Algorithm: x509.RSA, Bits: 1024}},
		"a curve of 224 bits":        {Key: &est.KeyPlan{Algorithm: x509.ECDSA, Curve: elliptic.P224()}},
		"DSA":                        {Key: &est.KeyPlan{Algorithm: x509.DSA}},
		"SHA-1":                      {Hash: crypto.SHA1},
		"a subject that is no DER":   {Subject: [][]est.SubjectAttribute{{{Type: oidCommonName, Value: []byte("x")}}}},
		"an empty relative name":     {Subject: [][]est.SubjectAttribute{{}}},
		"a given challengePassword":  {Given: []est.Attribute{{OID: oidChallengePassword, Values: [][]byte{{5, 0}}}}},
		"a given request":            {Given: []est.Attribute{{OID: oidExtensionRequest, Values: [][]byte{sequence()}}}},
		"a wanted request":           {Wanted: []asn1.ObjectIdentifier{oidExtensionRequest}},
		"an extension without an ID": {Extensions: []est.PlannedExtension{{}}},
	} {
		if attrs, err := plan.CSRAttrs(); attrs != nil || err == nil {
			t.Errorf("CSRAttrs of %s = %+v, %v", what, attrs, err)
		}
	}
}
