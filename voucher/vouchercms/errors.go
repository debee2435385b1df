package vouchercms

import (
	"errors"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/voucher"
)

// Errors of the envelope, to be told apart with errors.Is. Those about the
// content are in package voucher.
var (
	// ErrSyntax: not CMS, neither BER nor DER. PEM and base64 are not CMS either.
	ErrSyntax = cms.ErrSyntax
	// ErrTrailingData: bytes follow the CMS object.
	ErrTrailingData = cms.ErrTrailingData
	// ErrTooLarge: more than MaxArtifact, or too many elements or attributes.
	ErrTooLarge = cms.ErrTooLarge
	// ErrTooManyCertificates: more than voucher.MaxCertificates inside.
	ErrTooManyCertificates = voucher.ErrTooManyCertificates
	// ErrKeySize: a certificate inside has an RSA key of more than 8192 bits.
	ErrKeySize = cms.ErrKeySize
	// ErrTooDeep: nested too deep.
	ErrTooDeep = cms.ErrTooDeep
	// ErrNotSignedData: CMS of another kind, such as EnvelopedData.
	ErrNotSignedData = cms.ErrNotSignedData
	// ErrNoContent: SignedData whose content is absent (a detached signature).
	ErrNoContent = cms.ErrNoContent
	// ErrContentType: content that is neither id-ct-animaJSONVoucher nor, unless strict, id-data.
	ErrContentType = errors.New("content type is not id-ct-animaJSONVoucher")
	// ErrSigners: no signer, or several.
	ErrSigners = errors.New("exactly one signer was expected")
	// ErrNoSignedAttributes: a signature over bare content (rfc8366bis, Section 7.1).
	ErrNoSignedAttributes = cms.ErrNoSignedAttributes
	// ErrNoSignerCertificate: the signer's certificate is neither inside nor among Format.Known.
	ErrNoSignerCertificate = cms.ErrNoSignerCertificate
	// ErrAmbiguousSigner: several certificates inside answer to the signer's name.
	ErrAmbiguousSigner = cms.ErrAmbiguousSigner
	// ErrSignature: the signature does not hold.
	ErrSignature = cms.ErrSignature
	// ErrDigestMismatch: the content is not what was signed.
	ErrDigestMismatch = cms.ErrDigestMismatch
	// ErrContentTypeMismatch: the content-type attribute names another type.
	ErrContentTypeMismatch = cms.ErrContentTypeMismatch
	// ErrDuplicateAttribute: a signed attribute occurs twice.
	ErrDuplicateAttribute = cms.ErrDuplicateAttribute
	// ErrMissingAttribute: content-type or message-digest is not among the signed attributes.
	ErrMissingAttribute = cms.ErrMissingAttribute
	// ErrWeakAlgorithm: an algorithm refused for its weakness, such as SHA-1.
	ErrWeakAlgorithm = cms.ErrWeakAlgorithm
	// ErrUnsupportedAlgorithm: an algorithm or key type that is not taken.
	ErrUnsupportedAlgorithm = cms.ErrUnsupportedAlgorithm
	// ErrSigner: a Signer that cannot sign: no key, no certificate, or a certificate of another key.
	ErrSigner = errors.New("unusable signer")
)
