// Package localca is a certification authority that signs here, with any
// crypto.Signer (RFC 5280, Section 4). [New] makes a [CA], which is a ca.Issuer and a
// ca.CRLIssuer; [NewRoot] and [NewIntermediate] make the certificates it stands
// on. It keeps no record of its own: what it is about to sign goes through the
// request's Record first, and serial numbers need no counter.
package localca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
)

var (
	_ ca.Issuer      = (*CA)(nil)
	_ ca.CRLIssuer   = (*CA)(nil)
	_ ca.Distributor = (*CA)(nil)
)

// Config is what a CA is made of.
type Config struct {
	// Certificate is the issuing CA's.
	Certificate *x509.Certificate
	// Chain holds every CA above it, each the issuer of the one before, the
	// self-signed root last; empty when Certificate is the root.
	Chain []*x509.Certificate
	// Key is the private key of Certificate.
	Key crypto.Signer
	// Previous are CAs that this one took over from and that issue no more, the
	// newest first: with their keys the lists and OCSP answers about what they
	// issued are still signed. Their chains are part of CACerts.
	Previous []*CA
	// Links are further certificates for CACerts, such as those of [NewLinks].
	Links []*x509.Certificate
	// Profiles by name.
	Profiles map[string]*profile.Profile
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Rand is where serial numbers and signatures take their randomness from;
	// nil is crypto/rand.
	Rand io.Reader
	// CRLPartitions is how many partitions the CA's revocation lists have, for the
	// word {crl_partition} of profiles; see profile.ValidPartitions. 0 is 1.
	CRLPartitions int
	// VerifySignatures checks each signature before it leaves, for signers
	// that are not ours to trust, such as tokens.
	VerifySignatures bool
}

// CA issues certificates and revocation lists. It may be used by many at once
// and never changes: a new configuration is a new CA.
type CA struct {
	signer
	certificate *x509.Certificate
	chain       []*x509.Certificate
	previous    []*CA
	further     []*x509.Certificate // CACerts
	profiles    map[string]*profile.Profile
	now         func() time.Time
	serials     serials
}

// New checks that the parts belong together: key and certificate, each CA and
// the one above it, each profile and what the CA may and can sign. An expired
// CA is no error here, so that a program can start and say so; it issues nothing.
func New(config Config) (*CA, error) {
	if config.Certificate == nil || config.Key == nil {
		return nil, errors.New("localca: the CA's certificate or key is missing")
	}
	c := &CA{
		signer: signer{
			key: config.Key, rand: config.Rand, verify: config.VerifySignatures,
			issuer: config.Certificate.RawSubject, keyID: config.Certificate.SubjectKeyId,
			spki: config.Certificate.RawSubjectPublicKeyInfo, end: config.Certificate.NotAfter,
			partitions: max(config.CRLPartitions, 1),
		},
		certificate: config.Certificate,
		chain:       append([]*x509.Certificate{config.Certificate}, config.Chain...),
		now:         config.Now,
	}
	if c.rand == nil {
		c.rand = rand.Reader
	}
	if c.now == nil {
		c.now = time.Now
	}
	if len(c.keyID) == 0 {
		// The authority key identifier then only tells keys of the same name
		// apart (RFC 5280, Section 4.2.1.1).
		c.keyID = profile.KeyID(c.spki)
	}
	if config.CRLPartitions < 0 || !profile.ValidPartitions(c.partitions) {
		return nil, fmt.Errorf("localca: %d partitions of revocation lists are no power of two up to %d", config.CRLPartitions, profile.MaxPartitions)
	}
	c.serials = serials{rand: c.rand}
	if err := c.checkChain(); err != nil {
		return nil, err
	}
	if err := c.takeOver(config.Previous, config.Links); err != nil {
		return nil, err
	}
	return c, c.setProfiles(config.Profiles)
}

// WithProfiles returns a CA that is the same but for its profiles. Requests
// under way in c keep the profiles they began with.
func (c *CA) WithProfiles(profiles map[string]*profile.Profile) (*CA, error) {
	other := *c
	return &other, other.setProfiles(profiles)
}

