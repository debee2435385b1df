package registrar

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/briskest/briskest/est"
)

var _ est.Distributor = (*Service)(nil)

// Packages implements est.Distributor: what there is for a client that its
// certificate authenticates, in the order in which RFC 8295, Section 2.1.1,
// wants it fetched.
func (s *Service) Packages(ctx context.Context, r *est.Request) ([]est.Package, error) {
	v, c, d := s.question(r)
	if d == nil && len(r.Peer.Certificates) == 0 {
		d = deny(ReasonNoCertificate, "authenticate")
	}
	if d == nil {
		d = s.identifyCertificate(ctx, v, c, r.Peer)
	}
	if d != nil {
		return nil, s.refuse(ctx, c, d)
	}
	at := func(op est.Operation) est.PackageInfo { return est.PackageInfo{URI: v.link(r.Label, op)} }
	size := 0
	for _, ca := range v.issuerOf(c.Label).distributed {
		size += len(ca.Raw)
	}
	list := []est.Package{{Type: est.PackageCACertificates, Size: int64(size), Info: at(est.OpCACerts)}}
	if crl, err := s.currentCRL(ctx, c); err == nil {
		list = append(list, est.Package{Type: est.PackageCRL, Size: int64(len(crl.Raw)), Info: at(est.OpCRLs)})
	}
	list = append(list, est.Package{Type: est.PackageEnrollWithAttrs, Info: at(est.OpCSRAttrs)}, est.Package{Type: est.PackageEnroll, Info: at(est.OpSimpleEnroll)})
	if c.Identity.Kind == LDevID && c.Label.Renewal {
		list = append(list, est.Package{Type: est.PackageReenroll, Info: at(est.OpSimpleReenroll)})
	}
	if own := v.ownCertificates(); len(own) > 0 {
		list = append(list, est.Package{Type: est.PackageEECertificates, Size: int64(len(own[0].Raw)), Info: at(est.OpEECerts)})
	}
	return list, nil
}

// EECerts implements est.Distributor: the registrar's own certificates, which
// nobody has to authenticate for (RFC 8295, Section 3), and those of the device
// that a certificate of ours authenticates.
func (s *Service) EECerts(ctx context.Context, r *est.Request) ([]*x509.Certificate, error) {
	v, c, d := s.question(r)
	if d == nil && len(r.Peer.Certificates) > 0 {
		if d = s.identifyCertificate(ctx, v, c, r.Peer); d != nil && (d.Reason == ReasonUntrusted || d.Reason == ReasonExpired) {
			d = nil
		}
	}
	if d != nil {
		return nil, s.refuse(ctx, c, d)
	}
	certs := v.ownCertificates()
	if c.Identity.Device != nil {
		held, err := s.heldBy(ctx, v, c.Identity.Device.ID, Issued)
		if err != nil {
			return nil, s.refuse(ctx, c, storeFailed("inventory", err))
		}
		for _, row := range held {
			if cert, err := x509.ParseCertificate(row.Raw); err == nil && c.At.Before(row.NotAfter) && len(certs) < maxEECerts {
				certs = append(certs, cert)
			}
		}
	}
	if len(certs) == 0 {
		return nil, s.refuse(ctx, c, deny(ReasonNothingToDistribute, "distribute"))
	}
	return certs, nil
}

// maxEECerts bounds an answer of EECerts.
const maxEECerts = 32

// CRLs implements est.Distributor (RFC 8295, Section 4). Nobody has to
// authenticate: a CRL is public.
func (s *Service) CRLs(ctx context.Context, r *est.Request) ([][]byte, error) {
	_, c, d := s.question(r)
	if d != nil {
		return nil, s.refuse(ctx, c, d)
	}
	crl, err := s.currentCRL(ctx, c)
	switch {
	case errors.Is(err, ErrInvalid): // the issuer signs none here
		return nil, s.refuse(ctx, c, deny(ReasonNothingToDistribute, "distribute"))
	case err != nil:
		return nil, s.refuse(ctx, c, &Decision{Reason: ReasonIssuerDown, Rule: "distribute", RetryAfter: jitter(10 * time.Second), Err: err})
	}
	return [][]byte{crl.Raw}, nil
}

// question begins a request that issues nothing.
func (s *Service) question(r *est.Request) (*version, *Case, *Decision) {
	v := s.current.Load()
	c := s.estCase(v, r)
	if c.Label == nil {
		return v, c, deny(ReasonUnknownLabel, "label")
	}
	return v, c, s.questionBudget(v, c)
}

// currentCRL is the newest list of all that the CA behind the label has revoked.
func (s *Service) currentCRL(ctx context.Context, c *Case) (*CRL, error) {
	return s.CRL(ctx, c.Domain, CRLScope{Authority: c.Label.Issuer})
}

// ownCertificates are those of the registrar itself, each once.
func (v *version) ownCertificates() []*x509.Certificate {
	var own []*x509.Certificate
	add := func(cert *x509.Certificate) {
		for _, c := range own {
			if c.Equal(cert) {
				return
			}
		}
		own = append(own, cert)
	}
	for _, cert := range v.TLSCertificates {
		add(cert)
	}
	if v.Signer != nil && v.Signer.Certificate != nil {
		add(v.Signer.Certificate)
	}
	return own
}

// link is where an operation is, by the configuration and never by what a
// client says of the host (R16); without a URL there, relative to the server.
func (v *version) link(label string, op est.Operation) string {
	path := v.URL + est.PathPrefix
	if label != "" {
		path += "/" + label
	}
	return path + "/" + string(op)
}
