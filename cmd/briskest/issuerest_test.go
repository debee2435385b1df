package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/estca"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/est/esttest"
	"github.com/briskest/briskest/internal/pemfile"
)

func TestLearnedCACertificatesOutliveTheServer(t *testing.T) {
	backend := esttest.New(t)
	url := backend.Serve(&est.Handler{Backend: backend})
	dir := t.TempDir()
	root := backend.CA.Chain[len(backend.CA.Chain)-1]
	for name, data := range map[string][]byte{"root.pem": pemfile.Encode(root.Raw), "password": []byte("secret\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &source{file: filepath.Join(dir, "registrar.yaml"), digests: make(map[string]string)}
	c := &estConfig{URL: url, User: "device", Password: "password", Roots: "root.pem", Learned: "learned.pem"}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	away := *c
	away.URL = "https://127.0.0.1:1"
	of := &registrarConfig{source: *s}
	late, err := away.open(t.Context(), of, nil)
	if err != nil || len(of.warnings) != 1 || !strings.Contains(of.warnings[0].Error(), "not known yet") {
		t.Fatalf("without the server and with nothing learned: %v and warnings %v, want one that says so", err, of.warnings)
	}
	of.warnings = nil
	if _, err := late.Chain(t.Context()); !errors.Is(err, ca.ErrUnavailable) {
		t.Errorf("its chain: %v, want ca.ErrUnavailable", err)
	}
	issuer, err := c.open(t.Context(), of, nil)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := issuer.Chain(t.Context())
	if err != nil || len(chain) != 2 || !chain[0].Equal(backend.CA.Certificate) || !chain[1].Equal(root) {
		t.Fatalf("the chain has %d certificates, %v, want the issuing CA and the root", len(chain), err)
	}
	if kept, err := pemfile.Certificates(filepath.Join(dir, "learned.pem")); err != nil || len(kept) != 2 || len(of.warnings) != 0 {
		t.Errorf("learned.pem has %d certificates, %v, and there are %d warnings; want 2 and none", len(kept), err, len(of.warnings))
	}
	known, err := away.open(t.Context(), of, nil)
	if _, isKnown := known.(*estca.CA); err != nil || !isKnown || len(of.warnings) != 1 {
		t.Errorf("without the server: %v and %d warnings, want what was learned and one", err, len(of.warnings))
	}
}
