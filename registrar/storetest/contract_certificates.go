package storetest

import (
	"errors"
	"testing"

	"github.com/briskest/briskest/registrar"
)

func testLifecycle(t *testing.T, s registrar.Store) {
	ctx := t.Context()
	c := intent(7, 1, "key")
	commit(t, s, &registrar.Change{Intents: []*registrar.Certificate{issued(c)}}) // only the intent's part counts
	got, err := s.Certificate(ctx, c.Domain, c.ID)
	want(t, "Certificate after the intent", got, err, intent(7, 1, "key"))

	commit(t, s, &registrar.Change{Issued: []*registrar.Certificate{issued(c)}})
	got, err = s.Certificate(ctx, c.Domain, c.ID)
	want(t, "Certificate after it was issued", got, err, issued(c))

	r := issued(c)
	r.Status, r.RevokedAt, r.RevokeReason = registrar.Revoked, at(9), 4
	commit(t, s, &registrar.Change{Revoked: []*registrar.Certificate{{
		Domain: c.Domain, ID: c.ID, RevokedAt: at(9), RevokeReason: 4,
	}}})
	got, err = s.Certificate(ctx, c.Domain, c.ID)
	want(t, "Certificate after it was revoked", got, err, r)

	a := intent(8, 1, "key")
	commit(t, s, &registrar.Change{Intents: []*registrar.Certificate{a}})
	a.Status, a.Explanation = registrar.Abandoned, "the signer was never asked"
	commit(t, s, &registrar.Change{Abandoned: []*registrar.Certificate{a}})
	got, err = s.Certificate(ctx, a.Domain, a.ID)
	want(t, "Certificate after it was abandoned", got, err, a)
}

func testMoves(t *testing.T, s registrar.Store) {
	one := func(c *registrar.Certificate) []*registrar.Certificate { return []*registrar.Certificate{c} }
	move := map[registrar.CertificateStatus]func(c *registrar.Certificate) *registrar.Change{
		registrar.Issued:    func(c *registrar.Certificate) *registrar.Change { return &registrar.Change{Issued: one(c)} },
		registrar.Abandoned: func(c *registrar.Certificate) *registrar.Change { return &registrar.Change{Abandoned: one(c)} },
		registrar.Revoked:   func(c *registrar.Certificate) *registrar.Change { return &registrar.Change{Revoked: one(c)} },
	}
	allowed := map[[2]registrar.CertificateStatus]bool{
		{registrar.Intended, registrar.Issued}:    true,
		{registrar.Intended, registrar.Abandoned}: true,
		{registrar.Issued, registrar.Revoked}:     true,
	}
	n := 0
	for _, from := range []registrar.CertificateStatus{"", registrar.Intended, registrar.Issued, registrar.Abandoned, registrar.Revoked} {
		for to, change := range move {
			n++
			c := intent(n, n, "k")
			if from != "" {
				commit(t, s, &registrar.Change{Intents: one(c)})
			}
			if from == registrar.Issued || from == registrar.Revoked {
				commit(t, s, move[registrar.Issued](issued(c)))
			}
			if from == registrar.Abandoned || from == registrar.Revoked {
				commit(t, s, move[from](issued(c)))
			}
			err := s.Commit(t.Context(), change(issued(c)))
			if allowed[[2]registrar.CertificateStatus{from, to}] {
				if err != nil {
					t.Errorf("%q to %q: %v", from, to, err)
				}
			} else if !errors.Is(err, registrar.ErrConflict) {
				t.Errorf("%q to %q: error %v, want ErrConflict", from, to, err)
			}
		}
	}
}

func testSerial(t *testing.T, s registrar.Store) {
	c := intent(7, 1, "key")
	commit(t, s, &registrar.Change{Intents: []*registrar.Certificate{c}})
	wantConflict(t, s, "the serial number of an intent", &registrar.Change{Intents: []*registrar.Certificate{intent(7, 2, "other")}})
	commit(t, s, &registrar.Change{Issued: []*registrar.Certificate{issued(c)}})
	wantConflict(t, s, "the serial number of a certificate", &registrar.Change{Intents: []*registrar.Certificate{intent(7, 2, "other")}})
	wantConflict(t, s, "a serial number twice", &registrar.Change{
		Intents: []*registrar.Certificate{intent(8, 1, "key"), intent(8, 1, "key")},
	})
	got, err := s.Certificate(t.Context(), c.Domain, c.ID)
	want(t, "Certificate", got, err, issued(c))
}

func testCurrent(t *testing.T, s registrar.Store) {
	q := &registrar.CurrentQuery{Domain: registrar.DefaultDomain, DeviceID: id(1), KeyHash: hash("key"), NamesHash: hash("names1")}
	for n := 1; n <= 4; n++ {
		c := intent(n, 1, "key")
		commit(t, s, &registrar.Change{Intents: []*registrar.Certificate{c}})
		if n < 4 {
			commit(t, s, &registrar.Change{Issued: []*registrar.Certificate{issued(c)}})
		}
	}
	commit(t, s, &registrar.Change{Revoked: []*registrar.Certificate{{Domain: q.Domain, ID: issuanceID(3), RevokedAt: at(5)}}})
	got, err := s.CurrentCertificate(t.Context(), q)
	want(t, "CurrentCertificate", got, err, issued(intent(2, 1, "key")))
	for what, change := range map[string]func(*registrar.CurrentQuery){
		"another key":    func(q *registrar.CurrentQuery) { q.KeyHash[31] ^= 1 },
		"other names":    func(q *registrar.CurrentQuery) { q.NamesHash[0] ^= 1 },
		"another device": func(q *registrar.CurrentQuery) { q.DeviceID = id(2) },
		"another domain": func(q *registrar.CurrentQuery) { q.Domain = "other" },
	} {
		other := *q
		change(&other)
		if got, err := s.CurrentCertificate(t.Context(), &other); !errors.Is(err, registrar.ErrNotFound) {
			t.Errorf("CurrentCertificate of %s = %v, error %v, want ErrNotFound", what, got, err)
		}
	}
}

