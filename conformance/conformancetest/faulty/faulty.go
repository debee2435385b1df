// Package faulty spoils what an HTTP server answers: the mutations of checks are
// a good server behind it.
package faulty

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
)

// maxBody bounds the request that a fault is shown; what is longer is cut.
const maxBody = 8 << 20

// An Edit changes an answer before it is sent.
type Edit func(a *httptest.ResponseRecorder)

// Between has f answer in the server's stead, with the request's body read. The
// request can still be given to next.
func Between(next http.Handler, f func(next http.Handler, w http.ResponseWriter, r *http.Request, body []byte)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		f(next, w, r, body)
	})
}

// Reply answers with a status and a text.
func Reply(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // a client that went away has its answer
}

// Rewrite has next answer, and sends that as the edit leaves it.
func Rewrite(next http.Handler, w http.ResponseWriter, r *http.Request, edit Edit) {
	a := httptest.NewRecorder()
	next.ServeHTTP(a, r)
	edit(a)
	a.Header().Del("Content-Length")
	for name, values := range a.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(a.Code)
	_, _ = w.Write(a.Body.Bytes()) // as above
}

// On edits answers of one status.
func On(status int, edit Edit) Edit {
	return func(a *httptest.ResponseRecorder) {
		if a.Code == status {
			edit(a)
		}
	}
}

// Header sets a field, or without a value takes it away.
func Header(name, value string) Edit {
	return func(a *httptest.ResponseRecorder) {
		a.Header().Del(name)
		if value != "" {
			a.Header().Set(name, value)
		}
	}
}

// Code sets the status.
func Code(status int) Edit { return func(a *httptest.ResponseRecorder) { a.Code = status } }

// Text changes the body.
func Text(f func([]byte) []byte) Edit {
	return func(a *httptest.ResponseRecorder) { a.Body = bytes.NewBuffer(f(bytes.Clone(a.Body.Bytes()))) }
}
