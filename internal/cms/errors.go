package cms

import "errors"

// Errors of this package, to be told apart with errors.Is. Every error returned for received bytes wraps one of them.
var (
	// ErrSyntax: the bytes are not the BER of what was asked for.
	ErrSyntax = errors.New("cms: malformed encoding")
	// ErrTrailingData: bytes follow the end of the object.
	ErrTrailingData = errors.New("cms: bytes follow the end of the object")
	// ErrTooDeep: elements are nested deeper than MaxDepth.
	ErrTooDeep = errors.New("cms: nested too deep")
	// ErrTooLarge: more bytes, elements, certificates, signers, recipients or attributes than the limits in limits.go.
	ErrTooLarge = errors.New("cms: too large")
	// ErrKeySize: a certificate inside has an RSA key longer than MaxRSABits.
	ErrKeySize = errors.New("cms: a certificate's key is too long")
	// ErrVersion: a version number that RFC 5652 does not define for the structure it stands in.
	ErrVersion = errors.New("cms: unknown version")

	// ErrNotSignedData: a well-formed ContentInfo of another type.
	ErrNotSignedData = errors.New("cms: not SignedData")
	// ErrNotEnveloped: a well-formed ContentInfo that is neither EnvelopedData nor AuthEnvelopedData.
	ErrNotEnveloped = errors.New("cms: neither EnvelopedData nor AuthEnvelopedData")
	// ErrNotCertsOnly: SignedData that is more than a bag of certificates.
	ErrNotCertsOnly = errors.New("cms: not a certs-only message")
	// ErrNoCertificates: a certs-only message that holds no certificate.
	ErrNoCertificates = errors.New("cms: no certificates")
	// ErrNoCRLs: a message that should hold certificate revocation lists and holds none.
	ErrNoCRLs = errors.New("cms: no CRLs")
	// ErrNoContent: the optional content is absent, and it was needed.
	ErrNoContent = errors.New("cms: content is absent")

	// ErrNoSignerCertificate: no certificate in the message is the one a signer names.
	ErrNoSignerCertificate = errors.New("cms: the signer's certificate is not in the message")
	// ErrAmbiguousSigner: two different certificates in the message answer to the signer's identifier.
	ErrAmbiguousSigner = errors.New("cms: several certificates answer to the signer's identifier")
	// ErrSignature: the signature is not that of the given key over this content.
	ErrSignature = errors.New("cms: signature does not verify")
	// ErrDigestMismatch: the messageDigest attribute is not the digest of the content.
	ErrDigestMismatch = errors.New("cms: message digest differs from the content's")
	// ErrContentTypeMismatch: the content-type attribute differs from the type of the content.
	ErrContentTypeMismatch = errors.New("cms: content-type attribute differs from the content's type")
	// ErrDuplicateAttribute: an attribute type occurs twice, or a single-valued attribute has not exactly one value.
	ErrDuplicateAttribute = errors.New("cms: attribute is not unique")
	// ErrMissingAttribute: a mandatory signed attribute is absent.
	ErrMissingAttribute = errors.New("cms: mandatory signed attribute is absent")
	// ErrNoSignedAttributes: signed attributes are absent where they are mandatory.
	ErrNoSignedAttributes = errors.New("cms: signed attributes are absent")
	// ErrAttributesAsContent: content signed without attributes that is itself a set of attributes:
	// the mark of a forgery that strips the attributes of another message.
	ErrAttributesAsContent = errors.New("cms: the content is a set of signed attributes of another message")
	// ErrWeakAlgorithm: an algorithm that is known and refused for its weakness, such as SHA-1.
	ErrWeakAlgorithm = errors.New("cms: algorithm is too weak")
	// ErrUnsupportedAlgorithm: an algorithm, curve or key type this package does not implement.
	ErrUnsupportedAlgorithm = errors.New("cms: unsupported algorithm")

	// ErrNoRecipient: no recipient of the message is the given key.
	ErrNoRecipient = errors.New("cms: the message is not for this recipient")
	// ErrDecrypt: the message does not decrypt. It does not say at which step, so that nothing can be learnt from it.
	ErrDecrypt = errors.New("cms: message does not decrypt")
	// ErrRequest: a request to Sign, CertsOnly or Encrypt that is incomplete or contradicts itself.
	ErrRequest = errors.New("cms: invalid request")
)
