package registrar

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/trail"
)

// APIToken lets a program use the operators' API in one domain. Of its secret only the SHA-256 is kept.
type APIToken struct {
	Domain    string
	ID        string // 16 hex digits
	Name      string // for people and the trail
	Role      string // the API knows which there are
	Digest    []byte // SHA-256 of the secret
	CreatedAt time.Time
	CreatedBy string
	ExpiresAt time.Time
	Revoked   bool
}

// Reply is what the API answered under an idempotency key, or, with Status 0, that it began. It is kept for a
// day, and the newest MaxReplies of each principal.
type Reply struct {
	Domain      string
	Principal   string
	Key         string
	Operation   string
	RequestHash []byte // SHA-256 of what was asked; nil where it had a secret in it
	Status      int
	Body        []byte // nil where it had a secret in it, or was big
	At          time.Time
}

// How long replies are kept, and how many of one principal in a domain.
const (
	ReplyLifetime = 24 * time.Hour
	MaxReplies    = 1000
)

// APIRecords reads what the operators' API keeps. A missing row is ErrNotFound.
type APIRecords interface {
	APIToken(ctx context.Context, domain, id string) (*APIToken, error)
	// ListAPITokens returns up to limit tokens in order of ID, after the given ID ("" for the start).
	ListAPITokens(ctx context.Context, domain, after string, limit int) ([]*APIToken, error)
	Reply(ctx context.Context, domain, principal, key string) (*Reply, error)
}

// NewAPIToken asks for a token.
type NewAPIToken struct {
	Domain  string
	Actor   string
	Name    string        // at most 64 printable ASCII characters
	Role    string        // which the caller has checked
	Expires time.Duration // from now; zero for 90 days, at most a year
}

const (
	tokenPrefix      = "bkt_"
	tokenLifetime    = 90 * 24 * time.Hour
	maxTokenLifetime = 366 * 24 * time.Hour
	maxTokenName     = 64
)

// AddAPIToken puts a token on record and returns its text, which is not kept: 256 random bits behind the ID.
func (s *Service) AddAPIToken(ctx context.Context, r *NewAPIToken) (est.Secret, *APIToken, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return "", nil, err
	}
	switch {
	case r.Name == "" || len(r.Name) > maxTokenName || ascii(r.Name) != r.Name:
		return "", nil, invalid("a token's name is 1 to %d printable ASCII characters", maxTokenName)
	case r.Expires < 0 || r.Expires > maxTokenLifetime:
		return "", nil, invalid("a token is good for at most %d days", maxTokenLifetime/(24*time.Hour))
	}
	bits := make([]byte, 8+32)
	rand.Read(bits) // never fails (crypto/rand)
	secret := base64.RawURLEncoding.EncodeToString(bits[8:])
	now := s.now().UTC()
	t := &APIToken{
		Domain: v.Domain, ID: hex.EncodeToString(bits[:8]), Name: r.Name, Role: r.Role, Digest: tokenDigest(secret),
		CreatedAt: now, CreatedBy: r.Actor, ExpiresAt: now.Add(orDefault(r.Expires, tokenLifetime)),
	}
	b := newBody().str("token", t.ID).str("name", t.Name).str("role", t.Role).time("expires_at", t.ExpiresAt)
	err = s.store.Commit(ctx, &Change{PutAPITokens: []*APIToken{t}, Trail: []*trail.Entry{s.act(v, r.Actor, KindTokenAdded, "", b)}})
	return est.Secret(tokenPrefix + t.ID + "_" + secret), t, err
}

func tokenDigest(secret string) []byte {
	sum := sha256.Sum256([]byte(secret)) // of 256 random bits: nobody guesses them, with whatever hash
	return sum[:]
}

// RevokeAPIToken ends a token's use at once.
func (s *Service) RevokeAPIToken(ctx context.Context, domain, actor, id string) (*APIToken, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	t, err := s.store.APIToken(ctx, v.Domain, id)
	if err != nil {
		return nil, fmt.Errorf("token %q: %w", id, err)
	}
	t.Revoked = true
	b := newBody().str("token", t.ID).str("name", t.Name)
	err = s.store.Commit(ctx, &Change{PutAPITokens: []*APIToken{t}, Trail: []*trail.Entry{s.act(v, actor, KindTokenRevoked, "", b)}})
	return t, err
}

// ListAPITokens returns tokens without their digests, in order of ID.
func (s *Service) ListAPITokens(ctx context.Context, domain, after string, limit int) ([]*APIToken, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	list, err := s.store.ListAPITokens(ctx, v.Domain, after, listLimit(limit))
	for _, t := range list {
		t.Digest = nil
	}
	return list, err
}

// CheckAPIToken returns the token of this domain whose text that is, unless it is revoked or has
// expired; ErrNotFound otherwise.
func (s *Service) CheckAPIToken(ctx context.Context, text est.Secret) (*APIToken, error) {
	v := s.current.Load()
	rest, ok := strings.CutPrefix(text.Reveal(), tokenPrefix)
	id, secret, split := strings.Cut(rest, "_")
	if !ok || !split || len(id) != 16 || len(secret) > 64 {
		return nil, fmt.Errorf("token: %w", ErrNotFound)
	}
	t, err := s.store.APIToken(ctx, v.Domain, id)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	if subtle.ConstantTimeCompare(t.Digest, tokenDigest(secret)) != 1 || t.Revoked || !s.now().Before(t.ExpiresAt) {
		return nil, fmt.Errorf("token: %w", ErrNotFound)
	}
	return t, nil
}

// BeginReply records that an operation with an idempotency key begins. One that has begun, or is done, is ErrConflict,
// and then what is on record of it is returned.
func (s *Service) BeginReply(ctx context.Context, r *Reply) (*Reply, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, err
	}
	now := s.now().UTC()
	for range 2 {
		old, err := found(s.store.Reply(ctx, v.Domain, r.Principal, r.Key))
		if err != nil {
			return nil, err
		}
		if old != nil && now.Before(old.At.Add(ReplyLifetime)) {
			return old, fmt.Errorf("idempotency key: %w", ErrConflict)
		}
		begun := *r
		begun.Domain, begun.Status, begun.At = v.Domain, 0, now
		if err = s.store.Commit(ctx, &Change{BeginReply: &begun}); err == nil {
			return &begun, nil
		} else if !errors.Is(err, ErrConflict) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("idempotency key: %w", ErrConflict)
}

// EndReply records how it ended; Status 0 forgets that it began.
func (s *Service) EndReply(ctx context.Context, r *Reply) error {
	return s.commit(ctx, &Change{EndReply: r})
}
