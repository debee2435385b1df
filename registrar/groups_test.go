package registrar_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/groups"
	"github.com/briskest/briskest/registrar/policy"
)

// siteProfile is a profile whose certificates say the group.
func siteProfile() *profile.Document {
	d := profile.Device()
	d.Name = "site"
	d.Subject.Attributes = append(d.Subject.Attributes, profile.AttributeRule{Type: "organizational_unit", Value: "{attribute.group_ou}"})
	return d
}

// newGroupedHouse is a house where groups may name the profiles device and site.
func newGroupedHouse(t testing.TB, change func(h *house)) *house {
	t.Helper()
	return newHouse(t, func(h *house) {
		h.compileGroups = func(document []byte) (registrar.Grouping, error) { return groups.Compile(document) }
		h.issuer = h.newIssuer(profile.Device(), profile.LDevID(), raProfile(), siteProfile())
		h.settings.Labels[""].Profile = h.profile("device")
		h.settings.Profiles = map[string]registrar.Profile{"device": h.profile("device"), "site": h.profile("site")}
		if change != nil {
			change(h)
		}
	})
}

func groupsDocument(t testing.TB, list ...groups.Group) []byte {
	t.Helper()
	data, err := (&groups.Document{Schema: 1, Groups: list}).JSON()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (h *house) applyGroups(list ...groups.Group) *registrar.GroupsPlan {
	h.t.Helper()
	plan, err := h.service.ApplyGroups(h.t.Context(), &registrar.GroupsChange{Actor: "cli:ann", Document: groupsDocument(h.t, list...)})
	if err != nil {
		h.t.Fatalf("ApplyGroups: %v", err)
	}
	return plan
}

func (h *house) recordOf(ref string) *registrar.Device {
	h.t.Helper()
	view, err := h.service.Device(h.t.Context(), "", ref)
	if err != nil {
		h.t.Fatalf("Device(%s): %v", ref, err)
	}
	return view.Device
}

func inventoryLabel(h *house) { h.settings.Labels[""].IDevID = registrar.IDevIDInventory }

// enrollIDevID is an enrollment with the IDevID of a serial number.
func (h *house) enrollIDevID(serial string) *request {
	h.t.Helper()
	return h.enrollWithIDevID(h.idevid(serial))
}

func (h *house) idevid(serial string) *testpki.Identity {
	h.t.Helper()
	if h.idevids[serial] == nil {
		h.idevids[serial] = h.idevidCA.IDevID(h.t, serial, "")
	}
	return h.idevids[serial]
}

// M09, M19: profile, names and lifetime come from the group where it names some, else from the label.
func TestAGroupGivesProfileNamesAndLifetime(t *testing.T) {
	h := newGroupedHouse(t, inventoryLabel)
	h.importSerials("AB-1", "CD-1")
	h.applyGroups(groups.Group{
		Name: "plant-7", Match: `device.serial_number.startsWith("AB-")`, Profile: "site",
		Names: map[string]string{"ou": "Plant 7"}, Lifetime: groups.Duration(48 * time.Hour),
	})
	cert := h.enrollIDevID("AB-1").mustSend()
	if got := cert.Subject.OrganizationalUnit; len(got) != 1 || got[0] != "Plant 7" {
		t.Errorf("organizational units = %v, want Plant 7", got)
	}
	if want := h.now().Add(48 * time.Hour); !cert.NotAfter.Equal(want) {
		t.Errorf("NotAfter = %s, want %s", cert.NotAfter, want)
	}
	other := h.enrollIDevID("CD-1").mustSend()
	if len(other.Subject.OrganizationalUnit) > 0 || other.NotAfter.Equal(cert.NotAfter) {
		t.Errorf("a device in no group got %s until %s", other.Subject, other.NotAfter)
	}
	if d := h.recordOf("AB-1"); d.Group != "plant-7" {
		t.Errorf("group on record = %q", d.Group)
	}
	profiles := make(map[string]int) // both were asked for at the same moment, in whichever order
	for _, row := range h.certificates(registrar.Issued) {
		profiles[row.Profile]++
	}
	if len(profiles) != 2 || profiles["site"] != 1 || profiles["device"] != 1 {
		t.Errorf("certificates by profile = %v", profiles)
	}
	var body struct {
		Group   string `json:"group"`
		Version int64  `json:"groups_version"`
	}
	if err := json.Unmarshal(h.entries(registrar.KindCertificateIssued)[0].Body, &body); err != nil || body.Group != "plant-7" || body.Version != 1 {
		t.Errorf("trail says %+v, %v", body, err)
	}
}

// M19: devices are placed at import, at their first contact and by apply.
func TestDevicesArePlacedAtImportAtFirstContactAndByApply(t *testing.T) {
	h := newGroupedHouse(t, inventoryLabel)
	h.importSerials("AB-1")
	plan := h.applyGroups(
		groups.Group{Name: "ab", Match: `device.serial_number.startsWith("AB-")`},
		groups.Group{Name: "own", Match: `idevid.present && idevid.serial_number.startsWith("CD-")`},
		groups.Group{Name: "basic", Match: `auth.method == "basic"`},
	)
	if plan.Moved != 1 || h.recordOf("AB-1").Group != "ab" {
		t.Errorf("apply moved %d, AB-1 is in %q", plan.Moved, h.recordOf("AB-1").Group)
	}
	h.importSerials("AB-2", "CD-1")
	if got := h.recordOf("AB-2").Group; got != "ab" {
		t.Errorf("an imported device is in %q, want ab", got)
	}
	if got := h.recordOf("CD-1").Group; got != "" {
		t.Errorf("before its IDevID was seen CD-1 is in %q", got)
	}
	h.enrollIDevID("CD-1").mustSend()
	if got := h.recordOf("CD-1").Group; got != "own" {
		t.Errorf("after its enrollment CD-1 is in %q, want own", got)
	}
	h.enroll("dev-1").basic(alone).mustSend()
	if got := h.recordOf("dev-1").Group; got != "basic" {
		t.Errorf("after its enrollment dev-1 is in %q, want basic", got)
	}
	again := h.applyGroups(
		groups.Group{Name: "ab", Match: `device.serial_number.startsWith("AB-")`},
		groups.Group{Name: "own", Match: `idevid.present && idevid.serial_number.startsWith("CD-")`},
		groups.Group{Name: "basic", Match: `auth.method == "basic"`},
	)
	if again.Moved != 0 || again.Version != 2 {
		t.Errorf("applying the same again moved %d devices: %+v", again.Moved, again.Moves)
	}
}

func TestAVoucherRequestPlacesItsDevice(t *testing.T) {
	h := newGroupedHouse(t, func(h *house) { h.settings.Manufacturers["acme"].Unlisted = registrar.UnlistedAdmit })
	h.applyGroups(groups.Group{Name: "acme", Match: `device.manufacturer == "acme"`}, groups.Group{Name: "no", Priority: 5, Match: `device.serial_number == "bad-1"`, Decision: "deny"})
	if _, err := h.pledge(h.idevid("sn-1"), nil).send(); err != nil {
		t.Fatal(err)
	}
	if got := h.recordOf("sn-1").Group; got != "acme" {
		t.Errorf("after its voucher-request sn-1 is in %q, want acme", got)
	}
	h.pledge(h.idevid("bad-1"), nil).refusedAs(registrar.ReasonGroupDenied, http.StatusForbidden)
}

// R9: a renewal is a decision, and a group's as well: the group denies it, limits its time, and a
// label's profile is no way around; a device that an operator moved renews.
func TestRenewalIsTheGroupsDecisionToo(t *testing.T) {
	h := newGroupedHouse(t, func(h *house) {
		inventoryLabel(h)
		d := profile.Device()
		d.Name = "other"
		h.issuer = h.newIssuer(profile.Device(), profile.LDevID(), raProfile(), siteProfile(), d)
		h.settings.Labels[""].Profile = h.profile("device")
		h.settings.Labels["other"] = &registrar.Label{Profile: h.profile("other"), Renewal: true}
		h.settings.Profiles = map[string]registrar.Profile{"device": h.profile("device"), "other": h.profile("other")}
	})
	h.importSerials("AB-1", "AB-2")
	match := `device.serial_number.startsWith("AB-")`
	h.applyGroups(groups.Group{Name: "g", Match: match, Lifetime: groups.Duration(48 * time.Hour), RenewalWindow: groups.Duration(12 * time.Hour)})
	first := h.enrollIDevID("AB-1")
	cert := first.mustSend()
	renew := func() *request {
		return h.enroll("").subject(cert.Subject).cert(cert).withKey(testpki.NewKey(t)).renewing()
	}
	renew().refusedAs(registrar.ReasonRenewalTooEarly, http.StatusForbidden)
	h.advance(40 * time.Hour)
	renew().label("other").refusedAs(registrar.ReasonOtherProfile, http.StatusForbidden)
	h.applyGroups(groups.Group{Name: "g", Match: match, Decision: "deny"})
	renew().refusedAs(registrar.ReasonGroupDenied, http.StatusForbidden)
	renew().label("other").refusedAs(registrar.ReasonGroupDenied, http.StatusForbidden)
	// The operator moves the device to another profile, and back.
	h.applyGroups(groups.Group{Name: "g", Match: match, Profile: "device"})
	cert = renew().mustSend()
	h.applyGroups()
	renew().label("other").refusedAs(registrar.ReasonOtherProfile, http.StatusForbidden)
	renew().mustSend()
	if n := len(h.entries(registrar.KindCertificateIssued)); n != 3 {
		t.Errorf("%d certificates were issued, want 3", n)
	}
}

// R19: the same device gets the same answer on every road that there is.
func TestAGroupDecidesAlikeOnEveryRoad(t *testing.T) {
	for name, c := range map[string]struct {
		group  groups.Group
		reason string
	}{
		"deny":        {groups.Group{Decision: "deny"}, registrar.ReasonGroupDenied},
		"requirement": {groups.Group{Require: []groups.Requirement{{Name: "never", That: "false", Message: "cannot be met"}}}, registrar.ReasonGroupRequirement},
		"quarantine":  {groups.Group{}, registrar.ReasonQuarantined}, // of the group, devices that nobody has seen included
	} {
		t.Run(name, func(t *testing.T) {
			h := newGroupedHouse(t, func(h *house) {
				inventoryLabel(h)
				d := profile.Device()
				d.ServerKeyGeneration = profile.ServerKeyGeneration{Mode: "cleartext"}
				h.issuer = h.newIssuer(d, profile.LDevID(), raProfile())
				h.settings.Labels[""].Profile = h.profile("device")
				h.settings.Labels["cmc"] = &registrar.Label{Profile: h.profile("device"), IDevID: registrar.IDevIDInventory, Renewal: true, FullCMC: true, Basic: true, RA: true}
			})
			h.importSerials("AB-1")
			first := h.enrollIDevID("AB-1").label("cmc")
			open := first.mustSend()
			c.group.Name, c.group.Match = "g", `true`
			h.applyGroups(c.group)
			if c.reason == registrar.ReasonQuarantined {
				h.place(registrar.QuarantineGroup, "", "g")
			}
			h.enrollIDevID("AB-1").refusedAs(c.reason, http.StatusForbidden)
			h.enrollIDevID("AB-1").label("cmc").refusedAs(c.reason, http.StatusForbidden)
			h.enroll("").subject(open.Subject).cert(open).withKey(testpki.NewKey(t)).renewing().refusedAs(c.reason, http.StatusForbidden)
			h.enroll("").subject(open.Subject).cert(open).withKey(testpki.NewKey(t)).refusedAs(c.reason, http.StatusForbidden)
			h.enroll("dev-1").basic(alone).refusedAs(c.reason, http.StatusForbidden)
			ra, _ := h.raCertificate()
			h.enroll("dev-2").cert(ra).refusedAs(c.reason, http.StatusForbidden)
			id := h.idevid("AB-1")
			h.pledge(id, nil).refusedAs(c.reason, http.StatusForbidden)
			_, err := h.service.GenerateKey(t.Context(), h.keyRequest("AB-1", id))
			var e *est.Error
			if !errors.As(err, &e) || e.Reason != c.reason {
				t.Errorf("GenerateKey = %v, want it refused as %s", err, c.reason)
			}
			full := h.full().signed(open, first.key)
			full.label = "cmc"
			full.renewal(1, open, nil)
			if a := full.send(); a.refusal == nil || a.refusal.Reason != c.reason {
				t.Errorf("a renewal by CMC = %d, %v, want it refused as %s", a.status, a.refusal, c.reason)
			}
			byBasic := h.full().basic(alone)
			byBasic.label = "cmc"
			byBasic.own(1, alone, testpki.NewKey(t))
			if a := byBasic.send(); a.refusal == nil || a.refusal.Reason != c.reason {
				t.Errorf("an enrollment by CMC = %d, %v, want it refused as %s", a.status, a.refusal, c.reason)
			}
		})
	}
}

func (h *house) keyRequest(serial string, id *testpki.Identity) *est.KeyRequest {
	h.t.Helper()
	csr, err := est.ParseCSR(testpki.CSR(h.t, &x509.CertificateRequest{Subject: pkix.Name{SerialNumber: serial}}, testpki.NewKey(h.t)))
	if err != nil {
		h.t.Fatal(err)
	}
	peer := &est.Peer{Certificates: append([]*x509.Certificate{id.Certificate}, id.Chain...)}
	return &est.KeyRequest{EnrollRequest: est.EnrollRequest{Request: est.Request{ID: "k", Operation: est.OpServerKeyGen, Peer: peer, At: h.now()}, CSR: csr}}
}

// M32: minimum key, firmware and level of attestation are requirements; the refusal says which, and what to do.
func TestARequirementRefusesWithItsName(t *testing.T) {
	h := newGroupedHouse(t, inventoryLabel)
	h.importSerials("AB-1")
	h.applyGroups(groups.Group{Name: "g", Match: `device.manufacturer == "acme"`, Require: []groups.Requirement{
		{Name: "key", That: `request.key_type == "ecdsa"`, Message: "use an elliptic curve key"},
		{Name: "firmware", That: `at_least(device.firmware, "2.10")`, Message: "update the firmware to 2.10"},
	}})
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e := h.enrollIDevID("AB-1").withKey(weak).refusedAs(registrar.ReasonGroupRequirement, http.StatusForbidden)
	if !bytes.Contains([]byte(e.Message), []byte("use an elliptic curve key")) {
		t.Errorf("message = %q", e.Message)
	}
	e = h.enrollIDevID("AB-1").refusedAs(registrar.ReasonGroupRequirement, http.StatusForbidden)
	if !bytes.Contains([]byte(e.Message), []byte("update the firmware to 2.10")) {
		t.Errorf("message = %q", e.Message)
	}
	d := h.recordOf("AB-1")
	d.Firmware = "2.10.1"
	if err := h.store.Commit(t.Context(), &registrar.Change{PutDevices: []*registrar.Device{d}}); err != nil {
		t.Fatal(err)
	}
	h.enrollIDevID("AB-1").mustSend()
}

// A group has an operator decide, or another system, whatever the label says.
func TestAGroupWaitsForAnOperatorOrAWebhook(t *testing.T) {
	h := newGroupedHouse(t, inventoryLabel)
	h.importSerials("AB-1", "AB-2")
	h.applyGroups(groups.Group{Name: "careful", Match: `device.serial_number == "AB-1"`, Decision: "approve"},
		groups.Group{Name: "asked", Match: `device.serial_number == "AB-2"`, Decision: "webhook"})
	first := h.enrollIDevID("AB-1")
	first.refusedAs(registrar.ReasonApproval, http.StatusAccepted)
	rows, err := h.service.ListPending(t.Context(), "", registrar.StateWaiting, 10)
	if err != nil || len(rows) != 1 {
		t.Fatalf("ListPending = %v, %v", rows, err)
	}
	if _, err := h.service.Approve(t.Context(), &registrar.Verdicting{Actor: "cli:ann", ID: rows[0].ID}); err != nil {
		t.Fatal(err)
	}
	first.mustSend()
	// Nobody to ask: refused, and no certificate.
	h.enrollIDevID("AB-2").refusedAs(registrar.ReasonWebhookFailed, http.StatusServiceUnavailable)
}

// A device that makes its record by the name that it asks for is placed by how it authenticated,
// not by that name, however often it comes.
func TestANameThatADeviceChoseDoesNotPlaceIt(t *testing.T) {
	h := newGroupedHouse(t, nil)
	document := []groups.Group{
		{Name: "core", Match: `device.serial_number.startsWith("core-")`, Profile: "site", Names: map[string]string{"ou": "Core"}},
		{Name: "rest", Match: `auth.method == "basic"`},
	}
	h.applyGroups(document...)
	r := h.enroll("core-1").basic(group)
	for range 2 {
		if cert := r.mustSend(); len(cert.Subject.OrganizationalUnit) > 0 {
			t.Fatalf("a name of the device's own choice gave it %s", cert.Subject)
		}
		h.advance(time.Hour)
		if plan := h.applyGroups(document...); plan.Moved != 0 {
			t.Errorf("apply moved %+v", plan.Moves)
		}
		if d := h.recordOf("core-1"); d.Group != "rest" {
			t.Errorf("group = %q, want rest", d.Group)
		}
	}
}

// R18 of operators: two who apply at once do not overwrite each other, one document after the other.
func TestOfTwoWhoApplyAtOnceOneIsTold(t *testing.T) {
	h := newGroupedHouse(t, nil)
	h.applyGroups()
	base := int64(1)
	results := make([]error, 8)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() {
			_, results[i] = h.service.ApplyGroups(t.Context(), &registrar.GroupsChange{
				Actor: "cli:x", Base: &base, Document: groupsDocument(t, groups.Group{Name: fmt.Sprint("g", i), Match: "true"}),
			})
		})
	}
	all.Wait()
	done := 0
	for _, err := range results {
		switch {
		case err == nil:
			done++
		case !errors.Is(err, registrar.ErrConflict):
			t.Errorf("ApplyGroups = %v, want ErrConflict", err)
		}
	}
	if versions, err := h.service.GroupVersions(t.Context(), "", 0, 10); done != 1 || err != nil || len(versions) != 2 {
		t.Errorf("%d applied; versions %v, %v", done, versions, err)
	}
}

