package est_test

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"os"
	"path/filepath"
	"testing"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/est"
)

// RFC 8951, Section 4; unknown identifiers are skipped (RFC 7030, Section 4.5.2).
func TestParseCSRAttrsReadsIdentifiersAndAttributes(t *testing.T) {
	null := []byte{5, 0}
	huge := tlv(cbasn1.OBJECT_IDENTIFIER, "\x69\x90\x80\x80\x80\x80\x01") // 2.25 and a number above 2^31-1
	attrs, err := est.ParseCSRAttrs(sequence(
		tlv(cbasn1.OBJECT_IDENTIFIER, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07"), huge, sequence(huge, tlv(cbasn1.SET, "")),
		attribute(asn1.ObjectIdentifier{2, 999, 1}, null, null), attribute(asn1.ObjectIdentifier{2, 999, 2}),
	))
	if err != nil {
		t.Fatalf("ParseCSRAttrs: %v", err)
	}
	a := attrs.Items
	if len(a) != 3 || !a[0].Bare || !a[0].OID.Equal(oidChallengePassword) {
		t.Fatalf("Items = %v", a)
	}
	a = a[1:]
	if a[0].Bare || a[1].Bare || !a[0].OID.Equal(asn1.ObjectIdentifier{2, 999, 1}) || len(a[0].Values) != 2 || !bytes.Equal(a[0].Values[1], null) || len(a[1].Values) != 0 {
		t.Errorf("attributes = %+v", a)
	}
}

func TestParseCSRAttrsRefuses(t *testing.T) {
	oid := tlv(cbasn1.OBJECT_IDENTIFIER, "\x2a\x03")
	many := bytes.Repeat(oid, 1025)
	wide := make([][]byte, 1025)
	for i := range wide {
		wide[i] = []byte{5, 0}
	}
	for what, der := range map[string][]byte{
		"nothing": nil, "a NULL": {5, 0}, "trailing bytes": {0x30, 0, 0}, "indefinite length": {0x30, 0x80, 0, 0},
		"an INTEGER in it": sequence([]byte{2, 1, 1}), "an attribute without SET": sequence(sequence(oid)),
		"an attribute with more": sequence(sequence(oid, tlv(cbasn1.SET, ""), oid)), "an empty identifier": sequence([]byte{6, 0}),
		"an identifier that ends early": sequence([]byte{6, 1, 0x80}), "1025 elements": sequence(many),
		"1025 values": sequence(attribute(asn1.ObjectIdentifier{1, 2}, wide...)), "64 KiB": sequence(tlv(cbasn1.SEQUENCE, string(make([]byte, 64<<10)))),
	} {
		if attrs, err := est.ParseCSRAttrs(der); attrs != nil || !errors.Is(err, est.ErrCSRAttrs) {
			t.Errorf("ParseCSRAttrs of %s = %v, %v", what, attrs, err)
		}
	}
}

func TestParseCSRAttrsReadsThePublishedVectors(t *testing.T) {
	dir := vectors(t)
	read := 0
	for _, pattern := range []string{"est/rfc9908/*.der", "est/rfc8951/*.der", "est/constructed/csrattrs-*.der", "est/rfc7030/a2-csrattrs-response.der", "brski/csrattrs-acp/*csrattr*.der"} {
		files, err := filepath.Glob(filepath.Join(filepath.Dir(dir), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			der, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			// reach's has garbage behind it.
			bad := filepath.Base(file) == "reach-00-D0-E5-F2-00-02.csrattr.der"
			if _, err := est.ParseCSRAttrs(der); (err != nil) != bad {
				t.Errorf("ParseCSRAttrs(%s): %v, want an error: %v", filepath.Base(file), err, bad)
			}
			read++
		}
	}
	t.Logf("%d CsrAttrs read", read)
	if read < 15 {
		t.Errorf("only %d vectors read", read)
	}
}

func FuzzParseCSRAttrs(f *testing.F) {
	f.Add(sequence(tlv(cbasn1.OBJECT_IDENTIFIER, "\x2a\x03"), attribute(asn1.ObjectIdentifier{2, 999, 1}, []byte{5, 0})))
	for _, s := range []string{"\x30\x00", "\x1f\x80", "\x1f\x05", "\x30\x81", "\x30\x84\x01", "\x30\x82\x06", "\x5f\x4d"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		attrs, err := est.ParseCSRAttrs(der)
		if (attrs == nil) != (err != nil) || (err != nil && !errors.Is(err, est.ErrCSRAttrs)) {
			t.Errorf("ParseCSRAttrs(%x) = %v, %v", der, attrs, err)
		}
	})
}
