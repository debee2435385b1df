package cmp

import (
	"encoding/asn1"
	"fmt"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
)

// reader reads DER and remembers the first thing that is wrong, so that a structure is read field by field and judged once.
// After an error every method returns a zero value and more is false: loops end.
type reader struct {
	s   cryptobyte.String
	err *error // shared with the readers opened from this one
}

// read reads der with f and says what was wrong. Bytes that f leaves are wrong too.
func read(der []byte, what string, f func(*reader)) error {
	var err error
	r := &reader{s: der, err: &err}
	f(r)
	r.end(what)
	return err
}

func (r *reader) broken(err error, what string) {
	if *r.err == nil {
		*r.err = fmt.Errorf("%w: %s", err, what)
	}
	r.s = nil
}

func (r *reader) ok() bool   { return *r.err == nil }
func (r *reader) more() bool { return r.ok() && !r.s.Empty() }

// is tells whether the next element has the tag.
func (r *reader) is(tag cryptobyte_asn1.Tag) bool { return r.more() && r.s.PeekASN1Tag(tag) }

func (r *reader) end(what string) {
	if r.more() {
		r.broken(ErrSyntax, "bytes after the end of "+what)
	}
}

// open returns the contents of the next element.
func (r *reader) open(tag cryptobyte_asn1.Tag, what string) *reader {
	inner := &reader{err: r.err}
	if !r.ok() || !r.s.ReadASN1(&inner.s, tag) {
		r.broken(ErrSyntax, what)
		inner.s = nil
	}
	return inner
}

func (r *reader) sequence(what string) *reader { return r.open(cryptobyte_asn1.SEQUENCE, what) }

// explicit reads an optional [n] EXPLICIT element with f.
func (r *reader) explicit(n uint8, what string, f func(*reader)) {
	if r.is(contextTag(n)) {
		inner := r.open(contextTag(n), what)
		f(inner)
		inner.end(what)
	}
}

// anything returns the next element whole, of whatever tag.
func (r *reader) anything(what string) []byte {
	var out cryptobyte.String
	var tag cryptobyte_asn1.Tag
	if !r.ok() || !r.s.ReadAnyASN1Element(&out, &tag) {
		r.broken(ErrSyntax, what)
		return nil
	}
	return out
}

// element returns the next element whole.
func (r *reader) element(tag cryptobyte_asn1.Tag, what string) []byte {
	var out cryptobyte.String
	if !r.ok() || !r.s.ReadASN1Element(&out, tag) {
		r.broken(ErrSyntax, what)
		return nil
	}
	return out
}

func (r *reader) oid(what string) asn1.ObjectIdentifier {
	var oid asn1.ObjectIdentifier
	if !r.ok() || !r.s.ReadASN1ObjectIdentifier(&oid) {
		r.broken(ErrSyntax, what)
		return nil
	}
	return oid
}

// octets returns the value of an OCTET STRING of at most MaxOctets bytes; it is not nil.
func (r *reader) octets(what string) []byte {
	var out cryptobyte.String
	if !r.ok() || !r.s.ReadASN1(&out, cryptobyte_asn1.OCTET_STRING) {
		r.broken(ErrSyntax, what)
		return nil
	}
	if len(out) > MaxOctets {
		r.broken(ErrTooLarge, fmt.Sprintf("%s of %d bytes, the limit is %d", what, len(out), MaxOctets))
		return nil
	}
	return append([]byte{}, out...)
}

// integer returns an INTEGER that fits 63 bits.
func (r *reader) integer(what string) int64 {
	var n int64
	if !r.ok() || !r.s.ReadASN1Integer(&n) {
		r.broken(ErrSyntax, what)
		return 0
	}
	return n
}

// texts reads PKIFreeText (RFC 4210, Section 5.1.1): a SEQUENCE OF UTF8String.
func (r *reader) texts(what string) []string {
	var out []string
	list := r.sequence(what)
	for list.more() {
		var text cryptobyte.String
		if !list.s.ReadASN1(&text, cryptobyte_asn1.UTF8String) || !utf8.Valid(text) {
			list.broken(ErrSyntax, what)
			return nil
		}
		if len(text) > MaxText || len(out) == MaxTexts {
			list.broken(ErrTooLarge, what)
			return nil
		}
		out = append(out, string(text))
	}
	return out
}

func (r *reader) algorithm(what string) cms.AlgorithmIdentifier {
	var a cms.AlgorithmIdentifier
	if !r.ok() || !cms.ReadAlgorithm(&r.s, &a) {
		r.broken(ErrSyntax, what)
	}
	return a
}

func (r *reader) time(what string) time.Time {
	var t time.Time
	if !r.ok() || !r.s.ReadASN1GeneralizedTime(&t) {
		r.broken(ErrSyntax, what)
		return time.Time{}
	}
	return t.UTC()
}

// bits returns a BIT STRING of whole bytes.
func (r *reader) bits(what string) []byte {
	var out asn1.BitString
	if !r.ok() || !r.s.ReadASN1BitString(&out) || out.BitLength%8 != 0 {
		r.broken(ErrSyntax, what)
		return nil
	}
	return out.Bytes
}

// certificates reads a SEQUENCE SIZE (1..MAX) OF Certificate, each left as it is.
func (r *reader) certificates(what string) [][]byte {
	var out [][]byte
	list := r.sequence(what)
	for list.more() {
		if len(out) == MaxCertificates {
			list.broken(ErrTooLarge, fmt.Sprintf("%s: more than %d", what, MaxCertificates))
			return nil
		}
		out = append(out, list.element(cryptobyte_asn1.SEQUENCE, what))
	}
	if r.ok() && len(out) == 0 {
		r.broken(ErrSyntax, "empty "+what)
	}
	return out
}

// contextTag is a constructed element tagged [n].
func contextTag(n uint8) cryptobyte_asn1.Tag {
	return cryptobyte_asn1.Tag(n).ContextSpecific().Constructed()
}
