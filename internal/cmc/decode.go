package cmc

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math"
	"math/big"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
)

// input reads DER and remembers the first thing that is wrong, so that a structure can be read field by field and be
// judged once. After an error every method returns a zero value and more is false: loops end.
type input struct {
	s   cryptobyte.String
	err *error // shared with the inputs opened from this one
}

// decode reads a structure with f and says what was wrong: ErrSyntax or ErrTooLarge. Bytes that f leaves are wrong too.
func decode(der []byte, what string, f func(*input)) error {
	var err error
	in := &input{s: der, err: &err}
	f(in)
	in.end(what)
	return err
}

// wellFormed checks once that data is one DER element within the bounds of depth and count, so that what reads it afterwards need
// not. The bytes of primitive elements are not looked at.
func wellFormed(data []byte) error {
	if len(data) > MaxSize {
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(data), MaxSize)
	}
	der, err := cms.ToDER(data)
	if err != nil {
		return err
	}
	if &der[0] != &data[0] {
		return fmt.Errorf("%w: BER lengths where DER is due", ErrSyntax)
	}
	return nil
}

func (in *input) broken(err error, what string) {
	if *in.err == nil {
		*in.err = fmt.Errorf("%w: %s", err, what)
	}
	in.s = nil
}

func (in *input) ok() bool   { return *in.err == nil }
func (in *input) more() bool { return in.ok() && !in.s.Empty() }

// is tells whether the next element has the tag.
func (in *input) is(tag cryptobyte_asn1.Tag) bool { return in.more() && in.s.PeekASN1Tag(tag) }

func (in *input) end(what string) {
	if in.more() {
		in.broken(ErrSyntax, "bytes after the end of "+what)
	}
}

// open returns the contents of the next element.
func (in *input) open(tag cryptobyte_asn1.Tag, what string) *input {
	inner := &input{err: in.err}
	if !in.ok() || !in.s.ReadASN1(&inner.s, tag) {
		in.broken(ErrSyntax, what)
		inner.s = nil
	}
	return inner
}

func (in *input) sequence(what string) *input { return in.open(cryptobyte_asn1.SEQUENCE, what) }

// element returns the next element, tag and length included.
func (in *input) element(tag cryptobyte_asn1.Tag, what string) []byte {
	var out cryptobyte.String
	if !in.ok() || !in.s.ReadASN1Element(&out, tag) {
		in.broken(ErrSyntax, what)
		return nil
	}
	return out
}

// anything returns the next element of whatever tag.
func (in *input) anything(what string) []byte {
	var out cryptobyte.String
	var tag cryptobyte_asn1.Tag
	if !in.ok() || !in.s.ReadAnyASN1Element(&out, &tag) {
		in.broken(ErrSyntax, what)
		return nil
	}
	return out
}

func (in *input) oid(what string) asn1.ObjectIdentifier {
	var oid asn1.ObjectIdentifier
	if !in.ok() || !in.s.ReadASN1ObjectIdentifier(&oid) {
		in.broken(ErrSyntax, what)
		return nil
	}
	return oid
}

// octets returns the value of an OCTET STRING of at most limit bytes; it is not nil.
func (in *input) octets(limit int, what string) []byte {
	var out cryptobyte.String
	if !in.ok() || !in.s.ReadASN1(&out, cryptobyte_asn1.OCTET_STRING) {
		in.broken(ErrSyntax, what)
		return nil
	}
	if len(out) > limit {
		in.broken(ErrTooLarge, fmt.Sprintf("%s of %d bytes, the limit is %d", what, len(out), limit))
		return nil
	}
	if out == nil {
		return []byte{}
	}
	return out
}

// text returns the value of a UTF8String.
func (in *input) text(what string) string {
	var out cryptobyte.String
	if !in.ok() || !in.s.ReadASN1(&out, cryptobyte_asn1.UTF8String) || !utf8.Valid(out) {
		in.broken(ErrSyntax, what)
		return ""
	}
	if len(out) > MaxText {
		in.broken(ErrTooLarge, fmt.Sprintf("%s of %d bytes, the limit is %d", what, len(out), MaxText))
		return ""
	}
	return string(out)
}

// integer returns an INTEGER of at most MaxTransactionBits.
func (in *input) integer(what string) *big.Int {
	var raw cryptobyte.String
	n := new(big.Int)
	if !in.ok() || !in.s.ReadASN1Element(&raw, cryptobyte_asn1.INTEGER) {
		in.broken(ErrSyntax, what)
		return n
	}
	if len(raw) > 4+MaxTransactionBits/8 {
		in.broken(ErrTooLarge, fmt.Sprintf("%s of %d bytes", what, len(raw)))
		return n
	}
	if !raw.ReadASN1Integer(n) {
		in.broken(ErrSyntax, what)
	}
	return n
}

