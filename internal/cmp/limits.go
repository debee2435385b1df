package cmp

// Limits of what is read, in addition to the depth of package cms.
const (
	// MaxSize is the most bytes a message may have.
	MaxSize = 256 << 10
	// MaxCertificates is how many certificates extraCerts and caPubs may have each.
	MaxCertificates = 32
	// MaxOctets is how many bytes a nonce, a transactionID, a key identifier or a salt may have.
	MaxOctets = 128
	// MaxText is how many bytes one text may have, and MaxTexts how many texts there may be in one place.
	MaxText  = 4096
	MaxTexts = 16
	// MaxInfos is how many elements generalInfo may have.
	MaxInfos = 32
	// MaxResponses is how many responses one message may hold.
	MaxResponses = 16
	// MaxIterations is how often a peer may have us hash to make the key of a MAC: tenths of a second.
	MaxIterations = 1 << 18
	// MaxCheckAfter is the longest wait, in seconds, that is taken as sent: a year. Longer ones are read as a year.
	MaxCheckAfter = 365 * 24 * 3600
)
