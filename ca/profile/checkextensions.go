package profile

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// checkExtensions reads each extension once and compares what it means.
func (p *Profile) checkExtensions(list cryptobyte.String, c *Content) error {
	count := len(p.content.expect)
	if hasNames(&c.Names) {
		count++
	}
	for i := range count {
		var extension, id, value cryptobyte.String
		critical := false
		if !list.ReadASN1(&extension, cbasn1.SEQUENCE) || !extension.ReadASN1(&id, cbasn1.OBJECT_IDENTIFIER) {
			return tbsError(fmt.Sprintf("extension %d is missing or unreadable", i))
		}
		if extension.PeekASN1Tag(cbasn1.BOOLEAN) && (!extension.ReadASN1Boolean(&critical) || !critical) {
			return tbsError("a criticality is not in DER")
		}
		if !extension.ReadASN1(&value, cbasn1.OCTET_STRING) || !extension.Empty() {
			return tbsError(fmt.Sprintf("extension %d is unreadable", i))
		}
		if err := p.checkExtension(id, critical, value, c); err != nil {
			return err
		}
		if precedes(list, id) {
			return tbsError(fmt.Sprintf("extension %x is there twice", []byte(id)))
		}
	}
	if !list.Empty() {
		return tbsError("there are extensions that the profile does not have")
	}
	return nil
}

// precedes says whether an extension of that OID is among those that follow.
func precedes(rest cryptobyte.String, id []byte) bool {
	for !rest.Empty() {
		var extension, other cryptobyte.String
		if !rest.ReadASN1(&extension, cbasn1.SEQUENCE) || !extension.ReadASN1(&other, cbasn1.OBJECT_IDENTIFIER) {
			return false // found unreadable by the caller
		}
		if bytes.Equal(other, id) {
			return true
		}
	}
	return false
}

func (p *Profile) checkExtension(id []byte, critical bool, value cryptobyte.String, c *Content) error {
	want, ok := p.content.expect[string(id)]
	good := false
	switch string(id) {
	case "\x55\x1d\x11":
		want, ok = expected{critical: len(c.Subject) == 0}, hasNames(&c.Names)
		good = generalNamesAre(value, c)
	case "\x55\x1d\x0e":
		var keyID cryptobyte.String
		good = value.ReadASN1(&keyID, cbasn1.OCTET_STRING) && value.Empty() && bytes.Equal(keyID, KeyID(c.SPKI))
	case "\x55\x1d\x23":
		var seq, keyID cryptobyte.String
		good = value.ReadASN1(&seq, cbasn1.SEQUENCE) && value.Empty() && seq.ReadASN1(&keyID, cbasn1.Tag(0).ContextSpecific()) &&
			seq.Empty() && bytes.Equal(keyID, c.AuthorityKeyID)
	case "\x55\x1d\x0f":
		good = p.keyUsageIs(value, c)
	case "\x55\x1d\x13":
		good = p.content.constraintsAre(value)
	case "\x55\x1d\x1e":
		good = p.content.nameConstraintsAre(value)
	case "\x55\x1d\x25":
		good = oidsAre(value, p.content.eku)
	case "\x55\x1d\x1f":
		good = distributionPointsAre(value, p.content.crl, c)
	case "\x55\x1d\x2e":
		good = distributionPointsAre(value, p.content.freshest, c)
	case "\x55\x1d\x20":
		good = p.content.policiesAre(value)
	case "\x2b\x06\x01\x05\x05\x07\x01\x01":
		good = p.content.accessIs(value, c)
	case "\x2b\x06\x01\x05\x05\x07\x01\x20":
		var url cryptobyte.String
		good = value.ReadASN1(&url, cbasn1.IA5String) && value.Empty() && string(url) == p.content.masaURL
	case "\x2b\x06\x01\x05\x05\x07\x30\x01\x05":
		good = p.content.noCheck && string(value) == "\x05\x00"
	default:
		ok = false
	}
	switch {
	case !ok:
		return tbsError(fmt.Sprintf("the extension %x is not the profile's", id))
	case !good:
		return tbsError(fmt.Sprintf("the extension %x says something else", id))
	case critical != want.critical:
		return tbsError(fmt.Sprintf("the extension %x has the wrong criticality", id))
	}
	return nil
}

// generalNamesAre compares a SubjectAltName with the decided names, one by
// one: as many, in the order of appendGeneralNames, equal in type and value.
func generalNamesAre(value cryptobyte.String, c *Content) bool {
	got, err := parseGeneralNames(value)
	if err != nil {
		return false
	}
	want, err := flatten(&c.Names)
	if err != nil || len(got) != len(want) {
		return false
	}
	for i := range got {
		g, w := &got[i], &want[i]
		if g.kind != w.kind || g.text != w.text || !slices.Equal(g.ip, w.ip) || !bytes.Equal(g.raw, w.raw) {
			return false
		}
	}
	return true
}

func (p *Profile) keyUsageIs(value cryptobyte.String, c *Content) bool {
	var bits asn1.BitString
	if !value.ReadASN1BitString(&bits) || !value.Empty() {
		return false
	}
	got, ok := parseKeyUsage(bits)
	rule := p.kindRule(c.Key)
	return ok && rule != nil && got == rule.usage
}

func (f *fixedContent) constraintsAre(value cryptobyte.String) bool {
	var seq cryptobyte.String
	if f.constraints == nil || !value.ReadASN1(&seq, cbasn1.SEQUENCE) || !value.Empty() {
		return false
	}
	isCA, length := false, -1
	if seq.PeekASN1Tag(cbasn1.BOOLEAN) && !seq.ReadASN1Boolean(&isCA) {
		return false
	}
	if seq.PeekASN1Tag(cbasn1.INTEGER) && !seq.ReadASN1Integer(&length) {
		return false
	}
	want := -1
	if f.constraints.PathLength != nil {
		want = *f.constraints.PathLength
	}
	return seq.Empty() && isCA == f.constraints.CA && length == want
}

func oidsAre(value cryptobyte.String, want []asn1.ObjectIdentifier) bool {
	var seq cryptobyte.String
	if !value.ReadASN1(&seq, cbasn1.SEQUENCE) || !value.Empty() {
		return false
	}
	for _, w := range want {
		var got asn1.ObjectIdentifier
		if !seq.ReadASN1ObjectIdentifier(&got) || !got.Equal(w) {
			return false
		}
	}
	return seq.Empty()
}

func (f *fixedContent) policiesAre(value cryptobyte.String) bool {
	var seq cryptobyte.String
	if !value.ReadASN1(&seq, cbasn1.SEQUENCE) || !value.Empty() {
		return false
	}
	for _, want := range f.policies {
		var info, qualifiers, qualifier, cps cryptobyte.String
		var oid, id asn1.ObjectIdentifier
		if !seq.ReadASN1(&info, cbasn1.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(want.oid) {
			return false
		}
		if want.cps != "" {
			if !info.ReadASN1(&qualifiers, cbasn1.SEQUENCE) || !qualifiers.ReadASN1(&qualifier, cbasn1.SEQUENCE) || !qualifiers.Empty() ||
				!qualifier.ReadASN1ObjectIdentifier(&id) || !id.Equal(oidCPS()) ||
				!qualifier.ReadASN1(&cps, cbasn1.IA5String) || !qualifier.Empty() || string(cps) != want.cps {
				return false
			}
		}
		if !info.Empty() {
			return false
		}
	}
	return seq.Empty()
}
