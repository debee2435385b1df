package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/briskest/briskest/registrar"
)

// delegated is an intent whose serial number another CA chooses.
func delegated(n int) *registrar.Certificate {
	c := intent(n, n, "key")
	c.Issuer, c.Authority, c.Serial, c.Elsewhere = "upstream", "", nil, true
	return c
}

func signed(c *registrar.Certificate, by, number int) *registrar.Certificate {
	n := *c
	n.Authority, n.Serial = authority(by), serial(number)
	n.Status, n.Raw, n.IssuedAt = registrar.Issued, append([]byte{0x30, 0x82, byte(by)}, n.Serial...), at(3)
	return &n
}

// R11: two CAs may give the same serial number.
func testCertificateOf(t *testing.T, s registrar.Store) {
	ctx := t.Context()
	mine := intent(7, 1, "key")
	theirs := intent(8, 2, "other")
	theirs.Authority, theirs.Serial = authority(2), mine.Serial
	commit(t, s, &registrar.Change{Intents: []*registrar.Certificate{mine, theirs}})
	mine, theirs = issued(mine), issued(theirs)
	theirs.Raw = append([]byte{0x31}, theirs.Raw...)
	commit(t, s, &registrar.Change{Issued: []*registrar.Certificate{mine}})
	commit(t, s, &registrar.Change{Issued: []*registrar.Certificate{theirs}})
	for range 2 { // the second time from memory
		for _, c := range []*registrar.Certificate{mine, theirs} {
			got, err := s.CertificateOf(ctx, c.Domain, c.Serial, c.Raw)
			want(t, "CertificateOf", got, err, c)
		}
		for what, raw := range map[string][]byte{"another": {0x30, 1}, "no": nil} {
			if got, err := s.CertificateOf(ctx, mine.Domain, mine.Serial, raw); !errors.Is(err, registrar.ErrNotFound) {
				t.Errorf("CertificateOf %s certificate with the serial number = %v, %v; want ErrNotFound", what, got, err)
			}
		}
	}
	both, err := s.ListCertificates(ctx, &registrar.CertificateQuery{Domain: mine.Domain, Serial: mine.Serial, Limit: 5})
	want(t, "ListCertificates of the serial number", both, err, []*registrar.Certificate{mine, theirs})
	one, err := s.ListCertificates(ctx, &registrar.CertificateQuery{Domain: mine.Domain, Serial: mine.Serial, Authority: authority(2), Limit: 5})
	want(t, "ListCertificates of serial number and authority", one, err, []*registrar.Certificate{theirs})
	theirs.Status, theirs.RevokedAt, theirs.RevokeReason = registrar.Revoked, at(9), 1
	commit(t, s, &registrar.Change{Revoked: []*registrar.Certificate{theirs}})
	got, err := s.CertificateOf(ctx, mine.Domain, mine.Serial, mine.Raw)
	want(t, "CertificateOf after the other was revoked", got, err, mine)
	got, err = s.CertificateOf(ctx, theirs.Domain, theirs.Serial, theirs.Raw)
	want(t, "CertificateOf of the revoked one", got, err, theirs)
}

func testElsewhere(t *testing.T, s registrar.Store) {
	ctx := t.Context()
	first, second, third := delegated(1), delegated(2), delegated(3)
	commit(t, s, &registrar.Change{Intents: []*registrar.Certificate{first, second, third}})
	open, err := s.OpenIntents(ctx)
	want(t, "OpenIntents", open, err, []*registrar.Certificate{first, second, third})
	early := delegated(4)
	early.Serial = serial(4)
	wantConflict(t, s, "an intent that knows what another CA will choose", &registrar.Change{Intents: []*registrar.Certificate{early}})
	lying := signed(first, 5, 77)
	lying.Elsewhere = false
	wantConflict(t, s, "an outcome that says the serial number was chosen here", &registrar.Change{Issued: []*registrar.Certificate{lying}})

	first = signed(first, 5, 77)
	commit(t, s, &registrar.Change{Issued: []*registrar.Certificate{first}})
	got, err := s.CertificateOf(ctx, first.Domain, first.Serial, first.Raw)
	want(t, "CertificateOf", got, err, first)
	wantConflict(t, s, "the same serial number of the same CA", &registrar.Change{Issued: []*registrar.Certificate{signed(second, 5, 77)}})
	second = signed(second, 6, 77)
	commit(t, s, &registrar.Change{Issued: []*registrar.Certificate{second}})
	third.Status, third.Explanation = registrar.Abandoned, "it never answered"
	commit(t, s, &registrar.Change{Abandoned: []*registrar.Certificate{third}})
	all, err := s.ListCertificates(ctx, &registrar.CertificateQuery{Domain: first.Domain, Issuer: "upstream", Limit: 5})
	want(t, "ListCertificates of the issuer", all, err, []*registrar.Certificate{first, second, third})
	wantConflict(t, s, "the ID of an issuance", &registrar.Change{Intents: []*registrar.Certificate{delegated(3)}})
	wantConflict(t, s, "an issuer for a row that has one", &registrar.Change{Adopted: []*registrar.Certificate{first}})
}

