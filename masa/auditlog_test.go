package masa_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/voucher"
)

// RFC 8995, Sections 5.8.1 and 5.8.2.
// BRSKI-8995-5.6-15, BRSKI-8995-9.1.1-03, BRSKI-8995-5.5.5-03, BRSKI-8995-5.5.6-02: an event for each, with its assertion, and a nonce or null.
func TestAuditLogHasAnEventForEachVoucher(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.AllowNonceless = true })
	raw := w.ask(w.theirs, "nonce-for-theirs").bytes(t)
	w.voucher(raw)
	w.voucher(raw) // asked again: no event of its own
	w.own(w.mine)
	w.at = w.at.Add(time.Minute)
	nonceless := w.ask(w.mine, "")
	nonceless.idevid = nil
	w.voucher(nonceless.bytes(t))
	log, err := w.service.RequestAuditLog(t.Context(), w.request(raw))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version int
		Events  []map[string]any
	}
	if err := json.Unmarshal(log.Raw, &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != 1 || len(got.Events) != 2 {
		t.Fatalf("audit-log %s, want version 1 and two events", log.Raw)
	}
	first, second := got.Events[0], got.Events[1]
	id := base64.StdEncoding.EncodeToString(voucher.DomainID(w.theirs.root.Certificate))
	if first["domainID"] != id || first["nonce"] != "nonce-for-theirs" || first["assertion"] != "proximity" ||
		first["date"] != w.at.Add(-time.Minute).Format(time.RFC3339) {
		t.Errorf("first event = %v", first)
	}
	if nonce, there := second["nonce"]; !there || nonce != nil || second["assertion"] != "logged" {
		t.Errorf("second event = %v, want a nonce of null and logged", second)
	}
	if served := w.trail(masa.KindAuditLogServed); len(served) != 1 {
		t.Errorf("%d entries on the trail for the audit-log, want 1", len(served))
	}
}

// RFC 8995, Section 5.8: the same 404 for a device that is unknown and for a
// requester that never owned it.
// BRSKI-8995-5.8-05.
func TestAuditLogIsHiddenFromStrangers(t *testing.T) {
	w := newWorld(t, nil)
	w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t))
	got, err := w.service.RequestAuditLog(t.Context(), w.request(w.ask(w.theirs, "0123456789abcdef").bytes(t)))
	wantRefusal(t, got != nil, err, 404, masa.ReasonNoAuditLog)
	a := w.ask(w.theirs, "0123456789abcdef")
	a.idevid = w.idevidCA.IDevID(t, "never built", "")
	a.pledge.SerialNumber, a.registrar.SerialNumber = "never built", "never built"
	got, err = w.service.RequestAuditLog(t.Context(), w.request(a.bytes(t)))
	wantRefusal(t, got != nil, err, 404, masa.ReasonNoAuditLog)
}

func TestAuditLogOverTheLimitSaysWhatItLeftOut(t *testing.T) {
	for _, c := range []struct {
		limit, mine, theirs int
		want                string
	}{
		{5, 2, 3, "mine:0 mine:0 theirs:0 theirs:0 theirs:0 &{0 0 0}"},
		{2, 2, 3, "mine:1 theirs:2 &{3 0 0}"},
		{1, 2, 3, "theirs:2 &{2 0 2}"},
	} {
		w := newWorld(t, func(s *masa.Settings, _ *masa.Product) { s.AuditLogLimit = c.limit })
		var last []byte
		for d, n := range map[*domain]int{w.mine: c.mine} {
			for i := range n {
				w.voucher(w.ask(d, fmt.Sprintf("nonce-of-mine-%d", i)).bytes(t))
				w.at = w.at.Add(time.Second)
			}
		}
		for i := range c.theirs {
			last = w.ask(w.theirs, fmt.Sprintf("nonce-of-theirs-%d", i)).bytes(t)
			w.voucher(last)
			w.at = w.at.Add(time.Second)
		}
		log, err := w.service.RequestAuditLog(t.Context(), w.request(last))
		if err != nil {
			t.Fatal(err)
		}
		if got := w.describe(log); got != c.want {
			t.Errorf("limit %d: %s, want %s", c.limit, got, c.want)
		}
	}
}

func (w *world) describe(log *brski.AuditLog) string {
	names := map[string]string{
		base64.StdEncoding.EncodeToString(voucher.DomainID(w.mine.root.Certificate)):   "mine",
		base64.StdEncoding.EncodeToString(voucher.DomainID(w.theirs.root.Certificate)): "theirs",
	}
	var out string
	for _, e := range log.Events {
		out += fmt.Sprintf("%s:%d ", names[e.DomainID], e.Truncated)
	}
	return out + fmt.Sprint(log.Truncation)
}
