package policy

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/registrar"
)

// joins says which devices of a known manufacturer get a voucher
// (RFC 8995, Section 5.3): the first of the manufacturer's rules that is about the device
// decides, else the inventory, else what becomes of unlisted devices. A rule that
// denies counts for devices in the inventory too; to be asked about, or let in, is
// nothing that they need.
func joins(c *registrar.Case) *registrar.Decision {
	verdict := c.Manufacturer.Unlisted
	if r := joinRule(c); r != nil {
		if verdict = r.Verdict; verdict == registrar.UnlistedDeny {
			return refusedBy(r)
		}
	}
	if c.Device != nil {
		return nil
	}
	switch verdict {
	case registrar.UnlistedAdmit:
		return nil
	case registrar.UnlistedPending:
		return &registrar.Decision{Verdict: registrar.Wait, Reason: registrar.ReasonApproval, WaitFor: registrar.ForApproval}
	default:
		return deny(registrar.ReasonDeviceUnlisted)
	}
}

// joinRefused has a rule that denies devices of a kind count on every road that
// an IDevID opens.
func joinRefused(c *registrar.Case) *registrar.Decision {
	if c.Identity.Kind != registrar.IDevID || c.Manufacturer == nil {
		return nil
	}
	if r := joinRule(c); r != nil && r.Verdict == registrar.UnlistedDeny {
		return refusedBy(r)
	}
	return nil
}

func refusedBy(r *registrar.JoinRule) *registrar.Decision {
	d := deny(registrar.ReasonDeviceKind)
	d.Err = fmt.Errorf("the join rule %q denies it", r.Name)
	return d
}

// joinRule is the first rule that is about the device; nil for none.
func joinRule(c *registrar.Case) *registrar.JoinRule {
	for i := range c.Manufacturer.Join {
		if r := &c.Manufacturer.Join[i]; about(r, c.Identity.Certificate, c.SerialNumber) {
			return r
		}
	}
	return nil
}

func about(r *registrar.JoinRule, idevid *x509.Certificate, serial string) bool {
	if len(r.SerialNumbers) > 0 && !slices.ContainsFunc(r.SerialNumbers, func(want string) bool { return matches(want, serial) }) {
		return false
	}
	for _, want := range r.Subject {
		if !hasAttribute(idevid, want) {
			return false
		}
	}
	if len(r.HardwareTypes) == 0 {
		return true
	}
	have := HardwareTypes(idevid)
	return slices.ContainsFunc(r.HardwareTypes, func(want asn1.ObjectIdentifier) bool {
		return slices.ContainsFunc(have, want.Equal)
	})
}

func hasAttribute(idevid *x509.Certificate, want registrar.SubjectMatch) bool {
	for _, a := range idevid.Subject.Names {
		if value, ok := a.Value.(string); ok && a.Type.Equal(want.Type) && matches(want.Value, value) {
			return true
		}
	}
	return false
}

// matches compares with a whole value, or with a prefix that ends in *.
func matches(want, got string) bool {
	if prefix, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(got, prefix)
	}
	return got == want
}

// HardwareTypes returns the hwType of each HardwareModuleName among the
// SubjectAltNames of a certificate (RFC 4108, Section 5; RFC 8995, Section 2.3.1):
// in an IDevID the kind of device. Names that cannot be read count for nothing.
func HardwareTypes(cert *x509.Certificate) []asn1.ObjectIdentifier {
	var out []asn1.ObjectIdentifier
	for _, e := range cert.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		in := cryptobyte.String(e.Value)
		var names, name cryptobyte.String
		if !in.ReadASN1(&names, cbasn1.SEQUENCE) || !in.Empty() {
			return nil
		}
		for !names.Empty() {
			if !names.ReadAnyASN1Element(&name, nil) {
				return nil
			}
			if hwType, ok := moduleType(name); ok {
				out = append(out, hwType)
			}
		}
	}
	return out
}

// moduleType returns the hwType of a GeneralName that is a HardwareModuleName.
func moduleType(der []byte) (asn1.ObjectIdentifier, bool) {
	in := cryptobyte.String(der)
	var other, oid, value, module cryptobyte.String
	var hwType asn1.ObjectIdentifier
	context := cbasn1.Tag(0).ContextSpecific().Constructed()
	ok := in.ReadASN1(&other, context) && other.ReadASN1(&oid, cbasn1.OBJECT_IDENTIFIER) && string(oid) == oidHardwareModule &&
		other.ReadASN1(&value, context) && value.ReadASN1(&module, cbasn1.SEQUENCE) && module.ReadASN1ObjectIdentifier(&hwType)
	return hwType, ok
}
