package est

import (
	"errors"
	"net/http"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Contents of the OBJECT IDENTIFIERs of the attributes that are looked at.
const (
	oidExtensionRequest    = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"         // 1.2.840.113549.1.9.14 (RFC 2985, Section 5.4.2)
	oidChallengePassword   = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07"         // 1.2.840.113549.1.9.7 (RFC 2985, Section 5.4.1)
	oidSubjectAltName      = "\x55\x1d\x11"                                 // 2.5.29.17 (RFC 5280, Section 4.2.1.6)
	oidOTPChallenge        = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x38" // 1.2.840.113549.1.9.16.2.56 (RFC 7894, Section 2.1)
	oidRevocationChallenge = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x39" // 1.2.840.113549.1.9.16.2.57 (RFC 7894, Section 2.2)
	oidIdentityLinking     = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x3a" // 1.2.840.113549.1.9.16.2.58 (RFC 7894, Section 2.3)
	oidChangeSubjectName   = "\x2b\x06\x01\x05\x05\x07\x07\x24"             // 1.3.6.1.5.5.7.7.36 (RFC 6402, Section 2.8)
)

// maxChallenge is pkcs-9-ub-challengePassword (RFC 2985, Section 5.4.1), in characters; the attributes of
// RFC 7894, Section 2, have the same bound.
const maxChallenge = 255

// csrScan is what crypto/x509 hides or does not check: Attributes leaves out whatever is not shaped like an
// extensionRequest, and two of those are merged.
type csrScan struct {
	challenges challenges
	nameChange *NameChange // of a ChangeSubjectName
	extensions bool        // an extensionRequest was seen
}

// challenges are the values of challengePassword and of the attributes that divide its uses (RFC 7894, Section 2); empty
// for none.
type challenges struct{ password, otp, revocation, linking string }

var errDER = errors.New("not the DER of a CertificationRequest")

// scanCSR walks a CertificationRequest (RFC 2986, Section 4.2) down to its attributes.
func scanCSR(der []byte) (csrScan, *Error) {
	input := cryptobyte.String(der)
	var outer, info cryptobyte.String
	if !input.ReadASN1(&outer, asn1.SEQUENCE) {
		return csrScan{}, notCSR(errDER)
	}
	if !input.Empty() {
		return csrScan{}, refuse(http.StatusBadRequest, ReasonCSRTrailing, sectionCSR,
			"There are bytes after the PKCS#10 request. Send one request and nothing else.")
	}
	if !outer.ReadASN1(&info, asn1.SEQUENCE) {
		return csrScan{}, notCSR(errDER)
	}
	return scanInfo(info)
}

// scanInfo walks the content of a CertificationRequestInfo.
func scanInfo(info cryptobyte.String) (csrScan, *Error) {
	var scan csrScan
	var version int64
	var attributes cryptobyte.String
	if !info.ReadASN1Integer(&version) {
		return scan, notCSR(errDER)
	}
	if version != 0 {
		return scan, refuse(http.StatusBadRequest, ReasonCSRVersion, sectionCSR,
			"The version of the CSR is not 0, the only one there is. Make the CSR with another tool.")
	}
	var subject cryptobyte.String
	if !info.ReadASN1(&subject, asn1.SEQUENCE) || !info.SkipASN1(asn1.SEQUENCE) ||
		!info.ReadASN1(&attributes, asn1.Tag(0).ContextSpecific().Constructed()) || !info.Empty() {
		return scan, notCSR(errDER)
	}
	if e := scanCount(subject, maxCSRSubject); e != nil {
		return scan, e
	}
	for n := 0; !attributes.Empty(); n++ {
		if n == maxCSRAttributes {
			return scan, refuse(http.StatusBadRequest, ReasonCSRTooLarge, sectionCSR, "The CSR has more than 64 attributes. Ask for less in it.")
		}
		var attribute, oid, values cryptobyte.String
		if !attributes.ReadASN1(&attribute, asn1.SEQUENCE) || !attribute.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) ||
			!attribute.ReadASN1(&values, asn1.SET) || !attribute.Empty() {
			return scan, notCSR(errDER)
		}
		if e := scan.attribute(string(oid), values); e != nil {
			return scan, e
		}
	}
	return scan, nil
}

