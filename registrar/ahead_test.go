package registrar_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// newAheadHouse is a house whose manufacturer's vouchers may lack a nonce.
func newAheadHouse(t *testing.T, change func(m *registrar.Manufacturer)) *house {
	t.Helper()
	h := newHouse(t, func(h *house) {
		m := h.settings.Manufacturers["acme"]
		m.AllowNonceless = true
		if change != nil {
			change(m)
		}
	})
	h.importSerials("SN-1")
	return h
}

func offline(m *registrar.Manufacturer) {
	m.Offline, m.AuditLog.Unavailable = true, registrar.AuditAllow
}

// carry has the MASA answer an order, as if somebody had carried it there.
func (h *house) carry(order *registrar.AheadVoucher) *registrar.VoucherImport {
	h.t.Helper()
	v, err := h.masa.RequestVoucher(h.t.Context(), &brski.MASARequest{MediaType: order.MediaType, Raw: order.Request, Accept: []string{order.MediaType}, At: h.now()})
	if err != nil {
		h.t.Fatal(err)
	}
	return &registrar.VoucherImport{Actor: "cli:me", MediaType: v.MediaType, Voucher: v.Raw}
}

func (h *house) order(device string) *registrar.AheadVoucher {
	h.t.Helper()
	row, err := h.service.OrderVoucher(h.t.Context(), &registrar.VoucherOrder{Actor: "cli:me", Device: device})
	if err != nil {
		h.t.Fatalf("OrderVoucher: %v", err)
	}
	return row
}

// RFC 8995, Section 5.5: a voucher is asked for before the device comes.
func TestASiteWithoutItsMASAServesVouchersThatWereCarriedThere(t *testing.T) {
	h := newAheadHouse(t, offline)
	a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
	a.refusedAs(registrar.ReasonMASA, 202) // nothing to serve yet
	first := h.order("SN-1")
	if again := h.order("SN-1"); again.ID != first.ID || !bytes.Equal(again.Request, first.Request) {
		t.Error("ordered twice, two requests were signed")
	}
	in := h.carry(first)
	row, err := h.service.ImportVoucher(t.Context(), in)
	if err != nil || row.ID != first.ID || row.State != registrar.AheadReady || row.ExpiresOn.IsZero() {
		t.Fatalf("ImportVoucher = %+v, %v", row, err)
	}
	if again, err := h.service.ImportVoucher(t.Context(), in); err != nil || again.ID != row.ID {
		t.Errorf("imported twice: %+v, %v", again, err)
	}
	h.advance(time.Second)
	renewal, err := h.service.ImportVoucher(t.Context(), h.carry(h.order("SN-1")))
	if err != nil || renewal.Renews != row.ID {
		t.Errorf("the renewal = %+v, %v", renewal, err)
	}
	if old, err := h.service.ImportVoucher(t.Context(), in); err != nil || old.State != registrar.AheadRenewed {
		t.Errorf("the old one imported again: %+v, %v; want it to stay renewed", old, err)
	}
	b := h.pledge(a.idevid, nil)
	got, err := b.send()
	if err != nil || !bytes.Equal(got.Raw, renewal.Voucher) {
		t.Fatalf("RequestVoucher = %v, %v; want the imported voucher", got, err)
	}
	h.service.Close()
	h.start()
	if again, err := b.send(); err != nil || !bytes.Equal(again.Raw, renewal.Voucher) {
		t.Errorf("the same request after a restart: %v", err)
	}
	if h.masa.count() != 2 { // by hand
		t.Errorf("the MASA was asked %d times", h.masa.count())
	}
	for kind, want := range map[string]int{registrar.KindVoucherOrdered: 2, registrar.KindVoucherReady: 2} {
		if got := len(h.entries(kind)); got != want {
			t.Errorf("%d entries %q, want %d", got, kind, want)
		}
	}
	issued := h.entries(registrar.KindVoucherIssued)
	if !bytes.Contains(issued[0].Body, []byte(`"ahead":"`+renewal.ID+`"`)) {
		t.Errorf("the trail does not name the voucher: %s", issued[0].Body)
	}
}

