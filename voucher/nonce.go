package voucher

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
)

// The length of a nonce in bytes (RFC 8366, Section 5.3).
const (
	minNonce = 8
	maxNonce = 32
)

// NewNonce returns a fresh nonce for a voucher-request: 16 random bytes (RFC
// 8995, Section 5.2) in padded base64.
func NewNonce() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails (crypto/rand)
	return base64.StdEncoding.EncodeToString(b)
}

// NonceLength returns how many bytes nonce stands for: those of its base64 if
// it is padded base64 (RFC 8366, Section 5.3: YANG binary), else those of
// unpadded base64url (the examples of RFC 8995, Appendix C.2), else its own.
// Lengths are all this is for: a nonce is echoed and compared as it stands.
func NonceLength(nonce string) int {
	// encoding/base64 would skip line breaks.
	if strings.ContainsAny(nonce, "\r\n") {
		return len(nonce)
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
		if b, err := encoding.DecodeString(nonce); err == nil {
			return len(b)
		}
	}
	return len(nonce)
}

// CheckNonce returns an error that wraps [ErrNonce] unless nonce has 8 to 32
// bytes as [NonceLength] counts them.
func CheckNonce(nonce string) error {
	const longest = 1024 // nothing that decodes to 32 bytes comes near
	if len(nonce) > longest {
		return fmt.Errorf("%w: %d characters", ErrNonce, len(nonce))
	}
	if n := NonceLength(nonce); n < minNonce || n > maxNonce {
		return fmt.Errorf("%w: %d bytes", ErrNonce, n)
	}
	return nil
}

// countedAsText tells whether nonce is short only when it is read as base64,
// which nothing in it shows: it has no padding and 8 characters or more.
func countedAsText(nonce string) bool {
	return NonceLength(nonce) < minNonce && len(nonce) >= minNonce && !strings.Contains(nonce, "=")
}
