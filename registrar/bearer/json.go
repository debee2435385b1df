package bearer

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// members are those of one JSON object.
type members map[string]json.RawMessage

// errObject is every way in which a text is no object.
var errObject = errors.New("no JSON object with each member once")

// object reads one JSON object. A member that is there twice is an error: two
// readers might each take another one (RFC 7519, Section 4).
func object(data []byte) (members, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errObject
	}
	m := members{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok || m[name] != nil {
			return nil, errObject
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errObject
		}
		m[name] = value
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') {
		return nil, errObject
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errObject
	}
	return m, nil
}

// text returns a member that is a string.
func (m members) text(name string) (string, bool) {
	raw := m[name]
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

// short is text, cut to what is kept.
func (m members) short(name string) string {
	s, _ := m.text(name)
	return s[:min(len(s), maxText)]
}

// texts returns a member that is a string, or an array of strings.
func (m members) texts(name string) []string {
	if s, ok := m.text(name); ok {
		return []string{s}
	}
	var list []string
	if len(m[name]) == 0 || m[name][0] != '[' || json.Unmarshal(m[name], &list) != nil {
		return nil
	}
	return list
}

func (m members) number(name string) (float64, bool) {
	raw := m[name]
	if len(raw) == 0 || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return 0, false
	}
	var n float64
	err := json.Unmarshal(raw, &n)
	return n, err == nil
}
