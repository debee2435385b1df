package bearer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwk"
)

// Bounds of what an issuer gives, and of how often it is asked.
const (
	maxSet       = 256 << 10 // bytes of a document
	maxKeys      = 64
	fetchTimeout = 5 * time.Second
	keysFresh    = 15 * time.Minute // then they are fetched again
	keysGood     = time.Hour        // and, where that fails, after this they are none
	fetchPause   = 10 * time.Second // after a failure, and for unknown key IDs six times that
)

// signer is one key of a set.
type signer struct {
	kid, alg string // either may be empty
	key      crypto.PublicKey
}

// keys is an issuer's set, fetched when it is needed. turn guards all below it.
type keys struct {
	issuer, url string
	client      *http.Client // nil: the set never changes

	turn    chan struct{} // holds a value while nobody looks
	set     []signer
	fetched time.Time
	tried   time.Time
	failure error // of the last try
}

func newKeys(c *Config) (*keys, error) {
	k := &keys{issuer: c.Issuer, url: c.KeysURL, turn: make(chan struct{}, 1)}
	k.turn <- struct{}{}
	if c.Keys != nil {
		if c.KeysURL != "" {
			return nil, errors.New("bearer tokens: keys come from a file or an address, not both")
		}
		var err error
		k.set, err = parseSet(c.Keys)
		return k, err
	}
	for _, address := range []string{c.Issuer, c.KeysURL} {
		if address == "" {
			continue
		}
		if _, err := https(address); err != nil {
			return nil, fmt.Errorf("bearer tokens: %w", err)
		}
	}
	k.client = &http.Client{
		Timeout: fetchTimeout,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: fetchTimeout,
			ResponseHeaderTimeout: fetchTimeout, MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true,
		},
		// Keys come from where the operator said, and from nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("the issuer redirects") },
	}
	return k, nil
}

