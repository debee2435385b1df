package voucher

import (
	"crypto/x509"
	"errors"
)

// ErrSignature is the class of errors about an artifact that is well formed
// and not signed as it says: a signature that does not hold, that no
// certificate answers for, or that nothing binds to an algorithm. The formats
// that have errors of their own for these wrap it too.
var ErrSignature = errors.New("not signed correctly")

// WithKnown returns f such that it also opens artifacts that leave their
// signer's certificate out, where that is one of certs; f itself if it has no
// such way. Known certificates are asked only when none inside is the
// signer's, and never trusted for being known.
func WithKnown(f Format, certs []*x509.Certificate) Format {
	if k, ok := f.(interface {
		WithKnown(certs []*x509.Certificate) Format
	}); ok {
		return k.WithKnown(certs)
	}
	return f
}
