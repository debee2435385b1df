package registrar_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

func TestAGroupCredentialEnrollsADeviceAndAllOfItIsOnRecord(t *testing.T) {
	h := newHouse(t, nil)
	cert := h.enroll("sensor-7").basic(group).dns("sensor-7.example.com").ip(net.IPv4(192, 0, 2, 7)).mustSend()
	if _, err := cert.Verify(x509.VerifyOptions{Roots: h.root.Pool(), Intermediates: h.ca.Pool(), CurrentTime: h.now()}); err != nil {
		t.Errorf("the certificate does not chain to the root: %v", err)
	}
	view, err := h.service.Device(t.Context(), "", "sensor-7")
	if err != nil {
		t.Fatal(err)
	}
	if view.Device.State != registrar.Enrolled || view.Device.Source != "enroll" || len(view.Certificates) != 1 {
		t.Errorf("device = %+v with %d certificates", view.Device, len(view.Certificates))
	}
	row := view.Certificates[0]
	if row.Status != registrar.Issued || !bytes.Equal(row.Raw, cert.Raw) || row.Credential != "basic:factory" {
		t.Errorf("certificate on record = %+v", row)
	}
	issued := h.entries(registrar.KindCertificateIssued)
	if len(issued) != 1 || issued[0].Device != view.Device.ID || !strings.Contains(string(issued[0].Body), `"names":2`) {
		t.Errorf("trail = %+v", issued)
	}
}

// Promise 2 of the design.
func TestAskingAgainReturnsTheSameCertificate(t *testing.T) {
	h := newHouse(t, nil)
	r := h.enroll("sensor-7").basic(group)
	first, second := r.mustSend(), r.mustSend()
	if !first.Equal(second) {
		t.Error("asking again issued a second certificate")
	}
	other := h.enroll("sensor-7").basic(group).mustSend()
	if first.Equal(other) {
		t.Error("another key got the same certificate")
	}
	if n := len(h.certificates(registrar.Issued)); n != 2 {
		t.Errorf("%d certificates on record, want 2", n)
	}
}

func TestConcurrentRepetitionsIssueOneCertificate(t *testing.T) {
	h := newHouse(t, nil)
	r := h.enroll("sensor-7").basic(group)
	var wg sync.WaitGroup
	certs := make([]*x509.Certificate, 16)
	for i := range certs {
		wg.Go(func() { certs[i] = r.mustSend() })
	}
	wg.Wait()
	for _, c := range certs[1:] {
		if !c.Equal(certs[0]) {
			t.Fatal("repetitions at the same time got different certificates")
		}
	}
	if n := len(h.certificates("")); n != 1 {
		t.Errorf("%d issuances, want 1", n)
	}
}

func TestManyDevicesEnrollAtOnce(t *testing.T) {
	h := newHouse(t, nil)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() { h.enroll(fmt.Sprint("sensor-", i)).basic(group).mustSend() })
	}
	wg.Wait()
	if n := len(h.certificates(registrar.Issued)); n != 32 {
		t.Errorf("%d certificates, want 32", n)
	}
}

