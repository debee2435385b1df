package catest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/briskest/briskest/ca"
)

// Echo is a server that answers each request with a refusal that repeats all it
// was ever sent, as careless servers do.
type Echo struct {
	// Status of the answers.
	Status int
	// Also is repeated too: what the server knows without being sent it.
	Also []string
	// Pad comes before, so that what follows is cut somewhere else.
	Pad int
	// Shape makes the body of an answer from the text, and names its media type;
	// nil: the text itself.
	Shape func(text string) (mediaType string, body []byte)
	// Except answers what has to go well for the rest to be asked; it returns
	// false for what it leaves to the echo. nil: nothing.
	Except func(w http.ResponseWriter, r *http.Request) bool

	mu   sync.Mutex
	sent []string // guarded by mu
}

// ServeHTTP implements http.Handler.
func (e *Echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	e.mu.Lock()
	for _, values := range r.Header {
		e.sent = append(e.sent, values...)
	}
	if user, password, ok := r.BasicAuth(); ok {
		e.sent = append(e.sent, user+":"+password, password)
	}
	e.sent = append(e.sent, string(body))
	text := strings.Repeat("x", e.Pad) + strings.Join(append(append([]string(nil), e.Also...), e.sent...), " ")
	e.mu.Unlock()
	if e.Except != nil && e.Except(w, r) {
		return
	}
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="echo"`)
	}
	media, answer := "text/plain", []byte(text)
	if e.Shape != nil {
		media, answer = e.Shape(text)
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(e.Status)
	_, _ = w.Write(answer)
}

// Sent is all that it was sent, header values and bodies.
func (e *Echo) Sent() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.sent, "\n")
}

// Overheard takes what an issuer says: its log, and its errors with all that they wrap.
type Overheard struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Write takes a line of the log.
func (o *Overheard) Write(line []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(line)
}

// Log is one that writes everything to o.
func (o *Overheard) Log() *slog.Logger {
	return slog.New(slog.NewTextHandler(o, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Error takes an error and what can be had from it.
func (o *Overheard) Error(err error) {
	for ; err != nil; err = errors.Unwrap(err) {
		_, _ = io.WriteString(o, err.Error()+"\n")
		var wrong *ca.Mismatch
		if errors.As(err, &wrong) {
			_, _ = io.WriteString(o, wrong.Problem.Error()+"\n")
		}
		var later *ca.Later
		if errors.As(err, &later) {
			_, _ = o.Write(later.State)
		}
	}
}

// Hides fails the test for each secret that was overheard: whole, in base64 or
// hex, or the first half of it.
func (o *Overheard) Hides(t testing.TB, secrets ...string) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	text := o.text.String()
	if text == "" {
		t.Error("nothing was said, so that nothing was hidden")
	}
	for _, secret := range secrets {
		half := secret[:len(secret)/2]
		for _, form := range []string{secret, half, base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret))} {
			if strings.Contains(text, form) {
				t.Errorf("the secret %q was said, as %q, in:\n%s", secret, form, text)
				break
			}
		}
	}
}
