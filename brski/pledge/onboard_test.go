package pledge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
)

func TestOnboardEndsWithALDevIDOfTheDomain(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	result := d.onboard()
	d.checkWhole(result)
	if !result.Pinned.Equal(w.Domain.Certificate) || len(result.CACerts) != 2 || !result.Reported {
		t.Errorf("Result = pinned %v, %d CA certificates, reported %v; want the domain's root, 2, true",
			result.Pinned.Subject, len(result.CACerts), result.Reported)
	}
	want := []pledge.StepName{
		pledge.StepConnected, pledge.StepRequested, pledge.StepVoucher, pledge.StepImprinted, pledge.StepVoucherTold,
		pledge.StepCACerts, pledge.StepCSRAttrs, pledge.StepKey, pledge.StepEnrolled, pledge.StepEnrolledTold,
	}
	if !slices.Equal(d.steps, want) {
		t.Errorf("steps = %v, want %v", d.steps, want)
	}
	if s := d.stage(); s != pledge.Enrolled {
		t.Errorf("Status().Stage = %q, want %q", s, pledge.Enrolled)
	}
}

// RFC 8995, Section 5.2.
func TestVoucherRequestHasWhatTheRFCWants(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	d.onboard()
	sent := w.Registrar.Requests()
	if len(sent) != 1 || !bytes.Equal(sent[0], d.file(pledge.FileRequest)) {
		t.Fatalf("%d voucher-requests came, want 1, equal to request.vcj", len(sent))
	}
	r, _ := openRequest(t, sent[0])
	if r.Assertion != voucher.Proximity || r.SerialNumber != "JADA123456789" || r.CreatedOn.IsZero() || voucher.CheckNonce(r.Nonce) != nil {
		t.Errorf("request = %+v, want proximity, our serial number, a date and a nonce", r)
	}
	if !bytes.Equal(r.ProximityRegistrarCert, w.Identity.Certificate.Raw) {
		t.Errorf("proximity-registrar-cert is not the certificate of the TLS server")
	}
}

// RFC 8995, Sections 5.7 and 5.9.4.
func TestTelemetryGoesOverTheConnectionsThatTheRFCNames(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	result := d.onboard()
	voucherStatus, enrollStatus, enrollments := w.Registrar.VoucherStatuses(), w.Registrar.EnrollStatuses(), w.Registrar.Enrollments()
	if len(voucherStatus) != 1 || len(enrollStatus) != 1 || len(enrollments) != 1 {
		t.Fatalf("%d voucher_status, %d enrollstatus, %d CSRs; want one each", len(voucherStatus), len(enrollStatus), len(enrollments))
	}
	v, e := voucherStatus[0], enrollStatus[0]
	if !v.Status.Status || v.Status.Version != 1 || !e.Status.Status || e.Status.Version != 1 {
		t.Errorf("voucher_status = %+v, enrollstatus = %+v, want version 1 and true", v.Status, e.Status)
	}
	if v.Peer.Address != enrollments[0].Peer.Address {
		t.Errorf("voucher_status came from %v and the CSR from %v, want one connection", v.Peer.Address, enrollments[0].Peer.Address)
	}
	if !v.Peer.Certificates[0].Equal(d.idevid.Certificate) {
		t.Errorf("voucher_status came from %v, want the IDevID", v.Peer.Certificates[0].Subject)
	}
	if e.Peer.Address == v.Peer.Address || !e.Peer.Certificates[0].Equal(result.Certificate) {
		t.Errorf("enrollstatus came from %v over %v, want the LDevID over a new connection", e.Peer.Certificates[0].Subject, e.Peer.Address)
	}
}

