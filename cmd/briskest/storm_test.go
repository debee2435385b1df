package main

import (
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/briskest/briskest/internal/bench"
	"github.com/briskest/briskest/internal/testbed"
)

// With BRISKEST_SOAK as many as `briskest bench storm` has by itself.
func TestEveryClientOfAStormIsEnrolledOnceAndNoConnectionFailsAfterABackOff(t *testing.T) {
	clients, sockets := 500, 200
	if os.Getenv("BRISKEST_SOAK") != "" {
		clients, sockets = 20000, 4000
	}
	bed := testbed.Start(t)
	out, errs, code := testbed.Run(t, bed.Program, "bench", "storm", "--dir", bed.Dir, "-n", strconv.Itoa(clients), "--sockets", strconv.Itoa(sockets), "-o", "json")
	if code != 0 {
		t.Fatalf("bench storm: exit %d\n%s%s", code, out, errs)
	}
	var r bench.StormResult
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("figures: storm: %d of %d clients enrolled at %.0f/s, %d told to come back, %d resets, %d timeouts, %d of these after a back-off, server at most %.0f MB",
		r.Enrolled, r.Clients, r.PerSecond, r.Busy, r.Resets, r.Timeouts, r.After, r.MemoryPeak)
	if limit := 100 + 0.1*float64(sockets); r.MemoryPeak > r.MemoryBefore+limit {
		t.Errorf("the server's memory grew from %.0f to %.0f MB, more than %.0f", r.MemoryBefore, r.MemoryPeak, limit)
	}
}