func TestRollbackNeedsTheProfilesOfThen(t *testing.T) {
	h := newGroupedHouse(t, inventoryLabel)
	h.importSerials("AB-1")
	h.applyGroups(groups.Group{Name: "g", Match: "true", Profile: "site", Names: map[string]string{"ou": "x"}})
	h.applyGroups()
	plan, err := h.service.RollbackGroups(t.Context(), &registrar.GroupsChange{Actor: "cli:ann"}, 1, false)
	if err != nil || plan.Version != 3 || plan.Moved != 1 {
		t.Fatalf("RollbackGroups = %+v, %v", plan, err)
	}
	h.applyGroups()
	settings := *h.settings
	settings.Profiles = map[string]registrar.Profile{"device": policy.Profile(h.issuer.Profile("device"))}
	if err := h.service.Reload(&settings); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} {
		_, err := h.service.RollbackGroups(t.Context(), &registrar.GroupsChange{Actor: "cli:ann"}, 1, dry)
		if !errors.Is(err, registrar.ErrInvalid) {
			t.Errorf("RollbackGroups to a version whose profile is gone = %v, want ErrInvalid", err)
		}
	}
	if _, err := h.service.RollbackGroups(t.Context(), &registrar.GroupsChange{}, 99, false); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("RollbackGroups(99) = %v, want ErrNotFound", err)
	}
	if got := h.recordOf("AB-1").Group; got != "" {
		t.Errorf("AB-1 is in %q, want none", got)
	}
}

