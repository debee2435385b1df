package masa_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/masa"
)

// claim makes a code for the device.
func (w *world) claim(resale bool) string {
	w.t.Helper()
	codes, err := w.service.CreateClaims(w.t.Context(), &masa.ClaimRequest{Devices: []masa.DeviceRef{ref()}, Resale: resale, By: "test"})
	if err != nil || len(codes) != 1 {
		w.t.Fatalf("CreateClaims = %v, %v; want one code", codes, err)
	}
	return codes[0].Code
}

func (w *world) redeem(code string, d *domain) {
	w.t.Helper()
	owners, err := w.service.RedeemClaim(w.t.Context(), &masa.Redemption{Code: code, DomainRef: domainRef(d), By: "test"})
	if err != nil || len(owners) != 1 || owners[0].Source != masa.SourceClaim {
		w.t.Fatalf("RedeemClaim = %+v, %v; want one owner", owners, err)
	}
}

// notRedeemed expects that the code does not count.
func (w *world) notRedeemed(code string, d *domain, want error, text string) {
	w.t.Helper()
	_, err := w.service.RedeemClaim(w.t.Context(), &masa.Redemption{Code: code, DomainRef: domainRef(d), By: "test"})
	if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
		w.t.Errorf("RedeemClaim: error %v, want %v with %q", err, want, text)
	}
}

func TestClaimCodeMakesAnOwnerOnce(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.RequireOwner = true })
	w.refused(w.ask(w.mine, "0123456789abcdef").bytes(t), 403, masa.ReasonNoOwner)
	code := w.claim(false)
	w.redeem(" "+strings.ToLower(strings.ReplaceAll(code, "-", " ")), w.mine)
	w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t))
	w.notRedeemed(code, w.theirs, masa.ErrInvalid, "redeemed")
	w.refused(w.ask(w.theirs, "fedcba9876543210").bytes(t), 403, masa.ReasonNotOwner)
	found := w.show()
	if len(found.Claims) != 1 || found.Claims[0].OwnerID != found.Owners[0].ID {
		t.Errorf("claims = %+v, want one that led to the owner", found.Claims)
	}
	for _, kind := range []string{masa.KindClaimCreated, masa.KindClaimRedeemed} {
		for _, e := range w.trail(kind) {
			if strings.Contains(string(e.Body), code[:5]) {
				t.Errorf("the code is on the trail: %s", e.Body)
			}
		}
		if got := w.trail(kind); len(got) != 1 {
			t.Errorf("%d entries %s, want 1", len(got), kind)
		}
	}
}

func TestClaimCodesThatDoNotCountSayWhy(t *testing.T) {
	w := newWorld(t, nil)
	w.notRedeemed("AAAAA-BBBBB-CCCCC-DDDDD", w.mine, masa.ErrNotFound, "")
	w.notRedeemed("", w.mine, masa.ErrNotFound, "")
	lost := w.claim(false)
	code := w.claim(false)
	w.notRedeemed(lost, w.mine, masa.ErrInvalid, "replaced")
	if _, err := w.service.Block(t.Context(), &masa.BlockRequest{DeviceRef: ref(), Reason: "stolen", By: "test"}); err != nil {
		t.Fatal(err)
	}
	w.notRedeemed(code, w.mine, masa.ErrInvalid, "blocked")
	if _, err := w.service.Unblock(t.Context(), &masa.BlockRequest{DeviceRef: ref(), By: "test"}); err != nil {
		t.Fatal(err)
	}
	w.at = w.at.AddDate(1, 0, 1)
	w.notRedeemed(code, w.mine, masa.ErrInvalid, "expired")
	code = w.claim(false)
	w.own(w.mine)
	w.notRedeemed(code, w.theirs, masa.ErrInvalid, "replaced")
	_, err := w.service.CreateClaims(t.Context(), &masa.ClaimRequest{Devices: []masa.DeviceRef{ref()}})
	if !errors.Is(err, masa.ErrInvalid) || !strings.Contains(err.Error(), "resale") {
		t.Errorf("CreateClaims for a device with an owner: error %v, want ErrInvalid that names the resale", err)
	}
}

func TestResaleCodeEndsTheOwnershipOnRecord(t *testing.T) {
	w := newWorld(t, nil)
	w.own(w.mine)
	code := w.claim(true)
	w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t)) // still theirs to use
	w.at = w.at.Add(time.Hour)
	w.redeem(code, w.theirs)
	w.refused(w.ask(w.mine, "fedcba9876543210").bytes(t), 403, masa.ReasonNotOwner)
	w.voucher(w.ask(w.theirs, "fedcba9876543210").bytes(t))
	if owners := w.show().Owners; len(owners) != 2 || owners[0].Until.IsZero() {
		t.Errorf("owners = %+v, want the first to have ended", owners)
	}
}

func TestOneCodeMayBeForManyDevicesAndEachMayHaveItsOwn(t *testing.T) {
	w := newWorld(t, nil)
	w.importSerial("a", "b")
	devices := []masa.DeviceRef{{SerialNumber: "a"}, {SerialNumber: "b"}}
	each, err := w.service.CreateClaims(t.Context(), &masa.ClaimRequest{Devices: devices, Each: true})
	if err != nil || len(each) != 2 || each[0].Code == each[1].Code {
		t.Fatalf("CreateClaims for each = %+v, %v; want two codes", each, err)
	}
	one, err := w.service.CreateClaims(t.Context(), &masa.ClaimRequest{Devices: devices, Lifetime: time.Hour})
	if err != nil || len(one) != 1 || len(one[0].SerialNumbers) != 2 || !one[0].ExpiresAt.Equal(w.at.Add(time.Hour)) {
		t.Fatalf("CreateClaims for all = %+v, %v; want one code for an hour", one, err)
	}
	w.notRedeemed(each[0].Code, w.mine, masa.ErrInvalid, "replaced")
	owners, err := w.service.RedeemClaim(t.Context(), &masa.Redemption{Code: one[0].Code, DomainRef: domainRef(w.mine)})
	if err != nil || len(owners) != 2 {
		t.Errorf("RedeemClaim = %v, %v; want two owners", owners, err)
	}
	for name, bad := range map[string]*masa.ClaimRequest{
		"none":     {},
		"too many": {Devices: make([]masa.DeviceRef, masa.MaxClaim+1)},
		"twice":    {Devices: []masa.DeviceRef{ref(), ref()}},
		"too long": {Devices: []masa.DeviceRef{ref()}, Lifetime: 30 * 365 * 24 * time.Hour},
	} {
		if _, err := w.service.CreateClaims(t.Context(), bad); !errors.Is(err, masa.ErrInvalid) {
			t.Errorf("CreateClaims, %s: error %v, want ErrInvalid", name, err)
		}
	}
}

func TestRacingRedemptionsMakeOneOwner(t *testing.T) {
	w := newWorld(t, nil)
	code := w.claim(false)
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			d := []*domain{w.mine, w.theirs}[i%2]
			if _, err := w.service.RedeemClaim(t.Context(), &masa.Redemption{Code: code, DomainRef: domainRef(d)}); err == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if owners := w.show().Owners; won.Load() != 1 || len(owners) != 1 {
		t.Errorf("%d redemptions counted and %d owners are on record, want 1", won.Load(), len(owners))
	}
}