func (s *csrScan) attribute(oid string, values cryptobyte.String) *Error {
	switch oid {
	case oidExtensionRequest:
		var extensions cryptobyte.String
		if s.extensions || !values.ReadASN1(&extensions, asn1.SEQUENCE) || !values.Empty() {
			return refuse(http.StatusBadRequest, ReasonCSRExtensionRequest, "RFC 2985, Section 5.4.2",
				"The CSR has more than one extensionRequest, or one that is not a single list. Put all extensions into one.")
		}
		s.extensions = true
		return scanExtensions(extensions)
	case oidChallengePassword:
		if !readChallenge(&s.challenges.password, values) {
			return refuse(http.StatusBadRequest, ReasonCSRChallengePassword, "RFC 2985, Section 5.4.1",
				"The CSR has more than one challengePassword, or one that is not a string of 1 to 255 characters.")
		}
	case oidOTPChallenge:
		return scanChallenge(&s.challenges.otp, values, "RFC 7894, Section 2.1", "otpChallenge")
	case oidRevocationChallenge:
		return scanChallenge(&s.challenges.revocation, values, "RFC 7894, Section 2.2", "revocationChallenge")
	case oidIdentityLinking:
		return scanChallenge(&s.challenges.linking, values, "RFC 7894, Section 2.3", "estIdentityLinking")
	case oidChangeSubjectName:
		return s.readNameChange(values)
	}
	return nil
}

// scanExtensions refuses extensions that are asked for twice (RFC 5280, Section 4.2).
func scanExtensions(extensions cryptobyte.String) *Error {
	var room [16]string
	seen := room[:0]
	for !extensions.Empty() {
		var extension, oid cryptobyte.String
		if !extensions.ReadASN1(&extension, asn1.SEQUENCE) || !extension.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) {
			return notCSR(errDER)
		}
		if len(seen) == maxCSRExtensions {
			return refuse(http.StatusBadRequest, ReasonCSRTooLarge, sectionCSR, "The CSR has more than 128 extensions. Ask for less in it.")
		}
		for _, s := range seen {
			if s == string(oid) {
				return refuse(http.StatusBadRequest, ReasonCSRDuplicateExtension, "RFC 5280, Section 4.2",
					"The CSR asks for the same extension twice. Ask for each once.")
			}
		}
		seen = append(seen, string(oid))
		if string(oid) == oidSubjectAltName {
			if e := scanAltNames(extension); e != nil {
				return e
			}
		}
	}
	return nil
}

// scanAltNames counts the names in what follows the identifier of an extension: it is read by crypto/x509 only when
// there are few, because 14,000 URIs take 7 ms.
func scanAltNames(rest cryptobyte.String) *Error {
	var value, names cryptobyte.String
	if !rest.SkipOptionalASN1(asn1.BOOLEAN) || !rest.ReadASN1(&value, asn1.OCTET_STRING) || !value.ReadASN1(&names, asn1.SEQUENCE) {
		return notCSR(errDER)
	}
	return scanCount(names, maxCSRAltNames)
}

// scanCount refuses more than limit elements.
func scanCount(list cryptobyte.String, limit int) *Error {
	for n := 0; !list.Empty(); n++ {
		if n == limit {
			return refuse(http.StatusBadRequest, ReasonCSRTooLarge, sectionCSR,
				"The CSR has too many names: more than 256 alternative names, or more than 64 parts of the subject. Ask for fewer.")
		}
		var element cryptobyte.String
		if !list.ReadAnyASN1(&element, nil) {
			return notCSR(errDER)
		}
	}
	return nil
}
