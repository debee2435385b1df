package registrar_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/baseline"
)

// applyBaseline makes a document the domain's newest.
func (h *house) applyBaseline(settings string) {
	h.t.Helper()
	_, err := h.service.ApplyBaseline(h.t.Context(), &registrar.BaselineChange{Actor: "test", Document: []byte(`{"schema":1,"settings":` + settings + `}`)})
	check(h.t, err)
}

// given is what a device was given last.
func (h *house) given(cert *x509.Certificate) *registrar.BaselineText {
	h.t.Helper()
	out, err := h.service.Baseline(h.t.Context(), h.baselineCall(cert), 0)
	check(h.t, err)
	return out
}

func (h *house) baselineCall(cert *x509.Certificate) *registrar.BaselineCall {
	peer := *h.enroll("").peer
	peer.Certificates = []*x509.Certificate{cert}
	return &registrar.BaselineCall{ID: "b", Peer: &peer, At: h.now()}
}

// acknowledgement is what a device says of a text, as JSON.
func acknowledgement(version int64, sum [32]byte, status, message string) string {
	raw, err := json.Marshal(baseline.Ack{Version: version, SHA256: hex.EncodeToString(sum[:]), Status: status, Message: message})
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// acknowledge posts an acknowledgement, and returns the status and reason id of the answer.
func (h *house) acknowledge(body string, certs []*x509.Certificate, change ...func(r *http.Request)) (status int, reason string) {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), http.MethodPost, "https://est.example"+baseline.AckPath, strings.NewReader(body))
	r.RemoteAddr = "192.0.2.1:4711"
	r.Header.Set("Content-Type", "application/json")
	r.TLS = &tls.ConnectionState{PeerCertificates: certs}
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	(&baseline.Handler{Backend: h.service, Now: h.now}).ServeHTTP(w, r)
	return w.Code, reasonIn(w.Body.String())
}

