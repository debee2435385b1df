package pledge

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"slices"
	"time"

	"github.com/briskest/briskest/voucher"
)

// isRegistrar tells a registration authority (RFC 6402, Section 2.10).
func isRegistrar(c *x509.Certificate) bool {
	cmcRA := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28}
	return slices.ContainsFunc(c.UnknownExtKeyUsage, cmcRA.Equal)
}

// trustPin returns a test that trusts a server whose certificate is the pinned
// one or follows from it (RFC 8995, Section 5.6.2), and is not revoked as far as
// the voucher wants to know.
func (r *run) trustPin(ctx context.Context) func([]*x509.Certificate) *Error {
	return func(server []*x509.Certificate) *Error {
		chain, e := r.checkServer(server, []*pin{r.pin})
		if e != nil {
			return e
		}
		return r.checkRevocation(ctx, chain, server)
	}
}

// trustDomain trusts, besides, what follows from the domain's CA certificates
// (RFC 8995, Section 5.6.2: they are more authoritative than the pin).
func (r *run) trustDomain(server []*x509.Certificate) *Error {
	var trusted []*pin
	for _, c := range anchors(r.cas) {
		trusted = append(trusted, certPin(c))
	}
	_, e := r.checkServer(server, append(trusted, r.pin))
	return e
}

// checkServer checks the registrar's chain against the pins, and returns it as
// far as the pin. A pin may be
// the server's own certificate, or another one of its key: the public key
// is what is pinned (RFC 8995, Section 5.6.2). Under a CA many hold
// certificates: such a server has to be a registration authority (id-kp-cmcRA;
// RFC 7030, Section 3.6.1). Its name does not count: the address that a pledge
// was given is not to be trusted, and any member of the domain may hold a
// certificate for it. That of an EST server counts where the voucher gave it.
func (r *run) checkServer(server []*x509.Certificate, trusted []*pin) ([]*x509.Certificate, *Error) {
	leaf := server[0]
	var cause error
	var chain []*x509.Certificate
	for _, p := range trusted {
		if p == nil {
			continue
		}
		direct := p.hash == keyOf(leaf)
		if chain, cause = r.chain(server, p, direct); cause == nil && (direct || isRegistrar(leaf) || r.isNamedServer(leaf)) {
			return chain, nil
		}
	}
	var invalid x509.CertificateInvalidError
	switch {
	case cause == nil:
		return nil, untrusted(ReasonNotPinned, section562, "the registrar's certificate is of the right domain, but has neither id-kp-cmcRA nor the pinned key", nil)
	case errors.As(cause, &invalid) && invalid.Reason == x509.Expired:
		return nil, untrusted(ReasonRegistrarExpired, "RFC 8995, Section 2.6.1",
			"the registrar's certificate, or one above it, is not valid now; is the device's clock right?", cause)
	default:
		return nil, untrusted(ReasonNotPinned, section562,
			"the registrar's certificate does not follow from what is pinned; this is another registrar than the one the voucher names", cause)
	}
}

// chain verifies a path from server to p; a direct one has no steps, only dates.
func (r *run) chain(server []*x509.Certificate, p *pin, direct bool) ([]*x509.Certificate, error) {
	leaf, at := server[0], r.c.Now()
	if direct {
		if !r.c.NoClock && (at.Before(leaf.NotBefore) || at.After(leaf.NotAfter)) {
			return nil, x509.CertificateInvalidError{Cert: leaf, Reason: x509.Expired}
		}
		return []*x509.Certificate{leaf}, nil
	}
	shown := slices.Concat(server, r.cas)
	roots := x509.NewCertPool()
	for _, c := range p.anchors(shown) {
		roots.AddCert(c)
	}
	intermediates, err := voucher.Intermediates(leaf, shown[1:])
	if err != nil {
		return nil, err
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: r.validAt(leaf, at),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // isRegistrar decides
	})
	if err != nil {
		return nil, err
	}
	return chains[0], nil
}

// followFromPin checks the domain's first CA certificates. Where the voucher
// pins a CA, that is the domain's: it is among them, or above one of them, or they
// vouch for the registrar as it does. Others are swapped. A voucher that pins the
// registrar itself says nothing of a CA: what vouches for them then is the
// connection alone (RFC 8995, Section 5.6.2).
func (r *run) followFromPin(certs []*x509.Certificate) *Error {
	server := r.link.server
	if keyOf(server[0]) == r.pin.hash {
		return nil
	}
	pinnedKey := func(c *x509.Certificate) bool { return keyOf(c) == r.pin.hash }
	if slices.ContainsFunc(certs, pinnedKey) {
		return nil
	}
	for _, c := range certs {
		if r.verifies(c, r.pin.anchors(slices.Concat(server, certs)), slices.Concat(certs, server)) {
			return nil
		}
	}
	if r.verifies(server[0], anchors(certs), slices.Concat(server[1:], certs)) {
		return nil
	}
	return untrusted(ReasonCACerts, "RFC 8995, Section 5.9.1",
		"the domain's CA certificates have nothing to do with what the voucher pins; they are not taken", nil)
}

// verifies tells whether c chains to one of trusted by way of others.
func (r *run) verifies(c *x509.Certificate, trusted, others []*x509.Certificate) bool {
	roots := x509.NewCertPool()
	for _, t := range trusted {
		roots.AddCert(t)
	}
	intermediates, err := voucher.Intermediates(c, others)
	if err != nil {
		return false
	}
	_, err = c.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: r.validAt(c, r.c.Now()),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil
}

// validAt returns the time at which c is verified: now, or without a clock the
// time when c was issued, at which the CAs above were good too (RFC 8995, Section 2.6.1).
func (r *run) validAt(c *x509.Certificate, now time.Time) time.Time {
	if r.c.NoClock {
		return c.NotBefore
	}
	return now
}
