package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/briskest/briskest/registrar"
)

func testCRL(t *testing.T, s registrar.Store) {
	list := func(n int64, change func(l *registrar.CRL)) *registrar.CRL {
		l := &registrar.CRL{
			Domain: registrar.DefaultDomain, CRLScope: registrar.CRLScope{Authority: authority(1), Count: 4, Index: 3},
			Number: n, Change: n * 7, ThisUpdate: at(1), NextUpdate: at(50), Raw: []byte{0x30, byte(n)},
			Bases: []registrar.CRLBase{{Number: n - 1, Change: 5, NextUpdate: at(40)}, {Number: n, Change: n * 7, NextUpdate: at(50)}},
		}
		if change != nil {
			change(l)
		}
		return l
	}
	delta := func(l *registrar.CRL) { l.Delta, l.Bases = true, nil }
	commit(t, s, &registrar.Change{PutCRL: list(1, nil)})
	commit(t, s, &registrar.Change{PutCRL: list(3, nil)})
	wantConflict(t, s, "the same list again", &registrar.Change{PutCRL: list(3, nil)})
	wantConflict(t, s, "an earlier list", &registrar.Change{PutCRL: list(2, nil)})
	wantConflict(t, s, "a delta with the number of its base", &registrar.Change{PutCRL: list(3, delta)})
	commit(t, s, &registrar.Change{PutCRL: list(4, delta)})
	wantConflict(t, s, "a list with the number of a delta", &registrar.Change{PutCRL: list(4, nil)})
	for _, other := range []func(l *registrar.CRL){
		func(l *registrar.CRL) { l.Domain = "other" }, func(l *registrar.CRL) { l.Authority = authority(2) },
		func(l *registrar.CRL) { l.Index = 2 }, func(l *registrar.CRL) { l.Count, l.Index = 1, 0 },
	} {
		commit(t, s, &registrar.Change{PutCRL: list(1, other)}) // numbers are those of a scope
	}
	got, err := s.LatestCRL(t.Context(), registrar.DefaultDomain, list(3, nil).CRLScope)
	want(t, "LatestCRL", got, err, list(3, nil))
	got, err = s.LatestCRL(t.Context(), registrar.DefaultDomain, list(4, delta).CRLScope)
	want(t, "LatestCRL of the delta", got, err, list(4, delta))
	if _, err := s.LatestCRL(t.Context(), registrar.DefaultDomain, registrar.CRLScope{Authority: authority(1), Count: 4, Index: 0}); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("LatestCRL of a scope without lists: %v, want ErrNotFound", err)
	}
}

func testRevocations(t *testing.T, s registrar.Store) {
	ctx := t.Context()
	var rows []*registrar.Certificate
	for n := 1; n <= 40; n++ {
		c := intent(n, n, "key "+string(rune('A'+n)))
		c.NotAfter = at(1000 + n)
		commit(t, s, &registrar.Change{Intents: []*registrar.Certificate{c}})
		commit(t, s, &registrar.Change{Issued: []*registrar.Certificate{issued(c)}})
		rows = append(rows, issued(c))
	}
	q := func() *registrar.RevocationQuery {
		return &registrar.RevocationQuery{Domain: registrar.DefaultDomain, Authority: authority(1), Last: registrar.MaxPartitions - 1, Since: -1, Limit: 10000}
	}
	none, err := s.Revocations(ctx, q())
	if err != nil || len(none) != 0 {
		t.Fatalf("Revocations before any = %v, %v", none, err)
	}
	expected := map[string]*registrar.Revocation{}
	change := int64(0)
	move := func(c *registrar.Certificate, when time.Time, reason int) {
		t.Helper()
		moved := *c
		moved.RevokedAt, moved.RevokeReason, moved.Status = when, reason, registrar.Revoked
		if reason == registrar.ReasonRelease {
			moved.Status = registrar.Issued
			commit(t, s, &registrar.Change{Released: []*registrar.Certificate{&moved}})
		} else {
			commit(t, s, &registrar.Change{Revoked: []*registrar.Certificate{&moved}})
		}
		change++
		expected[string(c.Serial)] = &registrar.Revocation{
			Place: registrar.PlaceOf(c.Serial), Serial: c.Serial, Change: change, At: when, Reason: reason, NotAfter: c.NotAfter,
		}
	}
	for i, c := range rows[:30] {
		move(c, at(10+i), []int{0, 1, 4, registrar.ReasonHold, 9}[i%5])
	}
	move(rows[3], at(60), registrar.ReasonRelease)
	move(rows[8], at(61), 4) // for good
	move(rows[3], at(62), registrar.ReasonHold)
	move(rows[13], at(63), registrar.ReasonRelease)

	check := func(what string, q *registrar.RevocationQuery, keep func(r *registrar.Revocation) bool) {
		t.Helper()
		got, err := s.Revocations(ctx, q)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		count := 0
		for _, r := range expected {
			if keep(r) {
				count++
			}
		}
		for i, r := range got {
			w := expected[string(r.Serial)]
			if w == nil || !keep(w) {
				t.Errorf("%s: %+v is there", what, r)
				continue
			}
			if r.Place != w.Place || r.Change != w.Change || !r.At.Equal(w.At) || r.Reason != w.Reason || !r.NotAfter.Equal(w.NotAfter) {
				t.Errorf("%s: %+v, want %+v", what, r, w)
			}
			if i > 0 && (got[i-1].Place > r.Place || got[i-1].Place == r.Place && string(got[i-1].Serial) >= string(r.Serial)) {
				t.Errorf("%s: %+v before %+v", what, got[i-1], r)
			}
		}
		if len(got) != count {
			t.Errorf("%s: %d rows, want %d", what, len(got), count)
		}
	}
	all := func(*registrar.Revocation) bool { return true }
	check("all", q(), all)
	if last, err := s.LatestChange(ctx, registrar.DefaultDomain, authority(1)); err != nil || last != change {
		t.Errorf("LatestChange = %d, %v, want %d", last, err, change)
	}
	for part := range 4 {
		p := q()
		p.First, p.Last = part<<14, (part+1)<<14-1
		check("a quarter", p, func(r *registrar.Revocation) bool { return r.Place>>14 == part })
		p.Since = 25
		check("what is new of a quarter", p, func(r *registrar.Revocation) bool { return r.Place>>14 == part && r.Change > 25 })
	}
	for _, one := range expected {
		for _, since := range []int64{-1, 0} {
			p := q()
			p.First, p.Last, p.Since = one.Place, one.Place, since
			check("one place", p, func(r *registrar.Revocation) bool { return r.Place == one.Place })
		}
	}
	since := q()
	since.Since = 0
	check("all changes", since, all)
	since.Since = change
	check("no changes", since, func(*registrar.Revocation) bool { return false })

	for _, since := range []int64{-1, 0} {
		page := q()
		page.Limit, page.Since = 7, since
		seen := 0
		for {
			got, err := s.Revocations(ctx, page)
			if err != nil {
				t.Fatal(err)
			}
			if seen += len(got); len(got) < page.Limit {
				break
			}
			page.After = got[len(got)-1]
		}
		if seen != len(expected) {
			t.Errorf("in pages, since %d: %d rows, want %d", since, seen, len(expected))
		}
	}
	other := q()
	other.Authority = authority(2)
	check("another authority", other, func(*registrar.Revocation) bool { return false })
	other = q()
	other.Domain = "other"
	check("another domain", other, func(*registrar.Revocation) bool { return false })
}

