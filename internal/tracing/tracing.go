// Package tracing follows requests from a device through registrar, MASA and
// CA, and sends what it saw to a collector over OTLP/HTTP. A nil *Tracer does
// nothing, and costs nothing.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Bounds of what waits for a collector that is slow or away; what is more is dropped.
const (
	maxWaiting    = 4096 // spans
	exportTimeout = 5 * time.Second
)

// scope names this program's instrumentation.
const scope = "github.com/briskest/briskest"

// Config says what to trace and where it goes.
type Config struct {
	// Endpoint is the collector's base URL, such as http://127.0.0.1:4318; required.
	Endpoint string
	// Ratio of requests that are traced, 0 to 1.
	Ratio float64
	// TrustRemote takes up the traceparent of a request (W3C Trace Context). Without it
	// peers decide neither what is traced nor under which id.
	TrustRemote bool
	Role        string // service.name is briskest-ROLE
	Version     string // of the program
}

// Tracer makes spans. Its methods may be called concurrently, and on nil.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	remote   bool
}

// propagator speaks W3C Trace Context.
var propagator = propagation.TraceContext{}

// New returns a tracer, which Close ends. It does not wait for the collector.
func New(ctx context.Context, c Config) (*Tracer, error) {
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("tracing.endpoint: want a URL such as http://127.0.0.1:4318")
	case u.User != nil:
		return nil, errors.New("tracing.endpoint: a URL with a password in it is not taken")
	case c.Ratio < 0 || c.Ratio > 1:
		return nil, fmt.Errorf("tracing.ratio is %g; it may be 0 to 1", c.Ratio)
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.JoinPath("v1", "traces").String()),
		otlptracehttp.WithTimeout(exportTimeout), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}))
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	return newTracer(c, sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(maxWaiting), sdktrace.WithExportTimeout(exportTimeout))), nil
}

// NewWith is [New] with another place for the spans than a collector.
func NewWith(c Config, to sdktrace.SpanExporter) *Tracer {
	return newTracer(c, sdktrace.WithSyncer(to))
}

func newTracer(c Config, out sdktrace.TracerProviderOption) *Tracer {
	who := resource.NewSchemaless(attribute.String("service.name", "briskest-"+c.Role), attribute.String("service.version", c.Version))
	sampler := sdktrace.ParentBased(sdktrace.TraceIDRatioBased(c.Ratio))
	provider := sdktrace.NewTracerProvider(out, sdktrace.WithResource(who), sdktrace.WithSampler(sampler))
	return &Tracer{provider: provider, tracer: provider.Tracer(scope), remote: c.TrustRemote}
}

// Serve gives each request that next answers a span of the name that name
// returns for it, which has few values.
func (t *Tracer) Serve(name func(*http.Request) string, next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if t.remote {
			ctx = propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
		}
		ctx, span := t.tracer.Start(ctx, name(r), trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r.WithContext(ctx))
		span.SetAttributes(attribute.Int("http.response.status_code", seen.status))
		if seen.status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(seen.status))
		}
	})
}

// Span begins a step of what ctx is about; end takes how it ended. The text of
// an error stays here: it may tell of a device what a collector need not know.
func (t *Tracer) Span(ctx context.Context, name string) (within context.Context, end func(error)) {
	if t == nil {
		return ctx, func(error) {}
	}
	ctx, span := t.tracer.Start(ctx, name)
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, "failed")
		}
		span.End()
	}
}

// Continue returns life as a part of the trace that ctx belongs to.
func (t *Tracer) Continue(life, ctx context.Context) context.Context {
	if t == nil {
		return life
	}
	return trace.ContextWithSpanContext(life, trace.SpanContextFromContext(ctx))
}

// Inject tells the server that a request goes to which trace it belongs to.
func (t *Tracer) Inject(r *http.Request) {
	if t != nil {
		propagator.Inject(r.Context(), propagation.HeaderCarrier(r.Header))
	}
}

// Close sends what waits, for as long as ctx lasts, and ends the tracer.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Log is a handler that adds the trace's id to what is logged about a traced request.
func Log(h slog.Handler) slog.Handler { return logHandler{h} }

type logHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsSampled() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(name string) slog.Handler { return logHandler{h.Handler.WithGroup(name)} }

// statusWriter knows which status was written.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status, unless it is an informational one.
func (w *statusWriter) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets an http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
