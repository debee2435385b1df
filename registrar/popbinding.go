package registrar

import (
	"context"

	"github.com/briskest/briskest/est"
)

var _ est.Linker = (*Service)(nil)

// CheckLink implements est.Linker: whether a request has to be linked to its
// connection depends on who asks, so Enroll decides it.
func (s *Service) CheckLink(context.Context, *est.EnrollRequest) error { return nil }

// The ways of a label, or of a profile, with the link between request and
// connection (RFC 7030, Section 3.5).
const (
	LinkIfPresent = "if-present" // compared where there is one; what counts when nobody says anything
	LinkRequired  = "required"   // compared, and has to be there
	// LinkOff takes challengePassword for something else, a shared secret for one.
	// An estIdentityLinking is compared even so.
	LinkOff = "off"
)

// checkBinding compares the link of the request with the channel binding of its
// connection (RFC 7030, Section 3.5), as the label says, or else the profile.
// That of an RA is not compared: the device made the request on another
// connection (RFC 7030, Section 3.7).
func checkBinding(label *Label, c *Case, r *est.EnrollRequest) *Decision {
	if c.Identity.Kind == RA {
		return nil
	}
	policy := label.Link
	switch label.linking() {
	case LinkRequired:
		policy.Required = true
	case LinkOff:
		policy.IgnorePassword = true
	}
	if err := policy.Check(r); err != nil {
		return denyAs(err, est.ReasonLinkMismatch, "pop-linking")
	}
	return nil
}

// linking is how the label links: its own word, or that of its profile.
func (l *Label) linking() string {
	if l.Linking != "" {
		return l.Linking
	}
	return l.Profile.Rules().Linking
}
