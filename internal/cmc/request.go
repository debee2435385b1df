package cmc

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"

	"github.com/briskest/briskest/internal/cms"
)

// Request is one certification request of reqSequence (RFC 5272, Section 3.2.1.2): exactly one of PKCS10, CRMF and Other is set.
type Request struct {
	ID BodyPartID
	// PKCS10 is a PKCS #10 request (Section 3.2.1.2.1), read by crypto/x509; its signature is not checked. PKCS10.Raw are the
	// bytes as received, to be scanned for what crypto/x509 hides.
	PKCS10 *x509.CertificateRequest
	// CRMF is a CertReqMsg (Section 3.2.1.2.2). ID is its certReqId.
	CRMF *CRMF
	// Other is a request of another kind (Section 3.2.1.2.3): none is defined, and a server answers noSupport.
	Other *OtherRequest
	// Raw is the tagged element as received, and is written as it is; nil in one that is being built.
	Raw []byte
}

// OtherRequest is a request of a type that this package does not know.
type OtherRequest struct {
	Type  asn1.ObjectIdentifier
	Value []byte // DER
}

// NewPKCS10 returns a request for a PKCS #10 request in DER. Errors: ErrSyntax when crypto/x509 refuses it.
func NewPKCS10(id BodyPartID, der []byte) (Request, error) { return Request{}, ErrBuild }

// Ask returns what is asked for as crypto/x509 shows a PKCS #10 request, whatever the form: RawSubject, Subject, PublicKey,
// PublicKeyAlgorithm, RawSubjectPublicKeyInfo, Extensions and the names of the subjectAltName, so that one profile decides about all. For PKCS #10
// it is PKCS10 itself. For CRMF the fields of signature and Raw, RawTBSCertificateRequest are unset: CheckSignature of it proves nothing, VerifyPOP does.
//
// Errors are *Error: noSupport for another kind of request, badRequest for a template that lacks the public key or has broken extensions.
func (r *Request) Ask() (*x509.CertificateRequest, error) {
	return nil, fail(FailBadRequest, ErrSyntax, r.ID)
}

// SubjectKeyID returns the subject key identifier that the request asks for (RFC 5280, Section 4.2.1.2), or nil. A request that is signed
// by its own key must have one (RFC 5272, Section 3.2).
func (r *Request) SubjectKeyID() []byte { return nil }

// POP says how a request proves possession of its private key.
type POP int

// How a request proves possession (RFC 5272, Section 3.2.1.2; RFC 4211, Section 4).
const (
	// POPNone: no proof: the server asks for one or refuses, with popRequired.
	POPNone POP = iota
	// POPSignature: a signature by the key.
	POPSignature
	// POPRAVerified: the sender says that it has checked. Only an RA may say so, and the caller decides who is one.
	POPRAVerified
	// POPEncryption: the key does not sign; a challenge would be needed (RFC 4211, Sections 4.2 and 4.3).
	POPEncryption
)

// POP returns which proof the request has, not whether it is right.
func (r *Request) POP() POP { return POPNone }

// VerifyPOP checks the signature that proves possession, over the bytes as received. It returns nil for POPSignature that verifies, and for nothing else:
// for POPRAVerified the caller decides instead of calling it.
//
// Errors are *Error: popFailed for a wrong signature, popRequired for POPNone and POPEncryption, badAlg for SHA-1, MD5 and short keys, noSupport for another
// kind of request.
func (r *Request) VerifyPOP() error { return fail(FailPOPFailed, ErrPOP, r.ID) }

// POPLink returns the POP link witness in the request (RFC 5272, Section 6.3.1): an attribute of PKCS #10, or a control of CRMF. Either may be nil.
// Errors are *Error: badRequest for a malformed or second one.
func (r *Request) POPLink() (*POPLinkWitnessV2, POPLinkWitness, error) {
	return nil, nil, fail(FailBadRequest, ErrSyntax, r.ID)
}

// ChangeSubjectName returns the names a renewal wants instead of those it has (RFC 6402, Section 2.8): an attribute of PKCS #10, or a control of CRMF;
// nil when absent. Errors are *Error: badRequest.
func (r *Request) ChangeSubjectName() (*ChangeSubjectName, error) {
	return nil, fail(FailBadRequest, ErrSyntax, r.ID)
}

// ChangeSubjectName are the new names (RFC 6402, Section 2.8). At least one is present.
type ChangeSubjectName struct {
	RawSubject []byte // Name in DER; nil when absent
	RawAltName []byte // GeneralNames in DER, with the tag of a SEQUENCE; nil when absent
}

// CRMF is a CertReqMsg (RFC 4211, Section 3).
type CRMF struct {
	Template CertTemplate
	// Controls are the controls of the CertRequest (RFC 4211, Section 6), unparsed.
	Controls []CRMFAttribute
	// RegInfo is additional information (RFC 4211, Section 7), unparsed.
	RegInfo []CRMFAttribute
	// RawCertRequest is the CertRequest as received: what POP is over when the template has subject and key.
	RawCertRequest []byte

	pop popo
}

// CRMFAttribute is an AttributeTypeAndValue (RFC 4211, Section 3).
type CRMFAttribute struct {
	Type  asn1.ObjectIdentifier
	Value []byte // DER
}

// CertTemplate is what a certificate should say (RFC 4211, Section 5). Templates with fields that are the server's own are refused when read: serialNumber, signingAlg, issuerUID, subjectUID, and
// a version other than 2.
type CertTemplate struct {
	RawIssuer           []byte    // Name in DER; nil when absent
	NotBefore, NotAfter time.Time // zero when absent
	RawSubject          []byte    // Name in DER; nil when absent
	// RawSubjectPublicKeyInfo is the key in DER, with the tag of a SEQUENCE; nil when absent.
	RawSubjectPublicKeyInfo []byte
	Extensions              []pkix.Extension
}

// CRMFRequest is what NewCRMF builds.
type CRMFRequest struct {
	ID       BodyPartID
	Template CertTemplate
	Controls []CRMFAttribute
	// Key signs the proof of possession; nil for RAVerified or none.
	Key crypto.Signer
	// RAVerified says that an RA has checked possession.
	RAVerified bool
}

// NewCRMF builds a request. When the template has a public key and a subject, the signature is over the CertRequest (RFC 4211, Section 4.1), else over a
// POPOSigningKeyInput. Errors: ErrBuild, ErrUnsupportedAlgorithm, or the key's own.
func NewCRMF(r *CRMFRequest) (Request, error) { return Request{}, ErrBuild }

// popo is ProofOfPossession (RFC 4211, Section 4).
type popo struct {
	kind      POP
	input     []byte // POPOSigningKeyInput with the tag of a SEQUENCE; nil when absent
	algorithm cms.AlgorithmIdentifier
	signature []byte
}
