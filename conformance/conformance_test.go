package conformance_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/internal/testpki"
)

func TestEachOutcomeOfACheckHasItsVerdict(t *testing.T) {
	outcomes := map[string]error{
		"pass": nil,
		"fail": errors.New("GET /x answered 500, want 200"),
		"skip": fmt.Errorf("asked: %w", conformance.Skip("no %s", "password")),
	}
	for want, outcome := range outcomes {
		report := run(t, &conformance.Target{URL: "https://127.0.0.1:1"}, func(context.Context, *conformance.Target) error { return outcome })
		got := report.Checks[0]
		if string(got.Verdict) != want {
			t.Errorf("a check that returns %v has the verdict %s, want %s", outcome, got.Verdict, want)
		}
		if outcome != nil && got.Reason != outcome.Error() {
			t.Errorf("the reason is %q, want %q", got.Reason, outcome)
		}
		if report.Failed() != (want == "fail") {
			t.Errorf("Failed() = %v after %s", report.Failed(), want)
		}
	}
}

func TestAReportIsWrittenAsJSON(t *testing.T) {
	report := run(t, &conformance.Target{URL: "https://127.0.0.1:1"}, func(context.Context, *conformance.Target) error { return errors.New("wrong") })
	var b bytes.Buffer
	if err := report.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	want := `{"target":"https://127.0.0.1:1","checks":[{"id":"X-1-1","citation":"X, Section 1","level":"MUST","role":"est-server","verdict":"fail","reason":"wrong"}]}` + "\n"
	if b.String() != want {
		t.Errorf("WriteJSON wrote\n%swant\n%s", &b, want)
	}
	if !json.Valid(b.Bytes()) {
		t.Error("which is no JSON")
	}
}

func TestAReportIsWrittenAsATable(t *testing.T) {
	report := run(t, &conformance.Target{URL: "https://127.0.0.1:1"}, func(context.Context, *conformance.Target) error { return errors.New("wrong") })
	var b bytes.Buffer
	if err := report.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"VERDICT", "fail", "X-1-1", "MUST", "it works", "wrong", "0 passed, 1 failed, 0 skipped"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, &b)
		}
	}
}

func TestWhatAPeerWroteCannotSteerATerminal(t *testing.T) {
	hostile := "answered \x1b[2J\u202e\r\n\xff" + strings.Repeat("a", 10000)
	report := run(t, &conformance.Target{URL: "https://127.0.0.1:1"}, func(context.Context, *conformance.Target) error { return errors.New(hostile) })
	reason := report.Checks[0].Reason
	//lint:ignore SA1011 a peer may send such bytes
	if strings.ContainsAny(reason, "\x1b\u202e\r\n\xff") || len([]rune(reason)) > 400 {
		t.Errorf("the reason is %d runes, %q", len([]rune(reason)), reason)
	}
}

func TestACheckThatRunsOutOfTimeFails(t *testing.T) {
	target := &conformance.Target{URL: "https://127.0.0.1:1", Timeout: time.Millisecond}
	report := run(t, target, func(ctx context.Context, _ *conformance.Target) error {
		<-ctx.Done()
		return fmt.Errorf("GET /x: %w", ctx.Err())
	})
	if got := report.Checks[0]; got.Verdict != conformance.VerdictFail || !strings.Contains(got.Reason, "no answer within 1ms") {
		t.Errorf("verdict %s, reason %q, want fail for want of an answer", got.Verdict, got.Reason)
	}
}

func TestAStoppedRunSkipsTheRest(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stopping := check(func(context.Context, *conformance.Target) error { stop(); return errors.New("cut short") })
	never := check(func(context.Context, *conformance.Target) error { t.Error("asked after the stop"); return nil })
	report, err := conformance.Run(ctx, &conformance.Target{URL: "https://127.0.0.1:1"}, []conformance.Check{stopping, never})
	if err != nil {
		t.Fatal(err)
	}
	if n := report.Count(conformance.VerdictSkip); n != 2 {
		t.Errorf("%d checks skipped, want both: %+v", n, report.Checks)
	}
}

func TestATargetThatCannotBeAskedIsRefusedAtOnce(t *testing.T) {
	for _, target := range []conformance.Target{
		{URL: ""},
		{URL: "http://127.0.0.1"},
		{URL: "127.0.0.1:8443"},
		{URL: "https://"},
		{URL: "https://127.0.0.1/.well-known/est"},
		{URL: "https://device:secret@127.0.0.1"},
		{URL: "https://127.0.0.1?x"},
		{URL: "https://127.0.0.1#x"},
		{URL: "https://127.0.0.1", Timeout: -1},
		{URL: "https://127.0.0.1", MaxBody: -1},
	} {
		if _, err := conformance.Run(t.Context(), &target, nil); err == nil {
			t.Errorf("Run took the target %+v", target)
		}
	}
	if err := (&conformance.Target{URL: "https://[::1]:8443/"}).Check(); err != nil {
		t.Errorf("Check refused a good target: %v", err)
	}
}

