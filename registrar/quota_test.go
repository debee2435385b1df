package registrar_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
)

// full returns a house whose domain has room for that many devices.
func full(t *testing.T, devices int, change func(h *house)) *house {
	t.Helper()
	return newHouse(t, func(h *house) {
		h.settings.Limits.Devices = devices
		if change != nil {
			change(h)
		}
	})
}

func (h *house) importing(dryRun bool, serials ...string) (*registrar.ImportResult, error) {
	h.t.Helper()
	r := &registrar.ImportRequest{Actor: "cli:me", Manufacturer: "acme", DryRun: dryRun}
	for _, s := range serials {
		r.Devices = append(r.Devices, registrar.ImportDevice{SerialNumber: s})
	}
	return h.service.ImportDevices(h.t.Context(), r)
}

func (h *house) holds(devices int) {
	h.t.Helper()
	s, err := h.service.Status(h.t.Context(), "")
	if err != nil || s.Devices != devices || s.MaxDevices != h.settings.Limits.Devices {
		h.t.Errorf("Status = %+v, %v; want %d devices", s, err, devices)
	}
}

func TestADomainHoldsNoMoreDevicesThanItsLimit(t *testing.T) {
	h := full(t, 3, nil)
	first := h.enroll("a").basic(group)
	first.mustSend()
	h.importSerials("SN-1", "SN-2")
	h.holds(3)

	h.enroll("b").basic(group).refusedAs(registrar.ReasonDeviceQuota, http.StatusForbidden)
	if _, err := h.importing(false, "SN-1", "SN-3"); !errors.Is(err, registrar.ErrFull) {
		t.Errorf("import of one too many: %v, want ErrFull", err)
	}
	h.holds(3)
	if n := len(h.certificates(registrar.Intended)) + len(h.certificates(registrar.Abandoned)); n != 0 {
		t.Errorf("%d intents of a device that there is no room for", n)
	}
	if out, err := h.importing(true, "SN-1", "SN-3"); err != nil || out.Room == nil || *out.Room != 0 || out.Added != 1 {
		t.Errorf("dry run = %+v, %v; want no room for one", out, err)
	}

	// Devices on record go on, and a known one may be imported again.
	first.withKey(first.key).mustSend()
	if out, err := h.importing(false, "SN-1", "SN-2"); err != nil || out.Known != 2 {
		t.Errorf("import of known devices = %+v, %v", out, err)
	}

	// One leaves, and another may come; the first does not come back beside it.
	leave := &registrar.Decommissioning{Actor: "cli:me", Device: "SN-1", Reason: "gone"}
	if _, err := h.service.Decommission(t.Context(), leave); err != nil {
		t.Fatalf("Decommission: %v", err)
	}
	h.holds(2)
	h.enroll("b").basic(group).mustSend()
	back := &registrar.StateChange{Actor: "cli:me", Device: "SN-1"}
	if _, err := h.service.Readmit(t.Context(), back); !errors.Is(err, registrar.ErrFull) {
		t.Errorf("Readmit where there is no room: %v, want ErrFull", err)
	}
	h.settings.Limits.Devices = 4
	if err := h.service.Reload(h.settings); err != nil {
		t.Fatalf("Reload: %v", err)
	}
	if _, err := h.service.Readmit(t.Context(), back); err != nil {
		t.Errorf("Readmit once there is room: %v", err)
	}
	h.holds(4)
}

func TestALimitBelowWhatADomainHoldsKeepsOutOthersOnly(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1", "SN-2", "SN-3")
	h.settings.Limits.Devices = 1
	if err := h.service.Reload(h.settings); err != nil {
		t.Fatalf("Reload: %v", err)
	}
	h.holds(3)
	if out, err := h.importing(true, "SN-4"); err != nil || *out.Room != 0 {
		t.Errorf("dry run = %+v, %v; want no room", out, err)
	}
	if _, err := h.service.Suspend(t.Context(), &registrar.StateChange{Actor: "cli:me", Device: "SN-2"}); err != nil {
		t.Errorf("Suspend of a device of a full domain: %v", err)
	}
	h.enroll("other").basic(group).refusedAs(registrar.ReasonDeviceQuota, http.StatusForbidden)
}

