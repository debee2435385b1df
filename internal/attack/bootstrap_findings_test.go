package attack_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testbed"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// A chain of certificates that all have one name is tried in every order
// unless somebody says stop: nobody gets to verify it more than once.
func TestACrowdOfClientCertificatesIsRefusedBeforeAnyIsVerified(t *testing.T) {
	h := newHouse(t, nil)
	crowd := make([]*x509.Certificate, 9)
	for i := range crowd {
		crowd[i] = testpki.NewRoot(t, "vendor root").Certificate
	}
	for what, served := range map[string]struct {
		handler      http.Handler
		method, path string
		mediaType    string
	}{
		"csrattrs":       {&est.Handler{Backend: h.service}, http.MethodGet, "/.well-known/est/csrattrs", ""},
		"simpleenroll":   {&est.Handler{Backend: h.service}, http.MethodPost, "/.well-known/est/simpleenroll", "application/pkcs10"},
		"requestvoucher": {h.bootstrap(), http.MethodPost, "/.well-known/brski/requestvoucher", vouchercms.MediaType},
		"enrollstatus":   {h.bootstrap(), http.MethodPost, "/.well-known/brski/enrollstatus", "application/json"},
	} {
		for _, n := range []int{8, 9} {
			r := httptest.NewRequestWithContext(t.Context(), served.method, "https://registrar"+served.path, nil)
			r.Header.Set("Content-Type", served.mediaType)
			r.TLS = &tls.ConnectionState{PeerCertificates: crowd[:n]}
			w := httptest.NewRecorder()
			served.handler.ServeHTTP(w, r)
			refused := strings.Contains(w.Body.String(), est.ReasonTooManyCertificates)
			if refused != (n > est.MaxCertificates) || refused && w.Code != http.StatusForbidden {
				t.Errorf("%s with %d certificates: %d %s", what, n, w.Code, w.Body)
			}
		}
	}
	if _, err := h.enroll(crowd[0].Subject).cert(crowd...).send(); reason(err) != registrar.ReasonUntrusted && reason(err) != registrar.ReasonNoCredentials {
		t.Errorf("past the handler: %v", err)
	}
}

func (h *house) bootstrap() http.Handler {
	return &brski.RegistrarHandler{Backend: h.service.BRSKI(), Formats: []voucher.Format{vouchercms.Format{}}}
}

