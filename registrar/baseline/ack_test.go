package baseline_test

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/baseline"
)

// heard is a backend that keeps what devices say.
type heard struct{ acks []*registrar.BaselineAck }

func (*heard) Baseline(context.Context, *registrar.BaselineCall, int64) (*registrar.BaselineText, error) {
	return nil, &est.Error{Status: http.StatusNotFound, Reason: registrar.ReasonNoBaseline, Message: "none"}
}

func (b *heard) AcknowledgeBaseline(_ context.Context, _ *registrar.BaselineCall, ack *registrar.BaselineAck) error {
	b.acks = append(b.acks, ack)
	return nil
}

func (*heard) BaselineRefused(context.Context, *registrar.BaselineCall, *est.Error) {}

// FuzzAcknowledgement: whatever is posted, the backend hears of it only what an
// acknowledgement of those very values, and of no others, would be.
func FuzzAcknowledgement(f *testing.F) {
	sum := strings.Repeat("0a", 32)
	for _, seed := range []string{
		"", "{}", "null", "[]", `{"version":1,"sha256":"` + sum + `","status":"applied"}`, `{"version":9223372036854775808,"sha256":"` + sum + `","status":"applied"}`,
		`{"version":1,"version":2,"sha256":"` + sum + `","status":"failed","message":"x"}`, `{"version":1,"Version":2,"sha256":"` + sum + `","status":"failed"}`,
		`{"version":1.0,"sha256":"` + sum + `","status":"received"}`, `{"version":-1,"sha256":"0A","status":""}`, `{"version":1,"sha256":"` + sum + `","status":"applied","more":{}}`,
		`{"version":1,"sha256":"` + sum + `","status":"applied","message":"\ud800"}`, strings.Repeat("[", 5000),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		b := &heard{}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://est.example"+baseline.AckPath, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.TLS = &tls.ConnectionState{}
		w := httptest.NewRecorder()
		(&baseline.Handler{Backend: b}).ServeHTTP(w, r)
		if taken := w.Code == http.StatusNoContent; taken != (len(b.acks) == 1) || len(b.acks) > 1 || !taken && (w.Code < 400 || w.Code >= 500) {
			t.Fatalf("%q: %d, and %d acknowledgements", body, w.Code, len(b.acks))
		}
		if len(b.acks) == 0 {
			return
		}
		var members map[string]any // by exact name, whatever encoding/json does with others
		if err := json.Unmarshal([]byte(body), &members); err != nil || len(body) > 4096 {
			t.Fatalf("%q of %d bytes is taken: %v", body, len(body), err)
		}
		ack := b.acks[0]
		for name := range members {
			if name != "version" && name != "sha256" && name != "status" && name != "message" {
				t.Errorf("%q is taken with its member %q", body, name)
			}
		}
		if text, _ := members["sha256"].(string); !strings.EqualFold(text, hex.EncodeToString(ack.SHA256[:])) {
			t.Errorf("%q is taken as of %x", body, ack.SHA256)
		}
		if text, _ := members["status"].(string); text != string(ack.Status) {
			t.Errorf("%q is taken as %q", body, ack.Status)
		}
	})
}
