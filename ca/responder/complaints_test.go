package responder_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/responder"
)

// said is a log.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (s *said) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(line)
}

func (s *said) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), what)
}

// Anybody may ask: what is not answered is one line a minute, and none of level error where only the time was over.
func TestRequestsThatAreNotAnsweredDoNotFillTheLog(t *testing.T) {
	var log said
	h := newHouse(t, func(c *responder.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	})
	h.set(1, responder.Status{Issued: true})
	broken := func(err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.broken = err
	}
	broken(fmt.Errorf("read: %w", context.DeadlineExceeded))
	for range 20 {
		h.post(h.request(1))
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	broken(errors.New("interrupted"))
	for range 20 {
		r := httptest.NewRequestWithContext(over, "POST", "/ocsp", bytes.NewReader(h.request(1)))
		r.Header.Set("Content-Type", "application/ocsp-request")
		h.do(r)
	}
	if n := log.count("level=ERROR"); n != 0 {
		t.Errorf("%d lines of level error about requests whose time was over, want none", n)
	}
	broken(errors.New("disk full"))
	for range 20 {
		h.post(h.request(1))
		h.fetch("/crl/" + h.ca.name() + "/1/0.crl")
	}
	if n := log.count("level=ERROR"); n != 1 || log.count("disk full") != 1 {
		t.Errorf("%d lines of level error about 40 requests within a minute, want 1", n)
	}
	h.advance(time.Minute)
	h.post(h.request(1))
	if n := log.count("level=ERROR"); n != 2 || log.count("since_last=39") != 1 {
		t.Errorf("a minute later there are %d lines, want a second one, which tells of the 39 before", n)
	}
}
