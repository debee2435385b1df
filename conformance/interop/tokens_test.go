package interop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"testing"
	"time"
)

// tokens is an issuer of Bearer tokens (RFC 6750, Section 2.1), whose key the registrar reads from a file.
type tokens struct{ key *ecdsa.PrivateKey }

// newTokens makes the issuer's key and writes its JWK set (RFC 7517, Section 5).
func newTokens(t *testing.T, file string) *tokens {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(map[string]any{"keys": []map[string]string{{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "one",
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, set, 0o600); err != nil {
		t.Fatal(err)
	}
	return &tokens{key}
}

// issue makes a token for a device's name, good for an hour (RFC 7519, Section 4.1).
func (k *tokens) issue(t *testing.T, name string) string {
	t.Helper()
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	now := time.Now()
	signed := part(map[string]string{"alg": "ES256", "typ": "JWT", "kid": "one"}) + "." + part(map[string]any{
		"iss": "https://issuer.example.net", "aud": "briskest", "sub": name, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	hash := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, k.key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}
