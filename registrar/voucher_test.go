package registrar_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// ask is one pledge's voucher-request.
type ask struct {
	h      *house
	idevid *testpki.Identity
	peer   *est.Peer
	q      *voucher.Request
	raw    []byte
}

// pledge makes a device's voucher-request; change may alter it before it is signed.
func (h *house) pledge(idevid *testpki.Identity, change func(q *voucher.Request)) *ask {
	h.t.Helper()
	serial, err := voucher.SerialNumber(idevid.Certificate)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.pledgeSays(idevid, serial, change)
}

// pledgeAs is pledge for a device that claims a serial number.
func (h *house) pledgeAs(idevid *testpki.Identity, serial string) *ask {
	return h.pledgeSays(idevid, serial, nil)
}

func (h *house) pledgeSays(idevid *testpki.Identity, serial string, change func(q *voucher.Request)) *ask {
	h.t.Helper()
	a := &ask{h: h, idevid: idevid, peer: &est.Peer{Address: netip.MustParseAddrPort("192.0.2.9:1"), TLS: &tls.ConnectionState{}}}
	a.peer.Certificates = append(a.peer.Certificates, idevid.Certificate)
	a.peer.Certificates = append(a.peer.Certificates, idevid.Chain[:max(0, len(idevid.Chain)-1)]...)
	a.q = &voucher.Request{
		Assertion: voucher.Proximity, CreatedOn: h.now(), SerialNumber: serial, Nonce: voucher.NewNonce(),
		ProximityRegistrarCert: h.registrar.Certificate.Raw,
	}
	if change != nil {
		change(a.q)
	}
	var err error
	a.raw, err = vouchercms.Format{}.SignRequest(h.t.Context(), a.q, &voucher.Signer{Key: idevid.Key, Certificate: idevid.Certificate})
	if err != nil {
		h.t.Fatalf("SignRequest: %v", err)
	}
	return a
}

func (a *ask) send() (*brski.Voucher, error) {
	a.h.t.Helper()
	format := vouchercms.Format{}
	q, artifact, err := format.OpenRequest(a.raw)
	if err != nil {
		a.h.t.Fatalf("OpenRequest: %v", err)
	}
	return a.h.service.BRSKI().RequestVoucher(a.h.t.Context(), &brski.VoucherRequest{
		Call:   brski.Call{ID: "v", Operation: brski.OpRequestVoucher, Peer: a.peer, At: a.h.now()},
		Format: format, Request: q, Artifact: artifact, Accept: []voucher.Format{format},
	})
}

func (a *ask) refusedAs(reason string, status int) *est.Error {
	a.h.t.Helper()
	_, err := a.send()
	return refusal(a.h.t, err, reason, status)
}

// vouched imports a device and gets a voucher for it.
func (h *house) vouched(serial string) *testpki.Identity {
	h.t.Helper()
	h.importSerials(serial)
	idevid := h.idevidCA.IDevID(h.t, serial, "")
	if _, err := h.pledge(idevid, nil).send(); err != nil {
		h.t.Fatalf("RequestVoucher: %v", err)
	}
	return idevid
}

// RFC 8995, Sections 5.2 to 5.6.
// BRSKI-8995-5.6-01.
func TestAnImportedDeviceGetsItsVoucherByteForByte(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
	first, err := a.send()
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := vouchercms.Format{}.OpenVoucher(first.Raw)
	if err != nil || v.Nonce != a.q.Nonce || v.SerialNumber != "SN-1" || !bytes.Equal(v.PinnedDomainCert, h.root.Certificate.Raw) {
		t.Errorf("voucher = %+v, %v", v, err)
	}
	view, err := h.service.Device(t.Context(), "", "SN-1")
	if err != nil {
		t.Fatal(err)
	}
	row := view.Vouchers[0]
	if view.Device.State != registrar.Vouched || row.State != "issued" || !bytes.Equal(row.PledgeRequest, a.raw) || !bytes.Equal(row.Voucher, first.Raw) || row.AuditLog == nil {
		t.Errorf("on record: device %s, exchange %s", view.Device.State, row.State)
	}
	if !bytes.Equal(view.Device.IDevID, a.idevid.Certificate.Raw) {
		t.Error("the IDevID is not on record")
	}
	// The same signed request again is answered from the record.
	second, err := a.send()
	if err != nil || !bytes.Equal(first.Raw, second.Raw) || h.masa.count() != 1 {
		t.Errorf("asked again: %v, the MASA was asked %d times", err, h.masa.count())
	}
	if len(h.entries(registrar.KindVoucherRequested)) != 1 || len(h.entries(registrar.KindVoucherIssued)) != 1 {
		t.Error("the trail does not have one request and one voucher")
	}
}

