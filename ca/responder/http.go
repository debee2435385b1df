package responder

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Paths that a Responder serves. Requests come to it with their paths as they
// were sent: a router that cleans paths breaks those of OCSP, in which "//" stands.
const (
	OCSPPath         = "/ocsp"
	ListPath         = "/crl"
	CertificatesPath = "/ca"
)

// ServeHTTP implements http.Handler:
//
//	POST /ocsp, GET /ocsp/BASE64          RFC 6960, Appendix A; RFC 5019, Section 5
//	GET /crl/AUTHORITY/COUNT/INDEX.crl    a full list; 1/0 is that of all
//	GET /crl/AUTHORITY/COUNT/INDEX-delta.crl
//	GET /ca/AUTHORITY.cer                 a CA's certificate (RFC 5280, Section 4.2.2.1)
func (r *Responder) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	path := q.URL.EscapedPath()
	if rest, ok := under(path, OCSPPath); ok {
		r.serveOCSP(w, q, rest)
		return
	}
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		plain(w, http.StatusMethodNotAllowed, "Lists and certificates are fetched by GET.\n")
		return
	}
	if rest, ok := under(path, ListPath); ok {
		r.serveList(w, q, rest)
		return
	}
	if rest, ok := under(path, CertificatesPath); ok {
		r.serveCertificate(w, q, rest)
		return
	}
	notFound(w)
}

// under cuts the prefix and the slash behind it.
func under(path, prefix string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, prefix)
	if !ok || rest == "" {
		return "", ok
	}
	return strings.CutPrefix(rest, "/")
}

func notFound(w http.ResponseWriter) {
	plain(w, http.StatusNotFound, "There is nothing at this path. OCSP is under /ocsp, revocation lists are under /crl and CA certificates under /ca.\n")
}

func plain(w http.ResponseWriter, code int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text)
}

// serveOCSP answers one request. What cannot be answered gets 200 with an
// OCSPResponse that says why (RFC 6960, Section 2.3).
func (r *Responder) serveOCSP(w http.ResponseWriter, q *http.Request, rest string) {
	var body []byte
	var err error
	switch q.Method {
	case http.MethodGet, http.MethodHead:
		body, err = fromPath(rest)
	case http.MethodPost:
		if kind, _, _ := mime.ParseMediaType(q.Header.Get("Content-Type")); kind != "application/ocsp-request" {
			plain(w, http.StatusUnsupportedMediaType, "An OCSP request has the Content-Type application/ocsp-request.\n")
			return
		}
		body, err = readBody(q.Body)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		plain(w, http.StatusMethodNotAllowed, "OCSP is asked by GET or POST.\n")
		return
	}
	var asked *question
	if err == nil {
		asked, err = parseRequest(body)
	}
	var a *answer
	if err == nil {
		a, err = r.answerTo(q.Context(), asked)
	}
	if err != nil {
		r.fail(w, q, err)
		return
	}
	r.serveAnswer(w, q, a)
}

// fromPath decodes a request in a path: base64, then percent-encoding (RFC
// 5019, Section 5). Padding may be left out.
func fromPath(escaped string) ([]byte, error) {
	if len(escaped) > 4*maxRequest {
		return nil, malformed("longer than %d bytes", maxRequest)
	}
	text, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, malformed("the path is badly escaped")
	}
	body, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, malformed("the path is no base64")
	}
	return body, nil
}

func readBody(in io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(in, maxRequest+1))
	if err != nil {
		return nil, malformed("the body cannot be read")
	}
	return body, nil
}

// fail answers with an unsigned error (RFC 6960, Section 2.3).
func (r *Responder) fail(w http.ResponseWriter, q *http.Request, err error) {
	code := tryLater
	switch {
	case errors.Is(err, errMalformed):
		code = malformedRequest
	case errors.Is(err, errUnauthorized):
		code = unauthorized
	default:
		w.Header().Set("Retry-After", "5")
		r.complain(q.Context(), "OCSP request not answered", err)
	}
	send(w, q, "application/ocsp-response", failure(code))
}