// BRSKI-8995-1.5-02, BRSKI-8995-5.9-01, BRSKI-8995-5.9.4-01: CSR attributes
// before the CSR, and telemetry at the end (RFC 8995, Sections 5.9.2 and 5.9.4).
func TestOnboardMakesTheCallsOfAnANIDevice(t *testing.T) {
	w := brskitest.New(t)
	var calls []string
	var told map[string]any
	w.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		calls = append(calls, r.Method+" "+r.URL.Path)
		if strings.HasSuffix(r.URL.Path, "/enrollstatus") {
			body, err := io.ReadAll(r.Body)
			if err == nil {
				err = json.Unmarshal(body, &told)
			}
			if err != nil || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("enrollstatus of type %q: %q, %v; want JSON", r.Header.Get("Content-Type"), body, err)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		return false
	})
	newDevice(t, w).onboard()
	want := []string{
		"POST /.well-known/brski/requestvoucher", "POST /.well-known/brski/voucher_status",
		"GET /.well-known/est/cacerts", "GET /.well-known/est/csrattrs", "POST /.well-known/est/simpleenroll",
		"POST /.well-known/brski/enrollstatus",
	}
	if !slices.Equal(calls, want) {
		t.Errorf("calls = %q, want %q", calls, want)
	}
	if told["version"] != 1.0 || told["status"] != true {
		t.Errorf("enrollstatus = %v, want version 1 and status true", told)
	}
}

func TestOnboardAgainAsksNobody(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	first := d.onboard()
	var asked atomic.Int32
	w.Intercept(func(http.ResponseWriter, *http.Request) bool { asked.Add(1); return false })
	second := d.onboard()
	if asked.Load() != 0 || !second.Certificate.Equal(first.Certificate) {
		t.Errorf("the second Onboard made %d requests, want none and the same certificate", asked.Load())
	}
}

// BRSKI-8995-5.6-08: the same voucher-request, with the same nonce (RFC 8995, Section 5.6).
func TestPendingRequestIsSentAgainUnchanged(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	w.Registrar.StayPending(3)
	d.checkWhole(d.onboard())
	requests := w.Registrar.Requests()
	if len(requests) != 4 {
		t.Fatalf("%d voucher-requests came, want 4", len(requests))
	}
	for _, r := range requests[1:] {
		if !bytes.Equal(r, requests[0]) {
			t.Errorf("a voucher-request after a 202 differs from the first")
		}
	}
	if !slices.Equal(d.waits, []time.Duration{2 * time.Second, 2 * time.Second, 2 * time.Second}) {
		t.Errorf("waits = %v, want what Retry-After said, 3 times", d.waits)
	}
	if w.MASA.Issued() != 1 {
		t.Errorf("%d vouchers were issued, want 1", w.MASA.Issued())
	}
}

// BRSKI-8995-5.6-06; RFC 8995, Section 5.6.
func TestRetryAfterIsCappedAt60Seconds(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"3600": time.Minute, "0": time.Second, "7": 7 * time.Second, "": 10 * time.Second,
		"-1": 10 * time.Second, "Fri, 31 Dec 2100 23:59:59 GMT": 10 * time.Second, "99999999999999999999": 10 * time.Second,
	} {
		w := brskitest.New(t)
		d := newDevice(t, w)
		var asked atomic.Int32
		w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
			if asked.Add(1) > 1 {
				return false
			}
			if value != "" {
				rw.Header().Set("Retry-After", value)
			}
			rw.WriteHeader(http.StatusAccepted)
			return true
		})
		d.onboard()
		if len(d.waits) != 1 || d.waits[0] != want {
			t.Errorf("Retry-After %q: waits = %v, want %v", value, d.waits, want)
		}
	}
}

// BRSKI-8995-5.6-07; RFC 8995, Section 5.6.
func TestPledgeWaitsFourDaysAndNoLonger(t *testing.T) {
	w := brskitest.New(t)
	start := time.Now()
	var past atomic.Int64
	d := newDevice(t, w, func(c *pledge.Config) {
		c.Now = func() time.Time { return start.Add(time.Duration(past.Load())) }
	})
	d.config.Wait = func(context.Context, time.Duration) error { past.Add(int64(12 * time.Hour)); return nil }
	w.Registrar.StayPending(1 << 30)
	d.onboardFails(pledge.ReasonWaitTooLong, pledge.ErrRefused)
	if waited := time.Duration(past.Load()); waited < 95*time.Hour || waited > 97*time.Hour {
		t.Errorf("the pledge gave up after %v, want 4 days", waited)
	}
	if s := d.stage(); s != pledge.Fresh {
		t.Errorf("stage = %q, want %q: the next attempt has a new nonce", s, pledge.Fresh)
	}
}

