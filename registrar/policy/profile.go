package policy

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"

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
		ChangeNames: rules.ChangeNames,
		CSR:         plan,
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
		DeviceID: f.DeviceID, SerialNumber: f.SerialNumber, Manufacturer: f.Manufacturer, Domain: f.Domain,
	})
}

// CheckKey refuses kinds of keys; see profile.Profile.CheckKey.
func (p *profiled) CheckKey(key crypto.PublicKey) error { return p.p.CheckKey(key) }

// Rules returns the profile's rules about requests.
func (p *profiled) Rules() registrar.ProfileRules { return p.rules }

// CheckUsage refuses key usages that certificates do not get; see profile.Profile.CheckUsage.
func (p *profiled) CheckUsage(csr *x509.CertificateRequest) error { return p.p.CheckUsage(csr) }
