package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/ca/vaultca"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/pemfile"
)

// vaultConfig is a PKI secrets engine of OpenBao or Vault that issues;
// docs/issuers.md has it whole.
type vaultConfig struct {
	// URL of the server: https://vault.example.com:8200
	URL string `yaml:"url"`
	// TLSAnchors is a PEM file of the CAs the server's certificate chains to.
	TLSAnchors string `yaml:"tls_anchors"`
	// Namespace of OpenBao or Vault Enterprise.
	Namespace string `yaml:"namespace"`
	// Mount is the engine's path; default pki.
	Mount string `yaml:"mount"`
	// Role of the engine.
	Role string `yaml:"role"`
	// Issuer of the engine, by name or ID; default the role's.
	Issuer string `yaml:"issuer"`
	// Chain is a PEM file: the issuing CA first, then each CA above it, the root last.
	Chain string `yaml:"chain"`
	// IgnoresCSRNames: the role has use_csr_common_name and use_csr_sans off.
	IgnoresCSRNames bool `yaml:"ignores_csr_names"`
	// Search bounds how many stored certificates are looked at for one whose
	// answer was lost; default 2000, -1 for none.
	Search int `yaml:"search"`
	// Token is a file with a token that somebody else replaces. One of token,
	// approle and certificate is there.
	Token string `yaml:"token"`
	// AppRole logs in by a role ID and a secret ID.
	AppRole vaultAppRole `yaml:"approle"`
	// Certificate logs in by a TLS client certificate.
	Certificate vaultCertificate `yaml:"certificate"`
	// Timeout of one exchange; default 30s.
	Timeout config.Duration `yaml:"timeout"`
}

type vaultAppRole struct {
	RoleID   string `yaml:"role_id"`
	SecretID string `yaml:"secret_id"` // a file; none when the role is bound to none
	Wrapped  bool   `yaml:"wrapped"`   // the file holds a wrapping token, which is used once
	Mount    string `yaml:"mount"`     // default approle
}

type vaultCertificate struct {
	Certificate string `yaml:"certificate"` // PEM, with the CAs above it
	Key         string `yaml:"key"`         // keystore URI
	Role        string `yaml:"role"`        // default any that fits
	Mount       string `yaml:"mount"`       // default cert
}

// defaultSearch takes a few seconds.
const defaultSearch = 2000

// check wants what nothing goes without.
func (c *vaultConfig) check() error {
	err := requireKeys(map[string]string{"url": c.URL, "tls_anchors": c.TLSAnchors, "role": c.Role, "chain": c.Chain})
	if err != nil {
		return err
	}
	n := 0
	for _, is := range []bool{c.Token != "", c.AppRole != vaultAppRole{}, c.Certificate != vaultCertificate{}} {
		if is {
			n++
		}
	}
	switch {
	case n != 1:
		return errors.New("one of token, approle and certificate says who logs in")
	case c.AppRole != vaultAppRole{} && c.AppRole.RoleID == "":
		return errors.New("approle.role_id is missing")
	case c.Certificate != vaultCertificate{} && (c.Certificate.Certificate == "" || c.Certificate.Key == ""):
		return errors.New("certificate wants certificate and key")
	}
	return nil
}

// open implements issuerKind. It asks the server nothing.
func (c *vaultConfig) open(ctx context.Context, of *registrarConfig, profiles map[string]*profile.Profile) (ca.Issuer, error) {
	s := &of.source
	conf := vaultca.Config{
		URL: c.URL, Namespace: c.Namespace, Mount: c.Mount, Role: c.Role, Issuer: c.Issuer, IgnoresCSRNames: c.IgnoresCSRNames,
		Search: c.Search, Profiles: profiles, Timeout: time.Duration(c.Timeout), Log: s.log,
	}
	if conf.Search == 0 {
		conf.Search = defaultSearch
	}
	var err error
	if conf.Chain, err = pemfile.Certificates(s.path(c.Chain)); err != nil {
		return nil, fmt.Errorf("chain: %w", err)
	}
	if conf.Anchors, err = pemfile.Certificates(s.path(c.TLSAnchors)); err != nil {
		return nil, fmt.Errorf("tls_anchors: %w", err)
	}
	text := func(name string) func() (string, error) {
		return func() (string, error) {
			data, err := s.secret(name)
			return string(data), err
		}
	}
	switch {
	case c.Token != "":
		conf.Login.Token = text(c.Token)
	case c.AppRole.RoleID != "":
		conf.Login = vaultca.Login{RoleID: c.AppRole.RoleID, Wrapped: c.AppRole.Wrapped, Mount: c.AppRole.Mount}
		if c.AppRole.SecretID != "" {
			conf.Login.SecretID = text(c.AppRole.SecretID)
		}
	default:
		own, err := pemfile.Identity(ctx, s.path(c.Certificate.Certificate), s.uri(c.Certificate.Key))
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		conf.Login = vaultca.Login{Certificate: own, CertRole: c.Certificate.Role, Mount: c.Certificate.Mount}
	}
	return vaultca.New(conf)
}
