package registrar_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// peer is somebody who speaks HTTP to the registrar, with a certificate or without.
type peer struct {
	t      testing.TB
	url    string
	client *http.Client
}

func (h *house) peer(url string, id *testpki.Identity) *peer {
	h.t.Helper()
	c := &tls.Config{RootCAs: h.root.Pool()}
	if id != nil {
		c.Certificates = []tls.Certificate{id.TLS()}
	}
	p := &peer{h.t, url, &http.Client{Transport: &http.Transport{TLSClientConfig: c}}}
	h.t.Cleanup(p.client.CloseIdleConnections)
	return p
}

// sends returns the status, the header and the body of the answer.
func (p *peer) sends(method, path, mediaType string, body []byte) (int, http.Header, string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url+"/.well-known/"+path, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	res, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

func (p *peer) reports(path, document string) int {
	p.t.Helper()
	status, _, _ := p.sends(http.MethodPost, "brski/"+path, "application/json", []byte(document))
	return status
}

// enrolledAs enrolls a vouched device and returns its new identity.
func (h *house) enrolledAs(idevid *testpki.Identity, serial string) *testpki.Identity {
	h.t.Helper()
	r := h.enroll("").cert(idevid.Certificate, h.idevidCA.Certificate).subject(pkix.Name{SerialNumber: serial})
	return &testpki.Identity{Certificate: r.mustSend(), Key: r.key}
}

// reportsOf is the telemetry of a device as an operator sees it.
func (h *house) reportsOf(serial string) []*registrar.Report {
	h.t.Helper()
	view, err := h.service.Device(h.t.Context(), "", serial)
	if err != nil {
		h.t.Fatal(err)
	}
	return view.Reports
}

// BRSKI-8995-5.7-02, BRSKI-8995-ERRATA-6834-01: version and status are needed, and
// keys are lower case and told from others by their case.
// BRSKI-8995-5.7-05: an unknown key is no fault, and is in the record.
func TestVoucherStatusIsReadStrictlyAndUnknownKeysAreOnRecord(t *testing.T) {
	h := newHouse(t, nil)
	device := h.peer(h.serve(), h.vouched("SN-1"))
	for document, want := range map[string]int{
		`{"version":1,"status":true}`: 200,
		`{"version":1,"status":false,"reason":"no pin","reason-context":{"step":"verify"}}`: 200,
		`{"version":1,"status":true,"battery":"low","Reason":"x"}`:                          200,
		`{"status":true}`:                            400,
		`{"version":1}`:                              400,
		`{"version":1,"Status":true}`:                400,
		`{"Version":1,"status":true}`:                400,
		`{"version":-1,"status":true}`:               400,
		`{"version":1.5,"status":true}`:              400,
		`{"version":1,"status":"true"}`:              400,
		`{"version":1,"status":true,"status":false}`: 400,
		`[1,true]`: 400,
		`{"version":1,"status":true,"reason":["no"]}`: 400,
	} {
		if got := device.reports("voucher_status", document); got != want {
			t.Errorf("voucher_status %s: %d, want %d", document, got, want)
		}
	}
	got := h.reportsOf("SN-1")
	if len(got) != 3 || len(h.entries(registrar.KindVoucherStatus)) != 3 {
		t.Fatalf("%d reports on record, want the 3 that were taken", len(got))
	}
	if !slices.ContainsFunc(got, func(r *registrar.Report) bool { return r.Ignored == "battery Reason" && r.Reason == "" }) {
		t.Errorf("the unknown keys are not on record: %+v", got)
	}
	if !slices.ContainsFunc(got, func(r *registrar.Report) bool {
		return !r.Status && r.Reason == "no pin" && strings.Contains(r.Context, "verify") && !r.WithOwnCertificate
	}) {
		t.Errorf("the refusal of the voucher is not on record: %+v", got)
	}
}

// BRSKI-8995-5.9.4-04: enrollstatus is taken under the IDevID and under the new certificate.
// BRSKI-8995-5.9.4-05: and whether it came with the certificate it speaks of is on record.
func TestEnrollStatusTellsWhetherItCameWithTheNewCertificate(t *testing.T) {
	h := newHouse(t, nil)
	idevid := h.vouched("SN-1")
	url := h.serve()
	if got := h.peer(url, idevid).reports("enrollstatus", `{"version":1,"status":false,"reason":"no certificate yet"}`); got != 200 {
		t.Errorf("with the IDevID: %d, want 200", got)
	}
	own := h.enrolledAs(idevid, "SN-1")
	if got := h.peer(url, own).reports("enrollstatus", `{"version":1,"status":true}`); got != 200 {
		t.Errorf("with the new certificate: %d, want 200", got)
	}
	got := h.reportsOf("SN-1")
	if len(got) != 2 || got[0].WithOwnCertificate || got[0].Status || !got[1].WithOwnCertificate || !got[1].Status {
		t.Errorf("on record: %+v", got)
	}
	for _, document := range []string{`{"version":1}`, `{"version":1,"Status":true}`} {
		if got := h.peer(url, own).reports("enrollstatus", document); got != 400 {
			t.Errorf("enrollstatus %s: %d, want 400", document, got)
		}
	}
	// Another device's certificate speaks for its own device only.
	if got := h.peer(url, h.enrolledAs(h.vouched("SN-2"), "SN-2")).reports("enrollstatus", `{"version":1,"status":false}`); got != 200 {
		t.Errorf("another device: %d", got)
	}
	if got := h.reportsOf("SN-1"); len(got) != 2 {
		t.Errorf("another device's report is on record for this one: %+v", got)
	}
}

// BRSKI-8995-1.5-01: every BRSKI and EST operation is there for its method.
func TestEveryOperationOfAJoinRegistrarIsServed(t *testing.T) {
	h := newHouse(t, nil)
	device := h.peer(h.serve(), h.vouched("SN-1"))
	for _, c := range []struct{ method, path, mediaType string }{
		{"POST", "brski/requestvoucher", "application/voucher-cms+json"},
		{"POST", "brski/voucher_status", "application/json"},
		{"POST", "brski/enrollstatus", "application/json"},
		{"GET", "est/cacerts", ""},
		{"GET", "est/csrattrs", ""},
		{"POST", "est/simpleenroll", "application/pkcs10"},
		{"POST", "est/simplereenroll", "application/pkcs10"},
	} {
		status, _, text := device.sends(c.method, c.path, c.mediaType, nil)
		if status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status >= 500 {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, text)
		}
	}
	if status, _, _ := device.sends("POST", "brski/nothing", "application/json", nil); status != http.StatusNotFound {
		t.Errorf("an operation that is none: %d; the test shows nothing", status)
	}
}

