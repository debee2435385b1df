package profile

import (
	"net/url"
	"regexp"
	"strings"
)

// Facts are what the caller knows of the device from its records, not from the
// request. A template that uses an empty one is refused.
type Facts struct {
	DeviceID     string // {device_id}
	SerialNumber string // {serial_number}
	Manufacturer string // {manufacturer}
	Model        string // {model}
	Group        string // {group}
	Domain       string // {domain}
	Label        string // {label}: the EST label that was asked
	// Attribute returns what else is known by a name of up to 32 lower-case letters,
	// digits and "_", for {attribute.NAME}; empty for nothing. Nil: nothing is.
	Attribute func(name string) string
}

func (f *Facts) value(word string) (string, bool) {
	switch word {
	case "device_id":
		return f.DeviceID, true
	case "serial_number":
		return f.SerialNumber, true
	case "manufacturer":
		return f.Manufacturer, true
	case "model":
		return f.Model, true
	case "group":
		return f.Group, true
	case "domain":
		return f.Domain, true
	case "label":
		return f.Label, true
	}
	name, ok := strings.CutPrefix(word, "attribute.")
	if !ok || !isWord(name, 32, "_") || strings.ToLower(name) != name {
		return "", false
	}
	if f.Attribute == nil {
		return "", true
	}
	return f.Attribute(name), true
}

// template is text with {words} in it. A value put in never changes the
// meaning of the text around it: what would is escaped where the name's syntax
// can, and refused where it cannot.
type template struct {
	parts  []templatePart
	escape escape
	match  *regexp.Regexp // every text the template can become
}

type templatePart struct {
	text string
	word bool // text is the word of a fact
}

// escape is where a template's text goes.
type escape int

const (
	escapeSubject escape = iota // no escape exists; the special characters of names are refused
	escapeLabel                 // part of a DNS label, an address or a node name: letters, digits, "-"
	escapeURI                   // percent-encoded, so that it stays within one segment
)

// parseTemplate reads a template.
func parseTemplate(text string, e escape) (*template, string) {
	t := &template{escape: e}
	var pattern strings.Builder
	pattern.WriteString(`\A`)
	for rest := text; rest != ""; {
		literal, after, found := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return nil, "a } without a {"
		}
		if literal != "" {
			t.parts = append(t.parts, templatePart{text: literal})
			pattern.WriteString(regexp.QuoteMeta(literal))
		}
		if !found {
			break
		}
		word, after, closed := strings.Cut(after, "}")
		if _, known := new(Facts).value(word); !closed || !known {
			return nil, "{" + word + "} is none of {device_id}, {serial_number}, {manufacturer}, {model}, {group}, {domain}, {label}, {attribute.NAME}"
		}
		t.parts = append(t.parts, templatePart{text: word, word: true})
		pattern.WriteString(e.class())
		rest = after
	}
	pattern.WriteString(`\z`)
	var err error
	if t.match, err = regexp.Compile(pattern.String()); err != nil {
		return nil, err.Error()
	}
	return t, ""
}

// class matches every value that insert can give.
func (e escape) class() string {
	switch e {
	case escapeLabel:
		return `[A-Za-z0-9-]{1,63}`
	case escapeURI:
		return `[A-Za-z0-9._~%-]{1,192}`
	default:
		return `[^\x00-\x1f\x7f-\x9f*/,+;=#<>"\\]{1,64}`
	}
}

// render puts the facts in.
func (t *template) render(kind string, f *Facts) (string, error) {
	var out strings.Builder
	for _, part := range t.parts {
		if !part.word {
			out.WriteString(part.text)
			continue
		}
		value, _ := f.value(part.text)
		if value == "" {
			return "", &NameError{Type: kind, Kind: ErrNameMissing, Hint: "the device's record has no " + part.text}
		}
		inserted, ok := t.escape.insert(value)
		if !ok {
			return "", &NameError{Type: kind, Value: value, Kind: ErrNameValue, Hint: "the device's " + part.text + " holds characters that would change the meaning of the name"}
		}
		out.WriteString(inserted)
	}
	return out.String(), nil
}

// insert returns the value as it may stand in the text.
func (e escape) insert(value string) (string, bool) {
	if len(value) > 64 || !cleanText(value) {
		return "", false
	}
	switch e {
	case escapeLabel:
		for _, r := range value {
			if !isAlphanumeric(r) && r != '-' {
				return "", false
			}
		}
		return value, true
	case escapeURI:
		// A segment of dots alone would move in the path (RFC 3986, Section 5.2.4).
		return strings.ReplaceAll(url.QueryEscape(value), "+", "%20"), strings.Trim(value, ".") != ""
	default:
		return value, !strings.ContainsAny(value, specialCharacters)
	}
}
