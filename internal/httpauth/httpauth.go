// Package httpauth reads and writes HTTP authentication (RFC 9110, Section 11)
// for both ends: the challenges of a 401, Basic (RFC 7617), Digest with SHA-256
// or MD5 and qop=auth (RFC 7616), and Bearer (RFC 6750).
//
// A server writes challenges with [Challenge.String], reads an answer with
// [ParseAuthorization] and checks a Digest with [Answer.Matches] and [Nonces].
// A client reads them with [ParseChallenges] and answers with a [Client]. The
// package keeps no passwords, opens no connections and decides nothing.
package httpauth

import (
	"strings"
)

// The schemes, as they are written. Reading them, letter case does not count
// (RFC 9110, Section 11.1).
const (
	SchemeBasic  = "Basic"
	SchemeDigest = "Digest"
	SchemeBearer = "Bearer"
)

// Bounds of what is read of a peer's header lines. What is beyond them is left out.
const (
	maxHeader     = 8 << 10 // bytes of challenges, over all lines
	maxChallenges = 16
	maxParams     = 32
)

// Challenge is one challenge of a WWW-Authenticate line (RFC 9110, Section
// 11.6.1).
type Challenge struct {
	Scheme string
	Params []Param
	Token  string // instead of parameters: what RFC 9110, Section 11.2, calls token68
}

// Param is a parameter of a challenge or an answer. The name is in lower case.
type Param struct{ Name, Value string }

// Is tells whether the challenge is of that scheme, whatever the letter case.
func (c *Challenge) Is(scheme string) bool { return strings.EqualFold(c.Scheme, scheme) }