func TestWaitThatEndsLeavesThePledgePending(t *testing.T) {
	w := brskitest.New(t)
	stop := errors.New("stop")
	d := newDevice(t, w, func(c *pledge.Config) {
		c.Wait = func(context.Context, time.Duration) error { return stop }
	})
	w.Registrar.StayPending(1)
	e := d.onboardFails(pledge.ReasonPending, pledge.ErrPending)
	if e.RetryAfter != 2*time.Second || !errors.Is(e, stop) {
		t.Errorf("error = %+v, want RetryAfter 2s and the cause of Wait", e)
	}
	d.checkWhole(d.onboard())
	if r := w.Registrar.Requests(); !bytes.Equal(r[0], r[1]) {
		t.Errorf("the resumed pledge sent another voucher-request")
	}
}

func TestPendingEnrollmentWaitsWithTheSameKey(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	w.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == est.PathPrefix+"/cacerts" {
			w.Registrar.StayPending(2)
		}
		return false
	})
	d.checkWhole(d.onboard())
	if n, keys := len(w.Registrar.Enrollments()), enrolledKeys(w); n != 3 || len(keys) != 1 {
		t.Errorf("%d CSRs with %d keys, want 3 with 1", n, len(keys))
	}
}

// RFC 8995, Section 5.2: a new nonce for each attempt.
func TestRefusedRequestIsForgotten(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	w.Registrar.Refuse(&est.Error{Status: http.StatusNotFound, Reason: "unlisted", Message: "Not on the list."})
	e := d.onboardFails(pledge.ReasonRegistrarRefused, pledge.ErrRefused)
	if e.Status != http.StatusNotFound || !bytes.Contains([]byte(e.Message), []byte("Not on the list.")) {
		t.Errorf("error = %+v, want status 404 and the registrar's text", e)
	}
	if len(w.Registrar.VoucherStatuses()) != 0 {
		t.Errorf("voucher_status was posted although there was no voucher")
	}
	w.Registrar.Refuse(nil)
	d.checkWhole(d.onboard())
	r := w.Registrar.Requests()
	first, _ := openRequest(t, r[0])
	second, _ := openRequest(t, r[1])
	if first.Nonce == second.Nonce {
		t.Errorf("the second attempt has the nonce of the first")
	}
}

func TestFailingRegistrarGetsTheSameRequestLater(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	w.Registrar.Refuse(&est.Error{Status: http.StatusServiceUnavailable, Message: "Busy.", RetryAfter: 5 * time.Second})
	if e := d.onboardFails(pledge.ReasonRegistrarFailed, pledge.ErrUnavailable); e.RetryAfter != 5*time.Second {
		t.Errorf("RetryAfter = %v, want 5s", e.RetryAfter)
	}
	w.Registrar.Refuse(nil)
	d.checkWhole(d.onboard())
	if r := w.Registrar.Requests(); !bytes.Equal(r[0], r[1]) {
		t.Errorf("the second attempt sent another voucher-request")
	}
}

// RFC 8995, Section 5.2. R27: a registrar that has given up on the MASA stays by
// its answer to this request; once the MASA is back, a new one gets a voucher.
func TestRequestThatTheMASADidNotAnswerIsForgotten(t *testing.T) {
	for _, status := range []int{http.StatusBadGateway, http.StatusGatewayTimeout} {
		w := brskitest.New(t)
		d := newDevice(t, w)
		w.Registrar.Refuse(&est.Error{Status: status, Message: "The MASA is silent."})
		d.onboardFails(pledge.ReasonRegistrarFailed, pledge.ErrUnavailable)
		w.Registrar.Refuse(nil)
		d.checkWhole(d.onboard())
		if r := w.Registrar.Requests(); bytes.Equal(r[0], r[1]) {
			t.Errorf("after %d the same voucher-request was sent again", status)
		}
	}
}

