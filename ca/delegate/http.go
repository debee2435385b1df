package delegate

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/briskest/briskest/ca"
)

// Answer is what another CA's HTTP server answered, whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte

	secrets *Secrets // what the request showed
}

// Sentence is [Secrets.Sentence] of a text of the answer.
func (a *Answer) Sentence(text string) string { return a.secrets.Sentence(text) }

// Do sends a request and reads the whole answer, which has at most limit bytes.
// An error wraps ca.ErrUnavailable, and is a *ca.Later if the request may have
// arrived. A status is no error here: see [Refusal]. secrets, which may be nil, are
// in no error and in no sentence of the answer.
func Do(client *http.Client, request *http.Request, limit int64, secrets *Secrets) (*Answer, error) {
	var sent atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}
	response, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err != nil {
		return nil, unanswered(secrets.Error(err), sent.Load())
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = fmt.Errorf("the answer has more than %d bytes", limit)
	}
	if err != nil {
		return nil, unanswered(err, true)
	}
	return &Answer{response.StatusCode, response.Header, body, secrets}, nil
}

// unanswered is a request that got no answer.
func unanswered(err error, sent bool) error {
	err = fmt.Errorf("%w: %w", ca.ErrUnavailable, err)
	if sent {
		return &ca.Later{Err: err}
	}
	return err
}

// MaxAfter bounds the wait that another CA may ask for.
const MaxAfter = 24 * time.Hour

// RetryAfter reads that header's seconds (RFC 9110, Section 10.2.3), at most a
// day; zero when it is absent, a date, or no number.
func RetryAfter(h http.Header) time.Duration {
	n, err := strconv.ParseUint(h.Get("Retry-After"), 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, MaxAfter)
}

// Lost says that an answer came that cannot be used, so that nobody knows what
// became of the request: an error that wraps ca.ErrUnavailable, in a *ca.Later.
func Lost(problem error) error {
	return &ca.Later{Err: fmt.Errorf("%w: the CA's answer is of no use: %w", ca.ErrUnavailable, problem)}
}

// Refusal maps a status that is no success. 408, 425, 429 and 5xx say nothing of
// what became of the request: ca.ErrUnavailable in a *ca.Later. 401 and 403 are
// about us and not about the request: ca.ErrUnavailable. Every other is
// ca.ErrRejected. sentence is the CA's, for the operator.
func Refusal(a *Answer, sentence string) error {
	said := fmt.Errorf("the CA answered %d %q", a.Status, a.Sentence(sentence))
	switch {
	case a.Status >= 500, a.Status == http.StatusRequestTimeout, a.Status == http.StatusTooEarly, a.Status == http.StatusTooManyRequests:
		return &ca.Later{Err: fmt.Errorf("%w: %w", ca.ErrUnavailable, said), After: RetryAfter(a.Header)}
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden:
		return fmt.Errorf("%w: %w; the CA does not take the credential of this registrar", ca.ErrUnavailable, said)
	default:
		return fmt.Errorf("%w: %w", ca.ErrRejected, said)
	}
}
