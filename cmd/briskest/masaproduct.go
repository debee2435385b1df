package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/voucher"
)

// productConfig is one line of devices.
type productConfig struct {
	Name string `yaml:"name"`
	// IDevIDAnchors is a PEM file of the CAs its IDevIDs chain to.
	IDevIDAnchors string `yaml:"idevid_anchors"`
	// IDevIDCA signs its IDevIDs, for vendors without a PKI of their own.
	IDevIDCA idevidCAConfig `yaml:"idevid_ca"`
	// Voucher signs its vouchers.
	Voucher identityConfig `yaml:"voucher"`
	// NoncelessVoucher signs its vouchers without a nonce, which are good for
	// long; default Voucher.
	NoncelessVoucher identityConfig `yaml:"nonceless_voucher"`
	// Signers are further voucher keys, for devices whose firmware trusts
	// another one than Voucher: the first that fits signs.
	Signers []signerConfig `yaml:"signers"`
	// Manifest signs lists of its devices for those who buy them: briskest masa device export.
	Manifest identityConfig `yaml:"manifest"`
	// RevokedSigners are PEM files of voucher certificates whose keys got lost.
	// What they signed is not handed out again.
	RevokedSigners []string `yaml:"revoked_signers"`
	// Assertion is the strongest that is made: verified, proximity (default) or logged.
	Assertion string `yaml:"assertion"`
	// Pin is what vouchers pin: domain-ca (default), registrar, or with profile
	// rfc8366bis pubk or pubk-sha256.
	Pin string `yaml:"pin"`
	// Profile is by which document vouchers are made: rfc8366 (default) or rfc8366bis.
	Profile string `yaml:"profile"`
	// AllowNonceless issues vouchers without a nonce to the owner on record.
	AllowNonceless bool `yaml:"allow_nonceless"`
	// AllowNoPriorSigned issues, as logged, without a request that the device
	// signed, for devices that cannot.
	AllowNoPriorSigned bool `yaml:"allow_no_prior_signed"`
	// AllowUnlisted issues for devices that were not imported, as long as
	// their IDevID chains to the anchors.
	AllowUnlisted bool `yaml:"allow_unlisted"`
	// RequireOwner issues only to the owner on record.
	RequireOwner bool `yaml:"require_owner"`
	// VoucherLifetime is how long a voucher with a nonce is good (profile
	// rfc8366bis only); default: it does not say.
	VoucherLifetime config.Duration `yaml:"voucher_lifetime"`
	// NoncelessLifetime is how long a nonceless voucher is good; default 1d.
	NoncelessLifetime config.Duration `yaml:"nonceless_lifetime"`
	// RenewableFor is for how long after a sale nonceless vouchers are issued
	// and renewed; default: as long as the ownership lasts.
	RenewableFor config.Duration `yaml:"renewable_for"`
	// Extensions are put into every voucher (profile rfc8366bis only): by the
	// name of their YANG module, a JSON text, or "" for none.
	Extensions map[string]string `yaml:"extensions"`
}

// signerConfig is a voucher key for some devices.
type signerConfig struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"` // keystore URI
	// NoncelessVoucher signs their vouchers without a nonce; default this key.
	NoncelessVoucher identityConfig `yaml:"nonceless_voucher"`
	// Batches are those that the devices were imported with.
	Batches []string `yaml:"batches"`
	// BuiltBefore is a day, such as 2026-05-01: for devices built before it.
	BuiltBefore string `yaml:"built_before"`
}

func (c *masaConfig) product(ctx context.Context, p productConfig) (masa.Product, error) {
	out := masa.Product{
		Assertion: voucher.Assertion(p.Assertion), Pin: masa.Pin(p.Pin), Profile: masa.Profile(p.Profile),
		AllowNonceless: p.AllowNonceless, AllowNoPriorSigned: p.AllowNoPriorSigned,
		AllowUnlisted: p.AllowUnlisted, RequireOwner: p.RequireOwner,
		Lifetime: time.Duration(p.VoucherLifetime), NoncelessLifetime: time.Duration(p.NoncelessLifetime),
		RenewableFor: time.Duration(p.RenewableFor), Extensions: extensions(p.Extensions),
	}
	var err error
	if out.IDevIDAnchors, err = pemfile.Pool(c.path(p.IDevIDAnchors)); err != nil {
		return out, err
	}
	if out.Signer, err = c.voucherSigner(ctx, p.Voucher); err != nil {
		return out, err
	}
	if out.NoncelessSigner, err = c.optionalSigner(ctx, p.NoncelessVoucher); err != nil {
		return out, err
	}
	for _, s := range p.Signers {
		signer, err := c.deviceSigner(ctx, &s)
		if err != nil {
			return out, fmt.Errorf("signer %s: %w", s.Certificate, err)
		}
		out.DeviceSigners = append(out.DeviceSigners, signer)
	}
	out.RevokedSigners, err = c.revokedSigners(p.RevokedSigners)
	return out, err
}

func (c *masaConfig) deviceSigner(ctx context.Context, s *signerConfig) (masa.DeviceSigner, error) {
	out := masa.DeviceSigner{Batches: s.Batches}
	var err error
	if s.BuiltBefore != "" {
		if out.BuiltBefore, err = time.Parse(time.DateOnly, s.BuiltBefore); err != nil {
			return out, fmt.Errorf("built_before %q is not a day such as 2026-05-01", s.BuiltBefore)
		}
	}
	if out.Signer, err = c.voucherSigner(ctx, identityConfig{Certificate: s.Certificate, Key: s.Key}); err != nil {
		return out, err
	}
	out.NoncelessSigner, err = c.optionalSigner(ctx, s.NoncelessVoucher)
	return out, err
}

// revokedSigners reads the first certificate of each file: the signer's, not
// that of the CA above it.
func (c *masaConfig) revokedSigners(files []string) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, file := range files {
		certs, err := pemfile.Certificates(c.path(file))
		if err != nil {
			return nil, fmt.Errorf("revoked_signers: %w", err)
		}
		out = append(out, certs[0])
	}
	return out, nil
}

func (c *masaConfig) optionalSigner(ctx context.Context, id identityConfig) (*voucher.Signer, error) {
	if id == (identityConfig{}) {
		return nil, nil //nolint:nilnil // there need not be one
	}
	return c.voucherSigner(ctx, id)
}

func (c *masaConfig) voucherSigner(ctx context.Context, config identityConfig) (*voucher.Signer, error) {
	id, err := c.identity(ctx, config)
	if err != nil {
		return nil, err
	}
	key, err := pemfile.Signer(id)
	if err != nil {
		return nil, err
	}
	chain, err := pemfile.Chain(id)
	if err != nil {
		return nil, err
	}
	return &voucher.Signer{Key: key, Certificate: id.Leaf, Chain: chain}, nil
}

func extensions(texts map[string]string) map[string]json.RawMessage {
	out := make(map[string]json.RawMessage, len(texts))
	for name, text := range texts {
		out[name] = nil
		if text != "" {
			out[name] = json.RawMessage(text)
		}
	}
	return out
}