// A profile that leaves the configuration while a group names it refuses, rather than giving the label's.
func TestAGroupWhoseProfileIsGoneRefuses(t *testing.T) {
	h := newGroupedHouse(t, inventoryLabel)
	h.importSerials("AB-1")
	h.applyGroups(groups.Group{Name: "g", Match: "true", Profile: "site", Names: map[string]string{"ou": "x"}})
	settings := *h.settings
	settings.Profiles = nil
	if err := h.service.Reload(&settings); err != nil {
		t.Fatal(err)
	}
	h.enrollIDevID("AB-1").refusedAs(registrar.ReasonGroupProfile, http.StatusForbidden)
}

func TestADeviceThatWasPutIntoAGroupByNameStays(t *testing.T) {
	h := newGroupedHouse(t, inventoryLabel)
	h.importSerials("AB-1", "AB-2")
	list := []groups.Group{{Name: "all", Match: "true"}, {Name: "lab"}}
	h.applyGroups(list...)
	assign := func(group string) (*registrar.Device, error) {
		return h.service.AssignGroup(t.Context(), &registrar.GroupAssignment{Actor: "cli:ann", Device: "AB-1", Group: group})
	}
	if _, err := assign("nowhere"); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("AssignGroup(nowhere) = %v, want ErrNotFound", err)
	}
	if d, err := assign("lab"); err != nil || d.Group != "lab" || !d.GroupPinned {
		t.Fatalf("AssignGroup = %+v, %v", d, err)
	}
	h.enrollIDevID("AB-1").mustSend()
	if plan := h.applyGroups(list...); plan.Moved != 0 || plan.Pinned != 1 {
		t.Errorf("plan = %+v", plan)
	}
	if d := h.recordOf("AB-1"); d.Group != "lab" {
		t.Errorf("group = %q, want lab", d.Group)
	}
	_, err := h.service.ApplyGroups(t.Context(), &registrar.GroupsChange{Document: groupsDocument(t, list[0])})
	if !errors.Is(err, registrar.ErrConflict) {
		t.Errorf("applying a document without the group of a pinned device = %v, want ErrConflict", err)
	}
	if d, err := assign(""); err != nil || d.Group != "all" || d.GroupPinned {
		t.Errorf("AssignGroup of nothing = %+v, %v", d, err)
	}
	if n := len(h.entries(registrar.KindDeviceGroup)); n != 2 {
		t.Errorf("%d entries say who was put where, want 2", n)
	}
}

