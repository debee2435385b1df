package localca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
)

// Root is a self-signed CA with its key.
type Root struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// Rollover is a change from one root key to the next (RFC 4210, Section 4.4).
type Rollover struct {
	// Old and New have the same name and different keys.
	Old, New Root
	// Record is as in ca.Request and must not be nil.
	Record func(ctx context.Context, in *ca.Intent) error
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Rand is nil for crypto/rand.
	Rand io.Reader
}

// Links carry trust from one root key to the next and back. Both are
// self-issued: subject and issuer are the name of both roots, and only the key
// differs (RFC 4210, Section 4.4).
type Links struct {
	// OldWithNew is the old key signed with the new one: who trusts the new root
	// verifies with it what stands below the old one. It is valid for as long as the old root.
	OldWithNew *x509.Certificate
	// NewWithOld is the new key signed with the old one: who trusts the old root
	// verifies with it what stands below the new one. It is valid from the new
	// root's beginning until the old root's end.
	NewWithOld *x509.Certificate
}

// NewLinks makes both certificates. Roots whose names are not the same byte for
// byte, or whose keys are, are an error, and so is an old root that has expired.
func NewLinks(ctx context.Context, r *Rollover) (*Links, error) {
	if r.Record == nil {
		return nil, errors.New("localca: the rollover has no Record: nothing is issued that is not on record")
	}
	o, n := r.Old.Certificate, r.New.Certificate
	switch {
	case !bytes.Equal(o.RawSubject, n.RawSubject):
		return nil, fmt.Errorf("localca: the roots %q and %q have different names; a rollover keeps the name (RFC 4210, Section 4.4)", o.Subject, n.Subject)
	case bytes.Equal(o.RawSubjectPublicKeyInfo, n.RawSubjectPublicKeyInfo):
		return nil, fmt.Errorf("localca: the root %q has the same key as before: that is a renewal, which needs no links", n.Subject)
	}
	out := &Links{}
	var err error
	if out.OldWithNew, err = r.link(ctx, &r.Old, &r.New, o.NotBefore, o.NotAfter); err != nil {
		return nil, fmt.Errorf("the old root under the new one: %w", err)
	}
	if out.NewWithOld, err = r.link(ctx, &r.New, &r.Old, n.NotBefore, o.NotAfter); err != nil {
		return nil, fmt.Errorf("the new root under the old one: %w", err)
	}
	return out, nil
}

// link certifies subject's key with issuer's, but for no longer than either lasts.
func (r *Rollover) link(ctx context.Context, subject, issuer *Root, start, end time.Time) (*x509.Certificate, error) {
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	at := now().Truncate(time.Second)
	for _, c := range []*x509.Certificate{subject.Certificate, issuer.Certificate} {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	if !end.After(at) {
		return nil, fmt.Errorf("%w: %q ended at %s; renew it first", ca.ErrRejected, subject.Certificate.Subject, day(end))
	}
	p, err := linkProfile(subject.Certificate, at, start, end)
	if err != nil {
		return nil, err
	}
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(subject.Certificate.RawSubject, &name); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("the name %q cannot be read: %w", subject.Certificate.Subject, err)
	}
	if der, err := p.SubjectDER(name); err != nil || !bytes.Equal(der, subject.Certificate.RawSubject) {
		return nil, fmt.Errorf("the name %q would not come out as it is written: %w", subject.Certificate.Subject, err)
	}
	s, err := rootSigner(issuer, r.Rand)
	if err != nil {
		return nil, err
	}
	serial, err := serials{rand: s.rand}.next(at)
	if err != nil {
		return nil, err
	}
	ck, err := s.check(p, &ca.Request{PublicKey: subject.Certificate.PublicKey, Subject: name, NotBefore: start, NotAfter: end}, serial, at)
	if err != nil {
		return nil, err
	}
	if err := r.Record(ctx, ck.intent); err != nil {
		return nil, fmt.Errorf("record the intent of %x: %w", ck.intent.Serial, err)
	}
	made, err := s.sign(ck)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(made.Raw)
}

// linkProfile is that of a CA certificate like root for a time that may begin in
// the past.
func linkProfile(root *x509.Certificate, at, start, end time.Time) (*profile.Profile, error) {
	lifetime := "never"
	if end.Before(profile.Never()) {
		lifetime = (end.Sub(at) + time.Second).String() // the last second counts (RFC 5280, Section 4.1.2.5)
	}
	pathLength := root.MaxPathLen
	if pathLength == 0 && !root.MaxPathLenZero {
		pathLength = -1
	}
	d := profile.IssuingCA(lifetime, pathLength)
	d.Name = "ca-link"
	d.Validity.Backdate = (at.Sub(start).Truncate(time.Second) + 2*time.Second).String()
	return profile.New(d)
}

// rootSigner signs under a root's name.
func rootSigner(root *Root, random io.Reader) (*signer, error) {
	spki, err := profile.MarshalPublicKey(root.Key.Public())
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(spki, root.Certificate.RawSubjectPublicKeyInfo) {
		return nil, fmt.Errorf("localca: the key is not that of the root %q", root.Certificate.Subject)
	}
	if random == nil {
		random = rand.Reader
	}
	return &signer{
		key: root.Key, rand: random, verify: true, issuer: root.Certificate.RawSubject, keyID: root.Certificate.SubjectKeyId,
		spki: spki, end: root.Certificate.NotAfter,
	}, nil
}
