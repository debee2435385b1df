package masa_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/store"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/voucherjws"
)

// onDisk is a world whose records are in SQLite.
type onDisk struct {
	*world
	path string
	key  crypto.Signer
	db   *store.Store
}

func newOnDisk(t testing.TB, change func(*masa.Settings, *masa.Product)) *onDisk {
	t.Helper()
	w := &onDisk{world: unstarted(t, change), path: filepath.Join(t.TempDir(), "masa.db"), key: testpki.NewKey(t)}
	w.open()
	w.importSerial(serial)
	return w
}

// open opens the database and starts a service on it.
func (w *onDisk) open() {
	w.t.Helper()
	var err error
	w.db, err = store.Open(w.t.Context(), store.Options{Path: w.path, TrailKey: w.key})
	if err != nil {
		w.t.Fatal(err)
	}
	db := w.db
	w.t.Cleanup(func() { _ = db.Close() })
	w.store = db
	w.start()
}

// reopen does what the end of the process and its start do.
func (w *onDisk) reopen() {
	w.t.Helper()
	w.service.Close()
	if err := w.db.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open()
}

// answers are the vouchers and the refusals that requests got.
type answers struct {
	mu       sync.Mutex
	vouchers map[string]int // by their bytes; guarded by mu
	refusals map[string]int // by reason; guarded by mu
}

func (a *answers) ask(t *testing.T, s *masa.Service, r *brski.MASARequest) {
	v, err := s.RequestVoucher(t.Context(), r)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.vouchers == nil {
		a.vouchers, a.refusals = make(map[string]int), make(map[string]int)
	}
	var e *est.Error
	switch {
	case err == nil:
		a.vouchers[string(v.Raw)]++
	case errors.As(err, &e):
		a.refusals[e.Reason]++
	default:
		t.Errorf("RequestVoucher: %v", err)
	}
}

// R27, RFC 8995, Section 11.4: one signed request of the pledge, two domains at
// once. The pledge was connected to one of them.
func TestTwoDomainsRacingWithOneRequestOfThePledge(t *testing.T) {
	w := newOnDisk(t, nil)
	mine, theirs := w.ask(w.mine, "0123456789abcdef"), w.ask(w.theirs, "0123456789abcdef")
	prior := sign(t, mine.pledge, w.idevid, w.idevid.Chain)
	mine.registrar.PriorSignedVoucherRequest, theirs.registrar.PriorSignedVoucherRequest = prior, prior
	var got answers
	var wg sync.WaitGroup
	for _, raw := range [][]byte{mine.bytes(t), theirs.bytes(t)} {
		for range 8 {
			wg.Go(func() { got.ask(t, w.service, w.request(raw)) })
		}
	}
	wg.Wait()
	if len(got.vouchers) != 1 || got.refusals[masa.ReasonProximity] != 8 || w.records() != 1 {
		t.Errorf("%d vouchers, refusals %v, %d records; want one voucher and 8 times %s", len(got.vouchers), got.refusals, w.records(), masa.ReasonProximity)
	}
}

// As above for a product whose pledges sign nothing: whoever is first has the nonce.
func TestTwoDomainsRacingForANonce(t *testing.T) {
	for round := range 6 {
		w := newOnDisk(t, func(_ *masa.Settings, p *masa.Product) { p.AllowNoPriorSigned = true })
		services := w.pair()
		var got answers
		var wg sync.WaitGroup
		for _, d := range []*domain{w.mine, w.theirs} {
			for i := range 4 {
				a := w.ask(d, "0123456789abcdef")
				a.idevid = nil
				r := w.request(a.bytes(t))
				wg.Go(func() { got.ask(t, services[(i+round)%2], r) })
			}
		}
		wg.Wait()
		if len(got.vouchers) != 1 || w.records() != 1 || got.refusals[masa.ReasonNonceUsed] != 4 {
			t.Fatalf("round %d: %d vouchers, refusals %v, %d records; want one voucher and 4 times %s", round, len(got.vouchers), got.refusals,
				w.records(), masa.ReasonNonceUsed)
		}
	}
}

// pair returns the world's service and a second one on the same store, as two
// processes with a database server are.
func (w *onDisk) pair() []*masa.Service {
	first := w.service
	w.start()
	return []*masa.Service{first, w.service}
}

