package masa_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
)

// from asks from an address, with TLS client certificates, and returns the
// reason of the refusal, or "".
func (w *world) from(address string, raw []byte, clients ...*x509.Certificate) string {
	w.t.Helper()
	r := w.request(raw)
	r.Peer = &est.Peer{Address: netip.MustParseAddrPort(address), Certificates: clients}
	_, err := w.service.RequestVoucher(w.t.Context(), r)
	var e *est.Error
	if errors.As(err, &e) {
		if e.Reason == masa.ReasonBudget && (e.Status != 429 || e.RetryAfter < time.Second) {
			w.t.Errorf("refusal %d, try again after %v; want 429 and a time", e.Status, e.RetryAfter)
		}
		return e.Reason
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return ""
}

// R18: a registrar's budget is its own. A hostile one has the victim's
// certificate in its requests, sends what the victim signed for another
// manufacturer's device, and what the victim's broken signature is on.
func TestNobodyUsesUpAnotherRegistrarsBudget(t *testing.T) {
	w := newWorld(t, func(s *masa.Settings, _ *masa.Product) { s.RequestsPerMinute = 3 })
	victims := w.ask(w.mine, "0123456789abcdef").bytes(t)
	withCertificate := w.ask(w.theirs, "fedcba9876543210")
	withCertificate.chain = append(slices.Clone(withCertificate.chain), append(w.mine.registrar.Chain, w.mine.registrar.Certificate)...)
	elsewhere := w.ask(w.mine, "0123456789abcdef")
	elsewhere.idevid = testpki.NewRoot(t, "another vendor").IDevID(t, serial, "")
	notOurs := w.ask(w.mine, "0123456789abcdef")
	notOurs.idevid, notOurs.registrar.SerialNumber = nil, "of another vendor"
	broken := slices.Clone(victims)
	broken[len(broken)-1] ^= 1
	for n, raw := range [][]byte{withCertificate.bytes(t), elsewhere.bytes(t), notOurs.bytes(t), broken} {
		for i := range 5 {
			w.from(fmt.Sprintf("127.0.%d.%d:1", n, i), raw)
		}
	}
	for i := range 3 {
		if got := w.from(fmt.Sprintf("127.0.66.%d:1", i), victims); got != "" {
			t.Errorf("request %d of the victim: %s", i+1, got)
		}
	}
	if got := w.from("127.0.66.9:1", victims); got != masa.ReasonBudget {
		t.Errorf("the victim's fourth request: %q, want %s", got, masa.ReasonBudget)
	}
}

// Who has more addresses than are counted escapes the budget of an address and
// not that of its registrar.
func TestManyAddressesDoNotRenewARegistrarsBudget(t *testing.T) {
	w := newWorld(t, func(s *masa.Settings, _ *masa.Product) { s.RequestsPerMinute = 2 })
	raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
	w.from("127.0.0.1:1", raw)
	w.from("127.0.0.2:1", raw)
	for n := range masa.MaxBudgetKeys + 1 {
		w.from(fmt.Sprintf("127.1.%d.%d:1", n>>8, n&255), nil)
	}
	if got := w.from("127.0.0.3:1", raw); got != masa.ReasonBudget {
		t.Errorf("the registrar's third request: %q, want %s", got, masa.ReasonBudget)
	}
}

func TestRegistrarsByNameHaveTheirOwnBudget(t *testing.T) {
	w := newWorld(t, nil)
	settings := *w.settings
	settings.RequestsPerMinute, settings.RegistrarRequestsPerMinute = 2, 1
	settings.Registrars = []masa.KnownRegistrar{{Name: "plant", Certificates: []*x509.Certificate{w.mine.root.Certificate}, RequestsPerMinute: 5}}
	if err := w.service.Reload(&settings); err != nil {
		t.Fatal(err)
	}
	mine, theirs := w.ask(w.mine, "0123456789abcdef").bytes(t), w.ask(w.theirs, "fedcba9876543210").bytes(t)
	own := append([]*x509.Certificate{w.mine.registrar.Certificate}, w.mine.registrar.Chain...)
	foreign := append([]*x509.Certificate{w.theirs.registrar.Certificate}, w.theirs.registrar.Chain...)
	member := w.mine.ca.Client(t, "a device of mine")
	devices := append([]*x509.Certificate{member.Certificate}, member.Chain...)
	for n, c := range []struct {
		address string
		raw     []byte
		clients []*x509.Certificate
		want    string
	}{
		{"127.0.0.1:1", theirs, foreign, ""},
		{"127.0.0.2:1", theirs, foreign, masa.ReasonBudget}, // one for each registrar
		{"127.0.0.3:1", nil, foreign, masa.ReasonRequestForm},
		{"127.0.0.3:1", nil, devices, masa.ReasonRequestForm},
		{"127.0.0.3:1", nil, devices, masa.ReasonBudget}, // two for each address
		{"127.0.0.3:1", mine, own, ""},                   // but its own for the plant's connections
		{"127.0.0.3:1", mine, own, ""},
		{"127.0.0.4:1", mine, nil, ""},
		{"127.0.0.4:1", mine, nil, ""},
		{"127.0.0.4:1", mine, nil, masa.ReasonBudget},
		{"127.0.0.5:1", mine, nil, ""}, // the fifth of the plant
		{"127.0.0.6:1", mine, nil, masa.ReasonBudget},
		{"127.0.0.3:1", mine, own, masa.ReasonBudget},
	} {
		if got := w.from(c.address, c.raw, c.clients...); got != c.want {
			t.Errorf("request %d from %s: %q, want %q", n+1, c.address, got, c.want)
		}
	}
}

func TestRegistrarsThatCannotBeToldApartAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	ca := []*x509.Certificate{w.mine.root.Certificate}
	for name, list := range map[string][]masa.KnownRegistrar{
		"NoName":        {{Certificates: ca, RequestsPerMinute: 1}},
		"NoCertificate": {{Name: "a", RequestsPerMinute: 1}},
		"NoBudget":      {{Name: "a", Certificates: ca}},
		"TwoOfOneName":  {{Name: "a", Certificates: ca, RequestsPerMinute: 1}, {Name: "a", Certificates: []*x509.Certificate{w.theirs.root.Certificate}, RequestsPerMinute: 1}},
		"TwoOfOneKey":   {{Name: "a", Certificates: ca, RequestsPerMinute: 1}, {Name: "b", Certificates: ca, RequestsPerMinute: 1}},
	} {
		settings := *w.settings
		settings.Registrars = list
		if err := w.service.Reload(&settings); err == nil {
			t.Errorf("%s: Reload took %+v", name, list)
		}
	}
}
