package main

import (
	"context"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Issuers that ask other CAs are opened anew with each configuration: those of before leave nothing running.
func TestFiftyReloadsLeaveNoGoroutinesBehind(t *testing.T) {
	p := newCMPPlant(t)
	write(t, p.dir+"/password", "secret\n")
	data, err := os.ReadFile(p.config.file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), "\nissuers:\n", "\nissuers:\n  - name: away\n    est: {url: \"https://127.0.0.1:1\", user: u, password: password, roots: plant.pem, learned: learned.pem}\n", 1)
	write(t, p.config.file, text)
	if p.config, err = loadRegistrarConfig(p.config.file); err != nil {
		t.Fatal(err)
	}
	s, _, err := startRegistrar(t.Context(), p.config, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.serve(ctx) }()
	p.at = s.devices.Addr().String()
	p.issued(p.device("pump-1"))
	reload := func(times int) {
		for range times {
			if err := s.reload(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	reload(5)
	before := runtime.NumGoroutine()
	reload(50)
	const slack = 5 // less than one for each of ten reloads
	deadline := time.Now().Add(20 * time.Second)
	for runtime.NumGoroutine() > before+slack && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if after := runtime.NumGoroutine(); after > before+slack {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines after 50 reloads, %d before\n%s", after, before, stacks[:runtime.Stack(stacks, true)])
	}
	p.issued(p.device("pump-2"))
	cancel()
	if err := <-done; err != nil {
		t.Errorf("serve = %v", err)
	}
}
