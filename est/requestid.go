package est

import "math/rand/v2"

// NewRequestID returns 20 characters for logs, 100 random bits: unique in this process for all purposes of a log, not
// fit for a secret. It costs one allocation.
func NewRequestID() string {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	var id [20]byte
	for half := range 2 {
		bits := rand.Uint64() //nolint:gosec // an identifier in logs, not a secret
		for i := range 10 {
			id[half*10+i] = alphabet[bits&31]
			bits >>= 5
		}
	}
	return string(id[:])
}
