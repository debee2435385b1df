package cose

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// Limits of the CBOR that is read, beside those of the caller. Real artifacts stay below a tenth of them.
const (
	// MaxDepth is how deep arrays, maps and tags may be nested, the outermost included.
	MaxDepth = 16
	// MaxItems is how many data items there may be, on all levels together.
	MaxItems = 2048
)

// Check tells whether data is exactly one well-formed CBOR item of definite
// lengths, within MaxDepth and MaxItems, whose text is UTF-8 and whose tags
// are among those given. It allocates nothing. Byte strings are not looked into.
func Check(data []byte, tags ...uint64) error {
	return (&scanner{data: data, tags: tags}).whole()
}

// Pair is one entry of a map. Key is an int64, a string or, for a tag, a
// cbor.Tag; Value is a part of what was read.
type Pair struct {
	Key   any
	Value []byte
}

// ReadMap checks data like [Check] and returns the entries of the map that it
// is, in order. Keys are integers, text, or tagged integers; none occurs twice.
func ReadMap(data []byte, tags ...uint64) ([]Pair, error) {
	if err := Check(data, tags...); err != nil {
		return nil, err
	}
	s := &scanner{data: data, tags: tags}
	major, n, err := s.head()
	if err != nil || major != majorMap {
		return nil, fmt.Errorf("%w: a map was expected", ErrSyntax)
	}
	pairs := make([]Pair, 0, n)
	seen := make(map[any]bool, n)
	for range n {
		start := s.pos
		if err := s.item(1); err != nil {
			return nil, err
		}
		key, err := readKey(data[start:s.pos])
		if err != nil {
			return nil, err
		}
		if seen[key] {
			return nil, fmt.Errorf("%w: %.64v", ErrDuplicateKey, key)
		}
		seen[key] = true
		start = s.pos
		if err := s.item(1); err != nil {
			return nil, err
		}
		pairs = append(pairs, Pair{Key: key, Value: data[start:s.pos]})
	}
	return pairs, nil
}

func readKey(data []byte) (any, error) {
	var key any
	if err := Decode(data, &key); err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case int64, string:
		return k, nil
	case cbor.Tag:
		if _, ok := k.Content.(int64); ok {
			return k, nil
		}
	}
	return nil, fmt.Errorf("%w: a map key that is neither a number nor text", ErrSyntax)
}

// The major types of RFC 8949, Section 3.1.
const (
	majorBytes  = 2
	majorText   = 3
	majorArray  = 4
	majorMap    = 5
	majorTag    = 6
	majorSimple = 7
)

// scanner passes items.
type scanner struct {
	data   []byte
	pos    int
	count  int
	tags   []uint64 // those that may occur
	anyTag bool     // all may
}

// whole passes all of the data as one item.
func (s *scanner) whole() error {
	if err := s.item(1); err != nil {
		return err
	}
	if s.pos != len(s.data) {
		return fmt.Errorf("%w: %d bytes", ErrTrailingData, len(s.data)-s.pos)
	}
	return nil
}

// item passes one item and what is in it.
func (s *scanner) item(depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("%w: more than %d levels", ErrTooDeep, MaxDepth)
	}
	if s.count++; s.count > MaxItems {
		return fmt.Errorf("%w: more than %d items", ErrTooLarge, MaxItems)
	}
	major, n, err := s.head()
	if err != nil {
		return err
	}
	left := uint64(len(s.data) - s.pos)
	switch major {
	case majorBytes, majorText:
		if n > left {
			return s.malformed("string cut off")
		}
		start := s.pos
		s.pos += int(n)
		if major == majorText && !utf8.Valid(s.data[start:s.pos]) {
			return s.malformed("text is not UTF-8")
		}
	case majorArray:
		return s.items(n, depth)
	case majorMap:
		if n > left/2 {
			return s.malformed("map cut off")
		}
		return s.items(2*n, depth)
	case majorTag:
		if !s.anyTag && !slices.Contains(s.tags, n) {
			return fmt.Errorf("%w: %d", ErrTag, n)
		}
		return s.items(1, depth)
	}
	return nil
}

func (s *scanner) items(n uint64, depth int) error {
	if n > uint64(len(s.data)-s.pos) { // each has a byte at least
		return s.malformed("array or map cut off")
	}
	for range n {
		if err := s.item(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

// head passes the initial byte and the argument (RFC 8949, Section 3).
func (s *scanner) head() (major byte, argument uint64, err error) {
	if s.pos >= len(s.data) {
		return 0, 0, s.malformed("cut off")
	}
	initial := s.data[s.pos]
	s.pos++
	major, info := initial>>5, initial&0x1f
	if info < 24 {
		return major, uint64(info), nil
	}
	if info == 31 {
		return 0, 0, fmt.Errorf("%w at byte %d", ErrIndefinite, s.pos-1)
	}
	size := 1 << (info - 24)
	if info > 27 || len(s.data)-s.pos < size {
		return 0, 0, s.malformed("bad or cut off length")
	}
	var wide [8]byte
	copy(wide[8-size:], s.data[s.pos:s.pos+size])
	s.pos += size
	argument = binary.BigEndian.Uint64(wide[:])
	if major == majorSimple && info == 24 && argument < 32 {
		return 0, 0, s.malformed("bad simple value")
	}
	return major, argument, nil
}

func (s *scanner) malformed(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrSyntax, what, s.pos)
}
