package profile

import (
	"strconv"
	"strings"
	"time"
)

// maxDays bounds every duration of a document: a hundred years.
const maxDays = 36500

// neverWord is the lifetime of certificates without a known end.
const neverWord = "never"

// Never is the end of certificates that have none (RFC 5280, Section 4.1.2.5).
func Never() time.Time { return time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }

// parseDuration reads "90s", "15m", "24h", "1h30m" or "365d": whole seconds,
// not negative, a hundred years at most.
func parseDuration(text string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 31)
		return time.Duration(n) * 24 * time.Hour, err == nil && n <= maxDays && strconv.FormatUint(n, 10) == days
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0 && d <= maxDays*24*time.Hour && d%time.Second == 0
}

// lifetime is how long a certificate is valid.
type lifetime struct {
	never bool
	d     time.Duration
}

func (l lifetime) after(start time.Time) time.Time {
	if l.never {
		return Never()
	}
	// Both ends belong to the period (RFC 5280, Section 4.1.2.5).
	if end := start.Add(l.d - time.Second); end.Before(Never()) {
		return end
	}
	return Never()
}

func (l lifetime) shorter(other lifetime) bool {
	return !l.never && (other.never || l.d < other.d)
}
