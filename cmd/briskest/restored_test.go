package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	registrarstore "github.com/briskest/briskest/registrar/store"
)

// Issue 6, point 8: in every domain of the configuration, codes and tokens that may have been spent or revoked since the
// backup are good no more, and its own trail says so; once, for a restore.
func TestARestoreEndsCodesAndTokensInEveryDomain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registrar.db")
	store, err := registrarstore.Open(t.Context(), registrarstore.Options{Path: path, TrailKey: testpki.NewKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	config := &registrarConfig{others: []*registrarConfig{{Domain: "south"}}}
	now := time.Now().UTC()
	change := &registrar.Change{}
	for _, domain := range []string{registrar.DefaultDomain, "south"} {
		change.PutCodes = append(change.PutCodes,
			&registrar.Code{Domain: domain, SerialNumber: "open", Digest: []byte{1}, CreatedAt: now, ExpiresAt: now.Add(time.Hour)},
			&registrar.Code{Domain: domain, SerialNumber: "spent", Digest: []byte{1}, CreatedAt: now, ExpiresAt: now.Add(time.Hour), SpentAt: now, SpentKey: [32]byte{1}})
		change.PutAPITokens = append(change.PutAPITokens,
			&registrar.APIToken{Domain: domain, ID: "0123456789abcdef", Name: "robot", Role: "administrator", Digest: []byte{1}, CreatedAt: now, ExpiresAt: now.Add(time.Hour)})
	}
	if err := store.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	note := func() {
		t.Helper()
		if err := noteRestored(t.Context(), store, path, config.allDomains()); err != nil {
			t.Fatal(err)
		}
	}
	noted := func(domain string) (bodies []string) {
		t.Helper()
		entries, err := store.TrailEntries(t.Context(), domain, "", 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Kind == kindRestored {
				bodies = append(bodies, string(e.Body))
			}
		}
		return bodies
	}
	note() // there is nothing to note
	if n := len(noted("south")); n != 0 {
		t.Fatalf("without a restore: %d entries about one", n)
	}
	marker, err := json.Marshal(&restoredNote{Head: 1, MadeAt: now, RestoredAt: now, By: "cli:test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+restoredSuffix, marker, 0o600); err != nil {
		t.Fatal(err)
	}
	note()
	note()
	for _, domain := range []string{registrar.DefaultDomain, "south"} {
		codes, err := store.ListCodes(t.Context(), domain, "", 10)
		if err != nil || len(codes) != 2 || !codes[0].Revoked || codes[1].Revoked {
			t.Errorf("codes of %s: %+v, %v; want the open one revoked", domain, codes, err)
		}
		token, err := store.APIToken(t.Context(), domain, "0123456789abcdef")
		if err != nil || !token.Revoked {
			t.Errorf("token of %s: %+v, %v; want it revoked", domain, token, err)
		}
		if list := noted(domain); len(list) != 1 || !strings.Contains(list[0], `"codes_revoked":1,"tokens_revoked":1`) {
			t.Errorf("the trail of %s: %v", domain, list)
		}
	}
}
