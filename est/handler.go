package est

import (
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Handler serves EST over a [Backend]. The zero value with a Backend is ready. A Handler is not copied after its first
// request; its fields are not changed either.
//
// Each request is decided in a fixed order, and the first refusal ends it: path, method, TLS, the
// number of certificates, the backend's [Admitter], Accept, media type, body, CSR, channel binding, the backend. The path is taken as it was sent. Host,
// X-Forwarded-For and other headers that claim who asks decide nothing.
//
// Slow peers are ended by the server's ReadHeaderTimeout, ReadTimeout and WriteTimeout: set them.
type Handler struct {
	Backend Backend
	// Realm is what a 401 challenges for. Empty: "est".
	Realm string
	// Log gets each refusal, once: at level Info, from status 500 on at Error. Nil: none.
	Log *slog.Logger
	// MaxBody bounds a request's body in bytes. Zero: 128 KiB.
	MaxBody int64
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// AllowPlaintext serves requests that came without TLS, which RFC 7030, Section 3.3, forbids: for a server behind
	// something that ends TLS and is trusted to have authenticated nobody.
	AllowPlaintext bool

	buffers sync.Pool // of *[]byte
}

// ServeHTTP serves everything under /.well-known/est. Any other path is refused with 404, so it may also be a server's
// only handler. Do not put it behind an [http.ServeMux], which redirects paths that it finds unclean.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchange{h: h, w: w, r: r}
	x.req.ID = NewRequestID()
	x.req.Peer = NewPeer(r)
	x.req.NoBody = r.ContentLength == 0
	if h.Now != nil {
		x.req.At = h.Now()
	} else {
		x.req.At = time.Now()
	}
	var e *Error
	x.req.Operation, x.req.Label, e = parsePath(r.URL.EscapedPath())
	if e == nil {
		e = x.serve()
	}
	if e != nil {
		x.refuse(e)
	}
}

// exchange is one request and its answer.
type exchange struct {
	h   *Handler
	w   http.ResponseWriter
	r   *http.Request
	req EnrollRequest
}

// serve does the request, or says why not. It has written nothing when it returns an Error.
func (x *exchange) serve() *Error {
	o := operationFor(x.req.Operation)
	if o.offered != nil && !o.offered(x.h.Backend) {
		return refuse(http.StatusNotImplemented, ReasonOperationMissing, o.section, "This operation is not offered here.")
	}
	if e := o.checkMethod(x); e != nil {
		return e
	}
	if x.r.TLS == nil && !x.h.AllowPlaintext {
		return refuse(http.StatusForbidden, ReasonTLSRequired, "RFC 7030, Section 3.3",
			"EST is served over TLS only. Use an https URL.")
	}
	if e := x.req.Peer.CheckCertificates(); e != nil {
		return e
	}
	if a, ok := x.h.Backend.(Admitter); ok {
		if err := a.Admit(x.r.Context(), &x.req.Request); err != nil {
			return asError(err)
		}
	}
	if e := o.checkAccept(x.r.Header); e != nil {
		return e
	}
	return o.serve(x)
}

// refuse answers with e, logs it and tells the Observer. A 202 is an answer, not a refusal.
func (x *exchange) refuse(e *Error) {
	if e.Status != http.StatusAccepted {
		if o, ok := x.h.Backend.(Observer); ok {
			o.Refused(x.r.Context(), &x.req.Request, e)
		}
		x.log(e)
	}
	x.settleLink(e.Status)
	WriteError(x.w, x.r, x.h.Realm, e)
}

func (x *exchange) log(e *Error) {
	if x.h.Log == nil {
		return
	}
	level := slog.LevelInfo
	if e.Status >= 500 {
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("id", x.req.ID), slog.String("operation", string(x.req.Operation)), slog.String("label", x.req.Label),
		slog.Int("status", e.Status), slog.String("reason", e.Reason), slog.Any("peer", x.req.Peer),
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("cause", e.Err.Error()))
	}
	x.h.Log.LogAttrs(x.r.Context(), level, "EST request refused", attrs...)
}

// answer writes der in base64 with status 200.
func (x *exchange) answer(contentType string, der []byte) {
	buf := x.h.buffer()
	text := appendBase64((*buf)[:0], der)
	x.settleLink(http.StatusOK)
	header := x.w.Header()
	header["Content-Type"] = []string{contentType}
	// RFC 8951, Section 3, has no use for this header, but Bouncy Castle and globalsign/est 1.0.6 read DER without it.
	header["Content-Transfer-Encoding"] = []string{"base64"}
	header["Content-Length"] = []string{strconv.Itoa(len(text))}
	x.w.WriteHeader(http.StatusOK)
	_, _ = x.w.Write(text) // an error means that the peer is gone
	*buf = text
	x.h.release(buf)
}

func (h *Handler) buffer() *[]byte {
	if buf, ok := h.buffers.Get().(*[]byte); ok {
		return buf
	}
	buf := make([]byte, 0, 4<<10)
	return &buf
}

func (h *Handler) release(buf *[]byte) {
	if cap(*buf) <= keepBuffer {
		h.buffers.Put(buf)
	}
}

func (h *Handler) maxBody() int64 {
	if h.MaxBody > 0 {
		return h.MaxBody
	}
	return defaultMaxBody
}
