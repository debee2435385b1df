package wire_test

import (
	"bytes"
	"context"
	"crypto/tls"
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
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/internal/testpki"
)

func serve(t *testing.T, f http.HandlerFunc) *wire.Site {
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
	return &wire.Site{URL: ts.URL, Roots: root.Pool()}
}

func ptr(r wire.Request) *wire.Request { return &r }

func get(path string) *wire.Request { return &wire.Request{Method: http.MethodGet, Path: path} }

func TestASiteThatCannotBeAskedIsRefusedAtOnce(t *testing.T) {
	for _, url := range []string{
		"", "http://127.0.0.1", "127.0.0.1:8443", "https://", "https://127.0.0.1/.well-known/est",
		"https://device:secret@127.0.0.1", "https://127.0.0.1?x", "https://127.0.0.1#x",
	} {
		if err := (&wire.Site{URL: url}).Check(); err == nil {
			t.Errorf("Check took %q", url)
		}
	}
	if err := (&wire.Site{URL: "https://127.0.0.1", MaxBody: -1}).Check(); err == nil {
		t.Error("Check took a negative limit")
	}
	if err := (&wire.Site{URL: "https://[::1]:8443/"}).Check(); err != nil {
		t.Errorf("Check refused a good site: %v", err)
	}
}

func TestAnAnswerLongerThanTheLimitIsAnError(t *testing.T) {
	site := serve(t, func(w http.ResponseWriter, r *http.Request) {
		block := bytes.Repeat([]byte("a"), 4096)
		for r.Context().Err() == nil { // for as long as it is read
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	site.MaxBody = 100_000
	_, err := site.Do(t.Context(), &wire.Options{}, get("/long"))
	if err == nil || !strings.Contains(err.Error(), "answered 200 with more than 100000 bytes") {
		t.Errorf("Do = %v, want an error about the length", err)
	}
}

func TestAHeaderThatDoesNotEndIsAnError(t *testing.T) {
	site := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 1000 {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("a", 1000))
		}
	})
	if a, err := site.Do(t.Context(), &wire.Options{}, get("/")); err == nil {
		t.Errorf("Do took a header of a megabyte: %v", a)
	}
}

func TestAServerThatDoesNotAnswerIsLeftAtTheDeadline(t *testing.T) {
	site := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := site.Do(ctx, &wire.Options{}, get("/")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Do = %v, want the deadline", err)
	}
}

func TestARedirectIsAnAnswerAndIsNotFollowed(t *testing.T) {
	site := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			t.Error("the redirect was followed")
		}
		http.Redirect(w, r, "/away", http.StatusTemporaryRedirect)
	})
	a, err := site.Do(t.Context(), &wire.Options{}, get("/"))
	if err != nil || a.Status != http.StatusTemporaryRedirect || a.OK() || a.Refused() {
		t.Errorf("Do = %v, %v, want 307 that is neither success nor refusal", a, err)
	}
}

func TestRequestsAreSentAsWrittenAndRecordedWithoutPasswords(t *testing.T) {
	site := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		_, p, _ := r.BasicAuth()
		fmt.Fprintf(w, "%s %s %s %d %v %v", r.Host, p, body, r.ContentLength, r.Header["X-Odd"], err)
	})
	check := conformance.Check[*wire.Site]{ID: "X-1-1", Run: func(ctx context.Context, s *wire.Site) error {
		r := wire.Request{Method: http.MethodPost, Path: "/x", Header: [][2]string{{"x-ODD", "1"}}, Body: []byte("tell everybody"), Chunks: 3}
		a, err := s.Do(ctx, &wire.Options{}, ptr(r.With("Authorization", wire.Basic("device", "tell-nobody"))))
		if err != nil {
			return err
		}
		if want := strings.TrimPrefix(s.URL, "https://") + " tell-nobody tell everybody -1 [1] <nil>"; string(a.Body) != want {
			t.Errorf("the server saw %q, want %q", a.Body, want)
		}
		return nil
	}}
	report := conformance.Run(t.Context(), site, []conformance.Check[*wire.Site]{check}, &conformance.Options{Raw: true})
	e := report.Checks[0].Exchanges[0]
	for _, text := range []string{string(e.RawSent), e.Sent} {
		if strings.Contains(text, wire.Basic("device", "tell-nobody")[6:]) || !strings.Contains(text, "/x") {
			t.Errorf("recorded is %q", text)
		}
	}
	if !strings.Contains(string(e.RawSent), "x-ODD: 1\r\n") || !strings.Contains(string(e.RawSent), "\r\n3\r\ntel\r\n") || !strings.HasPrefix(string(e.RawCame), "HTTP/1.1 200 OK\r\n") {
		t.Errorf("recorded are %q and %q", e.RawSent, e.RawCame)
	}
}

func TestMediaTypesAreReadLiberally(t *testing.T) {
	for header, want := range map[string]string{
		"Application/PKCS7-MIME; smime-type=certs-only": "application/pkcs7-mime",
		"application/pkcs7-mime; broken":                "application/pkcs7-mime",
		"":                                              "",
		"/":                                             "",
	} {
		a := &wire.Answer{Header: http.Header{"Content-Type": {header}}}
		if got := a.MediaType(); got != want {
			t.Errorf("MediaType of %q = %q, want %q", header, got, want)
		}
	}
}

func TestAClientHelloIsAnsweredByAServerHelloOrAnAlert(t *testing.T) {
	site := serve(t, func(http.ResponseWriter, *http.Request) {})
	a, err := site.Hello(t.Context(), &wire.Hello{
		Version: tls.VersionTLS12, Suites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, Extensions: map[uint16][]byte{wire.ExtRenegotiation: {0}},
	})
	if err != nil || !a.Agreed || a.Version != tls.VersionTLS12 || a.Suite != tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 {
		t.Errorf("Hello = %+v, %v, want the suite", a, err)
	} else if _, ok := a.Extensions[wire.ExtRenegotiation]; !ok {
		t.Errorf("the extensions are %v, want renegotiation_info", a.Extensions)
	}
	a, err = site.Hello(t.Context(), &wire.Hello{Version: tls.VersionTLS12, Suites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}})
	if err != nil || a.Agreed || a.Alert == 0 {
		t.Errorf("Hello with RC4 = %+v, %v, want an alert", a, err)
	}
}

// Whatever a server says to a ClientHello, reading it ends, and without a panic.
func FuzzReadHello(f *testing.F) {
	f.Add([]byte{21, 3, 3, 0, 2, 2, 40})
	f.Add([]byte{22, 3, 3, 0, 4, 2, 0, 0, 0})
	f.Add(append([]byte{22, 3, 3, 0, 44, 2, 0, 0, 40, 3, 3}, make([]byte, 38)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, _, err := wire.ReadHello(bytes.NewReader(data))
		if (a == nil) != (err != nil) {
			t.Errorf("ReadHello(%x) = %v, %v", data, a, err)
		}
	})
}
