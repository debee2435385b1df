package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/masa"
)

// knownRegistrarConfig is a domain with a budget of its own.
type knownRegistrarConfig struct {
	Name string `yaml:"name"` // for people
	// Certificate is a PEM file of its domain CA's certificates, or its registrars' own.
	Certificate string `yaml:"certificate"`
	// RequestsPerMinute is how many requests all its registrars together may send.
	RequestsPerMinute int `yaml:"requests_per_minute"`
	// Cloud says that it is a cloud registrar, which asks on behalf of owners for
	// vouchers with est-domain. Their record decides what is pinned.
	Cloud bool `yaml:"cloud"`
}

// registrars fills in what the file says about registrars.
func (c *masaConfig) registrars(s *masa.Settings) error {
	s.RegistrarRequestsPerMinute, s.VouchersPerMinute = c.RegistrarRequestsPerMinute, c.VouchersPerMinute
	s.ClientCertificate = masa.ClientCertificate(c.ClientCertificate)
	for _, k := range c.Registrars {
		certificates, err := pemfile.Certificates(c.path(k.Certificate))
		if err != nil {
			return fmt.Errorf("registrar %s: %w", k.Name, err)
		}
		s.Registrars = append(s.Registrars, masa.KnownRegistrar{
			Name: k.Name, Certificates: certificates, RequestsPerMinute: k.RequestsPerMinute, Cloud: k.Cloud,
		})
	}
	checker, err := c.RegistrarRevocation.checker(c.read, c.fetcher)
	if err != nil {
		return fmt.Errorf("registrar_revocation: %w", err)
	}
	s.CheckRegistrar = checkRegistrar(checker, s.RegistrarAnchors != nil)
	return nil
}

// checkRegistrar asks about a registrar's chain. Anchored chains end at a CA
// that the configuration trusts. Others end where the request ends, and who
// holds a revoked certificate leaves out the CA that would say so: a topmost
// certificate that names where to ask has nobody to sign the answer.
func checkRegistrar(c *revocation.Checker, anchored bool) masa.RegistrarCheck {
	return func(ctx context.Context, chain []*x509.Certificate, at time.Time) (time.Time, error) {
		top := chain[len(chain)-1]
		strict := c.Mode() == revocation.Require || c.Mode() == revocation.RequireAll
		if strict && !anchored && namesWhereToAsk(top) && !bytes.Equal(top.RawIssuer, top.RawSubject) {
			return time.Time{}, &est.Error{
				Status: http.StatusForbidden, Reason: masa.ReasonRegistrarChain, Section: "RFC 8995, Section 5.5.3",
				Message: "The topmost certificate of the registrar names a revocation list or an OCSP responder, and the CA that issued it " +
					"is not in the request. Include every CA certificate up to the domain CA.",
			}
		}
		answer, err := c.Status(ctx, chain, at)
		switch {
		case err == nil:
			return answer.Until, nil
		case errors.As(err, new(*revocation.Revoked)):
			return time.Time{}, fmt.Errorf("%w: %w", masa.ErrRegistrarRevoked, err)
		default:
			return time.Time{}, fmt.Errorf("%w: %w", masa.ErrRegistrarUnanswered, err)
		}
	}
}

func namesWhereToAsk(c *x509.Certificate) bool {
	return len(c.CRLDistributionPoints)+len(c.OCSPServer) > 0
}
