package registrar_test

import (
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// relay passes bytes on, as a join proxy does, and returns its URL.
func relay(t *testing.T, url string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", strings.TrimPrefix(url, "https://"))
			if err != nil {
				near.Close()
				return
			}
			go func() { _, _ = io.Copy(far, near); far.Close() }()
			go func() { _, _ = io.Copy(near, far); near.Close() }()
		}
	}()
	return "https://" + l.Addr().String()
}

// BRSKI-8995-4.3-06: behind a join proxy everybody has its address, and nobody
// uses up the budget of another.
func TestDevicesBehindAJoinProxyHaveBudgetsOfTheirOwn(t *testing.T) {
	for _, known := range []bool{true, false} {
		h := newHouse(t, func(h *house) {
			h.settings.Limits.EnrollmentsPerAddress = 3
			if known {
				h.settings.Limits.Proxies = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
			}
		})
		url := relay(t, h.serve())
		joined := 0
		for n := range 4 {
			serial := fmt.Sprintf("SN-%d", n)
			h.importSerials(serial)
			p, err := pledge.New(pledge.Config{
				IDevID: h.idevidCA.IDevID(t, serial, "").TLS(), RegistrarURL: url, Anchors: h.vouchers.Pool(), State: pledge.Dir(t.TempDir()),
				Format: vouchercms.Format{}, Now: h.now, MaxWait: 1,
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Onboard(t.Context()); err == nil {
				joined++
			} else if known {
				t.Errorf("%s behind the proxy: %v", serial, err)
			}
		}
		if !known && joined == 4 {
			t.Error("an address that is no proxy's has no budget")
		}
	}
}

// BRSKI-8995-5-04: who comes back after the voucher is the same device, by the
// same certificate.
func TestAnotherCertificateCannotGoOnWhereADeviceStopped(t *testing.T) {
	h := newHouse(t, nil)
	first := h.vouched("SN-1")
	h.importSerials("SN-2")
	for serial, reason := range map[string]string{"SN-1": registrar.ReasonIDevIDMismatch, "SN-2": registrar.ReasonNotVouched} {
		other := h.idevidCA.IDevID(t, serial, "")
		h.enroll("").cert(other.Certificate, h.idevidCA.Certificate).subject(pkix.Name{SerialNumber: serial}).refusedAs(reason, 403)
	}
	h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil).refusedAs(registrar.ReasonIDevIDMismatch, 403)
	if _, err := h.enroll("").cert(first.Certificate, h.idevidCA.Certificate).subject(pkix.Name{SerialNumber: "SN-1"}).send(); err != nil {
		t.Errorf("the device itself: %v", err)
	}
}