// Profile returns a profile by its name; nil when there is none.
func (c *CA) Profile(name string) *profile.Profile { return c.profiles[name] }

// Certificate returns the issuing CA's certificate. The caller does not change it.
func (c *CA) Certificate() *x509.Certificate { return c.certificate }

// Chain returns the issuing CA's certificate, then every CA above it, the
// self-signed root last.
func (c *CA) Chain(context.Context) ([]*x509.Certificate, error) {
	return slices.Clone(c.chain), nil
}

// CACerts returns what clients need beside the chain: the chains of the CAs
// before this one and the links, each certificate once (RFC 7030, Section 4.1.3).
func (c *CA) CACerts(context.Context) ([]*x509.Certificate, error) {
	return slices.Clone(c.further), nil
}

// Previous returns the CAs that this one took over from, the newest first. The
// caller does not change it.
func (c *CA) Previous() []*CA { return c.previous }

// takeOver notes the CAs before this one.
func (c *CA) takeOver(previous []*CA, links []*x509.Certificate) error {
	c.previous = slices.Clone(previous)
	add := func(certs ...*x509.Certificate) {
		for _, cert := range certs {
			if !slices.ContainsFunc(c.chain, cert.Equal) && !slices.ContainsFunc(c.further, cert.Equal) {
				c.further = append(c.further, cert)
			}
		}
	}
	for _, p := range previous {
		add(p.chain...)
	}
	for _, link := range links {
		if !link.BasicConstraintsValid || !link.IsCA {
			return fmt.Errorf("localca: %q is among the links and is no CA's", link.Subject)
		}
	}
	add(links...)
	return nil
}

func (c *CA) checkChain() error {
	spki, err := profile.MarshalPublicKey(c.key.Public())
	if err != nil {
		return fmt.Errorf("localca: the CA's key: %w", err)
	}
	name := c.certificate.Subject.String()
	if !bytes.Equal(spki, c.spki) {
		return fmt.Errorf("localca: the key is not that of the CA certificate %q; check that both settings name the same CA", name)
	}
	// RFC 5280, Sections 4.2.1.9 and 4.2.1.3.
	if !c.certificate.BasicConstraintsValid || !c.certificate.IsCA || c.certificate.KeyUsage&x509.KeyUsageCertSign == 0 {
		return fmt.Errorf("localca: %q is no CA certificate that may sign certificates", name)
	}
	for i, lower := range c.chain {
		upper := lower
		if i+1 < len(c.chain) {
			upper = c.chain[i+1]
		}
		if err := lower.CheckSignatureFrom(upper); err != nil || !bytes.Equal(lower.RawIssuer, upper.RawSubject) {
			return fmt.Errorf("localca: the CA %q was not issued by %q: the chain must hold each CA above the issuing one, in order, the self-signed root last", lower.Subject, upper.Subject)
		}
	}
	return nil
}

// setProfiles checks that the CA can issue by each profile.
func (c *CA) setProfiles(profiles map[string]*profile.Profile) error {
	c.profiles = maps.Clone(profiles)
	for name, p := range profiles {
		if p == nil || p.Name() != name {
			return fmt.Errorf("localca: the profile under the name %q has another name", name)
		}
		if _, err := p.SignatureAlgorithm().For(c.key.Public()); err != nil {
			return fmt.Errorf("localca: profile %s: %w", name, err)
		}
		isCA, pathLength := p.Authority()
		if isCA && !c.mayIssueCA(pathLength) {
			return fmt.Errorf("localca: profile %s makes CAs that the path length of %q does not allow (RFC 5280, Section 4.2.1.9)", name, c.certificate.Subject)
		}
	}
	return nil
}

// mayIssueCA says whether CAs with that path length (-1: none) may stand below
// this one.
func (c *CA) mayIssueCA(pathLength int) bool {
	limit := c.certificate.MaxPathLen
	if limit < 0 || (limit == 0 && !c.certificate.MaxPathLenZero) {
		return true
	}
	return pathLength >= 0 && pathLength < limit
}
