// Package pkcs11uri reads and writes the URIs of keys in PKCS#11 tokens (RFC
// 7512). It takes what names one private key and refuses by name what it would
// otherwise have to ignore: nobody gets another key than the one meant.
package pkcs11uri

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrURI says that a URI is not one of RFC 7512, or names a key in a way that
// is not supported. No error holds the value of a PIN.
var ErrURI = errors.New("pkcs11: URI")

// maxURI bounds a URI, in bytes.
const maxURI = 4096

// URI names a key in a token. The empty string stands for an attribute that is
// not there, and leaves open what it would say.
type URI struct {
	Token        string // label of the token
	Serial       string // of the token
	Manufacturer string // of the token
	Model        string // of the token
	Slot         *uint  // number of the slot
	Object       string // label of the key (CKA_LABEL)
	ID           string // of the key (CKA_ID): bytes
	ModulePath   string // the library, an absolute path
	PINSource    string // the file with the PIN: a path
	InitReserved string // what C_Initialize is told besides (x-init-reserved, ours): NSS wants its configdir there

	Sessions int           // at a time (x-sessions, ours); 0: the default
	Deadline time.Duration // of one call (x-deadline, ours); 0: the default
	Failures int           // in a row until calls fail at once (x-failures, ours); 0: the default
	Pause    time.Duration // of failing at once (x-pause, ours); 0: the default
}

// Parse reads a URI. What the path of a URI says must hold for the key
// (RFC 7512, Section 2.3), so an attribute that is not known is refused; in the query it
// is passed over. An error wraps [ErrURI].
func Parse(uri string) (*URI, error) {
	rest, ok := strings.CutPrefix(uri, "pkcs11:")
	if !ok || len(uri) > maxURI {
		return nil, fmt.Errorf("%w: want pkcs11:ATTRIBUTES of at most %d bytes", ErrURI, maxURI)
	}
	u := &URI{}
	path, query, _ := strings.Cut(rest, "?")
	if err := attributes(path, ";", u.setPath); err != nil {
		return nil, err
	}
	if err := attributes(query, "&", u.setQuery); err != nil {
		return nil, err
	}
	return u, nil
}

