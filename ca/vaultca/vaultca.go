// Package vaultca is an issuer that asks the PKI secrets engine of OpenBao or
// HashiCorp Vault over its HTTPS API. [New] makes a [CA], which is a ca.Issuer
// and a ca.Revoker; [CA.KeepAlive] renews the token while nothing is issued.
//
// The names of the decision are sent beside the device's CSR, whose own names
// Vault ignores when the role has use_csr_common_name and use_csr_sans off.
// Vault knows no request for one use: when the answer to a signature was lost,
// the next call looks for the certificate among those that Vault stored.
package vaultca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
	"github.com/briskest/briskest/ca/profile"
)

var (
	_ ca.Issuer  = (*CA)(nil)
	_ ca.Revoker = (*CA)(nil)
)

// Config says which server, which role, and as whom.
type Config struct {
	// URL is the server's, such as https://vault.example.com:8200.
	URL string
	// Namespace is that of OpenBao or Vault Enterprise; empty: none.
	Namespace string
	// Mount is the path of the PKI secrets engine; empty: "pki".
	Mount string
	// Role of the engine that certificates are signed under.
	Role string
	// Issuer of the engine, by name or ID; empty: the role's.
	Issuer string
	// IgnoresCSRNames says that the role has use_csr_common_name and
	// use_csr_sans off, so that a CSR with other names than were decided can be
	// passed on. Without it such a CSR is refused.
	IgnoresCSRNames bool
	// Search is how many stored certificates are looked at, at most, for one
	// whose answer was lost; zero: none.
	Search int
	// Chain is the issuing CA, then each CA above it, the self-signed root last.
	Chain []*x509.Certificate
	// Anchors verify the server's certificate. There must be some.
	Anchors []*x509.Certificate
	// Login says who we are.
	Login Login
	// Profiles by name.
	Profiles map[string]*profile.Profile
	// Timeout of one exchange; zero: [delegate.Timeout].
	Timeout time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log takes what an operator has to know; nil takes none.
	Log *slog.Logger
}

// CA asks one server. It may be used by many at once.
type CA struct {
	config  Config
	rules   delegate.Rules
	http    *http.Client
	base    *url.URL
	now     func() time.Time
	log     *slog.Logger
	session session
	secrets *delegate.Secrets // tokens and secret IDs that were sent
}

// plainPath is what mounts, roles and issuers are made of.
var plainPath = regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$`)

// New checks that the parts belong together. It asks the server nothing: see
// [CA.Check].
func New(config Config) (*CA, error) {
	base, err := delegate.ParseURL(config.URL, []string{"https"}, []string{""})
	if err != nil {
		return nil, fmt.Errorf("vaultca: %w", err)
	}
	if config.Mount == "" {
		config.Mount = "pki"
	}
	for what, text := range map[string]string{"mount": config.Mount, "role": config.Role, "issuer": config.Issuer, "namespace": strings.TrimSuffix(config.Namespace, "/"), "login mount": config.Login.Mount} {
		if optional := what != "mount" && what != "role"; text == "" && optional {
			continue
		}
		if !plainPath.MatchString(text) || strings.Contains(text, "..") {
			return nil, fmt.Errorf("vaultca: %.80q is no %s", text, what)
		}
	}
	if len(config.Anchors) == 0 {
		return nil, errors.New("vaultca: there is no certificate to verify the server with")
	}
	if err := config.Login.check(); err != nil {
		return nil, fmt.Errorf("vaultca: %w", err)
	}
	c := &CA{
		config: config, base: base, now: config.Now, log: config.Log,
		rules:   delegate.Rules{Profiles: config.Profiles, Chain: config.Chain, Now: config.Now},
		session: session{turn: make(chan struct{}, 1)}, secrets: delegate.NewSecrets(config.Login.RoleID),
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if err := c.rules.Check(); err != nil {
		return nil, fmt.Errorf("vaultca: %w", err)
	}
	var own *tls.Certificate
	if config.Login.Certificate != nil {
		own = config.Login.Certificate
	}
	c.http = delegate.NewClient(config.Anchors, own, config.Timeout)
	return c, nil
}

// Chain returns the configured chain.
func (c *CA) Chain(context.Context) ([]*x509.Certificate, error) {
	return slices.Clone(c.config.Chain), nil
}

// Close closes the connections that are kept.
func (c *CA) Close() { c.http.CloseIdleConnections() }

// Issue implements ca.Issuer. Names that Vault cannot be told, or that the CSR
// contradicts, are ca.ErrRejected before anything is recorded.
func (c *CA) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	cert, err := c.issue(ctx, r)
	return cert, c.secrets.Error(err)
}

func (c *CA) issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	body, err := c.signRequest(r)
	if err != nil {
		return nil, err
	}
	o, err := c.rules.Begin(ctx, r)
	if err != nil {
		return nil, err
	}
	body.NotAfter = o.Intent.NotAfter.UTC().Format(time.RFC3339)
	s, err := readState(r)
	if err != nil {
		return nil, err
	}
	if s.Lost {
		found, err := c.find(ctx, o)
		if err != nil {
			return nil, wait(err, s)
		}
		if found != nil {
			return found, nil
		}
	}
	raw, between, err := c.sign(ctx, body)
	if err != nil {
		return nil, failed(r, err, s)
	}
	return o.Accept(raw, between)
}

// failed decides what becomes of an issuance. Where an earlier call may have
// been answered, "not now" leaves it open.
func failed(r *ca.Request, err error, s state) error {
	s.Lost = s.Lost || errors.Is(err, errLost)
	var later *ca.Later
	switch {
	case errors.As(err, &later):
		later.State = s.write()
	case r.Asked != nil && errors.Is(err, ca.ErrUnavailable):
		return wait(err, s)
	}
	return err
}