// R11.
func TestAnotherIDevIDOfAnImportedSerialNumberIsRefused(t *testing.T) {
	h := newHouse(t, nil)
	first, second := h.vendor.IDevID(t, "SN-1", ""), h.vendor.IDevID(t, "SN-1", "")
	if _, err := h.service.ImportDevices(t.Context(), &registrar.ImportRequest{
		Actor: "test", Manufacturer: "acme", Devices: []registrar.ImportDevice{{IDevID: first.Certificate.Raw}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.pledge(second).send(); reason(err) != registrar.ReasonIDevIDMismatch {
		t.Errorf("another IDevID of the imported serial number: %v", err)
	}
	if view, err := h.service.Device(t.Context(), "", "SN-1"); err != nil || string(view.Device.IDevID) != string(first.Certificate.Raw) {
		t.Errorf("the record's IDevID is another one (%v)", err)
	}
	if _, err := h.pledge(first).send(); err != nil {
		t.Fatalf("the IDevID on record: %v", err)
	}
	r := h.enroll(pkix.Name{SerialNumber: "SN-1"}).cert(chainOf(second)...)
	if _, err := r.send(); reason(err) != registrar.ReasonIDevIDMismatch {
		t.Errorf("another IDevID enrolls on the first one's voucher: %v", err)
	}
	body := []byte(`{"version":1,"status":true}`)
	status, err := brski.ParseStatus(body)
	if err != nil {
		t.Fatal(err)
	}
	err = h.service.BRSKI().VoucherStatus(t.Context(), &brski.StatusReport{
		Call: brski.Call{ID: "x", Operation: brski.OpVoucherStatus, Peer: r.peer, At: h.now()}, Status: *status, Raw: body,
	})
	if reason(err) != registrar.ReasonIDevIDMismatch {
		t.Errorf("another IDevID reports on the first one's voucher: %v", err)
	}
	if _, err := h.service.ImportDevices(t.Context(), &registrar.ImportRequest{
		Actor: "test", Manufacturer: "acme", Devices: []registrar.ImportDevice{{IDevID: second.Certificate.Raw}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.pledge(second).send(); err != nil {
		t.Errorf("the IDevID that an operator imported in its place: %v", err)
	}
	if _, err := h.pledge(first).send(); reason(err) != registrar.ReasonIDevIDMismatch {
		t.Errorf("the one that was replaced: %v", err)
	}
}

// R18.
func TestOneManufacturersMASADoesNotHoldUpTheOthers(t *testing.T) {
	evil := testpki.NewRoot(t, "evil")
	h := newHouse(t, func(h *house) {
		h.settings.Limits.Exchanges = 16
		bad, honest := *h.settings.Manufacturers["acme"], h.masa
		bad.IDevIDAnchors = evil.Pool()
		h.settings.Manufacturers["bad"] = &bad
		down := &lyingMASA{answer: func(context.Context, *brski.MASARequest) (*brski.Voucher, error) {
			return nil, brski.ErrMASAUnavailable
		}}
		h.settings.DialMASA = func(m *registrar.Manufacturer, _ string) (brski.MASA, error) {
			if m.Name == "bad" {
				return down, nil
			}
			return honest, nil
		}
	})
	if _, err := h.service.ImportDevices(t.Context(), &registrar.ImportRequest{
		Actor: "test", Manufacturer: "bad", Devices: []registrar.ImportDevice{{SerialNumber: "E-1"}},
	}); err != nil {
		t.Fatal(err)
	}
	h.importSerials("SN-1")
	devices := evil.NewIntermediate(t, "evil devices")
	rogue := devices.IDevID(t, "E-1", "")
	for i := range 4 { // one device, a nonce each
		_, err := h.pledge(rogue).send()
		if want := []string{registrar.ReasonMASA, registrar.ReasonOverload}[i/2]; reason(err) != want {
			t.Errorf("exchange %d of one device: %v, want %s", i, err, want)
		}
	}
	for i := range 16 { // and many
		serial := fmt.Sprintf("E-%d", i+2)
		if _, err := h.service.ImportDevices(t.Context(), &registrar.ImportRequest{
			Actor: "test", Manufacturer: "bad", Devices: []registrar.ImportDevice{{SerialNumber: serial}},
		}); err != nil {
			t.Fatal(err)
		}
		_, _ = h.pledge(devices.IDevID(t, serial, "")).send()
	}
	if _, err := h.pledge(h.idevidCA.IDevID(t, "SN-1", "")).send(); err != nil {
		t.Errorf("a device of another manufacturer: %v", err)
	}
}

// Where IDevIDs and vouchers have one root, as the quickstart's have.
func TestADeviceSignsNoVouchers(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Manufacturers["acme"].VoucherAnchors = h.vendor.Pool() })
	h.importSerials("SN-1")
	pledge := h.idevidCA.IDevID(t, "SN-1", "")
	for what, signer := range map[string]*testpki.Identity{
		"another device, with a MASA URL":      h.vendor.IDevID(t, "SN-7", "masa.example"),
		"another device, without":              h.vendor.IDevID(t, "SN-7", ""),
		"another device that has a name":       h.idevidCA.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "SN-8", SerialNumber: "SN-8"}}, testpki.NewKey(t)),
		"the device itself":                    pledge,
		"the manufacturer's service":           h.vendor.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "masa"}}, testpki.NewKey(t)),
		"its service, which has a number, too": h.vendor.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "masa", SerialNumber: "2"}}, testpki.NewKey(t)),
	} {
		h.vouchers = signer
		want := registrar.ReasonVoucherSigner
		if strings.Contains(what, "service") {
			want = ""
		}
		if _, err := h.pledge(pledge).send(); reason(err) != want {
			t.Errorf("a voucher signed by %s: %v, want %q", what, err, want)
		}
	}
}

// Connections that send a byte of a body each were all of a server with
// in_flight: 16, for half a minute and again.
func TestSlowBodiesOfOneAddressLeaveRoomForOthers(t *testing.T) {
	program, dir := testbed.Build(t, "briskest"), filepath.Join(t.TempDir(), "q")
	if _, stderr, code := testbed.Run(t, program, "quickstart", "--once", "--dir", dir); code != 0 {
		t.Fatal(stderr)
	}
	file := filepath.Join(dir, "registrar.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), "limits:\n", "limits:\n  in_flight: 16\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	bed := testbed.StartIn(t, program, dir)
	host := strings.TrimSuffix(strings.TrimPrefix(bed.EST, "https://"), "/.well-known/est")
	for range 16 {
		c, err := tls.Dial("tcp", host, &tls.Config{RootCAs: bed.Roots(t)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/pkcs10\r\nContent-Length: 1000\r\n\r\nM")
	}
	client := bed.Client(t, nil)
	client.Transport.(*http.Transport).DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext
	res, err := client.Get(bed.EST + "/cacerts")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("cacerts while one address sends slow bodies: %d", res.StatusCode)
	}
}

// R18: with budgets on, one device grew the registrar's trail without end.
func TestADeviceCannotGrowTheTrailWithoutEnd(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.settings.Limits.EnrollmentsPerAddress, h.settings.Limits.EnrollmentsPerDevice = 10, 5
	})
	h.importSerials("SN-1")
	p := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""))
	if _, err := p.send(); err != nil {
		t.Fatal(err)
	}
	revoked, _ := h.enrolled("sensor-7")
	h.revoke(revoked)
	before := len(h.entries(""))
	for i := range 300 {
		body := fmt.Appendf(nil, `{"version":1,"status":true,"reason":"%d"}`, i)
		status, err := brski.ParseStatus(body)
		if err != nil {
			t.Fatal(err)
		}
		_ = h.service.BRSKI().EnrollStatus(t.Context(), &brski.StatusReport{
			Call: brski.Call{ID: "x", Operation: brski.OpEnrollStatus, Peer: p.peer, At: h.now()}, Status: *status, Raw: body,
		})
		_, _ = h.service.CSRAttrs(t.Context(), &est.Request{Operation: est.OpCSRAttrs, Peer: h.renew(revoked).peer, At: h.now()})
	}
	if n := len(h.entries("")) - before; n < 3 || n > 100 {
		t.Errorf("%d trail entries by two peers within a second", n)
	}
}

