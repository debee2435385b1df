package masa

import (
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

// renewal is what an exchange knows about the voucher that it renews.
type renewal struct {
	renews    *voucher.Voucher  // nil for none
	renewsArt *voucher.Artifact // nil for none
}