// A process that ends while devices are being moved goes on when it starts again, and decides by the
// new groups meanwhile.
func TestApplyGoesOnAfterACrash(t *testing.T) {
	h := newGroupedHouse(t, inventoryLabel)
	h.importSerials("AB-1", "AB-2")
	crash := errors.New("crash")
	h.store.FailBefore(func(c *registrar.Change) error {
		if len(c.Regroup) > 0 {
			return crash
		}
		return nil
	})
	_, err := h.service.ApplyGroups(t.Context(), &registrar.GroupsChange{Document: groupsDocument(t, groups.Group{Name: "g", Match: "true", Decision: "deny"})})
	if !errors.Is(err, crash) {
		t.Fatalf("ApplyGroups = %v, want the crash", err)
	}
	h.service.Close()
	h.store.FailBefore(nil)
	moved := make(chan struct{})
	h.store.FailAfter(func(c *registrar.Change) error {
		if len(c.PutGroups) > 0 && c.PutGroups[0].Applied {
			close(moved)
		}
		return nil
	})
	h.start()
	h.enrollIDevID("AB-1").refusedAs(registrar.ReasonGroupDenied, http.StatusForbidden)
	<-moved
	if got := h.recordOf("AB-2").Group; got != "g" {
		t.Errorf("AB-2 is in %q, want g", got)
	}
}

