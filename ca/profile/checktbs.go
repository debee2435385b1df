package profile

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ErrTBS says that a to-be-signed certificate is not what was decided. Nothing
// that fails this check may be signed: either the builder or the decision is
// wrong.
var ErrTBS = errors.New("profile: the to-be-signed certificate is not what was decided")

func tbsError(what string) error { return fmt.Errorf("%w: %s", ErrTBS, what) }

// CheckTBS reads a to-be-signed certificate back and compares it with the
// decision and the profile: serial number, algorithms, issuer, validity,
// names, key, and exactly the extensions of the profile, each by its meaning.
// The names themselves are those of [Profile.CheckNames]. The error wraps
// [ErrTBS].
func (p *Profile) CheckTBS(tbs []byte, c *Content) error {
	in := cryptobyte.String(tbs)
	var seq, extensions, list cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() {
		return tbsError("it is no sequence")
	}
	if err := checkIssuance(&seq, c); err != nil {
		return err
	}
	if err := p.checkSubject(&seq, c); err != nil {
		return err
	}
	if !seq.ReadASN1(&extensions, cbasn1.Tag(3).ContextSpecific().Constructed()) || !seq.Empty() ||
		!extensions.ReadASN1(&list, cbasn1.SEQUENCE) || !extensions.Empty() {
		return tbsError("extensions")
	}
	return p.checkExtensions(list, c)
}

// checkIssuance reads what the issuer says of itself: version, serial number,
// algorithm and issuer.
func checkIssuance(seq *cryptobyte.String, c *Content) error {
	var version, serial, element cryptobyte.String
	var v int
	if !seq.ReadASN1(&version, cbasn1.Tag(0).ContextSpecific().Constructed()) || !version.ReadASN1Integer(&v) || !version.Empty() || v != 2 {
		return tbsError("version")
	}
	if !seq.ReadASN1(&serial, cbasn1.INTEGER) || !serialIs(serial, c.Serial) {
		return tbsError("serial number")
	}
	if !seq.ReadASN1Element(&element, cbasn1.SEQUENCE) || !bytes.Equal(element, c.Algorithm.Identifier()) {
		return tbsError("signature algorithm")
	}
	if !seq.ReadASN1Element(&element, cbasn1.SEQUENCE) || !bytes.Equal(element, c.Issuer) {
		return tbsError("issuer")
	}
	return nil
}

// checkSubject reads validity, subject and key.
func (p *Profile) checkSubject(seq *cryptobyte.String, c *Content) error {
	var validity, element cryptobyte.String
	if !seq.ReadASN1(&validity, cbasn1.SEQUENCE) || !readTimeIs(&validity, c.NotBefore) || !readTimeIs(&validity, c.NotAfter) || !validity.Empty() {
		return tbsError("validity")
	}
	if !p.period.admits(c.NotBefore, c.NotAfter) {
		return tbsError("validity is longer than the profile's, or ends before it starts")
	}
	if !seq.ReadASN1(&element, cbasn1.SEQUENCE) || !p.subject.nameIs(element, c.Subject) {
		return tbsError("subject")
	}
	if !seq.ReadASN1Element(&element, cbasn1.SEQUENCE) || !bytes.Equal(element, c.SPKI) {
		return tbsError("public key")
	}
	return nil
}

// serialIs compares an INTEGER's content with a serial number, which must be
// positive, minimal and fit 20 bytes with its sign (RFC 5280, Section 4.1.2.2).
func serialIs(content, serial []byte) bool {
	if len(serial) == 0 || serial[0] == 0 || len(content) > 20 || len(content) == 0 || content[0]&0x80 != 0 {
		return false
	}
	if content[0] == 0 {
		content = content[1:]
	}
	return bytes.Equal(content, serial)
}

func readTimeIs(in *cryptobyte.String, want time.Time) bool {
	var got time.Time
	if want.Year() < 2050 {
		return in.ReadASN1UTCTime(&got) && got.Equal(want)
	}
	return in.ReadASN1GeneralizedTime(&got) && got.Equal(want)
}

// nameIs compares the content of a Name with a decided subject, attribute by
// attribute, its string type included; within a set the order is DER's and
// does not count.
func (s *subjectRules) nameIs(content cryptobyte.String, want pkix.RDNSequence) bool {
	for _, rdn := range want {
		var set cryptobyte.String
		if !content.ReadASN1(&set, cbasn1.SET) {
			return false
		}
		var matched uint64
		for range rdn {
			var seq, value cryptobyte.String
			var oid asn1.ObjectIdentifier
			var tag cbasn1.Tag
			if !set.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1ObjectIdentifier(&oid) || !seq.ReadAnyASN1(&value, &tag) || !seq.Empty() ||
				tag != stringTag(s.syntaxOf(oid), string(value)) {
				return false
			}
			i := 0
			for i < len(rdn) && (matched&(1<<i) != 0 || !rdn[i].Type.Equal(oid) || rdn[i].Value != string(value)) {
				i++
			}
			if i == len(rdn) || i > 63 {
				return false
			}
			matched |= 1 << i
		}
		if !set.Empty() {
			return false
		}
	}
	return content.Empty()
}
