package registrar_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/registrar"
)

// RFC 7030, Section 3.7: an RA asks for devices, and has none of their
// certificates to renew with; a repetition gets nothing new, a renewal does.
func TestWithinTheRenewalWindowAnRAsRequestIsARenewal(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.reprofile(func(d *profile.Document) { d.Renewal.Window = "30d" })
	})
	ra, _ := h.raCertificate()
	r := h.enroll("sensor-7").cert(ra)
	first := r.mustSend()
	if again := r.mustSend(); !bytes.Equal(first.Raw, again.Raw) {
		t.Error("the same request got another certificate")
	}
	h.advance(first.NotAfter.Sub(h.now()) - 29*24*time.Hour)
	second := r.mustSend()
	if bytes.Equal(first.Raw, second.Raw) || !second.NotAfter.After(first.NotAfter) {
		t.Error("within the window the same request got the old certificate")
	}
	if again := r.mustSend(); !bytes.Equal(second.Raw, again.Raw) {
		t.Error("the renewal asked for once more got another certificate")
	}
	if rows := h.certificates(registrar.Issued); len(rows) != 3 {
		t.Errorf("%d certificates on record, want the RA's, the first and the renewal", len(rows))
	}
	// A device with a password that asks again is given what it has.
	basic := h.enroll("sensor-8").basic(group)
	first = basic.mustSend()
	h.advance(first.NotAfter.Sub(h.now()) - 29*24*time.Hour)
	if again := basic.mustSend(); !bytes.Equal(first.Raw, again.Raw) {
		t.Error("a repetition with a password got another certificate")
	}
}
