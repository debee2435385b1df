package registrar_test

import (
	"encoding/base64"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// R28: a request that cannot be answered in the wanted media type leaves no record of issuance, neither an intent, a
// device, a request that waits, nor a spent budget.
func TestARequestForAnotherMediaTypeLeavesNoRecordOfIssuance(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Limits.EnrollmentsPerDevice = 1 })
	r := h.enroll("sensor-7").basic(group)
	send := func(accept string) int {
		q := httptest.NewRequest("POST", "/.well-known/est/simpleenroll", strings.NewReader(base64.StdEncoding.EncodeToString(testpki.CSR(t, r.csr, r.key))))
		q.Header.Set("Content-Type", "application/pkcs10")
		q.Header.Set("Accept", accept)
		q.SetBasicAuth(group, h.passwords[group].Reveal())
		w := httptest.NewRecorder()
		(&est.Handler{Backend: h.service, AllowPlaintext: true, Now: h.now}).ServeHTTP(w, q)
		return w.Code
	}
	for range 3 {
		if status := send("application/json"); status != 406 {
			t.Fatalf("status %d, want 406", status)
		}
	}
	if n := len(h.certificates("")); n != 0 {
		t.Errorf("%d issuances are on record", n)
	}
	if n := len(h.entries(registrar.KindCertificateIssued)) + len(h.entries(registrar.KindIssuanceAbandoned)); n != 0 {
		t.Errorf("the trail has %d entries of issuances", n)
	}
	if list, err := h.service.ListDevices(t.Context(), "", "", 10); err != nil || len(list) != 0 {
		t.Errorf("%d devices, %v", len(list), err)
	}
	h.nobodyWaits()
	if status := send("application/*"); status != 200 { // the budget of one is still there
		t.Errorf("with an Accept that holds: %d", status)
	}
}
