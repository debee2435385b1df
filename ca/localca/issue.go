package localca

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
)

// checked is a certificate that may be signed. Only check returns one.
type checked struct {
	tbs     []byte
	content *profile.Content
	intent  *ca.Intent
}

// Issue checks the request against its profile, puts the intent on record and
// signs. Errors before that wrap ca.ErrUnknownProfile, ca.ErrRejected or, when
// the CA cannot issue now, ca.ErrUnavailable; those of Record come as they are;
// a signer's wrap ca.ErrUnavailable. Once the intent is on record the
// certificate is signed even when ctx ends meanwhile, so that the record does
// not hold intents without need.
func (c *CA) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	if r.Record == nil {
		return nil, errors.New("localca: the request has no Record: nothing is issued that is not on record")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ck, err := c.check(r)
	if err != nil {
		return nil, err
	}
	if err := r.Record(ctx, ck.intent); err != nil {
		return nil, fmt.Errorf("record the intent of %x: %w", ck.intent.Serial, err)
	}
	return c.sign(ck)
}

// check decides whether the request may be signed, and builds what would be.
// The profile is looked up once: all that the certificate says is of one version.
func (c *CA) check(r *ca.Request) (*checked, error) {
	p, ok := c.profiles[r.Profile]
	if !ok {
		return nil, fmt.Errorf("%w: %.80q", ca.ErrUnknownProfile, r.Profile)
	}
	now := c.now()
	for _, authority := range c.chain { // below an expired root nothing verifies
		if now.After(authority.NotAfter) || now.Before(authority.NotBefore) {
			return nil, fmt.Errorf("%w: the CA certificate %q is valid from %s to %s and it is %s: renew it, or set the clock",
				ca.ErrUnavailable, authority.Subject, day(authority.NotBefore), day(authority.NotAfter), day(now))
		}
	}
	serial, err := c.serials.next(now)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrUnavailable, err)
	}
	return c.signer.check(p, r, serial, now)
}

func day(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// check judges key, names and validity, builds the to-be-signed certificate
// and reads it back.
func (s *signer) check(p *profile.Profile, r *ca.Request, serial []byte, now time.Time) (*checked, error) {
	if err := p.CheckKey(r.PublicKey); err != nil {
		return nil, err
	}
	spki, err := profile.MarshalPublicKey(r.PublicKey)
	if err != nil {
		return nil, err
	}
	// A subject with the CA's own key could speak for the CA.
	if !s.selfSigned && bytes.Equal(spki, s.spki) {
		return nil, fmt.Errorf("%w: %w: it is the CA's own key", ca.ErrRejected, profile.ErrKeyWeak)
	}
	if err := p.CheckNames(r.Subject, &r.Names); err != nil {
		return nil, err
	}
	start, end, err := p.Period(now, r.NotBefore, r.NotAfter, s.end)
	if err != nil {
		return nil, err
	}
	algorithm, err := p.SignatureAlgorithm().For(s.key.Public())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrUnavailable, err)
	}
	content := &profile.Content{
		Serial: serial, Algorithm: algorithm, Issuer: s.issuer, AuthorityKeyID: s.keyID,
		NotBefore: start, NotAfter: end, Subject: r.Subject, Names: r.Names, Key: r.PublicKey, SPKI: spki,
		Partitions: s.partitions,
	}
	tbs, err := p.TBS(content)
	if err != nil {
		return nil, err
	}
	if err := p.CheckTBS(tbs, content); err != nil {
		return nil, err
	}
	return &checked{tbs: tbs, content: content, intent: &ca.Intent{
		Serial: serial, TBSHash: sha256.Sum256(tbs), KeyHash: sha256.Sum256(spki),
		Profile: p.Name(), Version: p.Version(), NotBefore: start, NotAfter: end,
	}}, nil
}

// sign signs what check has let through.
func (s *signer) sign(ck *checked) (*ca.Certificate, error) {
	raw, err := s.signTBS(ck.tbs, ck.content.Algorithm)
	if err != nil {
		return nil, err
	}
	return &ca.Certificate{
		Raw: raw, Serial: ck.intent.Serial, NotBefore: ck.intent.NotBefore, NotAfter: ck.intent.NotAfter,
		Profile: ck.intent.Profile, Version: ck.intent.Version,
	}, nil
}
