package cms

// Limits of what is read. They are far above what any of the protocols sends and low enough that the worst
// input within them costs milliseconds.
const (
	// MaxSize is the most bytes an object may have.
	MaxSize = 4 << 20
	// MaxDepth is how deep elements may be nested. A certificate inside SignedData needs 14.
	MaxDepth = 32
	// MaxElements is how many elements an object may have. A certificate has about 100.
	MaxElements = 1 << 17
	// MaxCertificates is how many certificates SignedData may carry.
	MaxCertificates = 256
	// MaxRSABits is how long an RSA key may be, of a certificate inside as of a signer. crypto/tls draws the line there
	// too. A check with a key of 400,000 bits costs seconds.
	MaxRSABits = 8192
	// MaxSigners is how many signers SignedData may have.
	MaxSigners = 16
	// MaxAttributes is how many attributes a signer may have, signed and unsigned each.
	MaxAttributes = 64
	// MaxRecipients is how many recipients an enveloped message may have.
	MaxRecipients = 64
)
