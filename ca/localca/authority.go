package localca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
)

// Authority describes a CA certificate to be made.
type Authority struct {
	// Subject has a common name, and may have organization, organizational
	// unit and country.
	Subject pkix.Name
	// Lifetime is as in profile.Validity, such as "3650d" or "never".
	Lifetime string
	// PathLength is how many CAs may stand below; -1 is any number.
	PathLength int
	// Record is as in ca.Request and must not be nil.
	Record func(ctx context.Context, in *ca.Intent) error
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Rand is nil for crypto/rand.
	Rand io.Reader
}

// NewRoot makes the self-signed certificate of a CA with the given key (RFC
// 5280, Section 3.2).
func NewRoot(ctx context.Context, key crypto.Signer, a *Authority) (*x509.Certificate, error) {
	p, err := profile.New(profile.RootCA(a.Lifetime, a.PathLength))
	if err != nil {
		return nil, err
	}
	subject := a.Subject.ToRDNSequence()
	name, err := p.SubjectDER(subject)
	if err != nil {
		return nil, err
	}
	spki, err := profile.MarshalPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	s := &signer{
		key: key, rand: a.Rand, verify: true, issuer: name, keyID: profile.KeyID(spki), spki: spki,
		end: profile.Never(), selfSigned: true,
	}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	now := time.Now
	if a.Now != nil {
		now = a.Now
	}
	if a.Record == nil {
		return nil, errors.New("localca: the CA to be made has no Record: nothing is issued that is not on record")
	}
	at := now()
	serial, err := serials{rand: s.rand}.next(at)
	if err != nil {
		return nil, err
	}
	ck, err := s.check(p, &ca.Request{PublicKey: key.Public(), Subject: subject}, serial, at)
	if err != nil {
		return nil, err
	}
	if err := a.Record(ctx, ck.intent); err != nil {
		return nil, fmt.Errorf("record the intent of %x: %w", ck.intent.Serial, err)
	}
	made, err := s.sign(ck)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(made.Raw)
}

// NewIntermediate has parent issue a CA certificate for the given public key.
// parent needs no profile for it.
func NewIntermediate(ctx context.Context, parent *CA, pub crypto.PublicKey, a *Authority) (*x509.Certificate, error) {
	p, err := profile.New(profile.IssuingCA(a.Lifetime, a.PathLength))
	if err != nil {
		return nil, err
	}
	issuer, err := parent.WithProfiles(map[string]*profile.Profile{p.Name(): p})
	if err != nil {
		return nil, err
	}
	return issuer.Certify(ctx, &ca.Request{Profile: p.Name(), PublicKey: pub, Subject: a.Subject.ToRDNSequence(), Record: a.Record})
}

// Certify is [CA.Issue] for callers that go on with the parsed certificate.
func (c *CA) Certify(ctx context.Context, r *ca.Request) (*x509.Certificate, error) {
	issued, err := c.Issue(ctx, r)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(issued.Raw)
}
