package admin_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/admin"
	"github.com/briskest/briskest/registrar/groups"
)

// issued is a certificate of a domain, on hold, with the ways to name it.
type issued struct {
	id, serial, authority, key, device string
}

// certificate issues one for a device of the domain and puts it on hold.
func (h *house) certificate(t *testing.T, domain string) issued {
	t.Helper()
	c := h.operator(domain)
	csr := testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: domain + "-enrolled"}}, testpki.NewKey(t))
	if _, err := c.Issue(t.Context(), "", csr); err != nil {
		t.Fatal(err)
	}
	rows, err := h.store.ListCertificates(t.Context(), &registrar.CertificateQuery{Domain: domain, Limit: 10})
	check(t, err)
	row := rows[0]
	if _, err := c.Revoke(t.Context(), admin.Revoke{CertificateRef: admin.CertificateRef{ID: row.ID}, Reason: registrar.ReasonHold}); err != nil {
		t.Fatal(err)
	}
	return issued{row.ID, hex.EncodeToString(row.Serial), row.Authority, hex.EncodeToString(row.KeyHash[:]), row.DeviceID}
}

// foreign is a request that is complete and correct, and about an object of another domain.
type foreign struct {
	op, method, path, body string
	empty                  string // of an answer that has nothing in it: where what it has is said to be; "" for 404
}

// R8 and issue 6, point 3: with an administrator's token of the one domain, in the path of that domain, each operation that names an
// object is given one of the other, with a body that is good. It is not found, or what is found is nothing.
func TestNoOperationFindsAnotherDomainsObject(t *testing.T) {
	h := newHouse(t)
	south := h.objects(t, "south")
	cert := h.certificate(t, "south")
	document, err := (&groups.Document{Schema: 1, Groups: []groups.Group{{Name: "g", Priority: 1}}}).JSON()
	check(t, err)
	_, err = h.operator("south").ApplyGroups(t.Context(), admin.GroupsChange{Document: document})
	check(t, err)
	given(t, h, south["device"])
	rows := foreignRequests(t, south, &cert)
	token := h.token(t, "north", admin.Administrator).Secret
	before := h.everything(t, "south")
	covered := map[string]bool{}
	for _, r := range rows {
		covered[r.op] = true
		w := h.ask(t, r.method, "/api/v1/domains/north"+r.path, r.body, bearer(token))
		verdict := fmt.Sprintf("%d %s", w.Code, reason(t, w))
		switch {
		case r.empty == "" && w.Code == http.StatusNotFound:
		case r.empty != "" && w.Code == http.StatusOK && nothing(t, w.Body.Bytes(), r.empty):
			verdict = "200, empty"
		default:
			t.Errorf("%s %s %s: %d %s", r.op, r.path, r.body, w.Code, w.Body)
			verdict += " WRONG"
		}
		t.Logf("%-24s %-62.62s %s", r.op, r.path+" "+r.body, verdict)
	}
	if after := h.everything(t, "south"); after != before {
		t.Errorf("the other domain's record is another:\n%s\n%s", before, after)
	}
	// A new operation is either in the table, or named here as one that is about no object that there is already.
	without := "group-apply group-list group-versions device-import device-import-manifest device-list certificate-issue code-add code-list credential-add credential-list " +
		"event-targets request-list token-create token-list status quarantine-list voucher-list crl-show " +
		// About what is in the voucher: registrar.TestAVoucherForAnotherDomainsDeviceIsNotImported.
		"voucher-import"
	for _, o := range admin.Operations() {
		if named := strings.Contains(" "+without+" ", " "+o.ID+" "); named == covered[o.ID] && o.ID != "group-apply" {
			t.Errorf("%s is not in the table, or in both lists", o.ID)
		}
	}
	// The table can fail: where they belong, the requests find what they are about.
	own := h.token(t, "south", admin.Administrator).Secret
	for _, r := range rows {
		w := h.ask(t, r.method, "/api/v1/domains/south"+r.path, r.body, bearer(own))
		if w.Code == http.StatusNotFound || r.empty != "" && nothing(t, w.Body.Bytes(), r.empty) {
			t.Errorf("%s %s %s in its own domain: %d %s", r.op, r.path, r.body, w.Code, w.Body)
		}
	}
}

