package profile_test

import (
	"errors"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
)

// RFC 5280, Section 4.1.2.5.
func TestPeriod(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 123456789, time.FixedZone("", 7200))
	at := now.UTC().Truncate(time.Second)
	issuerEnd := at.AddDate(10, 0, 0)
	day := 24 * time.Hour
	d := profile.Device()
	d.Validity = profile.Validity{Lifetime: "90d", Max: "365d", Backdate: "10m"}
	usual := mustNew(t, d)
	never := mustNew(t, profile.IDevID(""))
	d.Validity.AllowOutliveIssuer = true
	outlives := mustNew(t, d)
	var none time.Time
	for name, c := range map[string]struct {
		p                   *profile.Profile
		notBefore, notAfter time.Time
		issuerEnd           time.Time
		start, end          time.Time
		refused             bool
	}{
		"the profile's":                  {usual, none, none, issuerEnd, at.Add(-10 * time.Minute), at.Add(90*day - time.Second), false},
		"shorter":                        {usual, none, at.Add(day), issuerEnd, at.Add(-10 * time.Minute), at.Add(day), false},
		"as long as may be":              {usual, none, at.Add(365*day - time.Second), issuerEnd, at.Add(-10 * time.Minute), at.Add(365*day - time.Second), false},
		"longer":                         {usual, none, at.Add(365 * day), issuerEnd, none, none, true},
		"cut at the issuer's end":        {usual, none, none, at.Add(day), at.Add(-10 * time.Minute), at.Add(day), false},
		"past the issuer's end":          {usual, none, at.Add(2 * day), at.Add(day), none, none, true},
		"past it, as the profile allows": {outlives, none, none, at.Add(day), at.Add(-10 * time.Minute), at.Add(90*day - time.Second), false},
		"later":                          {usual, at.Add(day), none, issuerEnd, at.Add(day), at.Add(91*day - time.Second), false},
		"too early":                      {usual, at.Add(-time.Hour), none, issuerEnd, none, none, true},
		"already over":                   {usual, none, at.Add(-time.Second), issuerEnd, none, none, true},
		"ends before it starts":          {usual, at.Add(2 * day), at.Add(day), issuerEnd, none, none, true},
		"an expired issuer":              {usual, none, none, at.Add(-day), none, none, true},
		"never":                          {never, none, none, profile.Never(), at.Add(-time.Hour), profile.Never(), false},
	} {
		start, end, err := c.p.Period(now, c.notBefore, c.notAfter, c.issuerEnd)
		if c.refused {
			if !errors.Is(err, profile.ErrPeriod) || !errors.Is(err, ca.ErrRejected) {
				t.Errorf("%s: Period = %s to %s, %v, want ErrPeriod", name, start, end, err)
			}
			continue
		}
		if err != nil || !start.Equal(c.start) || !end.Equal(c.end) {
			t.Errorf("%s: Period = %s to %s, %v, want %s to %s", name, start, end, err, c.start, c.end)
		}
	}
}
