package registrar_test

import (
	"crypto/ed25519"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/store"
	"pgregory.net/rapid"
)

// R12: the same on SQLite, in fewer sequences.
func TestEveryRevokedCertificateIsOnItsListsOnDisk(t *testing.T) {
	checks := flag.Lookup("rapid.checks").Value
	before := checks.String()
	check(t, checks.Set("8"))
	defer func() { check(t, checks.Set(before)) }()
	dir := t.TempDir()
	everyListIsWhole(t, func(rt *rapid.T, h *house) (registrar.Store, func()) {
		own, err := os.MkdirTemp(dir, "")
		if err != nil {
			rt.Fatal(err)
		}
		disk, err := store.Open(t.Context(), store.Options{
			Path: filepath.Join(own, "registrar.db"), TrailKey: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Now: h.now,
		})
		if err != nil {
			rt.Fatal(err)
		}
		return disk, func() {
			if err := disk.Close(); err != nil {
				rt.Error(err)
			}
		}
	})
}
