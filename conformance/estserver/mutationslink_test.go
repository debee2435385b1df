package estserver_test

import (
	"encoding/base64"
	"net/http"

	"github.com/briskest/briskest/est"
)

// exact reports whether a link is that of the connection.
func exact(text string, r *http.Request) bool {
	got, err := base64.StdEncoding.DecodeString(text)
	return err == nil && len(got) > 0 && string(got) == string(bindingOf(r))
}

func bindingOf(r *http.Request) []byte {
	if r.TLS.Version >= 0x0304 {
		b, _ := r.TLS.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32) // nil where there is none
		return b
	}
	return r.TLS.TLSUnique
}

func linkMutations() []mutation {
	inTLS := func(version uint16) match {
		return func(r *http.Request, _ []byte) bool { return r.TLS.Version == version }
	}
	tls12, tls13 := inTLS(0x0303), inTLS(0x0304)
	pass := func(f func(text string, r *http.Request) bool) match { return linked(passwordOID, f) }
	ident := func(f func(text string, r *http.Request) bool) match { return linked(linkOID, f) }
	size := func(n int) match {
		return pass(func(text string, r *http.Request) bool {
			got, err := base64.StdEncoding.DecodeString(text)
			return err == nil && len(got) == n && !exact(text, r)
		})
	}
	right := pass(exact)
	resumed := match(func(r *http.Request, _ []byte) bool { return r.TLS.DidResume })
	utf8 := func(id []byte) match { return holdsAny(append(append([]byte{}, id...), 0x31, 18, 0x0c, 16)) }
	only := holds(func(der []byte) bool { return link(der, passwordOID) == "" })
	takes := func(m match) fault { return lenient(enroll().and(m)) }
	return []mutation{
		breaks("RFC7030-3.5-1", "refuses links", refusing(enroll().and(tls12).and(right).and(not(resumed)).and(not(utf8(passwordOID)))), "RFC9266-4-1"),
		breaks("RFC7030-3.5-2", "does not compare links", takes(tls12.and(size(12))), "RFC7030-3.5-3"),
		breaks("RFC7030-3.5-3", "remembers links of other connections", remembers()),
		breaks("RFC7030-3.5-4", "compares the beginning", takes(tls12.and(size(3)).and(pass(func(text string, r *http.Request) bool { return text != "QUJD" })))),
		breaks("RFC7030-3.5-5", "compares as far as it knows", takes(tls12.and(size(15)))),
		breaks("RFC7030-3.5-6", "takes long links for passwords", takes(pass(func(text string, _ *http.Request) bool { return len(text) > 255 }))),
		breaks("RFC7030-3.5-7", "takes what is no base64 for a password", takes(pass(func(text string, _ *http.Request) bool { return text == "(:)" }))),
		breaks("RFC7030-3.5-8", "reads PrintableStrings alone", refusing(enroll().and(utf8(passwordOID)))),
		breaks("RFC7030-3.5-9", "does not compare links when it renews", lenient(reenroll().and(holdsAny(passwordOID)))),
		breaks("RFC7030-3.5-10", "does not say what is wrong with a link", rewrites(enroll().and(tls12).and(size(12)), func(a *reply) { a.body = []byte("No.") })),
		breaks("RFC5929-3-1", "takes the client's Finished for the first", refusing(enroll().and(resumed).and(right))),
		breaks("RFC5929-3-2", "takes anything in TLS 1.3", takes(tls13.and(size(12)).and(not(isAuthority)))),
		breaks("RFC9266-2-1", "knows no tls-exporter", refusing(enroll().and(tls13).and(right)), "RFC9266-4-1"),
		breaks("RFC9266-2-2", "does not compare tls-exporter", takes(tls13.and(size(32)))),
		breaks("RFC9266-2-3", "takes tls-exporter in TLS 1.2", takes(tls12.and(size(32)))),
		breaks("RFC9266-4-1", "takes a link again and again", keepsLinks, "RFC7894-2-6"),
		breaks("RFC7894-2-1", "knows no estIdentityLinking", refusing(enroll().and(ident(exact)).and(only).and(not(utf8(linkOID))))),
		breaks("RFC7894-2-2", "reads PrintableStrings alone", refusing(enroll().and(utf8(linkOID)))),
		breaks("RFC7894-2-3", "does not compare estIdentityLinking", takes(only.and(ident(func(text string, r *http.Request) bool { return len(text) == 16 && !exact(text, r) })))),
		breaks("RFC7894-2-4", "takes the first value", takes(only.and(holdsAny(linkOID)).and(holdsAny([]byte("\x13\x04QUJD"))))),
		breaks("RFC7894-2-5", "takes long links for something else", takes(ident(func(text string, _ *http.Request) bool { return len(text) > 255 }))),
		breaks("RFC7894-2-6", "is content with one right link", takes(right.and(ident(func(text string, r *http.Request) bool { return !exact(text, r) })))),
	}
}

// remembers takes every link that was right once, on whatever connection.
func remembers() fault {
	seen := make(map[string]bool)
	return wrap(func(h *house, next http.Handler, w http.ResponseWriter, r *http.Request) {
		text := ""
		linked(passwordOID, func(t string, _ *http.Request) bool { text = t; return true })(r, take(r))
		known := seen[text]
		if text != "" && exact(text, r) {
			seen[text] = true
		}
		if known && !exact(text, r) {
			lenientHandler(h, next).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// lenientHandler issues where next refuses.
func lenientHandler(h *house, next http.Handler) http.Handler {
	inner := &house{t: h.t, backend: h.backend, handler: next}
	lenient(on(est.OpSimpleEnroll))(inner)
	return inner.handler
}

// keepsLinks does not close the connection, and forgets that a link was used.
func keepsLinks(h *house) {
	rewrites(enroll().and(linked(passwordOID, exact)), func(a *reply) {
		header("Connection", "")(a)
		if a.status >= 400 {
			issues(a)
		}
	})(h)
}
