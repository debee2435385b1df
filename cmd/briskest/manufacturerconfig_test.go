package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
)

// decided reads a manufacturer's keys and turns them into the registrar's words.
func decided(t *testing.T, keys string) (*registrar.Manufacturer, error) {
	t.Helper()
	var m manufacturerConfig
	if err := config.Decode([]byte(keys), &m); err != nil {
		return nil, err
	}
	out := new(registrar.Manufacturer)
	return out, m.decide(out, func(name string) string { return name })
}

func TestTheFileSaysWhoJoinsWithWhatHistory(t *testing.T) {
	plant := testpki.NewRoot(t, "plant 2")
	file := filepath.Join(t.TempDir(), "plant2.pem")
	if err := os.WriteFile(file, pemfile.Encode(plant.Certificate.Raw), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := decided(t, `
name: acme
join:
  - {name: meters, hardware_types: [1.3.6.1.4.1.99999.7], verdict: admit}
  - {name: labs, subject: {O: Acme, 2.5.4.11: Lab*}, serial_numbers: [L-*], verdict: pending}
audit_log:
  unknown_domain: refuse
  nonceless_entry: wait
  any_entry: allow
  unavailable: wait
  known_domains:
    - {name: plant 2, certificates: `+file+`}
    - {name: depot, domain_id: uaX2yxHhB6RJLKcIxnwQvIezdCY=}
pin: registrar
`)
	if err != nil {
		t.Fatal(err)
	}
	id := base64.StdEncoding.EncodeToString(voucher.DomainID(plant.Certificate))
	rules := m.AuditLog
	if rules.UnknownDomain != registrar.AuditRefuse || rules.NoncelessEntry != registrar.AuditWait || rules.AnyEntry != registrar.AuditAllow ||
		rules.Unavailable != registrar.AuditWait || rules.Known[id] != "plant 2" || rules.Known["uaX2yxHhB6RJLKcIxnwQvIezdCY="] != "depot" || len(rules.Known) != 2 {
		t.Errorf("audit-log rules = %+v", rules)
	}
	if m.Pin != registrar.PinRegistrar {
		t.Errorf("pin = %q", m.Pin)
	}
	if len(m.Join) != 2 || m.Join[0].HardwareTypes[0].String() != "1.3.6.1.4.1.99999.7" || m.Join[0].Verdict != registrar.UnlistedAdmit ||
		len(m.Join[1].Subject) != 2 || m.Join[1].Subject[0].Type.String() != "2.5.4.11" || m.Join[1].Subject[1].Value != "Acme" || m.Join[1].SerialNumbers[0] != "L-*" {
		t.Errorf("join = %+v", m.Join)
	}
}

func TestAManufacturersKeysThatMakeNoSenseAreRefused(t *testing.T) {
	for keys, says := range map[string]string{
		"refuse_other_domains: true":                                                "refuse_other_domains",
		"audit_log: {unknown: wait}":                                                "unknown",
		"audit_log: {known_domains: [{domain_id: AAAA}]}":                           "no name",
		"audit_log: {known_domains: [{name: x}]}":                                   "either",
		"audit_log: {known_domains: [{name: x, domain_id: AAAA, certificates: b}]}": "either",
		"audit_log: {known_domains: [{name: x, certificates: /nowhere}]}":           "nowhere",
		"join: [{hardware_types: [meter], verdict: admit}]":                         "object identifier",
		"join: [{subject: {Colour: red}, verdict: admit}]":                          "Colour",
	} {
		if _, err := decided(t, "name: acme\n"+keys+"\n"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want an error that says %q", keys, err, says)
		}
	}
}
