package policy_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/policy"
)

// idevid is a certificate with a HardwareModuleName, if it has a type.
func idevid(t testing.TB, serial, unit string, hwType asn1.ObjectIdentifier) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{SerialNumber: serial, Organization: []string{"Acme"}, OrganizationalUnit: []string{unit}}}
	if hwType != nil {
		name, err := profile.HardwareModuleName(hwType, []byte(serial))
		if err != nil {
			t.Fatal(err)
		}
		value, err := asn1.Marshal([]asn1.RawValue{{FullBytes: name}})
		if err != nil {
			t.Fatal(err)
		}
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}
	}
	return testpki.NewRoot(t, "vendor").Issue(t, template, testpki.NewKey(t)).Certificate
}

// BRSKI-8995-5.3-04: rules by vendor, by device type and for a single device, held
// against six devices.
func TestTheFirstJoinRuleAboutADeviceDecides(t *testing.T) {
	meter, lock := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 7}, asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 8}
	unit := asn1.ObjectIdentifier{2, 5, 4, 11}
	acme := &registrar.Manufacturer{Name: "acme", Unlisted: registrar.UnlistedDeny, Join: []registrar.JoinRule{
		{Name: "stolen", SerialNumbers: []string{"M-13"}, Verdict: registrar.UnlistedDeny},
		{Name: "meters", HardwareTypes: []asn1.ObjectIdentifier{meter}, Verdict: registrar.UnlistedAdmit},
		{Name: "labs", Subject: []registrar.SubjectMatch{{Type: unit, Value: "Lab*"}}, SerialNumbers: []string{"L-*"}, Verdict: registrar.UnlistedPending},
		{Name: "locks", HardwareTypes: []asn1.ObjectIdentifier{lock}, Verdict: registrar.UnlistedDeny},
	}}
	open := &registrar.Manufacturer{Name: "open", Join: []registrar.JoinRule{{Name: "all", Verdict: registrar.UnlistedAdmit}}}
	for _, x := range []struct {
		what    string
		of      *registrar.Manufacturer
		serial  string
		cert    *x509.Certificate
		listed  bool
		verdict registrar.Verdict
		reason  string
	}{
		{"a meter", acme, "M-1", idevid(t, "M-1", "Meters", meter), false, registrar.Allow, registrar.ReasonAllowed},
		{"a meter that is denied", acme, "M-13", idevid(t, "M-13", "Meters", meter), true, registrar.Deny, registrar.ReasonDeviceKind},
		{"a lock, which is listed", acme, "K-1", idevid(t, "K-1", "Locks", lock), true, registrar.Deny, registrar.ReasonDeviceKind},
		{"a lab's sample", acme, "L-1", idevid(t, "L-1", "Lab 4", nil), false, registrar.Wait, registrar.ReasonApproval},
		{"a lab's sample, which is listed", acme, "L-2", idevid(t, "L-2", "Lab 4", nil), true, registrar.Allow, registrar.ReasonAllowed},
		{"a lab's, with another serial number", acme, "X-1", idevid(t, "X-1", "Lab 4", nil), false, registrar.Deny, registrar.ReasonDeviceUnlisted},
		{"a device of no rule, listed", acme, "X-2", idevid(t, "X-2", "Other", nil), true, registrar.Allow, registrar.ReasonAllowed},
		{"a vendor whose devices all join", open, "Y-1", idevid(t, "Y-1", "Other", nil), false, registrar.Allow, registrar.ReasonAllowed},
	} {
		c := &registrar.Case{
			Operation: registrar.OpVoucher, SerialNumber: x.serial, Manufacturer: x.of,
			Identity: registrar.Identity{Kind: registrar.IDevID, Certificate: x.cert},
		}
		if x.listed {
			c.Device = &registrar.Device{State: registrar.Expected}
		}
		if d := policy.Decide(&registrar.Settings{}, c); d.Verdict != x.verdict || d.Reason != x.reason {
			t.Errorf("%s: %s %q by %q, want %s %q", x.what, d.Verdict, d.Reason, d.Rule, x.verdict, x.reason)
		}
		// A kind of device that is denied gets nothing by EST either (R19).
		c.Operation, c.Subject, c.CSR = registrar.OpEnroll, pkix.Name{SerialNumber: x.serial}.ToRDNSequence(), &x509.CertificateRequest{}
		c.Label = &registrar.Label{Profile: &named{"p", registrar.ProfileRules{}}, IDevID: registrar.IDevIDInventory}
		c.Device = &registrar.Device{State: registrar.Expected}
		d := policy.Decide(&registrar.Settings{}, c)
		if denied := x.reason == registrar.ReasonDeviceKind; (d.Reason == registrar.ReasonDeviceKind) != denied || !denied && d.Verdict != registrar.Allow {
			t.Errorf("%s enrolls: %s %q by %q", x.what, d.Verdict, d.Reason, d.Rule)
		}
	}
}

func FuzzHardwareTypes(f *testing.F) {
	name, err := profile.HardwareModuleName(asn1.ObjectIdentifier{1, 2, 3}, []byte("SN"))
	if err != nil {
		f.Fatal(err)
	}
	good, err := asn1.Marshal([]asn1.RawValue{{FullBytes: name}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, value []byte) {
		san := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}
		for _, oid := range policy.HardwareTypes(&x509.Certificate{Extensions: []pkix.Extension{san}}) {
			if len(oid) < 2 {
				t.Errorf("hwType %v", oid)
			}
		}
	})
}