// The whole road: voucher, then enrollment with the IDevID.
func TestAVouchedDeviceEnrollsUnderItsOwnSerialNumber(t *testing.T) {
	h := newHouse(t, nil)
	idevid := h.vouched("SN-1")
	own := func() *request { return h.enroll("").cert(idevid.Certificate, h.idevidCA.Certificate) }
	own().subject(pkix.Name{CommonName: "SN-2"}).refusedAs(registrar.ReasonForeignName, 403)
	own().subject(pkix.Name{SerialNumber: "SN-1"}).dns("other.example.com").refusedAs(registrar.ReasonForeignName, 403)
	cert := own().subject(pkix.Name{SerialNumber: "SN-1"}).mustSend()
	if cert.Subject.SerialNumber != "SN-1" {
		t.Errorf("subject = %s", cert.Subject)
	}
	view, err := h.service.Device(t.Context(), "", "SN-1")
	if err != nil || view.Device.State != registrar.Enrolled || len(view.Certificates) != 1 {
		t.Errorf("device = %+v, %v", view, err)
	}
	// Another device of the same manufacturer, imported but not vouched for.
	h.importSerials("SN-3")
	other := h.idevidCA.IDevID(t, "SN-3", "")
	h.enroll("").cert(other.Certificate, h.idevidCA.Certificate).subject(pkix.Name{SerialNumber: "SN-3"}).refusedAs(registrar.ReasonNotVouched, 403)
}

// BRSKI-8995-5.1-07: a certificate of an unknown CA.
// BRSKI-8995-5.5-07: another serial number. BRSKI-8995-2.3.1-03, BRSKI-8995-5.5-08: which reaches no request of the registrar's.
// BRSKI-8995-5.2-07: 401 for proximity that does not hold, and the MASA is not asked.
func TestVoucherRequestsAreRefused(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	good := h.idevidCA.IDevID(t, "SN-1", "")
	unlisted := h.idevidCA.IDevID(t, "SN-404", "")
	stranger := testpki.NewRoot(t, "other vendor").IDevID(t, "SN-1", "")
	noCertificate := h.pledge(good, nil)
	noCertificate.peer.Certificates = nil
	agents := func(q *voucher.Request) {
		q.Assertion, q.AgentProvidedProximityRegistrarCert, q.AgentSignedData = voucher.AgentProximity, h.registrar.Certificate.Raw, []byte("signed")
		q.ProximityRegistrarCert = nil
	}
	stolen := h.pledge(good, nil) // device 404 plays back what device 1 signed
	stolen.peer = h.pledge(unlisted, nil).peer
	for _, c := range []struct {
		what   string
		a      *ask
		reason string
		status int
	}{
		{"no certificate", noCertificate, registrar.ReasonNoCertificate, 403},
		{"unknown manufacturer", h.pledge(stranger, nil), registrar.ReasonUnknownManufacturer, 403},
		{"unlisted serial number", h.pledge(unlisted, nil), registrar.ReasonDeviceUnlisted, 404},
		{"another's request", stolen, registrar.ReasonSignerMismatch, 403},
		{"another serial number", h.pledge(good, func(q *voucher.Request) { q.SerialNumber = "SN-2" }), registrar.ReasonSerialMismatch, 403},
		{"no nonce", h.pledge(good, func(q *voucher.Request) { q.Nonce = "" }), registrar.ReasonNonceMissing, 400},
		{"an assertion that is not proximity", h.pledge(good, func(q *voucher.Request) { q.Assertion = voucher.Logged }), registrar.ReasonAssertion, 401},
		{"an agent's proximity", h.pledge(good, agents), registrar.ReasonAssertion, 401},
		{"another registrar's certificate", h.pledge(good, func(q *voucher.Request) { q.ProximityRegistrarCert = h.ca.Certificate.Raw }), registrar.ReasonProximity, 401},
		{"no proximity certificate", h.pledge(good, func(q *voucher.Request) { q.ProximityRegistrarCert = nil }), registrar.ReasonProximity, 401},
		{"an unknown leaf", h.pledge(good, func(q *voucher.Request) {
			q.Unknown = map[string]json.RawMessage{"surprise": json.RawMessage(`1`)}
		}), registrar.ReasonRequestRefused, 400},
	} {
		_, err := c.a.send()
		var e *est.Error
		if !errors.As(err, &e) || e.Reason != c.reason || e.Status != c.status {
			t.Errorf("%s: %v, want %d %q", c.what, err, c.status, c.reason)
		}
	}
	if n := h.masa.count(); n != 0 {
		t.Errorf("the MASA was asked %d times for refused requests", n)
	}
	if !slices.ContainsFunc(h.entries(registrar.KindRefused), func(e *trail.Entry) bool { return e.Reason == registrar.ReasonSerialMismatch }) {
		t.Error("the trail does not tell of the serial number that differs")
	}
	sightings, err := h.service.ListPending(t.Context(), "", registrar.StateWaiting, 0)
	if err != nil || len(sightings) != 1 || sightings[0].Kind != registrar.PendingSighting || sightings[0].SerialNumber != "SN-1" {
		t.Errorf("sightings = %+v, %v", sightings, err)
	}
}

