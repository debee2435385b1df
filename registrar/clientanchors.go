package registrar

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/revocation"
)

// identifyClient authenticates the peer by a certificate of a third party's
// CA (Label.ClientAnchors). It names what it may enroll; whatever extended key
// usage it has besides clientAuth, it is no RA (RFC 7030, Section 3.3.2: those
// anchors are not ours).
func (s *Service) identifyClient(ctx context.Context, v *version, c *Case, p *est.Peer, leaf *x509.Certificate, hash [32]byte) *Decision {
	const rule = "client-anchors"
	chain, err := s.chains.verifyClient(v, c, p, hash)
	if err == nil {
		err = c.Label.ClientRevocation.Check(ctx, chain, c.At)
	}
	switch {
	case errors.As(err, new(*revocation.Revoked)):
		return denyErr(ReasonRevoked, rule, err)
	case errors.Is(err, revocation.ErrUnavailable):
		return denyErr(ReasonRevocationUnknown, rule, err)
	case errors.As(err, new(*expiredError)):
		return denyErr(ReasonExpired, rule, err)
	case err != nil:
		return denyErr(ReasonUntrusted, rule, err)
	}
	c.Identity = Identity{Kind: Client, Credential: credentialName(hash), Certificate: leaf}
	return nil
}

// verifyClient builds a chain to the label's anchors, or remembers it.
func (k *chainCache) verifyClient(v *version, c *Case, p *est.Peer, leaf [32]byte) ([]*x509.Certificate, error) {
	key := clientKey(c.Label, leaf)
	if e := k.lookup(v, key, c.At); e != nil {
		return e.chain, nil
	}
	sent := clientKey(c.Label, presented(p))
	if err := k.failure(v, sent, c.At); err != nil {
		return nil, err
	}
	chain, err := p.Verify(x509.VerifyOptions{
		Roots: c.Label.ClientAnchors, CurrentTime: c.At, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		if isExpired(err) {
			err = &expiredError{err}
		}
		k.failed.Put(sent, &unchained{v, c.At, err})
		return nil, err
	}
	e := newChained(v, nil, chain)
	e.chain = chain
	k.chains.Put(key, e)
	return chain, nil
}

func clientKey(l *Label, leaf [32]byte) [32]byte {
	return sha256.Sum256(append(leaf[:], "client of "+l.Name...))
}

// BearsNames tells whether the certificate has every name there is: each common
// name and serial number is one of its own, or one of its DNS names, and so is
// each name of the SubjectAltName by its kind. At least one must be there.
func BearsNames(cert *x509.Certificate, subject pkix.RDNSequence, names *ca.Names) bool {
	_, _, added := NamesAdded(cert, subject, names)
	_, _, all := NamesAdded(&x509.Certificate{RawSubject: []byte{0x30, 0}}, subject, names)
	return added == 0 && all > 0
}

// NamesAdded returns those names, and how many they are, that the certificate
// does not have: common names and serial numbers that are neither one of its own
// nor one of its DNS names, and the names of the SubjectAltName that it does not
// have by their kind. What else is in the subject names nobody. Of a certificate
// that cannot be read it is all.
func NamesAdded(cert *x509.Certificate, subject pkix.RDNSequence, names *ca.Names) (pkix.RDNSequence, *ca.Names, int) {
	ownSubject, ownNames, err := certificateNames(cert)
	if err != nil {
		ownNames = &ca.Names{}
	}
	var own []string
	for _, a := range namingAttributes(ownSubject) {
		own = append(own, folded(text(a.Value)))
	}
	for _, name := range ownNames.DNS {
		own = append(own, folded(strings.TrimSuffix(name, ".")))
	}
	var added pkix.RDNSequence
	for _, a := range namingAttributes(subject) {
		if !slices.Contains(own, folded(text(a.Value))) {
			added = append(added, pkix.RelativeDistinguishedNameSET{a})
		}
	}
	parts := sanParts(ownNames)
	has := func(one *ca.Names) bool { return slices.Contains(parts, sanParts(one)[0]) }
	out := &ca.Names{
		DNS:   slices.DeleteFunc(slices.Clone(names.DNS), func(n string) bool { return has(&ca.Names{DNS: []string{n}}) }),
		IP:    slices.DeleteFunc(slices.Clone(names.IP), func(n net.IP) bool { return has(&ca.Names{IP: []net.IP{n}}) }),
		Email: slices.DeleteFunc(slices.Clone(names.Email), func(n string) bool { return has(&ca.Names{Email: []string{n}}) }),
		URI:   slices.DeleteFunc(slices.Clone(names.URI), func(n *url.URL) bool { return has(&ca.Names{URI: []*url.URL{n}}) }),
		Other: slices.Clone(names.Other), // crypto/x509 does not show the certificate's
	}
	return added, out, len(added) + len(sanParts(out))
}

// namingAttributes are the common names and serial numbers of a subject.
func namingAttributes(subject pkix.RDNSequence) []pkix.AttributeTypeAndValue {
	var out []pkix.AttributeTypeAndValue
	for _, rdn := range subject {
		for _, a := range rdn {
			if isCommonName(a.Type) || isSerialNumber(a.Type) {
				out = append(out, a)
			}
		}
	}
	return out
}
