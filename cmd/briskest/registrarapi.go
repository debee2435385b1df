package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/httpserver"
	"github.com/briskest/briskest/internal/pemfile"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

// apiConfig says who may use the operators' API over TLS, besides those who have a token of
// briskest token create.
type apiConfig struct {
	// TLS is the server's certificate and key; default the registrar's own.
	TLS identityConfig `yaml:"tls"`
	// Hosts are names by which the server may be called beside those of its certificate.
	Hosts []string `yaml:"hosts"`
	// ClientAnchors is a PEM file of the CAs that operators' certificates chain to.
	ClientAnchors string `yaml:"client_anchors"`
	// Certificates are whose may do what.
	Certificates []apiCertificateConfig `yaml:"certificates"`
	// OIDC are issuers of tokens for people.
	OIDC []apiOIDCConfig `yaml:"oidc"`
}

// apiCertificateConfig is one operator's certificate, by its key.
type apiCertificateConfig struct {
	Name string `yaml:"name"` // for the trail
	// KeySHA256 is the SHA-256 of its SubjectPublicKeyInfo in hex: openssl x509 -pubkey -noout -in cert.pem | openssl pkey -pubin -outform DER | sha256sum
	KeySHA256 string                         `yaml:"key_sha256"`
	Roles     map[string]registraradmin.Role `yaml:"roles"` // by domain; * for all
}

// apiOIDCConfig is an issuer of tokens, and the roles that its tokens give.
type apiOIDCConfig struct {
	Bearer bearerConfig `yaml:",inline"`
	// RoleClaim is the claim, a string or a list of strings, that gives roles; default groups.
	RoleClaim string `yaml:"role_claim"`
	// Roles by value of the claim, then by domain; * for all.
	Roles map[string]map[string]registraradmin.Role `yaml:"roles"`
}

// apiMethods turns the file's words into the ways to authenticate.
func (c *registrarConfig) apiMethods() (*registraradmin.Methods, error) {
	m := &registraradmin.Methods{Certificates: make(map[string]registraradmin.Grant)}
	var err error
	if c.API.ClientAnchors != "" {
		if m.Anchors, err = pemfile.Pool(c.path(c.API.ClientAnchors)); err != nil {
			return nil, fmt.Errorf("api.client_anchors: %w", err)
		}
	}
	for _, k := range c.API.Certificates {
		sum, err := hex.DecodeString(k.KeySHA256)
		if err != nil || len(sum) != 32 || k.Name == "" || m.Anchors == nil {
			return nil, fmt.Errorf("api.certificates: %q: a name, key_sha256 with 64 hex digits, and api.client_anchors are needed", k.Name)
		}
		if err := registraradmin.CheckRoles(k.Roles); err != nil {
			return nil, fmt.Errorf("api.certificates: %q: %w", k.Name, err)
		}
		m.Certificates[hex.EncodeToString(sum)] = registraradmin.Grant{Name: k.Name, Roles: k.Roles}
	}
	for i := range c.API.OIDC {
		o := &c.API.OIDC[i]
		verifier, err := c.tokens(&o.Bearer)
		if err != nil {
			return nil, fmt.Errorf("api.oidc: %w", err)
		}
		for value, roles := range o.Roles {
			if err := registraradmin.CheckRoles(roles); err != nil {
				return nil, fmt.Errorf("api.oidc: roles of %q: %w", value, err)
			}
		}
		claim := o.RoleClaim
		if claim == "" {
			claim = "groups"
		}
		m.Tokens = append(m.Tokens, registraradmin.TokenGrants{Roles: o.Roles, Verify: func(ctx context.Context, token est.Secret, at time.Time) (string, []string, error) {
			return verifier.Values(ctx, token, claim, at)
		}})
	}
	return m, nil
}

// operators is the API as the unix socket serves it: whoever could open that is an administrator of all
// domains.
func (r *registrarRole) operators() http.Handler {
	return registraradmin.NewHandler(registraradmin.Config{
		Domains: r.apiDomains, Authenticate: registraradmin.Local(actor()), TellCauses: true, Log: r.log,
	})
}

// apiDomains are the domains that the API serves.
func (r *registrarRole) apiDomains() map[string]*registraradmin.Domain {
	out := map[string]*registraradmin.Domain{
		r.settings.Domain: {Service: r.service, Manifests: manifestImporter(r.service, &r.manifests)},
	}
	for _, d := range r.others {
		out[d.config.Domain] = &registraradmin.Domain{Service: d.service, Manifests: manifestImporter(d.service, &r.manifests)}
	}
	return out
}

// inProcess is a client of a registrar that listens nowhere.
func (r *registrarRole) inProcess() *registraradmin.Client {
	client := registraradmin.NewInProcess(r.operators(), actor())
	client.Domain = r.settings.Domain
	return client
}

// apiPort is the API over TLS.
type apiPort struct {
	listener net.Listener
	bounds   httpserver.Config
	inForce  atomic.Pointer[apiInForce]
	log      *slog.Logger
}

// apiInForce is what a reload changes.
type apiInForce struct {
	methods *registraradmin.Methods
	server  *tls.Certificate
	hosts   []string
}

// loadAPI opens what the configuration says of the API.
func (c *registrarConfig) loadAPI(ctx context.Context, own *tls.Certificate) (*apiInForce, error) {
	methods, err := c.apiMethods()
	if err != nil {
		return nil, err
	}
	out := &apiInForce{methods: methods, server: own, hosts: c.API.Hosts}
	if c.API.TLS.Certificate != "" {
		if out.server, err = c.identity(ctx, c.API.TLS); err != nil {
			return nil, fmt.Errorf("api.tls: %w", err)
		}
	}
	return out, nil
}

// openAPIPort begins to listen.
func openAPIPort(ctx context.Context, role *registrarRole, bounds httpserver.Config) (*apiPort, error) {
	p := &apiPort{bounds: bounds, log: role.log}
	p.inForce.Store(role.config.api)
	var err error
	p.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", role.config.Listen.API)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = cli.Hint(err, "end the program that listens there, or change listen.api in the configuration")
	}
	p.bounds.Log, p.bounds.Relays = role.log, nil
	p.bounds.Certificates = func() []*tls.Certificate { return []*tls.Certificate{p.inForce.Load().server} }
	p.bounds.Routes = map[string]http.Handler{registraradmin.Prefix: registraradmin.NewHandler(registraradmin.Config{
		Domains: role.apiDomains, Host: p.host, Log: role.log,
		Authenticate: registraradmin.Remote(role.apiDomains, func() *registraradmin.Methods { return p.inForce.Load().methods }),
	})}
	return p, err
}

// host tells whether a name, or an IP address, is one of the server's.
func (p *apiPort) host(name string) bool {
	in := p.inForce.Load()
	for _, h := range in.hosts {
		if strings.EqualFold(h, name) {
			return true
		}
	}
	var names x509.Certificate // without the checks of a chain
	names.DNSNames, names.IPAddresses = in.server.Leaf.DNSNames, in.server.Leaf.IPAddresses
	return names.VerifyHostname(name) == nil
}

// serve answers until ctx ends.
func (p *apiPort) serve(ctx context.Context) error {
	server := httpserver.New(p.listener, p.bounds)
	p.log.InfoContext(ctx, "serving API", slog.String("address", p.listener.Addr().String()))
	return serveUntil(ctx, server)
}
