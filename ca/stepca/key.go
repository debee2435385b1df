package stepca

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/briskest/briskest/internal/cms"
)

// ErrKey says that a provisioner's key file cannot be read.
var ErrKey = errors.New("not a provisioner's key")

const (
	maxKeyFile = 64 << 10 // bytes
	// The rounds of PBKDF2 that are done: RFC 7518, Section 4.8.1.2, has at
	// least 1000; `step` writes 600,000.
	minRounds, maxRounds = 1000, 10_000_000
)

// Key is a JWK provisioner's private key.
type Key struct {
	crypto.Signer
	ID string // its "kid"; empty when the file has none
}

// ReadKey reads the private key of a JWK provisioner as `step` writes it: a JWK
// (RFC 7517) of an EC or Ed25519 key, or one encrypted with a password in a JWE
// (RFC 7516) of the compact or the flattened JSON serialization, with
// PBES2-HS256+A128KW and AES-GCM. It is also the encryptedKey of step-ca's
// configuration. Errors wrap [ErrKey] and hold nothing of the key.
func ReadKey(data, password []byte) (*Key, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrKey, maxKeyFile)
	}
	data = bytes.TrimSpace(data)
	jwe, err := parseJWE(data)
	if err != nil {
		return nil, err
	}
	if jwe != nil {
		if data, err = jwe.open(password); err != nil {
			return nil, err
		}
	}
	return parseJWK(data)
}

// jwe is a JWE in flattened JSON (RFC 7516, Section 7.2.2).
type jwe struct {
	Protected  string `json:"protected"`
	Key        string `json:"encrypted_key"`
	IV         string `json:"iv"`
	Ciphertext string `json:"ciphertext"`
	Tag        string `json:"tag"`
}

// parseJWE returns nil for what is none.
func parseJWE(data []byte) (*jwe, error) {
	if !bytes.HasPrefix(data, []byte("{")) {
		p := strings.Split(string(data), ".")
		if len(p) != 5 {
			return nil, fmt.Errorf("%w: neither a JWK nor an encrypted one", ErrKey)
		}
		return &jwe{p[0], p[1], p[2], p[3], p[4]}, nil
	}
	j := new(jwe)
	if err := json.Unmarshal(data, j); err != nil {
		return nil, fmt.Errorf("%w: no JSON object", ErrKey)
	}
	if j.Ciphertext == "" {
		return nil, nil
	}
	return j, nil
}

type jweHeader struct {
	Algorithm  string `json:"alg"`
	Encryption string `json:"enc"`
	Salt       string `json:"p2s"`
	Rounds     int    `json:"p2c"`
}

// open decrypts with a password (RFC 7518, Sections 4.8 and 5.3).
func (j *jwe) open(password []byte) ([]byte, error) {
	text, err := unbase64(j.Protected)
	if err != nil {
		return nil, err
	}
	var h jweHeader
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, fmt.Errorf("%w: no JSON in the protected header", ErrKey)
	}
	size, known := map[string]int{"A128GCM": 16, "A192GCM": 24, "A256GCM": 32}[h.Encryption]
	if h.Algorithm != "PBES2-HS256+A128KW" || !known {
		return nil, fmt.Errorf("%w: encrypted with %.40q and %.40q, known are PBES2-HS256+A128KW and AES-GCM", ErrKey, h.Algorithm, h.Encryption)
	}
	if h.Rounds < minRounds || h.Rounds > maxRounds {
		return nil, fmt.Errorf("%w: %d rounds of PBKDF2, want %d to %d", ErrKey, h.Rounds, minRounds, maxRounds)
	}
	var parts [5][]byte
	for i, part := range []string{h.Salt, j.Key, j.IV, j.Ciphertext, j.Tag} {
		if parts[i], err = unbase64(part); err != nil {
			return nil, err
		}
	}
	salt := append([]byte(h.Algorithm+"\x00"), parts[0]...)
	kek, err := pbkdf2.Key(sha256.New, string(password), salt, h.Rounds, 16)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	wrong := fmt.Errorf("%w: it does not open with this password", ErrKey)
	key, err := cms.UnwrapKey(kek, parts[1])
	if err != nil || len(key) != size {
		return nil, wrong
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, wrong
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil || len(parts[2]) != gcm.NonceSize() || len(parts[4]) != gcm.Overhead() {
		return nil, wrong
	}
	plain, err := gcm.Open(nil, parts[2], append(parts[3], parts[4]...), []byte(j.Protected))
	if err != nil {
		return nil, wrong
	}
	return plain, nil
}

