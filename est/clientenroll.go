package est

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// SimpleEnroll sends csr, the DER of a PKCS#10 request, and returns the certificate (RFC 7030, Section 4.2.1). It holds
// csr's public key; whether it holds the names that were asked for is the caller's to check, because a server may
// choose others.
//
// Errors: [*PendingError] for 202, which matches [ErrPending]: repeat the call after its RetryAfter, or let
// [Client.Request] wait; others as CACerts.
func (c *Client) SimpleEnroll(ctx context.Context, csr []byte) (*x509.Certificate, error) {
	return c.Request(ctx, &CertRequest{Operation: OpSimpleEnroll, CSR: fixed(csr)})
}

// SimpleReenroll renews or rekeys the certificate that the client authenticates with (RFC 7030, Section 4.2.2). csr
// repeats its subject and alternative names; with the same key it is a renewal, with another one a rekey. Otherwise as
// SimpleEnroll.
func (c *Client) SimpleReenroll(ctx context.Context, csr []byte) (*x509.Certificate, error) {
	return c.Request(ctx, &CertRequest{Operation: OpSimpleReenroll, CSR: fixed(csr)})
}

func fixed(csr []byte) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) { return csr, nil }
}

// CertRequest is a request for a certificate whose CSR is made when it is needed.
type CertRequest struct {
	// Operation is OpSimpleEnroll or OpSimpleReenroll. Empty: the former.
	Operation Operation
	// CSR returns the DER of a PKCS#10 request. Without Link it is called once, with nil. With Link it is called after
	// each handshake, with the channel binding of the connection that the request will be sent on; its base64 goes into
	// challengePassword (RFC 7030, Section 3.5), or into estIdentityLinking (RFC 7894, Section 3.3). The key may
	// be the same each time.
	CSR func(binding []byte) ([]byte, error)
	// Link links the CSR to the TLS session.
	Link bool
	// MaxWait is for how long the client repeats the request while the server has not decided (202) or has no room (503
	// with Retry-After), in all; it never asks earlier than the server said. Zero: not at all.
	MaxWait time.Duration
}

// defaultRetry is the time between two attempts where the server names none that can be used.
const defaultRetry = 10 * time.Second

// Request asks for a certificate as r says, and waits while the server has not decided (RFC 7030, Section 4.2.3).
//
// Errors: as SimpleEnroll; a [*PendingError] when the server's Retry-After does not fit into MaxWait; one that matches
// [ErrLink] when the connection has no channel binding; the context's.
func (c *Client) Request(ctx context.Context, r *CertRequest) (*x509.Certificate, error) {
	op := r.Operation
	if op == "" {
		op = OpSimpleEnroll
	}
	if op != OpSimpleEnroll && op != OpSimpleReenroll {
		return nil, fmt.Errorf("%s is no operation that returns a certificate for a CSR", op)
	}
	var key []byte // the SubjectPublicKeyInfo that was sent last
	body := func(binding []byte) ([]byte, error) {
		der, err := r.CSR(binding)
		if err != nil {
			return nil, fmt.Errorf("the CSR: %w", err)
		}
		csr, err := x509.ParseCertificateRequest(der)
		if err != nil {
			return nil, fmt.Errorf("the CSR: %w", err)
		}
		key = csr.RawSubjectPublicKeyInfo
		return appendBase64(nil, der), nil
	}
	q := &request{op: op, content: typePKCS10, linked: r.Link, body: body}
	if !r.Link {
		made, err := body(nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
		q.body = func([]byte) ([]byte, error) { return made, nil }
	}
	a, err := c.callPatiently(ctx, q, r.MaxWait)
	if err != nil {
		return nil, err
	}
	return a.issued(key)
}

// callPatiently repeats the call for as long as maxWait allows.
func (c *Client) callPatiently(ctx context.Context, q *request, maxWait time.Duration) (*answer, error) {
	for {
		a, err := c.call(ctx, q)
		if err != nil || !a.later() {
			return a, err
		}
		d := a.retryAfter
		if d == 0 {
			d = defaultRetry
		}
		// One that was cut is longer than anybody waits.
		if d > maxWait || d == maxRetryAfter {
			return a, nil
		}
		maxWait -= d
		if err := sleep(ctx, d); err != nil {
			return nil, fmt.Errorf("%s: waiting for the server's decision: %w", q.op, err)
		}
	}
}

// later reports whether the server asked for the same request at another time.
func (a *answer) later() bool {
	return a.status == http.StatusAccepted || (a.status == http.StatusServiceUnavailable && a.retryAfter > 0)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// issued is the certificate for key, a SubjectPublicKeyInfo (RFC 7030, Section 4.2.3).
func (a *answer) issued(key []byte) (*x509.Certificate, error) {
	switch a.status {
	case http.StatusOK:
	case http.StatusAccepted:
		return nil, &PendingError{RetryAfter: a.retryAfter}
	default:
		return nil, a.refusal()
	}
	certs, err := a.certificates()
	if err != nil {
		return nil, err
	}
	// The certificate that was issued should come alone; CMC sends what is above it too (RFC 5272, Section 4.1). It is
	// the one with the key; two of them are a choice that nobody has made.
	own := slices.DeleteFunc(certs, func(c *x509.Certificate) bool { return !bytes.Equal(c.RawSubjectPublicKeyInfo, key) })
	switch len(own) {
	case 1:
		return own[0], nil
	case 0:
		return nil, a.invalid(errors.New("a certificate for another key than the CSR's"))
	default:
		return nil, a.invalid(fmt.Errorf("%d certificates for the CSR's key instead of one", len(own)))
	}
}
