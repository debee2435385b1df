package registrar_test

import (
	"crypto/x509/pkix"
	"errors"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/policy"
)

// R3: each thing that a decision rests on made to fail in turn: nothing is
// issued, and the peer is told to come again.
func TestNothingIssuesWhenWhatADecisionRestsOnFails(t *testing.T) {
	for _, read := range []string{"Credential", "FindDevices", "CurrentCertificate", "Certificate", "Device", "DeviceBySerialNumber", "LatestVoucher"} {
		t.Run(read, func(t *testing.T) {
			h := newHouse(t, nil)
			cert, _ := h.enrolled("sensor-7")
			ra, _ := h.raCertificate()
			idevid := h.vouched("SN-1")
			before := len(h.certificates(""))
			h.reads.failing(read)
			for what, r := range map[string]*request{
				"basic":  h.enroll("sensor-7").basic(group),
				"renew":  h.renew(cert),
				"ra":     h.enroll("sensor-7").cert(ra),
				"idevid": h.enroll("").cert(idevid.Certificate, h.idevidCA.Certificate).subject(pkix.Name{SerialNumber: "SN-1"}),
			} {
				if _, err := r.send(); err == nil {
					// Not every road needs every fact; those that went through must not have read it.
					before++
				} else {
					refusal(t, err, registrar.ReasonStore, 503)
				}
				_ = what
			}
			h.reads.failing("")
			if after := len(h.certificates("")); after != before {
				t.Errorf("%d issuances, want %d", after, before)
			}
		})
	}
}

func TestNothingIsSignedWhenTheIntentCannotBeRecorded(t *testing.T) {
	h := newHouse(t, nil)
	h.store.FailBefore(func(c *registrar.Change) error {
		if len(c.Intents) > 0 {
			return errDown
		}
		return nil
	})
	r := h.enroll("sensor-7").basic(group)
	r.refusedAs(registrar.ReasonStore, 503)
	h.store.FailBefore(nil)
	if n := len(h.certificates("")); n != 0 {
		t.Errorf("%d issuances on record", n)
	}
	r.mustSend()
}

// The commit succeeded and its answer was lost: asking again gets the
// certificate that is on record.
func TestACertificateWhoseRecordWasUnansweredIsFoundAgain(t *testing.T) {
	h := newHouse(t, nil)
	h.store.FailAfter(func(c *registrar.Change) error {
		if len(c.Issued) > 0 {
			return errDown
		}
		return nil
	})
	r := h.enroll("sensor-7").basic(group)
	r.refusedAs(registrar.ReasonStore, 503)
	h.store.FailAfter(nil)
	cert := r.mustSend()
	all := h.certificates("")
	if len(all) != 1 || string(all[0].Raw) != string(cert.Raw) {
		t.Errorf("%d issuances, want the one that was recorded", len(all))
	}
}

func TestAnUnrecordedCertificateIsNotHandedOut(t *testing.T) {
	h := newHouse(t, nil)
	h.store.FailBefore(func(c *registrar.Change) error {
		if len(c.Issued) > 0 {
			return errDown
		}
		return nil
	})
	h.enroll("sensor-7").basic(group).refusedAs(registrar.ReasonStore, 503)
	if n := len(h.certificates(registrar.Intended)); n != 1 {
		t.Errorf("%d open intents, want 1", n)
	}
	h.service.Close() // a crash: what is left is explained at the next start
	h.store.FailBefore(nil)
	h.start()
	left := h.certificates("")
	if len(left) != 1 || left[0].Status == registrar.Intended {
		t.Fatalf("after the start-up pass: %+v", left)
	}
	if left[0].Status == registrar.Abandoned && left[0].Explanation == "" {
		t.Error("an abandoned intent has no explanation")
	}
}

