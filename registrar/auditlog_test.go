package registrar_test

import (
	"crypto/ecdsa"
	"crypto/sha1" //nolint:gosec // a key identifier (RFC 5280, Section 4.2.1.2)
	"crypto/x509/pkix"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
)

const strangersDomain = "c3RyYW5nZXItZG9tYWluLTE=" // base64 of 17 bytes

// entry is one of another network's in an audit-log; without a nonce it is nonceless.
func entry(domain, nonce string) brski.AuditEvent {
	e := brski.AuditEvent{Date: time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC), DomainID: domain, Assertion: voucher.Logged}
	if nonce != "" {
		e.Nonce = &nonce
	}
	return e
}

// auditHouse is a house with rules about the audit-log, and a device on its list.
func auditHouse(t *testing.T, rules registrar.AuditLogRules, lie func(m *fakeMASA)) (*house, *ask) {
	t.Helper()
	h := newHouse(t, func(h *house) { h.settings.Manufacturers["acme"].AuditLog = rules })
	h.importSerials("SN-1")
	h.masa.set(lie)
	return h, h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
}

// enrolls lets a pledge try to enroll with its IDevID.
func (a *ask) enrolls() *request {
	return a.h.enroll("").cert(a.peer.Certificates...).subject(pkix.Name{SerialNumber: a.q.SerialNumber})
}

// The table of audit-log rules (RFC 8995, Section 5.8.3).
func TestEachAuditLogRuleRefusesWaitsOrAllowsAsItSays(t *testing.T) {
	stranger := func(nonce string) func(m *fakeMASA) {
		return func(m *fakeMASA) { m.history = []brski.AuditEvent{entry(strangersDomain, nonce)} }
	}
	ours := func(h *house) string {
		return base64.StdEncoding.EncodeToString(voucher.DomainID(h.root.Certificate))
	}
	for _, c := range []struct {
		what  string
		set   func(r *registrar.AuditLogRules, to registrar.AuditRule)
		masa  func(m *fakeMASA)
		other registrar.AuditRule // what the rule is when it is not named
		why   string
		code  int
	}{
		{"another network had it", func(r *registrar.AuditLogRules, to registrar.AuditRule) { r.UnknownDomain = to }, stranger("n1"), registrar.AuditWait, registrar.ReasonOtherDomains, 406},
		{"entries were left out", func(r *registrar.AuditLogRules, to registrar.AuditRule) { r.UnknownDomain = to }, func(m *fakeMASA) { m.truncation = &brski.Truncation{Arbitrary: 2} }, registrar.AuditWait, registrar.ReasonOtherDomains, 406},
		{
			"another network has a nonceless voucher",
			func(r *registrar.AuditLogRules, to registrar.AuditRule) {
				r.UnknownDomain, r.NoncelessEntry = registrar.AuditAllow, to
			}, stranger(""), registrar.AuditWait, registrar.ReasonNonceless, 406,
		},
		{
			"a voucher of ours that is not on record",
			func(r *registrar.AuditLogRules, to registrar.AuditRule) { r.AnyEntry = to },
			func(m *fakeMASA) { m.history = []brski.AuditEvent{entry(ours(m.house), "n1")} }, registrar.AuditAllow, registrar.ReasonEarlierEntry, 406,
		},
		{"no audit-log", func(r *registrar.AuditLogRules, to registrar.AuditRule) { r.Unavailable = to }, func(m *fakeMASA) { m.failLog = &est.Error{Status: 404} }, registrar.AuditRefuse, registrar.ReasonAuditLog, 502},
	} {
		t.Run(c.what, func(t *testing.T) {
			for _, to := range []registrar.AuditRule{registrar.AuditRefuse, registrar.AuditWait, registrar.AuditAllow, ""} {
				var rules registrar.AuditLogRules
				c.set(&rules, to)
				_, a := auditHouse(t, rules, c.masa)
				if to == "" {
					to = c.other
				}
				switch to {
				case registrar.AuditRefuse:
					a.refusedAs(c.why, c.code)
				case registrar.AuditWait:
					a.refusedAs(registrar.ReasonApproval, 202)
				default:
					if _, err := a.send(); err != nil {
						t.Errorf("allowed, and refused: %v", err)
					}
				}
			}
		})
	}
}