func testCertificateState(t *testing.T, s registrar.Store) {
	ctx := t.Context()
	check := func(what string, c *registrar.Certificate, expected registrar.CertificateState) {
		t.Helper()
		got, err := s.CertificateState(ctx, c.Domain, c.Authority, c.Serial)
		if err != nil || got.Issued != expected.Issued || got.Revoked != expected.Revoked || got.Reason != expected.Reason || !got.At.Equal(expected.At) {
			t.Errorf("%s: CertificateState = %+v, %v, want %+v", what, got, err, expected)
		}
	}
	c := intent(1, 1, "k")
	check("never issued", c, registrar.CertificateState{})
	commit(t, s, &registrar.Change{Intents: []*registrar.Certificate{c}})
	check("intended", c, registrar.CertificateState{})
	commit(t, s, &registrar.Change{Issued: []*registrar.Certificate{issued(c)}})
	check("issued", c, registrar.CertificateState{Issued: true})
	held := issued(c)
	held.Status, held.RevokedAt, held.RevokeReason = registrar.Revoked, at(9), registrar.ReasonHold
	commit(t, s, &registrar.Change{Revoked: []*registrar.Certificate{held}})
	check("on hold", c, registrar.CertificateState{Issued: true, Revoked: true, At: at(9), Reason: registrar.ReasonHold})
	released := *held
	released.Status, released.RevokedAt, released.RevokeReason = registrar.Issued, at(10), registrar.ReasonRelease
	commit(t, s, &registrar.Change{Released: []*registrar.Certificate{&released}})
	check("released", c, registrar.CertificateState{Issued: true})
	other := *c
	other.Authority = authority(2)
	check("of another authority", &other, registrar.CertificateState{})
	other = *c
	other.Domain = "other"
	check("of another domain", &other, registrar.CertificateState{})
	gone := intent(2, 2, "k2")
	commit(t, s, &registrar.Change{Intents: []*registrar.Certificate{gone}})
	commit(t, s, &registrar.Change{Abandoned: []*registrar.Certificate{gone}})
	check("abandoned", gone, registrar.CertificateState{})
}

func testPartitions(t *testing.T, s registrar.Store) {
	put := func(domain, authority string, count int) {
		t.Helper()
		commit(t, s, &registrar.Change{PutPartitions: []*registrar.CRLPartitions{{Domain: domain, Authority: authority, Count: count}}})
	}
	put(registrar.DefaultDomain, authority(1), 16)
	put(registrar.DefaultDomain, authority(1), 4)
	put(registrar.DefaultDomain, authority(1), 16)
	put(registrar.DefaultDomain, authority(2), 2)
	put("other", authority(1), 8)
	got, err := s.CRLPartitions(t.Context(), registrar.DefaultDomain, authority(1))
	want(t, "CRLPartitions", got, err, []int{4, 16})
}
