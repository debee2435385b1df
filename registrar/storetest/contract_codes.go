package storetest

import (
	"testing"
	"time"

	"github.com/briskest/briskest/registrar"
)

func code(serial string) *registrar.Code {
	return &registrar.Code{
		Domain: registrar.DefaultDomain, SerialNumber: serial, Digest: []byte("digest of " + serial), CreatedAt: at(1), ExpiresAt: at(9),
	}
}

func testCodes(t *testing.T, s registrar.Store) {
	ctx, domain := t.Context(), registrar.DefaultDomain
	other := code("b")
	other.Domain = "other"
	commit(t, s, &registrar.Change{PutCodes: []*registrar.Code{code("b"), code("a"), other}})
	got, err := s.Code(ctx, domain, "b")
	want(t, "Code", got, err, code("b"))
	list, err := s.ListCodes(ctx, domain, "", 9)
	want(t, "ListCodes", list, err, []*registrar.Code{code("a"), code("b")})
	list, err = s.ListCodes(ctx, domain, "a", 9)
	want(t, "ListCodes after the first", list, err, []*registrar.Code{code("b")})
	list, err = s.ListCodes(ctx, domain, "", 1)
	want(t, "ListCodes of one", list, err, []*registrar.Code{code("a")})

	revoked := code("a")
	revoked.Revoked = true
	commit(t, s, &registrar.Change{PutCodes: []*registrar.Code{revoked}})
	got, err = s.Code(ctx, domain, "a")
	want(t, "Code after it was replaced", got, err, revoked)
	got, err = s.Code(ctx, "other", "b")
	want(t, "Code of another domain", got, err, other)
}

func spending(serial, key, names string) *registrar.Spending {
	return &registrar.Spending{
		Domain: registrar.DefaultDomain, SerialNumber: serial, Digest: code(serial).Digest, KeyHash: hash(key), NamesHash: hash(names), At: at(5),
	}
}

// A code is spent once, for one key and its names, or not at all.
func testSpending(t *testing.T, s registrar.Store) {
	revoked := code("revoked")
	revoked.Revoked = true
	commit(t, s, &registrar.Change{PutCodes: []*registrar.Code{code("a"), revoked}})
	one := []*registrar.Spending{spending("a", "key", "names")}
	commit(t, s, &registrar.Change{Spendable: one})
	got, err := s.Code(t.Context(), registrar.DefaultDomain, "a")
	want(t, "Code that was looked at", got, err, code("a"))

	commit(t, s, &registrar.Change{Spend: one})
	later := *one[0]
	later.At = at(7)
	commit(t, s, &registrar.Change{Spendable: one, Spend: []*registrar.Spending{&later}}) // the same pair asks again
	spent := code("a")
	spent.SpentAt, spent.SpentKey, spent.SpentNames = at(5), hash("key"), hash("names")
	got, err = s.Code(t.Context(), registrar.DefaultDomain, "a")
	want(t, "Code that was spent", got, err, spent)

	wrong := spending("a", "key", "names")
	wrong.Digest = []byte("another")
	elsewhere := spending("a", "key", "names")
	elsewhere.Domain = "other"
	for what, p := range map[string]*registrar.Spending{
		"another key": spending("a", "key2", "names"), "other names": spending("a", "key", "names2"), "a replaced code": wrong,
		"a revoked code": spending("revoked", "key", "names"), "no code": spending("none", "key", "names"), "another domain's": elsewhere,
	} {
		d := device(1)
		d.SerialNumber = what
		wantConflict(t, s, "Spend: "+what, &registrar.Change{PutDevices: []*registrar.Device{d}, Spend: []*registrar.Spending{p}})
		wantConflict(t, s, "Spendable: "+what, &registrar.Change{PutDevices: []*registrar.Device{d}, Spendable: []*registrar.Spending{p}})
	}
	list, err := s.ListDevices(t.Context(), registrar.DefaultDomain, "", 9)
	want(t, "ListDevices after conflicts", list, err, nil)
}

// Of two changes at once that spend one code for different keys, one is refused.
func testSpendingAtOnce(t *testing.T, s registrar.Store) {
	commit(t, s, &registrar.Change{PutCodes: []*registrar.Code{code("a")}})
	const n = 8
	errs := make(chan error, n)
	for i := range n {
		go func() {
			errs <- s.Commit(t.Context(), &registrar.Change{Spend: []*registrar.Spending{spending("a", string(rune('a'+i)), "names")}})
		}()
	}
	done := 0
	for range n {
		if err := <-errs; err == nil {
			done++
		}
	}
	if done != 1 {
		t.Errorf("%d of %d changes spent the code, want 1", done, n)
	}
}

func testDigests(t *testing.T, s registrar.Store) {
	k := &registrar.Credential{
		Domain: registrar.DefaultDomain, User: "u", Scheme: "sha256", Salt: []byte{1}, Digest: []byte{2}, CreatedAt: at(1).In(time.UTC),
		Realm: "est", HA1: "aa", HA1MD5: "bb",
	}
	commit(t, s, &registrar.Change{PutCredentials: []*registrar.Credential{k}})
	got, err := s.Credential(t.Context(), k.Domain, "u")
	want(t, "Credential with digests", got, err, k)
	plain := *k
	plain.Realm, plain.HA1, plain.HA1MD5 = "", "", ""
	commit(t, s, &registrar.Change{PutCredentials: []*registrar.Credential{&plain}})
	got, err = s.Credential(t.Context(), k.Domain, "u")
	want(t, "Credential replaced by one without", got, err, &plain)
	list, err := s.ListCredentials(t.Context(), k.Domain)
	want(t, "ListCredentials", list, err, []*registrar.Credential{&plain})
}