// A group's credential can be refused under as many names as there are.
func TestACredentialCannotGrowTheTrailWithoutEnd(t *testing.T) {
	h := newHouse(t, nil)
	var serials []string
	for i := range 500 {
		serials = append(serials, fmt.Sprintf("WIDGET-%d", i))
	}
	h.importSerials(serials...)
	r := h.enroll(pkix.Name{}).basic()
	for _, serial := range serials {
		r.csr.Subject = pkix.Name{CommonName: serial}
		if _, err := r.send(); err == nil {
			t.Fatal("issued")
		}
	}
	status, err := h.service.Status(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(h.entries(registrar.KindRefused)); n < 100 || n > 200 || status.Dropped != int64(500-n) {
		t.Errorf("%d trail entries by one credential within a second, %d dropped", n, status.Dropped)
	}
}

// That a chain led nowhere is remembered, and no longer than it is true.
func TestAChainThatFailedIsTriedAgainWhenItMayHold(t *testing.T) {
	h := newHouse(t, nil)
	vendor := testpki.NewRoot(t, "other vendor")
	device, other := h.idevidCA.IDevID(t, "SN-1", ""), vendor.IDevID(t, "SN-2", "")
	early := h.vendor.Issue(t, &x509.Certificate{
		Subject: pkix.Name{SerialNumber: "SN-3"}, NotBefore: h.now().Add(30 * time.Second), NotAfter: h.now().Add(time.Hour),
	}, testpki.NewKey(t))
	refused := func(what, want string, certs ...*x509.Certificate) {
		t.Helper()
		for range 2 {
			p := h.pledge(device)
			p.peer.Certificates = certs
			if _, err := p.send(); reason(err) != want {
				t.Errorf("%s: %v, want %s", what, err, want)
			}
		}
	}
	refused("a leaf whose CA is not there", registrar.ReasonUnknownManufacturer, device.Certificate)
	refused("with its CA", registrar.ReasonDeviceUnlisted, chainOf(device)...)
	refused("an unknown vendor's", registrar.ReasonUnknownManufacturer, other.Certificate)
	set, known := *h.settings, *h.settings.Manufacturers["acme"]
	known.IDevIDAnchors = vendor.Pool()
	set.Manufacturers = map[string]*registrar.Manufacturer{"acme": h.settings.Manufacturers["acme"], "other": &known}
	if err := h.service.Reload(&set); err != nil {
		t.Fatal(err)
	}
	refused("the vendor's, made known", registrar.ReasonSignerMismatch, other.Certificate)
	refused("one that is not valid yet", registrar.ReasonExpired, early.Certificate)
	h.advance(time.Minute)
	refused("one that has become valid", registrar.ReasonSignerMismatch, early.Certificate)
}

// R18: what is free of charge is not free of limits.
func TestQuestionsAndReportsHaveABudget(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Limits.EnrollmentsPerAddress = 2 })
	peer := h.enroll(pkix.Name{}).peer
	for i := range 12 {
		_, err := h.service.CSRAttrs(t.Context(), &est.Request{Operation: est.OpCSRAttrs, Peer: peer, At: h.now()})
		if want := map[bool]string{true: "", false: registrar.ReasonAddressBudget}[i < 8]; reason(err) != want {
			t.Errorf("csrattrs %d: %v, want %q", i, err, want)
		}
	}
	err := h.service.BRSKI().EnrollStatus(t.Context(), &brski.StatusReport{
		Call: brski.Call{ID: "x", Operation: brski.OpEnrollStatus, Peer: peer, At: h.now()}, Status: brski.Status{Version: 1}, Raw: []byte("{}"),
	})
	if reason(err) != registrar.ReasonAddressBudget {
		t.Errorf("telemetry of the same address: %v", err)
	}
	if _, err := h.enroll(pkix.Name{CommonName: "sensor-7"}).basic().send(); err != nil {
		t.Errorf("enrolling, which has a budget of its own: %v", err)
	}
}