// BRSKI-8995-5.8.3-02: after a verdict against the pledge EST is refused to it, also
// where the label asks for the inventory only.
func TestAPledgeWhoseHistoryIsRefusedEnrollsNothing(t *testing.T) {
	for _, rule := range []registrar.IDevIDRule{registrar.IDevIDVouched, registrar.IDevIDInventory} {
		h := newHouse(t, func(h *house) {
			h.settings.Manufacturers["acme"].AuditLog.UnknownDomain = registrar.AuditRefuse
			h.settings.Labels[""].IDevID = rule
		})
		h.importSerials("SN-1")
		h.masa.set(func(m *fakeMASA) { m.history = []brski.AuditEvent{entry(strangersDomain, "n1")} })
		a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
		a.refusedAs(registrar.ReasonOtherDomains, 406)
		a.enrolls().refusedAs(registrar.ReasonNotVouched, 403)
		refused := h.entries(registrar.KindVoucherRefused)
		if len(refused) != 1 || refused[0].Reason != registrar.ReasonOtherDomains || !strings.Contains(string(refused[0].Body), "unknown domains") {
			t.Errorf("%s: trail = %+v", rule, refused)
		}
	}
}

func TestAHeldVoucherIsHandedOutOnlyAfterAnOperatorApproved(t *testing.T) {
	h, a := auditHouse(t, registrar.AuditLogRules{}, func(m *fakeMASA) { m.history = []brski.AuditEvent{entry(strangersDomain, "n1")} })
	h.settings.Labels[""].IDevID = registrar.IDevIDInventory
	if err := h.service.Reload(h.settings); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if e := a.refusedAs(registrar.ReasonApproval, 202); e.RetryAfter <= 0 || e.RetryAfter > time.Minute {
			t.Errorf("Retry-After = %s", e.RetryAfter)
		}
		a.enrolls().refusedAs(registrar.ReasonNotVouched, 403)
	}
	view, err := h.service.Device(t.Context(), "", "SN-1")
	if err != nil || view.Device.State != registrar.Expected || view.Vouchers[0].State != "held" || view.Vouchers[0].Voucher == nil || view.Vouchers[0].AuditLog == nil {
		t.Fatalf("on record while it waits: %+v, %v", view, err)
	}
	row := h.waitingRow()
	if row.Kind != registrar.PendingAuditLog || row.SerialNumber != "SN-1" || row.Reason != registrar.ReasonOtherDomains {
		t.Errorf("request = %+v", row)
	}
	if _, err := h.service.Approve(t.Context(), &registrar.Verdicting{Actor: "cli:me", ID: row.ID}); err != nil {
		t.Fatal(err)
	}
	first, err := a.send()
	if err != nil || string(first.Raw) != string(view.Vouchers[0].Voucher) || h.masa.count() != 1 {
		t.Errorf("approved: %v, the MASA was asked %d times", err, h.masa.count())
	}
	if again, err := a.send(); err != nil || string(again.Raw) != string(first.Raw) {
		t.Errorf("asked again: %v", err)
	}
	a.enrolls().mustSend()
	// The device was switched off in between and asks with a new nonce: the same history, approved.
	if _, err := h.pledge(a.idevid, nil).send(); err != nil {
		t.Errorf("the same history again: %v", err)
	}
	// Another network had it since: nobody has approved that.
	h.masa.set(func(m *fakeMASA) { m.history = append(m.history, entry(strangersDomain[:20]+"MTI=", "n2")) })
	h.pledge(a.idevid, nil).refusedAs(registrar.ReasonApproval, 202)
	if len(h.entries(registrar.KindVoucherHeld)) != 3 || len(h.entries(registrar.KindVoucherIssued)) != 2 {
		t.Error("the trail does not have each voucher held, and two handed out")
	}
}

func TestADeniedHistoryRefusesTheDeviceWithTheOperatorsWords(t *testing.T) {
	h, a := auditHouse(t, registrar.AuditLogRules{}, func(m *fakeMASA) { m.history = []brski.AuditEvent{entry(strangersDomain, "")} })
	a.refusedAs(registrar.ReasonApproval, 202)
	if _, err := h.service.Deny(t.Context(), &registrar.Verdicting{Actor: "cli:me", ID: h.waitingRow().ID, Reason: "stolen from site 3"}); err != nil {
		t.Fatal(err)
	}
	if e := a.refusedAs(registrar.ReasonApprovalDenied, 403); !strings.Contains(e.Message, "site 3") {
		t.Errorf("message = %q", e.Message)
	}
	a.refusedAs(registrar.ReasonApprovalDenied, 403)
	h.pledge(a.idevid, nil).refusedAs(registrar.ReasonApprovalDenied, 403)
	a.enrolls().refusedAs(registrar.ReasonNotVouched, 403)
}

