package est

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ParseCSRPlan reads the DER of a CsrAttrs as [Client.CSRAttrs] returns it and says what to do about it. Nothing, and an
// empty list, are the plan that wants nothing. See [CSRAttrs.Plan].
//
// Errors: those that match [ErrCSRAttrs], [ErrCSRTemplate] or [ErrCSRPlan].
func ParseCSRPlan(der []byte) (*CSRPlan, error) {
	if len(der) == 0 {
		return new(CSRPlan), nil
	}
	attrs, err := ParseCSRAttrs(der)
	if err != nil {
		return nil, err
	}
	return attrs.Plan()
}

// Plan says what a client does about the list. Where there is a template, the rest of the list is ignored
// (RFC 9908, Section 4). Otherwise key types, curves, signature algorithms, challengePassword and id-ExtensionReq are looked at, and
// every other identifier is Wanted, without the values that it may have: nothing is refused for being unknown
// (RFC 7030, Section 4.5.2).
//
// What old servers write is read: bare key types and curves (libest lists secp384r1 so), hashes in place of signature
// algorithms (RFC 7030, Appendix A.2), an object identifier where id-ExtensionReq should have extensions
// (RFC 8951, Section 4), which becomes Wanted. The first key type that is supported counts.
//
// Errors: those that match [ErrCSRTemplate] or [ErrCSRPlan], the latter for kinds of keys that are not supported.
func (a *CSRAttrs) Plan() (*CSRPlan, error) {
	listed := planReader{algorithms: signatureAlgorithms()}
	for i := range a.Items {
		item := &a.Items[i]
		if item.Bare || item.OID.String() != nameCSRTemplate {
			listed.item(item)
			continue
		}
		if listed.template != nil || len(item.Values) != 1 {
			return nil, planError("more than one template, or none in its place")
		}
		var err error
		if listed.template, err = ParseCSRTemplate(item.Values[0]); err != nil {
			return nil, err
		}
	}
	plan := &listed.plan
	if listed.template != nil {
		plan = new(CSRPlan)
		if err := plan.follow(listed.template); err != nil {
			return nil, err
		}
	} else if plan.Key == nil {
		plan.Key = listed.otherwise()
	}
	if err := plan.Key.supported(); err != nil {
		return nil, err
	}
	return plan, nil
}

// planReader gathers what a list says.
type planReader struct {
	plan       CSRPlan
	template   *CSRTemplate
	algorithms map[string]signatureAlgorithm

	unsupported *KeyPlan                // the first kind of key that nobody can make
	signer      x509.PublicKeyAlgorithm // what the signature algorithm needs
}

func (r *planReader) item(item *Attribute) {
	name := item.OID.String()
	algorithm, isAlgorithm := r.algorithms[name]
	switch {
	case name == nameChallengePassword:
		r.plan.Link = true
	case name == nameExtensionRequest && !item.Bare:
		r.extensions(item)
	case name == nameRSA || name == nameECPublicKey || name == nameEd25519:
		r.key(name, item.Values)
	case item.Bare && curveByName(name) != nil:
		r.take(&KeyPlan{Algorithm: x509.ECDSA, Curve: curveByName(name)})
	case item.Bare && isAlgorithm:
		if r.plan.Hash == 0 {
			r.plan.Hash, r.signer = algorithm.hash, algorithm.key
		}
	default:
		r.plan.want(item.OID)
	}
}

func (r *planReader) extensions(item *Attribute) {
	extensions, err := readExtensionRequest(item.Values, false)
	if err == nil && r.plan.Extensions == nil {
		r.plan.Extensions = extensions
		return
	}
	for _, value := range item.Values {
		in := cryptobyte.String(value)
		if oid, ok := readOID(&in); ok && oid != nil {
			r.plan.want(oid)
		}
	}
}

// want keeps each type once.
func (p *CSRPlan) want(oid asn1.ObjectIdentifier) {
	if !slices.ContainsFunc(p.Wanted, oid.Equal) {
		p.Wanted = append(p.Wanted, oid)
	}
}

// key reads a key type and its parameters: the first of them that is supported.
func (r *planReader) key(name string, values [][]byte) {
	kind := KeyPlan{Algorithm: x509.Ed25519}
	switch name {
	case nameRSA:
		kind.Algorithm = x509.RSA
	case nameECPublicKey:
		kind.Algorithm = x509.ECDSA
	}
	parameters := false
	for _, value := range values {
		in := cryptobyte.String(value)
		one := kind
		switch {
		case in.PeekASN1Tag(cbasn1.NULL): // any
			continue
		case kind.Algorithm == x509.RSA && (!in.ReadASN1Integer(&one.Bits) || one.Bits == 0):
			one.Bits = -1
		case kind.Algorithm == x509.ECDSA:
			oid, _ := readOID(&in)
			if one.Curve = curveByName(oid.String()); one.Curve == nil {
				one.Bits = -1
			}
		}
		parameters = true
		r.take(&one)
	}
	if !parameters {
		r.take(&kind)
	}
}

func (r *planReader) take(kind *KeyPlan) {
	switch {
	case kind.supported() != nil:
		if r.unsupported == nil {
			r.unsupported = kind
		}
	case r.plan.Key == nil:
		r.plan.Key = kind
	case r.plan.Key.Algorithm == x509.ECDSA && r.plan.Key.Curve == nil && kind.Curve != nil: // the type, then its curve
		r.plan.Key = kind
	}
}

// otherwise is the kind of key where the list names none that is supported: an unsupported one, if it names that, or what
// the signature algorithm needs.
func (r *planReader) otherwise() *KeyPlan {
	switch {
	case r.unsupported != nil:
		return r.unsupported
	case r.signer != 0:
		return &KeyPlan{Algorithm: r.signer}
	}
	return nil
}

// follow fills the plan in from a template.
func (p *CSRPlan) follow(t *CSRTemplate) error {
	p.Subject, p.Extensions = t.Subject, t.Extensions
	for i := range t.Attributes {
		switch a := &t.Attributes[i]; {
		case a.OID.String() == nameChallengePassword: // a value of it would bind to no connection
			p.Link = true
		case len(a.Values) > 0:
			p.Given = append(p.Given, *a)
		default:
			p.want(a.OID)
		}
	}
	if t.Key == nil {
		return nil
	}
	p.Key = &KeyPlan{Bits: t.Key.Bits}
	switch t.Key.Algorithm.String() {
	case nameRSA:
		p.Key.Algorithm = x509.RSA
	case nameEd25519:
		p.Key.Algorithm = x509.Ed25519
	case nameECPublicKey:
		p.Key.Algorithm = x509.ECDSA
		if t.Key.Curve == nil {
			return nil
		}
		if p.Key.Curve = curveByName(t.Key.Curve.String()); p.Key.Curve == nil {
			return planError("an EC key on the curve %s is not supported", t.Key.Curve)
		}
	default:
		return planError("a key of type %s is not supported", t.Key.Algorithm)
	}
	return nil
}
