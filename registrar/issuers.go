package registrar

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/briskest/briskest/ca"
)

// DefaultIssuer is the name of the issuer that labels use which name none.
const DefaultIssuer = "default"

// maxIssuerName bounds an issuer's name, in bytes.
const maxIssuerName = 64

// issuer is a ca.Issuer under its name, with what it said when the settings were loaded.
type issuer struct {
	ca.Issuer
	name        string
	chain       []*x509.Certificate // issuing CA first, root last
	distributed []*x509.Certificate // chain, and what else cacerts holds
	authority   string              // of chain[0]
	absent      error               // why there is no chain yet; see lookForAbsent
}

// checkIssuers wants a default issuer, and each one's chain; a cloud registrar has
// none. One whose CA does not answer now is there, absent.
func (v *version) checkIssuers(ctx context.Context, otherwise ca.Issuer, before *version) error {
	given := v.Issuers
	if len(given) == 0 && otherwise != nil {
		given = map[string]ca.Issuer{DefaultIssuer: otherwise}
	}
	v.issuers = make(map[string]*issuer, len(given))
	for _, name := range slices.Sorted(maps.Keys(given)) {
		i, err := newIssuer(ctx, name, given[name])
		if errors.Is(err, ca.ErrUnavailable) {
			i, err = absentIssuer(before, name, given[name], err)
		}
		if err != nil {
			return fmt.Errorf("issuer %q: %w", name, err)
		}
		v.issuers[name] = i
	}
	if v.Cloud != nil {
		return v.checkCloud()
	}
	standard := v.issuers[DefaultIssuer]
	if standard == nil {
		return fmt.Errorf("there is no issuer named %q", DefaultIssuer)
	}
	v.chain = standard.chain
	return nil
}

func newIssuer(ctx context.Context, name string, by ca.Issuer) (*issuer, error) {
	switch {
	case by == nil:
		return nil, errors.New("it is nil")
	case name == "" || len(name) > maxIssuerName:
		return nil, fmt.Errorf("a name has 1 to %d bytes", maxIssuerName)
	}
	chain, err := by.Chain(ctx)
	if err != nil {
		return nil, fmt.Errorf("its chain: %w", err)
	}
	if len(chain) == 0 {
		return nil, errors.New("its chain is empty")
	}
	i := &issuer{Issuer: by, name: name, chain: chain, distributed: slices.Clip(chain), authority: AuthorityOf(chain[0])}
	if more, ok := by.(ca.Distributor); ok {
		certs, err := more.CACerts(ctx)
		if err != nil {
			return nil, fmt.Errorf("what cacerts is to hold: %w", err)
		}
		for _, cert := range certs {
			if !slices.ContainsFunc(i.distributed, cert.Equal) {
				i.distributed = append(i.distributed, cert)
			}
		}
	}
	return i, nil
}

// issuerOf is who issues at a label; nil where there is none of the name.
func (v *version) issuerOf(l *Label) *issuer {
	if l.Issuer == "" {
		return v.issuers[DefaultIssuer]
	}
	return v.issuers[l.Issuer]
}

// issued are the anchors of all certificates of ours.
func (v *version) issued() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, i := range v.issuers {
		for _, cert := range i.distributed {
			pool.AddCert(cert)
		}
	}
	return pool
}

// issuesAs tells whether an issuing CA of ours has that name, in DER.
func (v *version) issuesAs(name []byte) bool {
	for _, i := range v.issuers {
		if i.absent == nil && bytes.Equal(i.chain[0].RawSubject, name) {
			return true
		}
	}
	return false
}
