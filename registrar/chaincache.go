package registrar

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"sync"
	"time"

	"github.com/briskest/briskest/est"
)

// chainCache remembers which certificates had a chain to which anchors under
// one version of the settings, and when all of that chain was valid. What it
// never remembers: a refusal, and whether a certificate is revoked.
type chainCache struct {
	size int

	mu         sync.Mutex
	young, old map[[sha256.Size]byte]*chained // guarded by mu
}

// chained is a verified chain.
type chained struct {
	version             *version
	manufacturer        *Manufacturer // nil: one of our CA's
	notBefore, notAfter time.Time     // of the chain as a whole
}

func newChainCache(size int) *chainCache {
	return &chainCache{size: size, young: map[[sha256.Size]byte]*chained{}}
}

// lookup returns the chain if all of it is valid at the given time.
func (k *chainCache) lookup(v *version, leaf [sha256.Size]byte, at time.Time) *chained {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.young[leaf]
	if e == nil {
		if e = k.old[leaf]; e == nil {
			return nil
		}
		k.add(leaf, e)
	}
	if e.version != v || at.Before(e.notBefore) || at.After(e.notAfter) {
		return nil
	}
	return e
}

func (k *chainCache) store(leaf [sha256.Size]byte, e *chained) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.add(leaf, e)
}

func (k *chainCache) add(leaf [sha256.Size]byte, e *chained) {
	if len(k.young) >= k.size {
		k.old, k.young = k.young, map[[sha256.Size]byte]*chained{}
	}
	k.young[leaf] = e
}

// verify builds a chain from the peer's certificate to our CA or to a
// manufacturer. The error is nil or says why there is none; expired tells
// whether the time alone was the reason.
func (k *chainCache) verify(v *version, p *est.Peer, leaf [sha256.Size]byte, at time.Time) (*chained, error) {
	if e := k.lookup(v, leaf, at); e != nil {
		return e, nil
	}
	cert := p.Certificates[0]
	chain, err := p.Verify(x509.VerifyOptions{
		Roots: v.anchors, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err == nil {
		e := newChained(v, nil, chain)
		k.store(leaf, e)
		return e, nil
	}
	expired := isExpired(err)
	for _, m := range v.manufacturers {
		chain, merr := p.Verify(m.options(cert, at))
		if merr == nil {
			e := newChained(v, m, chain)
			if m.AllowExpiredIDevID && !at.Before(e.notBefore) && at.After(cert.NotAfter) {
				return e, nil // valid by exception only: decided anew each time
			}
			k.store(leaf, e)
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
	e := &chained{version: v, manufacturer: m, notBefore: chain[0].NotBefore, notAfter: chain[0].NotAfter}
	for _, c := range chain[1:] {
		if c.NotBefore.After(e.notBefore) {
			e.notBefore = c.NotBefore
		}
		if c.NotAfter.Before(e.notAfter) {
			e.notAfter = c.NotAfter
		}
	}
	return e
}

type expiredError struct{ error }

func isExpired(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

// seenSet remembers byte strings, the newest ones.
type seenSet struct {
	size int

	mu         sync.Mutex
	young, old map[string]struct{} // guarded by mu
}

func newSeenSet(size int) *seenSet { return &seenSet{size: size, young: map[string]struct{}{}} }

func (s *seenSet) has(key []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.young[string(key)]; ok {
		return true
	}
	_, ok := s.old[string(key)]
	return ok
}

func (s *seenSet) add(key []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.young) >= s.size {
		s.old, s.young = s.young, map[string]struct{}{}
	}
	s.young[string(key)] = struct{}{}
}
