package registrar_test

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// outcome is what a device is told of a fault, and what is on record then.
type outcome struct {
	status int
	reason string
	row    registrar.CertificateStatus
}

// outcomes has every fault that ca/catest knows.
func outcomes() map[catest.Fault]outcome {
	down := outcome{503, registrar.ReasonIssuerDown, registrar.Intended}
	wrong := outcome{502, registrar.ReasonIssuerDisagrees, registrar.Revoked}
	return map[catest.Fault]outcome{
		catest.Down:      {503, registrar.ReasonIssuerDown, registrar.Abandoned}, // nothing left: nothing was signed
		catest.RefusesUs: {503, registrar.ReasonIssuerDown, registrar.Abandoned},
		catest.Refuses:   {400, registrar.ReasonIssuerRejected, registrar.Abandoned},
		catest.Waits:     {202, registrar.ReasonIssuerPending, registrar.Intended},

		catest.Overloaded: down, catest.Slow: down, catest.AnswerLost: down, catest.Truncated: down,
		catest.Garbage: down, catest.Huge: down,

		catest.WrongKey: wrong, catest.WrongNames: wrong, catest.MoreNames: wrong, catest.TooLong: wrong,
		catest.MakesCA: wrong, catest.MakesRA: wrong, catest.WrongIssuer: wrong,
	}
}

// Every fault of another CA leaves the intent explained and the device with a
// truthful answer; once the CA works the device has one certificate that counts,
// and each one that the CA signed is on record.
func TestEveryFaultOfAnotherCAIsExplainedAndEndsInOneCertificate(t *testing.T) {
	expected := outcomes()
	for _, fault := range catest.Faults() {
		if fault == catest.AnswersTwice { // a matter of the wire: the issuer sees to it
			continue
		}
		want, ok := expected[fault]
		if !ok {
			t.Errorf("nobody says what becomes of a CA that %s", string(fault))
			continue
		}
		for _, restart := range []bool{false, true} {
			name := "A CA that " + string(fault)
			if restart {
				name += " and a registrar that restarts"
			}
			t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { faultyCA(t, fault, want, restart) }) })
		}
	}
}

func faultyCA(t *testing.T, fault catest.Fault, want outcome, restart bool) {
	device, err := profile.New(profile.Device())
	check(t, err)
	remote := catest.NewRemote(t, device)
	h := newHouse(t, func(h *house) {
		h.settings.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: remote}
	})
	key := testpki.NewKey(t)
	ask := func() *request { return h.enroll("sensor-7").basic(group).withKey(key) }

	remote.Fail(fault)
	e := ask().refusedAs(want.reason, want.status)
	if later := want.status == 202 || want.status == 503; later != (e.RetryAfter > 0) {
		t.Errorf("%d with Retry-After %s", want.status, e.RetryAfter)
	}
	rows := h.certificates("")
	if len(rows) != 1 || rows[0].Status != want.row {
		t.Fatalf("on record: %+v; want one issuance that is %s", rows, want.row)
	}
	explained(t, h, rows[0])

	if restart {
		h.restart()
	}
	remote.Fail(catest.None)
	h.pass(2 * time.Minute)
	cert := ask().mustSend()
	if again := ask().mustSend(); !again.Equal(cert) {
		t.Error("asked once more, the device got another certificate")
	}
	synctest.Wait()
	allOnRecord(t, h, remote)
	h.renew(cert).mustSend() // it authenticates
	h.service.Close()
}

// explained wants a reason for what the row is.
func explained(t *testing.T, h *house, row *registrar.Certificate) {
	t.Helper()
	switch row.Status {
	case registrar.Abandoned:
		if row.Explanation == "" || len(h.entries(registrar.KindIssuanceAbandoned)) != 1 {
			t.Errorf("the abandoned intent says %q, with %d entries on the trail", row.Explanation, len(h.entries(registrar.KindIssuanceAbandoned)))
		}
	case registrar.Revoked:
		entries := h.entries(registrar.KindCertificateRevoked)
		if len(entries) != 1 || entries[0].Reason != registrar.ReasonIssuerDisagrees || row.Raw == nil {
			t.Errorf("of the certificate that nobody asked for the trail has %+v", entries)
		}
	case registrar.Intended:
		left, err := h.store.ListOutstanding(t.Context())
		if err != nil || len(left) != 1 || left[0].ID != row.ID {
			t.Errorf("the open intent is among %d that wait for their CA, %v", len(left), err)
		}
	default:
		t.Errorf("the row is %s", row.Status)
	}
}

// allOnRecord wants every certificate of the CA on record, one of them to count,
// and the CA told of every other.
func allOnRecord(t *testing.T, h *house, remote *catest.Remote) {
	t.Helper()
	rows := h.certificates("")
	counts := 0
	for _, raw := range remote.Signed() {
		i := slices.IndexFunc(rows, func(c *registrar.Certificate) bool { return bytes.Equal(c.Raw, raw) })
		if i < 0 {
			t.Error("the CA signed a certificate that is not on record")
			continue
		}
		if rows[i].Status == registrar.Issued {
			counts++
			continue
		}
		told := slices.ContainsFunc(remote.Revoked(), func(c *ca.Revoked) bool { return bytes.Equal(c.Raw, raw) })
		if rows[i].Status != registrar.Revoked || !told {
			t.Errorf("a certificate is %s, and the CA was told: %t", rows[i].Status, told)
		}
	}
	if counts != 1 {
		t.Errorf("%d certificates count, want 1", counts)
	}
}