func TestRegistrarThatIsNotThereIsUnavailable(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w, func(c *pledge.Config) { c.RegistrarURL = "https://127.0.0.1:1" })
	d.onboardFails(pledge.ReasonUnreachable, pledge.ErrUnavailable)
	if n := d.memory.writes(); n != 0 {
		t.Errorf("%d writes, want none", n)
	}
}

// RFC 8995, Section 2.6.1.
func TestPledgeWithoutClockIgnoresDates(t *testing.T) {
	w := brskitest.New(t)
	past := func() time.Time { return time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC) }
	d := newDevice(t, w, func(c *pledge.Config) { c.NoClock, c.Now = true, past })
	d.checkWhole(d.onboard())
	if r, _ := openRequest(t, d.file(pledge.FileRequest)); !r.CreatedOn.IsZero() {
		t.Errorf("created-on = %v, want none from a pledge without a clock", r.CreatedOn)
	}
}

func TestPledgeWithAWrongClockIsRefused(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w, func(c *pledge.Config) {
		c.Now = func() time.Time { return time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC) }
	})
	d.onboardFails(pledge.ReasonVoucherSigner, pledge.ErrUntrusted)
}

func TestKeyThatLivesElsewhereIsNotStored(t *testing.T) {
	w := brskitest.New(t)
	key := testpki.NewKey(t)
	d := newDevice(t, w, func(c *pledge.Config) { c.Key = key })
	result := d.onboard()
	if !sameKey(t, key, result.Certificate) {
		t.Errorf("the LDevID is for another key than Config.Key")
	}
	if _, err := d.memory.Load(pledge.FileKey); err == nil {
		t.Errorf("ldevid.key was written")
	}
	if again := d.onboard(); !again.Certificate.Equal(result.Certificate) {
		t.Errorf("the second Onboard has another certificate")
	}
}

func TestResetForgetsTheDomain(t *testing.T) {
	w := brskitest.New(t)
	d := newDevice(t, w)
	d.onboard()
	if err := d.pledge().Reset(); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	if s := d.stage(); s != pledge.Fresh {
		t.Fatalf("stage = %q, want %q", s, pledge.Fresh)
	}
	d.checkWhole(d.onboard())
	if keys := enrolledKeys(w); len(keys) != 2 {
		t.Errorf("%d keys were enrolled, want a new one after Reset", len(keys))
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	w := brskitest.New(t)
	other := testpki.NewKey(t)
	for name, change := range map[string]func(*pledge.Config){
		"http":            func(c *pledge.Config) { c.RegistrarURL = "http://127.0.0.1:1" },
		"path":            func(c *pledge.Config) { c.RegistrarURL += "/.well-known/brski" },
		"user":            func(c *pledge.Config) { c.RegistrarURL = "https://a:b@127.0.0.1:1" },
		"no anchors":      func(c *pledge.Config) { c.Anchors = nil },
		"no storage":      func(c *pledge.Config) { c.State = nil },
		"no format":       func(c *pledge.Config) { c.Format = nil },
		"no IDevID":       func(c *pledge.Config) { c.IDevID.Certificate = nil },
		"other key":       func(c *pledge.Config) { c.IDevID.PrivateKey = other },
		"IDevID as key":   func(c *pledge.Config) { c.Key = w.Vendor.Key; c.IDevID.PrivateKey = nil },
		"no serialNumber": func(c *pledge.Config) { c.IDevID = w.Vendor.Client(t, "anybody").TLS() },
	} {
		d := newDevice(t, w, change)
		if _, err := pledge.New(d.config); err == nil {
			t.Errorf("New with %s was taken", name)
		}
	}
	d := newDevice(t, w)
	d.config.Key = d.idevid.Key
	if _, err := pledge.New(d.config); err == nil {
		t.Errorf("New took the IDevID key as LDevID key")
	}
}
