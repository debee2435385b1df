package brskimasa

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/briskest/briskest/voucher"
)

// leaves: what rfc8366bis adds to requests and vouchers.
func leaves() []check {
	issuer := func(form func(keyID []byte) []byte) asking {
		return asking{content: func(r *voucher.Request) {
			if id, ok := voucher.IssuerKeyID(r.IDevIDIssuer); ok {
				r.IDevIDIssuer = form(id)
			}
		}}
	}
	return slices.Concat(
		in("draft-ietf-anima-rfc8366bis, Section 6.2", check{
			ID: "RFC8366bis-6.2-MASA-1", Level: should, Text: "idevid-issuer is not in the voucher where the serial number alone names the device",
			Requirements: rows("BRSKI-8366BIS-6.2-02"), Run: runNoIssuer,
		}),
		in("draft-ietf-anima-rfc8366bis, Section 6.3",
			check{
				ID: "RFC8366bis-6.3-MASA-1", Level: must, Text: "idevid-issuer is taken as a bare SEQUENCE too",
				Requirements: rows("BRSKI-8366BIS-6.3-02"), Run: taken(issuer(func(id []byte) []byte {
					return slices.Concat([]byte{0x30, byte(len(id) + 2), 0x80, byte(len(id))}, id)
				})),
			},
			check{
				ID: "RFC8366bis-6.3-MASA-2", Level: must, Text: "idevid-issuer is taken as a bare key identifier too",
				Requirements: rows("BRSKI-8366BIS-6.3-02"), Run: taken(issuer(func(id []byte) []byte { return id })),
			},
		),
		in("draft-ietf-anima-rfc8366bis, Section 9.2",
			check{
				ID: "RFC8366bis-9.2-MASA-1", Level: must, Text: "proximity-registrar-pubk shows proximity",
				Requirements: rows("BRSKI-8366BIS-9.2-01"), Run: opened(pledgeNames(func(t *Target, r *voucher.Request) {
					r.ProximityRegistrarPubk = leafOf(t.Registrar).RawSubjectPublicKeyInfo
				}), proximate),
			},
			check{
				ID: "RFC8366bis-9.2-MASA-2", Level: must, Text: "proximity-registrar-pubk-sha256 shows proximity",
				Requirements: rows("BRSKI-8366BIS-9.2-01"), Run: opened(pledgeNames(func(t *Target, r *voucher.Request) {
					r.ProximityRegistrarPubkSHA256 = hashOfKey(t)
				}), proximate),
			},
		),
		in("draft-ietf-anima-rfc8366bis, Section 9",
			check{
				ID: "RFC8366bis-9-MASA-1", Level: must, Text: "where the pledge names two registrars, proximity-registrar-pubk-sha256 decides: to another's there is no proximity",
				Requirements: rows("BRSKI-8366BIS-9-02"), Run: lower(pledgeNames(func(t *Target, r *voucher.Request) {
					r.ProximityRegistrarPubkSHA256, r.ProximityRegistrarCert = otherHash(), t.Registrar.Certificate[0]
				})),
			},
			check{
				ID: "RFC8366bis-9-MASA-2", Level: must, Text: "where the pledge names two registrars, proximity-registrar-pubk-sha256 decides: to this one's there is proximity",
				Requirements: rows("BRSKI-8366BIS-9-02"), Run: opened(pledgeNames(func(t *Target, r *voucher.Request) {
					r.ProximityRegistrarPubkSHA256, r.ProximityRegistrarCert = hashOfKey(t), t.Pledge.Certificate[0]
				}), proximate),
			},
		),
	)
}

func runNoIssuer(ctx context.Context, t *Target) error {
	pledge := t.Pledge
	if t.Twin != nil {
		if pledge = t.Nonceless; pledge == nil {
			return skipf("--pledge has a twin; this takes a device that has none, such as one for --nonceless")
		}
	}
	return opened(just(asking{pledge: pledge}), func(x *exchange) error {
		if len(x.voucher.IDevIDIssuer) > 0 {
			return errors.New("it is there; it may be, where another device of the MASA's has this serial number (give it with --twin)")
		}
		return nil
	})(ctx, t)
}

func hashOfKey(t *Target) []byte {
	sum := sha256.Sum256(leafOf(t.Registrar).RawSubjectPublicKeyInfo)
	return sum[:]
}

func otherHash() []byte {
	sum := sha256.Sum256([]byte("nobody's key"))
	return sum[:]
}

// pledgeNames has the pledge name the registrar it saw by other leaves.
func pledgeNames(name func(*Target, *voucher.Request)) making {
	return func(_ context.Context, t *Target) (asking, error) {
		return asking{pledgeSays: func(r *voucher.Request) {
			r.ProximityRegistrarCert = nil
			name(t, r)
		}}, nil
	}
}

func proximate(x *exchange) error {
	if x.voucher.Assertion != voucher.Proximity && x.voucher.Assertion != voucher.Verified {
		return fmt.Errorf("the voucher says %q", x.voucher.Assertion)
	}
	return nil
}