func unbase64(text string) ([]byte, error) {
	value, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: not base64url", ErrKey)
	}
	return value, nil
}

type jwk struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	D     string `json:"d"`
	X     string `json:"x"`
	Y     string `json:"y"`
	ID    string `json:"kid"`
}

// parseJWK reads a private key (RFC 7518, Section 6.2; RFC 8037, Section 2) and
// holds it against the public one beside it.
func parseJWK(data []byte) (*Key, error) {
	var k jwk
	if err := json.Unmarshal(data, &k); err != nil {
		return nil, fmt.Errorf("%w: no JSON object", ErrKey)
	}
	d, err := unbase64(k.D)
	if err != nil {
		return nil, err
	}
	if len(d) == 0 {
		return nil, fmt.Errorf("%w: there is no private part", ErrKey)
	}
	var signer crypto.Signer
	if k.Type == "OKP" && k.Curve == "Ed25519" && len(d) == ed25519.SeedSize {
		signer = ed25519.NewKeyFromSeed(d)
	} else {
		curve, known := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[k.Curve]
		if k.Type != "EC" || !known {
			return nil, fmt.Errorf("%w: of type %.20q on curve %.20q; EC keys and Ed25519 are read", ErrKey, k.Type, k.Curve)
		}
		if signer, err = ecdsa.ParseRawPrivateKey(curve, d); err != nil {
			return nil, fmt.Errorf("%w: the private part is none of its curve", ErrKey)
		}
	}
	public, err := publicJWK(signer.Public())
	if err != nil {
		return nil, err
	}
	if public.X != k.X || public.Y != k.Y {
		return nil, fmt.Errorf("%w: its private part does not belong to its public one", ErrKey)
	}
	return &Key{signer, k.ID}, nil
}

// publicJWK writes a public key without a kid.
func publicJWK(pub crypto.PublicKey) (*jwk, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		point, err := pub.Bytes()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		half := (len(point) - 1) / 2
		return &jwk{Type: "EC", Curve: pub.Params().Name, X: b64(point[1 : 1+half]), Y: b64(point[1+half:])}, nil
	case ed25519.PublicKey:
		return &jwk{Type: "OKP", Curve: "Ed25519", X: b64(pub)}, nil
	default:
		return nil, fmt.Errorf("%w: a provisioner's key of type %T", ErrKey, pub)
	}
}

// Thumbprint is a public key's identifier (RFC 7638, Section 3.1), which `step`
// makes the "kid" of a JWK provisioner unless it is told another. Errors wrap
// [ErrKey].
func Thumbprint(pub crypto.PublicKey) (string, error) {
	var text string
	if key, ok := pub.(*rsa.PublicKey); ok {
		text = fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`, base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
			base64.RawURLEncoding.EncodeToString(key.N.Bytes()))
	} else {
		k, err := publicJWK(pub)
		switch {
		case err != nil:
			return "", err
		case k.Type == "EC":
			text = fmt.Sprintf(`{"crv":%q,"kty":"EC","x":%q,"y":%q}`, k.Curve, k.X, k.Y)
		default:
			text = fmt.Sprintf(`{"crv":%q,"kty":"OKP","x":%q}`, k.Curve, k.X)
		}
	}
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}
