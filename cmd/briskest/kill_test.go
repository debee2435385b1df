package main_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testbed"
)

// certificateRow is what the test reads of `ca list -o json`.
type certificateRow struct {
	Serial string `json:"serial"`
	Status string `json:"status"`
}

// received collects what clients were given, over all lives of the registrar.
type received struct {
	mu      sync.Mutex
	serials map[string]bool
}

func (r *received) add(cert *x509.Certificate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serials[hex.EncodeToString(cert.SerialNumber.Bytes())] = true
}

// Promise 1: nothing is issued that is not on record, whenever the process dies.
func TestKilledRegistrarLosesNoCertificate(t *testing.T) {
	kills := 5
	if os.Getenv("BRISKEST_SOAK") != "" {
		kills = 50
	}
	bed := testbed.Once(t)
	got := &received{serials: make(map[string]bool)}
	for round := range kills {
		killOnce(t, bed, got)
		checkRecord(t, bed, got, round)
	}
	t.Logf("figures: %d kills, %d certificates received, none lost", kills, len(got.serials))
	if len(got.serials) < kills {
		t.Errorf("only %d certificates were issued in %d rounds: the load was not a load", len(got.serials), kills)
	}
}

// killOnce starts the registrar, puts 8 clients on it and kills it at a random moment.
func killOnce(t *testing.T, bed *testbed.Bed, got *received) {
	t.Helper()
	registrar := bed.Registrar(t)
	ctx, cancel := context.WithCancel(context.Background())
	clients := enrollUntil(ctx, t, &load{bed: bed, clients: 8, got: got.add, failed: func(error) {}}) // the registrar will be gone
	<-time.After(time.Duration(20+rand.IntN(400)) * time.Millisecond)
	registrar.Kill()
	cancel()
	clients.Wait()
}

// load is clients that enroll one new name after another.
type load struct {
	bed     *testbed.Bed
	clients int
	got     func(*x509.Certificate) // called by several clients at once
	failed  func(error)             // likewise; that client ends
}

// enrollUntil puts the load on the registrar until ctx ends or it fails.
func enrollUntil(ctx context.Context, t *testing.T, l *load) *sync.WaitGroup {
	t.Helper()
	user, password := l.bed.User(t)
	var clients sync.WaitGroup
	for range l.clients {
		c := &est.Client{URL: l.bed.EST, HTTP: l.bed.Client(t, nil), User: user, Password: est.Secret(password)}
		clients.Go(func() {
			for ctx.Err() == nil {
				csr, err := newRequest()
				if err != nil {
					t.Error(err)
					return
				}
				cert, err := c.SimpleEnroll(ctx, csr)
				if err != nil {
					l.failed(err)
					return
				}
				l.got(cert)
			}
		})
	}
	return &clients
}

func newRequest() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificateRequest(crand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "kill-" + crand.Text()},
	}, key)
}

var verified = regexp.MustCompile(`^(\d+) entries, head ([0-9a-f]{64})\n`)

// checkRecord restarts the registrar for its start-up pass, stops it, and looks
// at its record from the outside.
func checkRecord(t *testing.T, bed *testbed.Bed, got *received, round int) {
	t.Helper()
	config := filepath.Join(bed.Dir, "registrar.yaml")
	registrar := bed.Registrar(t)
	out, errs, code := testbed.Run(t, bed.Program, "ca", "list", "--config", config, "-o", "json")
	if code != 0 {
		t.Fatalf("round %d: ca list: exit %d\n%s", round, code, errs)
	}
	status := make(map[string]string)
	issued := 0
	for _, row := range testbed.JSONLines[certificateRow](t, out) {
		if status[row.Serial] != "" {
			t.Errorf("round %d: serial %s is in the store twice", round, row.Serial)
		}
		status[row.Serial] = row.Status
		switch row.Status {
		case "intended":
			t.Errorf("round %d: intent %s has no outcome after the start-up pass", round, row.Serial)
		case "issued", "revoked":
			issued++
		}
	}
	for serial := range got.serials {
		if status[serial] != "issued" {
			t.Errorf("round %d: a client holds certificate %s, its status in the store is %q, want issued", round, serial, status[serial])
		}
	}
	registrar.Stop()
	out, errs, code = testbed.Run(t, bed.Program, "trail", "verify", "--config", config)
	match := verified.FindStringSubmatch(out)
	if code != 0 || match == nil {
		t.Fatalf("round %d: trail verify: exit %d, printed %q\n%s", round, code, out, errs)
	}
	if n, err := strconv.Atoi(match[1]); err != nil || n < issued {
		t.Errorf("round %d: the trail has %s entries, want at least %d, one for each certificate", round, match[1], issued)
	}
}

func TestTrailVerifyFindsARowChangedByHand(t *testing.T) {
	bed := testbed.Once(t)
	dir, program := bed.Dir, bed.Program
	config := filepath.Join(dir, "registrar.yaml")
	db := filepath.Join(dir, "registrar", "registrar.db")
	whole, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range tampering(t, db) {
		t.Run(statement, func(t *testing.T) {
			t.Cleanup(func() { restore(t, db, whole) })
			tamper(t, db, statement)
			out, errs, code := testbed.Run(t, program, "trail", "verify", "--config", config)
			if code != 1 {
				t.Errorf("after %q trail verify: exit %d, want 1\n%s%s", statement, code, out, errs)
			}
		})
	}
	restore(t, db, whole)
	if out, errs, code := testbed.Run(t, program, "trail", "verify", "--config", config); code != 0 {
		t.Errorf("with every row back, trail verify: exit %d\n%s%s", code, out, errs)
	}
}

func restore(t *testing.T, db string, whole []byte) {
	t.Helper()
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(db + suffix); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(db, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if back, err := os.ReadFile(db); err != nil || !bytes.Equal(back, whole) {
		t.Fatal(fmt.Errorf("restore: %w", err))
	}
}