func TestTheStartUpPassExplainsEveryOpenIntent(t *testing.T) {
	h := newHouse(t, nil)
	h.service.Close()
	at := h.now()
	device := &registrar.Device{ID: registrar.NewID(at), Domain: registrar.DefaultDomain, SerialNumber: "x", State: registrar.Expected, CreatedAt: at}
	row := &registrar.Certificate{Domain: registrar.DefaultDomain, ID: registrar.NewID(at), Serial: []byte{9}, DeviceID: device.ID, Profile: "device", IntendedAt: at}
	if err := h.store.Commit(t.Context(), &registrar.Change{PutDevices: []*registrar.Device{device}, Intents: []*registrar.Certificate{row}}); err != nil {
		t.Fatal(err)
	}
	h.start()
	abandoned := h.certificates(registrar.Abandoned)
	if len(abandoned) != 1 || abandoned[0].Explanation == "" {
		t.Fatalf("abandoned = %+v", abandoned)
	}
	entries := h.entries(registrar.KindIssuanceAbandoned)
	if len(entries) != 1 || entries[0].Device != device.ID || entries[0].Actor != "start-up" {
		t.Errorf("trail = %+v", entries)
	}
}

func TestAnIssuerThatFailsIsAnsweredTruthfullyAndExplained(t *testing.T) {
	for _, c := range []struct {
		err    error
		reason string
		status int
	}{
		{ca.ErrUnavailable, registrar.ReasonIssuerDown, 503},
		{ca.ErrPending, registrar.ReasonIssuerPending, 202},
		{ca.ErrRejected, registrar.ReasonIssuerRejected, 400},
		{errors.New("smoke"), registrar.ReasonIssuerFailed, 500},
	} {
		h := newHouse(t, nil)
		issuer := catest.NewMemory(t)
		issuer.Now = h.now
		issuer.Allow["device"] = func(*ca.Request) error { return nil }
		h.replaceIssuer(issuer)
		issuer.FailAfterRecord(c.err)
		e := h.enroll("sensor-7").basic(group).refusedAs(c.reason, c.status)
		if (c.status == 503 || c.status == 202) && e.RetryAfter <= 0 {
			t.Errorf("%v: no Retry-After", c.err)
		}
		if n := len(h.certificates(registrar.Abandoned)); n != 1 {
			t.Errorf("%v: %d abandoned intents, want 1", c.err, n)
		}
		issuer.FailAfterRecord(nil)
		h.enroll("sensor-7").basic(group).mustSend()
	}
}

// replaceIssuer loads settings with another issuer.
func (h *house) replaceIssuer(issuer ca.Issuer) {
	h.t.Helper()
	s := *h.settings
	s.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: issuer}
	if err := h.service.Reload(&s); err != nil {
		h.t.Fatalf("Reload: %v", err)
	}
}

// EST-7030-3.2.2-09.
func TestNewAndReloadRefuseSettingsThatAreNotWhole(t *testing.T) {
	h := newHouse(t, nil)
	for what, change := range map[string]func(s *registrar.Settings){
		"a label named like an operation": func(s *registrar.Settings) {
			s.Labels = map[string]*registrar.Label{"cacerts": {Profile: h.profile("device")}}
		},
		"a label without profile":        func(s *registrar.Settings) { s.Labels = map[string]*registrar.Label{"": {}} },
		"a manufacturer without anchors": func(s *registrar.Settings) { s.Manufacturers = map[string]*registrar.Manufacturer{"acme": {}} },
		"no signer":                      func(s *registrar.Settings) { s.Signer = nil },
		"no format":                      func(s *registrar.Settings) { s.Formats = nil },
		"no way to a MASA":               func(s *registrar.Settings) { s.DialMASA = nil },
		"another domain":                 func(s *registrar.Settings) { s.Domain = "elsewhere" },
		"a negative limit":               func(s *registrar.Settings) { s.Limits.Pending = -1 },
	} {
		s := *h.settings
		change(&s)
		if err := h.service.Reload(&s); err == nil {
			t.Errorf("Reload took settings with %s", what)
		}
	}
	if _, err := registrar.New(registrar.Config{Store: h.store, Policy: policy.Decide}); err == nil {
		t.Error("New took no settings")
	}
	h.enroll("still-served").basic(group).mustSend()
}