// small returns an INTEGER or ENUMERATED that fits 31 bits.
func (in *input) small(tag cryptobyte_asn1.Tag, what string) int {
	var raw cryptobyte.String
	var n int32
	if !in.ok() || !in.s.ReadASN1(&raw, tag) {
		in.broken(ErrSyntax, what)
		return 0
	}
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(raw) })
	again := cryptobyte.String(b.BytesOrPanic())
	if len(raw) > 4 || !again.ReadASN1Integer(&n) {
		in.broken(ErrSyntax, what)
	}
	return int(n)
}

func (in *input) bodyPart() BodyPartID {
	var n uint64
	if !in.ok() || !in.s.ReadASN1Integer(&n) || n > math.MaxUint32 {
		in.broken(ErrSyntax, "bodyPartID")
		return 0
	}
	return BodyPartID(n)
}

// bodyParts reads a SEQUENCE OF BodyPartID with at least least members.
func (in *input) bodyParts(least int, what string) []BodyPartID {
	list := in.sequence(what)
	return list.bodyPartsInside(least, MaxReferences, what)
}

func (in *input) bodyPartsInside(least, most int, what string) []BodyPartID {
	var ids []BodyPartID
	for in.more() {
		if len(ids) == most {
			in.broken(ErrTooLarge, fmt.Sprintf("%s of more than %d members", what, most))
			return nil
		}
		ids = append(ids, in.bodyPart())
	}
	if len(ids) < least {
		in.broken(ErrSyntax, "empty "+what)
	}
	return ids
}

func (in *input) path() BodyPartPath {
	return in.sequence("body part path").bodyPartsInside(1, MaxPath, "body part path")
}

// reference reads a BodyPartReference (RFC 5272, Section 6.1.1).
func (in *input) reference() BodyPartPath {
	if in.is(cryptobyte_asn1.SEQUENCE) {
		return in.path()
	}
	return BodyPartPath{in.bodyPart()}
}

// references reads a SEQUENCE SIZE (1..MAX) OF BodyPartReference.
func (in *input) references(what string) []BodyPartPath {
	var paths []BodyPartPath
	list := in.sequence(what)
	for list.more() {
		if len(paths) == MaxReferences {
			in.broken(ErrTooLarge, fmt.Sprintf("%s of more than %d members", what, MaxReferences))
			return nil
		}
		paths = append(paths, list.reference())
	}
	if len(paths) == 0 {
		in.broken(ErrSyntax, "empty "+what)
	}
	return paths
}

func (in *input) algorithm(what string) cms.AlgorithmIdentifier {
	body := in.sequence(what)
	a := cms.AlgorithmIdentifier{OID: body.oid(what)}
	if body.more() {
		a.Parameters = body.anything(what)
	}
	body.end(what)
	return a
}

func (in *input) generalizedTime(what string) time.Time {
	var t time.Time
	if !in.ok() || !in.s.ReadASN1GeneralizedTime(&t) {
		in.broken(ErrSyntax, what)
		return time.Time{}
	}
	return t.UTC()
}

// hashes reads a SEQUENCE OF OCTET STRING.
func (in *input) hashes(what string) [][]byte {
	var out [][]byte
	list := in.sequence(what)
	for list.more() {
		if len(out) == MaxReferences {
			in.broken(ErrTooLarge, fmt.Sprintf("%s of more than %d members", what, MaxReferences))
			return nil
		}
		out = append(out, list.octets(64, what))
	}
	return out
}

// extensionsInside reads the members of Extensions (RFC 5280, Section 4.1).
func (in *input) extensionsInside(what string) []pkix.Extension {
	var out []pkix.Extension
	for in.more() {
		if len(out) == MaxExtensions {
			in.broken(ErrTooLarge, fmt.Sprintf("%s: more than %d", what, MaxExtensions))
			return nil
		}
		one := in.sequence(what)
		e := pkix.Extension{Id: one.oid(what)}
		if one.is(cryptobyte_asn1.BOOLEAN) && (!one.s.ReadASN1Boolean(&e.Critical) || !e.Critical) {
			one.broken(ErrSyntax, what+": FALSE is the default")
		}
		e.Value = one.octets(MaxReturned, what)
		one.end(what)
		for i := range out {
			if out[i].Id.Equal(e.Id) {
				in.broken(ErrSyntax, fmt.Sprintf("%s: %s occurs twice", what, e.Id))
			}
		}
		out = append(out, e)
	}
	return out
}
