package main_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/briskest/briskest/internal/testbed"
)

// spanCollector is an OTLP/HTTP collector that keeps what it gets.
type spanCollector struct {
	mu    sync.Mutex
	spans []collectedSpan
}

type collectedSpan struct{ service, name, trace, id, parent string }

func (c *spanCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
	var in collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &in) != nil {
		http.Error(w, "not a trace", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range in.GetResourceSpans() {
		service := ""
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, collectedSpan{service, s.GetName(), hex.EncodeToString(s.GetTraceId()), hex.EncodeToString(s.GetSpanId()), hex.EncodeToString(s.GetParentSpanId())})
			}
		}
	}
}

// find returns the spans of a service by that name.
func (c *spanCollector) find(service, name string) (out []collectedSpan) {
	for _, s := range c.spans {
		if s.service == service && s.name == name {
			out = append(out, s)
		}
	}
	return out
}

func TestOneTraceLeadsFromTheDeviceThroughRegistrarAndMASAToTheCA(t *testing.T) {
	got := &spanCollector{}
	server := httptest.NewServer(got)
	defer server.Close()
	for _, role := range []string{"REGISTRAR", "MASA"} {
		t.Setenv("BRISKEST_"+role+"_TRACING_ENDPOINT", server.URL)
		t.Setenv("BRISKEST_"+role+"_TRACING_RATIO", "1")
	}
	t.Setenv("BRISKEST_MASA_TRACING_TRUST_REMOTE", "true")
	testbed.Once(t)

	got.mu.Lock()
	defer got.mu.Unlock()
	asked := got.find("briskest-registrar", "requestvoucher")
	masa := got.find("briskest-registrar", "masa")
	atMASA := got.find("briskest-masa", "requestvoucher")
	if len(asked) == 0 || len(masa) == 0 || len(atMASA) == 0 {
		t.Fatalf("spans are %v", got.spans)
	}
	inTrace := func(all []collectedSpan, trace string) bool {
		return slices.ContainsFunc(all, func(s collectedSpan) bool { return s.trace == trace })
	}
	if masa[0].parent == "" || !inTrace(asked, masa[0].trace) {
		t.Error("what the MASA was asked is not part of what the pledge asked")
	}
	if atMASA[0].parent != masa[0].id {
		t.Error("what the MASA did is not part of what it was asked")
	}
	enrolled, issued := got.find("briskest-registrar", "simpleenroll"), got.find("briskest-registrar", "issuer")
	if len(issued) == 0 || !inTrace(enrolled, issued[0].trace) {
		t.Error("what the CA was asked is not part of the enrollment")
	}
	stored := got.find("briskest-registrar", "store")
	if !inTrace(stored, issued[0].trace) {
		t.Error("the record is not part of the enrollment")
	}
}
