package localca

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// serialLength of every serial number, in bytes: at most 20 (RFC 5280, Section
// 4.1.2.2).
const serialLength = 17

// serials makes serial numbers without any state, so that neither two CAs with
// one key nor a restored backup repeat one: 5 bytes of time in units of 1/64 s
// since 1970, so that a database appends, then 96 random bits, which alone make
// them unique and unpredictable.
type serials struct{ rand io.Reader }

// next returns a serial number: positive, minimal, [serialLength] bytes.
func (s serials) next(now time.Time) ([]byte, error) {
	serial := make([]byte, 8+12)
	if _, err := io.ReadFull(s.rand, serial[8:]); err != nil {
		return nil, fmt.Errorf("random serial number: %w", err)
	}
	// A clock outside 1972 to 2242 costs the order, never the length or the sign.
	const lowest, highest = 1 << 32, 1<<39 - 1
	ticks := now.Unix()*64 + int64(now.Nanosecond())*64/int64(time.Second)
	binary.BigEndian.PutUint64(serial, uint64(min(max(ticks, lowest), highest)))
	return serial[len(serial)-serialLength:], nil
}
