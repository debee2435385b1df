package masa_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/store"
)

func TestImportIsAllOrNothingWithAReport(t *testing.T) {
	w := newWorld(t, nil)
	foreign := testpki.NewRoot(t, "another vendor").IDevID(t, "F-1", "")
	report, err := w.service.ImportDevices(t.Context(), &masa.Import{Product: "widget", Devices: []masa.ImportDevice{
		{SerialNumber: "new"},
		{SerialNumber: serial, IDevID: w.idevid.Certificate.Raw},
		{SerialNumber: "new"},
		{SerialNumber: ""},
		{SerialNumber: "bell\a"},
		{SerialNumber: "other", IDevID: w.idevid.Certificate.Raw},
		{IDevID: []byte("garbage")},
		{IDevID: w.idevidCA.Client(t, "no serial").Certificate.Raw},
		{IDevID: foreign.Certificate.Raw},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var rows []int
	for _, p := range report.Problems {
		rows = append(rows, p.Row)
		if p.Problem == "" {
			t.Errorf("row %d: no text", p.Row)
		}
	}
	if got := fmt.Sprint(rows); report.Applied || got != "[3 4 5 6 7 8]" {
		t.Errorf("report = %+v, want rows 3 to 8 refused and nothing applied", report)
	}
	list, err := w.service.ListDevices(t.Context(), masa.Page{})
	if err != nil || len(list) != 1 {
		t.Errorf("%d devices on record, %v; want the one from before", len(list), err)
	}
}

func TestImportAgainChangesNothing(t *testing.T) {
	w := newWorld(t, nil)
	in := &masa.Import{Product: "widget", Batch: "b", Devices: []masa.ImportDevice{{SerialNumber: "a"}, {SerialNumber: "b"}, {IDevID: w.idevid.Certificate.Raw}}}
	in.DryRun = true
	report, err := w.service.ImportDevices(t.Context(), in)
	if err != nil || report.Applied || report.Added != 2 || report.Changed != 1 {
		t.Errorf("dry run = %+v, %v; want 2 added, 1 changed, not applied", report, err)
	}
	in.DryRun = false
	if report, err = w.service.ImportDevices(t.Context(), in); err != nil || !report.Applied || report.Added != 2 || report.Changed != 1 {
		t.Errorf("import = %+v, %v; want 2 added, 1 changed, applied", report, err)
	}
	if report, err = w.service.ImportDevices(t.Context(), in); err != nil || report.Unchanged != 3 {
		t.Errorf("import again = %+v, %v; want 3 unchanged", report, err)
	}
	in.Devices = []masa.ImportDevice{{IDevID: w.idevidCA.IDevID(t, serial, "").Certificate.Raw}}
	if report, err = w.service.ImportDevices(t.Context(), in); err != nil || len(report.Problems) != 1 {
		t.Errorf("import of another IDevID = %+v, %v; want a problem", report, err)
	}
	if got := w.trail(masa.KindDevicesImported); len(got) != 2 {
		t.Errorf("%d imports on the trail, want 2", len(got))
	}
}

// The trail's entry covers every row of an import and has a limit of its own.
func TestLargestImportFitsIntoOneChange(t *testing.T) {
	w := unstarted(t, func(s *masa.Settings, _ *masa.Product) { s.Domain = strings.Repeat("long-", 12) })
	db, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "masa.db"), TrailKey: testpki.NewKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	w.store = db
	w.start()
	in := &masa.Import{Product: "widget"}
	for i := range masa.MaxImport {
		in.Devices = append(in.Devices, masa.ImportDevice{SerialNumber: fmt.Sprintf("S-%06d", i)})
	}
	if report, err := w.service.ImportDevices(t.Context(), in); err != nil || report.Added != masa.MaxImport {
		t.Fatalf("ImportDevices = %+v, %v; want %d added", report, err, masa.MaxImport)
	}
	if _, err := db.VerifyTrail(t.Context()); err != nil {
		t.Errorf("VerifyTrail: %v", err)
	}
}

func TestOperatorMistakesAreNamed(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	ref := masa.DeviceRef{SerialNumber: serial}
	check := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", what, err, want)
		}
	}
	_, err := w.service.ImportDevices(ctx, &masa.Import{Product: "gadget", Devices: []masa.ImportDevice{{SerialNumber: "1"}}})
	check("import for an unknown product", err, masa.ErrInvalid)
	_, err = w.service.ImportDevices(ctx, &masa.Import{Product: "widget"})
	check("empty import", err, masa.ErrInvalid)
	_, err = w.service.ImportDevices(ctx, &masa.Import{Product: "widget", Devices: make([]masa.ImportDevice, masa.MaxImport+1)})
	check("import over the limit", err, masa.ErrInvalid)
	_, err = w.service.AddOwner(ctx, &masa.OwnerClaim{DeviceRef: ref})
	check("owner without a claim", err, masa.ErrInvalid)
	_, err = w.service.AddOwner(ctx, &masa.OwnerClaim{DeviceRef: ref, DomainRef: masa.DomainRef{Fingerprint: make([]byte, 32), DomainID: make([]byte, 20)}})
	check("owner with two claims", err, masa.ErrInvalid)
	_, err = w.service.AddOwner(ctx, &masa.OwnerClaim{DeviceRef: ref, DomainRef: masa.DomainRef{Fingerprint: make([]byte, 20)}})
	check("owner with a SHA-1 fingerprint", err, masa.ErrInvalid)
	_, err = w.service.AddOwner(ctx, &masa.OwnerClaim{DeviceRef: ref, DomainRef: masa.DomainRef{DomainID: make([]byte, 4)}})
	check("owner with a short domainID", err, masa.ErrInvalid)
	_, err = w.service.AddOwner(ctx, &masa.OwnerClaim{DeviceRef: masa.DeviceRef{SerialNumber: "x"}, DomainRef: masa.DomainRef{Fingerprint: make([]byte, 32)}})
	check("owner of an unknown device", err, masa.ErrNotFound)
	_, err = w.service.Block(ctx, &masa.BlockRequest{DeviceRef: masa.DeviceRef{Product: "gadget", SerialNumber: serial}})
	check("block of an unknown device", err, masa.ErrNotFound)
	_, err = w.service.Block(ctx, &masa.BlockRequest{DeviceRef: ref, Reason: strings.Repeat("x", 401)})
	check("block with a long reason", err, masa.ErrInvalid)
	_, err = w.service.ListDevices(ctx, masa.Page{Limit: masa.MaxPage + 1})
	check("page over the limit", err, masa.ErrInvalid)
}

