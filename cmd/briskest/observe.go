package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/metrics"
	"github.com/briskest/briskest/internal/tracing"
)

// tracingConfig says whether requests are traced, and to where.
type tracingConfig struct {
	// Endpoint is the collector's OTLP/HTTP base URL, such as http://127.0.0.1:4318; empty: nothing is traced.
	Endpoint string `yaml:"endpoint"`
	// Ratio of requests that are traced, above 0 and up to 1; default 0.01.
	Ratio float64 `yaml:"ratio"`
	// TrustRemote takes up the traceparent header of those who ask. It is for a MASA whose
	// registrars are of the same house: with it they decide what is traced.
	TrustRemote bool `yaml:"trust_remote"`
}

// defaultRatio of requests is traced where the configuration names none.
const defaultRatio = 0.01

// readyTime is how long a readiness check may take.
const readyTime = 2 * time.Second

// observing is what a server tells those who watch over it: metrics, traces,
// health and readiness.
type observing struct {
	metrics  *metrics.Metrics
	tracer   *tracing.Tracer // nil: nothing is traced
	draining atomic.Bool     // /readyz says no, so that no more is sent here
	ending   atomic.Pointer[[]watched]
	// store fails when the records do not answer; set before anything is served.
	store func(ctx context.Context) error
	now   func() time.Time
}

// observe prepares it for a role, "registrar" or "masa".
func observe(ctx context.Context, role string, c tracingConfig) (*observing, error) {
	o := &observing{metrics: metrics.New(role, programVersion()), now: time.Now}
	if c.Endpoint != "" {
		ratio := c.Ratio
		if ratio == 0 {
			ratio = defaultRatio
		}
		var err error
		o.tracer, err = tracing.New(ctx, tracing.Config{
			Endpoint: c.Endpoint, Ratio: ratio, TrustRemote: c.TrustRemote, Role: role, Version: programVersion(),
		})
		if err != nil {
			return nil, err
		}
	}
	o.metrics.Add(metrics.NewGauges("certificate_expiry_seconds", "Unix time at which the first certificate of this server's own in that role ends.",
		[]string{"role"}, o.readEnding),
		metrics.NewGauges("draining", "1 while the server is being drained.", nil, func(set func(float64, ...string)) {
			set(map[bool]float64{true: 1}[o.draining.Load()])
		}),
		metrics.NewGauges("token_usable", "1 while the PKCS#11 token signs.", []string{"token"}, func(set func(float64, ...string)) {
			for _, t := range keystore.Tokens() {
				set(map[bool]float64{true: 1}[t.Usable], t.Token)
			}
		}))
	return o, nil
}

// around counts, times and traces what a port for peers answers.
func (o *observing) around(routes map[string]http.Handler) map[string]http.Handler {
	name := func(r *http.Request) string { return metrics.Operation(r.URL.EscapedPath()) }
	out := make(map[string]http.Handler, len(routes))
	for prefix, h := range routes {
		out[prefix] = o.metrics.Measure(o.tracer.Serve(name, h))
	}
	return out
}

// ends notes the certificates whose end has to be seen coming.
func (o *observing) ends(all []watched) { o.ending.Store(&all) }

// readEnding gives the first end of each role.
func (o *observing) readEnding(set func(float64, ...string)) {
	all := o.ending.Load()
	if all == nil {
		return
	}
	first := map[string]time.Time{}
	for _, w := range *all {
		if at, ok := first[w.role]; !ok || w.cert.NotAfter.Before(at) {
			first[w.role] = w.cert.NotAfter
		}
	}
	for role, at := range first {
		set(float64(at.Unix()), role)
	}
}

// Paths that watchers ask, on listen.metrics and on the operators' socket.
const (
	metricsPath = "/metrics"
	healthPath  = "/healthz"
	readyPath   = "/readyz"
	drainPath   = "/v1/drain"
)

// handler answers GET /metrics, /healthz (the process runs) and /readyz (it can serve).
func (o *observing) handler() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET "+metricsPath, o.metrics.Handler())
	mux.HandleFunc("GET "+healthPath, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"health": "ok"})
	})
	mux.HandleFunc("GET "+readyPath, func(w http.ResponseWriter, r *http.Request) {
		checks, status := o.readiness(r.Context()), http.StatusOK
		for _, c := range checks {
			if c != "ok" {
				status = http.StatusServiceUnavailable
			}
		}
		writeJSON(w, status, map[string]any{"ready": status == http.StatusOK, "checks": checks})
	})
	return mux
}

// readiness is "ok" or what is wrong, for each thing that a server needs to
// serve. What is wrong is said in words of ours: anybody may ask.
func (o *observing) readiness(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	out := map[string]string{"store": "ok", "drain": "ok", "tokens": "ok", "certificates": "ok"}
	if o.draining.Load() {
		out["drain"] = "the server is being drained"
	}
	if o.store != nil && o.store(ctx) != nil {
		out["store"] = "the records do not answer; see the log"
	}
	for _, t := range keystore.Tokens() {
		if !t.Usable {
			out["tokens"] = "a token does not sign; see briskest ca status --config"
		}
	}
	if all := o.ending.Load(); all != nil {
		for _, w := range *all {
			if w.cert.NotAfter.Before(o.now()) && w.do != endOfOld {
				out["certificates"] = "a certificate of the server has ended; see briskest ca status --config"
			}
		}
	}
	return out
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error means that the client is gone
}

// listen opens the watchers' port and returns what serves it until ctx ends.
func (o *observing) listen(ctx context.Context, address string, log *slog.Logger) (func(context.Context) error, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = cli.Hint(err, "end the program that listens there, or change listen.metrics in the configuration")
	}
	if err != nil {
		return nil, fmt.Errorf("listen.metrics: %w", err)
	}
	server := &http.Server{
		Handler: o.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10,
	}
	return func(ctx context.Context) error {
		log.InfoContext(ctx, "serving metrics", slog.String("address", l.Addr().String()))
		stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // Serve returns what there is to say
		defer stop()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}, nil
}

// drained is the handler of the operators' drain: from now on /readyz says no,
// and after the time in the query's "for" the server ends as on SIGTERM.
func (o *observing) drained(log *slog.Logger, stop func()) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		wait, err := time.ParseDuration(r.URL.Query().Get("for"))
		if err != nil || wait < 0 || wait > maxDrain {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": "for: want a duration from 0s to " + maxDrain.String()})
			return
		}
		if o.draining.Swap(true) {
			writeJSON(w, http.StatusConflict, map[string]string{"error": "the server is being drained already"})
			return
		}
		log.InfoContext(r.Context(), "draining", slog.String("for", wait.String()))
		time.AfterFunc(wait, stop)
		writeJSON(w, http.StatusAccepted, map[string]string{"stops_in": wait.String()})
	}
}

// maxDrain bounds how long a server may be drained before it stops.
const maxDrain = time.Hour
