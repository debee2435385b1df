package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/estca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/pemfile"
)

// estConfig is another EST server that issues; docs/issuers.md has it whole.
type estConfig struct {
	// URL of the server: https://ca.example.com, or that with /.well-known/est
	URL string `yaml:"url"`
	// Label at the server; empty for its default. Labels are those of profiles that have another one.
	Label  string            `yaml:"label"`
	Labels map[string]string `yaml:"labels"`
	// TLSAnchors is a PEM file of the CAs the server's TLS certificate chains to; default the root of chain, or roots.
	TLSAnchors string `yaml:"tls_anchors"`
	// Certificate is a PEM file: the registrar's certificate for the server, usually with id-kp-cmcRA, and the CAs above it.
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"` // keystore URI of its key
	// User and Password answer an HTTP challenge; Password is a file, whose final newline does not count.
	User     string `yaml:"user"`
	Password string `yaml:"password"`
	// Chain is a PEM file: the issuing CA first, then each CA above it, the root last. Without it,
	// Roots is a PEM file of the roots that may be, and Learned a file that is written: the
	// server's CA certificates, asked for whenever the configuration is loaded.
	Chain   string `yaml:"chain"`
	Roots   string `yaml:"roots"`
	Learned string `yaml:"learned"`
	// FullCMC has the server told of revocations by fullcmc, signed with key.
	FullCMC bool `yaml:"fullcmc"`
	// Timeout of one exchange; default 30s.
	Timeout config.Duration `yaml:"timeout"`
}

// check implements issuerKind.
func (c *estConfig) check() error {
	if err := requireKeys(map[string]string{"url": c.URL}); err != nil {
		return err
	}
	if err := estca.CheckURL(c.URL); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	switch {
	case (c.Certificate == "") != (c.Key == ""):
		return errors.New("certificate and key belong together")
	case (c.User == "") != (c.Password == ""):
		return errors.New("user and password belong together")
	case c.Certificate == "" && c.User == "":
		return errors.New("certificate and key, or user and password, are needed to authenticate with")
	case c.FullCMC && c.Certificate == "":
		return errors.New("fullcmc needs certificate and key to sign with")
	case (c.Chain == "") == (c.Roots == ""):
		return errors.New("one of chain and roots says which CA it is")
	case (c.Roots == "") != (c.Learned == ""):
		return errors.New("roots and learned belong together: learned is the file that the server's CA certificates are kept in")
	}
	return nil
}

// open implements issuerKind. A server whose CA certificates were never learned
// and that does not answer is asked again later.
func (c *estConfig) open(ctx context.Context, of *registrarConfig, profiles map[string]*profile.Profile) (ca.Issuer, error) {
	conf, learn, err := of.estConfig(ctx, c, profiles)
	if err != nil {
		return nil, err
	}
	if err := learn(ctx); err != nil {
		if !errors.Is(err, ca.ErrUnavailable) {
			return nil, err
		}
		of.warnings = append(of.warnings, err)
		return &lateIssuer{open: func(ctx context.Context) (*estca.CA, error) {
			if err := learn(ctx); err != nil {
				return nil, err
			}
			return estca.New(*conf)
		}}, nil
	}
	return estca.New(*conf)
}

// estConfig reads what another EST server is asked with. learn adds its CA
// certificates, and asks for them if they are not in a file; it may be called
// again, by one at a time.
func (s *source) estConfig(ctx context.Context, c *estConfig, profiles map[string]*profile.Profile) (conf *estca.Config, learn func(context.Context) error, err error) {
	conf = &estca.Config{
		Server: estca.Server{URL: c.URL, User: c.User}, Label: c.Label, Labels: c.Labels, FullCMC: c.FullCMC,
		Profiles: profiles, Timeout: time.Duration(c.Timeout), Log: s.log,
	}
	if c.Certificate != "" {
		if conf.Server.Certificate, err = s.identity(ctx, identityConfig{Certificate: c.Certificate, Key: c.Key}); err != nil {
			return nil, nil, err
		}
	}
	if c.Password != "" {
		data, err := s.secret(c.Password)
		if err != nil {
			return nil, nil, fmt.Errorf("password: %w", err)
		}
		conf.Server.Password = est.Secret(data)
	}
	if c.TLSAnchors != "" {
		if conf.Server.Anchors, err = pemfile.Certificates(s.path(c.TLSAnchors)); err != nil {
			return nil, nil, fmt.Errorf("tls_anchors: %w", err)
		}
	}
	learn, err = s.estChain(c, conf)
	return conf, learn, err
}

// estChain reads the chain, or what it is learned with.
func (s *source) estChain(c *estConfig, conf *estca.Config) (learn func(context.Context) error, err error) {
	if c.Chain != "" {
		chain, err := pemfile.Certificates(s.path(c.Chain))
		if err != nil {
			return nil, fmt.Errorf("chain: %w", err)
		}
		conf.Chain = chain
		if len(conf.Server.Anchors) == 0 {
			conf.Server.Anchors = chain[len(chain)-1:]
		}
		return func(context.Context) error { return nil }, nil
	}
	roots, err := pemfile.Certificates(s.path(c.Roots))
	if err != nil {
		return nil, fmt.Errorf("roots: %w", err)
	}
	// What was learned before was judged by the roots then; its roots count too.
	before, err := pemfile.Certificates(s.path(c.Learned))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("learned: %w", err)
	}
	for _, cert := range before {
		if bytes.Equal(cert.RawSubject, cert.RawIssuer) && cert.CheckSignatureFrom(cert) == nil {
			roots = append(roots, cert)
		}
	}
	if len(conf.Server.Anchors) == 0 {
		conf.Server.Anchors = roots
	}
	return func(ctx context.Context) error {
		known, err := s.estLearn(ctx, c, conf, roots, before)
		if err != nil {
			return err
		}
		conf.Chain, conf.Others = known.Chain, known.Others
		return nil
	}, nil
}

// learnTimeout is how long loading a configuration waits for another server.
const learnTimeout = 10 * time.Second

// estLearn asks for the CA certificates and keeps them. A server that cannot be
// asked now leaves what was kept before, with a warning.
func (s *source) estLearn(ctx context.Context, c *estConfig, conf *estca.Config, roots, before []*x509.Certificate) (*estca.Known, error) {
	asking, cancel := context.WithTimeout(ctx, learnTimeout)
	defer cancel()
	known, err := estca.Learn(asking, &conf.Server, c.Label, roots)
	if err != nil {
		kept, bad := estca.Judge(before, roots, time.Now())
		if len(before) == 0 || bad != nil {
			return nil, fmt.Errorf("%w: the CA certificates of %s are not known yet, and it cannot be asked: %w", ca.ErrUnavailable, c.URL, err)
		}
		s.warnings = append(s.warnings, fmt.Errorf("the CA certificates of %s are as they were before: %w", c.URL, err))
		return kept, nil
	}
	all := slices.Concat(known.Chain, known.Others)
	if !slices.EqualFunc(all, before, (*x509.Certificate).Equal) {
		var ders [][]byte
		for _, cert := range all {
			ders = append(ders, cert.Raw)
		}
		if err := pemfile.Write(s.path(c.Learned), pemfile.Encode(ders...), 0o644); err != nil {
			return nil, fmt.Errorf("learned: %w", err)
		}
	}
	return known, nil
}
