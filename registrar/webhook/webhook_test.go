package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/webhook"
)

const secret = "0123456789abcdef"

// system is another system over TLS.
type system struct {
	*httptest.Server
	client *webhook.Client
}

func newSystem(t *testing.T, handler http.HandlerFunc, change func(c *webhook.Config)) *system {
	t.Helper()
	root := testpki.NewRoot(t, "system root")
	s := &system{Server: httptest.NewUnstartedServer(handler)}
	s.EnableHTTP2 = true
	s.TLS = newTLS(root.Server(t, "system"))
	s.Config.ErrorLog = discardLog()
	s.StartTLS()
	t.Cleanup(s.Close)
	c := webhook.Config{URL: s.URL + "/decide?token=hidden", Secret: []byte(secret), Roots: root.Pool(), Now: func() time.Time { return time.Unix(1700000000, 0) }}
	if change != nil {
		change(&c)
	}
	var err error
	if s.client, err = webhook.New(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	return s
}

func answering(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, text)
	}
}

func someCase() *registrar.Case {
	return &registrar.Case{
		Domain: "default", Operation: registrar.OpEnroll, At: time.Unix(1700000000, 0), SerialNumber: "sensor-7",
		Label: &registrar.Label{Name: "", Profile: profile{}}, Address: netip.MustParseAddrPort("192.0.2.1:4711"),
		Identity: registrar.Identity{Kind: registrar.Basic, Credential: "basic:factory", User: "factory"},
		Subject:  pkix.Name{CommonName: "sensor-7"}.ToRDNSequence(), Names: ca.Names{DNS: []string{"sensor-7.example"}},
		CSR: &x509.CertificateRequest{}, KeyHash: [32]byte{1}, Evidence: []byte("the CSR"),
	}
}

type profile struct{ registrar.Profile }

func (profile) Name() string { return "device" }

func TestACaseIsPostedSignedAndWithoutSecrets(t *testing.T) {
	var body []byte
	var header http.Header
	s := newSystem(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		header = r.Header.Clone()
		answering(`{"decision":"allow"}`)(w, r)
	}, nil)
	c := someCase()
	d, err := s.client.Ask(t.Context(), c)
	if err != nil || d.Verdict != registrar.Allow {
		t.Fatalf("Ask = %+v, %v", d, err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("1700000000." + string(body)))
	if got, want := header.Get("Briskest-Signature"), "t=1700000000,v1="+hex.EncodeToString(mac.Sum(nil)); got != want {
		t.Errorf("signature %q, want %q", got, want)
	}
	if header.Get("Briskest-Request") != c.QuestionID() || header.Get("Idempotency-Key") != c.QuestionID() {
		t.Errorf("headers = %v, want the id %s", header, c.QuestionID())
	}
	var q map[string]any
	if err := json.Unmarshal(body, &q); err != nil {
		t.Fatal(err)
	}
	csr := sha256.Sum256(c.Evidence)
	for member, want := range map[string]string{
		"id": c.QuestionID(), "operation": "simpleenroll", "serial_number": "sensor-7", "subject": "CN=sensor-7", "profile": "device",
		"address": "192.0.2.1", "at": "2023-11-14T22:13:20Z", "domain": "default", "request": "dGhlIENTUg==",
		"request_sha256": hex.EncodeToString(csr[:]), "public_key_sha256": hex.EncodeToString(c.KeyHash[:]), "dns_names": "[sensor-7.example]",
		"identity": "map[credential:basic:factory kind:basic]", "version": "1",
	} {
		if got := fmt.Sprint(q[member]); got != want {
			t.Errorf("%s = %q, want %q", member, got, want)
		}
	}
	c.Evidence = nil // it had a secret
	if _, err := s.client.Ask(t.Context(), c); err != nil || strings.Contains(string(body), `"request"`) {
		t.Errorf("without evidence: %v, %s", err, body)
	}
}

func TestEachAnswerIsReadAsItIsMeant(t *testing.T) {
	for text, want := range map[string]registrar.Decision{
		`{"decision":"allow"}`:                              {Verdict: registrar.Allow, Reason: registrar.ReasonAllowed},
		`{"decision":"wait"}`:                               {Verdict: registrar.Wait},
		` {"decision":"wait","retry_after":90}` + "\n":      {Verdict: registrar.Wait, RetryAfter: 90 * time.Second},
		`{"decision":"deny"}`:                               {Reason: registrar.ReasonWebhookDenied},
		`{"decision":"deny","reason":"not on the order"}`:   {Reason: registrar.ReasonWebhookDenied, Message: registrar.Explain(registrar.ReasonWebhookDenied).Message + ": not on the order"},
		`{"reason":"a note for nobody","decision":"allow"}`: {Verdict: registrar.Allow, Reason: registrar.ReasonAllowed},
	} {
		got, err := newSystem(t, answering(text), nil).client.Ask(t.Context(), someCase())
		if err != nil || got.Verdict != want.Verdict || got.Reason != want.Reason || got.Message != want.Message || got.RetryAfter != want.RetryAfter {
			t.Errorf("%s = %+v, %v; want %+v", text, got, err, &want)
		}
	}
}

