package localca

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"crypto/x509"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxRevoked is how many entries one list may have; its DER then takes about
// 50 MB.
const MaxRevoked = 1 << 20

// ErrList says that a revocation list cannot be made of what was given.
var ErrList = errors.New("localca: revocation list")

// CRL signs one list, version 2 with its number and the authority key
// identifier (RFC 5280, Section 5): full, or with a base a delta to that list;
// of all certificates, or with a distribution point of those that name it. It
// holds every entry it is given or there is none: an entry that cannot stand in
// a list is an error that wraps [ErrList]. Entries come in the order of their
// serial numbers. A signer's error wraps ca.ErrUnavailable.
func (c *CA) CRL(ctx context.Context, list *ca.RevocationList) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// RFC 5280, Section 4.2.1.3.
	if c.certificate.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return nil, fmt.Errorf("%w: the CA certificate %q may not sign lists: its key usage lacks cRLSign", ErrList, c.certificate.Subject)
	}
	revoked, err := checkList(list)
	if err != nil {
		return nil, err
	}
	algorithm, err := profile.SignatureAlgorithm("").For(c.key.Public())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrUnavailable, err)
	}
	tbs, err := c.tbsCertList(list, revoked, algorithm)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrList, err)
	}
	return c.signTBS(tbs, algorithm)
}

// checkList returns the entries in order.
func checkList(list *ca.RevocationList) ([]ca.Revocation, error) {
	switch {
	case list.Number < 1:
		return nil, fmt.Errorf("%w: the number %d is not positive", ErrList, list.Number)
	case !list.NextUpdate.After(list.ThisUpdate):
		return nil, fmt.Errorf("%w: nextUpdate %s is not after thisUpdate %s", ErrList, day(list.NextUpdate), day(list.ThisUpdate))
	case len(list.Revoked) > MaxRevoked:
		return nil, fmt.Errorf("%w: %d entries are more than the %d one list may have", ErrList, len(list.Revoked), MaxRevoked)
	}
	if err := checkScope(list); err != nil {
		return nil, err
	}
	revoked := slices.Clone(list.Revoked)
	slices.SortFunc(revoked, func(a, b ca.Revocation) int {
		return cmp.Or(cmp.Compare(len(a.Serial), len(b.Serial)), bytes.Compare(a.Serial, b.Serial))
	})
	for i := range revoked {
		if err := checkRevocation(&revoked[i], list.Base != 0); err != nil {
			return nil, err
		}
		if i > 0 && bytes.Equal(revoked[i-1].Serial, revoked[i].Serial) {
			return nil, fmt.Errorf("%w: the serial number %x is there twice", ErrList, revoked[i].Serial)
		}
	}
	return revoked, nil
}

// maxURL bounds each URL that a list names.
const maxURL = 1024

// checkScope judges what the list is about: which base, which distribution point.
func checkScope(list *ca.RevocationList) error {
	switch {
	case list.Base < 0 || list.Base >= list.Number && list.Base != 0:
		return fmt.Errorf("%w: the number %d does not follow that of its base, %d (RFC 5280, Section 5.2.4)", ErrList, list.Number, list.Base)
	case list.Base != 0 && len(list.Freshest) > 0:
		return fmt.Errorf("%w: a delta has no deltas of its own (RFC 5280, Section 5.2.6)", ErrList)
	case len(list.Freshest) > 8:
		return fmt.Errorf("%w: it names %d places of deltas; 8 are enough", ErrList, len(list.Freshest))
	}
	for _, u := range append([]string{list.DistributionPoint}, list.Freshest...) {
		if len(u) > maxURL || strings.ContainsFunc(u, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("%w: %.80q is no URL in ASCII of up to %d characters", ErrList, u, maxURL)
		}
	}
	return nil
}

