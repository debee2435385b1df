package registrar_test

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/events"
)

// maxChecked bounds how many entries of a house are looked at.
const maxChecked = 2000

// checkEvents holds what a house has on its trail against the schemas of its events. It is done for
// the house of every test.
func (h *house) checkEvents() map[string]int {
	h.t.Helper()
	seen := make(map[string]int)
	list, err := h.store.TrailEntries(context.Background(), cmp.Or(h.settings.Domain, registrar.DefaultDomain), "", 0, maxChecked)
	if err != nil {
		h.t.Fatal(err)
	}
	schemas := make(map[string]map[string]any)
	builder := events.NewBuilder("https://registrar.example", []events.Rule{{Publish: []string{"up/{serial_number}"}, Subscribe: []string{"down/{serial_number}"}}}, h.store)
	for _, e := range list {
		event, err := builder.Build(context.Background(), e)
		if err != nil {
			h.t.Errorf("entry %d: %v", e.Seq, err)
		}
		if event == nil {
			continue
		}
		seen[event.Type]++
		raw, err := event.JSON()
		if err != nil {
			h.t.Errorf("entry %d: %v", e.Seq, err)
			continue
		}
		schema := schemas[event.Type]
		if schema == nil {
			if err := json.Unmarshal(events.TypeNamed(event.Type).Schema(), &schema); err != nil {
				h.t.Fatal(err)
			}
			schemas[event.Type] = schema
		}
		var value any
		if err := json.Unmarshal(raw, &value); err != nil {
			h.t.Fatal(err)
		}
		for _, problem := range conform(schema, value, "") {
			h.t.Errorf("event %s of the entry %s %s: %s", event.Type, e.Kind, e.Body, problem)
		}
	}
	return seen
}

// conform checks a value against what our schemas use of JSON Schema, and refuses members
// that they do not name: a receiver ignores those, we do not send them.
func conform(schema map[string]any, value any, at string) (problems []string) {
	wrong := func(format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s: %s", at, fmt.Sprintf(format, args...)))
	}
	switch v := value.(type) {
	case map[string]any:
		members, _ := schema["properties"].(map[string]any)
		if schema["type"] != "object" {
			wrong("is an object, want %v", schema["type"])
		}
		for name, member := range v {
			of, known := members[name].(map[string]any)
			if !known {
				wrong("has %s, which the schema does not name", name)
				continue
			}
			problems = append(problems, conform(of, member, at+"/"+name)...)
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, there := v[name.(string)]; !there {
				wrong("lacks %s", name)
			}
		}
	case []any:
		items, _ := schema["items"].(map[string]any)
		if schema["type"] != "array" {
			wrong("is an array, want %v", schema["type"])
		}
		for i, one := range v {
			problems = append(problems, conform(items, one, fmt.Sprintf("%s/%d", at, i))...)
		}
	case string:
		pattern, _ := schema["pattern"].(string)
		least, _ := schema["minLength"].(float64)
		if schema["type"] != "string" || schema["const"] != nil && schema["const"] != v || !regexp.MustCompile(pattern).MatchString(v) || len(v) < int(least) {
			wrong("is %q, want %v", v, schema)
		}
		if _, err := time.Parse(time.RFC3339Nano, v); schema["format"] == "date-time" && err != nil {
			wrong("is %q: %v", v, err)
		}
	case bool:
		if schema["type"] != "boolean" {
			wrong("is a boolean, want %v", schema["type"])
		}
	case float64:
		if schema["type"] != "integer" || v != float64(int64(v)) {
			wrong("is %v, want %v", v, schema["type"])
		}
	default:
		wrong("is %T", value)
	}
	return problems
}

// lifeOfADevice enrolls one until it is decommissioned.
func lifeOfADevice(t *testing.T) *house {
	t.Helper()
	h := newHouse(t, nil)
	state := func(serial string, change func(context.Context, *registrar.StateChange) (*registrar.Device, error)) {
		_, err := change(t.Context(), &registrar.StateChange{Actor: "cli:test", Device: serial, Reason: "why"})
		check(t, err)
	}
	first := h.enroll(alone).basic(alone)
	cert := first.mustSend()
	h.advance(time.Hour)
	renewed := h.enroll(alone).cert(cert).renewing().withKey(first.key).subject(cert.Subject).mustSend()
	h.revokeFor(renewed, 6)
	_, err := h.service.Release(t.Context(), &registrar.RevokeRequest{Actor: "cli:test", CertificateRef: registrar.CertificateRef{Serial: renewed.SerialNumber.Bytes()}})
	check(t, err)
	h.revokeFor(renewed, 4)
	state(alone, h.service.Suspend)
	state(alone, h.service.Resume)
	_, err = h.service.Decommission(t.Context(), &registrar.Decommissioning{Actor: "cli:test", Device: alone, Reason: "why"})
	check(t, err)
	if _, err := h.enroll("dev-9").basic(alone).send(); err == nil {
		t.Error("a stranger's name was enrolled")
	}
	return h
}

