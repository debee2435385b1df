package policy

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/registrar"
)

// Profile makes a certificate profile into what the registrar asks of one.
func Profile(p *profile.Profile) registrar.Profile {
	rules := p.Policy()
	mode := rules.ServerKeyGeneration
	if mode == "off" {
		mode = ""
	}
	plan, err := csrPlan(p)
	if err != nil {
		panic("policy: internal error: " + err.Error()) // a checked profile can be described
	}
	return &profiled{p, registrar.ProfileRules{
		ServerKeys: mode, ServerKeyType: rules.ServerKeyAlgorithm, ServerKeyWishes: rules.ServerKeyWishes,
		Linking: rules.Linking, AllowSameNameOtherKey: rules.AllowSameNameOtherKey, ExpiredGrace: rules.ExpiredGrace,
		MaxRenewals: rules.MaxRenewals, RenewalWindow: rules.RenewalWindow, RefuseSameKey: rules.RefuseSameKey,
		ChangeNames: rules.ChangeNames, RefuseSharedKey: rules.RefuseSharedKey,
		CSR: plan,
	}}
}

type profiled struct {
	p     *profile.Profile
	rules registrar.ProfileRules
}

// Name returns the profile's name.
func (p *profiled) Name() string { return p.p.Name() }

// Version returns the profile's version.
func (p *profiled) Version() string { return p.p.Version() }

// Names decides subject and SubjectAltName; see profile.Profile.Names.
func (p *profiled) Names(f *registrar.Facts, csr *x509.CertificateRequest) (pkix.RDNSequence, ca.Names, error) {
	requested, err := profile.FromCSR(csr)
	if err != nil {
		return nil, ca.Names{}, err
	}
	return p.p.Names(requested, &profile.Facts{
		DeviceID: f.DeviceID, SerialNumber: f.SerialNumber, Manufacturer: f.Manufacturer, Domain: f.Domain, Label: f.Label,
		Model: f.Model, Group: f.Group, Attribute: func(name string) string { return attribute(f, name) },
	})
}

// attribute is what {attribute.NAME} of a template stands for: group_KEY for a name of the
// device's group, or idevid_NAME.
func attribute(f *registrar.Facts, name string) string {
	if key, ok := strings.CutPrefix(name, "group_"); ok {
		return f.GroupNames[key]
	}
	return idevidAttribute(f, name)
}

// idevidAttribute is what {attribute.idevid_NAME} of a template stands for: an attribute of the
// IDevID's subject, the first of its type, or the hwType of its HardwareModuleName.
func idevidAttribute(f *registrar.Facts, name string) string {
	word, ok := strings.CutPrefix(name, "idevid_")
	if !ok || f.IDevID == nil {
		return ""
	}
	cert := f.IDevID()
	if cert == nil {
		return ""
	}
	first := func(values []string) string {
		if len(values) == 0 {
			return ""
		}
		return values[0]
	}
	switch word {
	case "common_name":
		return cert.Subject.CommonName
	case "organization":
		return first(cert.Subject.Organization)
	case "organizational_unit":
		return first(cert.Subject.OrganizationalUnit)
	case "hardware_type":
		if types := HardwareTypes(cert); len(types) > 0 {
			return types[0].String()
		}
	}
	return ""
}

// CheckKey refuses kinds of keys; see profile.Profile.CheckKey.
func (p *profiled) CheckKey(key crypto.PublicKey) error { return p.p.CheckKey(key) }

// Rules returns the profile's rules about requests.
func (p *profiled) Rules() registrar.ProfileRules { return p.rules }

// CheckUsage refuses key usages that certificates do not get; see profile.Profile.CheckUsage.
func (p *profiled) CheckUsage(csr *x509.CertificateRequest) error { return p.p.CheckUsage(csr) }
