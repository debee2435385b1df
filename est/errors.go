package est

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// drainLimit is how much of an unread body WriteError reads: enough that a client that sends far too much still
	// reads why, instead of a reset connection.
	drainLimit = 4 << 20
	// maxMessage bounds an Error's Message on the wire, in bytes.
	maxMessage = 400
	// defaultRetryAfter goes with a 202 that names no time; RFC 7030, Section 4.2.3, demands one.
	defaultRetryAfter = 30 * time.Second
)

// Error returns the reason id, the message and the cause. It is for logs; the peer never sees the cause.
func (e *Error) Error() string {
	s := e.Message
	if e.Reason != "" {
		s = e.Reason + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// refuse makes an Error.
func refuse(status int, reason, section, message string) *Error {
	return &Error{Status: status, Reason: reason, Section: section, Message: message}
}

// asError returns what the peer is told about err: the *Error in it, or a bare 500.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{
		Status: http.StatusInternalServerError, Reason: ReasonInternal, Err: err,
		Message: "The server could not do this. It is not the request's fault; try again later.",
	}
}

// WriteError answers r with e. It is the one way in which refusals are written, for brski too:
//
//   - What is left of the request's body is read first, up to 4 MiB; curl 7.88 otherwise reports a stream error
//     instead of the answer now and then, and the connection would be lost.
//   - 401 carries e's challenges, one in a line, or else a Basic challenge for realm, in a header spelled
//     WWW-Authenticate, because libest compares letter case, and no body, because Bouncy Castle 1.72 breaks on one.
//   - 202 carries Retry-After in whole seconds (strongSwan and libest read no dates; RFC 7030, Section 4.2.3), 30 when
//     e names none, and no body.
//   - A refusal that is a Full PKI Response too (RFC 7030, Section 4.3.2) has it as body, whatever the status.
//   - Every other status has a short text/plain body (RFC 8951, Section 5.1): the message, then the reason id and the
//     section. 503 and 429 have Retry-After when e has.
//
// Content-Length is always set, because libest and strongSwan read no other answer. A status that is neither 202 nor
// an HTTP error becomes 500. Headers that the caller has set, such as Allow, are sent too.
func WriteError(w http.ResponseWriter, r *http.Request, realm string, e *Error) {
	drain(r)
	status := e.Status
	if status != http.StatusAccepted && (status < 400 || status > 599) {
		status = http.StatusInternalServerError
	}
	h := w.Header()
	switch status {
	case http.StatusAccepted:
		retry := e.RetryAfter
		if retry <= 0 {
			retry = defaultRetryAfter
		}
		setRetryAfter(h, retry)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		if e.RetryAfter > 0 {
			setRetryAfter(h, e.RetryAfter)
		}
	case http.StatusUnauthorized:
		h["WWW-Authenticate"] = e.challenges(realm)
		if e.RetryAfter > 0 {
			setRetryAfter(h, e.RetryAfter)
		}
	}
	if e.CMC != nil {
		writeCMC(w, status, e.CMC)
		return
	}
	if status == http.StatusAccepted || status == http.StatusUnauthorized {
		h["Content-Length"] = []string{"0"}
		w.WriteHeader(status)
		return
	}
	body := errorText(e, status)
	h["Content-Type"] = []string{"text/plain; charset=utf-8"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func drain(r *http.Request) {
	if r.Body == nil || r.ContentLength > drainLimit {
		return
	}
	// An error leaves the connection to net/http, which closes it after the answer.
	_, _ = io.CopyN(io.Discard, r.Body, drainLimit)
}

func setRetryAfter(h http.Header, d time.Duration) {
	seconds := (d + time.Second - 1) / time.Second
	h["Retry-After"] = []string{strconv.FormatInt(int64(seconds), 10)}
}

func errorText(e *Error, status int) string {
	message := printable(e.Message, maxMessage)
	if message == "" {
		message = http.StatusText(status)
	}
	var b strings.Builder
	b.WriteString(message)
	b.WriteByte('\n')
	if e.Reason != "" {
		b.WriteString("reason: ")
		b.WriteString(printable(e.Reason, 64))
		if e.Section != "" {
			b.WriteString(", ")
			b.WriteString(printable(e.Section, 100))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// quotable returns s as it may stand in a quoted-string (RFC 9110, Section 5.6.4), "est" for none.
func quotable(s string) string {
	if s == "" {
		return "est"
	}
	return strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' {
			return '\''
		}
		return r
	}, printable(s, 100))
}

// printable returns at most limit bytes of s as one line of printable ASCII.
func printable(s string, limit int) string {
	truncated := false
	if len(s) > limit {
		s, truncated = s[:limit], true
	}
	clean := !truncated
	for i := 0; clean && i < len(s); i++ {
		clean = s[i] >= ' ' && s[i] < 0x7f
	}
	if clean {
		return strings.Trim(s, " ")
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r < ' ' || r >= 0x7f:
			return '?'
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if truncated && len(s) > 3 {
		s = s[:len(s)-3] + "..."
	}
	return s
}