func TestOperatorActionsAreOnTheTrail(t *testing.T) {
	w := newWorld(t, nil)
	w.own(w.mine)
	ref := masa.DeviceRef{SerialNumber: serial}
	if _, err := w.service.Block(t.Context(), &masa.BlockRequest{DeviceRef: ref, By: "cli:root"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.service.Unblock(t.Context(), &masa.BlockRequest{DeviceRef: ref, By: "cli:root"}); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{masa.KindDevicesImported, masa.KindOwnerAdded, masa.KindDeviceBlocked, masa.KindDeviceUnblocked} {
		if got := w.trail(kind); len(got) != 1 || got[0].Actor == "" {
			t.Errorf("%s on the trail: %+v, want one with an actor", kind, got)
		}
	}
}

func TestManyDevicesAreListedPageByPage(t *testing.T) {
	w := newWorld(t, nil)
	var serials []string
	for i := range 25 {
		serials = append(serials, fmt.Sprintf("S-%02d", i))
	}
	w.importSerial(serials...)
	seen := 0
	for page := (masa.Page{Limit: 10}); ; {
		list, err := w.service.ListDevices(t.Context(), page)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		seen += len(list)
		page.After = list[len(list)-1].ID
	}
	if seen != 26 {
		t.Errorf("%d devices over all pages, want 26", seen)
	}
}
