package estclient

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/est"
)

// asked is a request, and where it came to.
type asked struct {
	server *unkind.Server
	*unkind.Request
	world *world
}

// is reports whether the request is for the operation, at any label.
func is(r *unkind.Request, op est.Operation) bool {
	return strings.HasPrefix(r.Path, est.PathPrefix+"/") && strings.HasSuffix(r.Path, "/"+string(op))
}

// isEnrollment reports whether r asks for a certificate.
func isEnrollment(r *unkind.Request) bool {
	return r.Method == http.MethodPost && (is(r, est.OpSimpleEnroll) || is(r, est.OpSimpleReenroll))
}

// script is a server that is odd or wrong in one way.
type script struct {
	do string // the operation; empty for enroll
	// origins are the servers' TLS; nil for one that is good.
	origins func(t *Target, w *world) ([]unkind.Origin, error)
	// answer answers; nil leaves the answer to the kind server.
	answer func(*asked) *unkind.Answer
	// late makes the script for one play, in place of origins and answer; nil for
	// none.
	late func(t *Target, w *world) (script, error)
}

func (s *script) operation() string {
	if s.do == "" {
		return enroll
	}
	return s.do
}

func (s *script) serving(t *Target, w *world) ([]unkind.Origin, error) {
	if s.origins != nil {
		return s.origins(t, w)
	}
	return []unkind.Origin{unkind.Always(unkind.Serving(w.server))}, nil
}

// scene makes a check out of a script and what has to come of it.
func scene(id string, level conformance.Level, text string, requirements []string, s script, judge func(*run) error) check {
	return check{ID: id, Level: level, Text: text, Requirements: requirements, Run: func(ctx context.Context, t *Target) error {
		r, err := t.play(ctx, id, &s)
		if err != nil {
			return err
		}
		return judge(r)
	}}
}

// refusal is a scene that the client has to refuse. It is skipped where the
// client would refuse everything.
func refusal(id string, level conformance.Level, text string, requirements []string, s script, judge func(*run) error) check {
	c := scene(id, level, text, requirements, s, judge)
	played := c.Run
	c.Run = func(ctx context.Context, t *Target) error {
		if err := t.control(ctx, s.operation()); err != nil {
			return err
		}
		return played(ctx, t)
	}
	return c
}

// run is what came of a scene.
type run struct {
	world      *world
	requests   []*unkind.Request
	handshakes []unkind.Handshake
	outcome    *unkind.Outcome
}

func newRun(w *world, s *unkind.Server, o *unkind.Outcome) *run {
	return &run{w, s.Requests(), s.Handshakes(), o}
}

// asked returns the requests for an operation.
func (r *run) asked(op est.Operation) []*unkind.Request {
	var found []*unkind.Request
	for _, q := range r.requests {
		if is(q, op) {
			found = append(found, q)
		}
	}
	return found
}

// enrollments returns the requests for a certificate.
func (r *run) enrollments() []*unkind.Request {
	var found []*unkind.Request
	for _, q := range r.requests {
		if isEnrollment(q) {
			found = append(found, q)
		}
	}
	return found
}

// csr returns the first CSR that came, or skips.
func (r *run) csr() (*x509.CertificateRequest, error) {
	posts := r.enrollments()
	if len(posts) == 0 {
		return nil, conformance.Skip("no CSR came (see RFC7030-3.1-C-1)%s", r.said())
	}
	der, err := posts[0].Decoded()
	if err == nil {
		var csr *x509.CertificateRequest
		if csr, err = x509.ParseCertificateRequest(der); err == nil {
			return csr, nil
		}
	}
	return nil, conformance.Skip("the CSR cannot be read (see RFC7030-4.2.1-C-1): %v", err)
}

// said is what the client wrote.
func (r *run) said() string {
	if r.outcome.Output == "" {
		return ""
	}
	return "; the client says: " + r.outcome.Output
}

// came skips a scene that no client came to.
func (r *run) came() error {
	if len(r.handshakes) == 0 {
		return conformance.Skip("the client never connected%s", r.said())
	}
	return nil
}

// takes wants the client to succeed.
func takes(r *run) error {
	if err := r.came(); err != nil {
		return err
	}
	switch {
	case r.outcome.Known && !r.outcome.Took:
		return fmt.Errorf("the client gave up after %s%s", r.path(), r.said())
	case len(r.enrollments()) == 0:
		return fmt.Errorf("the client never asked for a certificate, only for %s%s", r.path(), r.said())
	default:
		return nil
	}
}

// refuses wants the client to say that it failed.
func refuses(r *run) error {
	if err := r.came(); err != nil {
		return err
	}
	switch {
	case !r.outcome.Known:
		return conformance.Skip("whether the client took it cannot be seen from here; start it with --run")
	case r.outcome.Took:
		return fmt.Errorf("the client took it: it reports success after %s", r.path())
	default:
		return nil
	}
}

// sendsNothing wants the client to end the connection before it asks anything.
func sendsNothing(r *run) error {
	if err := r.came(); err != nil {
		return err
	}
	if len(r.requests) > 0 {
		return fmt.Errorf("the client went on to ask for %s", r.path())
	}
	return r.notTaken()
}

// asksForNoCertificate wants the client to stop before it sends a CSR.
func asksForNoCertificate(r *run) error {
	if err := r.came(); err != nil {
		return err
	}
	if len(r.enrollments()) > 0 {
		return fmt.Errorf("the client went on and sent a CSR, after %s", r.path())
	}
	return r.notTaken()
}

func (r *run) notTaken() error {
	if r.outcome.Known && r.outcome.Took {
		return errors.New("the client reports success")
	}
	return nil
}

// needs skips a scene whose point is an operation that the client does not use.
func needs(op est.Operation, judge func(*run) error) func(*run) error {
	return func(r *run) error {
		if len(r.asked(op)) == 0 {
			return conformance.Skip("the client did not ask for %s%s", op, r.said())
		}
		return judge(r)
	}
}

// path is what was asked, in order.
func (r *run) path() string {
	if len(r.requests) == 0 {
		return "no request"
	}
	var words []string
	for _, q := range r.requests {
		words = append(words, q.Method+" "+q.Path[strings.LastIndexByte(q.Path, '/')+1:])
	}
	return strings.Join(words, ", ")
}
