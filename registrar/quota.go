package registrar

import (
	"context"
	"time"
)

// quota is how many devices the domain may hold; nil for any number.
func (v *version) quota() *DeviceQuota {
	if v.Limits.Devices == 0 {
		return nil
	}
	return &DeviceQuota{Domain: v.Domain, Devices: v.Limits.Devices}
}

// room is how many further devices a quota leaves room for. Only the record's writer knows
// for sure: it looks again.
func (s *Service) room(ctx context.Context, q *DeviceQuota) (*int, error) {
	held, err := s.store.CountDevices(ctx, q.Domain)
	room := max(0, q.Devices-held)
	return &room, err
}

// domainBudget counts a request of the domain, or refuses what is one too many in a minute:
// one tenant's devices do not use up what all of them share.
func (s *Service) domainBudget(v *version, c *Case) *Decision {
	limit := v.Limits.RequestsPerMinute
	if limit == 0 {
		return nil
	}
	if wait, over := s.byDomain.take(v.Domain, limit, c.At); over {
		return &Decision{Reason: ReasonDomainBudget, Rule: "domain-budget", RetryAfter: jitter(wait + time.Second)}
	}
	return nil
}
