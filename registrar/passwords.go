package registrar

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/briskest/briskest/est"
)

// The schemes of a Credential.
const (
	schemeGenerated = "sha256"   // SHA-256(salt, secret): the secret is 128 random bits
	schemePassword  = "argon2id" // RFC 9106, Section 4; the parameters are below
)

// The parameters of argon2id: 19 MiB and two passes, some 20 ms of one core.
const (
	argonTime, argonMemory, argonThreads, argonKey = 2, 19 << 10, 1, 32
	argonAtOnce                                    = 2  // computations
	argonWaiting                                   = 64 // requests that wait for their turn
)

// Bounds of what a peer sends.
const (
	maxUser   = 256
	maxSecret = 1024
)

// passwords verifies secrets. People's passwords are expensive to verify by
// design, so those that were right are remembered for ten minutes by a keyed
// hash: the key lives in this process only, and the password nowhere.
//
// Once the domain has people's passwords, every refusal costs one computation,
// so that time does not tell which users exist. How many run and wait at once
// is bounded; beyond it the answer is 503, whoever asks.
type passwords struct {
	key   [32]byte
	noHA1 est.Secret    // of users that do not exist
	turns chan struct{} // a value for each computation that may run
	queue chan struct{} // a value for each request waiting

	mu         sync.Mutex
	size       int
	young, old map[[sha256.Size]byte]time.Time // guarded by mu
	looked     bool                            // whether the store was asked for passwords; guarded by mu
	people     bool                            // whether there are any; guarded by mu
}

var errBusy = errors.New("too many passwords are being verified")

func newPasswords(size int) *passwords {
	p := &passwords{
		size: size, young: map[[sha256.Size]byte]time.Time{},
		turns: make(chan struct{}, argonAtOnce), queue: make(chan struct{}, argonWaiting),
	}
	rand.Read(p.key[:]) // never fails (crypto/rand)
	p.noHA1 = est.Secret(hex.EncodeToString(p.key[:]))
	return p
}

// checkCredentials verifies HTTP Basic credentials (RFC 7617, Section 2).
func (s *Service) checkCredentials(ctx context.Context, v *version, p *est.Peer) (*Credential, *Decision) {
	const rule = "basic"
	if len(p.User) > maxUser || len(p.Secret) > maxSecret {
		return nil, deny(ReasonBadCredentials, rule)
	}
	k, err := found(s.store.Credential(ctx, v.Domain, p.User))
	if err != nil {
		return nil, storeFailed(rule, err)
	}
	right, err := s.passwords.verify(ctx, k, p.Secret.Reveal(), s.now())
	if err == nil && !right {
		err = s.passwords.equalize(ctx, s.store, v.Domain, k)
	}
	switch {
	case errors.Is(err, errBusy):
		return nil, &Decision{Reason: ReasonOverload, Rule: rule, RetryAfter: jitter(2 * time.Second), Err: err}
	case err != nil:
		return nil, storeFailed(rule, err)
	case !right || k == nil || k.Disabled:
		return nil, deny(ReasonBadCredentials, rule)
	}
	return k, nil
}

// verify tells whether secret is that of k; nil is a user that does not exist.
func (p *passwords) verify(ctx context.Context, k *Credential, secret string, at time.Time) (bool, error) {
	if k == nil {
		k = &Credential{Scheme: schemeGenerated, Salt: p.key[:16], Digest: p.key[:]}
		_ = p.same(generatedDigest(k.Salt, secret), k.Digest)
		return false, nil
	}
	switch k.Scheme {
	case schemeGenerated:
		return p.same(generatedDigest(k.Salt, secret), k.Digest), nil
	case schemePassword:
		name := p.name(k, secret)
		if p.remembered(name, at) {
			return true, nil
		}
		digest, err := p.argon(ctx, k.Salt, secret)
		if err != nil {
			return false, err
		}
		right := p.same(digest, k.Digest)
		if right {
			p.remember(name, at)
		}
		return right, nil
	default:
		return false, fmt.Errorf("credential of %q: scheme %q is unknown", k.User, k.Scheme)
	}
}

func (p *passwords) same(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// equalize spends what a wrong password would have cost.
func (p *passwords) equalize(ctx context.Context, store Credentials, domain string, k *Credential) error {
	if k != nil && k.Scheme == schemePassword {
		return nil // spent already
	}
	p.mu.Lock()
	looked, people := p.looked, p.people
	p.mu.Unlock()
	if !looked {
		all, err := store.ListCredentials(ctx, domain)
		if err != nil {
			return err
		}
		for _, k := range all {
			people = people || k.Scheme == schemePassword
		}
		p.note(people)
	}
	if !people {
		return nil
	}
	_, err := p.argon(ctx, p.key[:16], "")
	return err
}

// note remembers whether the domain has people's passwords.
func (p *passwords) note(people bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looked, p.people = true, p.people || people
}

// argon computes one digest when it is this request's turn.
func (p *passwords) argon(ctx context.Context, salt []byte, secret string) ([]byte, error) {
	select {
	case p.queue <- struct{}{}:
		defer func() { <-p.queue }()
	default:
		return nil, errBusy
	}
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return passwordDigest(salt, secret), nil
}

// name is what a verified secret is remembered by. It covers the stored
// digest, so that a changed password is verified anew.
func (p *passwords) name(k *Credential, secret string) [sha256.Size]byte {
	m := hmac.New(sha256.New, p.key[:])
	for _, part := range [][]byte{[]byte(k.Domain), []byte(k.User), k.Salt, k.Digest, []byte(secret)} {
		fmt.Fprintf(m, "%d:", len(part))
		m.Write(part)
	}
	return [sha256.Size]byte(m.Sum(nil))
}

func (p *passwords) remembered(name [sha256.Size]byte, at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	until, ok := p.young[name]
	if !ok {
		until, ok = p.old[name]
	}
	return ok && at.Before(until)
}

func (p *passwords) remember(name [sha256.Size]byte, at time.Time) {
	const good = 10 * time.Minute
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.young) >= p.size {
		p.old, p.young = p.young, map[[sha256.Size]byte]time.Time{}
	}
	p.young[name] = at.Add(good)
}

func generatedDigest(salt []byte, secret string) []byte {
	h := sha256.New()
	h.Write(salt)
	h.Write([]byte(secret))
	return h.Sum(nil)
}

func passwordDigest(salt []byte, secret string) []byte {
	return argon2.IDKey([]byte(secret), salt, argonTime, argonMemory, argonThreads, argonKey)
}
