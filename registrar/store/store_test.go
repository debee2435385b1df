package store_test

import (
	"context"
	"crypto/ed25519"
	"path/filepath"
	"testing"

	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/store"
	"github.com/briskest/briskest/registrar/storetest"
)

// key is the trail's key in these tests.
func key() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

func open(tb testing.TB, path string) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), store.Options{Path: path, TrailKey: key()})
	if err != nil {
		tb.Fatalf("Open(%s): %v", path, err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSQLiteKeepsTheContract(t *testing.T) {
	storetest.TestStore(t, func(t *testing.T) registrar.Store {
		s := open(t, filepath.Join(t.TempDir(), "registrar.db"))
		t.Cleanup(func() {
			if _, err := s.VerifyTrail(context.WithoutCancel(t.Context())); err != nil {
				t.Errorf("VerifyTrail: %v", err)
			}
		})
		return s
	})
}
