package registrar

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/est"
)

// identifyClient authenticates the peer by a certificate of a third party's
// CA (Label.ClientAnchors). It names what it may enroll; whatever extended key
// usage it has besides clientAuth, it is no RA (RFC 7030, Section 3.3.2: those
// anchors are not ours).
func (s *Service) identifyClient(v *version, c *Case, p *est.Peer, leaf *x509.Certificate, hash [32]byte) *Decision {
	const rule = "client-anchors"
	chain, err := s.chains.verifyClient(v, c, p, hash)
	var expired *expiredError
	var revoked *revokedError
	switch {
	case errors.As(err, &revoked) && revoked.unknown:
		return denyErr(ReasonRevocationUnknown, rule, err)
	case errors.As(err, &revoked):
		return denyErr(ReasonRevoked, rule, err)
	case errors.As(err, &expired):
		return denyErr(ReasonExpired, rule, err)
	case err != nil:
		return denyErr(ReasonUntrusted, rule, err)
	}
	if err := c.Label.clientRevocation(chain, c.At); err != nil {
		if errors.As(err, &revoked) && revoked.unknown {
			return denyErr(ReasonRevocationUnknown, rule, err)
		}
		return denyErr(ReasonRevoked, rule, err)
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
		k.storeFailure(sent, &unchained{v, c.At, err})
		return nil, err
	}
	e := newChained(v, nil, chain)
	e.chain = chain
	k.store(key, e)
	return chain, nil
}

func clientKey(l *Label, leaf [32]byte) [32]byte {
	return sha256.Sum256(append(leaf[:], "client of "+l.Name...))
}

// revokedError says that a certificate of a chain is revoked, or that nobody says whether it is.
type revokedError struct {
	unknown bool
	what    string
}

func (e *revokedError) Error() string { return e.what }

// clientRevocation looks for every certificate of the chain but its anchor in
// the label's lists. Without a current list of its issuer the answer is
// unknown, which refuses unless the label says otherwise by name.
func (l *Label) clientRevocation(chain []*x509.Certificate, at time.Time) error {
	for i, cert := range chain[:len(chain)-1] {
		known := false
		for _, list := range l.ClientCRLs {
			if !bytes.Equal(list.RawIssuer, cert.RawIssuer) || list.CheckSignatureFrom(chain[i+1]) != nil {
				continue
			}
			if slices.ContainsFunc(list.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
				return e.SerialNumber.Cmp(cert.SerialNumber) == 0 && e.ReasonCode != removeFromCRL
			}) {
				return &revokedError{what: fmt.Sprintf("certificate %x is on its issuer's revocation list", cert.SerialNumber)}
			}
			known = known || !at.Before(list.ThisUpdate) && at.Before(list.NextUpdate)
		}
		if !known && !l.AllowClientRevocationUnknown {
			return &revokedError{true, fmt.Sprintf("there is no current revocation list of the issuer of certificate %x", cert.SerialNumber)}
		}
	}
	return nil
}

// removeFromCRL is in delta lists only (RFC 5280, Section 5.3.1).
const removeFromCRL = 8

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