// The operator may change the rules instead of approving a device.
func TestAHeldVoucherFollowsTheRulesAsTheyAreNow(t *testing.T) {
	h, a := auditHouse(t, registrar.AuditLogRules{}, func(m *fakeMASA) { m.history = []brski.AuditEvent{entry(strangersDomain, "")} })
	a.refusedAs(registrar.ReasonApproval, 202)
	h.settings.Manufacturers["acme"].AuditLog.Known = map[string]string{strangersDomain: "plant 2"}
	if err := h.service.Reload(h.settings); err != nil {
		t.Fatal(err)
	}
	if _, err := a.send(); err != nil {
		t.Errorf("the domain is known now: %v", err)
	}
}

// BRSKI-8995-5.8.2-02: the registrar finds itself in the log by the domainID of what
// is pinned, with and without SubjectKeyIdentifier; the others are foreign or known.
func TestTheRegistrarTellsItsOwnEntriesFromOthers(t *testing.T) {
	for _, pinned := range []string{"root", "own certificate"} {
		h := newHouse(t, func(h *house) {
			h.settings.Manufacturers["acme"].AuditLog = registrar.AuditLogRules{
				UnknownDomain: registrar.AuditAllow, NoncelessEntry: registrar.AuditAllow, Known: map[string]string{"cGxhbnQtMi1kb21haW4tMQ==": "plant 2"},
			}
		})
		h.importSerials("SN-1")
		ours := h.root.Certificate
		if pinned != "root" {
			ours = h.registrar.Certificate
		}
		own := base64.StdEncoding.EncodeToString(voucher.DomainID(ours))
		h.masa.set(func(m *fakeMASA) {
			m.history = []brski.AuditEvent{entry(own, "n0"), entry(strangersDomain, "n1"), entry("cGxhbnQtMi1kb21haW4tMQ==", "")}
		})
		a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
		if _, err := a.send(); err != nil {
			t.Fatal(err)
		}
		evidence, err := h.service.Evidence(t.Context(), "", "SN-1")
		if err != nil || len(evidence.Exchanges) != 1 {
			t.Fatalf("evidence = %+v, %v", evidence, err)
		}
		var got []string
		for _, e := range evidence.Exchanges[0].Events {
			mark := e.Whose
			if e.OnRecord {
				mark += " on record"
			}
			got = append(got, mark+e.Name)
		}
		want := []string{"own", "unknown", "knownplant 2", "own on record"}
		if !slices.Equal(got, want) {
			t.Errorf("%s pinned: events = %q, want %q", pinned, got, want)
		}
	}
}

// Minerva's highway names the registrar's key and no domain.
func TestHighwaysEntriesAreKnownByTheRegistrarsKey(t *testing.T) {
	_, a := auditHouse(t, registrar.AuditLogRules{}, func(m *fakeMASA) {
		point, err := m.house.registrar.Certificate.PublicKey.(*ecdsa.PublicKey).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		key := sha1.Sum(point) //nolint:gosec // a key identifier (RFC 5280, Section 4.2.1.2)
		m.history = []brski.AuditEvent{{Date: time.Unix(1, 0), RegistrarID: base64.StdEncoding.EncodeToString(key[:])}}
	})
	if _, err := a.send(); err != nil {
		t.Errorf("an entry of our own: %v", err)
	}
	_, a = auditHouse(t, registrar.AuditLogRules{}, func(m *fakeMASA) {
		m.history = []brski.AuditEvent{{Date: time.Unix(1, 0), RegistrarID: "AeoWwe4yrfzTlfLRbNxF1Pa2FZ4="}}
	})
	a.refusedAs(registrar.ReasonApproval, 202)
}

func TestAuditLogSettingsThatMakeNoSenseAreRefused(t *testing.T) {
	h := newHouse(t, nil)
	for _, rules := range []registrar.AuditLogRules{
		{UnknownDomain: "maybe"}, {Unavailable: "deny"}, {Known: map[string]string{"plant 2": "plant 2"}}, {Known: map[string]string{"AAAA": "too short"}},
	} {
		h.settings.Manufacturers["acme"].AuditLog = rules
		if err := h.service.Reload(h.settings); err == nil {
			t.Errorf("Reload(%+v) succeeded", rules)
		}
	}
}

func TestTheAuditLogIsNotGuessedWhereTheRecordCannotBeRead(t *testing.T) {
	h, a := auditHouse(t, registrar.AuditLogRules{AnyEntry: registrar.AuditRefuse}, func(m *fakeMASA) {
		m.history = []brski.AuditEvent{entry(base64.StdEncoding.EncodeToString(voucher.DomainID(m.house.root.Certificate)), "n1")}
	})
	h.reads.failing("ListVouchers")
	a.refusedAs(registrar.ReasonMASA, 202)
	h.reads.failing("")
	view, err := h.service.Device(t.Context(), "", "SN-1")
	if err != nil || view.Vouchers[0].State != "asked" {
		t.Errorf("on record: %+v, %v", view, err)
	}
}
