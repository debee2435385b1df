package store_test

import (
	"compress/gzip"
	"crypto/x509"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/store"
)

// testdata/before-issuers.db.gz was filled by the program as it was before migration
// 00007: of every four enrollments one stands, one was abandoned, one was revoked
// and one is open. What its trail says of them has to hold on.
func TestADatabaseFromBeforeThereWereSeveralIssuersIsAdopted(t *testing.T) {
	packed, err := os.Open("testdata/before-issuers.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "registrar.db")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.Upgrade(t.Context(), path); err != nil { // as a restore does with an earlier program's backup
		t.Fatalf("Upgrade: %v", err)
	}
	if _, err := store.Verify(t.Context(), path, key().Public()); err != nil {
		t.Fatalf("Verify after Upgrade: %v", err)
	}
	s := open(t, path)
	verified := func(what string) {
		t.Helper()
		if r, err := s.VerifyTrail(t.Context()); err != nil || r.Rows < 40 {
			t.Fatalf("VerifyTrail %s = %+v, %v", what, r, err)
		}
	}
	verified("after the migration")
	q := &registrar.CertificateQuery{Domain: registrar.DefaultDomain, Limit: 100}
	all, err := s.ListCertificates(t.Context(), q)
	if err != nil || len(all) != 12 {
		t.Fatalf("ListCertificates: %d rows, %v; want 12", len(all), err)
	}
	count := map[registrar.CertificateStatus]int{}
	for _, c := range all {
		count[c.Status]++
		if c.Issuer != "" || c.Authority != "" || c.Elsewhere || len(c.Serial) == 0 {
			t.Errorf("row %s: issuer %q, authority %q, elsewhere %t, serial %x", c.ID, c.Issuer, c.Authority, c.Elsewhere, c.Serial)
		}
		if c.Raw != nil {
			if of, err := s.CertificateOf(t.Context(), c.Domain, c.Serial, c.Raw); err != nil || of.ID != c.ID {
				t.Errorf("CertificateOf %s: %v, %v", c.ID, of, err)
			}
		}
	}
	if count[registrar.Issued] != 3 || count[registrar.Revoked] != 3 || count[registrar.Abandoned] != 3 || count[registrar.Intended] != 3 {
		t.Errorf("statuses %v; want three of each", count)
	}
	q.Unadopted = true
	orphans, err := s.ListCertificates(t.Context(), q)
	if err != nil || len(orphans) != 6 {
		t.Fatalf("unadopted: %d rows, %v; want 6", len(orphans), err)
	}
	authority := registrar.AuthorityOf(&x509.Certificate{RawSubjectPublicKeyInfo: []byte("the only CA")})
	for _, c := range orphans {
		c.Issuer, c.Authority = registrar.DefaultIssuer, authority
	}
	taken := *all[0]
	taken.ID, taken.Authority, taken.Elsewhere = registrar.NewID(taken.IntendedAt), authority, false
	if err := s.Commit(t.Context(), &registrar.Change{Intents: []*registrar.Certificate{&taken}}); err == nil {
		t.Error("the serial number of a row from before was taken once more")
	}
	if err := s.Commit(t.Context(), &registrar.Change{Adopted: orphans}); err != nil {
		t.Fatal(err)
	}
	verified("after the adoption")
	if left, err := s.ListCertificates(t.Context(), q); err != nil || len(left) != 0 {
		t.Errorf("unadopted afterwards: %d rows, %v", len(left), err)
	}
	for _, c := range all {
		change := &registrar.Change{}
		switch c.Status {
		case registrar.Issued:
			c.RevokedAt, c.RevokeReason = c.IssuedAt, registrar.ReasonHold
			change.Revoked = []*registrar.Certificate{c}
		case registrar.Intended:
			c.Explanation = "start-up"
			change.Abandoned = []*registrar.Certificate{c}
		default:
			continue
		}
		if err := s.Commit(t.Context(), change); err != nil {
			t.Errorf("%s row %s: %v", c.Status, c.ID, err)
		}
	}
	verified("after all of them changed")
	tampering := []string{
		"UPDATE certificates SET authority = x'00' WHERE status = 'revoked'", "UPDATE certificates SET serial = x'01' WHERE rowid = 1",
		"UPDATE certificates SET origin = 0 WHERE rowid = 1", "UPDATE certificates SET issuer = 'x' WHERE rowid = 2",
		"UPDATE certificates SET id = x'01' WHERE rowid = 1",
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, statement := range tampering {
		copied, changed := tamper(t, path, statement)
		if changed == 0 {
			t.Errorf("%s changed nothing", statement)
		}
		wantFound(t, copied, statement)
	}
	if _, err := store.Verify(t.Context(), path, key().Public()); err != nil {
		t.Errorf("Verify: %v", err)
	}
}
