package cmc

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"

	"github.com/briskest/briskest/internal/cms"
)

// Control is a TaggedAttribute of controlSequence (RFC 5272, Section 3.2.1.1).
type Control struct {
	ID BodyPartID
	// Value is one of the types below, by pointer where it is a struct: see ControlValue.
	Value ControlValue
}

// Known tells whether the package knows the control's type.
func (c *Control) Known() bool {
	_, unknown := c.Value.(*UnknownControl)
	return !unknown
}

// ControlValue is what a control says. These types are: *StatusInfo, Identification, IdentityProof, *IdentityProofV2, DataReturn,
// *TransactionID, SenderNonce, RecipientNonce, *AddExtensions, *EncryptedPOP, *DecryptedPOP, *LRAPOPWitness, *GetCert, *GetCRL,
// *RevokeRequest, RegInfo, ResponseInfo, QueryPending, POPLinkRandom, POPLinkWitness, *POPLinkWitnessV2,
// *ConfirmCertAcceptance, *ModCertTemplate, ControlsProcessed, BatchRequests, BatchResponses, *PublishCert, *TrustAnchors,
// AuthData, RAIdentityWitness, ResponseBody, *UnknownControl.
type ControlValue interface {
	// OID returns the control's type.
	OID() asn1.ObjectIdentifier
	// value returns the one member of attrValues in DER.
	value() ([]byte, error)
}

// UnknownControl is a control of a type that this package does not know. A server refuses the message that has one, with
// badRequest and its bodyPartID, unless an RA has marked it processed (RFC 5272, Section 3.2.1.1): see PKIData.Unknown.
type UnknownControl struct {
	Type   asn1.ObjectIdentifier
	Values [][]byte // DER, at most MaxValues
}

// The controls whose value is one string of bytes or characters.
type (
	// Identification is who the sender says to be, for the server to find the shared secret (RFC 5272, Section 6.2.3).
	Identification string
	// IdentityProof is the HMAC-SHA1 proof (RFC 5272, Section 6.2.2): see VerifyIdentityProof.
	IdentityProof []byte
	// DataReturn comes back unchanged in the response (RFC 5272, Section 6.4).
	DataReturn []byte
	// SenderNonce is a fresh value of the sender (RFC 5272, Section 6.6).
	SenderNonce []byte
	// RecipientNonce repeats the SenderNonce of the message that is answered (RFC 5272, Section 6.6).
	RecipientNonce []byte
	// RegInfo is for a registration agent and free in form (RFC 5272, Section 6.12).
	RegInfo []byte
	// ResponseInfo answers RegInfo (RFC 5272, Section 6.12).
	ResponseInfo []byte
	// QueryPending is the token of an earlier Pending (RFC 5272, Section 6.13).
	QueryPending []byte
	// POPLinkRandom is the random value that POP link witnesses are computed over (RFC 5272, Section 6.3.1.3).
	POPLinkRandom []byte
	// POPLinkWitness is the HMAC-SHA1 witness (RFC 5272, Section 6.3.1.2). It sits in a request: see Request.POPLink.
	POPLinkWitness []byte
)

// The controls whose value is a list or a path of body parts.
type (
	// ControlsProcessed says which controls an RA has processed already (RFC 5272, Section 6.19).
	ControlsProcessed []BodyPartPath
	// BatchRequests are the members of cmsSequence that are requests to be processed (RFC 5272, Section 6.17).
	BatchRequests []BodyPartID
	// BatchResponses are the members of cmsSequence that answer them (RFC 5272, Section 6.17).
	BatchResponses []BodyPartID
	// AuthData names the member of cmsSequence that authenticates trust anchors (RFC 5272, Section 6.16).
	AuthData BodyPartID
	// RAIdentityWitness names the request whose identity the RA has checked by itself (RFC 6402, Section 2: new Section 6.20).
	RAIdentityWitness BodyPartPath
	// ResponseBody names the body part of a response that goes to the client (RFC 6402, Section 2: new Section 6.21).
	ResponseBody BodyPartPath
)

