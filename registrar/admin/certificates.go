package admin

import (
	"context"
	"crypto/x509"
	"fmt"
	"iter"

	"github.com/briskest/briskest/registrar"
)

func certificateOperations() []operation {
	return []operation{
		define(Operation{ID: "certificate-list", Method: "GET", Path: "/certificates", Role: Viewer, Summary: "List certificates in order of ID."}, (*api).listCertificates),
		define(Operation{ID: "certificate-revoke", Method: "POST", Path: "/certificates/revoke", Role: Operator, Summary: "Revoke a certificate, or put it on hold."}, (*api).revoke),
		define(Operation{ID: "certificate-release", Method: "POST", Path: "/certificates/release", Role: Operator, Summary: "Take a certificate from hold."}, (*api).release),
		define(Operation{ID: "certificate-revoke-many", Method: "POST", Path: "/certificates/revoke-many", Role: Operator, Summary: "Revoke all certificates that have something in common."}, (*api).revokeMany),
		define(Operation{ID: "certificate-issue", Method: "POST", Path: "/certificates/issue", Role: Administrator, Summary: "Have a certificate issued on the operator's word."}, (*api).issue),
		define(Operation{ID: "crl-sign", Method: "POST", Path: "/crls/sign", Role: Administrator, Summary: "Sign and record a new revocation list."}, (*api).signCRL),
		define(Operation{ID: "crl-show", Method: "GET", Path: "/crls/latest", Role: Viewer, Summary: "The newest revocation list on record."}, (*api).showCRL),
	}
}

// CertificateList filters certificates.
type CertificateList struct {
	Page
	Device string `query:"device" json:"-" doc:"ID"`
	Issuer string `query:"issuer" json:"-"`
	Status string `query:"status" json:"-" doc:"intended, issued, abandoned or revoked"`
	Raw    bool   `query:"raw" json:"-" doc:"with the DER"`
}

// Certificates is a page of certificates in order of ID.
type Certificates struct {
	Certificates []Certificate `json:"certificates"`
	Cursor
}

func (a *api) listCertificates(ctx context.Context, in *CertificateList) (*Certificates, error) {
	switch status := registrar.CertificateStatus(in.Status); status {
	case "", registrar.Intended, registrar.Issued, registrar.Abandoned, registrar.Revoked:
	default:
		return nil, fmt.Errorf("status %q: %w", in.Status, registrar.ErrInvalid)
	}
	list, next, err := paged(&in.Page, func(after string, limit int) ([]*registrar.Certificate, error) {
		return a.s.ListCertificates(ctx, &registrar.CertificateQuery{
			Domain: in.Domain, DeviceID: in.Device, Issuer: in.Issuer, Status: registrar.CertificateStatus(in.Status), After: after, Limit: limit,
		})
	}, func(c *registrar.Certificate) string { return c.ID })
	return &Certificates{each(list, func(c *registrar.Certificate) Certificate { return certificateOut(c, in.Raw) }), next}, err
}

// Issue has a certificate issued on the operator's word.
type Issue struct {
	By
	Label string `json:"label"`               // whose profile decides
	CSR   []byte `json:"csr" required:"true"` // PKCS#10, DER
	// Own says that it is for the registrar itself, whose profile decides.
	Own bool `json:"own,omitempty"`
}

// Issued is an issued certificate.
type Issued struct {
	Certificate []byte `json:"certificate"` // DER
}

func (a *api) issue(ctx context.Context, in *Issue) (*Issued, error) {
	csr, err := x509.ParseCertificateRequest(in.CSR)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("CSR: %w: %w", registrar.ErrInvalid, err)
	}
	raw, err := a.s.IssueCertificate(ctx, &registrar.IssueRequest{Domain: in.Domain, Actor: in.Actor, Label: in.Label, CSR: csr, Own: in.Own})
	return &Issued{raw}, err
}

// SignCRL says which list to sign; the zero value is that of all that the
// default issuer's CA has revoked.
type SignCRL struct {
	By
	Authority  string `json:"authority,omitempty"`  // name of an issuer, or of the CA's key on record
	Partitions int    `json:"partitions,omitempty"` // 0 is 1
	Index      int    `json:"index,omitempty"`
	Delta      bool   `json:"delta,omitempty"`
}

func (a *api) signCRL(ctx context.Context, in *SignCRL) (*CRL, error) {
	list, err := a.s.SignCRL(ctx, in.Domain, in.Actor, registrar.CRLScope{
		Authority: in.Authority, Count: in.Partitions, Index: in.Index, Delta: in.Delta,
	})
	if err != nil {
		return nil, err
	}
	return crlOut(list), nil
}

func (a *api) showCRL(ctx context.Context, in *By) (*CRL, error) {
	list, err := a.s.LatestCRL(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	return crlOut(list), nil
}

// Certificates lists certificates in order of ID; in's Page is filled in.
func (c *Client) Certificates(ctx context.Context, in CertificateList) iter.Seq2[Certificate, error] {
	return pages(func(p Page) ([]Certificate, Cursor, error) {
		q := in
		q.Page = p
		out, err := call[Certificates](ctx, c, "certificate-list", &q)
		if err != nil {
			return nil, Cursor{}, err
		}
		return out.Certificates, out.Cursor, nil
	})
}

// Revoke revokes a certificate, or puts it on hold.
func (c *Client) Revoke(ctx context.Context, in Revoke) (*Certificate, error) {
	return call[Certificate](ctx, c, "certificate-revoke", &in)
}

// RevokeMany revokes certificates by what they have in common.
func (c *Client) RevokeMany(ctx context.Context, in RevokeMany) (*RevokedMany, error) {
	return call[RevokedMany](ctx, c, "certificate-revoke-many", &in)
}

// Release takes a certificate from hold.
func (c *Client) Release(ctx context.Context, in Revoke) (*Certificate, error) {
	return call[Certificate](ctx, c, "certificate-release", &in)
}

// Issue has a certificate issued by a label's profile for a PKCS#10 request (DER).
func (c *Client) Issue(ctx context.Context, label string, csr []byte) ([]byte, error) {
	out, err := call[Issued](ctx, c, "certificate-issue", &Issue{Label: label, CSR: csr})
	if err != nil {
		return nil, err
	}
	return out.Certificate, nil
}

// IssueOwn has a certificate issued for the registrar itself.
func (c *Client) IssueOwn(ctx context.Context, csr []byte) ([]byte, error) {
	out, err := call[Issued](ctx, c, "certificate-issue", &Issue{CSR: csr, Own: true})
	if err != nil {
		return nil, err
	}
	return out.Certificate, nil
}

// SignCRL signs and records a new revocation list.
func (c *Client) SignCRL(ctx context.Context, in SignCRL) (*CRL, error) {
	return call[CRL](ctx, c, "crl-sign", &in)
}

// CRL returns the newest revocation list on record.
func (c *Client) CRL(ctx context.Context) (*CRL, error) {
	return call[CRL](ctx, c, "crl-show", &By{})
}
