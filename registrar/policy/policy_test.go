package policy_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/policy"
)

// named is a profile of which the rules are asked for name and limits only.
type named struct {
	name  string
	rules registrar.ProfileRules
}

func (p *named) Name() string                  { return p.name }
func (*named) Version() string                 { return "1" }
func (*named) CheckKey(crypto.PublicKey) error { return nil }
func (p *named) Rules() registrar.ProfileRules { return p.rules }
func (*named) Names(*registrar.Facts, *x509.CertificateRequest) (pkix.RDNSequence, ca.Names, error) {
	return nil, ca.Names{}, nil
}

// somebody is asked; the rules do not ask themselves.
func somebody(context.Context, *registrar.Case) (*registrar.Decision, error) {
	return nil, errors.New("the rules asked")
}

func subject(commonName string) pkix.RDNSequence {
	return pkix.Name{CommonName: commonName}.ToRDNSequence()
}

// The table of decisions: facts in, verdict, reason and rule out.
func TestEachCaseIsDecidedByTheRuleThatIsMeant(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	type alter func(c *registrar.Case)
	enroll := func(kind registrar.IdentityKind, more ...alter) *registrar.Case {
		c := &registrar.Case{
			Operation: registrar.OpEnroll, At: at, SerialNumber: "dev", Subject: subject("dev"), CSR: &x509.CertificateRequest{},
			Label:    &registrar.Label{Profile: &named{"p", registrar.ProfileRules{AllowSameNameOtherKey: true}}, Basic: true, IDevID: registrar.IDevIDVouched, RA: true, Renewal: true},
			Identity: registrar.Identity{Kind: kind, User: "dev", Credential: "me"},
			KeyHash:  [32]byte{1}, NamesHash: [32]byte{1},
		}
		if kind == registrar.LDevID || kind == registrar.RA {
			c.Identity.Record = &registrar.Certificate{Profile: "p", NamesHash: [32]byte{1}, KeyHash: [32]byte{1}, NotAfter: at.Add(24 * time.Hour)}
		}
		for _, m := range more {
			m(c)
		}
		return c
	}
	renew := func(kind registrar.IdentityKind, more ...alter) *registrar.Case {
		return enroll(kind, append([]alter{func(c *registrar.Case) { c.Operation = registrar.OpRenew }}, more...)...)
	}
	ask := func(unlisted registrar.UnlistedRule, more ...alter) *registrar.Case {
		c := &registrar.Case{Operation: registrar.OpVoucher, At: at, Manufacturer: &registrar.Manufacturer{Unlisted: unlisted}}
		for _, m := range more {
			m(c)
		}
		return c
	}
	device := func(state registrar.DeviceState) alter {
		return func(c *registrar.Case) { c.Device = &registrar.Device{State: state} }
	}
	label := func(f func(l *registrar.Label)) alter { return func(c *registrar.Case) { f(c.Label) } }
	rules := func(r registrar.ProfileRules) alter {
		return func(c *registrar.Case) { c.Label.Profile = &named{"p", r} }
	}
	current := func(f func(row *registrar.Certificate)) alter {
		return func(c *registrar.Case) {
			c.Current = &registrar.Certificate{Profile: "p", NotAfter: at.Add(time.Hour), Credential: "me", Operation: registrar.OpRenew, IssuedAt: at.Add(-time.Minute)}
			if f != nil {
				f(c.Current)
			}
		}
	}
	held := func(rows ...*registrar.Certificate) alter { return func(c *registrar.Case) { c.Held = rows } }
	vouched := func(state string) alter {
		return func(c *registrar.Case) {
			c.Device, c.Voucher = &registrar.Device{State: registrar.Vouched}, &registrar.VoucherRecord{State: state}
		}
	}
	other := &registrar.Certificate{Profile: "p", Status: registrar.Issued, KeyHash: [32]byte{2}, NotAfter: at.Add(time.Hour)}
	old := &registrar.Certificate{Operation: registrar.OpRenew, NamesHash: [32]byte{1}, Raw: []byte{1}, IssuedAt: at}
	for _, x := range []struct {
		what    string
		c       *registrar.Case
		verdict registrar.Verdict
		reason  string
		rule    string
	}{
		{"credential", enroll(registrar.Basic), registrar.Allow, registrar.ReasonAllowed, "enroll"},
		{"nobody", enroll(""), registrar.Deny, registrar.ReasonMethodNotAllowed, "method"},
		{"unknown kind of identity", enroll("spell"), registrar.Deny, registrar.ReasonMethodNotAllowed, "method"},
		{"unknown operation", enroll(registrar.Basic, func(c *registrar.Case) { c.Operation = "fullcmc" }), registrar.Deny, registrar.ReasonMethodNotAllowed, "default"},
		{"suspended", enroll(registrar.Basic, device(registrar.Suspended)), registrar.Deny, registrar.ReasonDeviceSuspended, "device-state"},
		{"decommissioned", renew(registrar.LDevID, device(registrar.Decommissioned)), registrar.Deny, registrar.ReasonDeviceDecommissioned, "device-state"},
		{"a state that is not known", enroll(registrar.Basic, device("odd")), registrar.Deny, registrar.ReasonDeviceUnknown, "device-state"},
		{"suspended asks for a voucher", ask(registrar.UnlistedAdmit, device(registrar.Suspended)), registrar.Deny, registrar.ReasonDeviceSuspended, "device-state"},
		{"credential where none are taken", enroll(registrar.Basic, label(func(l *registrar.Label) { l.Basic = false })), registrar.Deny, registrar.ReasonMethodNotAllowed, "method"},
		{"credential renews", renew(registrar.Basic), registrar.Deny, registrar.ReasonMethodNotAllowed, "method"},
		{"RA where none are taken", enroll(registrar.RA, label(func(l *registrar.Label) { l.RA = false })), registrar.Deny, registrar.ReasonMethodNotAllowed, "method"},
		{"RA enrolls another", enroll(registrar.RA, func(c *registrar.Case) { c.Subject = subject("someone") }), registrar.Allow, registrar.ReasonAllowed, "enroll"},
		{"no renewal here", renew(registrar.LDevID, label(func(l *registrar.Label) { l.Renewal = false })), registrar.Deny, registrar.ReasonRenewalNotAllowed, "method"},
		{"IDevID renews", renew(registrar.IDevID), registrar.Deny, registrar.ReasonRenewalNotAllowed, "method"},
		{"IDevID where none are taken", enroll(registrar.IDevID, label(func(l *registrar.Label) { l.IDevID = registrar.IDevIDNever })), registrar.Deny, registrar.ReasonMethodNotAllowed, "method"},
		{"IDevID with another's serial number", enroll(registrar.IDevID, func(c *registrar.Case) { c.CSR.Subject.SerialNumber = "x" }), registrar.Deny, registrar.ReasonSerialMismatch, "idevid-serial-number"},
		{"IDevID with another's name", enroll(registrar.IDevID, func(c *registrar.Case) { c.Subject = subject("x") }), registrar.Deny, registrar.ReasonForeignName, "own-names"},
		{"IDevID free to choose", enroll(registrar.IDevID, vouched("issued"), label(func(l *registrar.Label) { l.AllowForeignNames = true }), func(c *registrar.Case) { c.Subject = subject("x") }), registrar.Allow, registrar.ReasonAllowed, "enroll"},
		{"IDevID not on record", enroll(registrar.IDevID), registrar.Deny, registrar.ReasonDeviceUnknown, "idevid-vouched"},
		{"IDevID not vouched for", enroll(registrar.IDevID, device(registrar.Expected)), registrar.Deny, registrar.ReasonNotVouched, "idevid-vouched"},
		{"IDevID whose voucher was refused", enroll(registrar.IDevID, vouched("refused")), registrar.Deny, registrar.ReasonNotVouched, "idevid-vouched"},
		{"IDevID vouched for", enroll(registrar.IDevID, vouched("issued")), registrar.Allow, registrar.ReasonAllowed, "enroll"},
		{"IDevID in the inventory", enroll(registrar.IDevID, device(registrar.Expected), label(func(l *registrar.Label) { l.IDevID = registrar.IDevIDInventory })), registrar.Allow, registrar.ReasonAllowed, "enroll"},
		{"credential for another", enroll(registrar.Basic, func(c *registrar.Case) { c.Identity.User = "x" }), registrar.Deny, registrar.ReasonForeignName, "own-names"},
		{"group credential for another", enroll(registrar.Basic, func(c *registrar.Case) { c.Identity.User, c.Identity.Group = "x", true }), registrar.Allow, registrar.ReasonAllowed, "enroll"},
		{"group credential for a device with IDevID", enroll(registrar.Basic, func(c *registrar.Case) { c.Identity.Group, c.NameOwner = true, &registrar.Device{} }), registrar.Deny, registrar.ReasonForeignName, "own-names"},
		{"asked again", enroll(registrar.Basic, device(registrar.Enrolled), current(nil)), registrar.Allow, registrar.ReasonAskedAgain, "asked-again"},
		{"asked again after the end", enroll(registrar.Basic, current(func(r *registrar.Certificate) { r.NotAfter = at })), registrar.Allow, registrar.ReasonAllowed, "enroll"},
		{"asked again at another label", enroll(registrar.Basic, current(func(r *registrar.Certificate) { r.Profile = "q" })), registrar.Allow, registrar.ReasonAllowed, "enroll"},
		{"name with another key", enroll(registrar.Basic, rules(registrar.ProfileRules{}), held(other)), registrar.Deny, registrar.ReasonNameTaken, "name-taken"},
		{"device with IDevID comes with another key", enroll(registrar.IDevID, vouched("issued"), rules(registrar.ProfileRules{}), held(other)), registrar.Allow, registrar.ReasonAllowed, "enroll"},
		{"first certificate needs approval", enroll(registrar.Basic, label(func(l *registrar.Label) { l.Approval = true })), registrar.Wait, registrar.ReasonApproval, "approval"},
		{"another key of an enrolled device needs it too", enroll(registrar.Basic, device(registrar.Enrolled), label(func(l *registrar.Label) { l.Approval = true })), registrar.Wait, registrar.ReasonApproval, "approval"},
		{"the key of an expired certificate does not", enroll(registrar.Basic, current(func(r *registrar.Certificate) { r.NotAfter = at }), label(func(l *registrar.Label) { l.Approval = true })), registrar.Allow, registrar.ReasonAllowed, "enroll"},
		{"RA for a device with IDevID", enroll(registrar.RA, func(c *registrar.Case) { c.NameOwner = &registrar.Device{} }), registrar.Deny, registrar.ReasonForeignName, "own-names"},
		{"a key that is compromised", enroll(registrar.Operator, func(c *registrar.Case) { c.KeyCompromised = true }), registrar.Deny, registrar.ReasonKeyCompromised, "key-compromised"},
		{"operator does not", enroll(registrar.Operator, label(func(l *registrar.Label) { l.Approval = true })), registrar.Allow, registrar.ReasonAllowed, "enroll"},
		{"webhook", enroll(registrar.Basic, label(func(l *registrar.Label) { l.Ask = somebody })), registrar.Wait, registrar.ReasonWebhook, "webhook"},
		{"renewal", renew(registrar.LDevID), registrar.Allow, registrar.ReasonAllowed, "renew"},
		{"renewal of an RA's own", renew(registrar.RA), registrar.Allow, registrar.ReasonAllowed, "renew"},
		{"renewal at another label", renew(registrar.LDevID, func(c *registrar.Case) { c.Identity.Record.Profile = "q" }), registrar.Deny, registrar.ReasonOtherProfile, "same-profile"},
		{"enrollment with a certificate at another label", enroll(registrar.LDevID, func(c *registrar.Case) { c.Identity.Record.Profile = "q" }), registrar.Deny, registrar.ReasonOtherProfile, "same-profile"},
		{"renewal when the profile names otherwise", renew(registrar.LDevID, func(c *registrar.Case) { c.NamesHash = [32]byte{9} }), registrar.Deny, registrar.ReasonNamesChanged, "same-names"},
		{"renewal repeated", renew(registrar.LDevID, current(nil)), registrar.Allow, registrar.ReasonAskedAgain, "repeated-renewal"},
		{"renewal repeated late", renew(registrar.LDevID, current(func(r *registrar.Certificate) { r.IssuedAt = at.Add(-11 * time.Minute) })), registrar.Allow, registrar.ReasonAllowed, "renew"},
		{"renewal of another's", renew(registrar.LDevID, current(func(r *registrar.Certificate) { r.Credential = "you" })), registrar.Allow, registrar.ReasonAllowed, "renew"},
		{"renewal with the key there is", renew(registrar.LDevID, rules(registrar.ProfileRules{RefuseSameKey: true})), registrar.Deny, registrar.ReasonSameKey, "renewal-limits"},
		{"renewal too early", renew(registrar.LDevID, rules(registrar.ProfileRules{RenewalWindow: time.Hour})), registrar.Deny, registrar.ReasonRenewalTooEarly, "renewal-limits"},
		{"renewal once too often", renew(registrar.LDevID, rules(registrar.ProfileRules{MaxRenewals: 1}), held(old)), registrar.Deny, registrar.ReasonRenewalLimit, "renewal-limits"},
		{"unlisted, by default", ask(""), registrar.Deny, registrar.ReasonDeviceUnlisted, "join"},
		{"unlisted, denied", ask(registrar.UnlistedDeny), registrar.Deny, registrar.ReasonDeviceUnlisted, "join"},
		{"unlisted, an unknown rule", ask("perhaps"), registrar.Deny, registrar.ReasonDeviceUnlisted, "join"},
		{"unlisted, pending", ask(registrar.UnlistedPending), registrar.Wait, registrar.ReasonApproval, "join"},
		{"unlisted, admitted", ask(registrar.UnlistedAdmit), registrar.Allow, registrar.ReasonAllowed, "voucher"},
		{"listed", ask(registrar.UnlistedDeny, device(registrar.Expected)), registrar.Allow, registrar.ReasonAllowed, "voucher"},
		{"voucher by webhook", ask(registrar.UnlistedAdmit, func(c *registrar.Case) { c.Manufacturer.Ask = somebody }), registrar.Wait, registrar.ReasonWebhook, "webhook"},
	} {
		d := policy.Decide(&registrar.Settings{}, x.c)
		if d.Verdict != x.verdict || d.Reason != x.reason || d.Rule != x.rule {
			t.Errorf("%s: %s %q by %q, want %s %q by %q", x.what, d.Verdict, d.Reason, d.Rule, x.verdict, x.reason, x.rule)
		}
		if d.Verdict == registrar.Allow && x.c.Label != nil && d.Profile != "p" {
			t.Errorf("%s: allowed without a profile", x.what)
		}
		if x.verdict == registrar.Deny && registrar.Explain(d.Reason).ID != d.Reason {
			t.Errorf("%s: the reason %q has no text", x.what, d.Reason)
		}
	}
}

