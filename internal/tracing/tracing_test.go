package tracing_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/briskest/briskest/internal/tracing"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func name(*http.Request) string { return "op" }

// serve answers one request that says it belongs to parent, and returns the
// spans and what a server behind would be told.
func serve(t *testing.T, c tracing.Config) (spans tracetest.SpanStubs, told string) {
	t.Helper()
	out := tracetest.NewInMemoryExporter()
	tracer := tracing.NewWith(c, out)
	h := tracer.Serve(name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, end := tracer.Span(tracer.Continue(context.Background(), r.Context()), "masa")
		ask := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", nil)
		tracer.Inject(ask)
		told = ask.Header.Get("Traceparent")
		end(errors.New("device 4711 is secret"))
		w.WriteHeader(http.StatusBadGateway)
	}))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	r.Header.Set("Traceparent", parent)
	h.ServeHTTP(httptest.NewRecorder(), r)
	spans = out.GetSpans()
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return spans, told
}

func TestAStepBelongsToTheRequestThatCausedItHereAndAtTheNextServer(t *testing.T) {
	spans, told := serve(t, tracing.Config{Ratio: 1, Role: "registrar"})
	if len(spans) != 2 || spans[0].Name != "masa" || spans[1].Name != "op" {
		t.Fatalf("spans are %v", spans)
	}
	id := spans[1].SpanContext.TraceID()
	if spans[0].SpanContext.TraceID() != id || spans[0].Parent.SpanID() != spans[1].SpanContext.SpanID() {
		t.Error("the step is not part of the request")
	}
	if !strings.Contains(told, id.String()) {
		t.Errorf("the next server is told %q of trace %s", told, id)
	}
	if strings.Contains(spans[0].Status.Description, "4711") {
		t.Error("the collector is told the text of an error")
	}
}

func TestOnlyATrustedPeerChoosesTheTrace(t *testing.T) {
	for trusted, want := range map[bool]int{true: 2, false: 0} {
		// With ratio 0 only the peer's wish can make spans.
		spans, told := serve(t, tracing.Config{Ratio: 0, TrustRemote: trusted, Role: "masa"})
		if len(spans) != want {
			t.Errorf("trusted %v: %d spans", trusted, len(spans))
		}
		if strings.Contains(told, "0af7651916cd43dd8448eb211c80319c") != trusted {
			t.Errorf("trusted %v: the next server is told %q", trusted, told)
		}
	}
}

func TestALogLineOfATracedRequestNamesItsTrace(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(tracing.Log(slog.NewJSONHandler(&text, nil))).With("a", 1)
	tracer := tracing.NewWith(tracing.Config{Ratio: 1}, tracetest.NewInMemoryExporter())
	log.InfoContext(t.Context(), "before")
	ctx, end := tracer.Span(t.Context(), "x")
	log.InfoContext(ctx, "within")
	end(nil)
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != 2 || strings.Contains(lines[0], "trace_id") || !strings.Contains(lines[1], `"trace_id":"`) || !strings.Contains(lines[1], `"a":1`) {
		t.Errorf("logged %q", lines)
	}
}

func TestNoTracerCostsAndBreaksNothing(t *testing.T) {
	var none *tracing.Tracer
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	w := httptest.NewRecorder()
	none.Serve(name, h).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if w.Body.String() != "x" {
		t.Errorf("answered %q", w.Body)
	}
	if n := testing.AllocsPerRun(100, func() {
		ctx, end := none.Span(t.Context(), "x")
		end(nil)
		_ = none.Continue(ctx, ctx)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if err := none.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAWrongTracingConfigurationIsRefusedInWords(t *testing.T) {
	for _, c := range []tracing.Config{
		{Endpoint: "collector:4318"}, {Endpoint: "ftp://x"}, {Endpoint: "http://user:secret@x"}, {Endpoint: "http://x", Ratio: 2}, {Endpoint: "http://x", Ratio: -1},
	} {
		_, err := tracing.New(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), "tracing.") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