func TestEnrollmentIsRefused(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.settings.Labels["nobasic"] = &registrar.Label{Profile: h.profile("device")}
	})
	h.enroll("taken").basic(group).mustSend()
	stranger := testpki.NewRoot(t, "stranger").Client(t, "x").Certificate
	idevid := h.idevidCA.IDevID(t, "SN-1", "")
	wrong := h.enroll("a").basic(group)
	wrong.peer.Secret = "guess"
	unknown := h.enroll("a")
	unknown.peer.User, unknown.peer.Secret = "nobody", "guess"
	oversized := h.enroll("a")
	oversized.peer.User, oversized.peer.Secret = "u", est.Secret(strings.Repeat("x", 5000))
	for _, c := range []struct {
		what   string
		r      *request
		reason string
		status int
	}{
		{"unknown label", h.enroll("a").basic(group).label("nope"), registrar.ReasonUnknownLabel, 404},
		{"nothing to authenticate with", h.enroll("a"), registrar.ReasonNoCredentials, 401},
		{"wrong password", wrong, registrar.ReasonBadCredentials, 401},
		{"unknown user", unknown, registrar.ReasonBadCredentials, 401},
		{"password of 5000 bytes", oversized, registrar.ReasonBadCredentials, 401},
		{"stranger's certificate", h.enroll("a").cert(stranger), registrar.ReasonNoCredentials, 401},
		{"stranger's certificate where credentials do not help", h.enroll("a").cert(stranger).label("nobasic"), registrar.ReasonUntrusted, 403},
		{"credentials where they are not taken", h.enroll("a").basic(group).label("nobasic"), registrar.ReasonMethodNotAllowed, 403},
		{"renewal by password", h.enroll("a").basic(group).renewing(), registrar.ReasonNoCertificate, 403},
		{"renewal with nothing", h.enroll("a").renewing(), registrar.ReasonNoCertificate, 403},
		{"somebody else's name", h.enroll("dev-2").basic(alone), registrar.ReasonForeignName, 403},
		{"somebody else's DNS name", h.enroll(alone).basic(alone).dns("dev-2.example.com"), registrar.ReasonForeignName, 403},
		{"somebody else's serial number", h.enroll("").basic(alone).subject(pkix.Name{CommonName: alone, SerialNumber: "dev-2"}), registrar.ReasonForeignName, 403},
		{"an address with one's own name", h.enroll(alone).basic(alone).ip(net.IPv4(192, 0, 2, 1)), registrar.ReasonForeignName, 403},
		{"attribute that the profile does not take", h.enroll("").basic(group).subject(pkix.Name{CommonName: "a", Organization: []string{"Evil"}}), registrar.ReasonNamesRefused, 400},
		{"no names", h.enroll("").basic(group).subject(pkix.Name{}), registrar.ReasonNamesRefused, 400},
		{"IDevID without voucher", h.enroll("").cert(idevid.Certificate, h.idevidCA.Certificate).subject(pkix.Name{SerialNumber: "SN-1"}), registrar.ReasonDeviceUnknown, 403},
		{"IDevID that renews", h.enroll("").cert(idevid.Certificate, h.idevidCA.Certificate).subject(pkix.Name{SerialNumber: "SN-1"}).renewing(), registrar.ReasonRenewalNotAllowed, 403},
		{"IDevID with another serial number", h.enroll("").cert(idevid.Certificate, h.idevidCA.Certificate).subject(pkix.Name{SerialNumber: "SN-2"}), registrar.ReasonSerialMismatch, 403},
	} {
		t.Run(c.what, func(t *testing.T) {
			before := len(h.certificates(""))
			c.r.h = &house{t: t, service: h.service, store: h.store}
			c.r.h.clock.Store(h.clock.Load())
			c.r.refusedAs(c.reason, c.status)
			if after := len(h.certificates("")); after != before {
				t.Errorf("%d issuances after a refusal", after-before)
			}
		})
	}
}

func TestACredentialOfOnesOwnEnrollsOnesOwnNames(t *testing.T) {
	h := newHouse(t, nil)
	cert := h.enroll(alone).basic(alone).dns("dev-1.example.com").mustSend()
	if cert.Subject.CommonName != alone {
		t.Errorf("common name = %q", cert.Subject.CommonName)
	}
}

// R13: names come from policy, whatever the request says.
func TestNamesAreTheDecisionsAndNotTheRequests(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) {
			d.Subject.Others = "ignore"
			d.SAN.DNS = nil
			d.SAN.Others = "ignore"
			d.Subject.Attributes = append(d.Subject.Attributes, profile.AttributeRule{Type: "organization", Value: "House"})
		})
	})
	cert := h.enroll("").basic(group).subject(pkix.Name{CommonName: "a", Organization: []string{"Evil"}}).dns("evil.example").mustSend()
	if len(cert.DNSNames) != 0 || len(cert.Subject.Organization) != 1 || cert.Subject.Organization[0] != "House" {
		t.Errorf("certificate names = %s %v", cert.Subject, cert.DNSNames)
	}
}

