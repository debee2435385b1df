package voucherjws

import (
	"errors"

	"github.com/briskest/briskest/internal/jws"
	"github.com/briskest/briskest/voucher"
)

// Errors of the envelope, to be told apart with errors.Is. Those about the
// content are in package voucher; those about the signature wrap
// voucher.ErrSigned besides.
var (
	// ErrSyntax: not JSON, or not of the types of RFC 7515, Section 7.2.1.
	ErrSyntax = jws.ErrSyntax
	// ErrTrailingData: something other than white space follows the JSON object.
	ErrTrailingData = jws.ErrTrailingData
	// ErrTooLarge: more than MaxArtifact, or too many members or signatures.
	ErrTooLarge = jws.ErrTooLarge
	// ErrTooDeep: nested too deep.
	ErrTooDeep = jws.ErrTooDeep
	// ErrDuplicate: a name occurs twice in one object (RFC 7515, Section 4).
	ErrDuplicate = jws.ErrDuplicate
	// ErrSerialization: the compact or the flattened serialization (RFC 7515, Sections 7.1 and 7.2.2), or a mixture.
	ErrSerialization = jws.ErrSerialization
	// ErrBase64: not base64url without padding (RFC 7515, Section 2); in x5c, not base64 with padding.
	ErrBase64 = jws.ErrBase64
	// ErrHeader: an unprotected header, crit, or b64.
	ErrHeader = jws.ErrHeader
	// ErrType: the header typ is not "voucher-jws+json".
	ErrType = errors.New("header typ is of another kind of document")
	// ErrAlgorithm: no algorithm, "none", a symmetric one, or one that is not taken.
	ErrAlgorithm = jws.ErrAlgorithm
	// ErrNoSignatures: an empty list of signatures.
	ErrNoSignatures = jws.ErrNoSignatures
	// ErrSigners: several signatures where one was expected.
	ErrSigners = errors.New("exactly one signature was expected")
	// ErrNoSignerCertificate: the signer's certificate is not there: no header x5c, or no certificate that kid names.
	ErrNoSignerCertificate = errors.New("the signer's certificate is not there")
	// ErrCertificate: an element of x5c that crypto/x509 does not read.
	ErrCertificate = jws.ErrCertificate
	// ErrTooManyCertificates: more than voucher.MaxCertificates inside.
	ErrTooManyCertificates = voucher.ErrTooManyCertificates
	// ErrKeySize: a certificate inside has an RSA key of more than 8192 bits.
	ErrKeySize = jws.ErrKeySize
	// ErrKey: the signer's key does not go with the algorithm, or is an RSA key of fewer than 2048 bits.
	ErrKey = jws.ErrKey
	// ErrSignature: a signature does not hold.
	ErrSignature = jws.ErrSignature
	// ErrSigner: a Signer that cannot sign: no key, no certificate, or a certificate of another key.
	ErrSigner = errors.New("unusable signer")
)
