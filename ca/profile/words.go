package profile

import (
	"encoding/asn1"
	"regexp"
	"strings"
	"time"
)

// maxBackdate bounds validity.backdate.
const maxBackdate = 30 * 24 * time.Hour

// maxPattern bounds a pattern, in bytes.
const maxPattern = 1000

func cmpOr(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

// others reads refuse (the default) or ignore.
func (c *compiler) others(field, word string) bool {
	return c.oneOf(field, word, "refuse", "ignore") == "ignore"
}

// oneOf reads one of the words; the first is the default.
func (c *compiler) oneOf(field, word string, words ...string) string {
	if word == "" {
		return words[0]
	}
	for _, w := range words {
		if w == word {
			return w
		}
	}
	c.problem(field, "%.80q is none of %s", word, strings.Join(words, ", "))
	return words[0]
}

func (c *compiler) count(field string, n, fallback, most int) int {
	if n < 0 || n > most {
		c.problem(field, "%d is not between 1 and %d", n, most)
	}
	if n <= 0 {
		return fallback
	}
	return n
}

// pattern compiles a pattern so that it must match the whole value.
func (c *compiler) pattern(field, text string) *regexp.Regexp {
	if text == "" {
		return nil
	}
	if len(text) > maxPattern {
		c.problem(field, "is longer than %d bytes", maxPattern)
		return nil
	}
	// Compiled alone first, so that it cannot close our group.
	_, err := regexp.Compile(text)
	if err != nil {
		c.problem(field, "%v", err)
		return regexp.MustCompile(`\A\z`)
	}
	whole, err := regexp.Compile(`\A(?:` + text + `)\z`)
	if err != nil { // an open \Q
		c.problem(field, "%.80q: %v", text, err)
		return regexp.MustCompile(`\A\z`)
	}
	return whole
}

func (c *compiler) template(field, text string, e escape) *template {
	if text == "" || len(text) > maxPattern {
		c.problem(field, "is empty or longer than %d bytes", maxPattern)
		return nil
	}
	t, wrong := parseTemplate(text, e)
	if wrong != "" {
		c.problem(field, "%.80q: %s", text, wrong)
	}
	return t
}

func (c *compiler) oid(field, text string) asn1.ObjectIdentifier {
	oid, ok := parseOID(text)
	if !ok {
		c.problem(field, "%.80q is no OID", text)
	}
	return oid
}

func (c *compiler) duration(field, text string) time.Duration {
	d, ok := parseDuration(text)
	if !ok {
		c.problem(field, "%.80q is no duration such as 90s, 15m, 24h or 365d, of 36500d at most", text)
	}
	return d
}

func (c *compiler) lifetime(field, text string) lifetime {
	if text == neverWord {
		return lifetime{never: true}
	}
	l := lifetime{d: c.duration(field, text)}
	if l.d < time.Minute {
		c.problem(field, "%.80q is shorter than a minute; write a duration such as 365d, or never", text)
	}
	return l
}