func checkRevocation(r *ca.Revocation, delta bool) error {
	n := len(r.Serial)
	if n == 0 || r.Serial[0] == 0 || n > 20 || (n == 20 && r.Serial[0] >= 0x80) {
		return fmt.Errorf("%w: %x is no serial number: positive, minimal, at most 20 bytes", ErrList, r.Serial)
	}
	if year := r.At.UTC().Year(); year < 1950 || year > 9999 {
		return fmt.Errorf("%w: the serial number %x was revoked in the year %d", ErrList, r.Serial, year)
	}
	// 7 is unused; 8, removeFromCRL, is for delta lists (RFC 5280, Section 5.3.1).
	if r.Reason < 0 || r.Reason > 10 || r.Reason == 7 || r.Reason == 8 && !delta {
		return fmt.Errorf("%w: the serial number %x has the reason %d, which such lists do not have", ErrList, r.Serial, r.Reason)
	}
	return nil
}

// tbsCertList builds a TBSCertList (RFC 5280, Section 5.1).
func (c *CA) tbsCertList(list *ca.RevocationList, revoked []ca.Revocation, algorithm profile.SignatureAlgorithm) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 512+56*len(revoked)))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1) // version 2
		b.AddBytes(algorithm.Identifier())
		b.AddBytes(c.issuer)
		profile.AppendTime(b, list.ThisUpdate)
		profile.AppendTime(b, list.NextUpdate)
		if len(revoked) > 0 { // absent when empty (RFC 5280, Section 5.1.2.6)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for i := range revoked {
					appendRevocation(b, &revoked[i])
				}
			})
		}
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { c.appendListExtensions(b, list) })
		})
	})
	return b.Bytes()
}

func appendRevocation(b *cryptobyte.Builder, r *ca.Revocation) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.INTEGER, func(b *cryptobyte.Builder) {
			if r.Serial[0] >= 0x80 {
				b.AddUint8(0)
			}
			b.AddBytes(r.Serial)
		})
		profile.AppendTime(b, r.At)
		if r.Reason == 0 { // unspecified is left out (RFC 5280, Section 5.3.1)
			return
		}
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes([]byte{0x30, 10, 6, 3, 0x55, 0x1d, 21, 4, 3, 0x0a, 1, byte(r.Reason)})
		})
	})
}

// appendListExtensions writes the authority key identifier, the number and what
// the list is about (RFC 5280, Section 5.2).
func (c *CA) appendListExtensions(b *cryptobyte.Builder, list *ca.RevocationList) {
	listExtension(b, 35, false, func(b *cryptobyte.Builder) { // RFC 5280, Section 5.2.1
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(c.keyID) })
		})
	})
	listExtension(b, 20, false, func(b *cryptobyte.Builder) { b.AddASN1Int64(list.Number) }) // RFC 5280, Section 5.2.3
	if list.Base != 0 {                                                                      // RFC 5280, Section 5.2.4
		listExtension(b, 27, true, func(b *cryptobyte.Builder) { b.AddASN1Int64(list.Base) })
	}
	if list.DistributionPoint != "" { // RFC 5280, Section 5.2.5
		listExtension(b, 28, true, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { appendPoint(b, list.DistributionPoint) })
		})
	}
	if len(list.Freshest) > 0 { // RFC 5280, Section 5.2.6
		listExtension(b, 46, false, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { appendPoint(b, list.Freshest...) })
			})
		})
	}
}

// listExtension writes an extension of the arc id-ce (RFC 5280, Section 4.2).
func listExtension(b *cryptobyte.Builder, last byte, critical bool, value cryptobyte.BuilderContinuation) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes([]byte{6, 3, 0x55, 0x1d, last})
		if critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1(cbasn1.OCTET_STRING, value)
	})
}

// appendPoint writes a distributionPoint with URLs as its full name
// (RFC 5280, Section 4.2.1.13).
func appendPoint(b *cryptobyte.Builder, urls ...string) {
	tag0 := cbasn1.Tag(0).ContextSpecific().Constructed()
	b.AddASN1(tag0, func(b *cryptobyte.Builder) {
		b.AddASN1(tag0, func(b *cryptobyte.Builder) {
			for _, u := range urls {
				b.AddASN1(cbasn1.Tag(6).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(u)) })
			}
		})
	})
}
