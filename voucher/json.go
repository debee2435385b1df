package voucher

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Limits of the JSON text that is read. Real artifacts stay below a tenth of them.
const (
	// MaxPayload is the most bytes a JSON text may have.
	MaxPayload = 256 << 10
	// MaxDepth is how deep objects and arrays may be nested, the outermost included.
	MaxDepth = 16
	// MaxMembers is how many object members and array elements a text may have, on all levels together.
	MaxMembers = 1024
)

// member is one name and value of an object; value is a part of the text.
type member struct {
	name  string
	value []byte
}

// scanner checks a JSON text against RFC 8259 and what encoding/json lets
// pass: duplicate names (RFC 8259, Section 4), unpaired surrogates, depth,
// count. It copies names and nothing else.
type scanner struct {
	data  []byte
	pos   int
	count int
}

// scanObject checks a text that must be one object and returns its members.
func scanObject(data []byte) ([]member, error) {
	if len(data) > MaxPayload {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(data), MaxPayload)
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrSyntax)
	}
	s := &scanner{data: data}
	s.space()
	if s.peek() != '{' {
		return nil, s.malformed("an object was expected")
	}
	members, err := s.object(1)
	if err != nil {
		return nil, err
	}
	s.space()
	if s.pos != len(data) {
		return nil, fmt.Errorf("%w: %d bytes", ErrTrailingData, len(data)-s.pos)
	}
	return members, nil
}

// scanValue checks a text that must be one JSON value of any type.
func scanValue(data []byte) error {
	if len(data) > MaxPayload {
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(data), MaxPayload)
	}
	if !utf8.Valid(data) {
		return fmt.Errorf("%w: not UTF-8", ErrSyntax)
	}
	s := &scanner{data: data}
	s.space()
	if err := s.value(3); err != nil { // where a leaf's value stands
		return err
	}
	s.space()
	if s.pos != len(data) {
		return fmt.Errorf("%w: %d bytes", ErrTrailingData, len(data)-s.pos)
	}
	return nil
}

func (s *scanner) value(depth int) error {
	if s.count++; s.count > MaxMembers {
		return fmt.Errorf("%w: more than %d members", ErrTooLarge, MaxMembers)
	}
	switch c := s.peek(); {
	case c == '{':
		_, err := s.object(depth)
		return err
	case c == '[':
		return s.array(depth)
	case c == '"':
		return s.text()
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	case s.word("true"), s.word("false"), s.word("null"):
		return nil
	default:
		return s.malformed("no value")
	}
}

func (s *scanner) object(depth int) ([]member, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("%w: more than %d levels", ErrTooDeep, MaxDepth)
	}
	s.pos++
	var members []member
	seen := make(map[string]bool)
	for s.space(); s.peek() != '}'; s.space() {
		if len(members) > 0 && !s.word(",") {
			return nil, s.malformed("a comma was expected")
		}
		m, err := s.member(depth)
		if err != nil {
			return nil, err
		}
		if seen[m.name] {
			return nil, leafError(m.name, ErrDuplicateLeaf)
		}
		seen[m.name] = true
		members = append(members, m)
	}
	s.pos++
	return members, nil
}

func (s *scanner) member(depth int) (m member, err error) {
	s.space()
	start := s.pos
	if err := s.text(); err != nil {
		return m, err
	}
	if m.name, err = decodeText(s.data[start:s.pos]); err != nil {
		return m, err
	}
	s.space()
	if !s.word(":") {
		return m, s.malformed("a colon was expected")
	}
	s.space()
	start = s.pos
	if err := s.value(depth + 1); err != nil {
		return m, err
	}
	m.value = s.data[start:s.pos]
	return m, nil
}

func (s *scanner) array(depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("%w: more than %d levels", ErrTooDeep, MaxDepth)
	}
	s.pos++
	for first := true; ; first = false {
		s.space()
		if s.word("]") {
			return nil
		}
		if !first && !s.word(",") {
			return s.malformed("a comma was expected")
		}
		s.space()
		if err := s.value(depth + 1); err != nil {
			return err
		}
	}
}

// text passes a string. UTF-8 has been checked.
func (s *scanner) text() error {
	if !s.word(`"`) {
		return s.malformed("a string was expected")
	}
	for {
		switch c := s.peek(); {
		case c == '"':
			s.pos++
			return nil
		case c < 0x20: // peek returns 0 at the end
			return s.malformed("string cut off, or a control character in it")
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		default:
			s.pos++
		}
	}
}

// escape passes one escape, or the two of a surrogate pair.
func (s *scanner) escape() error {
	s.pos++
	c := s.peek()
	s.pos++
	if bytes.IndexByte([]byte(`"\/bfnrt`), c) >= 0 {
		return nil
	}
	if c != 'u' {
		return s.malformed("unknown escape")
	}
	switch high, ok := s.hex(); {
	case !ok, 0xdc00 <= high && high <= 0xdfff:
		return s.malformed("bad \\u escape")
	case high < 0xd800 || high > 0xdfff:
		return nil
	}
	if !s.word(`\u`) {
		return s.malformed("unpaired surrogate")
	}
	if low, ok := s.hex(); !ok || low < 0xdc00 || low > 0xdfff {
		return s.malformed("unpaired surrogate")
	}
	return nil
}

func (s *scanner) hex() (value int, ok bool) {
	if len(s.data)-s.pos < 4 {
		return 0, false
	}
	for _, c := range s.data[s.pos : s.pos+4] {
		switch {
		case '0' <= c && c <= '9':
			value = value<<4 | int(c-'0')
		case 'a' <= c && c <= 'f':
			value = value<<4 | int(c-'a'+10)
		case 'A' <= c && c <= 'F':
			value = value<<4 | int(c-'A'+10)
		default:
			return 0, false
		}
	}
	s.pos += 4
	return value, true
}

// number passes a number: the grammar is left to encoding/json.
func (s *scanner) number() error {
	start := s.pos
	for bytes.IndexByte([]byte("+-.eE0123456789"), s.peek()) >= 0 {
		s.pos++
	}
	if !json.Valid(s.data[start:s.pos]) {
		return s.malformed("bad number")
	}
	return nil
}

func (s *scanner) space() {
	for c := s.peek(); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = s.peek() {
		s.pos++
	}
}

func (s *scanner) peek() byte {
	if s.pos >= len(s.data) {
		return 0
	}
	return s.data[s.pos]
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.data[min(s.pos, len(s.data)):], []byte(w)) {
		return false
	}
	s.pos += len(w)
	return true
}

func (s *scanner) malformed(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrSyntax, what, min(s.pos, len(s.data)))
}

// decodeText decodes a string that a scanner has passed.
func decodeText(raw []byte) (string, error) {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	return text, nil
}
