// Package strictjson reads JSON texts that peers have signed. Beyond RFC 8259
// it refuses what encoding/json lets pass: a name twice in one object (RFC
// 8259, Section 4), unpaired surrogates, text that is not UTF-8, too much
// nesting, too many members. It copies names and nothing else.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Errors, to be told apart with errors.Is.
var (
	// ErrSyntax: not a JSON text (RFC 8259, Section 2), or text that is not UTF-8.
	ErrSyntax = errors.New("not well-formed JSON")
	// ErrTrailingData: something follows the JSON value.
	ErrTrailingData = errors.New("bytes follow the JSON object")
	// ErrTooLarge: more bytes or members than Limits allow.
	ErrTooLarge = errors.New("too large")
	// ErrTooDeep: nested deeper than Limits allow.
	ErrTooDeep = errors.New("nested too deep")
	// ErrDuplicate: a name occurs twice in one object. It comes inside a [DuplicateError].
	ErrDuplicate = errors.New("occurs twice")
)

// DuplicateError says which name occurs twice.
type DuplicateError struct {
	Name string // as it stands in the text, of any length
}

// Error returns the text for people, with at most 64 bytes of the name.
func (e *DuplicateError) Error() string {
	name := e.Name
	if len(name) > 64 {
		name = strings.ToValidUTF8(name[:64], "") + "..."
	}
	return fmt.Sprintf("%q %v", name, ErrDuplicate)
}

// Unwrap returns ErrDuplicate.
func (e *DuplicateError) Unwrap() error { return ErrDuplicate }

// Limits bound a text.
type Limits struct {
	Bytes   int
	Depth   int // how deep objects and arrays may be nested, the outermost included
	Members int // how many object members and array elements there may be, on all levels together
}

// Member is one name and value of an object; Value is a part of the text.
type Member struct {
	Name  string
	Value []byte
}

// Object reads a text that must be one object and returns its members in order.
func Object(data []byte, l Limits) ([]Member, error) {
	s, err := begin(data, l, '{')
	if err != nil {
		return nil, err
	}
	members, err := s.object(1)
	if err != nil {
		return nil, err
	}
	return members, s.end()
}

// Array reads a text that must be one array and returns its elements, which
// are parts of the text, in order.
func Array(data []byte, l Limits) ([][]byte, error) {
	s, err := begin(data, l, '[')
	if err != nil {
		return nil, err
	}
	elements, err := s.array(1)
	if err != nil {
		return nil, err
	}
	return elements, s.end()
}

// Value checks a text that must be one JSON value of any type, as if it stood
// at that depth; the outermost is 1.
func Value(data []byte, l Limits, depth int) error {
	s, err := begin(data, l, 0)
	if err != nil {
		return err
	}
	if err := s.value(depth); err != nil {
		return err
	}
	return s.end()
}

// Text decodes a string that Object or Array has returned. Errors wrap
// ErrSyntax: a value of another type is one.
func Text(raw []byte) (string, error) {
	var text string
	if len(raw) == 0 || raw[0] != '"' {
		return "", fmt.Errorf("%w: a string was expected", ErrSyntax)
	}
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	return text, nil
}

type scanner struct {
	data   []byte
	limits Limits
	pos    int
	count  int
}

// begin checks what can be seen of a text at once. It must open with that byte, unless it is 0.
func begin(data []byte, l Limits, open byte) (*scanner, error) {
	if len(data) > l.Bytes {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(data), l.Bytes)
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrSyntax)
	}
	s := &scanner{data: data, limits: l}
	s.space()
	switch {
	case open == 0 || s.peek() == open:
		return s, nil
	case open == '{':
		return nil, s.malformed("an object was expected")
	default:
		return nil, s.malformed("an array was expected")
	}
}

func (s *scanner) end() error {
	s.space()
	if s.pos != len(s.data) {
		return fmt.Errorf("%w: %d bytes", ErrTrailingData, len(s.data)-s.pos)
	}
	return nil
}

func (s *scanner) value(depth int) error {
	if s.count++; s.count > s.limits.Members {
		return fmt.Errorf("%w: more than %d members", ErrTooLarge, s.limits.Members)
	}
	switch c := s.peek(); {
	case c == '{':
		_, err := s.object(depth)
		return err
	case c == '[':
		_, err := s.array(depth)
		return err
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

func (s *scanner) object(depth int) ([]Member, error) {
	if depth > s.limits.Depth {
		return nil, fmt.Errorf("%w: more than %d levels", ErrTooDeep, s.limits.Depth)
	}
	s.pos++
	var members []Member
	seen := make(map[string]bool)
	for s.space(); s.peek() != '}'; s.space() {
		if len(members) > 0 && !s.word(",") {
			return nil, s.malformed("a comma was expected")
		}
		m, err := s.member(depth)
		if err != nil {
			return nil, err
		}
		if seen[m.Name] {
			return nil, &DuplicateError{m.Name}
		}
		seen[m.Name] = true
		members = append(members, m)
	}
	s.pos++
	return members, nil
}

func (s *scanner) member(depth int) (m Member, err error) {
	s.space()
	start := s.pos
	if err := s.text(); err != nil {
		return m, err
	}
	if m.Name, err = Text(s.data[start:s.pos]); err != nil {
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
	m.Value = s.data[start:s.pos]
	return m, nil
}

func (s *scanner) array(depth int) (elements [][]byte, err error) {
	if depth > s.limits.Depth {
		return nil, fmt.Errorf("%w: more than %d levels", ErrTooDeep, s.limits.Depth)
	}
	s.pos++
	for first := true; ; first = false {
		s.space()
		if s.word("]") {
			return elements, nil
		}
		if !first && !s.word(",") {
			return nil, s.malformed("a comma was expected")
		}
		s.space()
		start := s.pos
		if err := s.value(depth + 1); err != nil {
			return nil, err
		}
		elements = append(elements, s.data[start:s.pos])
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
