package est

import (
	"crypto/rsa"
	"crypto/x509"
	"net/http"
)

// CSR is a PKCS#10 request (RFC 2986, Section 4) whose signature has been verified.
type CSR struct {
	*x509.CertificateRequest
	ChallengePassword string // RFC 2985, Section 5.4.1; empty for none
	// The attributes that divide the uses of challengePassword, each of 1 to 255 characters; empty for none. Whoever
	// takes a request evaluates each that is present; all have to hold (RFC 7894, Section 2).
	OTPChallenge        Secret // a one-time password (RFC 7894, Section 2.1); nobody has read it
	RevocationChallenge Secret // what is to be shown to have the certificate revoked (RFC 7894, Section 2.2); nobody has read it
	IdentityLinking     string // the channel binding, in place of challengePassword (RFC 7894, Section 2.3)
	// ChangeSubjectName are the names that a renewal wants instead (RFC 6402, Section 2.8); nil for none.
	ChangeSubjectName *NameChange
}

// Bounds on a CSR. The largest RSA key keeps one verification under a millisecond.
const (
	maxCSR           = 96 << 10
	maxCSRAttributes = 64
	maxCSRExtensions = 128
	maxCSRSubject    = 64
	maxCSRAltNames   = 256
	minRSABits       = 1024
	maxRSABits       = 8192
)

const sectionCSR = "RFC 2986, Section 4"

// ParseCSR reads one PKCS#10 request in DER and verifies its signature. The CSR refers to der, which must not change
// afterwards.
//
// Refused, each with a reason id of its own: more than 96 KiB, more than 64 parts of the subject or 256 alternative
// names, trailing bytes, BER, another version than 0, no attributes at all (RFC 2986, Section 4.1, has the field
// even when it is empty), two extensionRequest attributes, an extension twice, an odd challengePassword, ChangeSubjectName
// or attribute of RFC 7894, Section 2, control characters in names, keys of unknown type, RSA below 1024 or above 8192
// bits, and signatures with MD5 or SHA-1. Go's parser takes most of these.
// What a profile may decide is not looked at: smaller RSA keys, curves, CA:TRUE, an empty subject.
//
// Errors: always an [*Error] with status 400.
func ParseCSR(der []byte) (*CSR, error) {
	csr, e := parseCSR(der)
	if e == nil {
		e = checkCSRSignature(csr.CertificateRequest)
	}
	if e != nil {
		return nil, e
	}
	return csr, nil
}

// ParseAsked is ParseCSR for a request whose signature proves nothing: one that was put together from what somebody else
// has verified, such as a CRMF request (RFC 5272, Section 3.2.1.2.2) or one that an RA has changed. Everything but the
// signature is checked.
//
// Errors: as ParseCSR.
func ParseAsked(der []byte) (*CSR, error) {
	csr, e := parseCSR(der)
	if e == nil {
		e = checkCSRKey(csr.CertificateRequest)
	}
	if e != nil {
		return nil, e
	}
	return csr, nil
}

func parseCSR(der []byte) (*CSR, *Error) {
	if len(der) > maxCSR {
		return nil, csrTooLarge()
	}
	scan, e := scanCSR(der)
	if e != nil {
		return nil, e
	}
	parsed, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, notCSR(err)
	}
	csr := scan.csr(parsed)
	if e := checkCSRNames(parsed); e != nil {
		return nil, e
	}
	return csr, nil
}

// csr puts together what two readers have read.
func (s *csrScan) csr(parsed *x509.CertificateRequest) *CSR {
	return &CSR{
		CertificateRequest: parsed, ChallengePassword: s.challenges.password, OTPChallenge: Secret(s.challenges.otp),
		RevocationChallenge: Secret(s.challenges.revocation), IdentityLinking: s.challenges.linking, ChangeSubjectName: s.nameChange,
	}
}

func csrTooLarge() *Error {
	return refuse(http.StatusBadRequest, ReasonCSRTooLarge, sectionCSR, "The CSR is larger than 96 KiB. Ask for less in it.")
}

func notCSR(err error) *Error {
	return &Error{
		Status: http.StatusBadRequest, Reason: ReasonCSRSyntax, Section: sectionCSR, Err: err,
		Message: "The body is base64, but not of a PKCS#10 request in DER. Look at it with: base64 -d | openssl req -inform DER -text",
	}
}

// checkCSRNames refuses control characters: a NUL in a name has made one program read "a\0.example" as "a".
func checkCSRNames(csr *x509.CertificateRequest) *Error {
	bad := false
	for i := range csr.Subject.Names {
		if s, ok := csr.Subject.Names[i].Value.(string); ok && hasControl(s) {
			bad = true
		}
	}
	for _, names := range [2][]string{csr.DNSNames, csr.EmailAddresses} {
		for _, s := range names {
			bad = bad || hasControl(s)
		}
	}
	// Control characters in URIs do not get past net/url.
	if !bad {
		return nil
	}
	return refuse(http.StatusBadRequest, ReasonCSRName, "RFC 5280, Section 4.2.1.6",
		"A name in the CSR has a control character. Ask for names of printable characters.")
}

func hasControl(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// checkCSRKey refuses keys that cannot be verified with, or cost too much.
func checkCSRKey(csr *x509.CertificateRequest) *Error {
	switch csr.PublicKeyAlgorithm {
	case x509.RSA, x509.ECDSA, x509.Ed25519:
	default:
		return refuse(http.StatusBadRequest, ReasonCSRKeyType, sectionCSR,
			"The key of the CSR is of a type that is not supported. Use ECDSA (P-256, P-384, P-521), RSA or Ed25519.")
	}
	if key, ok := csr.PublicKey.(*rsa.PublicKey); ok && (key.N.BitLen() < minRSABits || key.N.BitLen() > maxRSABits) {
		return refuse(http.StatusBadRequest, ReasonCSRKeySize, sectionCSR,
			"The RSA key of the CSR has too few or too many bits. Use 2048 to 4096.")
	}
	return nil
}

func checkCSRSignature(csr *x509.CertificateRequest) *Error {
	if e := checkCSRKey(csr); e != nil {
		return e
	}
	switch csr.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1:
		return refuse(http.StatusBadRequest, ReasonCSRWeakSignature, sectionCSR,
			"The CSR is signed with MD5 or SHA-1. Sign it with SHA-256 or better: openssl req -new -sha256")
	case x509.UnknownSignatureAlgorithm:
		return refuse(http.StatusBadRequest, ReasonCSRSignatureAlgorithm, sectionCSR,
			"The signature algorithm of the CSR is not supported. Use ECDSA or RSA with SHA-256, or Ed25519.")
	}
	if err := csr.CheckSignature(); err != nil {
		return &Error{
			Status: http.StatusBadRequest, Reason: ReasonCSRSignature, Section: "RFC 7030, Section 3.4", Err: err,
			Message: "The signature of the CSR does not verify, so nothing shows that its sender has the private key. Make a new CSR.",
		}
	}
	return nil
}
