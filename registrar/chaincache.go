package registrar

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/recent"
	"github.com/briskest/briskest/internal/revocation"
)

// chainCache remembers which certificates had a chain to which anchors under
// one version of the settings, and when all of that chain was valid; of IDevIDs
// also that none of it was revoked, for as long as that answer holds; and for a
// minute which chains led nowhere, so that to present one again and again costs
// its sender more than us. What it never remembers is whether a certificate of
// ours is revoked.
type chainCache struct {
	chains *recent.Map[[sha256.Size]byte, *chained]   // by leaf
	failed *recent.Map[[sha256.Size]byte, *unchained] // by all that was presented
}

// chained is a verified chain.
type chained struct {
	version      *version
	manufacturer *Manufacturer // nil: one of our CA's
	validity
	chain  []*x509.Certificate // of a label's client anchors only
	answer revocation.Answer   // of a manufacturer's
}

// unchained is a chain that could not be verified.
type unchained struct {
	version *version
	at      time.Time
	err     error
}

// failureKept is for how long a failure counts: a certificate whose time has
// come is refused no longer than that.
const failureKept = time.Minute

func newChainCache(size int) *chainCache {
	return &chainCache{
		chains: recent.New[[sha256.Size]byte, *chained](size), failed: recent.New[[sha256.Size]byte, *unchained](size),
	}
}

// lookup returns the chain if all of it is valid at the given time.
func (k *chainCache) lookup(v *version, leaf [sha256.Size]byte, at time.Time) *chained {
	e, known := k.chains.Get(leaf)
	if !known || e.version != v || at.Before(e.notBefore) || at.After(e.notAfter) {
		return nil
	}
	if e.manufacturer != nil && !e.manufacturer.Revocation.Still(e.answer, at) {
		return nil
	}
	return e
}

// failure returns why the same certificates led nowhere a moment ago, or nil.
func (k *chainCache) failure(v *version, presented [sha256.Size]byte, at time.Time) error {
	f, known := k.failed.Get(presented)
	if !known || f.version != v || at.Before(f.at) || at.Sub(f.at) >= failureKept {
		return nil
	}
	return f.err
}

// presented is the hash of all that the peer sent: with another intermediate
// CA the same leaf may well have a chain.
func presented(p *est.Peer) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, c := range p.Certificates {
		h.Write(c.Raw) // DER says where it ends
	}
	h.Sum(sum[:0])
	return sum
}

// verify builds a chain from the peer's certificate to our CA or to a
// manufacturer, and asks of the latter whether it is revoked. The error is nil
// or says why there is none: *expiredError where the time alone was the reason,
// *idevidError about revocation.
func (k *chainCache) verify(ctx context.Context, v *version, p *est.Peer, leaf [sha256.Size]byte, at time.Time) (*chained, error) {
	if e := k.lookup(v, leaf, at); e != nil {
		return e, nil
	}
	if e := p.CheckCertificates(); e != nil {
		return nil, e
	}
	sent := presented(p)
	if err := k.failure(v, sent, at); err != nil {
		return nil, err
	}
	e, err := k.build(ctx, v, p, leaf, at)
	if err != nil && !errors.Is(err, revocation.ErrUnavailable) { // the Checker remembers that itself
		k.failed.Put(sent, &unchained{v, at, err})
	}
	return e, err
}

func (k *chainCache) build(ctx context.Context, v *version, p *est.Peer, leaf [sha256.Size]byte, at time.Time) (*chained, error) {
	cert := p.Certificates[0]
	chain, err := p.Verify(x509.VerifyOptions{
		Roots: v.anchors, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err == nil {
		e := newChained(v, nil, chain)
		k.chains.Put(leaf, e)
		return e, nil
	}
	expired := isExpired(err)
	for _, m := range v.manufacturers {
		chain, merr := p.Verify(m.options(cert, at))
		if merr == nil {
			e := newChained(v, m, chain)
			if e.answer, err = m.Revocation.Status(ctx, chain, at); err != nil {
				return nil, &idevidError{m, err}
			}
			if m.AllowExpiredIDevID && !at.Before(e.notBefore) && at.After(cert.NotAfter) {
				return e, nil // valid by exception only: decided anew each time
			}
			k.chains.Put(leaf, e)
			return e, nil
		}
		if isExpired(merr) {
			expired, err = true, merr
		}
	}
	if expired {
		return nil, &expiredError{err}
	}
	return nil, err
}

// options are how an IDevID of m is verified. Many IDevIDs have no extended
// key usage at all, which is no obstacle.
func (m *Manufacturer) options(cert *x509.Certificate, at time.Time) x509.VerifyOptions {
	usage := x509.ExtKeyUsageClientAuth
	if m.AllowAnyKeyUsage {
		usage = x509.ExtKeyUsageAny
	}
	if m.AllowExpiredIDevID && at.After(cert.NotAfter) {
		at = cert.NotAfter // RFC 8995, Section 2.6.2
	}
	return x509.VerifyOptions{Roots: m.IDevIDAnchors, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}}
}

func newChained(v *version, m *Manufacturer, chain []*x509.Certificate) *chained {
	return &chained{version: v, manufacturer: m, validity: valid(chain)}
}

type expiredError struct{ error }

// idevidError says that an IDevID of a manufacturer is revoked, or that nobody
// says whether it is.
type idevidError struct {
	manufacturer *Manufacturer
	err          error
}

func (e *idevidError) Error() string { return e.err.Error() }

func (e *idevidError) Unwrap() error { return e.err }

func isExpired(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}
