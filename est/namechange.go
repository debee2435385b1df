package est

import (
	"crypto/x509"
	"net/http"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const sectionNameChange = "RFC 6402, Section 2.8"

// NameChange is a ChangeSubjectName (RFC 6402, Section 2.8): the names that a renewal wants in place of those of its
// certificate. What is absent is to be absent in the new certificate too.
type NameChange struct {
	Subject  []byte // DER of a Name; nil when absent
	AltNames []byte // DER of GeneralNames; nil when absent
}

// ReadNameChange returns the ChangeSubjectName of a CSR, nil for none. subjectAlt is read both untagged, as
// RFC 6402, Section 2.8, has it, and tagged with [1], as erratum 3943 to it has it: a Name is a list of sets, and GeneralNames are
// tagged and at least one, so that the first tag tells them apart.
//
// Errors: an [*Error] with status 400 and [ReasonCSRChangeSubjectName], for an attribute that is there twice, has another
// number of values than one, neither name, or what is none of both.
func ReadNameChange(csr *x509.CertificateRequest) (*NameChange, error) {
	tbs := cryptobyte.String(csr.RawTBSCertificateRequest)
	var info cryptobyte.String
	if !tbs.ReadASN1(&info, asn1.SEQUENCE) {
		return nil, notCSR(errDER)
	}
	scan, e := scanInfo(info)
	if e != nil {
		return nil, e
	}
	return scan.nameChange, nil
}

// readNameChange reads the values of the attribute.
func (s *csrScan) readNameChange(values cryptobyte.String) *Error {
	refused := func(what string) *Error {
		return refuse(http.StatusBadRequest, ReasonCSRChangeSubjectName, sectionNameChange,
			"The ChangeSubjectName of the CSR "+what+". It holds a subject, alternative names in [1], or both.")
	}
	var change, name cryptobyte.String
	if s.nameChange != nil || !values.ReadASN1(&change, asn1.SEQUENCE) || !values.Empty() {
		return refused("is there twice, or is not one value")
	}
	if change.Empty() {
		return refused("has no name")
	}
	s.nameChange = new(NameChange)
	if change.PeekASN1Tag(asn1.SEQUENCE) && !holdsGeneralNames(change) {
		if !change.ReadASN1Element(&name, asn1.SEQUENCE) {
			return refused("cannot be read")
		}
		s.nameChange.Subject = name
	}
	switch {
	case change.PeekASN1Tag(contextTag(1)):
		if change.ReadASN1(&name, contextTag(1)) {
			s.nameChange.AltNames = retagged(name)
		}
	case change.PeekASN1Tag(asn1.SEQUENCE):
		if change.ReadASN1Element(&name, asn1.SEQUENCE) {
			s.nameChange.AltNames = name
		}
	}
	if !change.Empty() {
		return refused("holds more, or is ambiguous")
	}
	return s.nameChange.check(refused)
}

// holdsGeneralNames looks at the first tag within the SEQUENCE that comes next.
func holdsGeneralNames(s cryptobyte.String) bool {
	var content cryptobyte.String
	return s.ReadASN1(&content, asn1.SEQUENCE) && !content.Empty() && content[0]&0xc0 == 0x80
}

// retagged makes implicitly tagged GeneralNames a SEQUENCE again.
func retagged(content []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(content) })
	return b.BytesOrPanic() // it was shorter than its length field could say before
}

// check sees that both names can be compared and are within the bounds of those in a CSR.
func (n *NameChange) check(refused func(what string) *Error) *Error {
	if n.Subject != nil {
		if _, ok := canonicalName(n.Subject); !ok {
			return refused("has a subject that is no name")
		}
		in, list := cryptobyte.String(n.Subject), cryptobyte.String(nil)
		in.ReadASN1(&list, asn1.SEQUENCE)
		if e := scanCount(list, maxCSRSubject); e != nil {
			return e
		}
	}
	if n.AltNames == nil {
		return nil
	}
	if _, ok := canonicalAltNames(n.AltNames); !ok || !holdsGeneralNames(n.AltNames) {
		return refused("has alternative names that are none")
	}
	in, list := cryptobyte.String(n.AltNames), cryptobyte.String(nil)
	in.ReadASN1(&list, asn1.SEQUENCE)
	return scanCount(list, maxCSRAltNames)
}
