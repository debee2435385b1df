package registrar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// loadGroups puts the newest groups document into force. Where its groups cannot be
// compiled by this program nobody is served, as everybody would be in no group.
func (s *Service) loadGroups(ctx context.Context) error {
	doc, err := found(s.store.GroupDocument(ctx, s.current.Load().Domain, 0))
	if err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	if doc == nil {
		return nil
	}
	by, err := s.compile(doc.Document)
	if err != nil {
		return fmt.Errorf("version %d of the groups: %w", doc.Version, err)
	}
	s.groups.Store(&groupsInForce{by, doc})
	return nil
}

// resumeGroups goes on with moving devices where a process ended before it was through.
func (s *Service) resumeGroups() {
	g := s.groups.Load()
	if g == nil || g.document.Applied {
		return
	}
	s.applied.Lock()
	defer s.applied.Unlock()
	if now := s.groups.Load(); now != g {
		return // another version was applied meanwhile
	}
	if _, err := s.moveDevices(s.life, s.current.Load(), g); err != nil && !errors.Is(err, context.Canceled) {
		s.log.ErrorContext(s.life, "devices not moved into their groups; the next start goes on", slog.Int64("version", g.document.Version), slog.Any("error", err))
	}
}

// checkProfiles names the groups whose profiles are not in the settings.
func (v *version) checkProfiles(g Grouping) []string {
	var problems []string
	for _, group := range g.Groups() {
		if group.Profile != "" && v.Profiles[group.Profile] == nil {
			problems = append(problems, fmt.Sprintf("group %q: there is no profile %q; add it to profiles in the configuration, and have the registrar load that", group.Name, group.Profile))
		}
	}
	return problems
}
