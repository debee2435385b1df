package registrar

import (
	"context"
	"fmt"

	"github.com/briskest/briskest/internal/trail"
)

// Explanation is why a device got what it got.
type Explanation struct {
	SerialNumber string
	Devices      []*Device      // the records with that ID or serial number
	Pending      []*Pending     // requests of it, in any state
	Outstanding  []*Certificate // issuances that another CA has not finished
	Entries      []*trail.Entry // of the trail, oldest first: the newest 100 of each record
}

// whyEntries is how many entries of a device are shown.
const whyEntries = 100

// Why gathers what is known about a device, by ID or serial number, on record
// or not: decisions and refusals with their reasons. Nothing at all is
// ErrNotFound.
func (s *Service) Why(ctx context.Context, domain, ref string) (*Explanation, error) {
	v, err := s.inDomain(domain)
	if err != nil {
		return nil, err
	}
	out := &Explanation{SerialNumber: ref}
	if out.Devices, err = s.findDevices(ctx, v, ref); err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(out.Devices)+len(v.manufacturers)+1)
	for _, d := range out.Devices {
		out.SerialNumber = d.SerialNumber
		ids = append(ids, d.ID)
		open, err := s.heldBy(ctx, v, d.ID, Intended)
		if err != nil {
			return nil, err
		}
		out.Outstanding = append(out.Outstanding, open...)
	}
	ids = append(ids, StrangerID(v.Domain, "", out.SerialNumber))
	for _, m := range v.manufacturers {
		ids = append(ids, StrangerID(v.Domain, m.Name, out.SerialNumber))
	}
	for _, id := range ids {
		entries, err := s.lastEntries(ctx, v, id)
		if err != nil {
			return nil, err
		}
		out.Entries = append(out.Entries, entries...)
	}
	pending, err := s.store.ListPending(ctx, v.Domain, "", v.Limits.Pending)
	if err != nil {
		return nil, err
	}
	for _, p := range pending {
		if p.SerialNumber == out.SerialNumber {
			out.Pending = append(out.Pending, p)
		}
	}
	if len(out.Devices)+len(out.Pending)+len(out.Entries) == 0 {
		return nil, fmt.Errorf("nothing is known about %q: %w", ref, ErrNotFound)
	}
	return out, nil
}

// lastEntries reads a device's entries, and keeps the newest ones.
func (s *Service) lastEntries(ctx context.Context, v *version, device string) ([]*trail.Entry, error) {
	var kept []*trail.Entry
	for from := int64(0); ; {
		page, err := s.store.TrailEntries(ctx, v.Domain, device, from, 1000)
		if err != nil {
			return nil, err
		}
		kept = append(kept, page...)
		kept = kept[max(0, len(kept)-whyEntries):]
		if len(page) < 1000 {
			return kept, nil
		}
		from = page[len(page)-1].Seq + 1
	}
}
