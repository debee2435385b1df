package httpauth

import (
	"crypto/md5" //nolint:gosec // RFC 7616, Section 3.2: for clients that know nothing else, where the operator allows it
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
)

// Algorithm of a Digest (RFC 7616, Section 3.2).
type Algorithm string

// The algorithms.
const (
	SHA256 Algorithm = "SHA-256"
	MD5    Algorithm = "MD5"
)

func (a Algorithm) size() int {
	if a == MD5 {
		return 2 * md5.Size
	}
	return 2 * sha256.Size
}

// hash returns the digest of the parts joined by colons, in lower-case
// hexadecimal: KD and H of RFC 7616, Section 3.3.
func (a Algorithm) hash(parts ...string) string {
	text := []byte(strings.Join(parts, ":"))
	if a == MD5 {
		sum := md5.Sum(text) //nolint:gosec // see above
		return hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// HA1 is what a server keeps of a password to check Digests, in hexadecimal
// (RFC 7616, Section 3.4.2). Whoever has it can authenticate in that realm.
func HA1(a Algorithm, user, realm, password string) string { return a.hash(user, realm, password) }

// Answer is a Digest as a client sent it. Nothing of it is verified.
type Answer struct {
	User, Realm, Nonce string
	URI                string // what the client says it asks for; see [Answer.Matches]
	Algorithm          Algorithm
	Count              uint32 // nc: the how manieth use of the nonce this is, from 1

	nc, cnonce, response string
}

// Matches tells whether the answer was made with the password that ha1 was made
// of, for that method. It compares in constant time. That URI is what is asked
// for and that Nonce is good is the caller's to check.
func (a *Answer) Matches(ha1, method string) bool {
	want := a.expected(ha1, method)
	return subtle.ConstantTimeCompare([]byte(want), []byte(a.response)) == 1
}

// expected is the response for qop=auth (RFC 7616, Section 3.4.1).
func (a *Answer) expected(ha1, method string) string {
	return a.Algorithm.hash(ha1, a.Nonce, a.nc, a.cnonce, "auth", a.Algorithm.hash(method, a.URI))
}
