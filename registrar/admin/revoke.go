package admin

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/briskest/briskest/registrar"
)

// CertificateRef names a certificate by its ID, or by its serial number, which
// several may have, and then its issuer or authority too.
type CertificateRef struct {
	ID        string `json:"id,omitempty"`
	Serial    string `json:"serial,omitempty"` // hex
	Issuer    string `json:"issuer,omitempty"`
	Authority string `json:"authority,omitempty"`
}

func (r *CertificateRef) ref() (registrar.CertificateRef, error) {
	out := registrar.CertificateRef{ID: r.ID, Issuer: r.Issuer, Authority: r.Authority}
	if r.ID != "" {
		return out, nil
	}
	var err error
	out.Serial, err = serial(r.Serial)
	return out, err
}

// Revoke revokes a certificate, or puts it on hold, or releases it.
type Revoke struct {
	By
	CertificateRef
	Reason int  `json:"reason,omitempty"` // CRLReason (RFC 5280, Section 5.3.1); not of a release
	DryRun bool `json:"dry_run,omitempty"`
}

func (a *api) revoke(ctx context.Context, in *Revoke) (*Certificate, error) {
	return revoked(ctx, in, a.s.Revoke)
}

func (a *api) release(ctx context.Context, in *Revoke) (*Certificate, error) {
	return revoked(ctx, in, a.s.Release)
}

func revoked(ctx context.Context, in *Revoke, do func(context.Context, *registrar.RevokeRequest) (*registrar.Certificate, error)) (*Certificate, error) {
	ref, err := in.ref()
	if err != nil {
		return nil, err
	}
	c, err := do(ctx, &registrar.RevokeRequest{Domain: in.Domain, Actor: in.Actor, CertificateRef: ref, Reason: in.Reason, DryRun: in.DryRun})
	if err != nil {
		return nil, err
	}
	out := certificateOut(c, false)
	return &out, nil
}

// RevokeMany revokes all certificates that have everything in common that is set.
type RevokeMany struct {
	By
	Device     string  `json:"device,omitempty"` // ID or serial number
	Key        string  `json:"key,omitempty"`    // SHA-256 of the SubjectPublicKeyInfo, in hex
	Profile    string  `json:"profile,omitempty"`
	Label      *string `json:"label,omitempty"`      // empty: the default one; absent: any
	Credential string  `json:"credential,omitempty"` // such as basic:USER
	Issuer     string  `json:"issuer,omitempty"`
	Reason     int     `json:"reason,omitempty"`
	DryRun     bool    `json:"dry_run,omitempty"`
}

// RevokedMany is what became of them.
type RevokedMany struct {
	Certificates []Certificate `json:"certificates"` // up to 10000
	Count        int           `json:"count"`        // of all
	Stopped      int           `json:"stopped"`      // issuances that another CA has not finished, and that are for nobody now
}

func (a *api) revokeMany(ctx context.Context, in *RevokeMany) (*RevokedMany, error) {
	r := &registrar.RevokeManyRequest{
		Domain: in.Domain, Actor: in.Actor, Reason: in.Reason, DryRun: in.DryRun,
		Selection: registrar.Selection{Device: in.Device, Profile: in.Profile, Label: in.Label, Credential: in.Credential, Issuer: in.Issuer},
	}
	if in.Key != "" {
		var err error
		if r.KeyHash, err = hex.DecodeString(in.Key); err != nil {
			return nil, fmt.Errorf("key hash %.80q is not hex: %w", in.Key, registrar.ErrInvalid)
		}
	}
	out, err := a.s.RevokeMany(ctx, r)
	if err != nil {
		if out != nil && out.Count > 0 {
			err = fmt.Errorf("%d certificates are revoked, then: %w", out.Count, err)
		}
		return nil, err
	}
	return &RevokedMany{each(out.Certificates, func(c *registrar.Certificate) Certificate { return certificateOut(c, false) }), out.Count, out.Stopped}, nil
}

// serial reads a serial number in hex, leading zeros left out.
func serial(text string) ([]byte, error) {
	if len(text)%2 == 1 {
		text = "0" + text
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) > 21 || len(b) == 0 {
		return nil, fmt.Errorf("serial number %.60q is not hex of at most 20 bytes: %w", text, registrar.ErrInvalid)
	}
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return b, nil
}
