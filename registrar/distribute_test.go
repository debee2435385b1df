package registrar_test

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// question is a request for something that is fetched.
func (h *house) question(op est.Operation, certs ...*x509.Certificate) *est.Request {
	return &est.Request{ID: "q", Operation: op, At: h.now(), Peer: &est.Peer{Certificates: certs}}
}

func types(list []est.Package) string {
	var b strings.Builder
	for _, p := range list {
		b.WriteString(string(p.Type) + " ")
	}
	return strings.TrimSpace(b.String())
}

// EST-8295-2-01: the list is for clients whose certificate is one to trust.
// R16: its links are of the configuration.
func TestThePackageListIsForAuthenticatedClientsOnly(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.URL = "https://est.plant.example" })
	cert, _ := h.enrolled("sensor-7")
	list, err := h.service.Packages(t.Context(), h.question(est.OpPAL, cert))
	if err != nil || types(list) != "0002 0005 0006 0007 0010 0003" {
		t.Fatalf("a device's list: %s, %v", types(list), err)
	}
	for _, p := range list {
		if !strings.HasPrefix(p.Info.URI, "https://est.plant.example/.well-known/est/") {
			t.Errorf("type %s is at %s", p.Type, p.Info.URI)
		}
	}
	idevid := h.idevidCA.IDevID(t, "SN-1", "")
	if list, err = h.service.Packages(t.Context(), h.question(est.OpPAL, idevid.Certificate, h.idevidCA.Certificate)); err != nil || strings.Contains(types(list), "0010") {
		t.Errorf("the list of a device with an IDevID: %s, %v", types(list), err)
	}
	_, err = h.service.Packages(t.Context(), h.question(est.OpPAL))
	refusal(t, err, registrar.ReasonNoCertificate, 403)
	foreign := testpki.NewRoot(t, "elsewhere").Client(t, "sensor-7").Certificate
	_, err = h.service.Packages(t.Context(), h.question(est.OpPAL, foreign))
	refusal(t, err, registrar.ReasonUntrusted, 403)
	h.revoke(cert)
	for _, ask := range []func() error{
		func() error { _, err := h.service.Packages(t.Context(), h.question(est.OpPAL, cert)); return err },
		func() error { _, err := h.service.EECerts(t.Context(), h.question(est.OpEECerts, cert)); return err },
	} {
		refusal(t, ask(), registrar.ReasonRevoked, 403)
	}
}

func TestEECertificatesAreTheRegistrarsAndTheDevicesOwn(t *testing.T) {
	h := newHouse(t, nil)
	cert, _ := h.enrolled("sensor-7")
	h.enrolled("sensor-8")
	anybody, err := h.service.EECerts(t.Context(), h.question(est.OpEECerts))
	if err != nil || len(anybody) != 1 || !anybody[0].Equal(h.registrar.Certificate) {
		t.Errorf("for anybody: %d, %v", len(anybody), err)
	}
	own, err := h.service.EECerts(t.Context(), h.question(est.OpEECerts, cert))
	if err != nil || len(own) != 2 || !own[1].Equal(cert) {
		t.Errorf("for a device: %d, %v", len(own), err)
	}
}

func TestACRLIsThereForTheAskingAndNotSignedForEachWhoAsks(t *testing.T) {
	h := newHouse(t, nil)
	cert, _ := h.enrolled("sensor-7")
	h.revoke(cert)
	want := 1
	number := func() int64 {
		lists, err := h.service.CRLs(t.Context(), h.question(est.OpCRLs))
		if err != nil || len(lists) != 1 {
			t.Fatalf("CRLs: %d, %v", len(lists), err)
		}
		list, err := x509.ParseRevocationList(lists[0])
		if err != nil || list.CheckSignatureFrom(h.ca.Certificate) != nil {
			t.Fatalf("CRL: %v", err)
		}
		if got := len(list.RevokedCertificateEntries); got != 1 && got != want {
			t.Errorf("the CRL has %d entries, want %d", got, want)
		}
		return list.Number.Int64()
	}
	first := number()
	if again := number(); again != first {
		t.Errorf("asked again: number %d after %d", again, first)
	}
	other, _ := h.enrolled("sensor-8")
	h.advance(time.Second)
	h.revoke(other)
	want++
	if again := number(); again != first {
		t.Errorf("within a minute: number %d after %d", again, first)
	}
	h.advance(time.Hour)
	again := number()
	if again <= first {
		t.Errorf("after something was revoked: number %d after %d", again, first)
	}
	first = again
	h.advance(4 * 24 * time.Hour)
	if later := number(); later <= first {
		t.Errorf("after half of its life: number %d after %d", later, first)
	}
}
