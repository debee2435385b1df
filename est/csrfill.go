package est

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// clientNames is what the client says of itself, in DER.
type clientNames struct {
	csr      *x509.CertificateRequest
	subject  []byte // a Name
	parts    []SubjectAttribute
	altNames []byte // GeneralNames; nil for none
}

func ownNames(csr *x509.CertificateRequest) (*clientNames, error) {
	if csr == nil {
		csr = new(x509.CertificateRequest)
	}
	own := &clientNames{csr: csr, subject: csr.RawSubject}
	if len(own.subject) == 0 {
		var err error
		if own.subject, err = asn1.Marshal(csr.Subject.ToRDNSequence()); err != nil {
			return nil, fmt.Errorf("subject of the CSR: %w", err)
		}
	}
	in := cryptobyte.String(own.subject)
	var name cryptobyte.String
	var parsed CSRTemplate
	if !in.ReadASN1(&name, cbasn1.SEQUENCE) || !in.Empty() || !parsed.readSubject(name) {
		return nil, fmt.Errorf("subject of the CSR: %w", errDER)
	}
	for _, rdn := range parsed.Subject {
		own.parts = append(own.parts, rdn...)
	}
	var err error
	if own.altNames = extensionValue(csr.ExtraExtensions); own.altNames == nil {
		own.altNames, err = marshalAltNames(csr)
	}
	return own, err
}

// marshalAltNames writes GeneralNames (RFC 5280, Section 4.2.1.6).
func marshalAltNames(csr *x509.CertificateRequest) ([]byte, error) {
	if len(csr.DNSNames)+len(csr.EmailAddresses)+len(csr.IPAddresses)+len(csr.URIs) == 0 {
		return nil, nil
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, name := range csr.DNSNames {
			appendGeneralName(b, 2, []byte(name))
		}
		for _, address := range csr.EmailAddresses {
			appendGeneralName(b, 1, []byte(address))
		}
		appendAddresses(b, csr)
		for _, uri := range csr.URIs {
			appendGeneralName(b, 6, []byte(uri.String()))
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("alternative names of the CSR: %w", err)
	}
	return der, nil
}

func appendGeneralName(b *cryptobyte.Builder, tag uint8, value []byte) {
	for _, c := range value {
		if tag != 7 && c >= utf8.RuneSelf {
			b.SetError(fmt.Errorf("%.80q is not ASCII", value))
			return
		}
	}
	b.AddASN1(cbasn1.Tag(tag).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(value) })
}

func appendAddresses(b *cryptobyte.Builder, csr *x509.CertificateRequest) {
	for _, ip := range csr.IPAddresses {
		if v4 := ip.To4(); v4 != nil {
			ip = v4
		}
		appendGeneralName(b, 7, ip)
	}
}

// fillSubject returns the Name that the CSR gets.
func (own *clientNames) fillSubject(r *CSRRequest) ([]byte, error) {
	if r.KeepNames || r.Plan.Subject == nil {
		return own.subject, nil
	}
	left := append([]SubjectAttribute(nil), own.parts...)
	filled := CSRTemplate{Subject: make([][]SubjectAttribute, len(r.Plan.Subject))}
	for i, rdn := range r.Plan.Subject {
		for _, attribute := range rdn {
			for j := range left {
				if attribute.Value == nil && left[j].Type.Equal(attribute.Type) { // each of ours once
					attribute.Value, left[j].Type = left[j].Value, nil
				}
			}
			if len(attribute.Value) == 0 {
				return nil, planError("it wants an attribute of type %s in the subject, and none is known", attribute.Type)
			}
			filled.Subject[i] = append(filled.Subject[i], attribute)
		}
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, filled.appendSubject)
	der, err := b.Bytes()
	if err != nil {
		return nil, planError("the subject: %w", err)
	}
	return der, nil
}

// attributes returns the content of the CSR's attributes.
func (own *clientNames) attributes(r *CSRRequest, subject []byte) ([]byte, error) {
	extensions, err := own.extensions(r, subject)
	if err != nil {
		return nil, err
	}
	t := CSRTemplate{Extensions: extensions, Attributes: append([]Attribute(nil), r.Attributes...)}
	for i := range r.Plan.Given {
		if name := r.Plan.Given[i].OID.String(); name != nameChallengePassword && !hasAttribute(t.Attributes, name) {
			t.Attributes = append(t.Attributes, r.Plan.Given[i])
		}
	}
	if r.ChallengePassword != "" {
		t.Attributes = append(t.Attributes, Attribute{
			OID: newOID(nameChallengePassword), Values: [][]byte{directoryValue(r.ChallengePassword)},
		})
	}
	sorted, err := t.attributes()
	if err != nil {
		return nil, fmt.Errorf("attributes of the CSR: %w", err)
	}
	var all []byte
	for _, der := range sorted {
		all = append(all, der...)
	}
	return all, nil
}