// Param returns the value of the parameter with that lower-case name; "" when there is none.
func (c *Challenge) Param(name string) string {
	for _, p := range c.Params {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// Stale tells whether a Digest challenge says that the answer was right but for
// its nonce, so that answering anew needs no other password (RFC 7616, Section 3.3).
func (c *Challenge) Stale() bool { return strings.EqualFold(c.Param("stale"), "true") }

// String is the challenge as one header line carries it. Parameters are quoted,
// because Bouncy Castle 1.72 reads no other, but for algorithm and stale, which
// RFC 7616, Section 3.3, wants without quotes. Control characters become "?".
func (c *Challenge) String() string {
	var b strings.Builder
	b.WriteString(c.Scheme)
	if c.Token != "" {
		return b.String() + " " + c.Token
	}
	for i, p := range c.Params {
		if i == 0 {
			b.WriteByte(' ')
		} else {
			b.WriteString(", ")
		}
		b.WriteString(p.Name)
		b.WriteByte('=')
		if unquoted(p.Name) {
			b.WriteString(p.Value)
		} else {
			writeQuoted(&b, p.Value)
		}
	}
	return b.String()
}

func unquoted(name string) bool { return name == "algorithm" || name == "stale" || name == "nc" }

func writeQuoted(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c == 0x7f:
			b.WriteByte('?')
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}

// BasicChallenge asks for Basic credentials (RFC 7617, Section 2).
func BasicChallenge(realm string) *Challenge {
	return &Challenge{Scheme: SchemeBasic, Params: []Param{{"realm", realm}}}
}

// BearerChallenge asks for a token; problem is an error code such as
// "invalid_token", or "" when no token was sent (RFC 6750, Section 3.1).
func BearerChallenge(realm, problem string) *Challenge {
	c := &Challenge{Scheme: SchemeBearer, Params: []Param{{"realm", realm}}}
	if problem != "" {
		c.Params = append(c.Params, Param{"error", problem})
	}
	return c
}

// DigestChallenge asks for a Digest with qop=auth. That for MD5 names no
// algorithm, as RFC 7030 means it: libest and Bouncy Castle 1.72 answer no other.
func DigestChallenge(a Algorithm, realm, nonce string, stale bool) *Challenge {
	c := &Challenge{Scheme: SchemeDigest, Params: []Param{{"realm", realm}, {"qop", "auth"}, {"nonce", nonce}}}
	if a != MD5 {
		c.Params = append(c.Params, Param{"algorithm", string(a)})
	}
	if stale {
		c.Params = append(c.Params, Param{"stale", "true"})
	}
	return c
}

// ParseChallenges reads the values of all WWW-Authenticate lines, several
// challenges in a line or one in each. What cannot be read is left out, so that
// one scheme that is new or broken does not hide another. Of a parameter that
// is there twice the first counts.
func ParseChallenges(lines []string) []Challenge {
	var out []Challenge
	left := maxHeader
	for _, line := range lines {
		if left -= len(line); left < 0 {
			break
		}
		out = parseLine(out, line)
		if len(out) >= maxChallenges {
			return out[:maxChallenges]
		}
	}
	return out
}

func parseLine(out []Challenge, line string) []Challenge {
	begun := len(out)
	s := scanner{line}
	for {
		s.skip(" \t,")
		if s.rest == "" || len(out) > maxChallenges {
			return out
		}
		word := s.token()
		switch {
		case word == "":
			s.skipElement()
		case s.isParam():
			value, ok := s.value()
			if !ok {
				s.skipElement()
			} else if len(out) > begun {
				out[len(out)-1].add(strings.ToLower(word), value)
			}
		default:
			c := Challenge{Scheme: word}
			c.Token = s.token68()
			out = append(out, c)
		}
	}
}

func (c *Challenge) add(name, value string) {
	if len(c.Params) >= maxParams {
		return
	}
	for _, p := range c.Params {
		if p.Name == name {
			return
		}
	}
	c.Params = append(c.Params, Param{name, value})
}

// scanner takes a header line apart from its left end.
type scanner struct{ rest string }

func (s *scanner) skip(chars string) { s.rest = strings.TrimLeft(s.rest, chars) }

// token takes a token (RFC 9110, Section 5.6.2).
func (s *scanner) token() string {
	n := 0
	for n < len(s.rest) && isTokenChar(s.rest[n]) {
		n++
	}
	word := s.rest[:n]
	s.rest = s.rest[n:]
	return word
}

// isParam tells whether "=" follows, and takes it.
func (s *scanner) isParam() bool {
	after, ok := strings.CutPrefix(strings.TrimLeft(s.rest, " \t"), "=")
	if ok {
		s.rest = strings.TrimLeft(after, " \t")
	}
	return ok
}

// value takes a token or a quoted-string (RFC 9110, Section 5.6.4).
func (s *scanner) value() (string, bool) {
	if !strings.HasPrefix(s.rest, `"`) {
		n := strings.IndexAny(s.rest, ", \t\"")
		if n < 0 {
			n = len(s.rest)
		}
		word := s.rest[:n]
		s.rest = s.rest[n:]
		return word, word != "" || s.rest == "" || s.rest[0] == ','
	}
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; c {
		case '"':
			s.rest = s.rest[i+1:]
			return b.String(), true
		case '\\':
			i++
			if i < len(s.rest) {
				b.WriteByte(s.rest[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	s.rest = ""
	return "", false
}

// token68 takes the token that may follow a scheme instead of parameters.
func (s *scanner) token68() string {
	t := strings.TrimLeft(s.rest, " \t")
	n := 0
	for n < len(t) && isToken68Char(t[n]) {
		n++
	}
	for n > 0 && n < len(t) && t[n] == '=' {
		n++
	}
	after := strings.TrimLeft(t[n:], " \t")
	if n == 0 || after != "" && after[0] != ',' {
		return ""
	}
	s.rest = after
	return t[:n]
}

// skipElement goes on after the next comma outside quotes.
func (s *scanner) skipElement() {
	quoted := false
	for i := 0; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '"':
			quoted = !quoted
		case '\\':
			i++
		case ',':
			if !quoted {
				s.rest = s.rest[i:]
				return
			}
		}
	}
	s.rest = ""
}

func isTokenChar(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isToken68Char(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("-._~+/", c) >= 0
}
