package registrar

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// NewID returns an identifier of 32 lower-case hex digits: 14 for the
// microseconds since 1970 and 18 random ones. Identifiers sort by time.
func NewID(at time.Time) string {
	var b [16]byte
	us := uint64(at.UnixMicro()) //nolint:gosec // after 1970
	for i := 6; i >= 0; i-- {
		b[i] = byte(us)
		us >>= 8
	}
	rand.Read(b[7:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// StrangerID is what the trail names a device by that has no inventory record:
// the same manufacturer and serial number give the same 32 hex digits, so that
// its refusals are found again. It is never the ID of a record.
func StrangerID(domain, manufacturer, serialNumber string) string {
	h := sha256.New()
	for _, s := range []string{"stranger", domain, manufacturer, serialNumber} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
