package systemtest_test

import (
	"encoding/base64"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/systemtest"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// resold is a device that was A's and is B's now.
type resold struct {
	*systemtest.World
	a, b   *systemtest.Domain
	device *systemtest.Device
	old    []byte // what the device signed for A
	kept   []byte // A's voucher
}

func resell(t *testing.T, rules func(d *systemtest.Domain, m *registrar.Manufacturer)) *resold {
	t.Helper()
	w := systemtest.New(t)
	r := &resold{World: w, a: w.Domain("A"), device: w.Vendor.Build("SN-1")}
	r.b = w.Domain("B", func(d *systemtest.Domain, m *registrar.Manufacturer) {
		if rules != nil {
			rules(d, m)
		}
	})
	w.Vendor.Sell(r.device, r.a)
	if err := r.device.Onboard(r.a.URL); err != nil {
		t.Fatalf("at the first owner's: %v", err)
	}
	var err error
	if r.old, err = r.device.Load(pledge.FileRequest); err != nil {
		t.Fatal(err)
	}
	if r.kept, err = r.device.Load(pledge.FileVoucher); err != nil {
		t.Fatal(err)
	}
	w.Advance(24 * time.Hour)
	w.Vendor.Sell(r.device, r.b)
	r.device.Reset()
	return r
}

// R27; RFC 8995, Sections 5.5 and 11.4: after the sale the former owner gets no
// voucher any more, neither for a new request nor for those that were answered
// before, and its old voucher is of no use.
func TestAFormerOwnerGetsNoFurtherVoucher(t *testing.T) {
	r := resell(t, nil)
	if reason := systemtest.Reason(r.device.Onboard(r.a.URL)); reason != pledge.ReasonRegistrarRefused {
		t.Errorf("the device at its former owner's: %q, want %s", reason, pledge.ReasonRegistrarRefused)
	}
	if _, err := r.a.MASA.RequestVoucher(t.Context(), r.a.MASARequest(r.old, nil)); err == nil {
		t.Error("the MASA answers the former owner's old request again")
	}
	replaying := r.Serve(r.a.Registrar, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", vouchercms.MediaType)
		_, _ = rw.Write(r.kept)
	}))
	if reason := systemtest.Reason(r.device.Onboard(replaying)); reason != pledge.ReasonVoucherNonce {
		t.Errorf("the former owner's old voucher: %q, want %s", reason, pledge.ReasonVoucherNonce)
	}
	if n := len(r.a.Certificates()); n != 1 {
		t.Errorf("the former owner issued %d certificates, want the one from before", n)
	}
	if got := r.a.Refusals(); !slices.Equal(got, []string{registrar.ReasonMASARefused}) {
		t.Errorf("the former owner's registrar has %q on record, want one %s", got, registrar.ReasonMASARefused)
	}
	if got := r.Vendor.Refusals(); !slices.Equal(got, []string{masa.ReasonNotOwner}) || r.Vendor.Service.RefusalCounts()[masa.ReasonNotOwner] != 2 {
		t.Errorf("the MASA has %q on record, want %s once for two within a minute", got, masa.ReasonNotOwner)
	}
}

// R27; RFC 8995, Section 5.8.3: what the new owner's registrar makes of the
// former one is for its rules to say.
func TestTheNewOwnerDecidesWhatAFormerDomainMeans(t *testing.T) {
	for name, c := range map[string]struct {
		rules  func(d *systemtest.Domain, m *registrar.Manufacturer)
		reason string // of the pledge
		record []string
	}{
		"refused": {refuseUnknown, pledge.ReasonRegistrarRefused, []string{registrar.ReasonOtherDomains}},
		"waits":   {nil, pledge.ReasonPending, nil},
		"allowed": {allowUnknown, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := resell(t, c.rules)
			if reason := systemtest.Reason(r.device.Onboard(r.b.URL)); reason != c.reason {
				t.Errorf("the device at its new owner's: %q, want %q", reason, c.reason)
			}
			if got := r.b.Refusals(); !slices.Equal(got, c.record) {
				t.Errorf("the new owner's registrar has %q on record, want %q", got, c.record)
			}
			if n := len(r.b.Certificates()); (n == 1) != (c.reason == "") {
				t.Errorf("%d certificates were issued", n)
			}
			if c.reason == pledge.ReasonPending {
				r.approve(t)
			}
		})
	}
}

// approve has the operator of B look at the history, and take it.
func (r *resold) approve(t *testing.T) {
	t.Helper()
	list, err := r.b.Service.ListPending(t.Context(), "", registrar.StateWaiting, 0)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d requests wait, %v; want one", len(list), err)
	}
	evidence, err := r.b.Service.Evidence(t.Context(), "", r.device.Serial)
	if err != nil || len(evidence.Exchanges) != 1 || len(evidence.Exchanges[0].Events) != 2 {
		t.Fatalf("evidence = %+v, %v; want the audit-log's two entries", evidence, err)
	}
	if _, err := r.b.Service.Approve(t.Context(), &registrar.Verdicting{Actor: "test", ID: list[0].ID}); err != nil {
		t.Fatal(err)
	}
	if err := r.device.Onboard(r.b.URL); err != nil {
		t.Errorf("after the operator's approval: %v", err)
	}
}

// RFC 8995, Section 5.8.3: a domain that is known by name is no surprise.
func TestAFormerDomainThatTheNewOwnerKnowsIsTaken(t *testing.T) {
	w := systemtest.New(t)
	a, b := w.Domain("A"), w.Domain("B", refuseUnknown)
	b.Reload(func(m *registrar.Manufacturer) {
		m.AuditLog.Known = map[string]string{base64.StdEncoding.EncodeToString(voucher.DomainID(a.Root.Certificate)): "A"}
	})
	device := w.Vendor.Build("SN-1")
	for _, d := range []*systemtest.Domain{a, b} {
		w.Vendor.Sell(device, d)
		if err := device.Onboard(d.URL); err != nil {
			t.Fatalf("at %s: %v", d.Name, err)
		}
		device.Reset()
		w.Advance(time.Hour)
	}
}

// RFC 8995, Section 5.8: the former owner still sees what became of the device,
// and a stranger does not.
func TestAFormerOwnerReadsTheAuditLogOn(t *testing.T) {
	r := resell(t, allowUnknown)
	if err := r.device.Onboard(r.b.URL); err != nil {
		t.Fatal(err)
	}
	log, err := r.a.MASA.RequestAuditLog(t.Context(), r.a.MASARequest(r.old, nil))
	if err != nil || len(log.Events) != 2 {
		t.Fatalf("the former owner reads %+v, %v; want both entries", log, err)
	}
	domainOf := func(d *systemtest.Domain) string {
		return base64.StdEncoding.EncodeToString(voucher.DomainID(d.Root.Certificate))
	}
	if log.Events[0].DomainID == log.Events[1].DomainID || !slices.ContainsFunc(log.Events, func(e brski.AuditEvent) bool { return e.DomainID == domainOf(r.b) }) {
		t.Errorf("audit-log = %+v, want an entry of the new owner %s", log.Events, domainOf(r.b))
	}
	c := r.Domain("C")
	if log, err := c.MASA.RequestAuditLog(t.Context(), c.MASARequest(r.device.Request(c.Registrar, nil), nil)); err == nil {
		t.Errorf("a stranger reads %+v", log.Events)
	}
}
