package est

import (
	"net/http"
	"strings"

	"github.com/briskest/briskest/internal/httpauth"
)

// The algorithms of a [DigestAnswer].
const (
	DigestSHA256 = string(httpauth.SHA256)
	DigestMD5    = string(httpauth.MD5)
)

// DigestAnswer is the answer to a Digest challenge with qop=auth (RFC 7616, Section 3.4), as the client sent it. Nothing
// in it is verified: that is Matches, and that Nonce is a backend's own, young, and not used with that Count before.
type DigestAnswer struct {
	User, Realm, Nonce string
	Algorithm          string // DigestSHA256 or DigestMD5
	Count              uint32 // the how manieth use of Nonce it is, from 1

	answer  *httpauth.Answer
	method  string
	targets []string // what its uri may be
}

// DigestHA1 is what a backend keeps of a password to check Digests, in hexadecimal (RFC 7616, Section 3.4.2). Whoever
// has it can authenticate as the user in that realm. An unknown algorithm gives "", which matches nothing.
func DigestHA1(algorithm, user, realm string, password Secret) Secret {
	switch algorithm {
	case DigestSHA256, DigestMD5:
		return Secret(httpauth.HA1(httpauth.Algorithm(algorithm), user, realm, password.Reveal()))
	}
	return ""
}

// Matches tells, in constant time, whether the answer was made with the password of ha1, for the request's method and
// for what it asks (RFC 7616, Section 3.4.6). libest a464ba8 leaves the label out of its uri; that is taken for the same.
func (d *DigestAnswer) Matches(ha1 Secret) bool {
	if d.answer == nil || ha1 == "" {
		return false
	}
	right := d.answer.Matches(ha1.Reveal(), d.method)
	for _, target := range d.targets {
		if d.answer.URI == target {
			return right
		}
	}
	return false
}

// String names the user and nothing else.
func (d *DigestAnswer) String() string { return "digest of " + printable(d.User, 100) }

// GoString is String, so that %#v shows no more either.
func (d *DigestAnswer) GoString() string { return d.String() }

// credentials reads the Authorization header. Malformed credentials, and more than one line of them, are none.
func (p *Peer) credentials(r *http.Request) {
	lines := r.Header["Authorization"]
	if len(lines) != 1 {
		return
	}
	a, err := httpauth.ParseAuthorization(lines[0])
	if err != nil {
		return
	}
	switch a.Scheme {
	case httpauth.SchemeBasic:
		p.User, p.Secret = a.User, Secret(a.Password)
	case httpauth.SchemeBearer:
		p.Bearer = Secret(a.Token)
	case httpauth.SchemeDigest:
		p.Digest = &DigestAnswer{
			User: a.Digest.User, Realm: a.Digest.Realm, Nonce: a.Digest.Nonce, Algorithm: string(a.Digest.Algorithm),
			Count: a.Digest.Count, answer: a.Digest, method: r.Method, targets: digestTargets(r),
		}
	}
}

// digestTargets are the values of uri that name what r asks for: its target, and where that has a label, the same without.
func digestTargets(r *http.Request) []string {
	target := r.URL.EscapedPath()
	targets := []string{r.URL.RequestURI()}
	if operation, label, e := parsePath(target); e == nil && label != "" {
		targets = append(targets, strings.TrimSuffix(target, label+"/"+string(operation))+string(operation))
	}
	return targets
}

// challenges are the values of the WWW-Authenticate lines of a 401: those of e that can stand in a header, or else Basic
// for realm.
func (e *Error) challenges(realm string) []string {
	var lines []string
	for _, c := range e.Challenges {
		if c != "" && strings.IndexFunc(c, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0 {
			lines = append(lines, c)
		}
	}
	if len(lines) == 0 {
		return []string{`Basic realm="` + quotable(realm) + `"`}
	}
	return lines
}
