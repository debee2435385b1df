package est

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"slices"
)

const sectionReenroll = "RFC 7030, Section 4.2.2"

// SameNames checks what RFC 7030, Section 4.2.2, asks of a re-enrollment: subject and subjectAltName of csr are those
// of cert, the certificate to be replaced. Subjects are compared by RFC 5280, Section 7.1 (letter case, white space and
// string type do not count, order does), alternative names as a set by RFC 5280, Sections 7.2 to 7.5; whether the
// extension is critical does not count. globalsign/est compares bytes and refuses CSRs that another library built. It is so
// with a ChangeSubjectName too, which [ReadNameChange] reads (RFC 6402, Section 2.8). Names that differ only in Unicode normalization are different: that
// refuses too much, never too little.
//
// Errors: an [*Error] with status 403 and one of [ReasonReenrollSubject], [ReasonReenrollSAN],
// [ReasonReenrollCertificate].
func SameNames(csr *x509.CertificateRequest, cert *x509.Certificate) error {
	if e := sameSubject(csr, cert); e != nil {
		return e
	}
	if e := sameAltNames(extensionValue(csr.Extensions), extensionValue(cert.Extensions)); e != nil {
		return e
	}
	return nil
}

func sameSubject(csr *x509.CertificateRequest, cert *x509.Certificate) *Error {
	if bytes.Equal(csr.RawSubject, cert.RawSubject) {
		return nil
	}
	want, ok := canonicalName(cert.RawSubject)
	if !ok {
		return badCertificate()
	}
	got, ok := canonicalName(csr.RawSubject)
	if ok && got == want {
		return nil
	}
	return refuse(http.StatusForbidden, ReasonReenrollSubject, sectionReenroll,
		"The subject of the CSR is not that of the certificate it renews. Repeat the certificate's subject, or use simpleenroll for a new name.")
}

func sameAltNames(csr, cert []byte) *Error {
	if bytes.Equal(csr, cert) {
		return nil
	}
	want, ok := canonicalAltNames(cert)
	if !ok {
		return badCertificate()
	}
	got, ok := canonicalAltNames(csr)
	if ok && slices.Equal(got, want) {
		return nil
	}
	return refuse(http.StatusForbidden, ReasonReenrollSAN, sectionReenroll,
		"The subjectAltName of the CSR is not that of the certificate it renews. Repeat all alternative names of the certificate, and no others.")
}

func badCertificate() *Error {
	return refuse(http.StatusForbidden, ReasonReenrollCertificate, sectionReenroll,
		"The names of the certificate to be renewed cannot be read. Enroll anew with simpleenroll.")
}

// extensionValue returns the value of subjectAltName (RFC 5280, Section 4.2.1.6), nil for none.
func extensionValue(extensions []pkix.Extension) []byte {
	for i := range extensions {
		id := extensions[i].Id
		if len(id) == 4 && id[0] == 2 && id[1] == 5 && id[2] == 29 && id[3] == 17 {
			return extensions[i].Value
		}
	}
	return nil
}
