package registrar

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/trail"
)

// NewCredential asks for an HTTP credential.
type NewCredential struct {
	Domain string
	Actor  string
	User   string
	// Group lets it enroll any name its label's profile allows, and not its user's alone.
	Group bool
	// Password is a person's; empty has 128 random bits generated.
	Password est.Secret
	// Replace allows that the user exists.
	Replace bool
}

// minPassword bounds a person's password, in bytes.
const minPassword = 8

// AddCredential puts a credential on record and returns its secret, which is
// not kept: only a salted SHA-256 of a generated one, an argon2id digest of a
// password; and, where a label takes Digest, its HA1, which is as good as the
// password for the realm. A user that exists is ErrConflict unless r.Replace.
func (s *Service) AddCredential(ctx context.Context, r *NewCredential) (est.Secret, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return "", err
	}
	switch {
	case r.User == "" || len(r.User) > maxUser || ascii(r.User) != r.User || strings.Contains(r.User, ":"):
		// RFC 7617, Section 2: no colon in a user-id.
		return "", invalid("a user name is 1 to %d printable ASCII characters without a colon", maxUser)
	case r.Password != "" && (len(r.Password) < minPassword || len(r.Password) > maxSecret):
		return "", invalid("a password is %d to %d bytes long", minPassword, maxSecret)
	}
	old, err := found(s.store.Credential(ctx, v.Domain, r.User))
	switch {
	case err != nil:
		return "", err
	case old != nil && !r.Replace:
		return "", fmt.Errorf("user %q exists: %w", r.User, ErrConflict)
	}
	k := &Credential{Domain: v.Domain, User: r.User, Group: r.Group, Salt: make([]byte, 16), CreatedAt: s.now().UTC()}
	rand.Read(k.Salt) // never fails (crypto/rand)
	secret := r.Password
	if secret == "" {
		bits := make([]byte, 16)
		rand.Read(bits)
		secret = est.Secret(base64.RawURLEncoding.EncodeToString(bits))
		k.Scheme, k.Digest = schemeGenerated, generatedDigest(k.Salt, secret.Reveal())
	} else {
		k.Scheme, k.Digest = schemePassword, passwordDigest(k.Salt, secret.Reveal())
	}
	v.digests(k, secret)
	b := newBody().str("user", k.User).str("scheme", k.Scheme).yes("digest", k.Realm != "").yes("group", k.Group).yes("replaced", old != nil)
	err = s.store.Commit(ctx, &Change{PutCredentials: []*Credential{k}, Trail: []*trail.Entry{s.act(v, r.Actor, KindCredentialAdded, "", b)}})
	if err != nil {
		return "", err
	}
	if k.Scheme == schemePassword {
		s.passwords.note(true)
	}
	return secret, nil
}

// DisableCredential ends a credential's use at once.
func (s *Service) DisableCredential(ctx context.Context, domain, actor, user string) error {
	v, err := s.inDomain(domain)
	if err != nil {
		return err
	}
	k, err := s.store.Credential(ctx, v.Domain, user)
	if err != nil {
		return fmt.Errorf("user %q: %w", user, err)
	}
	k.Disabled = true
	b := newBody().str("user", user)
	return s.store.Commit(ctx, &Change{PutCredentials: []*Credential{k}, Trail: []*trail.Entry{s.act(v, actor, KindCredentialDisabled, "", b)}})
}

// ListCredentials returns the credentials without their digests.
func (s *Service) ListCredentials(ctx context.Context, domain string) ([]*Credential, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	all, err := s.store.ListCredentials(ctx, v.Domain)
	if err != nil {
		return nil, err
	}
	for _, k := range all {
		k.Salt, k.Digest, k.HA1, k.HA1MD5 = nil, nil, "", ""
	}
	return all, nil
}
