package estca

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptrace"
	"slices"
	"sync/atomic"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
	"github.com/briskest/briskest/est"
)

// Issue implements ca.Issuer. A CSR that asks for other names than the decision
// is ca.ErrRejected before anything is recorded. Renewals are enrollments too:
// an RA has no certificate of the device's to authenticate with
// (RFC 7030, Section 4.2.2).
func (c *CA) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	cert, err := c.issue(ctx, r)
	return cert, c.secrets.Error(err)
}

func (c *CA) issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	if len(r.CSR) > 0 { // Begin says what it means to have none
		if err := delegate.CheckCSRNames(r); err != nil {
			return nil, err
		}
	}
	o, err := c.rules.Begin(ctx, r)
	if err != nil {
		return nil, err
	}
	certs, err := c.ask(ctx, o)
	if err != nil {
		return nil, stillOpen(r, err)
	}
	return c.accept(ctx, o, certs)
}

// stillOpen leaves an issuance open that was asked for before, of which nobody
// knows what became, when the server cannot be asked now.
func stillOpen(r *ca.Request, err error) error {
	var later *ca.Later
	if r.Asked != nil && errors.Is(err, ca.ErrUnavailable) && !errors.As(err, &later) {
		return &ca.Later{Err: err}
	}
	return err
}

// ask passes the CSR on and returns the certificates of the answer.
func (c *CA) ask(ctx context.Context, o *delegate.Order) ([]*x509.Certificate, error) {
	if err := c.mayAsk(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	certs, err := c.clients[c.labelFor(o.Intent.Profile)].Forward(traced, o.Request.CSR)
	if err == nil {
		return certs, nil
	}
	err = c.failure(err, sent.Load())
	if errors.Is(err, errCredential) {
		c.log.ErrorContext(ctx, "the EST server does not take this registrar's credential; check certificate, user and password of the issuer",
			slog.String("url", c.config.Server.URL), slog.Any("error", c.secrets.Error(err)))
	}
	return nil, err
}

// mayAsk says so before a server is asked with a certificate that is over, which
// some refuse like any request.
func (c *CA) mayAsk() error {
	own := c.config.Server.Certificate
	if own == nil {
		return nil
	}
	leaf := own.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(own.Certificate[0]); err != nil {
			return fmt.Errorf("%w: the client certificate: %w", ca.ErrUnavailable, err)
		}
	}
	if now := c.now(); now.After(leaf.NotAfter) {
		return fmt.Errorf("%w: %w: our certificate was valid until %s; renew it", ca.ErrUnavailable, errCredential, leaf.NotAfter.UTC().Format("2006-01-02 15:04"))
	}
	return nil
}

// accept finds the certificate among those of the answer: the one with the
// CSR's key. The others only help to build its chain.
func (c *CA) accept(ctx context.Context, o *delegate.Order, certs []*x509.Certificate) (*ca.Certificate, error) {
	var ours, between []*x509.Certificate
	for _, cert := range certs {
		switch {
		case bytes.Equal(cert.RawSubjectPublicKeyInfo, o.CSR.RawSubjectPublicKeyInfo):
			ours = append(ours, cert)
		case cert.IsCA:
			between = append(between, cert)
		}
	}
	if len(ours) == 0 {
		return nil, noneOfOurs(o, certs)
	}
	if i := slices.IndexFunc(ours, func(cert *x509.Certificate) bool { return cert.CheckSignatureFrom(c.config.Chain[0]) == nil }); i < 0 {
		between = append(between, c.newCAs(ctx, o, ours[0])...)
	}
	between = append(between, c.config.Others...)
	var first error
	for _, cert := range ours {
		issued, err := o.Accept(cert.Raw, between)
		if err == nil {
			return issued, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// noneOfOurs is an answer without a certificate for our key. One for another
// key, if it is the only one, was signed for us: it is to be revoked.
func noneOfOurs(o *delegate.Order, certs []*x509.Certificate) error {
	var foreign []*x509.Certificate
	for _, cert := range certs {
		if !cert.IsCA {
			foreign = append(foreign, cert)
		}
	}
	if len(foreign) == 1 || len(certs) == 1 {
		_, err := o.Accept(append(foreign, certs...)[0].Raw, nil)
		return err
	}
	return fmt.Errorf("%w: none of the %d certificates of its answer has the key that was asked for", ca.ErrMismatch, len(certs))
}

// newCAs are the server's CA certificates as they are now, for a certificate
// that the configured CA did not issue. They are trusted for nothing: a chain
// has to lead to the root that is known.
func (c *CA) newCAs(ctx context.Context, o *delegate.Order, cert *x509.Certificate) []*x509.Certificate {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.config.Timeout)
	defer cancel()
	now, err := c.clients[c.labelFor(o.Intent.Profile)].CACerts(ctx)
	c.log.WarnContext(ctx, "the EST server issues by another CA than the one that is known here; reload the registrar to have its certificate in cacerts",
		slog.String("issuer", c.secrets.Sentence(cert.Issuer.String())), slog.String("known", c.config.Chain[0].Subject.String()), slog.Any("error", c.secrets.Error(err)))
	if err != nil {
		return nil
	}
	return now[:min(len(now), maxCACerts)]
}

// errCredential says that the server refuses us and not the request.
var errCredential = errors.New("the EST server does not take the credential of this registrar")

// failure maps an error of the client. sent tells whether the request may have arrived.
func (c *CA) failure(err error, sent bool) error {
	var pending *est.PendingError
	var status *est.StatusError
	switch {
	case errors.As(err, &pending):
		return &ca.Later{Err: fmt.Errorf("%w: the EST server answered 202", ca.ErrPending), After: min(pending.RetryAfter, delegate.MaxAfter)}
	case errors.As(err, &status):
		return c.refusal(status)
	case errors.Is(err, est.ErrURL), errors.Is(err, est.ErrNoAnchors), errors.Is(err, est.ErrRedirect):
		return fmt.Errorf("%w: %w", ca.ErrUnavailable, err)
	case errors.Is(err, est.ErrAnswer):
		return delegate.Lost(err)
	case sent:
		return &ca.Later{Err: fmt.Errorf("%w: %w", ca.ErrUnavailable, err)}
	default:
		return fmt.Errorf("%w: %w", ca.ErrUnavailable, err)
	}
}