// The pledge of RFC 8995, Section 2.6.1 without a clock; reach's nonce in
// unpadded base64url, echoed verbatim.
func TestAPledgeWithoutClockAndWithAnOddNonceIsWelcome(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), func(q *voucher.Request) {
		q.CreatedOn, q.Nonce = time.Unix(0, 0).UTC(), "Aa-_Aa-_Aa-_Aa-_Aa-_Aa"
	})
	out, err := a.send()
	if err != nil {
		t.Fatal(err)
	}
	if v, _, err := (vouchercms.Format{}).OpenVoucher(out.Raw); err != nil || v.Nonce != a.q.Nonce {
		t.Errorf("nonce = %q, %v", v.Nonce, err)
	}
}

// R27: a false MASA; RFC 8995, Section 5.6.
// BRSKI-8995-5.6-03, R29: each failure of the MASA is a failure here, with its status.
func TestAVoucherThatIsNotForThisRequestIsNotHandedOn(t *testing.T) {
	other := testpki.NewRoot(t, "other")
	for _, c := range []struct {
		what   string
		lie    func(m *fakeMASA)
		reason string
		status int
	}{
		{"another device", func(m *fakeMASA) { m.change = func(v *voucher.Voucher) { v.SerialNumber = "SN-2" } }, registrar.ReasonVoucherSerial, 502},
		{"another nonce", func(m *fakeMASA) { m.change = func(v *voucher.Voucher) { v.Nonce = voucher.NewNonce() } }, registrar.ReasonVoucherNonce, 502},
		{"no nonce", func(m *fakeMASA) {
			m.change = func(v *voucher.Voucher) { v.Nonce, v.ExpiresOn = "", time.Now().Add(time.Hour) }
		}, registrar.ReasonVoucherNonce, 502},
		{"another domain", func(m *fakeMASA) { m.change = func(v *voucher.Voucher) { v.PinnedDomainCert = other.Certificate.Raw } }, registrar.ReasonVoucherPin, 502},
		{"an assertion", func(m *fakeMASA) { m.change = func(v *voucher.Voucher) { v.Assertion = voucher.AgentProximity } }, registrar.ReasonVoucherAssertion, 502},
		{"a signer", func(m *fakeMASA) { m.signer = other }, registrar.ReasonVoucherSigner, 502},
		{"nonsense", func(m *fakeMASA) { m.answer = func(v *brski.Voucher) { v.Raw = []byte("nonsense") } }, registrar.ReasonVoucherMalformed, 502},
		{"a voucher cut short", func(m *fakeMASA) { m.answer = func(v *brski.Voucher) { v.Raw = v.Raw[:len(v.Raw)/2] } }, registrar.ReasonVoucherMalformed, 502},
		{"nothing (nqminds)", func(m *fakeMASA) { m.answer = func(v *brski.Voucher) { v.Raw = nil } }, registrar.ReasonMASAFailed, 502},
		{"a media type", func(m *fakeMASA) { m.answer = func(v *brski.Voucher) { v.MediaType = "text/plain" } }, registrar.ReasonVoucherMalformed, 502},
		{"no audit-log", func(m *fakeMASA) { m.failLog = &est.Error{Status: 404} }, registrar.ReasonAuditLog, 502},
		{"a refusal", func(m *fakeMASA) { m.fail = &est.Error{Status: 403, Message: "sold to somebody else"} }, registrar.ReasonMASARefused, 403},
		{"not knowing the device", func(m *fakeMASA) { m.fail = &est.Error{Status: 404} }, registrar.ReasonMASAUnknown, 404},
		{"not acceptable", func(m *fakeMASA) { m.fail = &est.Error{Status: 406} }, registrar.ReasonMASANotAcceptable, 406},
		{"asking us for credentials", func(m *fakeMASA) { m.fail = &est.Error{Status: 401} }, registrar.ReasonMASAFailed, 502},
	} {
		t.Run(c.what, func(t *testing.T) {
			h := newHouse(t, nil)
			h.importSerials("SN-1")
			h.masa.set(c.lie)
			a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
			a.refusedAs(c.reason, c.status)
			a.refusedAs(c.reason, c.status) // from the record
			if h.masa.count() > 1 {
				t.Errorf("the MASA was asked %d times", h.masa.count())
			}
			// RFC 8995, Section 5.8.3: and EST is refused to the device.
			h.enroll("").cert(a.peer.Certificates...).subject(pkix.Name{SerialNumber: "SN-1"}).refusedAs(registrar.ReasonNotVouched, 403)
			refused := h.entries(registrar.KindVoucherRefused)
			if len(refused) != 1 || refused[0].Reason != c.reason {
				t.Errorf("trail = %+v", refused)
			}
		})
	}
}

