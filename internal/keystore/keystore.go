// Package keystore opens and makes private keys named by a URI. What it
// returns is a crypto.Signer and nothing more: nobody above it knows whether
// the key is in a file or in a token. [Open], [Create] and [Generate] are all of it.
//
// Built in is "file:PATH". The path is taken as it stands, without percent
// decoding, relative to the working directory; "file:///PATH" is read as RFC
// 8089, Section 2, says. A build with the tag pkcs11 also has "pkcs11:", for
// keys in tokens (RFC 7512), see internal/pkcs11uri and internal/token.
package keystore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrScheme says that the URI's scheme is unknown or not built in.
	ErrScheme = errors.New("keystore: no such kind of key")
	// ErrPermissions says that others can read or write the key's file.
	ErrPermissions = errors.New("keystore: the key file is open to others")
	// ErrFormat says that a file holds no private key that can be read.
	ErrFormat = errors.New("keystore: not a private key")
	// ErrAlgorithm says that the token cannot make or use keys of this kind.
	ErrAlgorithm = errors.New("keystore: the token has no such algorithm")
)

// Algorithm is the kind of key that Create makes.
type Algorithm string

// The algorithms of keys. The empty one is P256.
const (
	P256    Algorithm = "p256"
	P384    Algorithm = "p384"
	P521    Algorithm = "p521"
	RSA2048 Algorithm = "rsa2048"
	RSA3072 Algorithm = "rsa3072"
	RSA4096 Algorithm = "rsa4096"
	Ed25519 Algorithm = "ed25519"
)

// Open returns the key that uri names. A file that is not there gives an error
// that wraps fs.ErrNotExist, one that others can read [ErrPermissions], one
// that holds something else [ErrFormat], an unknown scheme [ErrScheme]. A key
// that is not in its token gives fs.ErrNotExist too.
func Open(ctx context.Context, uri string) (crypto.Signer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if inToken(uri) {
		return openToken(ctx, uri)
	}
	path, err := filePath(uri)
	if err != nil {
		return nil, err
	}
	return openFile(path)
}

// Create makes a key where uri says and returns it once it is durable. The
// empty algorithm is [P256]. A key that is there already is never replaced:
// the error then wraps fs.ErrExist. A token that has no such algorithm gives
// [ErrAlgorithm].
func Create(ctx context.Context, uri string, alg Algorithm) (crypto.Signer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if inToken(uri) {
		return createToken(ctx, uri, alg)
	}
	path, err := filePath(uri)
	if err != nil {
		return nil, err
	}
	if err := absent(path); err != nil {
		return nil, err
	}
	key, err := Generate(alg)
	if err != nil {
		return nil, err
	}
	return key, createFile(path, key)
}

// inToken reports whether a key is in a PKCS#11 token.
func inToken(uri string) bool { return strings.HasPrefix(uri, "pkcs11:") }

// filePath returns the path of a file: URI and refuses every other scheme.
func filePath(uri string) (string, error) {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok {
		return "", fmt.Errorf("%w: %q has no scheme; a key in a file is written file:%s", ErrScheme, uri, uri)
	}
	switch scheme {
	case "file":
		return authorityless(rest)
	case "tpm":
		return "", fmt.Errorf("%w: tpm: needs a build with TPM keys; this one has %s", ErrScheme, schemes)
	default:
		// The rest of the URI may hold a secret and stays out of the error.
		return "", fmt.Errorf("%w: %q; this build has %s", ErrScheme, scheme, schemes)
	}
}

// authorityless strips the empty or local authority (RFC 8089, Section 2).
func authorityless(path string) (string, error) {
	if rest, ok := strings.CutPrefix(path, "//"); ok {
		host, _, _ := strings.Cut(rest, "/")
		if host != "" && host != "localhost" {
			return "", fmt.Errorf("%w: file://%s/ names another machine; write file:PATH", ErrScheme, host)
		}
		path = strings.TrimPrefix(rest, host)
	}
	if path == "" || strings.ContainsRune(path, 0) {
		return "", fmt.Errorf("%w: file: without a usable path; write file:PATH", ErrScheme)
	}
	return path, nil
}

// Generate makes a key that is kept nowhere. The empty algorithm is [P256].
func Generate(alg Algorithm) (crypto.Signer, error) {
	switch alg {
	case "", P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case P521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	default:
		return nil, fmt.Errorf("keystore: unknown key algorithm %q; there are p256, p384, p521, rsa2048, rsa3072, rsa4096 and ed25519", string(alg))
	}
}