func hasAttribute(attributes []Attribute, name string) bool {
	for i := range attributes {
		if attributes[i].OID.String() == name {
			return true
		}
	}
	return false
}

// directoryValue writes a DirectoryString: a PrintableString where it fits (RFC 2985, Section 5.4.1).
func directoryValue(s string) []byte {
	der, err := asn1.Marshal(s) // chooses PrintableString or UTF8String
	if err != nil {
		return nil // no UTF-8; refused as no element
	}
	return der
}

// extensions are those that the CSR asks for.
func (own *clientNames) extensions(r *CSRRequest, subject []byte) ([]PlannedExtension, error) {
	var out []PlannedExtension
	for _, e := range r.Plan.Extensions {
		isSAN := e.ID.String() == nameSubjectAltName
		if isSAN && r.KeepNames {
			continue
		}
		switch {
		case e.Value == nil:
			e.Value = own.value(e.ID)
		case isSAN:
			var err error
			if e.Value, err = own.completeAltNames(e.Value, subject); err != nil {
				return nil, err
			}
		}
		if e.Value != nil {
			out = append(out, e)
		}
	}
	planned := CSRPlan{Extensions: out}
	if own.altNames != nil && !planned.asks(nameSubjectAltName) {
		// Critical where it stands alone (RFC 5280, Section 4.2.1.6).
		out = append(out, PlannedExtension{ID: newOID(nameSubjectAltName), Critical: len(subject) == 2, Value: own.altNames})
	}
	for _, e := range own.csr.ExtraExtensions {
		if name := e.Id.String(); name != nameSubjectAltName && !planned.asks(name) {
			out = append(out, PlannedExtension{ID: e.Id, Critical: e.Critical, Value: e.Value})
		}
	}
	return out, nil
}

const (
	nameSubjectAltName = "2.5.29.17"
	nameKeyUsage       = "2.5.29.15"
	nameExtKeyUsage    = "2.5.29.37"
)

func (p *CSRPlan) asks(name string) bool {
	for i := range p.Extensions {
		if p.Extensions[i].ID.String() == name {
			return true
		}
	}
	return false
}

// value is the client's for an extension that the server leaves open; nil for none.
func (own *clientNames) value(id asn1.ObjectIdentifier) []byte {
	isID := func(e *pkix.Extension) bool { return e.Id.Equal(id) }
	for i := range own.csr.ExtraExtensions {
		if isID(&own.csr.ExtraExtensions[i]) {
			return own.csr.ExtraExtensions[i].Value
		}
	}
	switch id.String() {
	case nameSubjectAltName:
		return own.altNames
	case nameKeyUsage:
		return []byte{3, 2, 7, 0x80} // digitalSignature (RFC 5280, Section 4.2.1.3)
	case nameExtKeyUsage:
		return []byte{0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2} // id-kp-clientAuth (RFC 5280, Section 4.2.1.12)
	}
	return nil
}

// completeAltNames fills in what a given subjectAltName leaves open (RFC 9908, Section 3.4): an iPAddress without bytes
// and a directoryName without relative names.
func (own *clientNames) completeAltNames(given, subject []byte) ([]byte, error) {
	in := cryptobyte.String(given)
	var list cryptobyte.String
	if !in.ReadASN1(&list, cbasn1.SEQUENCE) || !in.Empty() {
		return given, nil // not for us to judge
	}
	var out cryptobyte.Builder
	var problem error
	filled := map[string]bool{} // once: what is given may be long, and so may ours
	out.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for !list.Empty() {
			var name cryptobyte.String
			if !list.ReadAnyASN1Element(&name, nil) {
				problem = planError("the alternative names it gives are no list")
				return
			}
			open := string(name)
			if filled[open] {
				continue
			}
			switch open {
			case "\x87\x00":
				filled[open] = true
				if len(own.csr.IPAddresses) == 0 {
					problem = planError("it wants an IP address among the alternative names, and none is known")
					return
				}
				appendAddresses(b, own.csr)
			case "\xa4\x02\x30\x00":
				filled[open] = true
				if len(subject) == 2 {
					problem = planError("it wants the subject among the alternative names, and that is empty")
					return
				}
				b.AddASN1(contextTag(4), func(b *cryptobyte.Builder) { b.AddBytes(subject) })
			default:
				b.AddBytes(name)
			}
		}
	})
	der, err := out.Bytes()
	if problem != nil {
		return nil, problem
	}
	return der, err
}
