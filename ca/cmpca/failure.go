package cmpca

import (
	"fmt"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/cmp"
)

// ours are the failures that are about the CA or about this RA and not about what a
// device asked for: they end when somebody mends that (RFC 4210, Section 5.2.3).
const ours = cmp.SystemUnavail | cmp.SystemFailure | cmp.TimeNotAvailable | cmp.BadTime | cmp.MissingTimeStamp |
	cmp.SignerNotTrusted | cmp.NotAuthorized | cmp.WrongAuthority | cmp.BadMessageCheck | cmp.WrongIntegrity |
	cmp.UnsupportedVersion | cmp.BadRecipientNonce | cmp.BadSenderNonce | cmp.TransactionIDInUse

// judge maps what the CA refuses to the port: ca.ErrUnavailable for what is ours,
// ca.ErrRejected for what is about the request.
func (c *CA) judge(no *refusal) error {
	if no.info.Status != cmp.Rejection {
		return fmt.Errorf("%w: %w", ca.ErrMismatch, no)
	}
	if no.info.Failure&ours != 0 {
		return fmt.Errorf("%w: %w; nothing is wrong with the device's request", ca.ErrUnavailable, no)
	}
	return fmt.Errorf("%w: %w", ca.ErrRejected, no)
}