func TestAVoucherFetchedAheadIsServedWhileTheMASAIsDown(t *testing.T) {
	h := newAheadHouse(t, nil)
	idevid := h.idevidCA.IDevID(t, "SN-2", "")
	row, err := h.service.FetchVoucher(t.Context(), &registrar.VoucherOrder{Actor: "cli:me", IDevID: [][]byte{idevid.Certificate.Raw, h.idevidCA.Certificate.Raw}})
	if err != nil || row.State != registrar.AheadReady || row.AuditLog == nil {
		t.Fatalf("FetchVoucher = %+v, %v", row, err)
	}
	if got, err := h.pledge(idevid, nil).send(); err != nil || bytes.Equal(got.Raw, row.Voucher) {
		t.Errorf("while the MASA answers: %v; want a voucher with the nonce", err)
	}
	h.masa.set(func(m *fakeMASA) { m.fail = brski.ErrMASAUnavailable })
	if got, err := h.pledge(idevid, nil).send(); err != nil || !bytes.Equal(got.Raw, row.Voucher) {
		t.Errorf("while the MASA is down: %v, %v; want the voucher that is ready", got, err)
	}
	h.advance(2 * time.Hour) // past its end
	h.pledge(idevid, nil).refusedAs(registrar.ReasonMASA, 202)
	_, err = h.service.FetchVoucher(t.Context(), &registrar.VoucherOrder{Actor: "cli:me", Device: "SN-1"})
	refusal(t, err, registrar.ReasonMASA, 202)
}

// R27: a carried voucher is checked as one from the wire.
func TestACarriedVoucherThatIsNotGoodIsRefused(t *testing.T) {
	for _, c := range []struct {
		what   string
		lie    func(h *house) func(m *fakeMASA)
		reason string
	}{
		{"another's pin", func(h *house) func(m *fakeMASA) {
			return func(m *fakeMASA) {
				m.change = func(v *voucher.Voucher) { v.PinnedDomainCert = h.vendor.Certificate.Raw }
			}
		}, registrar.ReasonVoucherPin},
		{"expired", func(*house) func(m *fakeMASA) {
			return func(m *fakeMASA) { m.change = func(v *voucher.Voucher) { v.ExpiresOn = v.CreatedOn.Add(-time.Minute) } }
		}, registrar.ReasonVoucherExpired},
		{"a nonce", func(*house) func(m *fakeMASA) {
			return func(m *fakeMASA) {
				m.change = func(v *voucher.Voucher) { v.Nonce, v.ExpiresOn = voucher.NewNonce(), time.Time{} }
			}
		}, registrar.ReasonVoucherNonce},
		{"an assertion", func(*house) func(m *fakeMASA) {
			return func(m *fakeMASA) { m.change = func(v *voucher.Voucher) { v.Assertion = voucher.AgentProximity } }
		}, registrar.ReasonVoucherAssertion},
		{"a stranger's signature", func(h *house) func(m *fakeMASA) { return func(m *fakeMASA) { m.signer = h.vendor } }, registrar.ReasonVoucherSigner},
		{"a device that is not here", func(*house) func(m *fakeMASA) {
			return func(m *fakeMASA) { m.change = func(v *voucher.Voucher) { v.SerialNumber = "SN-404" } }
		}, registrar.ReasonDeviceUnlisted},
		{"nonsense", func(*house) func(m *fakeMASA) {
			return func(m *fakeMASA) { m.answer = func(v *brski.Voucher) { v.Raw = []byte("nonsense") } }
		}, registrar.ReasonVoucherMalformed},
	} {
		t.Run(c.what, func(t *testing.T) {
			h := newAheadHouse(t, offline)
			order := h.order("SN-1")
			h.masa.set(c.lie(h))
			_, err := h.service.ImportVoucher(t.Context(), h.carry(order))
			refusal(t, err, c.reason, registrar.Explain(c.reason).Status)
			h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil).refusedAs(registrar.ReasonMASA, 202)
		})
	}
}