// joined lets a device join with its IDevID, report, get a baseline, and be in quarantine for a while.
func joined(t *testing.T) *house {
	t.Helper()
	h := newHouse(t, withLists(1, false))
	idevid := h.vouched("SN-1")
	address := *h.pledge(idevid, nil).peer
	check(t, report(brski.OpVoucherStatus, address.Certificates, address)(h))
	cert := h.enrolledAs(idevid, "SN-1").Certificate
	check(t, report(brski.OpEnrollStatus, []*x509.Certificate{cert}, address)(h))
	h.applyBaseline(`{"a":1}`)
	got := h.given(cert)
	if status, reason := h.acknowledge(acknowledgement(got.Version, got.SHA256, "applied", "done"), []*x509.Certificate{cert}); status != http.StatusNoContent {
		t.Errorf("the acknowledgement: %d %s", status, reason)
	}
	h.lift(h.place(registrar.QuarantineDevice, "", "SN-1").Quarantine.ID)
	old, _ := h.enrolled("sensor-7")
	h.advance(time.Hour)
	h.given(h.renew(old).mustSend()) // which is seen in use: the old one is retired
	h.crl(registrar.CRLScope{})
	return h
}

// waited has requests approved and denied.
func waited(t *testing.T) *house {
	t.Helper()
	h := newHouse(t, func(h *house) { h.settings.Labels[""].Approval = true })
	for name, decide := range map[string]func(context.Context, *registrar.Verdicting) (*registrar.Pending, error){"sensor-1": h.service.Approve, "sensor-2": h.service.Deny} {
		if _, err := h.enroll(name).basic(group).send(); err == nil {
			t.Errorf("%s was enrolled at once", name)
		}
		_, err := decide(t.Context(), &registrar.Verdicting{Actor: "cli:test", ID: h.waitingRow().ID, Reason: "why"})
		check(t, err)
	}
	return h
}

// audited asks for a voucher of a device that another network had.
func audited(t *testing.T, rule registrar.AuditRule) *house {
	t.Helper()
	h, a := auditHouse(t, registrar.AuditLogRules{UnknownDomain: rule}, func(m *fakeMASA) { m.history = []brski.AuditEvent{entry(strangersDomain, "n1")} })
	if _, err := a.send(); err == nil {
		t.Errorf("a voucher in spite of %s", rule)
	}
	return h
}

// sentOn is a cloud registrar that sends a device on, which is sold twice.
func sentOn(t *testing.T) *house {
	t.Helper()
	c := newCloud(t, nil)
	c.sell("acme", "SN-1", "school")
	c.sell("acme", "SN-1", "school")
	device := c.device("SN-1")
	if got := c.post(c.listen(), device, c.pledge(device, nil).raw); got.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("the device is not sent on: %d", got.StatusCode)
	}
	c.sell("acme", "SN-1", "hotel")
	return c.house
}

// M47 and issue 6, "a schema document for every event type": every type of the catalogue is caused, on the real service, and each
// event is as the schema of its type says.
func TestEventsOfEveryTypeAreAsTheirSchemasSay(t *testing.T) {
	seen := map[string]int{events.Test: 1} // which is on no trail
	for _, h := range []*house{lifeOfADevice(t), joined(t), waited(t), audited(t, registrar.AuditWait), audited(t, registrar.AuditRefuse), sentOn(t)} {
		for name, n := range h.checkEvents() {
			seen[name] += n
		}
	}
	manual, err := os.ReadFile("../docs/events.md")
	check(t, err)
	for _, typ := range events.Types() {
		if !strings.Contains(string(manual), "`"+typ.Name+"`") {
			t.Errorf("docs/events.md does not name %s", typ.Name)
		}
		if seen[typ.Name] == 0 {
			t.Errorf("there is no %s: %v", typ.Name, seen)
		}
		var schema map[string]any
		if err := json.Unmarshal(typ.Schema(), &schema); err != nil || schema["$id"] != typ.SchemaURI() || schema["title"] != typ.Name {
			t.Errorf("the schema of %s is %s, %v", typ.Name, typ.Schema(), err)
		}
		t.Logf("%-36s %d", typ.Name, seen[typ.Name])
	}
}

// M47: the stream has a stable schema, which the events of the life of a device keep. The house
// is one of the real service.
func TestEventsAreAsTheirSchemasSay(t *testing.T) {
	h := lifeOfADevice(t)
	seen := h.checkEvents()
	for _, want := range []string{
		"briskest.device.enrolled.v1", "briskest.device.renewed.v1", "briskest.certificate.revoked.v1", "briskest.certificate.released.v1",
		"briskest.device.suspended.v1", "briskest.device.resumed.v1", "briskest.device.decommissioned.v1", "briskest.request.refused.v1",
	} {
		if seen[want] == 0 {
			t.Errorf("there is no %s: %v", want, seen)
		}
	}
	// The first one has what a target system registers a device with.
	list := h.entries(registrar.KindCertificateIssued)
	event, err := events.NewBuilder("s", []events.Rule{{Publish: []string{"up/{serial_number}"}}, {Groups: []string{"other"}, Publish: []string{"no"}}}, h.store).Build(t.Context(), list[0])
	check(t, err)
	d := event.Data
	if d.Device.SerialNumber != alone || d.Device.State != "enrolled" || d.Certificate.Common != alone || len(d.Certificate.SHA256) != 64 ||
		d.Access == nil || d.Access.Username != alone || !slices.Equal(d.Access.Publish, []string{"up/" + alone}) {
		t.Errorf("data = %+v, device %+v, certificate %+v, access %+v", d, d.Device, d.Certificate, d.Access)
	}
}
