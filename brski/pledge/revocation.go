package pledge

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/briskest/briskest/voucher"
)

// ErrRevocationUnknown is what Config.Revocation wraps where nobody says
// whether a certificate is revoked. Every other error of it says that one is.
var ErrRevocationUnknown = errors.New("nobody says whether it is revoked")

// RevocationQuestion is about the certificates of a registrar that a voucher
// has just vouched for.
type RevocationQuestion struct {
	// Chain was verified: the registrar's certificate first, then those above it
	// up to the one that is pinned, and where the registrar has shown it the issuer of
	// that one, by which its status can be told. The last one is not asked about.
	Chain []*x509.Certificate
	// At is now, or for a device without a clock when the voucher was made.
	At time.Time
	// Required tells that the voucher wants an answer about each. Where it is
	// false it says nothing, and what is at hand will do (RFC 8366, Section 5.3).
	Required bool
}

// checkRevocation follows domain-cert-revocation-checks (RFC 8366, Section 5.3):
// true wants to be sure, false is not to be asked, and without it a certificate
// that is known to be revoked is refused.
func (r *run) checkRevocation(ctx context.Context, chain, shown []*x509.Certificate) *Error {
	wish := r.voucher.DomainCertRevocationChecks
	required := wish != nil && *wish
	switch {
	case wish != nil && !*wish:
		return nil
	case r.c.Revocation == nil && !required:
		return nil
	case r.c.Revocation == nil:
		return revocationUnknown(errors.New("this device does not check revocation"))
	}
	q := &RevocationQuestion{At: r.c.Now(), Required: required}
	if r.c.NoClock {
		q.At = r.made
	}
	var complete bool
	q.Chain, complete = withIssuer(chain, shown)
	err := r.c.Revocation(ctx, q)
	switch {
	case err != nil && !errors.Is(err, ErrRevocationUnknown):
		return untrusted(ReasonRevoked, "RFC 8366, Section 5.3", "the registrar's certificate, or one above it, is revoked", err)
	case !required && err != nil:
		r.c.Log.InfoContext(ctx, "revocation not known", slog.Any("error", err))
		return nil
	case required && err == nil && !complete:
		return revocationUnknown(errors.New("the issuer of the pinned certificate was not shown, and nobody else can say"))
	case required && q.At.IsZero():
		return revocationUnknown(errors.New("this device has no clock, and the voucher does not say when it was made"))
	case err != nil:
		return revocationUnknown(err)
	}
	return nil
}

func revocationUnknown(err error) *Error {
	return untrusted(ReasonRevocationUnknown, "RFC 8366, Section 5.3",
		"the voucher wants it to be sure that the registrar's certificate is not revoked, and it is not", err)
}

// withIssuer appends the issuer of the last certificate of chain, if it was
// shown. complete tells that there is one, or none is needed.
func withIssuer(chain, shown []*x509.Certificate) (_ []*x509.Certificate, complete bool) {
	last := chain[len(chain)-1]
	if bytes.Equal(last.RawIssuer, last.RawSubject) && last.CheckSignature(last.SignatureAlgorithm, last.RawTBSCertificate, last.Signature) == nil {
		return chain, true
	}
	for _, c := range shown[:min(len(shown), voucher.MaxCertificates)] {
		if bytes.Equal(c.RawSubject, last.RawIssuer) && last.CheckSignatureFrom(c) == nil {
			return append(slices.Clip(chain), c), true
		}
	}
	return chain, false
}