func TestACarriedVoucherNeedsItsAuditLogWhereThePolicyDoes(t *testing.T) {
	h := newAheadHouse(t, func(m *registrar.Manufacturer) { m.Offline = true })
	in := h.carry(h.order("SN-1"))
	_, err := h.service.ImportVoucher(t.Context(), in)
	refusal(t, err, registrar.ReasonAuditLog, 502)
	in.AuditLog = []byte(`{"version":1,"events":"none"}`)
	_, err = h.service.ImportVoucher(t.Context(), in)
	refusal(t, err, registrar.ReasonAuditLog, 502)
	in.AuditLog = []byte(`{"version":1,"events":[]}`)
	if _, err := h.service.ImportVoucher(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if _, err := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil).send(); err != nil {
		t.Errorf("with its audit-log: %v", err)
	}
}

func TestVouchersWithoutANonceAreOrderedWhereTheyAreAllowedOnly(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	for what, r := range map[string]*registrar.VoucherOrder{
		"a manufacturer that does not allow it": {Device: "SN-1"},
		"a stranger's IDevID":                   {IDevID: [][]byte{h.ca.IDevID(t, "SN-1", "").Certificate.Raw}},
		"an encoding that is not spoken":        {Device: "SN-1", MediaType: "text/plain"},
	} {
		if _, err := h.service.OrderVoucher(t.Context(), r); !errors.Is(err, registrar.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
	if _, err := h.service.OrderVoucher(t.Context(), &registrar.VoucherOrder{Device: "SN-404"}); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("a device that is not here: %v, want ErrNotFound", err)
	}
	settings := *h.settings
	settings.Manufacturers = map[string]*registrar.Manufacturer{"acme": {IDevIDAnchors: h.vendor.Pool(), VoucherAnchors: h.vouchers.Pool(), Offline: true}}
	if err := h.service.Reload(&settings); err == nil {
		t.Error("a manufacturer whose MASA is not asked and whose vouchers need a nonce was taken")
	}
}

// BRSKI-8366BIS-10.1-01: a new request with the old voucher inside, ahead of
// its end and by itself.
func TestAVoucherThatEndsSoonIsRenewed(t *testing.T) {
	h := newAheadHouse(t, nil)
	first, err := h.service.FetchVoucher(t.Context(), &registrar.VoucherOrder{Actor: "cli:me", Device: "SN-1"})
	if err != nil {
		t.Fatal(err)
	}
	h.service.Close()
	synctest.Test(t, func(t *testing.T) {
		h.t = t
		h.start()
		synctest.Wait()
		if h.masa.count() != 1 {
			t.Errorf("renewed at once: the MASA was asked %d times", h.masa.count())
		}
		h.masa.set(func(m *fakeMASA) { m.fail = brski.ErrMASAUnavailable })
		pass := func(d time.Duration) { h.advance(d); time.Sleep(d) } //nolint:forbidigo // in a synctest bubble
		pass(45 * time.Minute)                                        // of the hour that it is good for
		if h.masa.count() < 2 {
			t.Error("the MASA was not asked to renew")
		}
		h.masa.set(func(m *fakeMASA) { m.fail = nil })
		pass(13 * time.Minute)
		rows, err := h.service.ListAheadVouchers(t.Context(), "", "", 0)
		if err != nil || len(rows) != 2 || rows[0].State != registrar.AheadRenewed || rows[1].State != registrar.AheadReady || rows[1].Renews != first.ID {
			t.Fatalf("vouchers = %+v, %v; want one renewed and one ready", rows, err)
		}
		q, artifact := h.masa.lastRequest(t)
		if !bytes.Equal(q.PriorSignedVoucherRequest, first.Voucher) || q.Nonce != "" || !artifact.Signer.Equal(h.registrar.Certificate) {
			t.Error("the request for the renewal does not hold the old voucher")
		}
		if old, _, err := (vouchercms.Format{}).OpenVoucher(q.PriorSignedVoucherRequest); err != nil || old.SerialNumber != "SN-1" {
			t.Errorf("prior-signed-voucher-request: %v", err)
		}
		asked := h.masa.count()
		pass(15 * time.Minute)
		if h.masa.count() != asked {
			t.Error("a renewed voucher was renewed again at once")
		}
		h.service.Close()
	})
}
