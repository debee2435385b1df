package baseline

import (
	"errors"
	"fmt"
	"strings"

	"github.com/briskest/briskest/registrar"
)

// each returns a JSON value with every string that is no name replaced. Names stay as
// they are: a fact never says which setting it is.
func each(value any, at string, replace func(string) (string, error)) (any, error) {
	var err error
	switch v := value.(type) {
	case string:
		text, err := replace(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		return text, nil
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			if out[i], err = each(one, fmt.Sprintf("%s[%d]", at, i), replace); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, one := range v {
			if out[name], err = each(one, at+"."+name, replace); err != nil {
				return nil, err
			}
		}
		return out, nil
	default:
		return value, nil
	}
}

// The facts that a string may name, as ${serial_number}. Those of a map are
// ${attribute.KEY} of the device and ${group_name.KEY} of its group's names.
const (
	factAttribute = "attribute."
	factGroupName = "group_name."
)

func factNames() []string {
	return []string{"serial_number", "manufacturer", "model", "id", "domain", "group", "name"}
}

// facts are what can be said of a device, by name.
type facts map[string]string

func factsOf(f *registrar.BaselineFacts) facts {
	out := facts{
		"serial_number": f.Device.SerialNumber, "manufacturer": f.Device.Manufacturer, "model": f.Device.Model,
		"id": f.Device.ID, "domain": f.Domain, "group": f.Device.Group, "name": f.Name,
	}
	for key, value := range f.Device.Attributes {
		out[factAttribute+key] = value
	}
	if f.Group != nil {
		for key, value := range f.Group.Names {
			out[factGroupName+key] = value
		}
	}
	return out
}

// piece is a part of a template: words, or the name of a fact.
type piece struct{ words, fact string }

// pieces reads a template. "$${" stands for "${".
func pieces(text string) ([]piece, error) {
	var out []piece
	for {
		begin := strings.Index(text, "${")
		if begin < 0 {
			break
		}
		if begin > 0 && text[begin-1] == '$' {
			out = append(out, piece{words: text[:begin-1] + "${"})
			text = text[begin+2:]
			continue
		}
		name, rest, ok := strings.Cut(text[begin+2:], "}")
		if !ok {
			return nil, errors.New(`"${" without "}"; write "$${" for the characters themselves`)
		}
		if begin > 0 {
			out = append(out, piece{words: text[:begin]})
		}
		out, text = append(out, piece{fact: name}), rest
	}
	if text != "" {
		out = append(out, piece{words: text})
	}
	return out, nil
}

// checkTemplate refuses facts that no device has.
func checkTemplate(text string) error {
	all, err := pieces(text)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.words == "" && !isFact(p.fact) {
			return fmt.Errorf("there is no fact %q; there are %s, %sKEY and %sKEY", p.fact, strings.Join(factNames(), ", "), factAttribute, factGroupName)
		}
	}
	return nil
}

func isFact(name string) bool {
	for _, known := range factNames() {
		if name == known {
			return true
		}
	}
	return len(name) > len(factAttribute) && strings.HasPrefix(name, factAttribute) ||
		len(name) > len(factGroupName) && strings.HasPrefix(name, factGroupName)
}

// expand puts the facts in place. What a fact says is never read as a template. Alone a
// fact is as it is; with words around it all but letters, digits, "-", "." , "_" and "~"
// is percent-encoded (RFC 3986, Section 2.3), and a fact of dots alone as well, so that
// whoever chose it adds no path segment, wildcard or option. A fact that the device does not have is an error.
func expand(text string, known facts) (string, error) {
	all, err := pieces(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, p := range all {
		if p.fact == "" {
			out.WriteString(p.words)
			continue
		}
		value, ok := known[p.fact]
		switch {
		case !ok || value == "":
			return "", fmt.Errorf("the device has no %s", p.fact)
		case len(all) == 1:
			out.WriteString(value)
		default:
			escape(&out, value)
		}
		if out.Len() > MaxText {
			return "", errors.New("too long")
		}
	}
	return out.String(), nil
}

func escape(out *strings.Builder, value string) {
	const digits = "0123456789ABCDEF"
	dots := strings.Trim(value, ".") == ""
	for _, b := range []byte(value) {
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-', b == '_', b == '~', b == '.' && !dots:
			out.WriteByte(b)
		default:
			out.WriteByte('%')
			out.WriteByte(digits[b>>4])
			out.WriteByte(digits[b&15])
		}
	}
}
