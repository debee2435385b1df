package registrar_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
)

func TestJoinRulesThatMakeNoSenseAreRefused(t *testing.T) {
	h := newHouse(t, nil)
	for _, rule := range []registrar.JoinRule{
		{Name: "says nothing"},
		{Verdict: "perhaps"},
		{SerialNumbers: []string{"S*N"}, Verdict: registrar.UnlistedAdmit},
		{SerialNumbers: []string{""}, Verdict: registrar.UnlistedAdmit},
		{Subject: []registrar.SubjectMatch{{Value: "x"}}, Verdict: registrar.UnlistedAdmit},
		{Subject: []registrar.SubjectMatch{{Type: asn1.ObjectIdentifier{2, 5, 4, 11}}}, Verdict: registrar.UnlistedAdmit},
	} {
		h.settings.Manufacturers["acme"].Join = []registrar.JoinRule{rule}
		if err := h.service.Reload(h.settings); err == nil {
			t.Errorf("Reload(%+v) succeeded", rule)
		}
	}
}

func TestADeviceWaitsForTheOperatorWhereAJoinRuleSaysSo(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.settings.Manufacturers["acme"].Unlisted = registrar.UnlistedAdmit
		h.settings.Manufacturers["acme"].Join = []registrar.JoinRule{
			{Name: "samples", SerialNumbers: []string{"X-*"}, Verdict: registrar.UnlistedPending},
			{Name: "stolen", SerialNumbers: []string{"SN-13"}, Verdict: registrar.UnlistedDeny},
		}
	})
	if _, err := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil).send(); err != nil {
		t.Error(err)
	}
	h.pledge(h.idevidCA.IDevID(t, "SN-13", ""), nil).refusedAs(registrar.ReasonDeviceKind, 403)
	a := h.pledge(h.idevidCA.IDevID(t, "X-1", ""), nil)
	a.refusedAs(registrar.ReasonApproval, 202)
	if _, err := h.service.Approve(t.Context(), &registrar.Verdicting{Actor: "cli:me", ID: h.waitingRow().ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.send(); err != nil {
		t.Errorf("approved, and refused: %v", err)
	}
}

// BRSKI-8995-2.5.3-01: each purpose of each manufacturer has anchors of its own: those
// of the MASA's TLS, of IDevIDs and of vouchers stand for nothing else, and those of
// one manufacturer not for another.
func TestEachTrustStoreIsForItsPurposeAlone(t *testing.T) {
	web, other, otherVouchers := testpki.NewRoot(t, "WebPKI"), testpki.NewRoot(t, "other vendor"), testpki.NewRoot(t, "other vendor's vouchers")
	h := newHouse(t, func(h *house) {
		h.settings.Manufacturers["acme"].MASATLSRoots = web.Pool()
		h.settings.Manufacturers["other"] = &registrar.Manufacturer{
			IDevIDAnchors: other.Pool(), VoucherAnchors: otherVouchers.Pool(), MASAURL: "https://masa.other.example/.well-known/brski",
			Unlisted: registrar.UnlistedAdmit,
		}
		h.settings.Manufacturers["acme"].Unlisted = registrar.UnlistedAdmit
	})
	for _, root := range []*testpki.Identity{web, h.vouchers, otherVouchers} {
		h.pledge(root.IDevID(t, "SN-1", ""), nil).refusedAs(registrar.ReasonUnknownManufacturer, 403)
	}
	h.pledge(h.ca.IDevID(t, "SN-1", ""), nil).refusedAs(registrar.ReasonNotOnRecord, 403)
	good := h.idevidCA.IDevID(t, "SN-1", "")
	for _, root := range []*testpki.Identity{web, h.vendor, h.root, otherVouchers} {
		h.masa.set(func(m *fakeMASA) { m.signer = root.Server(t, "vouchers") })
		h.pledge(good, nil).refusedAs(registrar.ReasonVoucherSigner, 502)
	}
	// The other's device gets what the other's MASA signs, and not what acme's does.
	theirs := other.IDevID(t, "SN-1", "")
	h.masa.set(func(m *fakeMASA) { m.signer = otherVouchers })
	if _, err := h.pledge(theirs, nil).send(); err != nil {
		t.Errorf("the other's device: %v", err)
	}
	h.masa.set(func(m *fakeMASA) { m.signer = h.vouchers })
	h.pledge(theirs, nil).refusedAs(registrar.ReasonVoucherSigner, 502)
	if view, err := h.service.ListDevices(t.Context(), "", "", 0); err != nil || len(view) != 2 {
		t.Errorf("the two manufacturers' SN-1 are %d devices, %v; want 2", len(view), err)
	}
}

// Policies are a manufacturer's own: what one may, the other may not.
func TestWhatOneManufacturerMayAnotherMayNot(t *testing.T) {
	other := testpki.NewRoot(t, "other vendor")
	h := newHouse(t, func(h *house) {
		h.settings.Manufacturers["acme"].Unlisted = registrar.UnlistedAdmit
		h.settings.Manufacturers["acme"].Assertions = []voucher.Assertion{voucher.Verified}
		h.settings.Manufacturers["other"] = &registrar.Manufacturer{
			IDevIDAnchors: other.Pool(), VoucherAnchors: h.vouchers.Pool(), MASAURL: "https://masa.other.example/.well-known/brski",
			Unlisted: registrar.UnlistedAdmit, AllowNonceless: true,
			AuditLog: registrar.AuditLogRules{Unavailable: registrar.AuditAllow},
		}
	})
	acmes, theirs := h.idevidCA.IDevID(t, "SN-1", ""), other.IDevID(t, "SN-1", "")
	nonceless := func(q *voucher.Request) { q.Nonce = "" }
	h.pledge(acmes, nonceless).refusedAs(registrar.ReasonNonceMissing, 400)
	h.pledge(acmes, nil).refusedAs(registrar.ReasonVoucherAssertion, 502)
	if _, err := h.pledge(theirs, nonceless).send(); err != nil {
		t.Errorf("nonceless, of the manufacturer that may: %v", err)
	}
	h.masa.set(func(m *fakeMASA) {
		m.failLog = errDown
		m.change = func(v *voucher.Voucher) { v.Assertion = voucher.Verified }
	})
	h.pledge(acmes, nil).refusedAs(registrar.ReasonAuditLog, 502)
	if _, err := h.pledge(theirs, nil).send(); err != nil {
		t.Errorf("without audit-log, of the manufacturer that may: %v", err)
	}
}

// BRSKI-EST-7030-3.6.1-01: a registrar without id-kp-cmcRA does not start, and a client
// that finds its server by other means than its name takes one with it.
func TestTheRegistrarsCertificateHasTheUsageThatDevicesLookFor(t *testing.T) {
	h := newHouse(t, nil)
	elsewhere := h.ca.Issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "registrar.example"}, DNSNames: []string{"registrar.example"},
		ExtKeyUsage:        []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 28}},
	}, testpki.NewKey(t))
	plain := h.ca.Server(t, "server")
	for what, c := range map[string]struct {
		id   *testpki.Identity
		good bool
	}{"with": {elsewhere, true}, "without": {plain, false}} {
		settings := *h.settings
		settings.Signer = &voucher.Signer{Key: c.id.Key, Certificate: c.id.Certificate, Chain: c.id.Chain}
		if err := h.service.Reload(&settings); (err == nil) != c.good {
			t.Errorf("Reload %s id-kp-cmcRA: %v", what, err)
		}
		h.registrar = c.id
		if _, err := h.client(h.serve(), func(*est.Client) {}).CACerts(t.Context()); what == "with" && err != nil {
			t.Errorf("a client, %s id-kp-cmcRA: %v", what, err)
		}
	}
	h.registrar = h.ca.Issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "other.example"}, DNSNames: []string{"other.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, testpki.NewKey(t))
	if _, err := h.client(h.serve(), func(*est.Client) {}).CACerts(t.Context()); err == nil {
		t.Error("a client takes a server of another name without the usage: the test shows nothing")
	}
}
