package registrar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Selection names certificates by what they have in common. At least one field
// is set; those that are set all have to hold.
type Selection struct {
	Device     string // ID or serial number
	KeyHash    []byte // SHA-256 of the SubjectPublicKeyInfo
	Profile    string
	Label      *string // whose profile and issuer they are of; nil: of any, empty: the default label
	Credential string  // what authenticated them, such as basic:USER
	Issuer     string
}

// RevokeManyRequest says which certificates to revoke, and why.
type RevokeManyRequest struct {
	Domain string
	Actor  string
	Selection
	Reason int  // CRLReason (RFC 5280, Section 5.3.1)
	DryRun bool // only say which
}

// RevokeManyResult is what became of many certificates.
type RevokeManyResult struct {
	Certificates []*Certificate // that are revoked now, or would be, up to 10000 of them
	Count        int            // of all of them
	// Stopped is how many outstanding issuances of the kind are for nobody now:
	// what comes of them is revoked when it comes.
	Stopped int
}

// RevokeMany revokes every certificate of a kind that is issued or on hold, as
// Revoke does, each with an entry on the trail; what is issued meanwhile of the
// same kind too. When it fails some are revoked and the result says which; doing it
// again does the rest.
func (s *Service) RevokeMany(ctx context.Context, r *RevokeManyRequest) (*RevokeManyResult, error) {
	v, err := s.inDomain(r.Domain)
	if err != nil {
		return nil, err
	}
	if !validReason(r.Reason) {
		return nil, invalid("reason %d is none of RFC 5280, Section 5.3.1", r.Reason)
	}
	q, err := s.selected(ctx, v, &r.Selection)
	if err != nil {
		return nil, err
	}
	out := &RevokeManyResult{}
	if err := s.stopOutstanding(ctx, v, q, r, out); err != nil {
		return out, err
	}
	const rounds = 100 // a device that asks all the time cannot keep it going
	for range rounds {
		before := out.Count
		if err := s.revokeSelected(ctx, v, *q, r, out); err != nil || r.DryRun || out.Count == before {
			return out, err
		}
	}
	return out, fmt.Errorf("certificates of the kind are issued as fast as they are revoked; suspend the device, or take away what authenticates it: %w", ErrConflict)
}

// selected is the query that finds what is selected.
func (s *Service) selected(ctx context.Context, v *version, sel *Selection) (*CertificateQuery, error) {
	q := &CertificateQuery{Domain: v.Domain, KeyHash: sel.KeyHash, Profile: sel.Profile, Credential: sel.Credential, Issuer: sel.Issuer}
	if len(sel.KeyHash) != 0 && len(sel.KeyHash) != 32 {
		return nil, invalid("the hash of a key has 32 bytes, not %d", len(sel.KeyHash))
	}
	if sel.Label != nil {
		l := v.Labels[*sel.Label]
		if l == nil {
			return nil, fmt.Errorf("label %q: %w", *sel.Label, ErrNotFound)
		}
		i := v.issuerOf(l).name
		if q.Profile != "" && q.Profile != l.Profile.Name() || q.Issuer != "" && q.Issuer != i {
			return nil, invalid("label %q has profile %s and issuer %s", *sel.Label, l.Profile.Name(), i)
		}
		q.Profile, q.Issuer = l.Profile.Name(), i
	}
	if sel.Device != "" {
		view, err := s.findDevices(ctx, v, sel.Device)
		switch {
		case err != nil:
			return nil, err
		case len(view) == 0:
			return nil, fmt.Errorf("device %q: %w", sel.Device, ErrNotFound)
		case len(view) > 1:
			return nil, fmt.Errorf("%d devices have the serial number %q; name one by its ID (%s, %s): %w", len(view), sel.Device, view[0].ID, view[1].ID, ErrConflict)
		}
		q.DeviceID = view[0].ID
	}
	if q.DeviceID == "" && len(q.KeyHash) == 0 && q.Profile == "" && q.Credential == "" && q.Issuer == "" {
		return nil, invalid("nothing is selected, which would be every certificate")
	}
	return q, nil
}

// revokeSelected goes through what there is once: those that are issued, and
// where they are not to be held those on hold.
func (s *Service) revokeSelected(ctx context.Context, v *version, q CertificateQuery, r *RevokeManyRequest, out *RevokeManyResult) error {
	for _, status := range []CertificateStatus{Issued, Revoked} {
		if status == Revoked && r.Reason == ReasonHold {
			continue
		}
		q.Status, q.After = status, ""
		var failed error
		err := s.eachPage(ctx, &q, func(page []*Certificate) bool {
			if status == Revoked {
				page = slices.DeleteFunc(page, func(row *Certificate) bool { return !row.OnHold() })
			}
			var done []*Certificate
			if done = page; !r.DryRun {
				done, failed = s.revokePage(ctx, v, page, r)
			}
			out.Count += len(done)
			out.Certificates = append(out.Certificates, done[:min(len(done), maxList-len(out.Certificates))]...)
			return failed == nil
		})
		if err = errors.Join(err, failed); err != nil {
			return err
		}
	}
	return nil
}

// eachPage is eachCertificate by the page, until do returns false.
func (s *Service) eachPage(ctx context.Context, q *CertificateQuery, do func(page []*Certificate) bool) error {
	q.Limit = maxHeld
	for {
		page, err := s.store.ListCertificates(ctx, q)
		if err != nil {
			return err
		}
		full := len(page) == q.Limit
		if full {
			q.After = page[len(page)-1].ID
		}
		if !do(page) || !full {
			return nil
		}
	}
}

// revokePage revokes a page of certificates, several at a time so that they share
// the disk's syncs, and returns those that were.
func (s *Service) revokePage(ctx context.Context, v *version, page []*Certificate, r *RevokeManyRequest) ([]*Certificate, error) {
	const atOnce = 32
	var mu sync.Mutex
	var done []*Certificate
	var failed error
	rows := make(chan *Certificate)
	var workers sync.WaitGroup
	for range min(atOnce, len(page)) {
		workers.Go(func() {
			for row := range rows {
				now, err := s.Revoke(ctx, &RevokeRequest{Domain: v.Domain, Actor: r.Actor, CertificateRef: CertificateRef{ID: row.ID}, Reason: r.Reason})
				mu.Lock()
				switch {
				case err == nil:
					done = append(done, now)
				case !errors.Is(err, ErrConflict): // it changed meanwhile: the next round sees it
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	for _, row := range page {
		rows <- row
	}
	close(rows)
	workers.Wait()
	slices.SortFunc(done, func(a, b *Certificate) int { return strings.Compare(a.ID, b.ID) })
	return done, failed
}

// stopOutstanding has nobody get what comes of outstanding issuances of the kind.
func (s *Service) stopOutstanding(ctx context.Context, v *version, q *CertificateQuery, r *RevokeManyRequest, out *RevokeManyResult) error {
	if r.Reason == ReasonHold {
		return nil // nothing to take from hold
	}
	of := *q
	of.Status = Intended
	var failed error
	err := s.eachPage(ctx, &of, func(page []*Certificate) bool {
		for _, row := range page {
			if s.openings.find(row.ID) == nil {
				continue // being signed here: it is there in a moment
			}
			stopped := true
			if !r.DryRun {
				if stopped, failed = s.stop(ctx, v, row.ID, r.Actor); failed != nil {
					return false
				}
			}
			if stopped {
				out.Stopped++
			}
		}
		return true
	})
	return errors.Join(err, failed)
}