func foreignRequests(t *testing.T, south map[string]string, cert *issued) []foreign {
	t.Helper()
	device := "/devices/" + south["device"]
	text := func(v any) string { raw, err := json.Marshal(v); check(t, err); return string(raw) }
	fields := func(pairs ...any) string {
		out := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			out[pairs[i].(string)] = pairs[i+1]
		}
		return text(out)
	}
	return []foreign{
		{"event-list", "GET", "/events?device=" + south["device"], "", ""},
		{"event-dead-letters", "GET", "/events/dead-letters?device=" + south["device"], "", ""},
		{"event-replay", "POST", "/events/replay", fields("target", "to-south", "dead", true), ""},
		{"event-replay", "POST", "/events/replay", fields("target", "any", "dead", true, "device", south["device"]), ""},
		{"event-test", "POST", "/events/targets/to-south/test", fields(), ""},
		{"baseline-show", "GET", "/baselines/document?group=south-group", "", ""},
		{"baseline-show", "GET", "/baselines/document?group=south-group&version=1", "", ""},
		{"baseline-versions", "GET", "/baselines/versions?group=south-group", "", "baselines"},
		{"baseline-list", "GET", "/baselines", "", "baselines"},
		{"baseline-apply", "POST", "/baselines", fields("group", "south-group", "rollback", 1), ""},
		{"baseline-devices", "GET", "/baselines/devices?serial_prefix=south-", "", "devices"},
		{"baseline-counts", "GET", "/baselines/counts", "", "counts"},
		{"device-show", "GET", device, "", ""},
		{"device-show", "GET", "/devices/south-device", "", ""},
		{"device-why", "GET", device + "/why", "", ""},
		{"device-why", "GET", "/devices/south-device/why", "", ""},
		{"device-evidence", "GET", device + "/evidence", "", ""},
		{"baseline-device", "GET", device + "/baseline", "", ""},
		{"device-related", "GET", device + "/related", "", ""},
		{"device-suspend", "POST", device + "/suspend", fields(), ""},
		{"device-resume", "POST", device + "/resume", fields(), ""},
		{"device-decommission", "POST", device + "/decommission", fields("reason", "sold"), ""},
		{"device-readmit", "POST", device + "/readmit", fields(), ""},
		{"quarantine-place", "POST", "/quarantines", fields("kind", "device", "value", south["device"]), ""},
		{"quarantine-lift", "POST", "/quarantines/" + south["quarantine"] + "/lift", fields(), ""},
		{"group-explain", "GET", device + "/group", "", ""},
		{"group-assign", "PUT", device + "/group", fields("group", ""), ""},
		{"group-show", "GET", "/groups/document?version=1", "", ""},
		{"group-apply", "POST", "/groups/apply", fields("rollback", 1), ""},
		{"request-approve", "POST", "/requests/" + south["request"] + "/approve", fields(), ""},
		{"request-deny", "POST", "/requests/" + south["request"] + "/deny", fields("reason", "no"), ""},
		{"credential-disable", "POST", "/credentials/south-user/disable", fields(), ""},
		{"code-revoke", "POST", "/codes/" + south["serial_number"] + "/revoke", fields(), ""},
		{"token-revoke", "POST", "/tokens/" + south["token"] + "/revoke", fields(), ""},
		{"certificate-list", "GET", "/certificates?device=" + cert.device, "", "certificates"},
		{"certificate-revoke-many", "POST", "/certificates/revoke-many", fields("key", cert.key, "reason", 4, "dry_run", true), "certificates"},
		{"certificate-revoke", "POST", "/certificates/revoke", fields("id", cert.id, "reason", 4), ""},
		{"certificate-revoke", "POST", "/certificates/revoke", fields("serial", cert.serial, "reason", 4), ""},
		{"certificate-revoke", "POST", "/certificates/revoke", fields("serial", cert.serial, "authority", cert.authority, "reason", 4, "dry_run", true), ""},
		{"certificate-release", "POST", "/certificates/release", fields("id", cert.id), ""},
		{"certificate-revoke-many", "POST", "/certificates/revoke-many", fields("device", cert.device, "reason", 4, "dry_run", true), ""},
		{"crl-sign", "POST", "/crls/sign", fields("authority", cert.authority), ""},
		{"voucher-order", "POST", "/vouchers/order", fields("device", south["device"]), ""},
		{"voucher-fetch", "POST", "/vouchers/fetch", fields("device", south["device"]), ""},
		{"trail-list", "GET", "/trail?device=" + cert.device, "", "entries"},
	}
}

