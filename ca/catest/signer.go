package catest

import (
	"context"
	"crypto"
	"io"
	"sync"
	"testing"

	"github.com/briskest/briskest/ca"
)

// Signer is a CA's key that fails the test when it is asked to sign what was
// not recorded first. Requests get their Record from [Signer.Recorder].
type Signer struct {
	t     testing.TB
	inner crypto.Signer

	mu       sync.Mutex
	recorded map[[32]byte]int // TBS hashes on record and not yet signed; guarded by mu
	open     int              // intents on record and not yet signed; guarded by mu
	calls    int              // guarded by mu
	err      error            // what Sign returns; guarded by mu
	free     bool             // lists may be signed; guarded by mu
}

// NewSigner wraps a CA's key.
func NewSigner(t testing.TB, inner crypto.Signer) *Signer {
	return &Signer{t: t, inner: inner, recorded: make(map[[32]byte]int)}
}

// Public returns the wrapped key's public key.
func (s *Signer) Public() crypto.PublicKey { return s.inner.Public() }

// Sign signs with the wrapped key, once for each recorded intent. A digest of
// SHA-256 must be that of a recorded intent.
func (s *Signer) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.free {
		return s.inner.Sign(random, digest, opts)
	}
	if s.open == 0 {
		s.t.Errorf("the signer was asked before Record returned, or twice for one intent")
	} else {
		s.open--
	}
	if opts.HashFunc() == crypto.SHA256 && len(digest) == 32 {
		hash := [32]byte(digest)
		if s.recorded[hash] == 0 {
			s.t.Errorf("the signer was asked for the digest %x, which is not on record", digest)
		}
		s.recorded[hash]--
	}
	if s.err != nil {
		return nil, s.err
	}
	return s.inner.Sign(random, digest, opts)
}

// Recorder returns a Record that passes intents to next (nil keeps them
// nowhere) and lets the signer sign each one that next took.
func (s *Signer) Recorder(next func(ctx context.Context, in *ca.Intent) error) func(ctx context.Context, in *ca.Intent) error {
	return func(ctx context.Context, in *ca.Intent) error {
		if next != nil {
			if err := next(ctx, in); err != nil {
				return err
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open++
		s.recorded[in.TBSHash]++
		return nil
	}
}

// Calls returns how often Sign was called.
func (s *Signer) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Fail makes Sign return err from now on; nil makes it sign again.
func (s *Signer) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// AllowUnrecorded lets the key sign anything, such as revocation lists.
func (s *Signer) AllowUnrecorded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = true
}