// One registrar that signed twice around one request of its pledge, two
// registrars of one domain that share a pledge's nonce, and two encodings, at two
// MASAs on one store: the pledge's nonce has one voucher.
func TestSeveralRequestsAroundOneNonceGetOneVoucher(t *testing.T) {
	for round := range 6 {
		w := newOnDisk(t, func(s *masa.Settings, p *masa.Product) {
			p.AllowNoPriorSigned = true
			s.Formats = append(s.Formats, voucherjws.Format{})
		})
		services := w.pair()
		second := w.mine.ca.Registrar(t, "mine, the second")
		var requests []*brski.MASARequest
		for i := range 8 {
			a := w.ask(w.mine, "0123456789abcdef")
			a.idevid = nil
			a.registrar.CreatedOn = w.at.Add(time.Duration(i) * time.Second)
			if i%2 == 1 {
				a.signer, a.chain = second, second.Chain
			}
			r := w.request(a.bytes(t))
			if i >= 6 {
				r.Accept = []string{voucherjws.MediaType}
			}
			requests = append(requests, r)
		}
		var got answers
		var wg sync.WaitGroup
		for i, r := range requests {
			wg.Go(func() { got.ask(t, services[i/2%2], r) })
		}
		wg.Wait()
		if len(got.vouchers) != 1 || w.records() != 1 {
			t.Fatalf("round %d: %d vouchers, refusals %v, %d records; want one of each", round, len(got.vouchers), got.refusals, w.records())
		}
		record, err := w.db.ListVouchers(t.Context(), masa.DefaultDomain, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		// Whatever was issued is told by its own media type.
		whole, err := w.db.VoucherByNonce(t.Context(), masa.DefaultDomain, record[0].DeviceID, "0123456789abcdef")
		if err != nil {
			t.Fatal(err)
		}
		format := map[string]voucher.Format{vouchercms.MediaType: vouchercms.Format{}, voucherjws.MediaType: voucherjws.Format{}}[whole.MediaType]
		if _, _, err := format.OpenVoucher(whole.Voucher); err != nil {
			t.Errorf("round %d: the voucher on record is no %s: %v", round, whole.MediaType, err)
		}
		for r := range got.refusals {
			if r != masa.ReasonAccept {
				t.Errorf("round %d: refusals %v, want %s alone", round, got.refusals, masa.ReasonAccept)
			}
		}
	}
}

// crash is a store whose process ends at its nth change: before it or after it.
type crash struct {
	masa.Store
	mu    sync.Mutex
	left  int // changes until the end; guarded by mu
	after bool
}

var errCrashed = errors.New("the process has ended")

func (c *crash) Commit(ctx context.Context, change *masa.Change) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left > 0 {
		return c.Store.Commit(ctx, change)
	}
	if c.left == 0 && c.after {
		if err := c.Store.Commit(ctx, change); err != nil {
			return err
		}
	}
	return errCrashed
}

// R27: whatever step the process ends at, the intent is explained at the next
// start, and a registrar that asks again, the same one or another with the same
// request of the pledge, gets the one voucher of the nonce.
func TestACrashBetweenIntentAndOutcomeMakesNoSecondVoucher(t *testing.T) {
	for step := 1; step <= 2; step++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("Step%d/after=%t", step, after), func(t *testing.T) {
				w := newOnDisk(t, nil)
				w.service.Close()
				w.store = &crash{Store: w.db, left: step, after: after}
				w.start()
				raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
				if v, err := w.service.RequestVoucher(t.Context(), w.request(raw)); err == nil {
					t.Fatalf("a voucher of %d bytes left a process that has ended", len(v.Raw))
				}
				w.at = w.at.Add(time.Hour)
				w.reopen()
				if open, err := w.db.OpenIntents(t.Context()); err != nil || len(open) != 0 {
					t.Errorf("%d intents are not explained, %v", len(open), err)
				}
				var got answers
				for range 2 {
					again := w.ask(w.mine, "0123456789abcdef") // signed anew
					got.ask(t, w.service, w.request(again.bytes(t)))
					got.ask(t, w.service, w.request(raw))
					w.reopen()
				}
				if len(got.vouchers) != 1 || w.records() != 1 {
					t.Errorf("%d vouchers, refusals %v, %d records; want one of each", len(got.vouchers), got.refusals, w.records())
				}
				if log := w.auditLog(raw); len(log.Events) != 1 {
					t.Errorf("the audit-log has %s, want one event", log.Raw)
				}
				w.service.Close()
				if _, err := w.db.VerifyTrail(t.Context()); err != nil {
					t.Errorf("VerifyTrail: %v", err)
				}
			})
		}
	}
}