// R3: what is not clearly an answer allows nothing.
func TestWhatIsNoAnswerIsAnError(t *testing.T) {
	status := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
	}
	allow := `{"decision":"allow"}`
	cases := map[string]http.HandlerFunc{
		"no content": status(204, ""), "created": status(201, allow), "an error": status(500, allow), "a refusal": status(403, allow),
		"text": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, allow)
		},
		"a huge answer": answering(`{"decision":"allow","reason":"` + strings.Repeat("x", 9<<10) + `"}`),
		"a huge header": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 64<<10))
			answering(allow)(w, r)
		},
		"a broken answer": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			answering(allow)(w, r)
		},
	}
	for _, text := range []string{
		"", "null", "[]", `"allow"`, "{}", "garbage", `{"decision":"allow"`, allow + allow, allow + "x", `{"decision":"Allow"}`, `{"decision":true}`, `{"decision":null}`,
		`{"Decision":"allow"}`, `{"decision":"deny","decision":"allow"}`, `{"decision":"allow","more":1}`, `{"decision":["allow"]}`,
		`{"decision":"wait","retry_after":-1}`, `{"decision":"wait","retry_after":1e9}`, `{"decision":"wait","retry_after":0.5}`, `{"decision":"wait","retry_after":"5"}`,
		`{"decision":"deny","reason":"` + strings.Repeat("x", 301) + `"}`, `{"decision":"allow","reason":{"decision":"deny"}}`,
	} {
		cases["the text "+text] = answering(text)
	}
	for what, handler := range cases {
		if d, err := newSystem(t, handler, nil).client.Ask(t.Context(), someCase()); err == nil {
			t.Errorf("%.60s: taken as %+v", what, d)
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	followed := false
	s := newSystem(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			followed = true
			answering(`{"decision":"allow"}`)(w, r)
			return
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}, nil)
	if _, err := s.client.Ask(t.Context(), someCase()); err == nil || followed {
		t.Errorf("Ask: %v, followed %v", err, followed)
	}
}

func TestASlowSystemEndsWithTheTimeout(t *testing.T) {
	release := make(chan struct{})
	s := newSystem(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"decision":`)
		w.(http.Flusher).Flush()
		<-release // the body never ends
	}, func(c *webhook.Config) { c.Timeout = 50 * time.Millisecond })
	defer close(release)
	if _, err := s.client.Ask(t.Context(), someCase()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ask: %v, want the end of the time", err)
	}
}

func TestQuestionsAtOnceAreBounded(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	s := newSystem(t, func(w http.ResponseWriter, r *http.Request) {
		inside <- struct{}{}
		<-release
		answering(`{"decision":"allow"}`)(w, r)
	}, func(c *webhook.Config) { c.AtOnce = 1; c.Timeout = 30 * time.Second })
	done := make(chan error, 1)
	go func() { _, err := s.client.Ask(t.Context(), someCase()); done <- err }()
	<-inside
	if _, err := s.client.Ask(t.Context(), someCase()); !errors.Is(err, webhook.ErrBusy) {
		t.Errorf("a second question: %v", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Errorf("the first question: %v", err)
	}
}

func TestAnErrorDoesNotShowTheURL(t *testing.T) {
	s := newSystem(t, answering(""), nil)
	s.Close()
	if _, err := s.client.Ask(t.Context(), someCase()); err == nil || strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), secret) {
		t.Errorf("Ask: %v", err)
	}
}

func TestAnotherCertificateIsNotTheSystem(t *testing.T) {
	other := testpki.NewRoot(t, "other").Pool()
	s := newSystem(t, answering(`{"decision":"allow"}`), func(c *webhook.Config) { c.Roots = other })
	if _, err := s.client.Ask(t.Context(), someCase()); err == nil {
		t.Error("a certificate of another CA is taken")
	}
}

func TestAConfigurationIsRefusedWhenItIsUnsafe(t *testing.T) {
	good := webhook.Config{URL: "https://decide.example/", Secret: []byte(secret)}
	for what, change := range map[string]func(c *webhook.Config){
		"":                    func(*webhook.Config) {},
		"http":                func(c *webhook.Config) { c.URL = "http://decide.example/" },
		"a lookalike address": func(c *webhook.Config) { c.URL = "http://127.0.0.1.example/" },
		"no host":             func(c *webhook.Config) { c.URL = "https:///x" },
		"a password":          func(c *webhook.Config) { c.URL = "https://a:b@decide.example/" },
		"a file":              func(c *webhook.Config) { c.URL = "file:///etc/passwd" },
		"a short secret":      func(c *webhook.Config) { c.Secret = []byte("short") },
		"a long timeout":      func(c *webhook.Config) { c.Timeout = time.Minute },
	} {
		c := good
		change(&c)
		if _, err := webhook.New(c); (err == nil) != (what == "") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := webhook.New(webhook.Config{URL: "http://127.0.0.1:8080/", Secret: []byte(secret)}); err != nil {
		t.Errorf("http to loopback: %v", err)
	}
}

func FuzzParseAnswer(f *testing.F) {
	for _, seed := range []string{`{"decision":"allow"}`, `{"decision":"deny","reason":"x"}`, `{"decision":"wait","retry_after":90}`, `{"decision":"allow","decision":"deny"}`, "{"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := webhook.ParseAnswer(body)
		if err != nil {
			return
		}
		// What is an allow here is one to every other reader of JSON too.
		var plain map[string]any
		if err := json.Unmarshal(body, &plain); err != nil {
			t.Fatalf("%q is no JSON: %v", body, err)
		}
		if d.Verdict == registrar.Allow && plain["decision"] != "allow" {
			t.Errorf("%q is taken as an allow", body)
		}
		if d.RetryAfter < 0 || d.RetryAfter > 7*24*time.Hour {
			t.Errorf("%q: retry after %s", body, d.RetryAfter)
		}
	})
}
