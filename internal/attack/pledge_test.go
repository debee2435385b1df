package attack_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// R25: an IDevID alone is no permission.
func TestADeviceWithoutAVoucherEnrollsNothing(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1", "SN-2")
	vouched := h.idevidCA.IDevID(t, "SN-1", "")
	if _, err := h.pledge(vouched).send(); err != nil {
		t.Fatal(err)
	}
	copycat := testpki.NewRoot(t, "vendor root").NewIntermediate(t, "vendor devices")
	for _, c := range []struct {
		what   string
		idevid *testpki.Identity
		name   pkix.Name
		want   string
	}{
		{"imported, no voucher", h.idevidCA.IDevID(t, "SN-2", ""), pkix.Name{SerialNumber: "SN-2"}, registrar.ReasonNotVouched},
		{"never heard of", h.idevidCA.IDevID(t, "SN-3", ""), pkix.Name{SerialNumber: "SN-3"}, registrar.ReasonDeviceUnknown},
		{"a CA of the vendor's name", copycat.IDevID(t, "SN-1", ""), pkix.Name{SerialNumber: "SN-1"}, registrar.ReasonNoCredentials},
		{"vouched, another's serial number", vouched, pkix.Name{SerialNumber: "SN-2"}, registrar.ReasonSerialMismatch},
		{"vouched, another's common name", vouched, pkix.Name{CommonName: "SN-2"}, registrar.ReasonForeignName},
		{"vouched, its own and another's name", vouched, pkix.Name{CommonName: "SN-2", SerialNumber: "SN-1"}, registrar.ReasonForeignName},
		{"vouched, a serial number that begins like its own", vouched, pkix.Name{SerialNumber: "SN-10"}, registrar.ReasonSerialMismatch},
	} {
		_, err := h.enroll(c.name).cert(chainOf(c.idevid)...).send()
		if got := reason(err); got != c.want {
			t.Errorf("%s: %q (%v), want %q", c.what, got, err, c.want)
		}
	}
	if n := len(h.certificates("")); n != 0 {
		t.Errorf("%d certificates or intents are on record, want none", n)
	}
}

// RFC 8995, Section 11.1: what one device signed is of no use to another.
func TestAVoucherRequestOfAnotherDeviceIsRefused(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1", "SN-2")
	victim, thief := h.pledge(h.idevidCA.IDevID(t, "SN-1", "")), h.pledge(h.idevidCA.IDevID(t, "SN-2", ""))
	format := vouchercms.Format{}
	raw, err := format.SignRequest(t.Context(), victim.q, &voucher.Signer{Key: victim.idevid.Key, Certificate: victim.idevid.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := victim.post(raw); err != nil {
		t.Fatal(err)
	}
	if _, err := thief.post(raw); reason(err) != registrar.ReasonSignerMismatch {
		t.Errorf("the victim's bytes over the thief's connection: %v", err)
	}
	thief.q.SerialNumber = "SN-1"
	if _, err := thief.send(); reason(err) != registrar.ReasonSerialMismatch {
		t.Errorf("the victim's serial number, signed by the thief: %v", err)
	}
	thief.q.SerialNumber, thief.q.ProximityRegistrarCert = "SN-2", thief.idevid.Certificate.Raw
	if _, err := thief.send(); reason(err) != registrar.ReasonProximity {
		t.Errorf("a request made for another registrar: %v", err)
	}
}

// R14: a serial number is text that nobody interprets.
func TestASerialNumberOfOddCharactersIsItsOwnDeviceAndNoOther(t *testing.T) {
	h := newHouse(t, nil)
	odd := []string{"SN*", "../SN-1", "SN-1,CN=x", "SN-1\\", "SN 1", "'; DROP TABLE devices; --", strings.Repeat("9", 64), "%53N-1", "{serial_number}"}
	h.importSerials(append(slices.Clone(odd), "SN-1")...)
	for _, serial := range odd {
		idevid := h.idevidCA.IDevID(t, serial, "")
		if _, err := h.pledge(idevid).send(); err != nil {
			t.Errorf("%q gets no voucher: %v", serial, err)
		}
		if cert, err := h.enroll(pkix.Name{SerialNumber: serial}).cert(chainOf(idevid)...).send(); err == nil && cert.Subject.SerialNumber != serial {
			t.Errorf("%q was issued %q", serial, cert.Subject.SerialNumber)
		}
		if _, err := h.enroll(pkix.Name{SerialNumber: "SN-1"}).cert(chainOf(idevid)...).send(); err == nil {
			t.Errorf("%q was issued the name SN-1", serial)
		}
	}
	if view, err := h.service.Device(t.Context(), "", "SN-1"); err != nil || view.Device.State != registrar.Expected || len(view.Certificates) != 0 {
		t.Errorf("SN-1 = %+v, %v; want it untouched", view, err)
	}
}

// A certificate of a trusted vendor may say where its MASA is, and not more
// (RFC 8995, Sections 2.3.2 and 5.4): the registrar is no proxy for the device.
func TestTheMASAAddressOfADeviceLeadsNowhereElse(t *testing.T) {
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer elsewhere.Close()
	masa := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}))
	masa.Config.ErrorLog = log.New(io.Discard, "", 0)
	masa.StartTLS()
	defer masa.Close()
	roots := x509.NewCertPool()
	roots.AddCert(masa.Certificate())
	h := newHouse(t, func(h *house) {
		h.settings.Manufacturers["acme"].MASAURL = ""
		h.settings.DialMASA = func(_ *registrar.Manufacturer, url string) (brski.MASA, error) {
			return &brski.MASAClient{URL: url, Roots: roots}, nil
		}
	})
	host := strings.TrimPrefix(masa.URL, "https://")
	plain := strings.TrimPrefix(elsewhere.URL, "http://")
	for i, url := range []string{
		elsewhere.URL, "http://localhost/", "file:///etc/passwd", "gopher://" + plain + "/x", "https://user:pw@" + host + "/", "https://" + host + "/../admin",
		"https://" + host + "/?u=" + elsewhere.URL, "https://" + host + "/#x", "//" + host, "https:///etc", "https://[::1%25lo]/x", "https://" + host + "/a%2f..%2fb",
	} {
		serial := fmt.Sprintf("SN-%d", i)
		h.importSerials(serial)
		if _, err := h.pledge(h.idevidCA.IDevID(t, serial, url)).send(); reason(err) != registrar.ReasonMASAURL {
			t.Errorf("%s: %v, want %s", url, err, registrar.ReasonMASAURL)
		}
	}
	h.importSerials("SN-R")
	if _, err := h.pledge(h.idevidCA.IDevID(t, "SN-R", host)).send(); err == nil {
		t.Error("a redirect gave a voucher")
	}
	if asked.Load() != 0 {
		t.Errorf("the other server was asked %d times", asked.Load())
	}
}

