package cmc

import (
	"crypto/x509"
	"encoding/asn1"

	"github.com/briskest/briskest/internal/cms"
)

// OpenOptions are what OpenRequest and OpenResponse need besides the message. The zero value is for messages that are not enveloped and bring their certificates.
type OpenOptions struct {
	// Keys open enveloped requests; none refuses them.
	Keys []*cms.RecipientKey
	// Certificates are candidates for signers whose certificate is not in the message. Being here does not make a signer trusted.
	Certificates []*x509.Certificate
}

// FullRequest is a Full PKI Request that was opened: its envelopes are off and every signature on it verifies.
type FullRequest struct {
	Data *PKIData
	// Signers are those who signed the PKIData itself: at least one. Their signatures verify. Nothing says whether they are trusted, have expired, or
	// may have what is asked.
	Signers []Signer
	// OuterSigners are those who signed an envelope around the signed message (RFC 5272, Section 5); mostly empty.
	OuterSigners []Signer
	// Encrypted tells that the message came enveloped.
	Encrypted bool
	// Certificates are all certificates of the innermost SignedData: intermediates of the signers, and what else the sender put there.
	Certificates []*x509.Certificate
	// UnsignedData are the values of the CMC Unsigned Data attribute (RFC 5272, Section 3.2.3), which nothing protects; mostly none.
	UnsignedData []UnsignedData

	depth int
}

// Signer is one verified signature. Exactly one of Certificate and Request is set.
type Signer struct {
	// Info is the signer as in the message.
	Info *cms.SignerInfo
	// Certificate is the one that the signer names. Nothing vouches for it.
	Certificate *x509.Certificate
	// Request is the one whose key signed (RFC 5272, Section 3.2): the signature proves possession of that key, and says nothing about who has it.
	Request *Request
}

// UnsignedData is a CMCUnsignedData (RFC 5272, Section 3.2.3).
type UnsignedData struct {
	Path    BodyPartPath
	Type    asn1.ObjectIdentifier
	Content []byte // DER
}

// OpenRequest opens a Full PKI Request of at most MaxSize bytes: SignedData over PKIData, alone, inside EnvelopedData or AuthEnvelopedData, or signed-enveloped-signed
// (RFC 5272, Section 5). It verifies every signature of every layer.
//
// A signer is looked for among the certificates of the message, then among o.Certificates, and then, named by subject key identifier, among the requests
// inside (RFC 5272, Section 3.2): then it is the only signer and the request asks for the same subject key identifier.
//
// Errors are *Error: badMessageCheck {0} for a signature that does not verify or whose key is not known, badAlg {0} for a weak or unknown algorithm, badRequest for
// what is not a Full PKI Request, and those of ParsePKIData. When the PKIData could be parsed but a signature fails, the returned FullRequest is nil all the same.
// o may be nil.
func OpenRequest(data []byte, o *OpenOptions) (*FullRequest, error) {
	return nil, fail(FailBadRequest, ErrNotRequest)
}

// OpenNested opens a Full PKI Request in the cmsSequence of f (RFC 5272, Section 7), as OpenRequest does. Errors are also ErrTooLarge after MaxNesting levels, and they name m's body part first.
func (f *FullRequest) OpenNested(m *Message, o *OpenOptions) (*FullRequest, error) {
	return nil, fail(FailBadRequest, ErrNotRequest, m.ID)
}
