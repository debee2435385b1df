package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/cmpca"
	"github.com/briskest/briskest/ca/delegate"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
)

// cmpConfig is a CA that is asked by CMP (RFC 9483); docs/issuers.md has it whole.
type cmpConfig struct {
	// URL is where it takes CMP: http or https, such as http://ca.example.org/.well-known/cmp
	URL string `yaml:"url"`
	// Chain is a PEM file: the issuing CA first, then each CA above it, the root last.
	Chain string `yaml:"chain"`
	// TLSAnchors is a PEM file of the CAs an https server's certificate chains to; default the system's.
	TLSAnchors string `yaml:"tls_anchors"`
	// Request is how certificates are asked for: p10cr (default), ir or cr.
	Request string `yaml:"request"`
	// Certificate is a PEM file with the RA's certificate, then the CAs above it;
	// Key is the keystore URI of its key.
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	PSS         bool   `yaml:"pss"` // an RSA key signs by PSS
	// Signers is a PEM file with the only certificates that may sign answers.
	Signers string `yaml:"signers"`
	// Anchors is a PEM file of the CAs that signers of answers chain to; default the root of chain.
	Anchors string `yaml:"anchors"`
	// Secret is a file with what is shared with the CA instead of a certificate, 8
	// bytes at least, and Reference what the CA knows it by. A final newline does not count.
	Secret    string `yaml:"secret"`
	Reference string `yaml:"reference"`
	// MAC is what the secret makes: "password" (default), the password-based MAC of
	// RFC 4210, Section 5.1.3.1, or "pbmac1".
	MAC string `yaml:"mac"`
	// AllowHMACSHA1 takes answers of OpenSSL 3.0's server.
	AllowHMACSHA1 bool `yaml:"allow_hmac_sha1"`
	// CertProfile names the CA's profile in each request (RFC 9480, Section 2.4).
	CertProfile string `yaml:"cert_profile"`
	// ImplicitConfirm asks the CA to do without a confirmation of each certificate.
	ImplicitConfirm bool `yaml:"implicit_confirm"`
	// AllowUnprotectedErrors takes errors that nobody signed for the CA's.
	AllowUnprotectedErrors bool `yaml:"allow_unprotected_errors"`
	// Timeout of one exchange; default 30s.
	Timeout config.Duration `yaml:"timeout"`
	// ClockSkew is how far the CA's clock may be from ours; default 5m.
	ClockSkew config.Duration `yaml:"clock_skew"`
}

// check wants one of the two protections whole.
func (c *cmpConfig) check() error {
	if err := requireKeys(map[string]string{"cmp.url": c.URL, "cmp.chain": c.Chain}); err != nil {
		return err
	}
	switch {
	case c.Secret == "" && c.Certificate == "":
		return errors.New("messages need a protection: certificate and key, or secret and reference")
	case c.Secret != "" && (c.Certificate != "" || c.Key != "" || c.Signers != "" || c.Anchors != ""):
		return errors.New("secret protects both ways; certificate, key, signers and anchors are for signatures: leave out one")
	case c.Secret == "" && (c.Reference != "" || c.MAC != "" || c.AllowHMACSHA1):
		return errors.New("reference, mac and allow_hmac_sha1 go with secret, which is missing")
	case c.Secret != "" && c.Reference == "":
		return errors.New("the key cmp.reference is missing: it is what the CA knows the secret by")
	case c.Certificate != "" && c.Key == "":
		return errors.New("the key cmp.key is missing")
	case c.MAC != "" && c.MAC != "password" && c.MAC != "pbmac1":
		return fmt.Errorf("mac is %q; it may be password or pbmac1", c.MAC)
	}
	return nil
}

// open makes the issuer. It does not ask the CA anything.
func (c *cmpConfig) open(ctx context.Context, r *registrarConfig, profiles map[string]*profile.Profile) (ca.Issuer, error) {
	s := &cmpca.Settings{
		URL: c.URL, Rules: delegate.Rules{Profiles: profiles}, Mode: cmpca.Mode(c.Request), CertProfile: c.CertProfile,
		ImplicitConfirm: c.ImplicitConfirm, AllowUnprotectedErrors: c.AllowUnprotectedErrors,
		Timeout: time.Duration(c.Timeout), Skew: time.Duration(c.ClockSkew),
	}
	var err error
	if s.Rules.Chain, err = pemfile.Certificates(r.path(c.Chain)); err != nil {
		return nil, fmt.Errorf("cmp.chain: %w", err)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if c.TLSAnchors != "" {
		if transport.TLSClientConfig.RootCAs, err = pemfile.Pool(r.path(c.TLSAnchors)); err != nil {
			return nil, fmt.Errorf("cmp.tls_anchors: %w", err)
		}
	}
	s.Client = &http.Client{Transport: transport}
	if c.Secret != "" {
		secret, err := config.Read(r.path(c.Secret)) // not r.read: its digest does not belong on the trail
		if err != nil {
			return nil, fmt.Errorf("cmp.secret: %w", err)
		}
		s.MAC = &cmpca.MACSettings{
			Secret: bytes.TrimRight(secret, "\r\n"), Reference: c.Reference, PBMAC1: c.MAC == "pbmac1", AllowHMACSHA1: c.AllowHMACSHA1,
		}
	} else if s.Signature, err = c.signature(ctx, &r.source); err != nil {
		return nil, err
	}
	return cmpca.New(s)
}

// signature opens the RA's key and reads who may sign answers.
func (c *cmpConfig) signature(ctx context.Context, s *source) (*cmpca.SignatureSettings, error) {
	own, err := pemfile.Certificates(s.path(c.Certificate))
	if err != nil {
		return nil, fmt.Errorf("cmp.certificate: %w", err)
	}
	key, err := keystore.Open(ctx, s.uri(c.Key))
	if err != nil {
		return nil, fmt.Errorf("cmp.key: %w", err)
	}
	out := &cmpca.SignatureSettings{Key: key, Certificate: own[0], Above: own[1:], PSS: c.PSS}
	for _, f := range []struct {
		key, file string
		into      *[]*x509.Certificate
	}{{"signers", c.Signers, &out.Signers}, {"anchors", c.Anchors, &out.Anchors}} {
		if f.file == "" {
			continue
		}
		if *f.into, err = pemfile.Certificates(s.path(f.file)); err != nil {
			return nil, fmt.Errorf("cmp.%s: %w", f.key, err)
		}
	}
	return out, nil
}
