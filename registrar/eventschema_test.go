package registrar_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/events"
)

// checkEvents holds what a house has on its trail against the schemas of its events.
func (h *house) checkEvents() map[string]int {
	h.t.Helper()
	seen := make(map[string]int)
	list, err := h.store.TrailEntries(context.Background(), registrar.DefaultDomain, "", 0, 100000)
	if err != nil {
		h.t.Fatal(err)
	}
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
		var schema, value any
		if err := json.Unmarshal(events.TypeNamed(event.Type).Schema(), &schema); err != nil {
			h.t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &value); err != nil {
			h.t.Fatal(err)
		}
		for _, problem := range conform(schema.(map[string]any), value, "") {
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

// M47: the stream has a stable schema, which the events of the life of a device keep. The house
// is one of the real service.
func TestEventsAreAsTheirSchemasSay(t *testing.T) {
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
