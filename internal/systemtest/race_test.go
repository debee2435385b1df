package systemtest_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/systemtest"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// answer is what a device gets for a voucher-request.
type answer struct {
	domain *systemtest.Domain
	nonce  string
	status int
	body   []byte
}

// race has the device ask all domains at the same moment, each with a request of its own.
func race(t *testing.T, device *systemtest.Device, domains ...*systemtest.Domain) []*answer {
	t.Helper()
	var out []*answer
	var all sync.WaitGroup
	begin := make(chan struct{})
	for _, d := range domains {
		a := &answer{domain: d, nonce: voucher.NewNonce()}
		raw := device.Request(d.Registrar, func(q *voucher.Request) { q.Nonce = a.nonce })
		out = append(out, a)
		all.Go(func() {
			<-begin
			a.status, a.body = device.Post(d.URL, raw)
		})
	}
	close(begin)
	all.Wait()
	return out
}

// checkVoucher tells whether the answer is a voucher, which then has to be for this race.
func (a *answer) checkVoucher(t *testing.T) bool {
	t.Helper()
	if a.status != http.StatusOK {
		return false
	}
	v, _, err := vouchercms.Format{}.OpenVoucher(a.body)
	if err != nil || v.Nonce != a.nonce || string(v.PinnedDomainCert) != string(a.domain.Root.Certificate.Raw) {
		t.Errorf("%s hands out a voucher that is not for this network and request: %+v, %v", a.domain.Name, v, err)
	}
	return true
}

func refuseUnknown(_ *systemtest.Domain, m *registrar.Manufacturer) {
	m.AuditLog.UnknownDomain = registrar.AuditRefuse
}

func allowUnknown(_ *systemtest.Domain, m *registrar.Manufacturer) {
	m.AuditLog.UnknownDomain, m.AuditLog.NoncelessEntry = registrar.AuditAllow, registrar.AuditAllow
}

// R27; RFC 8995, Section 11.4: two registrars race for a device that nobody owns
// on record. Both are in its audit-log, none that refuses foreign domains lets it in
// beside another one, and what either hands out is good for itself only.
func TestOfTwoRegistrarsThatRaceForADeviceTheAuditLogTells(t *testing.T) {
	for range 5 {
		w := systemtest.New(t)
		a, b := w.Domain("A", refuseUnknown), w.Domain("B", refuseUnknown)
		device := w.Vendor.Build("SN-1")
		in := 0
		for _, answer := range race(t, device, a, b) {
			switch {
			case answer.checkVoucher(t):
				in++
			case answer.status != http.StatusNotAcceptable || len(answer.body) == 0:
				t.Errorf("%s answers %d %q, want a voucher or 406", answer.domain.Name, answer.status, answer.body)
			case !slices.Equal(answer.domain.Refusals(), []string{registrar.ReasonOtherDomains}):
				t.Errorf("%s has %q on record, want one %s", answer.domain.Name, answer.domain.Refusals(), registrar.ReasonOtherDomains)
			}
		}
		if in > 1 {
			t.Error("both registrars let the device in, though each refuses devices of the other")
		}
		log := w.Vendor.AuditLog(device)
		if len(log.Events) != 2 || log.Events[0].DomainID == log.Events[1].DomainID {
			t.Errorf("audit-log = %+v, want an entry of each domain", log.Events)
		}
	}
}

// R27: where the rules allow other domains both have a voucher, and the device
// goes to one of them only.
func TestADeviceBetweenTwoRegistrarsJoinsOne(t *testing.T) {
	w := systemtest.New(t)
	a, b := w.Domain("A", allowUnknown), w.Domain("B", allowUnknown)
	device := w.Vendor.Build("SN-1")
	for _, answer := range race(t, device, a, b) {
		if !answer.checkVoucher(t) {
			t.Errorf("%s answers %d %q, want a voucher", answer.domain.Name, answer.status, answer.body)
		}
	}
	if err := device.Onboard(a.URL, b.URL); err != nil {
		t.Fatal(err)
	}
	if n := len(a.Certificates()) + len(b.Certificates()); n != 1 {
		t.Errorf("%d certificates were issued, want one", n)
	}
	if stage := device.Stage(); stage != pledge.Enrolled {
		t.Errorf("the device is %q, want it enrolled", stage)
	}
}

// R27; RFC 8995, Section 5.5: with an owner on record the race is decided.
func TestTheOwnerOnRecordWinsTheRace(t *testing.T) {
	w := systemtest.New(t)
	owner, thief := w.Domain("owner", refuseUnknown), w.Domain("thief", allowUnknown)
	device := w.Vendor.Build("SN-1")
	w.Vendor.Sell(device, owner)
	answers := race(t, device, owner, thief)
	if !answers[0].checkVoucher(t) {
		t.Errorf("the owner gets %d %q, want a voucher", answers[0].status, answers[0].body)
	}
	if a := answers[1]; a.status != http.StatusForbidden || len(a.body) == 0 {
		t.Errorf("the other one gets %d %q, want 403 and a text", a.status, a.body)
	}
	if log := w.Vendor.AuditLog(device); len(log.Events) != 1 {
		t.Errorf("audit-log = %+v, want the owner's entry only", log.Events)
	}
	// The thief's is asked first: it does not help, and the device goes on to its owner's.
	if err := device.Onboard(thief.URL, owner.URL); err != nil {
		t.Errorf("the device at its owner's: %v", err)
	}
	if thief.Certificates() != nil || len(owner.Certificates()) != 1 {
		t.Error("the device is not the owner's alone")
	}
	if got := w.Vendor.Refusals(); len(got) == 0 || got[0] != masa.ReasonNotOwner {
		t.Errorf("the MASA has %q on record, want %s", got, masa.ReasonNotOwner)
	}
	if got := slices.Compact(thief.Refusals()); !slices.Equal(got, []string{registrar.ReasonMASARefused}) {
		t.Errorf("the registrar has %q on record, want %s", got, registrar.ReasonMASARefused)
	}
}

// R27; RFC 8995, Section 11.4: what the device signed for one registrar is of no
// use to the other one, which has it from the wire, nor are both asked in turn.
func TestInARaceNobodyUsesWhatTheDeviceSignedForTheOther(t *testing.T) {
	w := systemtest.New(t)
	a, b := w.Domain("A", allowUnknown), w.Domain("B", allowUnknown)
	device := w.Vendor.Build("SN-1")
	raw := device.Request(a.Registrar, nil)
	status, _ := device.Post(b.URL, raw)
	if want := registrar.Explain(registrar.ReasonProximity).Status; status != want {
		t.Errorf("B answers %d, want %d", status, want)
	}
	if _, err := b.MASA.RequestVoucher(t.Context(), b.MASARequest(raw, nil)); err == nil {
		t.Error("the MASA gives B a voucher for what the device signed for A")
	}
	if status, body := device.Post(a.URL, raw); status != http.StatusOK {
		t.Errorf("A, whom the request is for: %d %q", status, body)
	}
	if got := b.Refusals(); !slices.Equal(got, []string{registrar.ReasonProximity}) {
		t.Errorf("B has %q on record, want one %s", got, registrar.ReasonProximity)
	}
	if got := w.Vendor.Refusals(); !slices.Equal(got, []string{masa.ReasonProximity}) {
		t.Errorf("the MASA has %q on record, want one %s", got, masa.ReasonProximity)
	}
}
