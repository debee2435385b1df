package est

import "log/slog"

const redacted = "[redacted]"

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// GoString returns "[redacted]", so that %#v does not print the secret either.
func (s Secret) GoString() string { return redacted }

// MarshalText returns "[redacted]": a secret that reaches JSON or YAML stays one.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Reveal returns the secret itself. Compare it with subtle.ConstantTimeCompare, and keep it out of logs and errors.
func (s Secret) Reveal() string { return string(s) }
