package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
)

// Key is a private key in a token. It may be used by many at once.
type Key struct {
	token  *Token
	object Object
	public crypto.PublicKey
}

var _ crypto.Signer = (*Key)(nil)

// Open finds the private key of that name, [ErrNotFound] if there is none.
func (t *Token) Open(ctx context.Context, o Object) (*Key, error) {
	ctx, cancel := within(ctx, t.limits.Deadline)
	defer cancel()
	public, err := run(ctx, t, func(s *pooled) (crypto.PublicKey, error) {
		h, err := s.find(o)
		if err != nil {
			return nil, err
		}
		return s.Public(h)
	}, taken)
	if err != nil {
		return nil, err
	}
	return &Key{token: t, object: o, public: public}, nil
}

// Create makes a key pair in the token, from which the private key never comes
// out. A name that is taken gives [ErrExists], an algorithm that the token has not
// [ErrAlgorithm]. Without an identifier it gets a random one.
func (t *Token) Create(ctx context.Context, o Object, a Algorithm) (*Key, error) {
	ctx, cancel := within(ctx, t.limits.Generate)
	defer cancel()
	made := o
	if made.ID == "" {
		made.ID = rand.Text()
	}
	public, err := run(ctx, t, func(s *pooled) (crypto.PublicKey, error) {
		switch _, err := s.find(o); {
		case err == nil || errors.Is(err, ErrAmbiguous):
			return nil, ErrExists
		case !errors.Is(err, ErrNotFound):
			return nil, err
		}
		h, err := s.Generate(a, made)
		if err != nil {
			return nil, err
		}
		return s.Public(h)
	}, taken)
	if err != nil {
		return nil, err
	}
	// Two programs at once may both have made one. Then neither is used.
	key, err := t.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	if k, ok := public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(key.public) {
		return nil, ErrExists
	}
	return key, nil
}

// taken takes a public key as it is.
func taken(public crypto.PublicKey) (crypto.PublicKey, error) { return public, nil }

// find finds a key, or remembers where it was.
func (s *pooled) find(o Object) (Handle, error) {
	if h, ok := s.handles[o]; ok {
		return h, nil
	}
	h, err := s.Key(o)
	if err == nil {
		s.handles[o] = h
	}
	return h, err
}

// Public returns the public key: an *ecdsa.PublicKey, *rsa.PublicKey or
// ed25519.PublicKey.
func (k *Key) Public() crypto.PublicKey { return k.public }

// Sign signs a digest in the token, or for Ed25519 a message, and verifies the
// signature. The token brings its own randomness.
func (k *Key) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	p, err := plan(k.public, digest, opts)
	if err != nil {
		return nil, err
	}
	return run(k.token.clock.within(k.token.limits.Deadline), k.token, func(s *pooled) ([]byte, error) {
		h, err := s.find(k.object)
		if err != nil {
			return nil, err
		}
		return s.Sign(h, p.mechanism, p.input)
	}, p.finish)
}

// planned is a signature to be made.
type planned struct {
	mechanism Mechanism
	input     []byte                          // what the token signs
	verified  func(raw []byte) ([]byte, bool) // the signature, if it verifies
}

// finish makes of what the token returned a signature that verifies.
func (p *planned) finish(raw []byte) ([]byte, error) {
	signature, ok := p.verified(raw)
	if !ok {
		return nil, ErrWrongSignature
	}
	return signature, nil
}

func plan(public crypto.PublicKey, digest []byte, opts crypto.SignerOpts) (*planned, error) {
	if _, ok := public.(*ecdsa.PublicKey); ok && opts == nil {
		// As crypto/ecdsa has it, and go-cose calls it: the digest says it all.
		opts = map[int]crypto.Hash{32: crypto.SHA256, 48: crypto.SHA384, 64: crypto.SHA512}[len(digest)]
	}
	if opts == nil {
		return nil, errors.New("pkcs11: no signature without options, which name the hash")
	}
	hash := opts.HashFunc()
	if _, ok := public.(ed25519.PublicKey); !ok {
		switch hash {
		case crypto.SHA256, crypto.SHA384, crypto.SHA512:
		default:
			return nil, fmt.Errorf("pkcs11: no signature over %v; use SHA-256, SHA-384 or SHA-512", hash)
		}
		if len(digest) != hash.Size() {
			return nil, fmt.Errorf("pkcs11: a digest of %d bytes is none of %v", len(digest), hash)
		}
	}
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		return planECDSA(public, digest), nil
	case ed25519.PublicKey:
		if o, ok := opts.(*ed25519.Options); hash != 0 || ok && o.Context != "" {
			return nil, errors.New("pkcs11: Ed25519 signs messages, without a hash and without a context")
		}
		return &planned{mechanism: Mechanism{Kind: EdDSA}, input: digest, verified: func(raw []byte) ([]byte, bool) {
			return raw, ed25519.Verify(public, digest, raw)
		}}, nil
	case *rsa.PublicKey:
		if pss, ok := opts.(*rsa.PSSOptions); ok {
			return planPSS(public, digest, hash, pss)
		}
		return planPKCS1(public, digest, hash), nil
	default:
		return nil, fmt.Errorf("pkcs11: no signatures with a %T", public)
	}
}
