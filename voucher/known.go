package voucher

import "crypto/x509"

// WithKnown returns f such that it also opens artifacts that leave their
// signer's certificate out, where that is one of certs; f itself if it has no
// such way. Known certificates are asked only when none inside is the
// signer's, and are not trusted for being known.
func WithKnown(f Format, certs []*x509.Certificate) Format {
	if k, ok := f.(interface {
		WithKnown(certs []*x509.Certificate) Format
	}); ok {
		return k.WithKnown(certs)
	}
	return f
}

// WithParsed returns f such that it does not parse the certificates that parsed
// returns by their DER; f itself if it has no such way. Such a certificate is
// not trusted for being known. Parsed may be called concurrently.
func WithParsed(f Format, parsed func(der []byte) *x509.Certificate) Format {
	if k, ok := f.(interface {
		WithParsed(parsed func(der []byte) *x509.Certificate) Format
	}); ok {
		return k.WithParsed(parsed)
	}
	return f
}
