package registrar

import (
	"context"
	"encoding/asn1"
	"slices"

	"github.com/briskest/briskest/est"
)

// CSRAttrs implements est.CSRAttrser. It needs no authentication
// (RFC 7030, Section 4.5), but a certificate of ours that was revoked is refused. An
// address has a budget for it, since certificates are verified.
func (s *Service) CSRAttrs(ctx context.Context, r *est.Request) ([]byte, error) {
	v := s.current.Load()
	c := s.estCase(v, r)
	if c.Label == nil {
		return nil, deny(ReasonUnknownLabel, "label").answer(c)
	}
	if d := s.questionBudget(v, c); d != nil {
		return nil, d.answer(c)
	}
	if len(r.Peer.Certificates) > 0 {
		if d := s.identifyCertificate(ctx, v, c, r.Peer); d != nil && d.Reason != ReasonUntrusted && d.Reason != ReasonExpired {
			return nil, s.refuse(ctx, c, d)
		}
	}
	return c.Label.csrAttrs, nil
}

// identityLinking is the identifier of estIdentityLinking (RFC 7894, Section
// 2.3), which is wanted where requests have to be linked; clients that do not
// know it find challengePassword.
func identityLinking() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 58}
}

// makeCSRAttrs makes the label's CsrAttrs of what its profile wants to find in
// a CSR and of how the label links requests (RFC 7030, Section 4.5.2). It is the
// same for all who ask, who need not have authenticated. Nil for none.
func (l *Label) makeCSRAttrs() ([]byte, error) {
	var plan est.CSRPlan
	if p := l.Profile.Rules().CSR; p != nil {
		plan = *p
	}
	plan.Link = l.linking() == LinkRequired
	wanted := l.Wanted
	if plan.Link && !slices.ContainsFunc(wanted, identityLinking().Equal) {
		wanted = append(wanted[:len(wanted):len(wanted)], identityLinking())
	}
	plan.Wanted = append(plan.Wanted[:len(plan.Wanted):len(plan.Wanted)], wanted...)
	return plan.Marshal()
}