// attributes hands each attribute to set. One that is there twice is refused
// (RFC 7512, Section 2.3).
func attributes(text, separator string, set func(name, value string) error) error {
	if text == "" {
		return nil
	}
	seen := make(map[string]bool)
	for attribute := range strings.SplitSeq(text, separator) {
		name, raw, ok := strings.Cut(attribute, "=")
		if !ok {
			return fmt.Errorf("%w: an attribute without =", ErrURI) // its text may be a PIN
		}
		if seen[name] {
			return fmt.Errorf("%w: %q is there twice", ErrURI, name)
		}
		seen[name] = true
		value, err := decode(raw)
		if err != nil {
			return fmt.Errorf("%w: %q: %w", ErrURI, name, err)
		}
		if err := set(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (u *URI) setPath(name, value string) error {
	if value == "" {
		return fmt.Errorf("%w: %q is empty; leave it out", ErrURI, name)
	}
	switch name {
	case "token":
		u.Token = value
	case "serial":
		u.Serial = value
	case "manufacturer":
		u.Manufacturer = value
	case "model":
		u.Model = value
	case "object":
		u.Object = value
	case "id":
		u.ID = value
	case "slot-id":
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return fmt.Errorf("%w: slot-id is no number", ErrURI)
		}
		slot := uint(n)
		u.Slot = &slot
	case "type":
		if value != "private" {
			return fmt.Errorf("%w: type=%s is no private key; leave it out", ErrURI, value)
		}
	case "pin-value", "pin-source", "module-path":
		return fmt.Errorf("%w: %s belongs behind the ? of the URI", ErrURI, name)
	default:
		return fmt.Errorf("%w: the attribute %q is not supported; name the key by token, serial, manufacturer, model, slot-id, object and id", ErrURI, name)
	}
	return nil
}

func (u *URI) setQuery(name, value string) error {
	switch name {
	case "module-path":
		if !filepath.IsAbs(value) {
			return fmt.Errorf("%w: module-path=%s is no absolute path, and who could place a file there would run in this program", ErrURI, value)
		}
		u.ModulePath = value
	case "module-name":
		return fmt.Errorf("%w: module-name is not looked up; write module-path= and the library's absolute path", ErrURI)
	case "pin-source":
		path := strings.TrimPrefix(value, "file:")
		if rest, ok := strings.CutPrefix(path, "//"); ok { // RFC 8089, Section 2
			path = strings.TrimPrefix(rest, "localhost")
			if !strings.HasPrefix(path, "/") {
				return notAFile()
			}
		}
		if path == "" || strings.HasPrefix(path, "|") || strings.Contains(path, "://") || strings.ContainsRune(path, 0) {
			return notAFile()
		}
		path = filepath.Clean(path)
		u.PINSource = path
	case "x-init-reserved":
		u.InitReserved = value
	case "x-sessions":
		return setNumber(&u.Sessions, name, value)
	case "x-failures":
		return setNumber(&u.Failures, name, value)
	case "x-deadline":
		return setDuration(&u.Deadline, name, value)
	case "x-pause":
		return setDuration(&u.Pause, name, value)
	case "pin-value":
		return fmt.Errorf("%w: pin-value would show the PIN to everybody who sees the URI; put it in a file of mode 0600 and write pin-source=file:PATH, and change the PIN", ErrURI)
	}
	return nil
}

// maxNumber bounds x-sessions and x-failures.
const maxNumber = 1024

func setNumber(to *int, name, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > maxNumber {
		return fmt.Errorf("%w: %s is a number from 1 to %d", ErrURI, name, maxNumber)
	}
	*to = n
	return nil
}

func setDuration(to *time.Duration, name, value string) error {
	d, err := time.ParseDuration(value)
	if err != nil || d < time.Millisecond || d > time.Hour {
		return fmt.Errorf("%w: %s is a time such as 5s, from 1ms to 1h", ErrURI, name)
	}
	*to = d
	return nil
}

func notAFile() error {
	return fmt.Errorf("%w: pin-source is no file; write pin-source=file:PATH, with the PIN in that file", ErrURI)
}

// decode undoes percent-encoding (RFC 3986, Section 2.1).
func decode(text string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '%':
			if i+2 >= len(text) {
				return "", errors.New("% without two hexadecimal digits")
			}
			n, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
			if err != nil {
				return "", errors.New("% without two hexadecimal digits")
			}
			out.WriteByte(byte(n))
			i += 2
		case c <= ' ' || c == 0x7f:
			return "", errors.New("white space or a control character; write it as %20 and the like")
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), nil
}

// String writes the URI.
func (u *URI) String() string {
	var path, query []string
	add := func(to *[]string, name, value string) {
		if value != "" {
			*to = append(*to, name+"="+encode(value, name))
		}
	}
	add(&path, "token", u.Token)
	add(&path, "serial", u.Serial)
	add(&path, "manufacturer", u.Manufacturer)
	add(&path, "model", u.Model)
	if u.Slot != nil {
		add(&path, "slot-id", strconv.FormatUint(uint64(*u.Slot), 10))
	}
	add(&path, "object", u.Object)
	add(&path, "id", u.ID)
	add(&query, "module-path", u.ModulePath)
	if u.PINSource != "" {
		query = append(query, "pin-source=file:"+encode(u.PINSource, "pin-source"))
	}
	add(&query, "x-init-reserved", u.InitReserved)
	fixed := len(query)
	for name, n := range map[string]int{"x-failures": u.Failures, "x-sessions": u.Sessions} {
		if n != 0 {
			add(&query, name, strconv.Itoa(n))
		}
	}
	for name, d := range map[string]time.Duration{"x-deadline": u.Deadline, "x-pause": u.Pause} {
		if d != 0 {
			add(&query, name, d.String())
		}
	}
	slices.Sort(query[fixed:])
	out := "pkcs11:" + strings.Join(path, ";")
	if len(query) > 0 {
		out += "?" + strings.Join(query, "&")
	}
	return out
}

// encode writes what is neither unreserved nor, in the two paths, a slash as
// percent-encoded bytes (RFC 7512, Section 2.3), and an id wholly so.
func encode(value, name string) string {
	var out strings.Builder
	for i := range len(value) {
		c := value[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 ||
			c == '/' && (name == "module-path" || name == "pin-source")
		if plain && name != "id" {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	return out.String()
}
