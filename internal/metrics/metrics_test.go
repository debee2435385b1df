package metrics_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/metrics"
)

func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	b, err := io.ReadAll(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v", w.Code, err)
	}
	return string(b)
}

// R18: one client cannot fill a server's memory: its paths make no series.
func TestNothingAPeerSendsMakesASeries(t *testing.T) {
	m := metrics.New("registrar", "test")
	h := m.Measure(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }))
	ask := func(path string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL.Path, r.URL.RawPath = path, ""
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	ask("/.well-known/est/first")
	before := strings.Count(scrape(t, m), "\n")
	for i := range 1000 {
		ask(fmt.Sprintf("/.well-known/est/label%d/operation%d", i, i))
	}
	if after := strings.Count(scrape(t, m), "\n"); after > before+2 {
		t.Errorf("1,000 paths made %d lines more", after-before)
	}
}

func TestRequestsAreCountedByOperationAndCode(t *testing.T) {
	m := metrics.New("registrar", "test")
	status := http.StatusOK
	h := m.Measure(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if status != http.StatusOK {
			w.WriteHeader(status)
		}
		_, _ = io.WriteString(w, "x")
	}))
	for _, c := range []struct {
		path   string
		status int
	}{{"/.well-known/est/cacerts", 200}, {"/.well-known/est/label/simpleenroll", 401}, {"/.well-known/brski/requestvoucher", 202}} {
		status = c.status
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, nil))
	}
	text := scrape(t, m)
	for _, want := range []string{
		`briskest_requests_total{code="200",operation="cacerts"} 1`,
		`briskest_requests_total{code="401",operation="simpleenroll"} 1`,
		`briskest_requests_total{code="202",operation="requestvoucher"} 1`,
		`briskest_request_duration_seconds_count{operation="cacerts"} 1`,
		`briskest_requests_in_flight 0`,
		`briskest_build_info{role="registrar",version="test"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %s", want)
		}
	}
}

func TestAPanicThatEndsARequestIsNotLeftInFlight(t *testing.T) {
	m := metrics.New("masa", "test")
	h := m.Measure(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	func() {
		defer func() { _ = recover() }()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	}()
	if text := scrape(t, m); !strings.Contains(text, "briskest_requests_in_flight 0") {
		t.Error("a request that panicked is still in flight")
	}
}

func TestWhatIsReadWhenCollectedIsThere(t *testing.T) {
	m := metrics.New("registrar", "test")
	m.Add(metrics.NewGauges("things", "Things.", []string{"kind"}, func(set func(float64, ...string)) { set(3, "a"); set(4, "b") }))
	m.Committed(time.Now(), nil)
	m.Committed(time.Now(), errors.New("full"))
	m.Certificate("default", "issued")
	text := scrape(t, m)
	for _, want := range []string{
		`briskest_things{kind="a"} 3`, `briskest_things{kind="b"} 4`, `briskest_store_commit_duration_seconds_count{result="failed"} 1`,
		`briskest_certificates_total{issuer="default",status="issued"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %s", want)
		}
	}
}
