package est

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// CSRAttrs makes the CsrAttrs: the list that clients of RFC 7030, Section 4.5.2, read, and after it the template of RFC
// 9908, Section 3.4, for those that read nothing else then (RFC 9908, Section 4). A plan that wants nothing has no items.
//
// The list cannot say everything: extensions whose value is open and values of the subject are in the template only.
//
// Errors: those that match [ErrCSRPlan], [ErrCSRTemplate] or [ErrCSRAttrs], for an extension twice, a kind of key or hash
// that is not supported, or values that are not DER.
func (p *CSRPlan) CSRAttrs() (*CSRAttrs, error) {
	if err := p.Key.supported(); err != nil {
		return nil, err
	}
	if p.Hash != 0 && p.signatureOID() == nil && (p.Key == nil || p.Key.Algorithm != x509.Ed25519) {
		return nil, planError("%s is no hash for this key", p.Hash)
	}
	list, err := p.list()
	if err != nil {
		return nil, err
	}
	if len(list) == 0 && p.Subject == nil && len(p.Extensions) == 0 && len(p.Given) == 0 {
		return new(CSRAttrs), nil
	}
	der, err := p.template().Marshal()
	if err != nil {
		return nil, err
	}
	return &CSRAttrs{Items: append(list, Attribute{OID: newOID(nameCSRTemplate), Values: [][]byte{der}})}, nil
}

// Marshal is the DER of [CSRPlan.CSRAttrs]; nil for a plan that wants nothing, which is answered with 204
// (RFC 7030, Section 4.5.2).
func (p *CSRPlan) Marshal() ([]byte, error) {
	attrs, err := p.CSRAttrs()
	if err != nil || len(attrs.Items) == 0 {
		return nil, err
	}
	return attrs.Marshal()
}

// list is the part of the CsrAttrs for clients without templates. Order and structure are those of the examples in RFC
// 9908, Section 5: key types and extensions are attributes, everything else is an identifier.
func (p *CSRPlan) list() ([]Attribute, error) {
	var items []Attribute
	bare := func(oid asn1.ObjectIdentifier) { items = append(items, Attribute{OID: oid, Bare: true}) }
	if p.Link {
		bare(newOID(nameChallengePassword))
	}
	if p.Key != nil {
		key, err := p.Key.attribute()
		if err != nil {
			return nil, err
		}
		items = append(items, *key)
	}
	given := slices.DeleteFunc(slices.Clone(p.Extensions), func(e PlannedExtension) bool { return e.Value == nil })
	if len(given) > 0 {
		request, err := extensionRequest(given)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCSRAttrs, err)
		}
		items = append(items, *request)
	}
	for i := range p.Given {
		if p.Given[i].Bare || p.Given[i].OID.String() == nameChallengePassword {
			return nil, planError("%s cannot be given", p.Given[i].OID)
		}
		items = append(items, p.Given[i])
	}
	for _, oid := range p.Wanted {
		bare(oid)
	}
	for _, rdn := range p.Subject {
		for i := range rdn {
			if rdn[i].Value == nil {
				bare(rdn[i].Type)
			}
		}
	}
	if oid := p.signatureOID(); oid != nil {
		bare(oid)
	}
	return items, nil
}

// attribute is the key type as an attribute: its values hold the curve or the length, and are left out for any
// (RFC 9908, Section 3.2).
func (k *KeyPlan) attribute() (*Attribute, error) {
	template := k.template()
	a := &Attribute{OID: template.Algorithm}
	var b cryptobyte.Builder
	switch {
	case template.Curve != nil:
		b.AddASN1ObjectIdentifier(template.Curve)
	case k.Bits != 0:
		b.AddASN1Int64(int64(k.Bits))
	default:
		return a, nil
	}
	der, err := b.Bytes()
	a.Values = [][]byte{der}
	return a, err
}

// template is the kind of key in a template. The length of an RSA modulus needs a placeholder there.
func (k *KeyPlan) template() *TemplateKey {
	switch k.Algorithm {
	case x509.RSA:
		return &TemplateKey{Algorithm: newOID(nameRSA), Bits: k.Bits}
	case x509.Ed25519:
		return &TemplateKey{Algorithm: newOID(nameEd25519)}
	default:
		t := &TemplateKey{Algorithm: newOID(nameECPublicKey)}
		if name, ok := curveName(k.Curve); ok {
			t.Curve = newOID(name)
		}
		return t
	}
}

// signatureOID is nil where no hash is wanted, or none has a name for the kind of key.
func (p *CSRPlan) signatureOID() asn1.ObjectIdentifier {
	var key x509.PublicKeyAlgorithm
	if p.Key != nil {
		key = p.Key.Algorithm
	}
	for name, a := range signatureAlgorithms() {
		if a.hash == p.Hash && a.key == key {
			return newOID(name)
		}
	}
	return nil
}

// template is the plan for clients that read RFC 9908. They read nothing else, so that a wanted challengePassword and
// other attributes are in it too, without values. A hash has no place in it.
func (p *CSRPlan) template() *CSRTemplate {
	t := &CSRTemplate{Subject: p.Subject, Extensions: p.Extensions}
	if p.Key != nil {
		t.Key = p.Key.template()
	}
	if p.Link {
		t.Attributes = append(t.Attributes, Attribute{OID: newOID(nameChallengePassword)})
	}
	for _, oid := range p.Wanted {
		t.Attributes = append(t.Attributes, Attribute{OID: oid})
	}
	t.Attributes = append(t.Attributes, p.Given...)
	return t
}