func TestPermissionsByNameLoosenOneRuleEach(t *testing.T) {
	type rule struct {
		allow  func(m *registrar.Manufacturer)
		pledge func(q *voucher.Request)
		masa   func(m *fakeMASA)
	}
	for what, r := range map[string]rule{
		"AllowNonceless": {
			func(m *registrar.Manufacturer) { m.AllowNonceless = true }, func(q *voucher.Request) { q.Nonce = "" }, nil,
		},
		"AllowNoProximity": {
			func(m *registrar.Manufacturer) { m.AllowNoProximity = true }, func(q *voucher.Request) { q.Assertion, q.ProximityRegistrarCert = voucher.Logged, nil }, nil,
		},
		"AuditLog.Unavailable": {
			func(m *registrar.Manufacturer) { m.AuditLog.Unavailable = registrar.AuditAllow }, nil, func(m *fakeMASA) { m.failLog = errors.New("no") },
		},
		"Unlisted": {func(m *registrar.Manufacturer) { m.Unlisted = registrar.UnlistedAdmit }, nil, nil},
	} {
		for _, allowed := range []bool{false, true} {
			h := newHouse(t, func(h *house) {
				if allowed {
					r.allow(h.settings.Manufacturers["acme"])
				}
			})
			if what != "Unlisted" {
				h.importSerials("SN-1")
			}
			if r.masa != nil {
				h.masa.set(r.masa)
			}
			_, err := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), r.pledge).send()
			if (err == nil) != allowed {
				t.Errorf("%s = %t: %v", what, allowed, err)
			}
		}
	}
}

