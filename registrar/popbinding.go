package registrar

import (
	"context"

	"github.com/briskest/briskest/est"
)

var _ est.Linker = (*Service)(nil)

// CheckLink implements est.Linker: whether a request has to be linked to its
// connection depends on who asks, so Enroll decides it.
func (s *Service) CheckLink(context.Context, *est.EnrollRequest) error { return nil }

// checkBinding compares the challengePassword of the request with the channel
// binding of its connection (RFC 7030, Section 3.5), as the profile says. That
// of an RA is not compared: the device made the request on another connection
// (RFC 7030, Section 3.7).
func checkBinding(label *Label, c *Case, r *est.EnrollRequest) *Decision {
	const rule = "pop-linking"
	linking := label.Profile.Rules().Linking
	switch {
	case linking == "off" || c.Identity.Kind == RA:
		return nil
	case r.CSR.ChallengePassword == "" && linking == "required":
		return deny(ReasonBindingMissing, rule)
	}
	if err := r.CheckLink(); err != nil {
		return denyAs(err, est.ReasonLinkMismatch, rule)
	}
	return nil
}
