package masa

import (
	"context"
	"errors"
	"fmt"

	"github.com/briskest/briskest/internal/trail"
)

// OwnerImport is a list of sales. Of its claims Replace and By are not looked at.
type OwnerImport struct {
	Owners  []OwnerClaim `json:"owners"`            // at most MaxImport
	Replace bool         `json:"replace,omitempty"` // end what others owned; else such a row is a problem
	DryRun  bool         `json:"dry_run,omitempty"` // report, and change nothing
	By      string       `json:"by"`                // who did it, such as "cli:root"
}

// ImportOwners notes sales, all or none: the report names every row that stands
// in the way. Importing a list again is safe: what is on record is counted as
// unchanged, and a new name or address as changed.
func (s *Service) ImportOwners(ctx context.Context, in *OwnerImport) (*ImportReport, error) {
	if len(in.Owners) == 0 || len(in.Owners) > MaxImport {
		return nil, fmt.Errorf("%w: %d owners, want 1 to %d", ErrInvalid, len(in.Owners), MaxImport)
	}
	im := &ownerImporting{OwnerImport: in, report: &ImportReport{}, seen: make(map[string]bool, len(in.Owners)), change: &Change{}}
	s.imports.Lock()
	defer s.imports.Unlock()
	for i := range in.Owners {
		if err := im.row(ctx, s, i); err != nil {
			return nil, err
		}
	}
	if len(im.report.Problems) > 0 || in.DryRun {
		return im.report, nil
	}
	if len(im.change.PutOwners) > 0 {
		im.change.Trail = []*trail.Entry{{
			At: s.now().UTC(), Domain: s.settings.Load().Domain, Kind: KindOwnersImported, Actor: actor(in.By),
			Body: body{"added": im.report.Added, "changed": im.report.Changed, "replace": in.Replace}.json(),
		}}
		if err := s.store.Commit(ctx, im.change); err != nil {
			return nil, fmt.Errorf("import of %d owners: %w", len(in.Owners), err)
		}
	}
	im.report.Applied = true
	return im.report, nil
}

// ownerImporting is one import under way.
type ownerImporting struct {
	*OwnerImport
	report *ImportReport
	seen   map[string]bool // IDs of devices
	change *Change
}

// row sorts one sale into what is new, changed and there already. An error is
// the store's.
func (im *ownerImporting) row(ctx context.Context, s *Service, i int) error {
	claim := &im.Owners[i]
	problem := func(text string) {
		im.report.Problems = append(im.report.Problems, ImportProblem{Row: i + 1, SerialNumber: claim.SerialNumber, Problem: text})
	}
	owner, err := claim.owner()
	if err != nil {
		problem(err.Error())
		return nil
	}
	d, err := s.find(ctx, claim.DeviceRef)
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrInvalid):
		problem(err.Error())
		return nil
	case err != nil:
		return err
	case im.seen[d.ID]:
		problem("the device is in the list twice")
		return nil
	}
	im.seen[d.ID] = true
	o, err := s.ownership(ctx, d)
	if err != nil {
		return err
	}
	if text := im.merge(o, owner); text != "" {
		problem(text)
	}
	return nil
}

// merge has the change bring a device to its owner. It returns what stands in
// the way, or "".
func (im *ownerImporting) merge(o *ownership, owner *Owner) string {
	if len(o.owners) == 1 && o.owners[0].same(owner) {
		known := o.owners[0]
		if known.Name == owner.Name && known.RegistrarURL == owner.RegistrarURL && known.ESTDomain == owner.ESTDomain {
			im.report.Unchanged++
			return ""
		}
		known.Name, known.RegistrarURL, known.ESTDomain = owner.Name, owner.RegistrarURL, owner.ESTDomain
		im.report.Changed++
		im.change.PutOwners = append(im.change.PutOwners, known)
		return ""
	}
	if len(o.owners) > 0 && !im.Replace {
		return "another owner is on record for this device; where it was sold on, say that owners are to be replaced"
	}
	im.report.Added++
	o.add(im.change, owner, SourceSale, im.Replace)
	return ""
}
