package groups

import (
	"fmt"
	"slices"

	"github.com/briskest/briskest/registrar"
)

// Place implements registrar.Grouping.
func (s *Set) Place(f *registrar.GroupFacts) (group, rule string) {
	a := &activation{f: f, values: s.values}
	var room [64]int32
	positions := append(room[:0], s.scan...)
	for _, source := range s.sources {
		positions = source.find(a, positions)
	}
	if stays := s.stays(f); stays != nil {
		positions = append(positions, stays.position)
	}
	slices.Sort(positions)
	last := int32(-1)
	for _, position := range positions {
		if position == last {
			continue
		}
		last = position
		if c := s.groups[position]; c.matches(a) {
			return c.Name, c.rule(f)
		}
	}
	return "", ""
}

// Reads implements registrar.Grouping.
func (s *Set) Reads() registrar.DeviceFacts { return s.reads }

// stays returns the group that the device is in by what it said at its first contact;
// nil for none.
func (s *Set) stays(f *registrar.GroupFacts) *compiled {
	if f.Device == nil {
		return nil
	}
	if c := s.byName[f.Device.Group]; c != nil && c.needsRequest() && withoutRequest(f) {
		return c
	}
	return nil
}

func withoutRequest(f *registrar.GroupFacts) bool { return f.Auth == nil && f.Request == nil }

func (c *compiled) needsRequest() bool { return c.match != nil && (c.match.request || c.match.auth) }

// matches evaluates the rule of a group that an index has found, or none could.
func (c *compiled) matches(a *activation) bool {
	switch {
	case c.match == nil:
		return false
	case c.always:
		return true
	case c.needsRequest() && withoutRequest(a.f):
		return a.f.Device != nil && a.f.Device.Group == c.Name
	case c.exact:
		return true
	case c.test != nil:
		return c.test(a)
	default:
		holds, err := c.match.holds(a)
		return err == nil && holds
	}
}

func (c *compiled) rule(f *registrar.GroupFacts) string {
	if c.needsRequest() && withoutRequest(f) {
		return "placed at its first contact by: " + c.match.text
	}
	return c.match.text
}

// Group implements registrar.Grouping.
func (s *Set) Group(name string) *registrar.Group {
	if c := s.byName[name]; c != nil {
		return &c.Group
	}
	return nil
}

// Groups implements registrar.Grouping.
func (s *Set) Groups() []*registrar.Group { return slices.Clone(s.shown) }

// Explain implements registrar.Grouping.
func (s *Set) Explain(f *registrar.GroupFacts) []registrar.GroupVerdict {
	a := &activation{f: f, values: s.values}
	var out []registrar.GroupVerdict
	for _, c := range s.groups {
		v := registrar.GroupVerdict{Group: c.Name, Text: "has no rule: operators put devices into it by name"}
		switch {
		case c.match == nil && !c.Pinned:
			v.Text = "false"
		case c.match == nil:
		case c.always:
			v.Matched, v.Text = true, c.match.text
		case c.needsRequest() && withoutRequest(f):
			v.Matched = c.matches(a)
			v.Text = c.match.text + " (counts at the first contact only)"
		default:
			var err error
			v.Matched, err = c.match.holds(a)
			if v.Text = c.match.text; err != nil {
				v.Text = fmt.Sprintf("%s (%v)", c.match.text, err)
			}
		}
		if out = append(out, v); v.Matched {
			break
		}
	}
	return out
}

// unmet returns the first requirement of a group that does not hold, or cannot be
// evaluated; nil for none.
func (s *Set) unmet(c *compiled, f *registrar.GroupFacts) *registrar.Requirement {
	a := &activation{f: f, values: s.values}
	voucher := f.Request != nil && f.Request.Operation == registrar.OpVoucher // which has no key yet
	for _, r := range c.require {
		if voucher && r.key {
			continue
		}
		if holds, err := r.holds(a); err != nil || !holds {
			return &r.Requirement
		}
	}
	return nil
}