func TestAnUnlistedDeviceWaitsForTheOperatorWherePolicySaysSo(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Manufacturers["acme"].Unlisted = registrar.UnlistedPending })
	a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
	if e := a.refusedAs(registrar.ReasonApproval, 202); e.RetryAfter <= 0 || e.RetryAfter > time.Minute {
		t.Errorf("Retry-After = %s", e.RetryAfter)
	}
	a.refusedAs(registrar.ReasonApproval, 202)
	rows, err := h.service.ListPending(t.Context(), "", registrar.StateWaiting, 0)
	if err != nil || len(rows) != 1 {
		t.Fatalf("pending = %+v, %v", rows, err)
	}
	if _, err := h.service.Approve(t.Context(), &registrar.Verdicting{Actor: "cli:me", ID: rows[0].ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.send(); err != nil {
		t.Errorf("approved, and refused: %v", err)
	}
	b := h.pledge(h.idevidCA.IDevID(t, "SN-2", ""), nil)
	b.refusedAs(registrar.ReasonApproval, 202)
	rows, _ = h.service.ListPending(t.Context(), "", registrar.StateWaiting, 0)
	if _, err := h.service.Deny(t.Context(), &registrar.Verdicting{Actor: "cli:me", ID: rows[0].ID, Reason: "not ours"}); err != nil {
		t.Fatal(err)
	}
	if e := b.refusedAs(registrar.ReasonApprovalDenied, 403); !strings.Contains(e.Message, "not ours") {
		t.Errorf("message = %q", e.Message)
	}
}

// R27: the MASA is down for an hour.
// BRSKI-8995-5.6-05: the same bytes again after a 202.
func TestAMASAThatIsDownIsAskedUntilItAnswers(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	h.service.Close()
	synctest.Test(t, func(t *testing.T) {
		h.t = t
		h.start()
		h.masa.set(func(m *fakeMASA) { m.fail = brski.ErrMASAUnavailable })
		a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
		for range 3 {
			if e := a.refusedAs(registrar.ReasonMASA, 202); e.RetryAfter <= 0 {
				t.Error("no Retry-After")
			}
			time.Sleep(time.Minute) //nolint:forbidigo // in a synctest bubble
			h.advance(time.Minute)
		}
		if h.masa.count() < 3 {
			t.Errorf("the MASA was asked %d times in three minutes", h.masa.count())
		}
		h.masa.set(func(m *fakeMASA) { m.fail = nil })
		time.Sleep(2 * time.Minute) //nolint:forbidigo // in a synctest bubble
		h.advance(2 * time.Minute)
		asked := h.masa.count()
		if _, err := a.send(); err != nil {
			t.Errorf("the MASA is up again: %v", err)
		}
		if h.masa.count() != asked {
			t.Error("the answer was not there when the pledge came")
		}
		h.service.Close()
	})
}

func TestAMASAThatStaysDownIsGivenUpWith504(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	h.service.Close()
	synctest.Test(t, func(t *testing.T) {
		h.t = t
		h.start()
		h.masa.set(func(m *fakeMASA) { m.fail = brski.ErrMASAUnavailable })
		a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
		a.refusedAs(registrar.ReasonMASA, 202)
		h.advance(61 * time.Minute)
		time.Sleep(61 * time.Minute) //nolint:forbidigo // in a synctest bubble
		a.refusedAs(registrar.ReasonMASAGaveUp, 504)
		h.service.Close()
	})
}

func TestAnUnansweredExchangeIsTakenUpAfterARestart(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	h.masa.set(func(m *fakeMASA) { m.fail = brski.ErrMASAUnavailable })
	a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
	a.refusedAs(registrar.ReasonMASA, 202)
	h.service.Close()
	h.masa.set(func(m *fakeMASA) { m.fail = nil })
	synctest.Test(t, func(t *testing.T) {
		h.t = t
		h.start()
		synctest.Wait()
		view, err := h.service.Device(t.Context(), "", "SN-1")
		if err != nil || view.Vouchers[0].State != "issued" {
			t.Errorf("after the restart: %+v, %v", view.Vouchers[0], err)
		}
		h.service.Close()
	})
}

func TestRequestsAtTheSameTimeAskTheMASAOnce(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	gate := make(chan struct{})
	h.masa.set(func(m *fakeMASA) { m.gate = gate })
	a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
	done := make(chan error)
	for range 8 {
		go func() { _, err := a.send(); done <- err }()
	}
	close(gate)
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if h.masa.count() != 1 {
		t.Errorf("the MASA was asked %d times", h.masa.count())
	}
}
