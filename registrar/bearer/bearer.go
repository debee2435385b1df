// Package bearer verifies Bearer tokens that are JSON Web Tokens (RFC 7519),
// signed by an OpenID Connect issuer or with a key of a JWK set (RFC 7517). Start
// with [New]; [Verifier.Verify] is a registrar.VerifyToken.
//
// What a token must be is decided here, from a list of algorithms that the
// operator allows; the token's own header chooses among those and among the
// issuer's keys, and nothing else. Keys in the token, or addresses of keys, are
// not looked at.
package bearer

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
)

// Config says whose tokens are good.
type Config struct {
	// Issuer is what iss must be, letter by letter. Without Keys it is also where
	// the keys are found (OpenID Connect Discovery 1.0, Section 4), an https URL.
	Issuer string
	// Audience must be, or be among, aud. Required: a token for another service is none.
	Audience string
	// Algorithms that may have signed; nil for DefaultAlgorithms. Neither "none" nor
	// one with a shared key can be among them.
	Algorithms []string
	// NameClaim is the claim, a string, that names the device; empty for "sub".
	NameClaim string
	// Keys is a JWK set, as JSON; nil fetches that of the issuer.
	Keys []byte
	// KeysURL is where the set is, instead of where the issuer says. Https.
	KeysURL string
	// Roots are the CAs that the issuer's TLS certificate chains to; nil for the system's.
	Roots *x509.CertPool
}

// DefaultAlgorithms returns the signatures that are taken unless others are named.
func DefaultAlgorithms() []string {
	return []string{"ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
}

// Bounds. Clocks of issuers may differ by leeway.
const (
	maxToken = 8 << 10
	maxText  = 256 // bytes of a claim that is kept
	leeway   = time.Minute
)

// Verifier verifies the tokens of one issuer. Safe for concurrent use.
type Verifier struct {
	c    Config
	keys *keys
}

// New checks the configuration. It fetches nothing: that is for the first token.
func New(c Config) (*Verifier, error) {
	if c.Issuer == "" || c.Audience == "" {
		return nil, errors.New("bearer tokens need an issuer and an audience")
	}
	if c.NameClaim == "" {
		c.NameClaim = "sub"
	}
	if c.Algorithms == nil {
		c.Algorithms = DefaultAlgorithms()
	}
	for _, a := range c.Algorithms {
		if !slices.Contains(DefaultAlgorithms(), a) {
			return nil, fmt.Errorf("bearer tokens: the algorithm %q is not taken; one of %s is", a, strings.Join(DefaultAlgorithms(), ", "))
		}
	}
	k, err := newKeys(&c)
	if err != nil {
		return nil, err
	}
	return &Verifier{c, k}, nil
}

// Verify implements registrar.VerifyToken.
func (v *Verifier) Verify(ctx context.Context, token est.Secret, at time.Time) (*registrar.Token, error) {
	t, err := v.open(token.Reveal())
	if err != nil {
		return nil, err
	}
	keys, err := v.keys.find(ctx, t.kid, t.alg, at)
	if err != nil {
		return nil, err
	}
	if !t.signedBy(keys) {
		return nil, bad("its signature is by none of the issuer's keys")
	}
	return v.claims(t, at)
}

// bad is an error about the token; it holds nothing of it.
func bad(what string) error { return fmt.Errorf("%w: %s", registrar.ErrToken, what) }

// opened is a token that nobody has verified.
type opened struct {
	compact  string
	alg, kid string
	payload  []byte
}

// open reads the header of a token in compact form (RFC 7515, Section 3.1).
func (v *Verifier) open(compact string) (*opened, error) {
	if len(compact) > maxToken {
		return nil, bad(fmt.Sprintf("it is longer than %d bytes", maxToken))
	}
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, bad("it is no JSON Web Token in compact form")
	}
	header, err := base64.RawURLEncoding.Strict().DecodeString(parts[0])
	if err != nil {
		return nil, bad("its header is not base64url")
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return nil, bad("its payload is not base64url")
	}
	h, err := object(header)
	if err != nil {
		return nil, bad("its header is no JSON object with each member once")
	}
	t := &opened{compact: compact, payload: payload}
	var ok bool
	if t.alg, ok = h.text("alg"); !ok || !slices.Contains(v.c.Algorithms, t.alg) {
		return nil, bad("its algorithm is not allowed")
	}
	if t.kid, ok = h.text("kid"); !ok && h["kid"] != nil || len(t.kid) > maxText {
		return nil, bad("its key ID is no short string")
	}
	if h["crit"] != nil || h["b64"] != nil || h["zip"] != nil { // RFC 7515, Section 4.1.11: none is understood
		return nil, bad("its header demands an extension")
	}
	return t, nil
}

// signedBy tells whether one of the keys, which go with t.alg, has signed.
func (t *opened) signedBy(keys []crypto.PublicKey) bool {
	alg, ok := jwa.LookupSignatureAlgorithm(t.alg)
	if !ok {
		return false
	}
	return slices.ContainsFunc(keys, func(key crypto.PublicKey) bool {
		signed, err := jws.Verify([]byte(t.compact), jws.WithKey(alg, key), jws.WithCompact())
		return err == nil && string(signed) == string(t.payload)
	})
}

// claims holds the payload against what it must say (RFC 7519, Section 4.1).
func (v *Verifier) claims(t *opened, at time.Time) (*registrar.Token, error) {
	c, err := object(t.payload)
	if err != nil {
		return nil, bad("its payload is no JSON object with each member once")
	}
	issuer, _ := c.text("iss")
	expires, hasEnd := c.time("exp")
	begins, hasStart := c.time("nbf")
	issued, hasIssued := c.time("iat")
	switch {
	case issuer != v.c.Issuer:
		return nil, bad("it is from another issuer")
	case !slices.Contains(c.texts("aud"), v.c.Audience):
		return nil, bad("it is for another audience")
	case !hasEnd:
		return nil, bad("it has no end (exp)")
	case !at.Before(expires):
		return nil, bad("it has expired")
	case c["nbf"] != nil && !hasStart, c["iat"] != nil && !hasIssued:
		return nil, bad("nbf or iat is no time")
	case at.Add(leeway).Before(begins), at.Add(leeway).Before(issued):
		return nil, bad("it is not valid yet")
	}
	name, ok := c.text(v.c.NameClaim)
	if !ok || name == "" || len(name) > maxText {
		return nil, bad("its claim " + v.c.NameClaim + " names no device")
	}
	out := &registrar.Token{Name: name, Issuer: issuer}
	out.Subject, out.ID = c.short("sub"), c.short("jti")
	return out, nil
}

// time is a NumericDate (RFC 7519, Section 2); false for none, or one that is no time.
func (m members) time(name string) (time.Time, bool) {
	n, ok := m.number(name)
	if !ok || math.IsNaN(n) || n < 0 || n > 253402300799 { // the end of the year 9999
		return time.Time{}, false
	}
	return time.Unix(int64(n), 0), true
}

// https checks an address that keys come from.
func https(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("%q is no https URL", text)
	}
	return u, nil
}
