package registrar

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/ca"
)

// Lists says how others learn of revocations.
type Lists struct {
	// URL is the start of the URLs under which the lists are served,
	// http://HOST[:PORT]; needed with Partitions and Deltas.
	URL string
	// Partitions is the count that certificates name from now on; a power of two up
	// to MaxPartitions, 0 is 1. Those that were used before stay servable.
	Partitions int
	// Deltas offers what changed since a full list (RFC 5280, Section 5.2.4).
	Deltas bool
	// Soon is how old a list may be that does not have a revocation on record, when
	// it is asked for; zero is a minute.
	Soon time.Duration
	// Authorities are the CAs that lists and answers are signed for. Issuers that
	// sign lists and are not among them have lists, and no answers.
	Authorities []*Authority
}

// Authority is a CA of an issuer, of today or of before.
type Authority struct {
	Issuer      string // name of the issuer
	Certificate *x509.Certificate
	Above       []*x509.Certificate // each CA above it
	Lists       ca.CRLIssuer
	// Responder issues certificates by the profile ResponderProfile. Nil: no OCSP.
	Responder ca.Issuer
}

// ResponderProfile is the name of the profile of OCSP responders.
const ResponderProfile = "ocsp-responder"

// ID is the authority's name on record.
func (a *Authority) ID() string { return AuthorityOf(a.Certificate) }

// Name is what URLs call it: its key identifier in lower-case hex, which is
// how profiles write {authority}.
func (a *Authority) Name() string { return hex.EncodeToString(a.Certificate.SubjectKeyId) }

// checkLists fills in defaults.
func (v *version) checkLists() error {
	l := &v.Lists
	l.Partitions, l.Soon = orDefault(l.Partitions, 1), orDefault(l.Soon, time.Minute)
	l.URL = strings.TrimSuffix(l.URL, "/")
	switch {
	case !validPartitions(l.Partitions):
		return fmt.Errorf("lists: %d partitions: want a power of two up to %d", l.Partitions, MaxPartitions)
	case l.Soon < 0 || v.CRLLifetime < 0:
		return errors.New("lists: a time is negative")
	case l.URL == "" && (l.Partitions > 1 || l.Deltas):
		return errors.New("lists: partitions and deltas need the URL under which they are served")
	}
	v.authorities = map[string]*Authority{}
	for _, a := range l.Authorities {
		if v.authorities[a.ID()] == nil {
			v.authorities[a.ID()] = a
		}
	}
	for name, i := range v.issuers {
		if signer, ok := i.Issuer.(ca.CRLIssuer); ok && i.absent == nil && v.authorities[i.authority] == nil {
			v.authorities[i.authority] = &Authority{Issuer: name, Certificate: i.chain[0], Lists: signer}
		}
	}
	return nil
}

// Authorities returns the CAs that sign lists here, in order of their names on record.
func (s *Service) Authorities() []*Authority {
	v := s.current.Load()
	out := make([]*Authority, 0, len(v.authorities))
	for _, a := range v.authorities {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *Authority) int { return strings.Compare(a.ID(), b.ID()) })
	return out
}

// authority finds a CA by its name on record, or by the name of its issuer; ""
// is the default issuer.
func (v *version) authority(name string) (*Authority, error) {
	if a := v.authorities[name]; a != nil {
		return a, nil
	}
	if name == "" {
		name = DefaultIssuer
	}
	if i := v.issuers[name]; i != nil {
		if a := v.authorities[i.authority]; a != nil {
			return a, nil
		}
		return nil, invalid("the CA behind the issuer %q signs its revocation lists itself", name)
	}
	if v.Cloud != nil {
		return nil, invalid("there is no issuer")
	}
	return nil, fmt.Errorf("CA %.80q: %w", name, ErrNotFound)
}

// CertificateState returns what a responder tells of a certificate of the
// authority (its ID), as of now.
func (s *Service) CertificateState(ctx context.Context, authority string, serial []byte) (CertificateState, error) {
	return s.store.CertificateState(ctx, s.current.Load().Domain, authority, serial)
}

// recordPartitions puts on record which counts certificates may name.
func (s *Service) recordPartitions(ctx context.Context, v *version) error {
	var change Change
	for id := range v.authorities {
		counts, err := s.store.CRLPartitions(ctx, v.Domain, id)
		if err != nil {
			return err
		}
		if !slices.Contains(counts, v.Lists.Partitions) {
			change.PutPartitions = append(change.PutPartitions, &CRLPartitions{Domain: v.Domain, Authority: id, Count: v.Lists.Partitions})
		}
	}
	if len(change.PutPartitions) == 0 {
		return nil
	}
	return s.store.Commit(ctx, &change)
}
