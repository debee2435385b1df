package policy

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
)

// csrPlan says what a profile would like to find in a CSR, for csrattrs (RFC
// 7030, Section 4.5; RFC 9908, Section 3). Where several kinds of keys are
// taken none is named, because a list can name only one (RFC 9908, Section
// 3.2) and clients with another kind would think themselves unwelcome.
func csrPlan(p *profile.Profile) (*est.CSRPlan, error) {
	d, err := p.Describe()
	if err != nil {
		return nil, err
	}
	plan := new(est.CSRPlan)
	if len(d.Keys) == 1 {
		plan.Key = keyPlan(&d.Keys[0])
		plan.Hash = plan.Key.NaturalHash()
	}
	if d.Subject != nil {
		plan.Subject = make([][]est.SubjectAttribute, len(d.Subject))
		for i, a := range d.Subject {
			plan.Subject[i] = []est.SubjectAttribute{{Type: a.Type, Value: a.Value}}
		}
	}
	if names := d.AltNames; names != nil {
		plan.Extensions = append(plan.Extensions, est.PlannedExtension{ID: ce(17), Critical: names.Critical, Value: altNames(names)})
	}
	if d.KeyUsage != nil {
		plan.Extensions = append(plan.Extensions, est.PlannedExtension{ID: ce(15), Critical: true, Value: d.KeyUsage})
	}
	if d.ExtendedKeyUsage != nil {
		plan.Extensions = append(plan.Extensions, est.PlannedExtension{ID: ce(37), Critical: d.ExtendedKeyUsageCritical, Value: d.ExtendedKeyUsage})
	}
	return plan, nil
}

// ce is an identifier below id-ce (RFC 5280, Section 4.2.1).
func ce(last int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, last} }

// keyPlan names curve and length only where there is no choice.
func keyPlan(k *profile.KeyDescription) *est.KeyPlan {
	switch k.Type {
	case "rsa":
		plan := &est.KeyPlan{Algorithm: x509.RSA}
		if k.MinBits == k.MaxBits {
			plan.Bits = k.MinBits
		}
		return plan
	case "ed25519":
		return &est.KeyPlan{Algorithm: x509.Ed25519}
	default:
		var curve elliptic.Curve
		if len(k.Curves) == 1 {
			curve = k.Curves[0]
		}
		return &est.KeyPlan{Algorithm: x509.ECDSA, Curve: curve}
	}
}

// altNames is the value of the SubjectAltName: what is the same for all, an
// iPAddress to be filled in (RFC 9908, Section 3.4), or nil where the client
// has to add other names too.
func altNames(d *profile.AltNamesDescription) []byte {
	switch {
	case !d.Open:
		return d.Value
	case !d.OnlyAddresses:
		return nil
	}
	value := append([]byte{}, d.Value...)
	open := []byte{0x87, 0}
	if len(value) == 0 {
		return append([]byte{0x30, 2}, open...)
	}
	var list asn1.RawValue
	if _, err := asn1.Unmarshal(value, &list); err != nil {
		return nil
	}
	list.FullBytes, list.Bytes = nil, append(list.Bytes, open...)
	der, err := asn1.Marshal(list)
	if err != nil {
		return nil
	}
	return der
}