// First contact by voucher-request, and an operator's approval of it.
func TestAVoucherBringsNoDeviceThatThereIsNoRoomFor(t *testing.T) {
	h := full(t, 1, func(h *house) { h.settings.Manufacturers["acme"].Unlisted = registrar.UnlistedAdmit })
	h.importSerials("SN-1")
	h.pledge(h.idevid("SN-2"), nil).refusedAs(registrar.ReasonDeviceQuota, http.StatusForbidden)
	h.masa.mu.Lock()
	if h.masa.asked != 0 {
		t.Errorf("the MASA was asked %d times about a device that there is no room for", h.masa.asked)
	}
	h.masa.mu.Unlock()
	if _, err := h.pledge(h.idevid("SN-1"), nil).send(); err != nil {
		t.Errorf("voucher of a device on record: %v", err)
	}
	h.holds(1)

	h = full(t, 1, func(h *house) { h.settings.Manufacturers["acme"].Unlisted = registrar.UnlistedPending })
	h.importSerials("SN-1")
	h.pledge(h.idevid("SN-2"), nil).refusedAs(registrar.ReasonApproval, http.StatusAccepted)
	rows, err := h.service.ListPending(t.Context(), "", registrar.StateWaiting, 0)
	if err != nil || len(rows) != 1 {
		t.Fatalf("pending = %+v, %v", rows, err)
	}
	_, err = h.service.Approve(t.Context(), &registrar.Verdicting{Actor: "cli:me", ID: rows[0].ID})
	if !errors.Is(err, registrar.ErrFull) {
		t.Errorf("Approve where there is no room: %v, want ErrFull", err)
	}
	h.holds(1)
}

// Attack: many new devices at once where there is room for few.
func TestAQuotaHoldsHoweverManyComeAtOnce(t *testing.T) {
	const room = 4
	h := full(t, room, nil)
	var wg sync.WaitGroup
	var came, refused atomic.Int64
	for n := range 5 * room {
		r := h.enroll("device-" + strings.Repeat("x", n+1)).basic(group)
		wg.Go(func() {
			switch _, err := r.send(); reasonOf(err) {
			case "":
				came.Add(1)
			case registrar.ReasonDeviceQuota:
				refused.Add(1)
			default:
				t.Errorf("send: %v", err)
			}
		})
	}
	wg.Wait()
	if came.Load() != room || refused.Load() != 4*room {
		t.Errorf("%d came and %d were refused, want %d and %d", came.Load(), refused.Load(), room, 4*room)
	}
	h.holds(room)
}

func reasonOf(err error) string {
	var e *est.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func TestADomainsRequestsAreBoundedWithinAMinute(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Limits.RequestsPerMinute = 3 })
	admit := func(op est.Operation) error {
		r := h.enroll("a")
		return h.service.Admit(t.Context(), &est.Request{Operation: op, Peer: r.peer, At: h.now()})
	}
	bootstrap := func() error {
		return h.service.BRSKI().Admit(t.Context(), &brski.Call{ID: "v", Operation: brski.OpRequestVoucher, Peer: h.enroll("a").peer, At: h.now()})
	}
	for what, err := range map[string]error{"cacerts": admit(est.OpCACerts), "simpleenroll": admit(est.OpSimpleEnroll), "requestvoucher": bootstrap()} {
		if err != nil {
			t.Errorf("%s within the limit: %v", what, err)
		}
	}
	for what, err := range map[string]error{"cacerts": admit(est.OpCACerts), "requestvoucher": bootstrap()} {
		refusal(t, err, registrar.ReasonDomainBudget, http.StatusServiceUnavailable)
		var e *est.Error
		if errors.As(err, &e) && (e.RetryAfter < time.Second || e.RetryAfter > time.Minute+time.Minute/2) {
			t.Errorf("%s: Retry-After of %s", what, e.RetryAfter)
		}
	}
	h.advance(3 * time.Minute)
	if err := admit(est.OpSimpleEnroll); err != nil {
		t.Errorf("after the minute: %v", err)
	}
	h.settings.Limits.RequestsPerMinute = -1
	if err := h.service.Reload(h.settings); err == nil {
		t.Error("a negative limit was taken")
	}
}