func TestAnAnswerLongerThanTheLimitIsAnError(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		block := bytes.Repeat([]byte("a"), 4096)
		for r.Context().Err() == nil { // for as long as it is read
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	target.MaxBody = 100_000
	_, err := target.Do(t.Context(), &conformance.Request{Method: http.MethodGet, Path: "/long"})
	if err == nil || !strings.Contains(err.Error(), "GET /long answered 200 with more than 100000 bytes") {
		t.Errorf("Do = %v, want an error about the length", err)
	}
}

func TestAServerThatDoesNotAnswerIsLeftAtTheDeadline(t *testing.T) {
	target := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := target.Do(ctx, &conformance.Request{Method: http.MethodGet, Path: "/"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Do = %v, want the deadline", err)
	}
}

func TestARedirectIsAnAnswerAndIsNotFollowed(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			t.Error("the redirect was followed")
		}
		http.Redirect(w, r, "/away", http.StatusTemporaryRedirect)
	})
	a, err := target.Do(t.Context(), &conformance.Request{Method: http.MethodGet, Path: "/"})
	if err != nil || a.Status != http.StatusTemporaryRedirect || a.OK() || a.Refused() {
		t.Errorf("Do = %v, %v, want 307 that is neither success nor refusal", a, err)
	}
}

// Credentials go where the request says, and nowhere else.
func TestCredentialsAreSentAsAsked(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		name := "-"
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		u, p, _ := r.BasicAuth()
		fmt.Fprintf(w, "%s %s:%s %q", name, u, p, r.Header.Get("Content-Type"))
	})
	root := testpki.NewRoot(t, "clients")
	own, other := root.Client(t, "own").TLS(), root.Client(t, "other").TLS()
	target.User, target.Password, target.Certificate = "device", "secret", &own
	for _, c := range []struct {
		as   conformance.Credentials
		want string
	}{
		{conformance.Nobody, `- : ""`},
		{conformance.AsTarget, `own device:secret ""`},
		{conformance.WithCertificate, `other : ""`},
	} {
		a, err := target.Do(t.Context(), &conformance.Request{Method: http.MethodGet, Path: "/", As: c.as, Certificate: &other})
		if err != nil || string(a.Body) != c.want {
			t.Errorf("credentials %d: the server saw %q, %v, want %q", c.as, a.Body, err, c.want)
		}
	}
}

func TestMediaTypesAreReadLiberally(t *testing.T) {
	for header, want := range map[string]string{
		"Application/PKCS7-MIME; smime-type=certs-only": "application/pkcs7-mime",
		"application/pkcs7-mime; broken":                "application/pkcs7-mime",
		"":                                              "",
		"/":                                             "",
	} {
		a := &conformance.Answer{Header: http.Header{"Content-Type": {header}}}
		if got := a.MediaType(); got != want {
			t.Errorf("MediaType of %q = %q, want %q", header, got, want)
		}
	}
}

func TestThePasswordIsInNoReport(t *testing.T) {
	target := &conformance.Target{URL: "https://127.0.0.1:1", User: "device", Password: "tell-nobody"}
	report := run(t, target, func(ctx context.Context, target *conformance.Target) error {
		_, err := target.Do(ctx, &conformance.Request{Method: http.MethodGet, Path: "/", As: conformance.AsTarget})
		return fmt.Errorf("%+v: %w", target, err)
	})
	if strings.Contains(report.Checks[0].Reason, "tell-nobody") {
		t.Errorf("the reason holds the password: %q", report.Checks[0].Reason)
	}
}

func check(f func(context.Context, *conformance.Target) error) conformance.Check {
	return conformance.Check{
		ID: "X-1-1", Citation: "X, Section 1", Text: "it works",
		Role: conformance.RoleESTServer, Level: conformance.Must, Run: f,
	}
}

func run(t *testing.T, target *conformance.Target, f func(context.Context, *conformance.Target) error) *conformance.Report {
	t.Helper()
	report, err := conformance.Run(t.Context(), target, []conformance.Check{check(f)})
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	return report
}

func serve(t *testing.T, f http.HandlerFunc) *conformance.Target {
	t.Helper()
	root := testpki.NewRoot(t, "root")
	ts := httptest.NewUnstartedServer(f)
	ts.TLS = &tls.Config{
		Certificates: []tls.Certificate{root.Server(t, "localhost").TLS()},
		ClientAuth:   tls.RequestClientCert, MinVersion: tls.VersionTLS12,
	}
	ts.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that a test cuts short
	ts.StartTLS()
	t.Cleanup(ts.Close)
	return &conformance.Target{URL: ts.URL, Roots: root.Pool()}
}
