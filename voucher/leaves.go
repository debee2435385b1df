package voucher

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/strictjson"
)

const extensionPrefix = "extension:"

// placed is a member and where it stood.
type placed struct {
	member
	order int
}

// leaves takes the leaves of one container one after the other. The first
// error stays; after it nothing is taken.
type leaves struct {
	mode  Mode
	seen  map[string]placed // all of them
	left  map[string]placed // not taken yet
	notes []note
	err   error
}

// note is a finding and where its leaf stood.
type note struct {
	order int
	Finding
}

func newLeaves(object []byte, mode Mode) (*leaves, error) {
	members, err := scanObject(object)
	if err != nil {
		return nil, err
	}
	l := &leaves{mode: mode, seen: make(map[string]placed, len(members)), left: make(map[string]placed, len(members))}
	for i, m := range members {
		l.seen[m.name] = placed{m, i}
		l.left[m.name] = placed{m, i}
	}
	return l, nil
}

func (l *leaves) has(name string) bool {
	_, ok := l.seen[name]
	return ok
}

func (l *leaves) take(name string) (placed, bool) {
	m, ok := l.left[name]
	delete(l.left, name)
	return m, ok && l.err == nil
}

func (l *leaves) fail(name string, err error) {
	if l.err == nil {
		l.err = leafError(name, err)
	}
}

func (l *leaves) found(m placed, id, format string, args ...any) {
	l.notes = append(l.notes, note{m.order, Finding{ID: id, Text: fmt.Sprintf(format, args...)}})
}

// deviation is an error in strict mode and a finding else. An absent leaf counts as the last.
func (l *leaves) deviation(name string, err error, id, text string) {
	if l.mode == StrictRFC8366 {
		l.fail(name, err)
		return
	}
	m, ok := l.seen[name]
	if !ok {
		m.order = len(l.seen)
	}
	l.found(m, id, "%s", text)
}

func (l *leaves) findings() []Finding {
	slices.SortStableFunc(l.notes, func(a, b note) int { return a.order - b.order })
	var out []Finding
	for _, n := range l.notes {
		out = append(out, n.Finding)
	}
	return out
}

func (l *leaves) text(name string, into *string) {
	m, ok := l.take(name)
	if !ok {
		return
	}
	if m.value[0] != '"' {
		l.fail(name, fmt.Errorf("%w: a string was expected", ErrLeafType))
		return
	}
	text, err := strictjson.Text(m.value)
	if err != nil {
		l.fail(name, err)
		return
	}
	*into = text
}

func (l *leaves) flag(name string, into **bool) {
	m, ok := l.take(name)
	if !ok {
		return
	}
	value := string(m.value) == "true"
	if !value && string(m.value) != "false" {
		l.fail(name, fmt.Errorf("%w: true or false was expected", ErrLeafType))
		return
	}
	*into = &value
}

func (l *leaves) raw(name string, into *json.RawMessage) {
	if m, ok := l.take(name); ok {
		*into = bytes.Clone(m.value)
	}
}

// binary reads the YANG type binary: base64 with padding, in the alphabet of
// RFC 4648, Section 4 (RFC 8995, Section 5).
func (l *leaves) binary(name string, into *[]byte) {
	m, there := l.left[name]
	var text string
	l.text(name, &text)
	if !there || l.err != nil {
		return
	}
	// minerva's fountain and chariwt (2016, 2017) broke lines as MIME does.
	if broken := strings.ContainsAny(text, "\r\n"); broken && l.mode == Tolerant {
		l.found(m, FindingBase64LineBreaks, "the base64 of %s has line breaks", name)
		text = strings.NewReplacer("\r", "", "\n", "").Replace(text)
	}
	value, err := decodeBase64(text)
	switch {
	case err != nil:
		l.fail(name, err)
	case len(value) == 0:
		l.fail(name, fmt.Errorf("%w: empty", ErrLeafValue))
	default:
		*into = value
	}
}

// date reads the YANG type date-and-time, a profile of RFC 3339, Section 5.6.
// Any fraction and offset is taken; a leap second is not.
func (l *leaves) date(name string, into *time.Time) {
	m, there := l.left[name]
	var text string
	l.text(name, &text)
	if !there || l.err != nil {
		return
	}
	t, err := parseDateTime(text)
	if err != nil {
		// minerva's chariwt (2017) wrote dates alone.
		day, dayErr := time.Parse(time.DateOnly, text)
		if dayErr != nil || name != "created-on" || l.mode == StrictRFC8366 {
			l.fail(name, err)
			return
		}
		l.found(m, FindingDateWithoutTime, "created-on %q is a date without a time", text)
		t = day
	}
	if t = t.UTC(); t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		l.fail(name, fmt.Errorf("%w: %q is out of range", ErrDate, clip(text, 40)))
		return
	}
	*into = t
}

// extensions takes the leaf-list "extensions": names, as strings in JSON
// (rfc8366bis, Section 8.6).
func (l *leaves) extensions(into *map[string]json.RawMessage) {
	m, ok := l.take("extensions")
	if !ok {
		return
	}
	var names []any
	if m.value[0] != '[' || json.Unmarshal(m.value, &names) != nil {
		l.fail("extensions", fmt.Errorf("%w: an array was expected", ErrLeafType))
		return
	}
	listed := make(map[string]json.RawMessage, len(names))
	for _, n := range names {
		name, isText := n.(string)
		if !isText {
			l.fail("extensions", fmt.Errorf("%w: an array of strings was expected", ErrLeafType))
			return
		}
		if _, twice := listed[extensionPrefix+name]; twice {
			l.fail("extensions", fmt.Errorf("%w: %q is listed twice", ErrLeafValue, clip(name, 64)))
			return
		}
		if err := checkExtension(extensionPrefix + name); err != nil {
			l.fail("extensions", err)
			return
		}
		listed[extensionPrefix+name] = nil
	}
	*into = listed
}

// rest sorts what no known leaf has taken into extensions and unknown leaves.
func (l *leaves) rest(s *shared) {
	for name, m := range l.left {
		if !strings.HasPrefix(name, extensionPrefix) {
			put(s.unknown, name, m.value)
			l.found(m, FindingUnknownLeaf, "unknown leaf %q", clip(name, 64))
			continue
		}
		if err := checkExtension(name); err != nil {
			l.fail(name, err)
		}
		if _, listed := (*s.extensions)[name]; !listed {
			l.found(m, FindingExtensionUnlisted, "%q is not among the extensions listed", name)
		}
		put(s.extensions, name, m.value)
	}
}

func put(into *map[string]json.RawMessage, name string, value []byte) {
	if *into == nil {
		*into = make(map[string]json.RawMessage)
	}
	(*into)[name] = bytes.Clone(value)
}
