package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/store"
)

// killEnv names the database of the process that is going to be killed, and
// the number of its first enrollment.
const killEnv = "BRISKEST_STORE_KILL"

// TestKillHelper is that process: it enrolls from 8 goroutines and prints the
// number of each enrollment once it is acknowledged.
func TestKillHelper(t *testing.T) {
	path, from := os.Getenv(killEnv), os.Getenv(killEnv+"_FROM")
	if path == "" {
		return // there is nobody to kill it
	}
	next, err := strconv.Atoi(from)
	if err != nil {
		t.Fatal(err)
	}
	numbers := make(chan int)
	s := open(t, path)
	for range 8 {
		go func() {
			for n := range numbers {
				intended, issued := enrollment(n)
				if err := errors.Join(s.Commit(context.Background(), intended), s.Commit(context.Background(), issued)); err != nil {
					panic(err)
				}
				if _, err := fmt.Fprintf(os.Stdout, "acknowledged %d\n", n); err != nil {
					panic(err)
				}
			}
		}()
	}
	for ; ; next++ {
		numbers <- next
	}
}

func TestKilledStoreKeepsWhatItAcknowledged(t *testing.T) {
	rounds := 3
	if os.Getenv("BRISKEST_SOAK") != "" {
		rounds = 50
	}
	path := filepath.Join(t.TempDir(), "registrar.db")
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // picks moments, not secrets
	acknowledged := map[int]bool{}
	from := 0
	for round := range rounds {
		from = enrollUntilKilled(t, path, from, 1+rng.IntN(400), acknowledged) + 100
		if _, err := store.Verify(t.Context(), path, key().Public()); err != nil {
			t.Errorf("round %d: Verify of what was left: %v", round, err)
		}
		s := open(t, path)
		checkAcknowledged(t, s, acknowledged)
		r, err := s.VerifyTrail(t.Context())
		if err != nil {
			t.Errorf("round %d: VerifyTrail: %v", round, err)
		} else if r.Entries < int64(2*len(acknowledged)) {
			t.Errorf("round %d: %d entries for %d enrollments", round, r.Entries, len(acknowledged))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d enrollments acknowledged, all kept", rounds, len(acknowledged))
}

// enrollUntilKilled starts the helper and kills it after that many answers. It
// returns the highest number acknowledged.
func enrollUntilKilled(t *testing.T, path string, from, answers int, acknowledged map[int]bool) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKillHelper$") //nolint:gosec // this test itself
	cmd.Env = append(os.Environ(), killEnv+"="+path, killEnv+"_FROM="+strconv.Itoa(from))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	highest, seen := from, 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var n int
		if _, err := fmt.Sscanf(lines.Text(), "acknowledged %d", &n); err != nil {
			t.Errorf("the helper says %q", lines.Text())
			continue
		}
		acknowledged[n] = true
		highest = max(highest, n)
		if seen++; seen == answers {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || seen < answers {
		t.Fatalf("the helper ended by itself after %d answers: %v", seen, err)
	}
	return highest
}

func checkAcknowledged(t *testing.T, s *store.Store, acknowledged map[int]bool) {
	t.Helper()
	for n := range acknowledged {
		_, change := enrollment(n)
		want := change.Issued[0]
		got, err := s.Certificate(t.Context(), want.Domain, want.ID)
		if err != nil || got.Status != registrar.Issued || string(got.Raw) != string(want.Raw) {
			t.Errorf("enrollment %d was acknowledged, now it is %+v, %v", n, got, err)
		}
		if _, err := s.Device(t.Context(), want.Domain, want.DeviceID); err != nil {
			t.Errorf("device of enrollment %d: %v", n, err)
		}
	}
	open, err := s.OpenIntents(t.Context())
	if err != nil || len(open) > 8*50 {
		t.Errorf("OpenIntents: %d, %v", len(open), err)
	}
}