// find returns the keys that may have signed: those with the ID, or all where
// the token names none, as far as they go with the algorithm. A set that is old,
// or does not have the ID, is fetched first, not more often than the bounds say.
// An error that wraps registrar.ErrToken says that there is no such key.
func (k *keys) find(ctx context.Context, kid, alg string, at time.Time) ([]crypto.PublicKey, error) {
	select {
	case <-k.turn:
		defer func() { k.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if k.client == nil {
		return usable(k.set, kid, alg)
	}
	age := at.Sub(k.fetched)
	if age < 0 || age >= keysFresh {
		k.refresh(ctx, at, fetchPause)
	}
	found, err := k.current(kid, alg, at)
	if err != nil && k.set != nil && k.unknown(kid) {
		k.refresh(ctx, at, 6*fetchPause) // it may be a new one
		found, err = k.current(kid, alg, at)
	}
	return found, err
}

func (k *keys) current(kid, alg string, at time.Time) ([]crypto.PublicKey, error) {
	if age := at.Sub(k.fetched); k.set == nil || age < 0 || age >= keysGood {
		return nil, fmt.Errorf("keys of %s: %w", k.issuer, k.failure)
	}
	return usable(k.set, kid, alg)
}

func (k *keys) unknown(kid string) bool {
	for _, s := range k.set {
		if s.kid == kid {
			return false
		}
	}
	return true
}

// refresh fetches the set, unless that was tried less than pause ago. It is for
// all who ask: that the one whose token began it hangs up does not end it.
func (k *keys) refresh(ctx context.Context, at time.Time, pause time.Duration) {
	if since := at.Sub(k.tried); !k.tried.IsZero() && since >= 0 && since < pause {
		return
	}
	k.tried = at
	set, err := k.fetch(context.WithoutCancel(ctx))
	if k.failure = err; err == nil {
		k.set, k.fetched = set, at
	}
}

func (k *keys) fetch(ctx context.Context) ([]signer, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	address := k.url
	if address == "" {
		var err error
		if address, err = k.discover(ctx); err != nil {
			return nil, err
		}
	}
	data, err := k.get(ctx, address)
	if err != nil {
		return nil, err
	}
	return parseSet(data)
}

// discover asks the issuer where its keys are (OpenID Connect Discovery 1.0,
// Section 4). They must be at the same host: another one is configured by name.
func (k *keys) discover(ctx context.Context) (string, error) {
	data, err := k.get(ctx, strings.TrimSuffix(k.issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", err
	}
	m, err := object(data)
	if err != nil {
		return "", fmt.Errorf("the issuer's description: %w", err)
	}
	if issuer, _ := m.text("issuer"); issuer != k.issuer { // Section 4.3
		return "", errors.New("the issuer's description is of another issuer")
	}
	address, _ := m.text("jwks_uri")
	u, err := https(address)
	if err != nil {
		return "", fmt.Errorf("the issuer's jwks_uri: %w", err)
	}
	if own, err := https(k.issuer); err != nil || !strings.EqualFold(u.Host, own.Host) {
		return "", errors.New("the issuer's jwks_uri is at another host; name it in the configuration if that is right")
	}
	return address, nil
}

func (k *keys) get(ctx context.Context, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	res, err := k.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", address, res.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxSet+1))
	if err == nil && len(data) > maxSet {
		err = fmt.Errorf("%s: more than %d bytes", address, maxSet)
	}
	return data, err
}

// parseSet reads a JWK set (RFC 7517, Section 5). Keys of kinds that sign
// nothing here, shared and private ones among them, are left out.
func parseSet(data []byte) ([]signer, error) {
	if len(data) > maxSet {
		return nil, fmt.Errorf("the key set has more than %d bytes", maxSet)
	}
	m, err := object(data)
	if err != nil {
		return nil, fmt.Errorf("the key set: %w", err)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(m["keys"], &raw); err != nil || len(raw) > maxKeys {
		return nil, fmt.Errorf("the key set has no array \"keys\" of at most %d", maxKeys)
	}
	var set []signer
	for _, one := range raw {
		if s, ok := parseKey(one); ok {
			set = append(set, s)
		}
	}
	if len(set) == 0 {
		return nil, errors.New("the key set has no key that can verify a signature here")
	}
	return set, nil
}

func parseKey(data []byte) (s signer, ok bool) {
	m, err := object(data)
	if err != nil || m["d"] != nil || m["k"] != nil {
		return s, false
	}
	if use, named := m.text("use"); named && use != "sig" {
		return s, false
	}
	parsed, err := jwk.ParseKey(data)
	if err != nil {
		return s, false
	}
	var key any
	if err := jwk.Export(parsed, &key); err != nil {
		return s, false
	}
	s.kid, _ = m.text("kid")
	s.alg, _ = m.text("alg")
	switch key := key.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		s.key = key
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 || key.N.BitLen() > 8192 {
			return s, false
		}
		s.key = key
	default:
		return s, false
	}
	return s, true
}

// usable picks from a set.
func usable(set []signer, kid, alg string) ([]crypto.PublicKey, error) {
	var out []crypto.PublicKey
	for _, s := range set {
		if (kid == "" || s.kid == kid) && (s.alg == "" || s.alg == alg) && goesWith(s.key, alg) {
			out = append(out, s.key)
		}
	}
	if len(out) == 0 {
		return nil, bad("the issuer has no such key for that algorithm")
	}
	return out[:min(len(out), 4)], nil
}

// goesWith tells whether a key is one of the algorithm's (RFC 7518, Section
// 3.1; RFC 8037, Section 3.1), so that no header makes one of another.
func goesWith(key crypto.PublicKey, alg string) bool {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		switch alg {
		case "ES256":
			return key.Curve == elliptic.P256()
		case "ES384":
			return key.Curve == elliptic.P384()
		case "ES512":
			return key.Curve == elliptic.P521()
		}
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}