func TestANameThatIsTakenIsRefusedUnlessTheProfileAllowsIt(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) { d.AllowSameNameOtherKey = false })
	})
	r := h.enroll("sensor-7").basic(group)
	first := r.mustSend()
	h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonNameTaken, 403)
	if again := r.mustSend(); !again.Equal(first) {
		t.Error("the holder of the key did not get its certificate again")
	}
}

// A group credential does not speak for a device that has an IDevID.
func TestACredentialDoesNotTakeTheNameOfADeviceWithIDevID(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	h.enroll("SN-1").basic(group).refusedAs(registrar.ReasonForeignName, 403)
}

func (h *house) importSerials(serials ...string) {
	h.t.Helper()
	h.importOf("acme", serials...)
}

func (h *house) importOf(manufacturer string, serials ...string) {
	h.t.Helper()
	r := &registrar.ImportRequest{Actor: "test", Manufacturer: manufacturer}
	for _, s := range serials {
		r.Devices = append(r.Devices, registrar.ImportDevice{SerialNumber: s})
	}
	if _, err := h.service.ImportDevices(h.t.Context(), r); err != nil {
		h.t.Fatalf("ImportDevices: %v", err)
	}
}

// RFC 7030, Section 3.7.
func TestAnRAEnrollsOthersWhereTheLabelSaysSo(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.settings.Labels["nora"] = &registrar.Label{Profile: h.profile("device"), Basic: true, Renewal: true}
	})
	ra, _ := h.raCertificate()
	r := h.enroll("sensor-7").cert(ra)
	r.link = "bm90IHRoaXMgY29ubmVjdGlvbg==" // the device's own connection
	r.mustSend()
	h.enroll("sensor-8").cert(ra).label("nora").refusedAs(registrar.ReasonMethodNotAllowed, 403)
	h.enroll("sensor-7").cert(ra).renewing().refusedAs(est.ReasonReenrollSubject, 403)
	// The same usage from another CA gives no rights (RFC 7030, Section 3.3.2).
	foreign := testpki.NewRoot(t, "other").Registrar(t, "factory RA").Certificate
	h.enroll("sensor-9").cert(foreign).refusedAs(registrar.ReasonNoCredentials, 401)
	// An ordinary certificate is no RA.
	device := h.enroll("sensor-1").basic(group).mustSend()
	h.enroll("sensor-2").cert(device).refusedAs(est.ReasonReenrollSubject, 403)
}

// RFC 7030, Section 3.5.
func TestARequestIsLinkedToItsConnectionAsTheProfileSays(t *testing.T) {
	h := newHouse(t, nil)
	r := h.enroll("a").basic(group)
	r.link = "d3Jvbmc="
	r.refusedAs(est.ReasonLinkMismatch, 400)
	strict := newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) { d.ProofOfPossessionLinking = "required" })
	})
	strict.enroll("a").basic(group).refusedAs(registrar.ReasonBindingMissing, 400)
	off := newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) { d.ProofOfPossessionLinking = "off" })
	})
	r = off.enroll("a").basic(group)
	r.link = "a shared secret"
	r.mustSend()
}

// R18: a client that enrolls in a loop.
func TestBudgetsBoundADeviceAndAnAddress(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Limits.EnrollmentsPerDevice = 3 })
	for range 3 {
		h.enroll("loop").basic(group).mustSend()
	}
	e := h.enroll("loop").basic(group).refusedAs(registrar.ReasonDeviceBudget, 503)
	if e.RetryAfter <= 0 {
		t.Error("the refusal has no Retry-After")
	}
	h.enroll("other").basic(group).mustSend()
	h.advance(49 * 3600e9)
	h.enroll("loop").basic(group).mustSend()

	h = newHouse(t, func(h *house) { h.settings.Limits.EnrollmentsPerAddress = 2 })
	h.enroll("a").basic(group).mustSend()
	h.enroll("b").basic(group).mustSend()
	r := h.enroll("c").basic(group)
	r.refusedAs(registrar.ReasonAddressBudget, 503)
	err := h.service.Admit(t.Context(), &est.Request{Operation: r.op, Peer: r.peer, At: h.now()})
	refusal(t, err, registrar.ReasonAddressBudget, 503)
}
