package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/briskest/briskest/ca/responder"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/httpserver"
	"github.com/briskest/briskest/registrar"
)

// revocationPort serves OCSP, revocation lists and CA certificates to anybody,
// over plain HTTP: what it serves is signed.
type revocationPort struct {
	role      *registrarRole
	listener  net.Listener
	bounds    httpserver.Config
	responder *responder.Responder
	ids       atomic.Pointer[map[string]served] // authorities on record, by their names in URLs
}

// served is an authority of one domain.
type served struct {
	service    *registrar.Service
	domain, id string
}

var _ responder.Records = (*revocationPort)(nil)

// openRevocationPort begins to listen.
func openRevocationPort(ctx context.Context, role *registrarRole, bounds httpserver.Config) (*revocationPort, error) {
	p := &revocationPort{role: role, bounds: bounds}
	p.bounds.Plain, p.bounds.Log, p.bounds.Relays = true, role.log, nil
	p.responder = responder.New(responder.Config{
		Records: p, Lifetime: time.Duration(role.config.Revocation.OCSPLifetime), Log: role.log,
	})
	if err := p.update(); err != nil {
		return nil, err
	}
	var err error
	p.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", role.config.Listen.Revocation)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = cli.Hint(err, "end the program that listens there, or change listen.revocation in the configuration")
	}
	return p, err
}

// update answers for the CAs that the services of all domains have now.
func (p *revocationPort) update() error {
	ids := map[string]served{}
	var all []*responder.Authority
	var above []*x509.Certificate
	add := func(domain string, service *registrar.Service) error {
		for _, a := range service.Authorities() {
			if other, twice := ids[a.Name()]; twice {
				return fmt.Errorf("listen.revocation: the domains %s and %s have the CA %s both, and each would be told of its own revocations only; give each domain its own CA, or leave listen.revocation out", other.domain, domain, a.Certificate.Subject)
			}
			ids[a.Name()] = served{service, domain, a.ID()}
			above = append(above, a.Above...)
			all = append(all, &responder.Authority{Name: a.Name(), Certificate: a.Certificate})
		}
		return nil
	}
	err := add(p.role.settings.Domain, p.role.service)
	for _, d := range p.role.others {
		if err == nil {
			err = add(d.config.Domain, d.service)
		}
	}
	if err != nil {
		return p.role.config.wrong(err)
	}
	p.ids.Store(&ids)
	return p.responder.Serve(all, above)
}

// serve answers until ctx ends.
func (p *revocationPort) serve(ctx context.Context) error {
	p.bounds.Routes = map[string]http.Handler{"": p.responder}
	server := httpserver.New(p.listener, p.bounds)
	p.role.log.InfoContext(ctx, "serving revocation", slog.String("address", p.listener.Addr().String()))
	done := make(chan error, 1)
	go func() { done <- server.Serve() }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		err = errors.Join(server.Shutdown(drain), <-done)
	}
	p.responder.Close()
	return err
}

// of finds whose the authority of that name is.
func (p *revocationPort) of(name string) (served, error) {
	a, ok := (*p.ids.Load())[name]
	if !ok {
		return a, fmt.Errorf("CA %s: %w", name, responder.ErrUnknown)
	}
	return a, nil
}

// Status implements responder.Records.
func (p *revocationPort) Status(ctx context.Context, authority string, serial []byte) (responder.Status, error) {
	a, err := p.of(authority)
	if err != nil {
		return responder.Status{}, err
	}
	s, err := a.service.CertificateState(ctx, a.id, serial)
	return responder.Status{Issued: s.Issued, Revoked: s.Revoked, At: s.At, Reason: s.Reason}, err
}

// List implements responder.Records.
func (p *revocationPort) List(ctx context.Context, scope responder.Scope) (*responder.List, error) {
	a, err := p.of(scope.Authority)
	if err != nil {
		return nil, err
	}
	l, err := a.service.CRL(ctx, "", registrar.CRLScope{Authority: a.id, Count: scope.Count, Index: scope.Index, Delta: scope.Delta})
	if errors.Is(err, registrar.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", responder.ErrUnknown, err)
	}
	if err != nil {
		return nil, err
	}
	return &responder.List{Raw: l.Raw, ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate}, nil
}

// Certify implements responder.Records.
func (p *revocationPort) Certify(ctx context.Context, authority string, key crypto.PublicKey) ([]byte, error) {
	a, err := p.of(authority)
	if err != nil {
		return nil, err
	}
	return a.service.CertifyResponder(ctx, a.id, key)
}