func TestTheRulesOfEachOperationAreListed(t *testing.T) {
	for op, last := range map[string]string{registrar.OpEnroll: "enroll", registrar.OpRenew: "renew", registrar.OpVoucher: "voucher"} {
		rules := policy.Rules(op)
		if !slices.Contains(rules, "device-state") || rules[len(rules)-1] != last {
			t.Errorf("Rules(%s) = %v", op, rules)
		}
	}
	if len(policy.Rules("fullcmc")) != 0 {
		t.Error("an operation that is not served has rules")
	}
}

func TestAProfileDecidesNamesAndRules(t *testing.T) {
	d := profile.LDevID()
	d.Renewal = profile.Renewal{Max: 3, Window: "30d", SameKey: "refuse", ExpiredGrace: "1d"}
	d.ProofOfPossessionLinking = "required"
	made, err := profile.New(d)
	if err != nil {
		t.Fatal(err)
	}
	p := policy.Profile(made)
	want := registrar.ProfileRules{Linking: "required", MaxRenewals: 3, RenewalWindow: 720 * time.Hour, RefuseSameKey: true, RefuseSharedKey: true, ExpiredGrace: 24 * time.Hour}
	got := p.Rules()
	got.CSR = nil // the subject of other tests
	if !reflect.DeepEqual(got, want) || p.Name() != "ldevid" || p.Version() == "" {
		t.Errorf("Profile = %s %s %+v, want %+v", p.Name(), p.Version(), p.Rules(), want)
	}
	if _, _, err := p.Names(&registrar.Facts{}, &x509.CertificateRequest{}); err == nil {
		t.Error("a profile that requires a serial number took a request without")
	}
	if err := p.CheckKey("no key"); err == nil {
		t.Error("CheckKey took a string")
	}
}
