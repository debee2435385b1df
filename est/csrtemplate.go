package est

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CSRTemplate is a CertificationRequestInfoTemplate (RFC 9908, Section 3.4): a CSR that the server has filled in as far
// as it can. Its version is always v1.
type CSRTemplate struct {
	// Subject is the sequence of relative names, each a set. Nil: the server does not care about the subject.
	Subject [][]SubjectAttribute
	Key     *TemplateKey // nil: the server does not care about the key
	// Extensions are those of the one id-ExtensionReq or id-aa-extensionReqTemplate.
	Extensions []PlannedExtension
	Attributes []Attribute // the others; one without values is for the client to fill in
}

// SubjectAttribute is one attribute of a subject.
type SubjectAttribute struct {
	Type  asn1.ObjectIdentifier
	Value []byte // DER of the value, string type included; nil: the client supplies it
}

// PlannedExtension is an X.509 extension that a CSR is to ask for.
type PlannedExtension struct {
	ID       asn1.ObjectIdentifier
	Critical bool
	Value    []byte // DER of the extension's value; nil: the client supplies it
}

// TemplateKey is a SubjectPublicKeyInfoTemplate (RFC 9908, Section 3.4). The placeholder for a public key in it serves to
// tell the length of an RSA modulus and nothing else, so that only that is kept.
type TemplateKey struct {
	Algorithm asn1.ObjectIdentifier
	Curve     asn1.ObjectIdentifier // of an id-ecPublicKey; nil: any
	Bits      int                   // length of an RSA modulus; 0: any
}

// ErrCSRTemplate is what a template that cannot be read or written gives.
var ErrCSRTemplate = errors.New("not a CertificationRequestInfoTemplate (RFC 9908, Section 3.4)")

const nameRSA = "1.2.840.113549.1.1.1" // rsaEncryption (RFC 8017, Appendix A.1)

func templateError(what string) error { return fmt.Errorf("%w: %s", ErrCSRTemplate, what) }

// ParseCSRTemplate reads the DER of a template, up to what [ParseCSRAttrs] takes. The identifier that the figure in RFC
// 9908, Section 3.4, misprints for id-aa-extensionReqTemplate is read as it, and a value of it that is one
// ExtensionTemplate, as the prose there has it, like a list of one. The result refers to der.
//
// Errors: those that match [ErrCSRTemplate], for another version too and for what RFC 9908, Section 3.4, forbids: both
// kinds of extension request, one of them twice or with more than one value, an extension twice.
func ParseCSRTemplate(der []byte) (*CSRTemplate, error) {
	if len(der) > maxCSRAttrs {
		return nil, templateError("larger than 64 KiB")
	}
	in := cryptobyte.String(der)
	var info, rest cryptobyte.String
	var version int64
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !in.Empty() || !info.ReadASN1Integer(&version) {
		return nil, ErrCSRTemplate
	}
	if version != 0 {
		return nil, templateError("its version is not v1")
	}
	t := new(CSRTemplate)
	if info.PeekASN1Tag(cbasn1.SEQUENCE) && (!info.ReadASN1(&rest, cbasn1.SEQUENCE) || !t.readSubject(rest)) {
		return nil, templateError("subject")
	}
	if tag := contextTag(0); info.PeekASN1Tag(tag) && (!info.ReadASN1(&rest, tag) || !t.readKey(rest)) {
		return nil, templateError("subjectPKInfo")
	}
	if !info.ReadASN1(&rest, contextTag(1)) || !info.Empty() {
		return nil, templateError("attributes")
	}
	if err := t.readAttributes(rest); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCSRTemplate, err)
	}
	return t, nil
}

func contextTag(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific().Constructed() }

func (t *CSRTemplate) readSubject(name cryptobyte.String) bool {
	t.Subject = [][]SubjectAttribute{}
	for room := maxCSRSubject; !name.Empty(); {
		var set cryptobyte.String
		if !name.ReadASN1(&set, cbasn1.SET) || set.Empty() {
			return false
		}
		var rdn []SubjectAttribute
		for !set.Empty() {
			var attribute, value cryptobyte.String
			if room--; room < 0 || !set.ReadASN1(&attribute, cbasn1.SEQUENCE) {
				return false
			}
			oid, ok := readOID(&attribute)
			if !ok || oid == nil { // one that Go cannot hold could not be supplied either
				return false
			}
			if !attribute.Empty() && (!attribute.ReadAnyASN1Element(&value, nil) || !attribute.Empty()) {
				return false
			}
			rdn = append(rdn, SubjectAttribute{Type: oid, Value: value})
		}
		t.Subject = append(t.Subject, rdn)
	}
	return true
}

