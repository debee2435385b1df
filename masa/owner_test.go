package masa_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/voucher"
)

func ref() masa.DeviceRef { return masa.DeviceRef{SerialNumber: serial} }

func domainRef(d *domain) masa.DomainRef {
	return masa.DomainRef{Certificate: d.root.Certificate.Raw, Name: d.root.Certificate.Subject.CommonName}
}

func (w *world) show() *masa.DeviceCase {
	w.t.Helper()
	found, err := w.service.Device(w.t.Context(), ref())
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// BRSKI-8366BIS-8.4-06: verified rests on a sale or a claim code, proximity on
// what the pledge signed, and all else is logged; the audit-log says the same.
func TestAssertionInVoucherAndAuditLogIsWhatWasProven(t *testing.T) {
	for _, c := range []struct {
		name   string
		proof  func(*world)
		signed bool // the pledge's request is there
		want   voucher.Assertion
	}{
		{"Sale", func(w *world) { w.own(w.mine) }, true, voucher.Verified},
		{"ClaimCode", func(w *world) { w.redeem(w.claim(false), w.mine) }, true, voucher.Verified},
		{"CodeNotRedeemed", func(w *world) { w.claim(false) }, true, voucher.Proximity},
		{"SaleThatEnded", func(w *world) { w.own(w.mine); w.endOwner() }, true, voucher.Proximity},
		{"PledgeAlone", func(*world) {}, true, voucher.Proximity},
		{"Nothing", func(*world) {}, false, voucher.Logged},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.Assertion, p.AllowNoPriorSigned = voucher.Verified, true })
			c.proof(w)
			a := w.ask(w.mine, "0123456789abcdef")
			a.registrar.Assertion = voucher.Verified // what is asserted does not count
			if !c.signed {
				a.idevid = nil
			}
			if v, _ := w.voucher(a.bytes(t)); v.Assertion != c.want {
				t.Errorf("assertion of the voucher = %q, want %q", v.Assertion, c.want)
			}
			log, err := w.service.AuditLog(t.Context(), ref())
			if err != nil || len(log.Events) != 1 || log.Events[0].Assertion != c.want {
				t.Errorf("AuditLog = %+v, %v; want one event, %s", log, err, c.want)
			}
		})
	}
}

func (w *world) endOwner() {
	w.t.Helper()
	if _, err := w.service.EndOwner(w.t.Context(), &masa.OwnerEnd{DeviceRef: ref(), By: "test"}); err != nil {
		w.t.Fatal(err)
	}
}

func TestSoldOnDeviceIsTheNewOwnersAndKeepsItsHistory(t *testing.T) {
	w := newWorld(t, nil)
	w.own(w.mine)
	w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t))
	sold := w.at.Add(time.Hour)
	w.at = sold
	_, err := w.service.AddOwner(t.Context(), &masa.OwnerClaim{DeviceRef: ref(), DomainRef: domainRef(w.theirs), Replace: true, By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	w.refused(w.ask(w.mine, "fedcba9876543210").bytes(t), 403, masa.ReasonNotOwner)
	w.voucher(w.ask(w.theirs, "fedcba9876543210").bytes(t))
	if owners := w.show().Owners; len(owners) != 2 || !owners[0].Until.Equal(sold) || !owners[1].Until.IsZero() || owners[1].Source != masa.SourceSale {
		t.Errorf("owners = %+v, want the first until %s and the second since", owners, sold)
	}
	w.endOwner()
	if owners := w.show().Owners; len(owners) != 2 || owners[1].Until.IsZero() {
		t.Errorf("owners after the end = %+v, want both over", owners)
	}
	if got := w.trail(masa.KindOwnerEnded); len(got) != 1 {
		t.Errorf("%d ends on the trail, want 1", len(got))
	}
}

func TestSalesAreImportedAllOrNone(t *testing.T) {
	w := newWorld(t, nil)
	w.importSerial("a", "b")
	row := func(s string, d *domain) masa.OwnerClaim {
		return masa.OwnerClaim{DeviceRef: masa.DeviceRef{SerialNumber: s}, DomainRef: domainRef(d)}
	}
	send := func(in *masa.OwnerImport) *masa.ImportReport {
		t.Helper()
		report, err := w.service.ImportOwners(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	bad := send(&masa.OwnerImport{Owners: []masa.OwnerClaim{row("a", w.mine), row("x", w.mine), row("a", w.theirs), {DeviceRef: ref()}}})
	if bad.Applied || len(bad.Problems) != 3 || bad.Problems[0].Row != 2 || bad.Problems[2].Row != 4 {
		t.Errorf("report of a bad list = %+v, want problems in rows 2 to 4", bad)
	}
	list := &masa.OwnerImport{Owners: []masa.OwnerClaim{row("a", w.mine), row("b", w.theirs)}, By: "test"}
	list.DryRun = true
	if dry := send(list); dry.Applied || dry.Added != 2 {
		t.Errorf("report of a dry run = %+v, want 2 added and nothing applied", dry)
	}
	list.DryRun = false
	if first := send(list); !first.Applied || first.Added != 2 {
		t.Errorf("report = %+v, want 2 added", first)
	}
	if again := send(list); !again.Applied || again.Unchanged != 2 {
		t.Errorf("report of the second time = %+v, want 2 unchanged", again)
	}
	list.Owners[1].ESTDomain = "https://est.example"
	if renamed := send(list); renamed.Changed != 1 || renamed.Unchanged != 1 {
		t.Errorf("report with a new EST domain = %+v, want 1 changed", renamed)
	}
	resold := &masa.OwnerImport{Owners: []masa.OwnerClaim{row("a", w.theirs)}}
	if refused := send(resold); refused.Applied || len(refused.Problems) != 1 {
		t.Errorf("report of a resale without Replace = %+v, want a problem", refused)
	}
	resold.Replace = true
	if sold := send(resold); !sold.Applied || sold.Added != 1 {
		t.Errorf("report of a resale = %+v, want 1 added", sold)
	}
	if got := w.trail(masa.KindOwnersImported); len(got) != 3 {
		t.Errorf("%d imports on the trail, want 3", len(got))
	}
}

// BRSKI-8366BIS-8.4-04: est-domain and the like are URIs.
func TestAddressesOfOwnersAreURLs(t *testing.T) {
	w := newWorld(t, nil)
	for _, text := range []string{"est.example", "http://est.example", "https://", "https://user@est.example", "https://est.example/#a", "https://a b", "https://" + strings.Repeat("x", 2048)} {
		for _, d := range []masa.DomainRef{{Fingerprint: make([]byte, 32), ESTDomain: text}, {Fingerprint: make([]byte, 32), RegistrarURL: text}} {
			if _, err := w.service.AddOwner(t.Context(), &masa.OwnerClaim{DeviceRef: ref(), DomainRef: d}); !errors.Is(err, masa.ErrInvalid) {
				t.Errorf("AddOwner with %.40q: error %v, want ErrInvalid", text, err)
			}
		}
	}
	d := masa.DomainRef{Fingerprint: make([]byte, 32), ESTDomain: "https://est.example/path", RegistrarURL: "https://[::1]:8443"}
	o, err := w.service.AddOwner(t.Context(), &masa.OwnerClaim{DeviceRef: ref(), DomainRef: d})
	if err != nil || o.ESTDomain != d.ESTDomain || o.RegistrarURL != d.RegistrarURL {
		t.Errorf("AddOwner = %+v, %v; want both addresses kept", o, err)
	}
}
