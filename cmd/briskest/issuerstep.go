package main

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/ca/stepca"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
)

// stepConfig is a step-ca that issues; docs/issuers.md has it whole.
type stepConfig struct {
	// URL of the server, with a host of its dnsNames: https://ca.example.com:9000
	URL string `yaml:"url"`
	// Chain is a PEM file: the issuing CA first, then each CA above it, the root last.
	Chain string `yaml:"chain"`
	// TLSAnchors is a PEM file of the CAs the server's certificate chains to; default the root of chain.
	TLSAnchors string `yaml:"tls_anchors"`
	// Provisioner is its name. Its key is one of key and jwk.
	Provisioner string `yaml:"provisioner"`
	// Key is the keystore URI of the provisioner's key.
	Key string `yaml:"key"`
	// JWK is a file with it as step writes it, encrypted or not.
	JWK string `yaml:"jwk"`
	// Password is a file with the password of jwk; a final newline does not count.
	Password string `yaml:"password"`
	// KeyID is the kid of a JWK provisioner; default the one in jwk, or the key's thumbprint.
	KeyID string `yaml:"key_id"`
	// Certificates is a PEM file with the certificate of key and the CAs above
	// it but the root; it makes the provisioner one of type X5C.
	Certificates string `yaml:"certificates"`
	// Template says that the provisioner has the template of docs/issuers.md.
	Template bool `yaml:"template"`
	// Timeout of one exchange; default 30s.
	Timeout config.Duration `yaml:"timeout"`
}

// check wants what nothing goes without.
func (c *stepConfig) check() error {
	if err := requireKeys(map[string]string{"url": c.URL, "chain": c.Chain, "provisioner": c.Provisioner}); err != nil {
		return err
	}
	switch {
	case (c.Key == "") == (c.JWK == ""):
		return errors.New("one of key and jwk names the provisioner's key")
	case c.Password != "" && c.JWK == "":
		return errors.New("password is that of jwk, which is missing")
	}
	return nil
}

// open implements issuerKind. It asks the server nothing.
func (c *stepConfig) open(ctx context.Context, of *registrarConfig, profiles map[string]*profile.Profile) (ca.Issuer, error) {
	s := &of.source
	conf := stepca.Config{
		URL: c.URL, Provisioner: c.Provisioner, KeyID: c.KeyID, Template: c.Template, Profiles: profiles, Timeout: time.Duration(c.Timeout), Log: s.log,
	}
	var err error
	if conf.Chain, err = pemfile.Certificates(s.path(c.Chain)); err != nil {
		return nil, fmt.Errorf("chain: %w", err)
	}
	if c.TLSAnchors != "" {
		if conf.Anchors, err = pemfile.Certificates(s.path(c.TLSAnchors)); err != nil {
			return nil, fmt.Errorf("tls_anchors: %w", err)
		}
	}
	if c.Certificates != "" {
		if conf.Certificates, err = pemfile.Certificates(s.path(c.Certificates)); err != nil {
			return nil, fmt.Errorf("certificates: %w", err)
		}
	}
	if conf.Key, err = s.stepKey(ctx, c, &conf.KeyID); err != nil {
		return nil, err
	}
	return stepca.New(conf)
}

// stepKey opens the provisioner's key, and takes its kid where there is none.
func (s *source) stepKey(ctx context.Context, c *stepConfig, id *string) (crypto.Signer, error) {
	if c.Key != "" {
		key, err := keystore.Open(ctx, s.uri(c.Key))
		if err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
		return key, nil
	}
	var password []byte
	if c.Password != "" {
		data, err := s.secret(c.Password)
		if err != nil {
			return nil, fmt.Errorf("password: %w", err)
		}
		password = data
	}
	data, err := s.secret(c.JWK)
	if err != nil {
		return nil, fmt.Errorf("jwk: %w", err)
	}
	key, err := stepca.ReadKey(data, password)
	if err != nil {
		return nil, fmt.Errorf("jwk: %s: %w", c.JWK, err)
	}
	if *id == "" {
		*id = key.ID
	}
	return key.Signer, nil
}

// secret reads a file whose digest does not belong on the trail, without its
// final newline.
func (s *source) secret(name string) ([]byte, error) {
	data, err := config.Read(s.path(name))
	return bytes.TrimRight(data, "\r\n"), err
}
