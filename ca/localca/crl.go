package localca

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

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

// CRL signs one full list, version 2 with its number and the authority key
// identifier (RFC 5280, Section 5). It holds every entry it is given or there
// is none: an entry that cannot stand in a list is an error that wraps
// [ErrList]. Entries come in the order of their serial numbers. A signer's
// error wraps ca.ErrUnavailable.
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
	revoked := slices.Clone(list.Revoked)
	slices.SortFunc(revoked, func(a, b ca.Revocation) int {
		return cmp.Or(cmp.Compare(len(a.Serial), len(b.Serial)), bytes.Compare(a.Serial, b.Serial))
	})
	for i := range revoked {
		if err := checkRevocation(&revoked[i]); err != nil {
			return nil, err
		}
		if i > 0 && bytes.Equal(revoked[i-1].Serial, revoked[i].Serial) {
			return nil, fmt.Errorf("%w: the serial number %x is there twice", ErrList, revoked[i].Serial)
		}
	}
	return revoked, nil
}

func checkRevocation(r *ca.Revocation) error {
	n := len(r.Serial)
	if n == 0 || r.Serial[0] == 0 || n > 20 || (n == 20 && r.Serial[0] >= 0x80) {
		return fmt.Errorf("%w: %x is no serial number: positive, minimal, at most 20 bytes", ErrList, r.Serial)
	}
	if year := r.At.UTC().Year(); year < 1950 || year > 9999 {
		return fmt.Errorf("%w: the serial number %x was revoked in the year %d", ErrList, r.Serial, year)
	}
	// 7 is unused; 8, removeFromCRL, is for delta lists (RFC 5280, Section 5.3.1).
	if r.Reason < 0 || r.Reason > 10 || r.Reason == 7 || r.Reason == 8 {
		return fmt.Errorf("%w: the serial number %x has the reason %d, which full lists do not have", ErrList, r.Serial, r.Reason)
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
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { c.appendListExtensions(b, list.Number) })
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

// appendListExtensions writes the authority key identifier and the number
// (RFC 5280, Sections 5.2.1 and 5.2.3).
func (c *CA) appendListExtensions(b *cryptobyte.Builder, number int64) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes([]byte{6, 3, 0x55, 0x1d, 35})
		b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(c.keyID) })
			})
		})
	})
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes([]byte{6, 3, 0x55, 0x1d, 20})
		b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) { b.AddASN1Int64(number) })
	})
}