// TransactionID groups messages to a transaction (RFC 5272, Section 6.6), at most MaxTransactionBits long.
type TransactionID struct{ Number *big.Int }

// AddExtensions has an RA add extensions to requests (RFC 5272, Section 6.5.2). Superseded by ModCertTemplate.
type AddExtensions struct {
	PKIData    BodyPartID   // the PKIData that holds the requests; 0 is this one
	Requests   []BodyPartID // in it
	Extensions []pkix.Extension
}

// ModCertTemplate has an RA change requests (RFC 5272, Section 6.5.1).
type ModCertTemplate struct {
	PKIData  BodyPartPath // the PKIData that holds the requests; {0} is this one
	Requests []BodyPartID // in it
	// Replace has the template's fields replace those of the requests; without it, fields that the template has are deleted from
	// them. Extensions are treated one by one.
	Replace  bool
	Template *CertTemplate
}

// EncryptedPOP is a server's challenge to the holder of an encryption key (RFC 5272, Section 6.7). It is read only.
type EncryptedPOP struct {
	Request          Request
	ContentInfo      []byte // the challenge, EnvelopedData in DER
	POPAlgorithm     cms.AlgorithmIdentifier
	WitnessAlgorithm cms.AlgorithmIdentifier
	Witness          []byte
}

// DecryptedPOP answers EncryptedPOP (RFC 5272, Section 6.7). It is read only.
type DecryptedPOP struct {
	Request      BodyPartID
	POPAlgorithm cms.AlgorithmIdentifier
	POP          []byte
}

// LRAPOPWitness says that an RA has checked proof of possession (RFC 5272, Section 6.8). Whether it may say so is for the caller.
type LRAPOPWitness struct {
	PKIData  BodyPartID   // the PKIData that holds the requests; 0 is this one
	Requests []BodyPartID // in it
}

// GetCert asks for a certificate (RFC 5272, Section 6.9).
type GetCert struct {
	RawIssuer    []byte // GeneralName in DER; a directoryName in practice
	SerialNumber *big.Int
}

// GetCRL asks for a CRL (RFC 5272, Section 6.10).
type GetCRL struct {
	RawIssuer []byte         // Name in DER
	RawName   []byte         // GeneralName of a distribution point in DER; nil when absent
	Time      time.Time      // the CRL in force then; zero when absent
	Reasons   asn1.BitString // ReasonFlags; of length 0 when absent
}

// RevokeRequest asks to revoke a certificate (RFC 5272, Section 6.11).
type RevokeRequest struct {
	RawIssuer      []byte // Name in DER
	SerialNumber   *big.Int
	Reason         int       // CRLReason (RFC 5280, Section 5.3.1)
	InvalidityDate time.Time // zero when absent
	// Passphrase is the shared secret of an unsigned request; nil when absent. It is to be compared in constant time and never to
	// be logged.
	Passphrase []byte
	Comment    string
}

// ConfirmCertAcceptance says that the client has and takes a certificate (RFC 5272, Section 6.14).
type ConfirmCertAcceptance struct {
	RawIssuer    []byte // Name in DER
	SerialNumber *big.Int
}

// PublishCert says where certificates are to be published (RFC 5272, Section 6.18).
type PublishCert struct {
	Hash        cms.AlgorithmIdentifier
	CertHashes  [][]byte
	Publication []byte // PKIPublicationInfo in DER (RFC 4211, Section 6.3)
}

// TrustAnchors is Publish Trust Anchors (RFC 5272, Section 6.15): hashes of the certificates in the message's SignedData
// that are to be trusted. Whether the sender may say so is for the caller; Match finds the certificates.
type TrustAnchors struct {
	Sequence *big.Int
	Hash     cms.AlgorithmIdentifier
	Hashes   [][]byte
}
