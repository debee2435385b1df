package policy

import (
	"fmt"

	"github.com/briskest/briskest/registrar"
)

// group has the device's group decide, in the same way on every road: a group that
// cannot be had refuses, and so does one that denies, and a requirement that is not met.
// What the operator issues is the operator's own decision.
func group(c *registrar.Case) *registrar.Decision {
	p := c.Placement
	switch {
	case p == nil || c.Identity.Kind == registrar.Operator:
		return nil
	case p.Problem != "":
		d := deny(p.Problem)
		d.Err = fmt.Errorf("group %q of version %d of the groups", p.Name, p.Version)
		return d
	case p.Group == nil:
		return nil
	case p.Group.Decision == registrar.GroupDeny:
		d := deny(registrar.ReasonGroupDenied)
		d.Err = fmt.Errorf("group %q, by %s", p.Name, p.Rule)
		return d
	case p.Group.Unmet == nil:
		return nil
	}
	r := p.Group.Unmet(c.GroupFacts())
	if r == nil {
		return nil
	}
	d := denyText(registrar.ReasonGroupRequirement, fmt.Sprintf("the device does not meet the requirement %s of its group: %s", r.Name, r.Message))
	d.Err = fmt.Errorf("group %q requires %s", p.Name, r.Rule)
	return d
}

// grouped tells whether the device's group wants that decision.
func grouped(c *registrar.Case, want registrar.GroupDecision) bool {
	return c.Placement != nil && c.Placement.Group != nil && c.Placement.Group.Decision == want
}

// groupApproval has an operator decide about the voucher of a group's device.
func groupApproval(c *registrar.Case) *registrar.Decision {
	if !grouped(c, registrar.GroupApprove) {
		return nil
	}
	return &registrar.Decision{Verdict: registrar.Wait, Reason: registrar.ReasonApproval, WaitFor: registrar.ForApproval}
}

// moved tells whether it is by a move between groups that the certificate which is to be renewed has
// another profile: it is the label's own, or one that no label has, which a group gave. It was the
// operator who moved the device, and not the device that chose the label.
func moved(s *registrar.Settings, c *registrar.Case) bool {
	had, p := c.Identity.Record.Profile, c.Placement
	if p == nil || had == p.LabelProfile {
		return p != nil
	}
	for _, l := range s.Labels {
		if l.Profile.Name() == had {
			return false
		}
	}
	return true
}
