package est

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/cms"
)

// ErrPending is matched by the error of a client whose request waits for a decision (RFC 7030, Section 4.2.3).
var ErrPending = errors.New("the server has not decided yet")

// maxRetryAfter bounds what a Retry-After is taken for.
const maxRetryAfter = 31 * 24 * time.Hour

// PendingError is a 202 answer: repeat the same request after RetryAfter.
type PendingError struct {
	// RetryAfter is what the server asked for, from now, 31 days at most; zero when it named no time.
	RetryAfter time.Duration
}

// Error says when to ask again.
func (e *PendingError) Error() string {
	if e.RetryAfter == 0 {
		return ErrPending.Error() + "; it named no time to ask again"
	}
	return fmt.Sprintf("%v; ask again in %v", ErrPending, e.RetryAfter)
}

// Is reports whether target is [ErrPending].
func (e *PendingError) Is(target error) bool { return target == ErrPending }

// StatusError is any other answer that is no success.
type StatusError struct {
	Operation  Operation
	Status     int           // HTTP status
	Message    string        // what the server wrote, one line of printable ASCII, 400 bytes at most; may be empty
	RetryAfter time.Duration // zero when the server named no time
}

// Error returns operation, status and the server's text.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s: the server refused with %d", e.Operation, e.Status)
	if text := http.StatusText(e.Status); text != "" {
		s += " " + text
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// answer is a response whose body has been read.
type answer struct {
	op          Operation
	status      int
	contentType string
	body        []byte
	retryAfter  time.Duration
}

// readAnswer reads res within bounds: of a refusal the beginning, of a success all.
func readAnswer(q *request, res *http.Response, now time.Time) (*answer, error) {
	a := &answer{
		op: q.op, status: res.StatusCode, contentType: res.Header.Get("Content-Type"),
		retryAfter: parseRetryAfter(res.Header.Get("Retry-After"), now),
	}
	if a.status != http.StatusOK && !q.whole {
		// What breaks off is shown as far as it came: the status has said it all.
		a.body, _ = io.ReadAll(io.LimitReader(res.Body, maxErrorBody))
		return a, nil
	}
	if res.ContentLength > maxAnswer {
		return nil, a.invalid(errors.New("larger than 1 MiB"))
	}
	var err error
	if a.body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer+1)); err != nil {
		return nil, fmt.Errorf("%s: the answer broke off: %w", q.op, err)
	}
	if len(a.body) > maxAnswer {
		return nil, a.invalid(errors.New("larger than 1 MiB"))
	}
	return a, nil
}

// parseRetryAfter reads seconds or a date (RFC 9110, Section 10.2.3); zero for anything else.
func parseRetryAfter(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	if v == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(v, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second //nolint:gosec // bounded just here
	}
	if strings.Trim(v, "0123456789") == "" {
		return maxRetryAfter // too many digits for an integer
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// der checks the media type and returns the body without its base64 (RFC 8951, Section 3: whatever
// Content-Transfer-Encoding says).
func (a *answer) der(want string) ([]byte, error) {
	if got := mediaType(a.contentType); got != want {
		return nil, a.invalid(fmt.Errorf("Content-Type is %q instead of %s", printable(a.contentType, 80), want))
	}
	der, e := decodeBase64(a.body)
	if e != nil {
		return nil, a.invalid(errors.New("its body is not base64: " + e.Reason))
	}
	return der, nil
}

// certificates opens the answer as certs-only.
func (a *answer) certificates() ([]*x509.Certificate, error) {
	der, err := a.der(typePKCS7)
	if err != nil {
		return nil, err
	}
	if t := smimeType(a.contentType); t != "" && t != "certs-only" {
		return nil, a.invalid(fmt.Errorf("smime-type is %q", printable(t, 40)))
	}
	certs, err := cms.ParseCertsOnly(der)
	if err != nil {
		return nil, a.invalid(err)
	}
	return certs, nil
}

func (a *answer) invalid(err error) error {
	return fmt.Errorf("%s: %w: %w", a.op, ErrAnswer, err)
}

func (a *answer) refusal() error {
	return &StatusError{
		Operation: a.op, Status: a.status, Message: printable(string(a.body), maxMessage), RetryAfter: a.retryAfter,
	}
}