// serveAnswer sends a signed answer; one that others may get too comes with
// what caches need (RFC 5019, Section 6.2).
func (r *Responder) serveAnswer(w http.ResponseWriter, q *http.Request, a *answer) {
	if a.reusable && q.Method != http.MethodPost {
		now := r.config.Now()
		cached(w.Header(), a.etag, a.thisUpdate, a.nextUpdate, a.nextUpdate.Sub(now), now)
		if matches(q, a.etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	send(w, q, "application/ocsp-response", a.der)
}

// cached sets the headers that tell caches how long they may keep something.
func cached(h http.Header, etag string, made, end time.Time, age time.Duration, now time.Time) {
	age = max(min(age, end.Sub(now)), 0).Truncate(time.Second)
	h.Set("Cache-Control", "max-age="+strconv.Itoa(int(age/time.Second))+", public, no-transform, must-revalidate")
	h.Set("Expires", now.Add(age).UTC().Format(http.TimeFormat))
	h.Set("Last-Modified", made.UTC().Format(http.TimeFormat))
	h.Set("Date", now.UTC().Format(http.TimeFormat))
	h.Set("ETag", etag)
}

func matches(q *http.Request, etag string) bool {
	for one := range strings.SplitSeq(q.Header.Get("If-None-Match"), ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == etag || one == "*" {
			return true
		}
	}
	return false
}

func send(w http.ResponseWriter, q *http.Request, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if q.Method != http.MethodHead {
		_, _ = w.Write(body) // an error means that the client is gone
	}
}

// serveList sends AUTHORITY/COUNT/INDEX.crl.
func (r *Responder) serveList(w http.ResponseWriter, q *http.Request, rest string) {
	scope, ok := parseScope(rest)
	if !ok || r.world.Load().authorities[scope.Authority] == nil {
		notFound(w)
		return
	}
	list, err := r.config.Records.List(q.Context(), scope)
	switch {
	case errors.Is(err, ErrUnknown):
		notFound(w)
		return
	case err != nil:
		r.complain(q.Context(), "revocation list not served", err)
		w.Header().Set("Retry-After", "5")
		plain(w, http.StatusServiceUnavailable, "There is no current list now. Try again after the seconds in Retry-After.\n")
		return
	}
	now := r.config.Now()
	cached(w.Header(), etag(list.Raw), list.ThisUpdate, list.NextUpdate, r.config.ListAge, now)
	w.Header().Set("Content-Type", "application/pkix-crl") // RFC 5280, Section 4.2.1.13
	http.ServeContent(w, q, "", list.ThisUpdate, bytes.NewReader(list.Raw))
}

// parseScope reads AUTHORITY/COUNT/INDEX.crl or AUTHORITY/COUNT/INDEX-delta.crl,
// in the one spelling that they have.
func parseScope(text string) (Scope, bool) {
	text, ok := strings.CutSuffix(text, ".crl")
	if !ok || len(text) > 256 {
		return Scope{}, false
	}
	text, delta := strings.CutSuffix(text, "-delta")
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return Scope{}, false
	}
	count, err1 := strconv.Atoi(parts[1])
	index, err2 := strconv.Atoi(parts[2])
	s := Scope{Authority: parts[0], Count: count, Index: index, Delta: delta}
	good := err1 == nil && err2 == nil && s.valid() && strconv.Itoa(count) == parts[1] && strconv.Itoa(index) == parts[2]
	return s, good
}

// MaxPartitions is the most partitions of one authority.
const MaxPartitions = 1 << 16

func (s *Scope) valid() bool {
	return s.Count >= 1 && s.Count <= MaxPartitions && s.Count&(s.Count-1) == 0 && s.Index >= 0 && s.Index < s.Count
}

// serveCertificate sends NAME.cer.
func (r *Responder) serveCertificate(w http.ResponseWriter, q *http.Request, rest string) {
	name, ok := strings.CutSuffix(rest, ".cer")
	der := r.world.Load().certificate[name]
	if !ok || der == nil {
		notFound(w)
		return
	}
	w.Header().Set("ETag", etag(der))
	w.Header().Set("Cache-Control", "max-age=86400, public")
	w.Header().Set("Content-Type", "application/pkix-cert") // RFC 5280, Section 4.2.2.1
	http.ServeContent(w, q, "", time.Time{}, bytes.NewReader(der))
}