// A certificate that says it is two devices is none.
func TestAnIDevIDWithTwoSerialNumbersIsNobody(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1", "SN-2")
	oid := asn1.ObjectIdentifier{2, 5, 4, 5}
	two := h.idevidCA.Issue(t, &x509.Certificate{Subject: pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
		{Type: oid, Value: "SN-1"}, {Type: oid, Value: "SN-2"},
	}}}, testpki.NewKey(t))
	_, err := h.enroll(pkix.Name{SerialNumber: "SN-1"}).cert(chainOf(two)...).send()
	if reason(err) != registrar.ReasonNoSerialNumber {
		t.Errorf("two serial numbers: %v", err)
	}
}

// A stranger cannot fill the operator's list, and cannot keep devices from it.
func TestAFloodOfStrangersLeavesRoomForRequests(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.settings.Limits.Pending, h.settings.Limits.PendingPerDevice = 100, 3
		h.settings.Manufacturers["acme"].Unlisted = registrar.UnlistedPending
	})
	for range 60 {
		evil := testpki.NewRoot(t, "stranger").NewIntermediate(t, "x").IDevID(t, "E", "")
		if _, err := h.pledge(evil).send(); reason(err) != registrar.ReasonUnknownManufacturer {
			t.Fatalf("a stranger: %v", err)
		}
	}
	list, err := h.service.ListPending(context.Background(), "", "", 1000)
	if err != nil || len(list) != 10 {
		t.Errorf("%d sightings on record (%v), want a tenth of the room: 10", len(list), err)
	}
	_, err = h.pledge(h.idevidCA.IDevID(t, "SN-9", "")).send()
	if reason(err) != registrar.ReasonApproval {
		t.Errorf("a device of a known vendor after the flood: %v", err)
	}
}

// Each form of a request from nobody costs at most one trail entry a minute.
func TestAStrangerCannotGrowTheTrail(t *testing.T) {
	h := newHouse(t, nil)
	before := len(h.entries(""))
	for range 500 {
		_, err := h.enroll(pkix.Name{CommonName: "x"}).send()
		if reason(err) != registrar.ReasonNoCredentials {
			t.Fatalf("no credentials: %v", err)
		}
		r := &est.Request{ID: "q", Operation: est.OpSimpleEnroll, Peer: h.enroll(pkix.Name{}).peer, At: h.now()}
		var e *est.Error
		if asError(err, &e) {
			h.service.Refused(context.Background(), r, e)
		}
	}
	h.service.Close() // writes what is queued
	if n := len(h.entries("")) - before; n != 1 {
		t.Errorf("500 refusals of one stranger within a minute left %d trail entries, want 1", n)
	}
}
