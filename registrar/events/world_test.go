package events_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/hooksign"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/events"
	"github.com/briskest/briskest/registrar/events/webhook"
	"github.com/briskest/briskest/registrar/store"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// world is a store with devices, and a dispatcher over it.
type world struct {
	t      *testing.T
	path   string
	store  *store.Store
	d      *events.Dispatcher
	logged *lockedLog
}

// lockedLog keeps what is logged.
type lockedLog struct {
	mu   sync.Mutex
	text []byte
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	return len(b), nil
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "registrar.db"), logged: &lockedLog{}}
	w.open()
	t.Cleanup(func() { w.close() })
	return w
}

func (w *world) open() {
	w.t.Helper()
	var err error
	w.store, err = store.Open(context.Background(), store.Options{
		Path: w.path, TrailKey: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Woken: func() { w.d.Wake() },
	})
	if err != nil {
		w.t.Fatalf("Open: %v", err)
	}
	w.d = events.New(events.Config{Domain: registrar.DefaultDomain, Store: w.store, Records: w.store, Log: slog.New(slog.NewTextHandler(w.logged, nil))})
}

func (w *world) close() {
	w.d.Close()
	if err := w.store.Close(); err != nil {
		w.t.Errorf("Close: %v", err)
	}
}

// start has events brought to the targets.
func (w *world) start(targets ...*events.Target) {
	w.t.Helper()
	s := &events.Settings{Source: "https://registrar.example", Targets: targets}
	if err := s.Check(); err != nil {
		w.t.Fatalf("Check: %v", err)
	}
	w.d.Set(s)
	w.d.Start()
}

// target is a webhook that tries often.
func target(t *testing.T, name, url string) *events.Target {
	t.Helper()
	s, err := webhook.New(webhook.Config{URL: url, Secret: secret, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatalf("webhook.New: %v", err)
	}
	return quick(name, s)
}

func quick(name string, s events.Sender) *events.Target {
	return &events.Target{Name: name, Sender: s, FromStart: true, Retry: time.Millisecond, RetryMax: 20 * time.Millisecond}
}

func deviceID(n int) string { return fmt.Sprintf("%032x", n+1) }

// happen puts n entries about a device on the trail.
func (w *world) happen(device, n int) {
	w.t.Helper()
	change := &registrar.Change{}
	for i := range n {
		change.Trail = append(change.Trail, &trail.Entry{
			At: time.Now().UTC(), Domain: registrar.DefaultDomain, Kind: registrar.KindDeviceState, Device: deviceID(device), Actor: "cli:test",
			Body: json.RawMessage(fmt.Sprintf(`{"from":"enrolled","to":"suspended","message":"%d"}`, i)),
		})
	}
	if err := w.store.Commit(context.Background(), change); err != nil {
		w.t.Errorf("Commit: %v", err)
	}
}

// until waits for what other goroutines do, a minute at most.
func until(t *testing.T, what string, ready func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within a minute", what)
		case <-tick.C:
		}
	}
}

// got is an event as a receiver has it.
type got struct {
	events.Event
	raw []byte
}

// receiver is a webhook's other end, which checks what it gets.
type receiver struct {
	t *testing.T
	// answer says what to answer; 0 for 204.
	answer func(r *http.Request, e *got) int

	mu  sync.Mutex
	all []*got
}

func newReceiver(t *testing.T, answer func(*http.Request, *got) int) (*receiver, *httptest.Server) {
	r := &receiver{t: t, answer: answer}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return r, s
}

// ServeHTTP takes an event.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	e, err := r.read(req)
	if err != nil {
		r.t.Errorf("a request: %v", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	status := http.StatusNoContent
	if r.answer != nil {
		if s := r.answer(req, e); s != 0 {
			status = s
		}
	}
	if status/100 == 2 {
		r.took(e)
	}
	w.WriteHeader(status)
}

func (r *receiver) read(req *http.Request) (*got, error) {
	e := &got{raw: make([]byte, req.ContentLength)}
	if _, err := readFull(req, e.raw); err != nil {
		return nil, err
	}
	if err := hooksign.Verify(secret, req.Header.Get(hooksign.Header), e.raw, time.Now(), 5*time.Minute); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(e.raw, &e.Event); err != nil {
		return nil, err
	}
	if id := req.Header.Get("Idempotency-Key"); id != e.ID {
		return nil, fmt.Errorf("Idempotency-Key %q, id %q", id, e.ID)
	}
	return e, nil
}

func (r *receiver) took(e *got) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, e)
}

// ids returns how many different events came.
func (r *receiver) ids() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := make(map[string]int)
	for _, e := range r.all {
		ids[e.ID]++
	}
	return ids
}

// inOrder checks that of each device the first arrivals are in the order of the trail,
// that nothing is missing, and that what came twice has the same content.
func (r *receiver) inOrder(perDevice map[string]int) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	checkOrder(r.t, r.all, perDevice)
}

func checkOrder(t *testing.T, all []*got, perDevice map[string]int) {
	t.Helper()
	seen := make(map[string]string)
	last := make(map[string]string)
	count := make(map[string]int)
	for _, e := range all {
		if raw, again := seen[e.ID]; again {
			if raw != string(e.raw) {
				t.Errorf("event %s came as %s and as %s", e.ID, raw, e.raw)
			}
			continue
		}
		seen[e.ID] = string(e.raw)
		count[e.Subject]++
		if e.Sequence <= last[e.Subject] {
			t.Errorf("device %s: %s came after %s", e.Subject, e.Sequence, last[e.Subject])
		}
		last[e.Subject] = e.Sequence
	}
	for device, n := range perDevice {
		if count[device] != n {
			t.Errorf("device %s: %d events came, want %d", device, count[device], n)
		}
	}
}

// stub is a Sender that a test writes.
type stub struct {
	send func(ctx context.Context, m *events.Message) (string, error)

	mu   sync.Mutex
	took []string // sequence numbers
}

// Send asks the test.
func (s *stub) Send(ctx context.Context, m *events.Message) (string, error) {
	answer, err := s.send(ctx, m)
	if err == nil {
		s.mu.Lock()
		s.took = append(s.took, fmt.Sprint(m.Seq))
		s.mu.Unlock()
	}
	return answer, err
}

// Close does nothing.
func (s *stub) Close() {}

func (s *stub) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.took)
}

func (s *stub) has(seq string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.took, seq)
}
