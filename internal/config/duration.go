package config

import (
	"fmt"
	"time"
)

// Duration is a time.Duration written as "90s", "15m" or "24h" in a
// configuration file, with "d" for days of 24 hours.
type Duration time.Duration

// UnmarshalText reads "36h" or "30d"; negative durations are refused.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}

// ParseDuration reads a duration as [Duration] does.
func ParseDuration(text string) (time.Duration, error) {
	var days int
	if n, err := fmt.Sscanf(text, "%dd", &days); n == 1 && err == nil && text == fmt.Sprintf("%dd", days) {
		if days < 0 || days > 36500 {
			return 0, fmt.Errorf("%q is not between 0d and 36500d", text)
		}
		return time.Duration(days) * 24 * time.Hour, nil
	}
	parsed, err := time.ParseDuration(text)
	if err != nil || parsed < 0 {
		return 0, fmt.Errorf("%q is not a duration such as 90s, 15m, 24h or 30d", text)
	}
	return parsed, nil
}
