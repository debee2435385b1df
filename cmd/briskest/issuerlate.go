package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"sync"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/estca"
)

// lateIssuer is another EST server whose CA certificates are not known yet. Until
// it has answered once, it is ca.ErrUnavailable.
type lateIssuer struct {
	open func(context.Context) (*estca.CA, error)

	mu     sync.Mutex
	issuer *estca.CA // nil until it has answered; guarded by mu
	closed bool      // guarded by mu
}

var (
	_ ca.Revoker     = (*lateIssuer)(nil)
	_ ca.Distributor = (*lateIssuer)(nil)
	_ checker        = (*lateIssuer)(nil)
	_ closer         = (*lateIssuer)(nil)
)

// known is the issuer, once it has answered; ask has the server asked if it has not.
func (l *lateIssuer) known(ctx context.Context, ask bool) (*estca.CA, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.issuer != nil:
		return l.issuer, nil
	case !ask || l.closed:
		return nil, fmt.Errorf("%w: the CA certificates of the server are not known yet", ca.ErrUnavailable)
	}
	issuer, err := l.open(ctx)
	if err == nil {
		l.issuer = issuer
	}
	return issuer, err
}

// Chain implements ca.Issuer, and asks the server.
func (l *lateIssuer) Chain(ctx context.Context) ([]*x509.Certificate, error) {
	issuer, err := l.known(ctx, true)
	if err != nil {
		return nil, err
	}
	return issuer.Chain(ctx)
}

// Issue implements ca.Issuer.
func (l *lateIssuer) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	issuer, err := l.known(ctx, false)
	if err != nil {
		return nil, err
	}
	return issuer.Issue(ctx, r)
}

// Revoke implements ca.Revoker.
func (l *lateIssuer) Revoke(ctx context.Context, r *ca.Revoked) error {
	issuer, err := l.known(ctx, false)
	if err != nil {
		return err
	}
	return issuer.Revoke(ctx, r)
}

// CACerts implements ca.Distributor.
func (l *lateIssuer) CACerts(ctx context.Context) ([]*x509.Certificate, error) {
	issuer, err := l.known(ctx, false)
	if err != nil {
		return nil, err
	}
	return issuer.CACerts(ctx)
}

// Check asks the server how it is.
func (l *lateIssuer) Check(ctx context.Context) error {
	issuer, err := l.known(ctx, true)
	if err != nil {
		return err
	}
	return issuer.Check(ctx)
}

// Close closes the connections that are kept.
func (l *lateIssuer) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed = true; l.issuer != nil {
		l.issuer.Close()
	}
}
