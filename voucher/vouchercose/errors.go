package vouchercose

import (
	"errors"
	"fmt"

	"github.com/briskest/briskest/internal/cose"
	"github.com/briskest/briskest/voucher"
)

// Errors of the envelope and of CBOR, to be told apart with errors.Is. Those
// about the content are in package voucher.
var (
	// ErrSyntax: not CBOR, or CBOR that is no COSE_Sign1 or no voucher.
	ErrSyntax = cose.ErrSyntax
	// ErrTrailingData: bytes follow the artifact or its content.
	ErrTrailingData = cose.ErrTrailingData
	// ErrTooLarge: more than MaxArtifact, or too many items.
	ErrTooLarge = cose.ErrTooLarge
	// ErrTooDeep: nested too deep.
	ErrTooDeep = cose.ErrTooDeep
	// ErrIndefinite: an item of indefinite length.
	ErrIndefinite = cose.ErrIndefinite
	// ErrTag: a tag where none belongs, or no tag 18.
	ErrTag = cose.ErrTag
	// ErrDuplicateKey: a map has a key twice.
	ErrDuplicateKey = cose.ErrDuplicateKey
	// ErrDetached: the content is not inside.
	ErrDetached = cose.ErrDetached
	// ErrPayload: the payload is no byte string, as in minerva's artifacts before 2019.
	ErrPayload = cose.ErrPayload
	// ErrCritical: crit names a header parameter that is not understood.
	ErrCritical = cose.ErrCritical
	// ErrDuplicateHeader: a parameter is in both headers.
	ErrDuplicateHeader = cose.ErrDuplicateHeader
	// ErrCertificate: a certificate inside cannot be read.
	ErrCertificate = cose.ErrCertificate
	// ErrTooManyCertificates: more than voucher.MaxCertificates inside.
	ErrTooManyCertificates = voucher.ErrTooManyCertificates
	// ErrSigner: a Signer that cannot sign: no key, no certificate, or a certificate of another key.
	ErrSigner = errors.New("unusable signer")
)

// Errors about the signature. What wraps them wraps voucher.ErrSigned too.
var (
	// ErrNoAlgorithm: no alg in the protected header.
	ErrNoAlgorithm = cose.ErrNoAlgorithm
	// ErrUnsupportedAlgorithm: an algorithm that is not taken, such as ES256K.
	ErrUnsupportedAlgorithm = cose.ErrUnsupportedAlgorithm
	// ErrKey: a key that does not go with the algorithm, such as P-384 with ES256.
	ErrKey = cose.ErrKey
	// ErrNoSignerCertificate: the signer's certificate is neither inside nor among Format.Known.
	ErrNoSignerCertificate = cose.ErrNoSignerCertificate
	// ErrAmbiguousSigner: several certificates of x5bag have the key that signed.
	ErrAmbiguousSigner = cose.ErrAmbiguousSigner
	// ErrSignature: the signature does not hold.
	ErrSignature = cose.ErrSignature
)

// envelopeError adds the class of an error that is about the signature or the certificates.
func envelopeError(err error) error {
	for _, sentinel := range []error{
		ErrNoAlgorithm, ErrUnsupportedAlgorithm, ErrKey, ErrNoSignerCertificate, ErrAmbiguousSigner, ErrSignature,
	} {
		if errors.Is(err, sentinel) {
			return fmt.Errorf("%w: %w", voucher.ErrSigned, err)
		}
	}
	if errors.Is(err, cose.ErrTooManyCertificates) {
		return fmt.Errorf("%w: %w", ErrTooManyCertificates, err)
	}
	return err
}

// leafError names the leaf that err is about. Names of unknown leaves come
// from the peer and end in logs.
func leafError(leaf string, err error) error {
	const limit = 64
	if len(leaf) > limit {
		leaf = leaf[:limit]
	}
	return &voucher.LeafError{Leaf: leaf, Err: err}
}
