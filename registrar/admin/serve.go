package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Config says how the API is served.
type Config struct {
	// Domains are the domains by name, as they are when a request comes.
	Domains func() map[string]*Domain
	// Authenticate says who asks.
	Authenticate Authenticate
	// Host tells whether a Host header, without its port, is one of the server's; nil takes all. With it a page
	// of somebody else's does not reach the API by a name that it has pointed here.
	Host func(name string) bool
	// TellCauses shows the cause of an internal error, which is for the machine's own people. Without it
	// the log has it, under the request id that the answer has.
	TellCauses bool
	Log        *slog.Logger // nil for none
}

// Handler serves the API.
type Handler struct {
	c     Config
	log   *slog.Logger
	table *table
	locks pathLocks
}

// NewHandler returns a handler of the API.
func NewHandler(c Config) *Handler {
	h := &Handler{c: c, log: c.Log, table: operations(), locks: pathLocks{held: make(map[string]*pathLock)}}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	return h
}

// exchange is one request on its way to an operation.
type exchange struct {
	id     string
	w      http.ResponseWriter
	r      *http.Request
	op     *operation
	values map[string]string // of the path's parameters
	api    *api
	body   []byte
	in     any
}

// ServeHTTP answers one request. Nobody is told more than that a request is not theirs until it is known who
// they are, and no body is read before it is known that they may send it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &exchange{id: requestID(), w: w, r: r}
	header := w.Header()
	header.Set("X-Request-Id", c.id)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if len(r.TransferEncoding) > 0 {
		// There may have been a Content-Length as well, which net/http does not tell: somebody before us may have gone by
		// that, and what follows be of somebody else than it says (RFC 9112, Sections 6.1 and 11.2).
		header.Set("Connection", "close")
	}
	if err := h.serve(c); err != nil {
		h.fail(c, asError(err))
	}
}

