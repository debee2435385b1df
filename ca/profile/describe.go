package profile

import (
	"crypto/elliptic"
	"encoding/asn1"
	"slices"

	"github.com/briskest/briskest/ca"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Description is what a request has to hold to be taken, as far as that can be
// said before it is made: for those who tell devices how to make one. Names
// that depend on the facts of a device are left out, since the certificate
// gets them whether they are requested or not.
type Description struct {
	Keys []KeyDescription // the kinds taken, in the order of the document
	// Subject are the attributes to request, in the order of the document: those
	// that are required and those with a value that is the same for all. Nil where
	// nothing is required of the request while it may hold something.
	Subject []AttributeDescription
	// AltNames describes the SubjectAltName; nil where none is needed.
	AltNames *AltNamesDescription
	// KeyUsage and ExtendedKeyUsage are the values (DER) that certificates get;
	// KeyUsage, which is critical, only where it is the same for all keys, and
	// ExtendedKeyUsage nil for no extension.
	KeyUsage                 []byte
	ExtendedKeyUsage         []byte
	ExtendedKeyUsageCritical bool
}

// KeyDescription is one kind of subject key.
type KeyDescription struct {
	Type             string           // rsa, ecdsa or ed25519
	Curves           []elliptic.Curve // of ecdsa
	MinBits, MaxBits int              // of rsa: length of the modulus
}

// AttributeDescription is an attribute of the subject.
type AttributeDescription struct {
	Type  asn1.ObjectIdentifier
	Value []byte // DER, string type included; nil: the request's
}

// AltNamesDescription is about the SubjectAltName.
type AltNamesDescription struct {
	// Value is the DER of the GeneralNames that are the same for all; nil for none.
	Value []byte
	// Open says that the request has to add names, and OnlyAddresses that these
	// are iPAddresses and nothing else.
	Open, OnlyAddresses bool
	Critical            bool // in certificates whose subject is empty by the profile
}

// Describe returns what the profile would like to find in a request.
func (p *Profile) Describe() (*Description, error) {
	d := &Description{Subject: p.subject.describe(), ExtendedKeyUsageCritical: p.doc.ExtendedKeyUsageCritical}
	for i := range p.keys {
		r := &p.keys[i]
		d.Keys = append(d.Keys, KeyDescription{
			Type: [keyKinds]string{"rsa", "ecdsa", "ed25519"}[r.kind], Curves: slices.Clone(r.curves), MinBits: r.minBits, MaxBits: r.maxBits,
		})
	}
	var err error
	if d.AltNames, err = p.san.describe(); err != nil {
		return nil, err
	}
	if d.AltNames != nil {
		d.AltNames.Critical = len(p.subject.rules) == 0
	}
	if same := p.sameUsage(); same != 0 {
		d.KeyUsage = append([]byte{byte(cbasn1.BIT_STRING), byte(len(same.bitString()))}, same.bitString()...)
	}
	if len(p.content.eku) > 0 {
		d.ExtendedKeyUsage, err = asn1.Marshal(p.content.eku)
	}
	return d, err
}

// sameUsage is the key usage of all kinds of keys; 0 where they differ.
func (p *Profile) sameUsage() keyUsage {
	for i := range p.keys {
		if p.keys[i].usage != p.keys[0].usage {
			return 0
		}
	}
	return p.keys[0].usage
}

func (s *subjectRules) describe() []AttributeDescription {
	out := []AttributeDescription{}
	required, optional := false, false
	for i := range s.rules {
		r := &s.rules[i]
		switch {
		case r.value == nil && !r.required:
			optional = true
		case r.value == nil:
			required = true
			out = append(out, AttributeDescription{Type: r.oid})
		default:
			if text, ok := r.value.literal(); ok {
				out = append(out, AttributeDescription{Type: r.oid, Value: r.der(text)})
			}
		}
	}
	if len(out) == 0 || optional && !required {
		return nil
	}
	return out
}

// literal is the template's text, where it is the same for all.
func (t *template) literal() (string, bool) {
	text := ""
	for _, part := range t.parts {
		if part.word {
			return "", false
		}
		text += part.text
	}
	return text, true
}

// der is a value as certificates have it.
func (r *attributeRule) der(text string) []byte {
	var b cryptobyte.Builder
	b.AddASN1(stringTag(r.syntax, text), func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
	return b.BytesOrPanic() // a template is shorter than DER can be
}

func (s *nameRules) describe() (*AltNamesDescription, error) {
	d := &AltNamesDescription{}
	var names ca.Names
	own, open := 0, 0
	for i := range s.rules {
		r := &s.rules[i]
		own += len(r.values)
		if r.required && r.request && len(r.values) == 0 {
			open++
			d.OnlyAddresses = r.kind == wordIP
		}
		fixed := *r
		fixed.values = slices.DeleteFunc(slices.Clone(r.values), func(t *template) bool { _, ok := t.literal(); return !ok })
		values, err := fixed.own(&Facts{})
		if err != nil {
			return nil, err
		}
		for j := range values {
			if err := values[j].add(&names); err != nil {
				return nil, err
			}
		}
	}
	d.OnlyAddresses = d.OnlyAddresses && open == 1
	d.Open = open > 0 || s.required && own == 0
	if hasNames(&names) {
		var b cryptobyte.Builder
		appendGeneralNames(&b, &names)
		var err error
		if d.Value, err = b.Bytes(); err != nil {
			return nil, err
		}
	}
	if d.Value == nil && !d.Open {
		return nil, nil //nolint:nilnil // nothing is needed
	}
	return d, nil
}