func testHold(t *testing.T, s registrar.Store) {
	one := func(c *registrar.Certificate) []*registrar.Certificate { return []*registrar.Certificate{c} }
	c := intent(1, 1, "key")
	commit(t, s, &registrar.Change{Intents: one(c)})
	c = issued(c)
	commit(t, s, &registrar.Change{Issued: one(c)})
	wantConflict(t, s, "a release of what is not on hold", &registrar.Change{Released: one(c)})
	held := *c
	held.Status, held.RevokedAt, held.RevokeReason = registrar.Revoked, at(5), registrar.ReasonHold
	for range 2 {
		commit(t, s, &registrar.Change{Revoked: one(&held)})
		got, err := s.Certificate(t.Context(), c.Domain, c.ID)
		want(t, "Certificate on hold", got, err, &held)
		c.RevokedAt, c.RevokeReason = at(6), registrar.ReasonRelease
		commit(t, s, &registrar.Change{Released: one(c)})
		got, err = s.Certificate(t.Context(), c.Domain, c.ID)
		want(t, "Certificate after its release", got, err, c)
	}
	commit(t, s, &registrar.Change{Revoked: one(&held)})
	final := held
	final.RevokedAt, final.RevokeReason = at(7), 1
	commit(t, s, &registrar.Change{Revoked: one(&final)})
	got, err := s.Certificate(t.Context(), c.Domain, c.ID)
	want(t, "Certificate that was revoked while on hold", got, err, &final)
	wantConflict(t, s, "a release of what is revoked for good", &registrar.Change{Released: one(c)})
	wantConflict(t, s, "a hold of what is revoked for good", &registrar.Change{Revoked: one(&held)})
}

func testOutstanding(t *testing.T, s registrar.Store) {
	ctx := t.Context()
	row := func(n int, state string) *registrar.Outstanding {
		return &registrar.Outstanding{Domain: registrar.DefaultDomain, ID: issuanceID(n), CSR: []byte{0x30, byte(n)}, Decided: []byte("{}"), State: []byte(state)}
	}
	commit(t, s, &registrar.Change{PutOutstanding: []*registrar.Outstanding{row(2, ""), row(1, "")}})
	commit(t, s, &registrar.Change{PutOutstanding: []*registrar.Outstanding{row(2, "order 7")}})
	one, err := s.Outstanding(ctx, registrar.DefaultDomain, issuanceID(2))
	want(t, "Outstanding", one, err, row(2, "order 7"))
	got, err := s.ListOutstanding(ctx)
	first := row(1, "")
	first.State = nil
	want(t, "ListOutstanding", got, err, []*registrar.Outstanding{first, row(2, "order 7")})
	commit(t, s, &registrar.Change{DropOutstanding: []*registrar.Outstanding{first, row(9, "")}})
	got, err = s.ListOutstanding(ctx)
	want(t, "ListOutstanding after one was dropped", got, err, []*registrar.Outstanding{row(2, "order 7")})
}

func testUntold(t *testing.T, s registrar.Store) {
	ctx := t.Context()
	row := func(n, second, reason int) *registrar.Untold {
		return &registrar.Untold{Domain: registrar.DefaultDomain, ID: issuanceID(n), At: at(second), Reason: reason}
	}
	commit(t, s, &registrar.Change{PutUntold: []*registrar.Untold{row(2, 5, 6), row(1, 5, 1), row(3, 5, 4)}})
	commit(t, s, &registrar.Change{PutUntold: []*registrar.Untold{row(2, 7, registrar.ReasonRelease)}})
	commit(t, s, &registrar.Change{DropUntold: []*registrar.Untold{row(2, 5, 6), row(1, 5, 1)}}) // the first was overtaken
	got, err := s.ListUntold(ctx, registrar.DefaultDomain, "", 10)
	want(t, "ListUntold", got, err, []*registrar.Untold{row(2, 7, registrar.ReasonRelease), row(3, 5, 4)})
	got, err = s.ListUntold(ctx, registrar.DefaultDomain, issuanceID(2), 10)
	want(t, "ListUntold after the first", got, err, []*registrar.Untold{row(3, 5, 4)})
	precise := row(3, 5, 4)
	precise.At = precise.At.Add(300 * time.Nanosecond) // as the caller had it
	commit(t, s, &registrar.Change{DropUntold: []*registrar.Untold{precise}})
	got, err = s.ListUntold(ctx, "elsewhere", "", 10)
	want(t, "ListUntold of another domain", got, err, nil)
}
