package est

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// CASet is a cacerts answer of which every part has been judged (RFC 7030, Section 4.1.3). The order it came in makes
// no difference.
type CASet struct {
	// Anchors are the self-signed CA certificates to trust, the current one first: the one that expires last. They are
	// what to keep as the explicit trust anchor database for later connections.
	Anchors []*x509.Certificate
	// Intermediates are the others that validate to an anchor: CAs below it, and where a root is being replaced the
	// old one's certificate under the new one and the other way round (RFC 4210, Section 4.4).
	Intermediates []*x509.Certificate
	// Untrusted are those that do not, such as an unrelated self-signed one: not to be used for anything.
	Untrusted []*x509.Certificate
}

// Current returns the anchor that expires last.
func (s *CASet) Current() *x509.Certificate { return s.Anchors[0] }

// Pool returns the anchors, for [Client] Roots.
func (s *CASet) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range s.Anchors {
		pool.AddCert(c)
	}
	return pool
}

// maxCASet bounds a cacerts answer that is to be judged, in certificates.
const maxCASet = 32

// ErrNoAnchor says that a cacerts answer has no self-signed CA certificate that is valid and to be trusted.
var ErrNoAnchor = errors.New("none of the CA certificates is a valid self-signed one that is to be trusted")

// TrustedCACerts gets the CA certificates and judges them. Where some follow from Roots, those and what validates to
// them are trusted. Where none does, the server may name another root, because it was authorized (RFC 7030, Section
// 4.1.3): the one that expires last. Keep the anchors for later connections; a Client goes on with its Roots.
//
// Errors: as CACerts; those that match [ErrNoAnchor].
func (c *Client) TrustedCACerts(ctx context.Context) (*CASet, error) {
	certs, err := c.CACerts(ctx)
	if err != nil {
		return nil, err
	}
	if c.Roots != nil {
		if set, err := judge(certs, c.Roots, nil, c.now()); err == nil {
			return set, nil
		}
	}
	candidates := selfSigned(certs, c.now())
	if len(candidates) == 0 {
		return nil, fmt.Errorf("%s: %w", OpCACerts, ErrNoAnchor)
	}
	return JudgeCACerts(certs, candidates[0], c.now())
}

// JudgeCACerts sorts certs by whether they are to be trusted when anchor, one of them, is. Another self-signed one is
// where the set has a certificate for its name and key that validates to what is trusted already: a root that is being
// replaced vouches for its successor so, and the other way round (RFC 4210, Section 4.4).
//
// Errors: those that match [ErrNoAnchor], for a set of more than 32 too.
func JudgeCACerts(certs []*x509.Certificate, anchor *x509.Certificate, now time.Time) (*CASet, error) {
	return judge(certs, nil, anchor, now)
}

// judge trusts what follows from anchors, or from anchor.
func judge(certs []*x509.Certificate, anchors *x509.CertPool, anchor *x509.Certificate, now time.Time) (*CASet, error) {
	if len(certs) > maxCASet {
		return nil, fmt.Errorf("%w: more than %d certificates", ErrNoAnchor, maxCASet)
	}
	j := &judging{set: new(CASet), now: now, opts: x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}}
	if anchors != nil {
		j.opts.Roots = anchors.Clone()
	}
	rest := slices.Clone(certs)
	for _, c := range certs {
		if !hugeKey(c) {
			j.opts.Intermediates.AddCert(c)
		}
	}
	if anchor != nil && isAnchor(anchor, now) {
		j.trust(anchor)
		rest = slices.DeleteFunc(rest, anchor.Equal)
	}
	// Each round knows more to build on than the one before.
	for n := -1; n != len(rest); {
		n = len(rest)
		rest = slices.DeleteFunc(rest, j.admit)
	}
	j.set.Untrusted = rest
	if len(j.set.Anchors) == 0 {
		return nil, ErrNoAnchor
	}
	slices.SortStableFunc(j.set.Anchors, expiresLast)
	return j.set, nil
}

// judging is a set in the making.
type judging struct {
	set  *CASet
	opts x509.VerifyOptions
	now  time.Time
}

func (j *judging) trust(anchor *x509.Certificate) {
	j.opts.Roots.AddCert(anchor)
	j.set.Anchors = append(j.set.Anchors, anchor)
}

// admit puts c where it belongs, if what is trusted so far vouches for it.
func (j *judging) admit(c *x509.Certificate) bool {
	switch {
	case hugeKey(c) || !c.IsCA:
		return false
	case isSelfSigned(c):
		if !isAnchor(c, j.now) || !follows(c, j.set.Intermediates, &j.opts) {
			return false
		}
		j.trust(c)
	case !validates(c, &j.opts):
		return false
	default:
		j.set.Intermediates = append(j.set.Intermediates, c)
	}
	return true
}

// follows reports whether the self-signed c is an anchor itself, or one of trusted is for its name and key.
func follows(c *x509.Certificate, trusted []*x509.Certificate, opts *x509.VerifyOptions) bool {
	return validates(c, opts) || slices.ContainsFunc(trusted, func(t *x509.Certificate) bool {
		return bytes.Equal(t.RawSubject, c.RawSubject) && bytes.Equal(t.RawSubjectPublicKeyInfo, c.RawSubjectPublicKeyInfo)
	})
}

func validates(c *x509.Certificate, opts *x509.VerifyOptions) bool {
	_, err := c.Verify(*opts)
	return err == nil
}

// selfSigned returns those that can be anchors, the one that expires last first.
func selfSigned(certs []*x509.Certificate, now time.Time) []*x509.Certificate {
	certs = slices.DeleteFunc(slices.Clone(certs), func(c *x509.Certificate) bool { return !isAnchor(c, now) })
	slices.SortStableFunc(certs, expiresLast)
	return certs
}

func expiresLast(a, b *x509.Certificate) int {
	if n := b.NotAfter.Compare(a.NotAfter); n != 0 {
		return n
	}
	// Whatever the order they came in.
	return cmp.Or(b.NotBefore.Compare(a.NotBefore), bytes.Compare(a.Raw, b.Raw))
}

// isAnchor reports whether c can be a trust anchor now.
func isAnchor(c *x509.Certificate, now time.Time) bool {
	return !hugeKey(c) && c.BasicConstraintsValid && c.IsCA && !now.Before(c.NotBefore) && !now.After(c.NotAfter) && isSelfSigned(c)
}

// hugeKey reports whether checking a signature with c's key would take too long.
func hugeKey(c *x509.Certificate) bool {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && key.N.BitLen() > maxRSABits
}

func isSelfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(c) == nil
}