func testListCertificates(t *testing.T, s registrar.Store) {
	all := make([]*registrar.Certificate, 0, 6)
	for n := range 6 {
		c := intent(n, n%2, []string{"a", "b", "c"}[n%3])
		commit(t, s, &registrar.Change{Intents: []*registrar.Certificate{c}})
		if n != 3 {
			c = issued(c)
			commit(t, s, &registrar.Change{Issued: []*registrar.Certificate{c}})
		}
		if n == 5 {
			c.Status, c.RevokedAt, c.RevokeReason = registrar.Revoked, at(8), 1
			commit(t, s, &registrar.Change{Revoked: []*registrar.Certificate{c}})
		}
		all = append(all, c)
	}
	b := hash("b")
	for _, c := range []struct {
		name string
		q    registrar.CertificateQuery
		want []int
	}{
		{"all", registrar.CertificateQuery{Limit: 10000}, []int{0, 1, 2, 3, 4, 5}},
		{"the first two", registrar.CertificateQuery{Limit: 2}, []int{0, 1}},
		{"two after the second", registrar.CertificateQuery{Limit: 2, After: issuanceID(1)}, []int{2, 3}},
		{"a device's", registrar.CertificateQuery{Limit: 10, DeviceID: id(1)}, []int{1, 3, 5}},
		{"a device's issued", registrar.CertificateQuery{Limit: 10, DeviceID: id(1), Status: registrar.Issued}, []int{1}},
		{"a device's revoked", registrar.CertificateQuery{Limit: 10, DeviceID: id(1), Status: registrar.Revoked}, []int{5}},
		{"a key's", registrar.CertificateQuery{Limit: 10, KeyHash: b[:]}, []int{1, 4}},
		{"a key's on a device", registrar.CertificateQuery{Limit: 10, KeyHash: b[:], DeviceID: id(0)}, []int{4}},
		{"issued", registrar.CertificateQuery{Limit: 10, Status: registrar.Issued}, []int{0, 1, 2, 4}},
		{"intended", registrar.CertificateQuery{Limit: 10, Status: registrar.Intended}, []int{3}},
		{"revoked", registrar.CertificateQuery{Limit: 10, Status: registrar.Revoked}, []int{5}},
		{"revoked after the last", registrar.CertificateQuery{Limit: 10, Status: registrar.Revoked, After: issuanceID(5)}, nil},
	} {
		c.q.Domain = registrar.DefaultDomain
		var expected []*registrar.Certificate
		for _, n := range c.want {
			expected = append(expected, all[n])
		}
		got, err := s.ListCertificates(t.Context(), &c.q)
		want(t, "ListCertificates of "+c.name, got, err, expected)
	}
	for _, q := range []registrar.CertificateQuery{{Limit: 1}, {Domain: "default"}, {Domain: "default", Limit: 10001}} {
		if _, err := s.ListCertificates(t.Context(), &q); err == nil {
			t.Errorf("ListCertificates(%+v) gave no error", q)
		}
	}
}

func testOpenIntents(t *testing.T, s registrar.Store) {
	for n := range 4 {
		commit(t, s, &registrar.Change{Intents: []*registrar.Certificate{intent(n, n, "k")}})
	}
	commit(t, s, &registrar.Change{
		Issued:    []*registrar.Certificate{issued(intent(0, 0, "k"))},
		Abandoned: []*registrar.Certificate{intent(2, 2, "k")},
	})
	got, err := s.OpenIntents(t.Context())
	want(t, "OpenIntents", got, err, []*registrar.Certificate{intent(1, 1, "k"), intent(3, 3, "k")})
}

func testCompromised(t *testing.T, s registrar.Store) {
	n := 0
	revoked := func(key string, reason int) *registrar.Certificate {
		n++
		c := intent(n, n, key)
		commit(t, s, &registrar.Change{Intents: []*registrar.Certificate{c}})
		commit(t, s, &registrar.Change{Issued: []*registrar.Certificate{issued(c)}})
		r := issued(c)
		r.RevokedAt, r.RevokeReason = at(9), reason
		commit(t, s, &registrar.Change{Revoked: []*registrar.Certificate{r}})
		return r
	}
	for reason, compromised := range map[int]bool{0: false, 1: true, 2: true, 3: false, 4: false, 5: false, 9: false, 10: true} {
		key := "key " + string(rune('a'+reason))
		r := revoked(key, reason)
		n++
		c := &registrar.Change{Intents: []*registrar.Certificate{intent(n, n, key)}}
		if !compromised {
			commit(t, s, c)
			continue
		}
		wantConflict(t, s, "a key that is compromised", c)
		c.Intents[0].Domain = "elsewhere"
		commit(t, s, c)
		if r.KeyHash != c.Intents[0].KeyHash {
			t.Error("the keys differ")
		}
	}
}
