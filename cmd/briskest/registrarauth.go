package main

import (
	"fmt"

	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/bearer"
)

// labelAuthConfig says which further ways to authenticate a label takes.
type labelAuthConfig struct {
	// Digest takes HTTP credentials by Digest with SHA-256. Credentials that were
	// made before a label took Digest have to be made anew.
	Digest bool `yaml:"digest"`
	// DigestMD5 takes Digest with MD5, for libest and Bouncy Castle.
	DigestMD5 bool `yaml:"digest_md5"`
	// Codes takes one-time enrollment codes; see briskest credential code.
	Codes bool `yaml:"codes"`
	// Bearer takes tokens of an OpenID Connect issuer.
	Bearer bearerConfig `yaml:"bearer"`
	// ClientAnchors is a PEM file of CAs of others, whose certificates may enroll
	// the names they have.
	ClientAnchors string `yaml:"client_anchors"`
	// ClientCRLs are files with their revocation lists, PEM or DER; read again at a reload.
	ClientCRLs []string `yaml:"client_crls"`
	// AllowClientRevocationUnknown takes their certificates without a current list.
	AllowClientRevocationUnknown bool `yaml:"allow_client_revocation_unknown"`
	// Require names what must come together for an enrollment: certificate, basic,
	// digest, bearer, code. Empty: one that the label takes is enough.
	Require []string `yaml:"require"`
}

// bearerConfig is whose tokens a label takes.
type bearerConfig struct {
	Issuer   string `yaml:"issuer"`   // what iss must be; https, where keys come from it
	Audience string `yaml:"audience"` // what aud must hold
	// Claim names the device that the token may enroll; default sub.
	Claim string `yaml:"claim"`
	// Algorithms that may sign; default the ones with ECDSA, EdDSA and RSA.
	Algorithms []string `yaml:"algorithms"`
	// JWKS is a file with the keys; default what the issuer publishes.
	JWKS string `yaml:"jwks"`
	// JWKSURL is where the keys are when that is another host than the issuer's.
	JWKSURL string `yaml:"jwks_url"`
	// TLSAnchors is a PEM file of the CAs the issuer's certificate chains to; default the system's.
	TLSAnchors string `yaml:"tls_anchors"`
}

func (b *bearerConfig) empty() bool {
	return b.Issuer == "" && b.Audience == "" && b.Claim == "" && len(b.Algorithms) == 0 && b.JWKS == "" && b.JWKSURL == "" && b.TLSAnchors == ""
}

// authenticate fills in the ways to authenticate at a label.
func (c *registrarConfig) authenticate(l *registrar.Label, a *labelAuthConfig) error {
	l.Digest, l.DigestMD5, l.Codes = a.Digest, a.DigestMD5, a.Codes
	for _, m := range a.Require {
		l.Require = append(l.Require, registrar.Method(m))
	}
	var err error
	if a.ClientAnchors != "" {
		if l.ClientAnchors, err = pemfile.Pool(c.path(a.ClientAnchors)); err != nil {
			return fmt.Errorf("client_anchors: %w", err)
		}
	}
	if a.ClientAnchors != "" || len(a.ClientCRLs) > 0 || a.AllowClientRevocationUnknown {
		mode := revocation.RequireAll
		if a.AllowClientRevocationUnknown {
			mode = revocation.Check
		}
		lists, err := revocationLists(c.read, a.ClientCRLs)
		if err != nil {
			return fmt.Errorf("client_crls: %w", err)
		}
		if l.ClientRevocation, err = revocation.New(revocation.Config{Mode: mode, Lists: lists}); err != nil {
			return err
		}
	}
	if a.Bearer.empty() {
		return nil
	}
	verifier, err := c.tokens(&a.Bearer)
	if err != nil {
		return fmt.Errorf("bearer: %w", err)
	}
	l.Tokens = verifier.Verify
	return nil
}

func (c *registrarConfig) tokens(b *bearerConfig) (*bearer.Verifier, error) {
	conf := bearer.Config{Issuer: b.Issuer, Audience: b.Audience, Algorithms: b.Algorithms, NameClaim: b.Claim, KeysURL: b.JWKSURL}
	var err error
	if b.JWKS != "" {
		if conf.Keys, err = c.read(b.JWKS); err != nil {
			return nil, err
		}
	}
	if b.TLSAnchors != "" {
		if conf.Roots, err = pemfile.Pool(c.path(b.TLSAnchors)); err != nil {
			return nil, err
		}
	}
	return bearer.New(conf)
}
