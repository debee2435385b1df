// Package stepca is an issuer that asks smallstep's step-ca over its HTTPS API,
// as the holder of the key of a JWK or an X5C provisioner. [New] makes a [CA],
// which is a ca.Issuer and a ca.Revoker.
//
// step-ca gets the device's CSR whole, which proves that the device holds the
// key, and the names of the decision in a token for one use that is bound to
// that CSR. A token's identifier is made from the issuance's: however often an
// issuance is asked for again, step-ca takes one token of it and refuses the
// others. What it signed and nobody received cannot be fetched from it; with
// [Config.Template] its serial number is known and it is revoked before another
// one is asked for.
package stepca

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/jws"
)

var (
	_ ca.Issuer  = (*CA)(nil)
	_ ca.Revoker = (*CA)(nil)
)

// Config says which step-ca and as whom.
type Config struct {
	// URL is the server's, such as https://ca.example.com:9000. Its host is one
	// of the dnsNames of step-ca's configuration, which the tokens name too.
	URL string
	// Chain is the issuing CA, then each CA above it, the self-signed root last.
	Chain []*x509.Certificate
	// Anchors verify the server's certificate; none: the root of Chain, whose CA
	// gives step-ca its own.
	Anchors []*x509.Certificate
	// Provisioner is the name of the provisioner.
	Provisioner string
	// Key is the provisioner's: that of a JWK provisioner, or of Certificates.
	Key crypto.Signer
	// KeyID is the "kid" of a JWK provisioner; empty: the key's [Thumbprint].
	KeyID string
	// Certificates make it an X5C provisioner: that of Key, then each CA above
	// it but the root.
	Certificates []*x509.Certificate
	// Profiles by name.
	Profiles map[string]*profile.Profile
	// Template says that the provisioner's certificate template takes the
	// subject and the serial number from the token, as docs/issuers.md shows.
	// Then any subject goes, and a certificate whose way here was lost is revoked.
	Template bool
	// Timeout of one exchange; zero: [delegate.Timeout].
	Timeout time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log takes what an operator has to know; nil takes none.
	Log *slog.Logger
}

// CA asks one step-ca. It may be used by many at once and never changes.
type CA struct {
	config Config
	rules  delegate.Rules
	secret *delegate.Secrets // tokens that were sent
	http   *http.Client
	base   *url.URL
	root   string // SHA-256 of the root, hex
	now    func() time.Time
	log    *slog.Logger
}

// New checks that the parts belong together. It asks the server nothing: see
// [CA.Check].
func New(config Config) (*CA, error) {
	base, err := delegate.ParseURL(config.URL, []string{"https"}, []string{""})
	if err != nil {
		return nil, fmt.Errorf("stepca: %w", err)
	}
	if config.Provisioner == "" || config.Key == nil {
		return nil, errors.New("stepca: the provisioner's name or its key is missing")
	}
	c := &CA{
		config: config, base: base, now: config.Now, log: config.Log, secret: delegate.NewSecrets(),
		rules: delegate.Rules{Profiles: config.Profiles, Chain: config.Chain, Now: config.Now},
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if err := c.rules.Check(); err != nil {
		return nil, fmt.Errorf("stepca: %w", err)
	}
	if err := c.checkKey(); err != nil {
		return nil, fmt.Errorf("stepca: %w", err)
	}
	root := config.Chain[len(config.Chain)-1]
	sum := sha256.Sum256(root.Raw)
	c.root = hex.EncodeToString(sum[:])
	anchors := config.Anchors
	if len(anchors) == 0 {
		anchors = []*x509.Certificate{root}
	}
	c.http = delegate.NewClient(anchors, nil, config.Timeout)
	return c, nil
}

// checkKey finds the kid, or holds the key against the certificate.
func (c *CA) checkKey() error {
	if _, err := jws.AlgorithmFor(c.config.Key.Public()); err != nil {
		return fmt.Errorf("the provisioner's key: %w", err)
	}
	if len(c.config.Certificates) > 0 {
		spki, err := x509.MarshalPKIXPublicKey(c.config.Key.Public())
		if err != nil || !slices.Equal(spki, c.config.Certificates[0].RawSubjectPublicKeyInfo) {
			return errors.New("the provisioner's key is not that of the first of its certificates")
		}
		return nil
	}
	if c.config.KeyID == "" {
		var err error
		c.config.KeyID, err = Thumbprint(c.config.Key.Public())
		return err
	}
	return nil
}

// Chain returns the configured chain.
func (c *CA) Chain(context.Context) ([]*x509.Certificate, error) {
	return slices.Clone(c.config.Chain), nil
}

// Close closes the connections that are kept.
func (c *CA) Close() { c.http.CloseIdleConnections() }

// Issue implements ca.Issuer. Names that step-ca cannot be told, or that the
// CSR contradicts, are ca.ErrRejected before anything is recorded.
func (c *CA) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	cert, err := c.issue(ctx, r)
	return cert, c.secret.Error(err)
}

func (c *CA) issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	if err := c.checkNames(r); err != nil {
		return nil, err
	}
	o, err := c.rules.Begin(ctx, r)
	if err != nil {
		return nil, err
	}
	n, err := readState(r)
	if err != nil {
		return nil, err
	}
	raw, between, err := c.sign(ctx, o, n)
	if errors.Is(err, errToken) && r.Asked != nil {
		// The token of an earlier call was used, and its answer lost.
		if err := c.bury(ctx, r.ID, n); err != nil {
			return nil, wait(err, n)
		}
		n++
		raw, between, err = c.sign(ctx, o, n)
	}
	if err != nil {
		return nil, c.failed(r, err, n)
	}
	return o.Accept(raw, between)
}

// failed decides what becomes of an issuance. Where an earlier call may have
// been answered, "not now" leaves it open.
func (c *CA) failed(r *ca.Request, err error, n int) error {
	if errors.Is(err, errToken) {
		c.log.Error("step-ca refuses the provisioner's token; check the provisioner's name, its key and the clocks",
			slog.String("provisioner", c.config.Provisioner), slog.String("url", c.base.String()))
	}
	var later *ca.Later
	switch {
	case errors.As(err, &later):
		later.State = writeState(n)
	case r.Asked != nil && errors.Is(err, ca.ErrUnavailable):
		return wait(err, n)
	}
	return err
}