func (t *CSRTemplate) readKey(info cryptobyte.String) bool {
	var algorithm, parameters cryptobyte.String
	if !info.ReadASN1(&algorithm, cbasn1.SEQUENCE) {
		return false
	}
	oid, ok := readOID(&algorithm)
	if !ok || oid == nil {
		return false
	}
	t.Key = &TemplateKey{Algorithm: oid}
	if algorithm.PeekASN1Tag(cbasn1.OBJECT_IDENTIFIER) {
		if t.Key.Curve, ok = readOID(&algorithm); !ok || t.Key.Curve == nil {
			return false
		}
	} else if !algorithm.Empty() && !algorithm.ReadAnyASN1Element(&parameters, nil) {
		return false
	}
	if !algorithm.Empty() || info.Empty() {
		return algorithm.Empty()
	}
	var placeholder asn1.BitString
	if !info.ReadASN1BitString(&placeholder) || !info.Empty() {
		return false
	}
	if oid.String() == nameRSA {
		t.Key.Bits, ok = modulusBits(placeholder.RightAlign())
	}
	return ok
}

// modulusBits is the length of the modulus in an RSAPublicKey (RFC 8017, Appendix A.1.1).
func modulusBits(der []byte) (int, bool) {
	in := cryptobyte.String(der)
	var key, modulus, exponent cryptobyte.String
	if !in.ReadASN1(&key, cbasn1.SEQUENCE) || !in.Empty() || !key.ReadASN1(&modulus, cbasn1.INTEGER) ||
		!key.ReadASN1(&exponent, cbasn1.INTEGER) || !key.Empty() || len(modulus) == 0 || modulus[0]&0x80 != 0 {
		return 0, false
	}
	return new(big.Int).SetBytes(modulus).BitLen(), true
}

func (t *CSRTemplate) readAttributes(list cryptobyte.String) error {
	room, requested := maxCSRAttrsItems, false
	for !list.Empty() {
		attribute, ok := readAttribute(&list, &room)
		if room--; !ok || room < 0 {
			return errors.New("an attribute that cannot be read, or too many")
		}
		template := false
		switch attribute.OID.String() {
		case nameExtensionTemplate, nameExtensionTemplateMisprint:
			template = true
		case nameExtensionRequest:
		default:
			if attribute.OID != nil {
				t.Attributes = append(t.Attributes, attribute)
			}
			continue
		}
		if requested {
			return errors.New("more than one request for extensions")
		}
		requested = true
		var err error
		if t.Extensions, err = readExtensionRequest(attribute.Values, template); err != nil {
			return err
		}
	}
	return nil
}

// readExtensionRequest reads the one value of an id-ExtensionReq (RFC 9908, Section 3.2), or of an
// id-aa-extensionReqTemplate, where values may be missing.
func readExtensionRequest(values [][]byte, template bool) ([]PlannedExtension, error) {
	errList := errors.New("a request for extensions is not one list of them, each once")
	if len(values) != 1 {
		return nil, errList
	}
	in := cryptobyte.String(values[0])
	var list cryptobyte.String
	if !in.ReadASN1(&list, cbasn1.SEQUENCE) || !in.Empty() || list.Empty() {
		return nil, errList
	}
	if template && list.PeekASN1Tag(cbasn1.OBJECT_IDENTIFIER) { // the prose has one ExtensionTemplate here
		list = values[0]
	}
	var extensions []PlannedExtension
	for !list.Empty() {
		e, ok := readPlannedExtension(&list, template)
		same := func(other PlannedExtension) bool { return e.ID.Equal(other.ID) }
		if !ok || len(extensions) == maxCSRExtensions || slices.ContainsFunc(extensions, same) {
			return nil, errList
		}
		extensions = append(extensions, e)
	}
	return extensions, nil
}

func readPlannedExtension(list *cryptobyte.String, template bool) (PlannedExtension, bool) {
	var e PlannedExtension
	var extension, value cryptobyte.String
	var ok, present bool
	if !list.ReadASN1(&extension, cbasn1.SEQUENCE) {
		return e, false
	}
	if e.ID, ok = readOID(&extension); !ok || e.ID == nil {
		return e, false
	}
	if extension.PeekASN1Tag(cbasn1.BOOLEAN) && !extension.ReadASN1Boolean(&e.Critical) {
		return e, false
	}
	if !extension.ReadOptionalASN1(&value, &present, cbasn1.OCTET_STRING) || !extension.Empty() || !present && !template {
		return e, false
	}
	if present {
		e.Value = append([]byte{}, value...)
	}
	return e, true
}
