package cmc

import (
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
)

// ChangeSubjectName are the names that a renewal wants instead of those it has (RFC 6402, Section 2.8). At least one is present.
type ChangeSubjectName struct {
	RawSubject []byte // Name in DER; nil when absent
	RawAltName []byte // GeneralNames in DER, with the tag of a SEQUENCE; nil when absent
}

// POPLink returns the POP link witness in the request (RFC 5272, Section 6.3.1): an attribute of PKCS #10, or a control of
// CRMF. Either may be nil. Errors are *Error: badRequest for a malformed or second one.
func (r *Request) POPLink() (*POPLinkWitnessV2, POPLinkWitness, error) {
	var v2 *POPLinkWitnessV2
	var v1 POPLinkWitness
	der, err := r.control(arcPOPLinkWitnessV2)
	if err != nil {
		return nil, nil, err
	}
	if der != nil {
		if err := decode(der, "POP link witness", func(in *input) { v2 = readPOPLinkWitnessV2(in) }); err != nil {
			return nil, nil, fail(FailBadRequest, err, r.ID)
		}
	}
	if der, err = r.control(arcPOPLinkWitness); err != nil {
		return nil, nil, err
	}
	if der != nil {
		if err := decode(der, "POP link witness", func(in *input) { v1 = in.octets(MaxOctets, "POP link witness") }); err != nil {
			return nil, nil, fail(FailBadRequest, err, r.ID)
		}
	}
	return v2, v1, nil
}

// ChangeSubjectName returns the new names in the request (RFC 6402, Section 2.8): an attribute of PKCS #10, or a control of
// CRMF; nil when absent. Read are both the encoding of RFC 6402 and that of its erratum 3943, which tags subjectAlt with
// [1]. Errors are *Error: badRequest.
func (r *Request) ChangeSubjectName() (*ChangeSubjectName, error) {
	der, err := r.control(arcChangeSubjectName)
	if der == nil || err != nil {
		return nil, err
	}
	c := &ChangeSubjectName{}
	err = decode(der, "change of the subject's name", func(in *input) {
		body := in.sequence("change of the subject's name")
		// Name is a SEQUENCE OF SET, GeneralNames a SEQUENCE of context-specific tags and never empty: the first tag inside
		// tells them apart where RFC 6402 has no tag of its own.
		if body.is(cryptobyte_asn1.SEQUENCE) && !holdsGeneralNames(body.s) {
			c.RawSubject = body.element(cryptobyte_asn1.SEQUENCE, "new subject")
		}
		switch {
		case body.is(contextTag(1)):
			if names := body.open(contextTag(1), "new subjectAltName"); names.ok() {
				c.RawAltName = retag(names.s)
			}
		case body.is(cryptobyte_asn1.SEQUENCE):
			c.RawAltName = body.element(cryptobyte_asn1.SEQUENCE, "new subjectAltName")
		}
		body.end("change of the subject's name")
		if body.ok() && (c.RawSubject == nil && c.RawAltName == nil || c.RawAltName != nil && !holdsGeneralNames(c.RawAltName)) {
			body.broken(ErrSyntax, "change of the subject's name without a name")
		}
	})
	if err != nil {
		return nil, fail(FailBadRequest, err, r.ID)
	}
	return c, nil
}

// Marshal returns the value in DER in the form of erratum 3943 of RFC 6402, Section 2.8, which can be read in one way only.
// Errors: ErrBuild.
func (c *ChangeSubjectName) Marshal() ([]byte, error) {
	return encodeSequence(func(b *cryptobyte.Builder) {
		if c.RawSubject != nil {
			addDER(b, c.RawSubject, "new subject")
		}
		if names := cryptobyte.String(c.RawAltName); names != nil {
			var contents cryptobyte.String
			if !names.ReadASN1(&contents, cryptobyte_asn1.SEQUENCE) || !names.Empty() {
				b.SetError(fmt.Errorf("the new subjectAltName is no GeneralNames"))
			}
			b.AddASN1(contextTag(1), func(b *cryptobyte.Builder) { b.AddBytes(contents) })
		}
	})
}

// holdsGeneralNames looks at the first tag inside the SEQUENCE that comes next.
func holdsGeneralNames(s cryptobyte.String) bool {
	var contents cryptobyte.String
	return s.ReadASN1(&contents, cryptobyte_asn1.SEQUENCE) && !contents.Empty() && contents[0]&0xc0 == 0x80
}

// control returns the value of the one attribute or CRMF control of the type id-cmc arc, or nil.
func (r *Request) control(arc int) ([]byte, error) {
	attributes, err := r.attributes()
	if err != nil {
		return nil, fail(FailBadRequest, err, r.ID)
	}
	var value []byte
	for _, a := range attributes {
		if !a.Type.Equal(idCMC(arc)) {
			continue
		}
		if value != nil {
			return nil, fail(FailBadRequest, fmt.Errorf("%w: %s in a certification request", ErrDuplicateControl, a.Type), r.ID)
		}
		value = a.Value
	}
	return value, nil
}

// attributes returns the controls of CRMF, or the attributes of PKCS #10 below id-cmc, which crypto/x509 hides. Those have
// one value.
func (r *Request) attributes() ([]CRMFAttribute, error) {
	switch {
	case r.CRMF != nil:
		return r.CRMF.Controls, nil
	case r.PKCS10 == nil:
		return nil, nil
	}
	var out []CRMFAttribute
	err := decode(r.PKCS10.RawTBSCertificateRequest, "PKCS #10 request", func(in *input) {
		body := in.sequence("PKCS #10 request")
		body.element(cryptobyte_asn1.INTEGER, "version")
		body.element(cryptobyte_asn1.SEQUENCE, "subject")
		body.element(cryptobyte_asn1.SEQUENCE, "public key")
		for set := body.open(contextTag(0), "attributes"); set.more(); {
			if len(out) == cms.MaxAttributes {
				set.broken(ErrTooLarge, fmt.Sprintf("more than %d attributes", cms.MaxAttributes))
				return
			}
			one := set.sequence("attribute")
			a := CRMFAttribute{Type: one.oid("attribute")}
			values := one.open(cryptobyte_asn1.SET, "values of an attribute")
			one.end("attribute")
			if !underCMC(a.Type) {
				continue
			}
			a.Value = values.anything("value of an attribute")
			values.end("the one value of an attribute")
			out = append(out, a)
		}
	})
	return out, err
}

func underCMC(oid asn1.ObjectIdentifier) bool {
	base := idCMC(0)
	return len(oid) == len(base) && oid[:len(oid)-1].Equal(base[:len(base)-1])
}
