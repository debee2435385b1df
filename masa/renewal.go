package masa

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/briskest/briskest/voucher"
)

// openRenewal reads a prior-signed-voucher-request that holds no request of the
// pledge but a voucher of ours that is to be renewed (rfc8366bis, Section 10.1).
// Only a voucher without a nonce is. False: it is no voucher.
func (x *exchange) openRenewal() bool {
	if x.request.Nonce != "" {
		return false
	}
	old, artifact, err := x.format.OpenVoucher(x.request.PriorSignedVoucherRequest)
	if err != nil {
		return false
	}
	x.renews, x.renewsArt = old, artifact
	return true
}

// checkRenewal checks that the voucher to be renewed is one for this device
// that a key of its product signed; a key that was lost renews nothing.
func (x *exchange) checkRenewal() error {
	if x.renews == nil {
		return nil
	}
	product := x.settings.Products[x.product]
	switch {
	case x.renews.SerialNumber != x.request.SerialNumber:
		return forbid(ReasonSerialMismatch, "RFC 8995, Section 5.5.1",
			"The voucher in prior-signed-voucher-request is for another device.")
	case x.renews.Nonce != "":
		return forbid(ReasonNonceMismatch, "RFC 8995, Section 5.5.1",
			"The voucher in prior-signed-voucher-request has a nonce. Have the pledge ask anew.")
	case product.revoked(x.renewsArt.Signer):
		return forbid(ReasonSignerRevoked, "RFC 8995, Section 11.6.2.2",
			"The voucher in prior-signed-voucher-request was signed with a key that is revoked. Ask without it.")
	case !product.signs(x.renewsArt.Signer):
		return forbid(ReasonPriorSigned, "RFC 8995, Section 5.5.1",
			"The voucher in prior-signed-voucher-request is not signed by this MASA. Ask without it.")
	default:
		return nil
	}
}

// maxRenewed is among how many vouchers of a device, newest first, the one to
// be renewed is looked for.
const maxRenewed = 1000

// checkRenewed holds a renewal to the record: only the domain that the voucher
// was issued to has it renewed (regression R9), and only while it is the owner,
// which [exchange.decideNonceless] wants of every voucher without a nonce.
func (s *Service) checkRenewed(ctx context.Context, x *exchange) error {
	if x.renews == nil {
		return nil
	}
	issued, err := s.store.DeviceVouchers(ctx, x.device.Domain, x.device.ID, maxRenewed)
	if err != nil {
		return fmt.Errorf("vouchers of device %s: %w", x.device.ID, err)
	}
	key := keyHash(x.domain)
	if !slices.ContainsFunc(issued, func(v *VoucherRecord) bool {
		return v.PinnedKey == key && v.Nonce == "" && v.At.Equal(x.renews.CreatedOn)
	}) {
		return forbid(ReasonNotRenewable, "RFC 8995, Section 5.5.1",
			"The voucher in prior-signed-voucher-request was not issued to this domain. Ask without it.")
	}
	return nil
}

// lastRenewal is when the product's nonceless vouchers are issued and renewed
// last for the owner on record; zero for no end (RFC 8366, Section 5.3:
// last-renewal-date).
func (x *exchange) lastRenewal() time.Time {
	lasts := x.settings.Products[x.product].RenewableFor
	if lasts == 0 || !x.owned {
		return time.Time{}
	}
	return x.since.Add(lasts).UTC().Truncate(time.Second)
}

// checkLastRenewal refuses what comes too late. A new request is as late as one
// that has the old voucher in it.
func (x *exchange) checkLastRenewal() error {
	if last := x.lastRenewal(); !last.IsZero() && x.at.After(last) {
		return forbid(ReasonNotRenewable, "RFC 8366, Section 5.3",
			"Vouchers without a nonce were issued for this device until "+last.Format(time.DateOnly)+
				". Ask the manufacturer to prolong that, or have the pledge ask with a nonce.")
	}
	return nil
}

// renewal is what an exchange knows about the voucher that it renews.
type renewal struct {
	renews    *voucher.Voucher  // nil for none
	renewsArt *voucher.Artifact // nil for none
}