// BRSKI-8995-7.3-01: settings that say nothing admit nobody. BRSKI-8995-7.3-03: who
// does not authenticate gets neither voucher nor certificate.
func TestSettingsThatSayNothingAdmitNobody(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.settings.Labels = map[string]*registrar.Label{"": {Profile: h.profile("device")}}
		h.settings.Manufacturers["acme"] = &registrar.Manufacturer{
			IDevIDAnchors: h.vendor.Pool(), VoucherAnchors: h.vouchers.Pool(), MASAURL: "https://masa.example/.well-known/brski",
		}
	})
	unlisted := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
	unlisted.refusedAs(registrar.ReasonDeviceUnlisted, 404)
	h.pledge(testpki.NewRoot(t, "stranger").IDevID(t, "SN-2", ""), nil).refusedAs(registrar.ReasonUnknownManufacturer, 403)
	anonymous := h.pledge(h.idevidCA.IDevID(t, "SN-3", ""), nil)
	anonymous.peer.Certificates = nil
	anonymous.refusedAs(registrar.ReasonNoCertificate, 403)
	for what, r := range map[string]*request{
		"nobody": h.enroll("sensor-7"), "an IDevID": h.enroll("SN-1").cert(unlisted.peer.Certificates...), "a credential": h.enroll(alone).basic(alone),
	} {
		if _, err := r.send(); err == nil {
			t.Errorf("%s enrolls", what)
		}
	}
	url := h.serve()
	nobody := h.peer(url, nil)
	if status, _, _ := nobody.sends("POST", "brski/requestvoucher", "application/voucher-cms+json", anonymous.raw); status != 403 {
		t.Errorf("a voucher-request without client certificate: %d, want 403", status)
	}
	if got := nobody.reports("voucher_status", `{"version":1,"status":true}`); got != 403 {
		t.Errorf("telemetry without client certificate: %d, want 403", got)
	}
	if n := len(h.certificates("")) + h.masa.count(); n != 0 {
		t.Errorf("something was issued, or the MASA asked: %d", n)
	}
}

// RFC 8995, Section 5.6: what waits for an operator is 202, without a body, with
// when to come again; then 200.
func TestAVoucherRequestThatWaitsIs202WithRetryAfterOverTheWire(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Manufacturers["acme"].Unlisted = registrar.UnlistedPending })
	idevid := h.idevidCA.IDevID(t, "SN-1", "")
	a := h.pledge(idevid, nil)
	device := h.peer(h.serve(), idevid)
	asks := func() (int, http.Header, string) {
		return device.sends("POST", "brski/requestvoucher", "application/voucher-cms+json", a.raw)
	}
	status, header, text := asks()
	if status != http.StatusAccepted || header.Get("Retry-After") == "" || text != "" {
		t.Fatalf("it waits: %d, Retry-After %q, body %q", status, header.Get("Retry-After"), text)
	}
	if _, err := h.service.Approve(t.Context(), &registrar.Verdicting{Actor: "cli:me", ID: h.waitingRow().ID}); err != nil {
		t.Fatal(err)
	}
	if status, header, _ := asks(); status != http.StatusOK || header.Get("Content-Type") != "application/voucher-cms+json" {
		t.Errorf("approved: %d %v", status, header)
	}
}

// A device may not report for another, nor before it has asked for a voucher.
func TestTelemetryCountsForTheDeviceThatSendsIt(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-2")
	h.vouched("SN-1")
	report := &brski.StatusReport{
		Call:   brski.Call{ID: "s", Operation: brski.OpVoucherStatus, Peer: h.pledge(h.idevidCA.IDevID(t, "SN-2", ""), nil).peer, At: h.now()},
		Status: brski.Status{Version: 1, Status: true}, Raw: []byte(`{"version":1,"status":true}`),
	}
	refusal(t, h.service.BRSKI().VoucherStatus(t.Context(), report), registrar.ReasonNotPending, 404)
	report.Call.Peer = &est.Peer{Certificates: []*x509.Certificate{h.idevidCA.IDevID(t, "SN-1", "").Certificate, h.idevidCA.Certificate}}
	refusal(t, h.service.BRSKI().VoucherStatus(t.Context(), report), registrar.ReasonIDevIDMismatch, 403)
	if len(h.reportsOf("SN-1")) != 0 {
		t.Error("another's report is on record")
	}
}
