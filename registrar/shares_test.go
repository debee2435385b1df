package registrar_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// hangingUpstream answers when its channel is closed.
type hangingUpstream struct {
	*upstream
	inside  atomic.Int64
	release chan struct{}
}

func (u *hangingUpstream) Issue(ctx context.Context, r *ca.Request) (*ca.Certificate, error) {
	u.inside.Add(1)
	<-u.release
	return u.upstream.Issue(ctx, r)
}

// A CA that does not answer has the places of its own issuer, and no others'.
func TestASlowCATakesNoPlacesOfOtherIssuers(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		slow := &hangingUpstream{upstream: u, release: make(chan struct{})}
		s := *h.settings
		s.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: h.issuer, "upstream": slow}
		s.Limits.EnrollmentsAtOnce = 8
		check(t, h.service.Reload(&s))
		var all sync.WaitGroup
		var turned atomic.Int64
		for n := range 40 {
			all.Go(func() {
				if _, err := h.enroll(fmt.Sprint("sensor-", n)).basic(group).send(); err != nil {
					refusal(t, err, registrar.ReasonOverload, 503)
					turned.Add(1)
				}
			})
		}
		synctest.Wait()
		if n := slow.inside.Load(); n != 4 {
			t.Errorf("%d wait for the slow CA, want half of the 8 places", n)
		}
		h.enroll("sensor-100").basic(group).label("here").mustSend()
		close(slow.release)
		all.Wait()
		if turned.Load() == 0 {
			t.Error("nobody was turned away")
		}
		h.enroll("sensor-101").basic(group).mustSend() // the places were given back
	})
}

// What one CA leaves undecided does not keep another from being asked.
func TestOutstandingIssuancesOfOneIssuerLeaveRoomForThoseOfAnother(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		u.does(later(ca.ErrPending, 0, ""))
		other := newUpstream(t)
		other.h = h
		other.does(later(ca.ErrPending, 0, ""))
		s := *h.settings
		s.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: h.issuer, "upstream": u, "other": other}
		labels := map[string]*registrar.Label{"other": {Profile: h.profile("device"), Basic: true, Issuer: "other"}}
		for name, l := range s.Labels {
			labels[name] = l
		}
		s.Labels, s.Limits.Pending = labels, 9
		check(t, h.service.Reload(&s))
		for n := range 3 {
			h.enroll(fmt.Sprint("sensor-", n)).basic(group).refusedAs(registrar.ReasonIssuerPending, 202)
		}
		h.enroll("sensor-3").basic(group).refusedAs(registrar.ReasonPendingFull, 503)
		h.enroll("sensor-4").basic(group).label("other").refusedAs(registrar.ReasonIssuerPending, 202)
	})
}

// R13: a CA that answers a renewal with the certificate of before gives nobody a
// second row about it, and the certificate stays good.
func TestACertificateThatIsOnRecordAlreadyIsNoAnswer(t *testing.T) {
	delegating(t, func(t *testing.T, h *house, u *upstream) {
		key := testpki.NewKey(t)
		first := h.enroll("sensor-1").withKey(key).basic(group).mustSend()
		u.does(func(*ca.Request) (*ca.Certificate, error) {
			return &ca.Certificate{Raw: first.Raw, Serial: first.SerialNumber.Bytes(), NotBefore: first.NotBefore, NotAfter: first.NotAfter, Profile: "device", Version: "1"}, nil
		})
		h.enroll("sensor-1").withKey(key).cert(first).renewing().refusedAs(registrar.ReasonIssuerDisagrees, 502)
		synctest.Wait()
		if n := len(u.heard()); n != 0 {
			t.Errorf("the CA was told to revoke %d certificates", n)
		}
		if rows := h.certificates(registrar.Issued); len(rows) != 1 || string(rows[0].Raw) != string(first.Raw) {
			t.Errorf("%d certificates count, want the one of before", len(rows))
		}
		if n := len(h.certificates(registrar.Intended)); n != 0 {
			t.Errorf("%d intents are left open", n)
		}
	})
}

// blockingLists signs no list before it is told to.
type blockingLists struct {
	ca.CRLIssuer
	inside, most atomic.Int64
	release      chan struct{}
}

func (b *blockingLists) CRL(ctx context.Context, l *ca.RevocationList) ([]byte, error) {
	if n := b.inside.Add(1); n > b.most.Load() {
		b.most.Store(n)
	}
	defer b.inside.Add(-1)
	<-b.release
	return b.CRLIssuer.CRL(ctx, l)
}

// Strangers who ask for all partitions at once have a few signed at a time, and
// none for those who went away.
func TestWhoeverAsksForAllListsHasFewSignedAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &blockingLists{release: make(chan struct{})}
		h := newHouse(t, func(h *house) {
			withLists(64, false)(h)
			slow.CRLIssuer = h.issuer
			h.settings.Lists.Authorities = []*registrar.Authority{{Issuer: registrar.DefaultIssuer, Certificate: h.issuer.Certificate(), Lists: slow}}
		})
		defer h.service.Close()
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var served atomic.Int64
		for n := range 64 {
			all.Go(func() {
				_, err := h.service.CRL(ctx, "", registrar.CRLScope{Count: 64, Index: n})
				switch {
				case err == nil:
					served.Add(1)
				case !errors.Is(err, context.Canceled):
					t.Errorf("list %d: %v", n, err)
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(slow.release)
		all.Wait()
		if most := slow.most.Load(); most == 0 || most > 4 || served.Load() != most {
			t.Errorf("%d were signed at a time and %d in all, want 4 and no more", most, served.Load())
		}
	})
}
