package cose

import "errors"

// Errors of reading, to be told apart with errors.Is.
var (
	// ErrSyntax: not CBOR (RFC 8949, Section 3), or CBOR that is no COSE_Sign1 (RFC 9052, Section 4.2).
	ErrSyntax = errors.New("not a well-formed COSE_Sign1 or CBOR item")
	// ErrTrailingData: bytes follow the item.
	ErrTrailingData = errors.New("bytes follow the CBOR item")
	// ErrTooLarge: more bytes, items or certificates than the limits.
	ErrTooLarge = errors.New("too large")
	// ErrTooDeep: nested deeper than MaxDepth.
	ErrTooDeep = errors.New("nested too deep")
	// ErrIndefinite: an item of indefinite length, which deterministic CBOR does not have (RFC 8949, Section 4.2.1).
	ErrIndefinite = errors.New("indefinite length")
	// ErrTag: a tag where none belongs, or a COSE_Sign1 without tag 18.
	ErrTag = errors.New("tag out of place")
	// ErrDuplicateKey: a map has a key twice (RFC 8949, Section 5.6).
	ErrDuplicateKey = errors.New("map key occurs twice")
	// ErrDetached: the payload is nil, that is, not inside (RFC 9052, Section 4.2).
	ErrDetached = errors.New("payload is detached")
	// ErrPayload: the payload is no byte string.
	ErrPayload = errors.New("payload is not a byte string")
	// ErrNoAlgorithm: no alg in the protected header.
	ErrNoAlgorithm = errors.New("no algorithm in the protected header")
	// ErrUnsupportedAlgorithm: an algorithm that is not taken.
	ErrUnsupportedAlgorithm = errors.New("algorithm is not supported")
	// ErrCritical: crit names a header parameter that is not understood (RFC 9052, Section 3.1).
	ErrCritical = errors.New("critical header parameter is not understood")
	// ErrDuplicateHeader: a parameter is in both headers (RFC 9052, Section 3).
	ErrDuplicateHeader = errors.New("header parameter is in both headers")
	// ErrCertificate: a certificate in the headers cannot be read.
	ErrCertificate = errors.New("unreadable certificate")
	// ErrTooManyCertificates: more than MaxCertificates in the headers.
	ErrTooManyCertificates = errors.New("too many certificates")
	// ErrKey: a key that does not go with the algorithm, such as P-384 with ES256, or an RSA key of another
	// size than 2048 to 8192 bits.
	ErrKey = errors.New("key does not go with the algorithm")
	// ErrNoSignerCertificate: the signer's certificate is neither inside nor known.
	ErrNoSignerCertificate = errors.New("signer's certificate is not there")
	// ErrAmbiguousSigner: several certificates have the key that signed.
	ErrAmbiguousSigner = errors.New("several certificates have the signer's key")
	// ErrSignature: the signature does not hold.
	ErrSignature = errors.New("signature does not hold")
	// ErrSigner: a SignRequest that cannot be signed: no key, no certificate, or a certificate of another key.
	ErrSigner = errors.New("unusable signer")
)
