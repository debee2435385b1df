package trail

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// AppendValue appends the canonical encoding of a stored value: a byte for its
// type (0 NULL, 1 integer, 2 text, 3 blob, 4 anything else), then 8 bytes
// big-endian, or the length as uvarint and the bytes. The Sum of a [Row] is the
// SHA-256 of its values one after the other, those of the key first.
func AppendValue(b []byte, v any) []byte {
	switch x := v.(type) {
	case nil:
		return append(b, 0)
	case int64:
		return binary.BigEndian.AppendUint64(append(b, 1), uint64(x)) //nolint:gosec // the bits are what counts
	case string:
		b = binary.AppendUvarint(append(b, 2), uint64(len(x)))
		return append(b, x...)
	case []byte:
		b = binary.AppendUvarint(append(b, 3), uint64(len(x)))
		return append(b, x...)
	default: // a float: nothing of ours stores one, so it differs from all that was covered
		return fmt.Appendf(append(b, 4), "%v", x)
	}
}

// ErrValues says that bytes are not the encoding of values.
var ErrValues = errors.New("trail: malformed record")

// maxValues bounds the columns of a record.
const maxValues = 256

// Values reads what [AppendValue] wrote: nil, int64, string and []byte. The
// byte strings are parts of b.
func Values(b []byte) ([]any, error) {
	var out []any
	d := decoder{rest: b}
	for len(d.rest) > 0 && d.err == nil {
		if len(out) == maxValues {
			return nil, fmt.Errorf("%w: more than %d values", ErrValues, maxValues)
		}
		kind := d.rest[0]
		d.rest = d.rest[1:]
		switch kind {
		case 0:
			out = append(out, nil)
		case 1:
			if len(d.rest) < 8 {
				return nil, fmt.Errorf("%w: number cut short", ErrValues)
			}
			out = append(out, int64(binary.BigEndian.Uint64(d.rest))) //nolint:gosec // the bits are what counts
			d.rest = d.rest[8:]
		case 2:
			out = append(out, string(d.bytes()))
		case 3:
			out = append(out, d.bytes())
		default:
			return nil, fmt.Errorf("%w: a value of type %d", ErrValues, kind)
		}
	}
	if d.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrValues, d.err)
	}
	return out, nil
}

// Proved is an entry with what shows that it is in the log of a head.
type Proved struct {
	Seq    int64
	Leaf   []byte     // its encoding
	Hashes [][32]byte // as in [Inclusion]
}

// Record is a row as the trail covers it.
type Record struct {
	Table  string // label, as in [Row]
	Seq    int64  // of the entry that has its digest
	Values []byte // as [AppendValue] encodes them, the key first
}

// Extract is a part of the log that can be shown to somebody else: entries, and
// the records whose newest digests they hold.
type Extract struct {
	Head    *Head
	Entries []Proved // in order
	Records []Record
	Omitted []string // what was left out, and why, for people
}
