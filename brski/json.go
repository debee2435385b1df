package brski

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds on JSON from peers.
const (
	maxJSONDepth   = 16
	maxJSONMembers = 64 // of one object that is looked into
)

// member is one name and value of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// parseObject splits a whole JSON text that is one object. Unlike
// json.Unmarshal into a struct it tells letter case apart and refuses a name
// that occurs twice. The nesting of values is bounded, their content not looked at.
func parseObject(data []byte) ([]member, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	if tooDeep(data) {
		return nil, fmt.Errorf("nested deeper than %d", maxJSONDepth)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	var members []member
	seen := make(map[string]bool)
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, errors.New("not well-formed JSON")
		}
		m := member{name: t.(string)} // a member's name: the decoder lets nothing else pass here
		if seen[m.name] {
			return nil, fmt.Errorf("key %q occurs twice", clip(m.name, 64))
		}
		seen[m.name] = true
		if len(members) == maxJSONMembers {
			return nil, fmt.Errorf("more than %d keys", maxJSONMembers)
		}
		if err := d.Decode(&m.value); err != nil {
			return nil, errors.New("not well-formed JSON")
		}
		members = append(members, m)
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("not well-formed JSON")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("bytes follow the JSON object")
	}
	return members, nil
}

// tooDeep counts brackets outside strings.
func tooDeep(data []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxJSONDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// parseUint reads a JSON number that is a CDDL uint of at most 31 bits.
func parseUint(value json.RawMessage) (int, error) {
	n, err := strconv.ParseUint(string(value), 10, 31)
	if err != nil {
		return 0, errors.New("a whole number was expected")
	}
	return int(n), nil
}

// parseCount is parseUint that takes the number as a string too: the example
// of RFC 8995, Section 5.8.1 has strings where its CDDL has uint.
func parseCount(value json.RawMessage) (int, error) {
	if text, err := parseString(value); err == nil {
		return parseUint(json.RawMessage(text))
	}
	return parseUint(value)
}

func parseString(value json.RawMessage) (string, error) {
	var s *string
	if err := json.Unmarshal(value, &s); err != nil || s == nil {
		return "", errors.New("a string was expected")
	}
	return *s, nil
}

// clip shortens s to at most limit bytes, on a rune's boundary.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// bounded makes text from anywhere fit for an error message: printable ASCII
// on one line, of at most limit bytes.
func bounded(s string, limit int) string {
	var b strings.Builder
	blank := true // none at the start
	for _, r := range s {
		if b.Len() >= limit {
			break
		}
		switch {
		case r == ' ' || r == '\n' || r == '\r' || r == '\t':
			if !blank {
				b.WriteByte(' ')
			}
			blank = true
			continue
		case r < ' ' || r > '~':
			r = '?'
		}
		b.WriteRune(r)
		blank = false
	}
	return strings.TrimRight(b.String(), " ")
}