// Issue 6, points 3 and 10: the table of acknowledgements that are refused. Each leaves what the device was given, and the trail,
// as they were. The good one at the end is taken, so that the table can fail.
func TestOnlyWhatADeviceWasGivenLastIsAcknowledged(t *testing.T) {
	h := newHouse(t, nil)
	cert, _ := h.enrolled("sensor-7")
	other, _ := h.enrolled("sensor-8")
	never, _ := h.enrolled("sensor-9")
	idevid := h.vouched("SN-1")
	h.applyBaseline(`{"a":"${serial_number}"}`)
	old := h.given(cert)
	h.advance(time.Minute)
	h.applyBaseline(`{"b":"${serial_number}"}`)
	last, others := h.given(cert), h.given(other)
	good := acknowledgement(last.Version, last.SHA256, "applied", "")
	shows := func(certs ...*x509.Certificate) []*x509.Certificate { return certs }
	wrong := last.SHA256
	wrong[31] ^= 1
	refused := len(h.entries(registrar.KindRefused))
	for _, row := range []struct {
		what   string
		body   string
		certs  []*x509.Certificate
		change func(r *http.Request)
		status int
		reason string
	}{
		{"by a device that was given none", good, shows(never), nil, 409, registrar.ReasonBaselineAck},
		{"of another device's text", acknowledgement(others.Version, others.SHA256, "applied", ""), shows(cert), nil, 409, registrar.ReasonBaselineAck},
		{"of the text before", acknowledgement(old.Version, old.SHA256, "applied", ""), shows(cert), nil, 409, registrar.ReasonBaselineAck},
		{"of the next version", acknowledgement(last.Version+1, last.SHA256, "applied", ""), shows(cert), nil, 409, registrar.ReasonBaselineAck},
		{"with one bit of the hash changed", acknowledgement(last.Version, wrong, "applied", ""), shows(cert), nil, 409, registrar.ReasonBaselineAck},
		{"with a hash of zeros", acknowledgement(last.Version, [32]byte{}, "applied", ""), shows(cert), nil, 409, registrar.ReasonBaselineAck},
		{"with half a hash", strings.Replace(good, hex.EncodeToString(last.SHA256[16:]), "", 1), shows(cert), nil, 400, registrar.ReasonBaselineAck},
		{"of version 0", acknowledgement(0, last.SHA256, "applied", ""), shows(cert), nil, 409, registrar.ReasonBaselineAck},
		{"with a status that is none", acknowledgement(last.Version, last.SHA256, "pwned", ""), shows(cert), nil, 400, registrar.ReasonBaselineAck},
		{"without a status", acknowledgement(last.Version, last.SHA256, "", ""), shows(cert), nil, 400, registrar.ReasonBaselineAck},
		{"with a member twice", strings.Replace(good, `{`, `{"version":1,`, 1), shows(cert), nil, 400, registrar.ReasonBaselineAck},
		{"with a member in another case", strings.Replace(good, `{`, `{"Version":1,`, 1), shows(cert), nil, 400, registrar.ReasonBaselineAck},
		{"with a device's name", strings.Replace(good, `{`, `{"device":"sensor-8",`, 1), shows(cert), nil, 400, registrar.ReasonBaselineAck},
		{"that is deep", strings.Repeat("[", 2000), shows(cert), nil, 400, registrar.ReasonBaselineAck},
		{"that is empty", "", shows(cert), nil, 400, registrar.ReasonBaselineAck},
		{"that is null", "null", shows(cert), nil, 400, registrar.ReasonBaselineAck},
		{"with something behind it", good + "x", shows(cert), nil, 400, registrar.ReasonBaselineAck},
		{"that is huge", acknowledgement(last.Version, last.SHA256, "applied", strings.Repeat("x", 5000)), shows(cert), nil, 413, est.ReasonBodyTooLarge},
		{"that is huge, and says it is not", good + strings.Repeat(" ", 5000), shows(cert), func(r *http.Request) { r.ContentLength = -1 }, 413, est.ReasonBodyTooLarge},
		{"as text", good, shows(cert), func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415, est.ReasonMediaType},
		{"by GET", good, shows(cert), func(r *http.Request) { r.Method = http.MethodGet }, 405, est.ReasonMethod},
		{"with a query", good, shows(cert), func(r *http.Request) { r.URL.RawQuery = "device=sensor-8" }, 400, est.ReasonPathOperation},
		{"without TLS", good, nil, func(r *http.Request) { r.TLS = nil }, 403, est.ReasonTLSRequired},
		{"without a certificate", good, nil, nil, 403, registrar.ReasonNoCertificate},
		{"with a password", good, nil, func(r *http.Request) { r.SetBasicAuth(group, h.passwords[group].Reveal()) }, 403, registrar.ReasonNoCertificate},
		{"with an IDevID", good, shows(idevid.Certificate, h.idevidCA.Certificate), nil, 403, registrar.ReasonMethodNotAllowed},
		{"with a stranger's certificate", good, shows(h.vouchers.Client(t, "sensor-7").Certificate), nil, 403, registrar.ReasonUntrusted},
		{"with one of the CA that is not on record", good, shows(h.ca.Client(t, "sensor-7").Certificate), nil, 403, registrar.ReasonNotOnRecord},
		{"with more certificates than are looked at", good, shows(cert, cert, cert, cert, cert, cert, cert, cert, cert), nil, 403, est.ReasonTooManyCertificates},
	} {
		var change []func(r *http.Request)
		if row.change != nil {
			change = append(change, row.change)
		}
		status, reason := h.acknowledge(row.body, row.certs, change...)
		verdict := "refused"
		if status != row.status || reason != row.reason {
			verdict = "WRONG"
			t.Errorf("an acknowledgement %s: %d %q, want %d %q", row.what, status, reason, row.status, row.reason)
		}
		t.Logf("%-44s %d %-28s %s", row.what, status, reason, verdict)
	}
	if n := len(h.entries(registrar.KindBaselineAcknowledged)); n != 0 {
		t.Errorf("%d acknowledgements are on the trail", n)
	}
	if len(h.entries(registrar.KindRefused)) == refused {
		t.Error("none of the refusals is on the trail")
	}
	for range 2 { // the second time it says nothing new
		if status, reason := h.acknowledge(good, shows(cert)); status != http.StatusNoContent {
			t.Errorf("the good one: %d %q", status, reason)
		}
	}
	if n := len(h.entries(registrar.KindBaselineAcknowledged)); n != 1 {
		t.Errorf("%d acknowledgements on the trail, want 1", n)
	}
}

// R8 and issue 6, point 3: a device of another domain, with one store, CA and registrar certificate for both, neither gets nor
// acknowledges a baseline, although it is in force there as well.
func TestABaselineIsNotForAnotherDomainsDevice(t *testing.T) {
	n := newNeighbours(t)
	cert, _ := n.south.enrolledBy("sensor-b1")
	for _, h := range []*house{n.north, n.south} {
		h.applyBaseline(`{"a":1}`)
	}
	got := n.south.given(cert)
	body := acknowledgement(got.Version, got.SHA256, "applied", "")
	before := n.record("south")
	_, err := n.north.service.Baseline(t.Context(), n.north.baselineCall(cert), 0)
	refusal(t, err, registrar.ReasonNotOnRecord, http.StatusForbidden)
	if status, reason := n.north.acknowledge(body, []*x509.Certificate{cert}); status != http.StatusForbidden || reason != registrar.ReasonNotOnRecord {
		t.Errorf("an acknowledgement in the other domain: %d %q", status, reason)
	}
	if n.record("south") != before {
		t.Error("what was asked of the one domain is on the other's record")
	}
	if status, reason := n.south.acknowledge(body, []*x509.Certificate{cert}); status != http.StatusNoContent {
		t.Errorf("in its own domain: %d %q", status, reason)
	}
}