// nothing tells whether the list of that name in an answer has nothing in it.
func nothing(t *testing.T, answer []byte, name string) bool {
	t.Helper()
	var out map[string]json.RawMessage
	check(t, json.Unmarshal(answer, &out))
	var list []json.RawMessage
	if raw := out[name]; raw != nil {
		check(t, json.Unmarshal(raw, &list))
	}
	return len(list) == 0
}

// everything is a hash over what is on record of a domain.
func (h *house) everything(t *testing.T, domain string) string {
	t.Helper()
	ctx := t.Context()
	devices, err := h.store.ListDevices(ctx, domain, "", 1000)
	check(t, err)
	certificates, err := h.store.ListCertificates(ctx, &registrar.CertificateQuery{Domain: domain, Limit: 1000})
	check(t, err)
	entries, err := h.store.TrailEntries(ctx, domain, "", 0, 10000)
	check(t, err)
	pending, err := h.store.ListPending(ctx, domain, "", 1000)
	check(t, err)
	codes, err := h.store.ListCodes(ctx, domain, "", 1000)
	check(t, err)
	raw, err := json.Marshal([]any{devices, certificates, entries, pending, codes})
	check(t, err)
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// given applies a baseline for a group of the south, and has one of its devices given that.
func given(t *testing.T, h *house, device string) {
	t.Helper()
	if _, err := h.domains["south"].Service.ApplyBaseline(t.Context(), &registrar.BaselineChange{
		Actor: "test", Group: "south-group", Document: []byte(`{"schema":1,"settings":{}}`),
	}); err != nil {
		t.Fatal(err)
	}
	check(t, h.store.Commit(t.Context(), &registrar.Change{PutDeliveries: []*registrar.BaselineDelivery{{
		Domain: "south", DeviceID: device, Version: 7, Group: "south-group", DocumentVersion: 1, At: h.now,
	}}}))
}

// eventsOf are the events of a domain with two targets: one named for it, and one by the name that the other has too. What a
// dispatcher does with those that it has is held in registrar/events.
type eventsOf struct {
	domain string
	trail  interface {
		TrailEntries(ctx context.Context, domain, device string, from int64, limit int) ([]*trail.Entry, error)
	}
}

var _ registrar.Events = (*eventsOf)(nil)

func (e *eventsOf) has(target string) error {
	if target != "any" && target != "to-"+e.domain {
		return fmt.Errorf("target %q: %w", target, registrar.ErrNotFound)
	}
	return nil
}

// EventTargets has both.
func (e *eventsOf) EventTargets(context.Context) ([]*registrar.EventTargetView, error) {
	return []*registrar.EventTargetView{{EventTarget: registrar.EventTarget{Domain: e.domain, Name: "any"}}, {EventTarget: registrar.EventTarget{Domain: e.domain, Name: "to-" + e.domain}}}, nil
}

// ListEvents has each entry of the trail as one.
func (e *eventsOf) ListEvents(ctx context.Context, q *registrar.EventList) (out []*registrar.EventView, err error) {
	entries, err := e.trail.TrailEntries(ctx, e.domain, q.Device, q.From, 1000)
	for _, one := range entries {
		out = append(out, &registrar.EventView{Seq: one.Seq, Event: []byte("{}")})
	}
	return out, err
}

// DeadLetters has none.
func (e *eventsOf) DeadLetters(context.Context, *registrar.EventQuery) ([]*registrar.EventLetter, error) {
	return nil, nil
}

// ReplayEvents does nothing to a target that is there.
func (e *eventsOf) ReplayEvents(_ context.Context, r *registrar.EventReplay) (int, error) {
	return 0, e.has(r.Target)
}

// TestEvent does nothing to a target that is there.
func (e *eventsOf) TestEvent(_ context.Context, target, _ string) (string, error) {
	return "taken", e.has(target)
}
