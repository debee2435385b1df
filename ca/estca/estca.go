// Package estca is an issuer that asks another EST server (RFC 7030) as a
// registration authority. [New] makes a [CA], which is a ca.Issuer, a
// ca.Distributor and, where the server takes fullcmc, a ca.Revoker; [Learn] gets
// the server's CA certificates and says which of them may be trusted.
//
// The device's CSR is passed on byte by byte, so that its proof of possession
// survives. EST has no other place for names: a CSR that does not ask for
// exactly the names of the decision is refused before anything is recorded.
// Nor has it one for a validity or an identifier of a request. The server's
// profile decides the first; for the second it is sent the same bytes again, and
// a server of ours answers them with the same certificate.
package estca

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
)

var (
	_ ca.Issuer      = (*CA)(nil)
	_ ca.Distributor = (*CA)(nil)
	_ ca.Revoker     = (*CA)(nil)
)

// Server says where an EST server is, how it is recognised, and as whom it is asked.
type Server struct {
	// URL is "https://HOST[:PORT]", or that with "/.well-known/est".
	URL string
	// Anchors verify the server's TLS certificate, which names the host or has
	// id-kp-cmcRA (RFC 7030, Section 3.6.1). Required: nothing else is trusted.
	Anchors []*x509.Certificate
	// Certificate authenticates us, usually with id-kp-cmcRA (RFC 7030, Section
	// 3.7). Its PrivateKey is a crypto.Signer. Nil: User alone does.
	Certificate *tls.Certificate
	// User and Password answer an HTTP challenge. Both empty: none.
	User     string
	Password est.Secret
	// Dial makes the connections under TLS; nil: TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Config is what a CA is made of.
type Config struct {
	Server Server
	// Chain is the issuing CA, then each CA above it, the self-signed root last,
	// configured or from [Learn].
	Chain []*x509.Certificate
	// Others are for cacerts too, such as those around a change of the root's key.
	Others []*x509.Certificate
	// Profiles by name.
	Profiles map[string]*profile.Profile
	// Label is that of the server's which certificates are asked for at; empty for none.
	Label string
	// Labels are those of profiles that have another one, by the profile's name.
	Labels map[string]string
	// FullCMC has revocations told to the server by fullcmc (RFC 5272, Section
	// 6.11), signed with the key of Server.Certificate.
	FullCMC bool
	// Timeout of one exchange; zero: [delegate.Timeout].
	Timeout time.Duration
	// Log takes what an operator has to know; nil takes none.
	Log *slog.Logger
}

// CA asks one EST server. It may be used by many at once and never changes.
type CA struct {
	config  Config
	rules   delegate.Rules
	clients map[string]*est.Client // by label
	secrets *delegate.Secrets
	log     *slog.Logger
	now     func() time.Time
}

// New checks that the parts belong together. It asks the server nothing.
func New(config Config) (*CA, error) {
	c := &CA{config: config, clients: make(map[string]*est.Client), secrets: config.Server.secrets(), log: config.Log, now: config.Server.Now}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.config.Timeout <= 0 {
		c.config.Timeout = delegate.Timeout
	}
	c.rules = delegate.Rules{Profiles: config.Profiles, Chain: config.Chain, Now: config.Server.Now}
	if err := c.rules.Check(); err != nil {
		return nil, fmt.Errorf("estca: %w", err)
	}
	if err := config.Server.check(); err != nil {
		return nil, fmt.Errorf("estca: %w", err)
	}
	if config.FullCMC && config.Server.Certificate == nil {
		return nil, errors.New("estca: revocations by fullcmc need a certificate to sign with")
	}
	for name, label := range config.Labels {
		if config.Profiles[name] == nil {
			return nil, fmt.Errorf("estca: the label %q is for the profile %q, which there is not", label, name)
		}
		c.clients[label] = config.Server.client(label)
	}
	c.clients[config.Label] = config.Server.client(config.Label)
	return c, nil
}

// CheckURL says what is wrong with the URL of a server, and what to do. It does
// not repeat it.
func CheckURL(text string) error {
	_, err := delegate.ParseURL(text, []string{"https"}, []string{"", "/.well-known/est"})
	return err
}

// check wants a URL that is safe, anchors, and somebody to be.
func (s *Server) check() error {
	if err := CheckURL(s.URL); err != nil {
		return err
	}
	switch {
	case len(s.Anchors) == 0:
		return errors.New("the anchors that verify the server's TLS certificate are missing")
	case s.Certificate == nil && s.User == "":
		return errors.New("a client certificate or a user is needed to authenticate with")
	case s.Certificate == nil:
		return nil
	case len(s.Certificate.Certificate) == 0:
		return errors.New("the client certificate is empty")
	}
	leaf, err := x509.ParseCertificate(s.Certificate.Certificate[0])
	if err != nil {
		return fmt.Errorf("the client certificate: %w", err)
	}
	key, ok := s.Certificate.PrivateKey.(crypto.Signer)
	if !ok {
		return errors.New("the client certificate has no key that signs")
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil || !slices.Equal(spki, leaf.RawSubjectPublicKeyInfo) {
		return errors.New("the key is not that of the client certificate")
	}
	return nil
}

// secrets are what the server is shown and nobody else.
func (s *Server) secrets() *delegate.Secrets {
	if s.Password == "" {
		return delegate.NewSecrets()
	}
	return delegate.NewSecrets(string(s.Password), s.User+":"+string(s.Password)) // RFC 7617, Section 2
}

// client asks at a label. Credentials go to this origin and to no other.
func (s *Server) client(label string) *est.Client {
	roots := x509.NewCertPool()
	for _, anchor := range s.Anchors {
		roots.AddCert(anchor)
	}
	return &est.Client{
		URL: s.URL, Label: label, Roots: roots, Certificate: s.Certificate, User: s.User, Password: s.Password,
		Dial: s.Dial, UserAgent: "briskest-registrar", Now: s.Now,
	}
}

// labelFor is where a profile's certificates are asked for.
func (c *CA) labelFor(profile string) string {
	if label, ok := c.config.Labels[profile]; ok {
		return label
	}
	return c.config.Label
}

// Chain returns the configured chain.
func (c *CA) Chain(context.Context) ([]*x509.Certificate, error) {
	return slices.Clone(c.config.Chain), nil
}

// CACerts returns the others that were configured.
func (c *CA) CACerts(context.Context) ([]*x509.Certificate, error) {
	return slices.Clone(c.config.Others), nil
}

// Close closes the connections that are kept.
func (c *CA) Close() {
	for _, client := range c.clients {
		client.CloseIdleConnections()
	}
}
