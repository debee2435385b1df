package main

import (
	"context"
	"crypto/x509"
	"errors"
	"path/filepath"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
)

// caConfig is the CA that issues, signing here: a folder, or a certificate and a key.
type caConfig struct {
	// Folder of a CA that briskest ca made, with its ca.yaml.
	Folder string `yaml:"folder"`
	// Certificate is a PEM file: the issuing CA first, then each CA above it, the root last.
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"` // keystore URI of the issuing CA's key
	// CRLLifetime is how long a CRL is current; default 7d.
	CRLLifetime config.Duration `yaml:"crl_lifetime"`
}

// check wants one of the two forms whole.
func (c *caConfig) check() error {
	switch {
	case c.Folder != "" && (c.Certificate != "" || c.Key != ""):
		return errors.New("folder says what certificate and key would; leave them out")
	case c.Folder != "":
		return nil
	}
	return requireKeys(map[string]string{"certificate": c.Certificate, "key": c.Key})
}

// open implements issuerKind.
func (c *caConfig) open(ctx context.Context, of *registrarConfig, profiles map[string]*profile.Profile) (ca.Issuer, error) {
	issuer, _, err := of.localCA(ctx, c, profiles)
	return issuer, err
}

// localCA opens a CA that signs here. It returns the CAs, the root last.
func (s *source) localCA(ctx context.Context, c *caConfig, profiles map[string]*profile.Profile) (*localca.CA, []*x509.Certificate, error) {
	if c.Folder != "" {
		return s.caOfFolder(ctx, c.Folder, profiles)
	}
	chain, err := pemfile.Certificates(s.path(c.Certificate))
	if err != nil {
		return nil, nil, err
	}
	key, err := keystore.Open(ctx, s.uri(c.Key))
	if err != nil {
		return nil, nil, err
	}
	issuer, err := localca.New(localca.Config{Certificate: chain[0], Chain: chain[1:], Key: key, Profiles: profiles})
	return issuer, chain, err
}

// caOfFolder opens the CA of a folder, and notes what its ca.yaml said.
func (s *source) caOfFolder(ctx context.Context, dir string, profiles map[string]*profile.Profile) (*localca.CA, []*x509.Certificate, error) {
	if _, err := s.read(filepath.ToSlash(filepath.Join(dir, caFile))); err != nil {
		return nil, nil, err
	}
	if err := s.noteRecord(dir); err != nil {
		return nil, nil, err
	}
	f, err := openCAFolder(s.path(dir))
	if err != nil {
		return nil, nil, err
	}
	issuer, err := f.authority(ctx, profiles, func(err error) { s.warnings = append(s.warnings, err) })
	if err != nil {
		return nil, nil, err
	}
	chain, err := issuer.Chain(ctx)
	return issuer, chain, err
}
