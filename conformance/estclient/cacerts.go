package estclient

import (
	"crypto/tls"
	"net/http"
	"slices"

	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/est"
)

// caCerts: what a client makes of the CA certificates.
func caCerts() []check {
	broken := func(id, text, row string, f func(*unkind.Answer) *unkind.Answer) check {
		return refusal(id, must, text, rows(row), script{answer: on(est.OpCACerts, every(f))}, needs(est.OpCACerts, asksForNoCertificate))
	}
	return slices.Concat(
		in("RFC 7030, Section 3.1",
			scene("RFC7030-3.1-C-2", must, "CA certificates are taken in any order, root first and twice over",
				rows("EST-7030-3.1-02", "EST-5272-4.1-03"), script{answer: on(est.OpCACerts, func(a *asked) *unkind.Answer {
					root, issuing := a.world.root.Certificate.Raw, a.world.issuing.Certificate.Raw
					return unkind.Certificates(root, issuing, root, issuing)
				})}, needs(est.OpCACerts, takes)),
			broken("RFC7030-3.1-C-3", "CA certificates whose base64 is garbage end the attempt", "EST-7030-3.1-02", func(a *unkind.Answer) *unkind.Answer {
				a.Body = []byte("!!! this is no base64 !!!\n")
				return a
			}),
			broken("RFC7030-3.1-C-4", "CA certificates that are cut off end the attempt", "EST-7030-3.1-02", func(a *unkind.Answer) *unkind.Answer {
				a.Body = a.Body[:len(a.Body)/130*65] // whole lines
				return a
			}),
		),
		in("RFC 7030, Section 4.1.3",
			broken("RFC7030-4.1.3-C-1", "CA certificates that come with status 500 end the attempt", "EST-7030-4.1.3-02", func(a *unkind.Answer) *unkind.Answer {
				a.Status = http.StatusInternalServerError
				return a
			}),
			broken("RFC7030-4.1.3-C-2", "CA certificates that come with status 206 end the attempt", "EST-7030-4.1.3-02", func(a *unkind.Answer) *unkind.Answer {
				a.Status = http.StatusPartialContent
				return a
			}),
			refusal("RFC7030-4.1.3-C-3", must, "A self-signed certificate that only came with the CA certificates is not trusted",
				rows("EST-7030-4.1.3-09", "EST-5272-4.1-02"), foreignRoot(), needs(est.OpCACerts, asksForNoCertificate)),
			scene("RFC7030-4.1.3-C-4", must, "The certificates of a root that is being replaced are coped with, and the new root is taken",
				rows("EST-7030-4.1.3-08"), rollover(true), needs(est.OpCACerts, takes)),
			scene("RFC7030-4.1.3-C-5", must, "A server whose certificate leads to a new root alone is taken once the CA certificates have named that root",
				rows("EST-7030-4.1.3-08", "EST-7030-4.1.3-10"), rollover(false), needs(est.OpCACerts, takes)),
		),
	)
}

// changing is a server whose certificate changes once the CA certificates were
// fetched, which end the connection.
func changing(then *tls.Certificate, certs func(w *world) *unkind.Answer) script {
	fetched := new(flag)
	return script{
		origins: func(_ *Target, w *world) ([]unkind.Origin, error) {
			return []unkind.Origin{{TLS: func(int) *tls.Config {
				if fetched.up() {
					return unkind.Serving(then)
				}
				return unkind.Serving(w.server)
			}}}, nil
		},
		answer: on(est.OpCACerts, func(a *asked) *unkind.Answer {
			fetched.raise()
			answer := certs(a.world)
			answer.Close = true
			return answer
		}),
	}
}

// foreignRoot adds a root of its own to the CA certificates, and then serves
// with a certificate below it.
func foreignRoot() script {
	return script{late: func(t *Target, _ *world) (script, error) {
		foreign, err := unkind.NewRoot("Foreign Root")
		if err != nil {
			return script{}, err
		}
		then, err := foreign.Present(unkind.ServerTemplate(t.Name()))
		if err != nil {
			return script{}, err
		}
		return changing(then, func(w *world) *unkind.Answer {
			return unkind.Certificates(w.issuing.Certificate.Raw, w.root.Certificate.Raw, foreign.Certificate.Raw)
		}), nil
	}}
}

// rollover replaces the root: what is served then leads to the new one, and
// where bridged by the new one's certificate under the old one to that (RFC 4210, Section 4.4).
func rollover(bridged bool) script {
	return script{late: func(t *Target, w *world) (script, error) {
		next, err := unkind.NewRoot("Unkind Root")
		if err != nil {
			return script{}, err
		}
		newWithOld, err := next.Cross(w.root)
		if err != nil {
			return script{}, err
		}
		oldWithNew, err := w.root.Cross(next)
		if err != nil {
			return script{}, err
		}
		then, err := next.Present(unkind.ServerTemplate(t.Name()))
		if err != nil {
			return script{}, err
		}
		if bridged {
			then.Certificate = append(then.Certificate, newWithOld.Raw)
		}
		s := changing(then, func(w *world) *unkind.Answer {
			return unkind.Certificates(oldWithNew.Raw, w.root.Certificate.Raw, w.issuing.Certificate.Raw, newWithOld.Raw, next.Certificate.Raw)
		})
		fetch := s.answer
		s.answer = func(a *asked) *unkind.Answer {
			if !isEnrollment(a.Request) {
				return fetch(a)
			}
			cert, err := a.world.issue(a.Request, next)
			if err != nil {
				return nil
			}
			return unkind.Certificates(cert.Raw)
		}
		return s, nil
	}}
}