// Issue 6, point 3: who is out of service neither gets a baseline nor says anything about one.
func TestADeviceOutOfServiceNeitherGetsNorAcknowledgesABaseline(t *testing.T) {
	h := newHouse(t, nil)
	h.applyBaseline(`{"a":1}`)
	state := func(change func(name string) error) func(string, *x509.Certificate) {
		return func(name string, _ *x509.Certificate) { check(t, change(name)) }
	}
	for i, row := range []struct {
		what   string
		to     func(name string, cert *x509.Certificate)
		reason string
	}{
		{"suspended", state(func(name string) error {
			_, err := h.service.Suspend(t.Context(), &registrar.StateChange{Actor: "test", Device: name})
			return err
		}), registrar.ReasonDeviceSuspended},
		{"decommissioned", state(func(name string) error {
			_, err := h.service.Decommission(t.Context(), &registrar.Decommissioning{Actor: "test", Device: name})
			return err
		}), registrar.ReasonRevoked},
		{"in quarantine", func(name string, _ *x509.Certificate) { h.place(registrar.QuarantineDevice, "", name) }, registrar.ReasonQuarantined},
		{"with a revoked certificate", func(_ string, cert *x509.Certificate) { h.revoke(cert) }, registrar.ReasonRevoked},
		{"with a certificate on hold", func(_ string, cert *x509.Certificate) { h.revokeFor(cert, registrar.ReasonHold) }, registrar.ReasonOnHold},
		{"with a certificate that was replaced", func(_ string, cert *x509.Certificate) {
			h.advance(time.Hour)
			h.given(h.renew(cert).mustSend()) // the new one is seen in use
		}, registrar.ReasonSuperseded},
		{"with a certificate that ended", func(string, *x509.Certificate) { h.advance(400 * 24 * time.Hour) }, registrar.ReasonExpired},
	} {
		name := fmt.Sprintf("sensor-%d", 20+i)
		cert, _ := h.enrolled(name)
		got := h.given(cert)
		row.to(name, cert)
		acknowledged := len(h.entries(registrar.KindBaselineAcknowledged))
		_, err := h.service.Baseline(t.Context(), h.baselineCall(cert), 0)
		refusal(t, err, row.reason, http.StatusForbidden)
		status, reason := h.acknowledge(acknowledgement(got.Version, got.SHA256, "applied", ""), []*x509.Certificate{cert})
		t.Logf("%-40s %d %s", row.what, status, reason)
		if status != http.StatusForbidden || reason != row.reason {
			t.Errorf("%s: %d %q, want 403 %q", row.what, status, reason, row.reason)
		}
		if n := len(h.entries(registrar.KindBaselineAcknowledged)); n != acknowledged {
			t.Errorf("%s: it is on the trail", row.what)
		}
	}
}

// R18: what one device says about its baseline takes up only so much of the record an hour.
func TestOneDeviceFillsTheTrailWithAcknowledgementsOnlySoFar(t *testing.T) {
	h := newHouse(t, nil)
	h.applyBaseline(`{"a":1}`)
	cert, _ := h.enrolled("sensor-7")
	other, _ := h.enrolled("sensor-8")
	got, others := h.given(cert), h.given(other)
	taken := 0
	for i := range 200 {
		status, reason := h.acknowledge(acknowledgement(got.Version, got.SHA256, "failed", fmt.Sprint("because of ", i)), []*x509.Certificate{cert})
		switch {
		case status == http.StatusNoContent:
			taken++
		case status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable, reason != registrar.ReasonDeviceBudget:
			t.Fatalf("acknowledgement %d: %d %q", i, status, reason)
		}
	}
	if n := len(h.entries(registrar.KindBaselineAcknowledged)); taken != 60 || n != 60 {
		t.Errorf("%d were taken and %d are on the trail, want 60 of each", taken, n)
	}
	if status, reason := h.acknowledge(acknowledgement(others.Version, others.SHA256, "applied", ""), []*x509.Certificate{other}); status != http.StatusNoContent {
		t.Errorf("another device meanwhile: %d %q", status, reason)
	}
	h.advance(time.Hour + time.Minute)
	if status, reason := h.acknowledge(acknowledgement(got.Version, got.SHA256, "applied", strings.Repeat("x", 3000)), []*x509.Certificate{cert}); status != http.StatusNoContent {
		t.Errorf("an hour later: %d %q", status, reason)
	}
	row, err := h.store.BaselineDelivery(t.Context(), registrar.DefaultDomain, h.recordOf("sensor-7").ID)
	check(t, err)
	if len(row.Message) > 512 {
		t.Errorf("%d bytes of a device's message are on record", len(row.Message))
	}
}
