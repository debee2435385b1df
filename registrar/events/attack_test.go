package events_test

import (
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/registrar/events"
	"github.com/briskest/briskest/registrar/events/webhook"
)

// What a receiver may answer, and what comes of it.
func TestAHostileReceiverCostsLittleAndLearnsNothing(t *testing.T) {
	var redirected atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { redirected.Store(true) }))
	defer elsewhere.Close()
	release := make(chan struct{})
	defer close(release)
	var written atomic.Int64
	m := &events.Message{ID: "default-1-00", Type: "briskest.test.v1", Domain: "default", Body: []byte("{}")}
	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		timeout time.Duration
		want    error
	}{
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, 0, events.ErrUnavailable},
		"a body without an end": {func(w http.ResponseWriter, r *http.Request) {
			piece := make([]byte, 64<<10)
			for r.Context().Err() == nil && written.Load() < 64<<20 {
				n, err := w.Write(piece)
				written.Add(int64(n))
				if err != nil {
					return
				}
			}
		}, 0, nil},
		"giant headers": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Big", strings.Repeat("x", 1<<20)) }, 0, events.ErrUnavailable},
		"no answer": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not see the client go
			select {
			case <-r.Context().Done():
			case <-release:
			}
		}, 50 * time.Millisecond, events.ErrUnavailable},
		"a hang-up":     {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, events.ErrUnavailable},
		"a bad gateway": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, 0, events.ErrUnavailable},
		"not found":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, 0, events.ErrUnavailable},
		"an error":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, 0, events.ErrFailed},
		"a refusal":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnprocessableEntity) }, 0, events.ErrRejected},
		"accepted":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }, 0, nil},
	} {
		server := httptest.NewServer(c.answer)
		s, err := webhook.New(webhook.Config{URL: server.URL + "/?key=canary", Secret: secret, Timeout: c.timeout})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := s.Send(t.Context(), m)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: Send = %q, %v, want %v", name, answer, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), string(secret))) {
			t.Errorf("%s: a secret is in the error: %v", name, err)
		}
		s.Close()
		server.CloseClientConnections()
		server.Close()
	}
	if redirected.Load() {
		t.Error("a redirect was followed")
	}
	if n := written.Load(); n > 32<<20 {
		t.Errorf("%d bytes of an answer were taken", n)
	}
}

func TestAWebhookIsSentOverVerifiedTLSOnly(t *testing.T) {
	var came atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came.Add(1) }))
	defer server.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	m := &events.Message{ID: "default-1-00", Body: []byte("{}")}
	for name, c := range map[string]struct {
		roots *x509.CertPool
		want  error
	}{"a CA that is not trusted": {x509.NewCertPool(), events.ErrUnavailable}, "one that is": {trusted, nil}} {
		s, err := webhook.New(webhook.Config{URL: server.URL, Secret: secret, Roots: c.roots})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Send(t.Context(), m); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: Send = %v, want %v", name, err, c.want)
		}
		s.Close()
	}
	if came.Load() != 1 {
		t.Errorf("%d requests came, want 1", came.Load())
	}
	for _, c := range []webhook.Config{
		{URL: "http://crm.example/", Secret: secret}, {URL: "https://user:canary@crm.example/", Secret: secret}, {URL: "https:///x", Secret: secret},
		{URL: "https://crm.example/", Secret: []byte("canary")}, {URL: "https://crm.example/", Secret: secret, Timeout: time.Hour},
	} {
		if _, err := webhook.New(c); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("New(%s) = %v, want an error without secrets", c.URL, err)
		}
	}
}

// A receiver that takes the event, and answers when nobody listens any more, gets it again with the same
// id; what is about others goes on meanwhile.
func TestALateAnswerBringsTheSameEventAgain(t *testing.T) {
	w := newWorld(t)
	var late atomic.Int64
	release := make(chan struct{})
	r, server := newReceiver(t, func(_ *http.Request, e *got) int {
		if e.Subject == deviceID(0) && late.Add(1) == 1 {
			<-release
		}
		return 0
	})
	s, err := webhook.New(webhook.Config{URL: server.URL, Secret: secret, Timeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	w.start(quick("crm", s))
	w.happen(0, 2)
	w.happen(1, 50)
	until(t, "the others", func() bool { return len(r.ids()) >= 50 })
	until(t, "all events", func() bool { return len(r.ids()) == 52 })
	close(release)
	until(t, "the late one", func() bool { return late.Load() >= 3 && w.view("crm").Waiting == 0 && w.view("crm").Dead == 0 })
}
