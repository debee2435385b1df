package cmpca_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/cmpca"
)

// lengths tells the CA how long a certificate is to be valid, as its own profile
// would: PKCS #10 has no word for it.
type lengths struct {
	ca.Issuer
	mu    sync.Mutex
	until map[[32]byte]time.Time // by SubjectPublicKeyInfo; guarded by mu
}

func (l *lengths) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	if spki, err := x509.MarshalPKIXPublicKey(r.PublicKey); err == nil && !r.NotAfter.IsZero() {
		l.mu.Lock()
		l.until[sha256.Sum256(spki)] = r.NotAfter
		l.mu.Unlock()
	}
	return l.Issuer.Issue(ctx, r)
}

func (l *lengths) wished(w *catest.Wish) {
	if spki, err := x509.MarshalPKIXPublicKey(w.PublicKey); err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		if end, ok := l.until[sha256.Sum256(spki)]; ok {
			w.NotAfter = end
		}
	}
}

// ways are the messages and protections that the contracts run with.
func ways() map[string]func(h *house) {
	return map[string]func(h *house){
		"p10cr, signature": func(h *house) {},
		"p10cr, signature, implicit": func(h *house) {
			h.settings.ImplicitConfirm, h.ca.Implicit = true, true
		},
		"ir, signature":               func(h *house) { h.settings.Mode = cmpca.IR },
		"cr, MAC":                     func(h *house) { h.byMAC(false).settings.Mode = cmpca.CR },
		"p10cr, PBMAC1":               func(h *house) { h.byMAC(true) },
		"p10cr, a CA that signs anew": func(h *house) { h.ca.Repeated = catest.SignsAgain },
		"ir, a CA that refuses repeats": func(h *house) {
			h.settings.Mode, h.ca.Repeated = cmpca.IR, catest.RefusesRepeat
		},
	}
}

func TestCMPKeepsTheContractOfAnIssuer(t *testing.T) {
	for _, name := range []string{"p10cr, signature", "ir, signature", "cr, MAC"} {
		way := ways()[name]
		t.Run(name, func(t *testing.T) {
			catest.TestIssuer(t, func(t *testing.T) catest.Fixture {
				h := newHouse(t)
				way(h)
				l := &lengths{Issuer: h.issuer(), until: make(map[[32]byte]time.Time)}
				if h.settings.Mode == "" {
					h.ca.Wished = l.wished
				}
				return catest.Fixture{Issuer: l, Profile: "device", Break: catest.BreakDevice}
			})
		})
	}
}

func TestCMPKeepsTheContractOfADelegatingIssuer(t *testing.T) {
	for name, way := range ways() {
		t.Run(name, func(t *testing.T) {
			catest.TestDelegating(t, func(t *testing.T) catest.Delegated {
				h := newHouse(t)
				way(h)
				d := catest.Delegated{
					Fixture:  catest.Fixture{Issuer: h.issuer(), Profile: "device", Break: catest.BreakDevice},
					Upstream: h.ca,
				}
				if h.ca.Repeated == catest.SignsAgain {
					d.TwoAfterLoss = "the first was never confirmed, so the CA withdraws it (RFC 9483, Section 4.1.1)"
				}
				return d
			})
		})
	}
}
