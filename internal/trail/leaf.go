package trail

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// leafVersion is the first byte of every leaf. A change of the encoding is a
// new number; old leaves stay as they are.
const leafVersion = 1

// Limits of an encoded entry. They bound what a decoder allocates.
const (
	MaxLeaf = 1 << 22 // bytes of a leaf
	MaxRows = 1 << 15 // digests in an entry
)

// ErrLeaf says that bytes are not the encoding of an entry.
var ErrLeaf = errors.New("trail: malformed entry")

// AppendLeaf appends the canonical encoding of e, version 1, to b:
//
//	version   byte, 1
//	seq       uvarint
//	at        varint, microseconds since 1970 UTC
//	domain, kind, device, actor, reason, body   each: length as uvarint, bytes
//	rows      count as uvarint; each: table and key as above, 32 bytes of SHA-256
//
// Integers are in the shortest form, so an entry has one encoding only.
func (e *Entry) AppendLeaf(b []byte) []byte {
	b = append(b, leafVersion)
	b = binary.AppendUvarint(b, uint64(e.Seq)) //nolint:gosec // positions are never negative
	b = binary.AppendVarint(b, e.At.UnixMicro())
	b = appendString(b, e.Domain)
	b = appendString(b, e.Kind)
	b = appendString(b, e.Device)
	b = appendString(b, e.Actor)
	b = appendString(b, e.Reason)
	b = appendString(b, e.Body)
	b = binary.AppendUvarint(b, uint64(len(e.Rows)))
	for i := range e.Rows {
		r := &e.Rows[i]
		b = appendString(b, r.Table)
		b = appendString(b, r.Key)
		b = append(b, r.Sum[:]...)
	}
	return b
}

func appendString[T ~string | ~[]byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// DecodeEntry reads what [Entry.AppendLeaf] wrote, and nothing else: another
// version, a number not in its shortest form, a missing or a trailing byte is
// an error that wraps [ErrLeaf]. The entry does not keep leaf.
func DecodeEntry(leaf []byte) (*Entry, error) {
	if len(leaf) == 0 || len(leaf) > MaxLeaf {
		return nil, fmt.Errorf("%w: %d bytes, want 1 to %d", ErrLeaf, len(leaf), MaxLeaf)
	}
	if leaf[0] != leafVersion {
		return nil, fmt.Errorf("%w: version %d, want %d", ErrLeaf, leaf[0], leafVersion)
	}
	d := decoder{rest: leaf[1:]}
	seq := d.uvarint()
	if seq > 1<<62 {
		d.fail("sequence number out of range")
	}
	e := &Entry{Seq: int64(seq), At: time.UnixMicro(d.varint()).UTC()} //nolint:gosec // range checked above
	e.Domain = string(d.bytes())
	e.Kind = string(d.bytes())
	e.Device = string(d.bytes())
	e.Actor = string(d.bytes())
	e.Reason = string(d.bytes())
	if body := d.bytes(); len(body) > 0 {
		e.Body = append(e.Body, body...)
	}
	e.Rows = d.rows()
	if d.err == nil && len(d.rest) > 0 {
		d.fail("trailing bytes")
	}
	if d.err != nil {
		return nil, d.err
	}
	return e, nil
}

// decoder reads from the front of rest; after the first error every read
// returns the zero value.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrLeaf, what)
	}
	d.rest = nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || n > 1 && d.rest[n-1] == 0 {
		d.fail("number missing, too large or not in its shortest form")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 || n > 1 && d.rest[n-1] == 0 {
		d.fail("time missing, too large or not in its shortest form")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.fail("field longer than the entry")
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) rows() []Row {
	n := d.uvarint()
	if n == 0 || d.err != nil {
		return nil
	}
	if n > MaxRows || n > uint64(len(d.rest)/34) { // a row takes at least 34 bytes
		d.fail("more rows than the entry has room for")
		return nil
	}
	rows := make([]Row, n)
	for i := range rows {
		rows[i].Table = string(d.bytes())
		rows[i].Key = append(rows[i].Key, d.bytes()...)
		if len(d.rest) < len(rows[i].Sum) {
			d.fail("digest cut short")
			return nil
		}
		d.rest = d.rest[copy(rows[i].Sum[:], d.rest):]
	}
	return rows
}
