package cmc

// Limits of what is read, in addition to those of package cms. The worst input within them costs milliseconds.
const (
	// MaxSize is the most bytes a message may have, envelopes included.
	MaxSize = 1 << 20
	// MaxBodyParts is how many controls, requests, CMS messages and other messages one PKIData or PKIResponse may have
	// together.
	MaxBodyParts = 256
	// MaxReferences is how many body parts one control may name, and how many elements a list inside one may have.
	MaxReferences = 256
	// MaxPath is how many body part identifiers one path may have (RFC 5272, Section 3.2.1.3).
	MaxPath = 8
	// MaxValues is how many values an unknown control or an attribute may have.
	MaxValues = 16
	// MaxOctets is how many bytes a nonce, a token, a witness or a passphrase may have.
	MaxOctets = 1024
	// MaxReturned is how many bytes Data Return, Registration Info and Response Info may have: they are for the sender
	// to fill.
	MaxReturned = 64 << 10
	// MaxText is how many bytes a text may have: identification, status string, comment.
	MaxText = 4096
	// MaxTransactionBits is how long a transaction identifier may be.
	MaxTransactionBits = 512
	// MaxExtensions is how many extensions a certificate template may ask for.
	MaxExtensions = 64
	// MaxNesting is how deep a Full PKI Request may sit in the cmsSequence of others: a device, its RA, and the RA's RA.
	MaxNesting = 3
	// MinSecret is how many characters of a shared secret must be supported at least (RFC 5272, Section 6.2.1). Longer
	// ones are taken up to MaxText bytes; what is too short for a site is for the caller to say.
	MinSecret = 16
)
