package estclient

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/est"
)

// redirects, and passwords: RFC 7030, Sections 3.2.1 and 3.2.3.
func redirects() []check {
	return slices.Concat(
		in("RFC 7030, Section 3.2.1",
			scene("RFC7030-3.2.1-C-1", should, "A redirect within the origin is followed without asking anybody",
				rows("EST-7030-3.2.1-02"), script{answer: onEnrollment(func(a *asked) *unkind.Answer {
					if strings.Contains(a.Path, "/moved/") {
						return nil
					}
					return unkind.Elsewhere(est.PathPrefix + "/moved" + a.Path[strings.LastIndexByte(a.Path, '/'):])
				})}, takes),
			refusal("RFC7030-3.2.1-C-2", must, "A CSR is not sent on to another origin without somebody's consent",
				rows("EST-7030-3.2.1-03"), twoOrigins(kindTwin, onEnrollment(elsewhere)), staysHere),
			refusal("RFC7030-3.2.1-C-3", must, "A redirect to a server that leads to no trust anchor is not followed",
				rows("EST-7030-3.2.1-03"), twoOrigins(strangeTwin, on(est.OpCACerts, elsewhere)), needs(est.OpCACerts, staysHere)),
		),
		in("RFC 7030, Section 3.2.3",
			scene("RFC7030-3.2.3-C-1", should, "A challenge for Basic authentication is answered with the password",
				rows("EST-7030-3.2.3-05", "EST-7030-3.3.2-10"), script{answer: onEnrollment(challenge(`Basic realm="conformance"`, "basic "))}, authenticates("basic ")),
			scene("RFC7030-3.2.3-C-2", should, "A challenge for Digest authentication is answered",
				rows("EST-7030-3.2.3-05"), script{answer: onEnrollment(challenge(
					`Digest realm="conformance", qop="auth", algorithm=SHA-256, nonce="dW5raW5k"`, "digest "))}, authenticates("digest ")),
			refusal("RFC7030-3.2.3-C-3", must, "A challenge that the client cannot answer ends the connection",
				rows("EST-7030-3.2.3-07"), script{answer: onEnrollment(challenge("Unheard-of", "unheard-of "))}, endsConnection),
		),
	)
}

// elsewhere redirects to the second origin.
func elsewhere(a *asked) *unkind.Answer {
	if a.Origin > 0 {
		return nil
	}
	return unkind.Elsewhere(a.server.URL(1) + a.Path)
}

func kindTwin(_ *Target, w *world) (unkind.Origin, error) {
	return unkind.Always(unkind.Serving(w.server)), nil
}

func strangeTwin(t *Target, w *world) (unkind.Origin, error) {
	c, err := byStranger(t, w)
	if err != nil {
		return unkind.Origin{}, err
	}
	return unkind.Always(unkind.Serving(c)), nil
}

func twoOrigins(twin func(*Target, *world) (unkind.Origin, error), answer func(*asked) *unkind.Answer) script {
	return script{answer: answer, origins: func(t *Target, w *world) ([]unkind.Origin, error) {
		second, err := twin(t, w)
		return []unkind.Origin{unkind.Always(unkind.Serving(w.server)), second}, err
	}}
}

// staysHere wants no request at the second origin.
func staysHere(r *run) error {
	if len(r.requests) == 0 {
		return conformance.Skip("the client asked nothing that could be redirected%s", r.said())
	}
	for _, q := range r.requests {
		if q.Origin > 0 {
			return fmt.Errorf("the client sent %s %s to the other origin", q.Method, q.Path)
		}
	}
	return nil
}

// challenge answers 401 until the scheme is used.
func challenge(header, scheme string) func(*asked) *unkind.Answer {
	return func(a *asked) *unkind.Answer {
		if uses(a.Request, scheme) {
			return nil
		}
		return (&unkind.Answer{Status: http.StatusUnauthorized}).With("WWW-Authenticate", header)
	}
}

func uses(r *unkind.Request, scheme string) bool {
	return strings.HasPrefix(strings.ToLower(r.Header.Get("Authorization")), scheme)
}

func authenticates(scheme string) func(*run) error {
	return func(r *run) error {
		posts := r.enrollments()
		if len(posts) == 0 {
			return conformance.Skip("no CSR came (see RFC7030-3.1-C-1)%s", r.said())
		}
		for _, q := range posts {
			if uses(q, scheme) {
				return right(q, scheme)
			}
		}
		return fmt.Errorf("no request had an Authorization of the scheme %s%s", strings.TrimSpace(scheme), r.said())
	}
}

// right looks at what was sent as far as it can be looked at without a user's
// password: with Basic both are there, with Digest the user's name.
func right(q *unkind.Request, scheme string) error {
	if user, password, ok := basic(q); scheme == "basic " && (!ok || user != User || password != Password) {
		return fmt.Errorf("the user and the password are not those in BRISKEST_USER_FILE, but of user %q", user)
	}
	if scheme == "digest " && !bytes.Contains([]byte(q.Header.Get("Authorization")), []byte(`username="`+User+`"`)) {
		return fmt.Errorf("the answer to the challenge is not for the user %q", User)
	}
	return nil
}

func basic(q *unkind.Request) (user, password string, ok bool) {
	return (&http.Request{Header: q.Header}).BasicAuth()
}

// endsConnection wants nothing more on the connection that got the challenge.
func endsConnection(r *run) error {
	posts := r.enrollments()
	if len(posts) == 0 {
		return conformance.Skip("no CSR came (see RFC7030-3.1-C-1)%s", r.said())
	}
	for _, q := range r.requests {
		if q.Conn == posts[0].Conn && q.At.After(posts[0].At) {
			return fmt.Errorf("the client went on on the same connection, with %s %s", q.Method, q.Path)
		}
	}
	return r.notTaken()
}
