package masa_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
)

// RFC 8995, Section 5.5.3: what is revoked is refused for good, and what
// nobody answers for the time being.
func TestRegistrarThatIsRevokedOrUnansweredGetsNothing(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		reason string
	}{
		{fmt.Errorf("%w: key compromise", masa.ErrRegistrarRevoked), 403, masa.ReasonRegistrarGone},
		{fmt.Errorf("%w: timeout", masa.ErrRegistrarUnanswered), 503, masa.ReasonRegistrarAsk},
		{errors.New("not liked"), 403, masa.ReasonRegistrarPolicy},
	} {
		w := newWorld(t, nil)
		raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
		w.voucher(raw)
		settings := *w.settings
		settings.CheckRegistrar = func(context.Context, []*x509.Certificate, time.Time) (time.Time, error) { return time.Time{}, c.err }
		if err := w.service.Reload(&settings); err != nil {
			t.Fatal(err)
		}
		w.refused(raw, c.status, c.reason) // a voucher that is on record, too
		w.refused(w.ask(w.mine, "fedcba9876543210").bytes(t), c.status, c.reason)
		got, err := w.service.RequestAuditLog(t.Context(), w.request(raw))
		wantRefusal(t, got != nil, err, c.status, c.reason)
		var e *est.Error
		if errors.As(err, &e) && (e.Status == 503) != (e.RetryAfter > 0) {
			t.Errorf("%s: try again after %s", c.reason, e.RetryAfter)
		}
		if n := w.records(); n != 1 {
			t.Errorf("%s: %d issuances on record, want the one before", c.reason, n)
		}
	}
}

// A CA that two others certify: one of them may have revoked it.
func TestOneGoodChainOfTheRegistrarIsEnough(t *testing.T) {
	w := newWorld(t, nil)
	other := testpki.NewRoot(t, "other root")
	cross := other.Issue(t, &x509.Certificate{
		RawSubject: w.mine.ca.Certificate.RawSubject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		SubjectKeyId: w.mine.ca.Certificate.SubjectKeyId,
	}, w.mine.ca.Key)
	a := w.ask(w.mine, "0123456789abcdef")
	a.chain = append(a.chain, cross.Certificate, other.Certificate)
	bad := make(map[string]bool)
	asked := 0
	settings := *w.settings
	settings.CheckRegistrar = func(_ context.Context, chain []*x509.Certificate, _ time.Time) (time.Time, error) {
		asked++
		if bad[chain[len(chain)-1].Subject.CommonName] {
			return time.Time{}, masa.ErrRegistrarRevoked
		}
		return time.Time{}, nil
	}
	if err := w.service.Reload(&settings); err != nil {
		t.Fatal(err)
	}
	bad["mine root"], bad["other root"] = true, true
	w.refused(a.bytes(t), 403, masa.ReasonRegistrarGone)
	if asked != 2 {
		t.Fatalf("%d chains were looked at, want 2", asked)
	}
	bad["other root"] = false
	if v, _ := w.voucher(a.bytes(t)); !bytes.Equal(v.PinnedDomainCert, other.Certificate.Raw) {
		t.Error("the pin is of a chain with a revoked certificate")
	}
}

// A hostile registrar's certificate names servers for the MASA to ask. For
// somebody whom no device has signed for, or who is told nothing anyway, nobody is asked.
func TestNobodyIsAskedForAStrangersSake(t *testing.T) {
	asked := 0
	w := newWorld(t, func(s *masa.Settings, p *masa.Product) {
		p.AllowNoPriorSigned = true
		s.CheckRegistrar = func(context.Context, []*x509.Certificate, time.Time) (time.Time, error) {
			asked++
			return time.Time{}, nil
		}
	})
	madeUp := w.ask(w.mine, "0123456789abcdef")
	madeUp.idevid, madeUp.registrar.SerialNumber = nil, "made up"
	w.refused(madeUp.bytes(t), 404, masa.ReasonDeviceUnknown)
	forged := w.ask(w.mine, "0123456789abcdef")
	forged.idevid = testpki.NewRoot(t, "another vendor").IDevID(t, serial, "")
	w.refused(forged.bytes(t), 403, masa.ReasonIDevIDUntrusted)
	got, err := w.service.RequestAuditLog(t.Context(), w.request(w.ask(w.theirs, "0123456789abcdef").bytes(t)))
	wantRefusal(t, got != nil, err, 404, masa.ReasonNoAuditLog)
	if asked != 0 {
		t.Errorf("%d questions were asked, want none", asked)
	}
	w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t))
	if asked != 1 {
		t.Errorf("%d questions were asked for a request that holds, want one", asked)
	}
}

// Servers that take their time hold up neither the device, nor an operator, nor
// other addresses, and of one address only so many requests wait.
func TestSlowRevocationServersHoldUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		var waiting atomic.Int64
		w := newWorld(t, nil)
		theirs := w.theirs.registrar.Certificate
		settings := *w.settings
		settings.CheckRegistrar = func(_ context.Context, chain []*x509.Certificate, _ time.Time) (time.Time, error) {
			if chain[0].Equal(theirs) {
				waiting.Add(1)
				<-slow
			}
			return time.Time{}, nil
		}
		if err := w.service.Reload(&settings); err != nil {
			t.Fatal(err)
		}
		hostile := w.request(w.ask(w.theirs, "fedcba9876543210").bytes(t))
		hostile.Peer = &est.Peer{Address: netip.MustParseAddrPort("127.0.0.66:1")}
		reasons := make(chan string, 8)
		for range cap(reasons) {
			go func() {
				_, err := w.service.RequestVoucher(t.Context(), hostile)
				var e *est.Error
				errors.As(err, &e)
				if e == nil {
					e = &est.Error{}
				}
				reasons <- e.Reason
			}()
		}
		synctest.Wait()
		if n := waiting.Load(); n != 4 || len(reasons) != 4 {
			t.Errorf("%d requests wait and %d were refused, want 4 of each", n, len(reasons))
		}
		w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t))
		w.importSerial("another")
		if _, err := w.service.Block(t.Context(), &masa.BlockRequest{DeviceRef: masa.DeviceRef{SerialNumber: serial}}); err != nil {
			t.Error(err)
		}
		close(slow)
		counts := make(map[string]int)
		for range cap(reasons) {
			counts[<-reasons]++
		}
		if counts[masa.ReasonRegistrarAsk] != 4 || counts[masa.ReasonDeviceBlocked] != 4 {
			t.Errorf("refusals %v, want 4 at once and 4 for the device, which was blocked meanwhile", counts)
		}
	})
}

// RFC 8995, Section 5.6: nothing is good for longer than what was found out about the registrar.
func TestNoncelessVoucherEndsWithTheRevocationList(t *testing.T) {
	w := newWorld(t, nil)
	end := w.at.Add(time.Hour)
	settings := *w.settings
	settings.CheckRegistrar = func(context.Context, []*x509.Certificate, time.Time) (time.Time, error) { return end, nil }
	p := settings.Products["widget"]
	p.AllowNonceless, p.NoncelessLifetime = true, 48*time.Hour
	settings.Products = map[string]masa.Product{"widget": p}
	if err := w.service.Reload(&settings); err != nil {
		t.Fatal(err)
	}
	w.own(w.mine)
	a := w.ask(w.mine, "")
	a.idevid = nil
	if v, _ := w.voucher(a.bytes(t)); !v.ExpiresOn.Equal(end) {
		t.Errorf("expires-on = %s, want %s", v.ExpiresOn, end)
	}
}