func requestID() string {
	b := make([]byte, 8)
	rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

// fail writes a refusal or failure, and logs it.
func (h *Handler) fail(c *exchange, e *Error) {
	level, shown := slog.LevelInfo, e
	if e.Status >= http.StatusInternalServerError {
		level = slog.LevelError
		if !h.c.TellCauses {
			shown = refuse(e.Status, e.Reason, "something went wrong here; the server's log says what, under this request's id")
		}
	}
	attrs := []slog.Attr{slog.String("request_id", c.id), slog.Int("status", e.Status), slog.String("reason", e.Reason)}
	if c.op != nil {
		attrs = append(attrs, slog.String("operation", c.op.ID))
	}
	if c.api != nil {
		attrs = append(attrs, slog.String("actor", c.api.who.Name))
	}
	if e.Status >= http.StatusInternalServerError {
		attrs = append(attrs, slog.String("error", e.Message))
	}
	h.log.LogAttrs(c.r.Context(), level, "admin request refused", attrs...)
	if e.Status == http.StatusUnauthorized {
		c.w.Header().Set("WWW-Authenticate", `Bearer realm="briskest"`)
	}
	answer(c.w, e.Status, "application/problem+json", shown.problem(c.id))
}

func answer(w http.ResponseWriter, status int, mediaType string, body []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // an error means that the client is gone
}

func (h *Handler) serve(c *exchange) error {
	if err := h.notABrowser(c.r); err != nil {
		return err
	}
	who, err := h.c.Authenticate(c.r)
	switch {
	case err != nil:
		h.log.InfoContext(c.r.Context(), "admin request not authenticated", slog.String("request_id", c.id), slog.String("address", c.r.RemoteAddr), slog.String("error", err.Error()))
		return refuse(http.StatusUnauthorized, "not-authenticated", "what was shown authenticates nobody: it is unknown, expired or revoked; make a new token with briskest token create")
	case who == nil:
		return refuse(http.StatusUnauthorized, "not-authenticated", "show a token (Authorization: Bearer) or a client certificate")
	}
	switch c.r.URL.EscapedPath() {
	case Prefix + "/openapi.json":
		return h.document(c)
	case Prefix + "/domains":
		return h.domains(c, who)
	}
	if err := h.find(c, who); err != nil {
		return err
	}
	return h.operate(c)
}

// notABrowser refuses what only a browser sends on behalf of a page: nothing here is for pages, there are no cookies, and a
// certificate that a browser holds would be sent with whatever any page asks for.
func (h *Handler) notABrowser(r *http.Request) error {
	if h.c.Host != nil {
		name := r.Host
		if u, err := url.Parse("//" + r.Host); err == nil {
			name = u.Hostname()
		}
		if !h.c.Host(name) {
			return refuse(http.StatusMisdirectedRequest, "unknown-host", "this server is not called so; use a name that its certificate has")
		}
	}
	if r.Header.Get("Origin") != "" {
		return refuse(http.StatusForbidden, "browser-origin", "pages of other sites have nothing to ask here")
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "none" {
		return refuse(http.StatusForbidden, "browser-origin", "pages of other sites have nothing to ask here")
	}
	return nil
}

// find finds the operation, the domain and whether the principal may (R8, R17): the path is split before anything in it is
// decoded, and never cleaned. A domain in which the principal has no role does not exist.
func (h *Handler) find(c *exchange, who *Principal) error {
	gone := refuse(http.StatusNotFound, "not-found", "there is nothing at this path, or not for you")
	rest, ok := strings.CutPrefix(c.r.URL.EscapedPath(), domainPrefix)
	if !ok {
		return gone
	}
	segments := strings.Split(rest, "/")
	for i, s := range segments {
		text, err := url.PathUnescape(s)
		if err != nil || text == "" || text == "." || text == ".." || strings.ContainsRune(text, 0) || len(text) > maxSegment {
			return gone
		}
		if i == 0 {
			segments[0] = text
		}
	}
	name := segments[0]
	role := who.In(name)
	d := h.c.Domains()[name]
	if role == "" || d == nil {
		return gone
	}
	allowed := h.table.match(c, segments[1:])
	switch {
	case c.op == nil && len(allowed) > 0:
		c.w.Header().Set("Allow", strings.Join(allowed, ", "))
		return refuse(http.StatusMethodNotAllowed, "method-not-allowed", "at this path there is %s", strings.Join(allowed, ", "))
	case c.op == nil:
		return gone
	}
	c.api = &api{s: d.Service, domain: d, who: who}
	c.values["domain"] = name
	if !role.may(c.op.Role) {
		return refuse(http.StatusForbidden, "role-required", "%s needs the role %s in the domain %s; yours is %s", c.op.ID, c.op.Role, name, role)
	}
	return nil
}

// maxSegment bounds one part of a path, decoded.
const maxSegment = 1024

// operate reads the request, does it, and answers.
func (h *Handler) operate(c *exchange) error {
	in := reflect.New(c.op.in)
	by := in.Interface().(interface{ by() *By }).by()
	by.Domain, by.Actor = c.values["domain"], c.api.who.Name
	c.in = in.Interface()
	if err := c.read(in.Elem()); err != nil {
		return err
	}
	if unlock, err := h.precondition(c); err != nil {
		return err
	} else if unlock != nil {
		defer unlock()
	}
	reply, done, err := h.once(c)
	if err != nil || done {
		return err
	}
	out, err := c.op.do(c.r.Context(), c.api, c.in)
	if err != nil {
		h.remember(c, reply, nil, err)
		return err
	}
	if d, ok := out.(*Download); ok {
		return h.download(c, d)
	}
	data, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	h.remember(c, reply, data, nil)
	if c.op.Method == http.MethodGet {
		tag := etag(data)
		c.w.Header().Set("ETag", tag)
		if slices.Contains(tags(c.r.Header.Get("If-None-Match")), tag) {
			c.w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	answer(c.w, http.StatusOK, "application/json", data)
	return nil
}

// read fills the request in from path, query and body.
func (c *exchange) read(in reflect.Value) error {
	for i := range c.op.fields {
		if f := &c.op.fields[i]; f.in == inPath {
			if err := f.set(in, []string{c.values[f.name]}); err != nil {
				return refuse(http.StatusNotFound, "not-found", "%s: %s", f.name, err)
			}
		}
	}
	if err := c.op.query(c.r.URL.RawQuery, in); err != nil {
		return err
	}
	body := http.MaxBytesReader(c.w, c.r.Body, c.op.maxBody())
	if !c.op.hasBody() {
		if n, err := io.Copy(io.Discard, io.LimitReader(body, 1)); n > 0 || err != nil {
			return refuse(http.StatusBadRequest, "invalid", "a %s has no body", c.op.Method)
		}
		return c.op.bounded(in)
	}
	mediaType, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	takes := []string{"application/json"}
	if c.op.upload != nil {
		takes = c.op.upload.enum
	}
	if err != nil || !slices.Contains(takes, mediaType) {
		return refuse(http.StatusUnsupportedMediaType, "media-type", "send %s, and say so in Content-Type", strings.Join(takes, " or "))
	}
	if c.r.Header.Get("Content-Encoding") != "" {
		return refuse(http.StatusUnsupportedMediaType, "media-type", "send the body without Content-Encoding")
	}
	if c.op.upload != nil {
		in.FieldByIndex(c.op.upload.index).Set(reflect.ValueOf(Upload{MediaType: mediaType, Reader: body}))
		return c.op.bounded(in)
	}
	if c.body, err = io.ReadAll(body); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return err
		}
		return refuse(http.StatusBadRequest, "invalid", "the body broke off, or is not in chunks as it says; send it again")
	}
	if len(c.body) > 0 {
		if err := c.op.decode(c.body, in.Addr().Interface()); err != nil {
			return err
		}
	}
	return c.op.bounded(in)
}

// precondition looks at If-Match (RFC 9110, Section 13.1.1): the object is as it was when the client saw
// it. Nobody else changes it by the API until the returned function is called; what devices do meanwhile is not held up.
func (h *Handler) precondition(c *exchange) (func(), error) {
	match := c.r.Header.Get("If-Match")
	if match == "" || c.op.Method == http.MethodGet {
		return nil, nil
	}
	if c.op.Of == "" {
		return nil, refuse(http.StatusBadRequest, "invalid", "%s changes no one object, so that If-Match means nothing", c.op.ID)
	}
	show := h.table.byID[c.op.Of]
	in := reflect.New(show.in)
	by := in.Interface().(interface{ by() *By }).by()
	by.Domain, by.Actor = c.values["domain"], c.api.who.Name
	for i := range show.fields {
		if f := &show.fields[i]; f.in == inPath {
			if err := f.set(in.Elem(), []string{c.values[f.name]}); err != nil {
				return nil, err
			}
		}
	}
	unlock := h.locks.lock(c.values["domain"] + " " + show.ID + " " + strings.Join(show.pathValues(in.Elem()), " "))
	out, err := show.do(c.r.Context(), c.api, in.Interface())
	if err == nil {
		var data []byte
		if data, err = json.Marshal(out); err == nil && match != "*" && !slices.Contains(tags(match), etag(data)) {
			err = refuse(http.StatusPreconditionFailed, "changed", "it is no longer as you saw it; look at it again with %s", show.ID)
		}
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// download writes an answer as it is made.
func (h *Handler) download(c *exchange, d *Download) error {
	c.w.Header().Set("Content-Type", d.MediaType)
	if d.Name != "" {
		c.w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": d.Name}))
	}
	if err := d.Write(c.w); err != nil {
		h.log.ErrorContext(c.r.Context(), "answer cut short", slog.String("request_id", c.id), slog.String("operation", c.op.ID), slog.String("error", err.Error()))
		panic(http.ErrAbortHandler) // the client must not take it for whole
	}
	return nil
}

// etag is a strong validator of a representation (RFC 9110, Section 8.8.3).
func etag(data []byte) string {
	sum := sha256.Sum256(data)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// tags reads a list of entity tags.
func tags(list string) []string {
	var out []string
	for t := range strings.SplitSeq(list, ",") {
		out = append(out, strings.TrimSpace(t))
	}
	return out
}

// pathLocks hold one writer of an object at a time.
type pathLocks struct {
	mu   sync.Mutex
	held map[string]*pathLock // guarded by mu
}

type pathLock struct {
	mu    sync.Mutex
	users int // guarded by pathLocks.mu
}

func (l *pathLocks) lock(key string) func() {
	l.mu.Lock()
	k := l.held[key]
	if k == nil {
		k = &pathLock{}
		l.held[key] = k
	}
	k.users++
	l.mu.Unlock()
	k.mu.Lock()
	return func() {
		k.mu.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.held, key)
		}
	}
}

// domains lists the domains in which the principal has a role.
func (h *Handler) domains(c *exchange, who *Principal) error {
	if c.r.Method != http.MethodGet {
		c.w.Header().Set("Allow", http.MethodGet)
		return refuse(http.StatusMethodNotAllowed, "method-not-allowed", "at this path there is GET")
	}
	out := DomainList{Name: who.Name, Method: who.Method, Domains: []DomainRole{}}
	for name := range h.c.Domains() {
		if role := who.In(name); role != "" {
			out.Domains = append(out.Domains, DomainRole{name, role})
		}
	}
	slices.SortFunc(out.Domains, func(a, b DomainRole) int { return strings.Compare(a.Name, b.Name) })
	data, err := json.Marshal(out)
	if err != nil {
		return err
	}
	answer(c.w, http.StatusOK, "application/json", data)
	return nil
}

// DomainList says who asks, and where that somebody has a role.
type DomainList struct {
	Name    string       `json:"name"`
	Method  string       `json:"method"`
	Domains []DomainRole `json:"domains"`
}

// DomainRole is a domain and the role in it.
type DomainRole struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
}

func (h *Handler) document(c *exchange) error {
	if c.r.Method != http.MethodGet {
		c.w.Header().Set("Allow", http.MethodGet)
		return refuse(http.StatusMethodNotAllowed, "method-not-allowed", "at this path there is GET")
	}
	answer(c.w, http.StatusOK, "application/json", OpenAPI())
	return nil
}

var _ http.Handler = (*Handler)(nil)

// pathValues are the values of the path's parameters.
func (o *operation) pathValues(in reflect.Value) []string {
	var out []string
	for i := range o.fields {
		if f := &o.fields[i]; f.in == inPath {
			out = append(out, f.texts(in)...)
		}
	}
	return out
}