// M40: who asks why a device is in its group is told each rule up to the one that matches.
func TestExplainSaysWhyADeviceIsInItsGroup(t *testing.T) {
	h := newGroupedHouse(t, nil)
	h.importSerials("AB-1")
	if e, err := h.service.ExplainGroup(t.Context(), "", "AB-1"); err != nil || !e.Missing {
		t.Errorf("ExplainGroup without groups = %+v, %v", e, err)
	}
	h.applyGroups(groups.Group{Name: "first", Match: `device.model == "x"`}, groups.Group{
		Name: "second", Match: `device.manufacturer == "acme"`,
		Require: []groups.Requirement{{Name: "firmware", That: `at_least(device.firmware, "1")`, Message: "update"}},
	})
	e, err := h.service.ExplainGroup(t.Context(), "", "AB-1")
	if err != nil || e.Placement.Name != "second" || len(e.Verdicts) != 2 || e.Verdicts[0].Matched || !e.Verdicts[1].Matched || e.Unmet == nil || e.Unmet.Name != "firmware" {
		t.Errorf("ExplainGroup = %+v, %v", e, err)
	}
	if _, err := h.service.ExplainGroup(t.Context(), "other", "AB-1"); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("ExplainGroup in another domain = %v, want ErrNotFound", err)
	}
}
