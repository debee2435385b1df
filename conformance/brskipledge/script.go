package brskipledge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/briskest/briskest/brski"
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

// count is how often the operation was asked for, this request included.
func (a *asked) count(op brski.Operation) int {
	n := 0
	for _, q := range a.server.Requests() {
		if is(q, op) {
			n++
		}
	}
	return n
}

// answer answers a request; nil leaves it to the kind registrar.
type answer = func(*asked) *unkind.Answer

// script is a registrar that is odd or wrong in one way.
type script struct {
	// origins are the registrars' TLS; nil for one that is good.
	origins func(t *Target, w *world) ([]unkind.Origin, error)
	answer  answer // nil for the kind registrar
	// late makes the script for one play, in place of the others; nil for none.
	late func(t *Target, w *world) (script, error)
}

// scene makes a check out of a script and what has to come of it.
func scene(id string, level conformance.Level, text string, requirements []string, s script, judge func(*run) error) check {
	return check{ID: id, Level: level, Text: text, Requirements: requirements, Run: func(ctx context.Context, t *Target) error {
		r, err := t.play(ctx, id, &s)
		if err != nil {
			return err
		}
		if len(r.handshakes) == 0 {
			return conformance.Skip("the pledge never connected%s", r.said())
		}
		return judge(r)
	}}
}

// refusal is a scene that the pledge has to refuse. It is skipped where the
// pledge would refuse everything.
func refusal(id string, level conformance.Level, text string, requirements []string, s script, judge func(*run) error) check {
	c := scene(id, level, text, requirements, s, judge)
	played := c.Run
	c.Run = func(ctx context.Context, t *Target) error {
		if err := t.needs(ctx); err != nil {
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

	mu    sync.Mutex
	shown map[int][]byte // the server's certificate by connection; guarded by mu
}

func (r *run) show(conn int, cert []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown[conn] = cert
}

// server is the certificate that the registrar showed where q came.
func (r *run) server(q *unkind.Request) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shown[q.Conn]
}

// asked returns the requests for an operation of BRSKI.
func (r *run) asked(op brski.Operation) []*unkind.Request {
	var found []*unkind.Request
	for _, q := range r.requests {
		if is(q, op) {
			found = append(found, q)
		}
	}
	return found
}

// requested returns the voucher-requests, or skips where there is none.
func (r *run) requested() ([]*unkind.Request, error) {
	found := r.asked(brski.OpRequestVoucher)
	if len(found) == 0 {
		return nil, conformance.Skip("no voucher-request came (see RFC8995-5.2-P-1)%s", r.said())
	}
	return found, nil
}

// opened returns the first voucher-request as it reads, or skips.
func (r *run) opened() (*request, error) {
	found, err := r.requested()
	if err != nil {
		return nil, err
	}
	opened, err := open(found[0])
	if err != nil {
		return nil, conformance.Skip("the voucher-request does not open (see RFC8995-5.2-P-1): %v", err)
	}
	return opened, nil
}

// enrolled returns the requests for EST's operations.
func (r *run) enrolled(ops ...est.Operation) []*unkind.Request {
	var found []*unkind.Request
	for _, q := range r.requests {
		if !strings.HasPrefix(q.Path, est.PathPrefix+"/") {
			continue
		}
		any := len(ops) == 0
		for _, op := range ops {
			any = any || isEST(q, op)
		}
		if any {
			found = append(found, q)
		}
	}
	return found
}

// said is what the pledge wrote.
func (r *run) said() string {
	if r.outcome.Output == "" {
		return ""
	}
	return "; the pledge says: " + r.outcome.Output
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

// joins wants the pledge to accept the voucher and to enroll.
func joins(r *run) error {
	switch {
	case r.outcome.Known && !r.outcome.Took:
		return fmt.Errorf("the pledge gave up after %s%s", r.path(), r.said())
	case len(r.enrolled(est.OpSimpleEnroll)) == 0:
		return fmt.Errorf("the pledge never asked for a certificate, only for %s%s", r.path(), r.said())
	default:
		return nil
	}
}

// refuses wants the pledge to do no more than say that it refuses.
func refuses(r *run) error {
	if _, err := r.requested(); err != nil {
		return err
	}
	if found := r.enrolled(); len(found) > 0 {
		return fmt.Errorf("the pledge took it and went on: %s", r.path())
	}
	for _, q := range r.asked(brski.OpVoucherStatus) {
		if s, err := brski.ParseStatus(q.Body); err == nil && s.Status {
			return fmt.Errorf("the pledge reports that it took the voucher: %.100q", q.Body)
		}
	}
	return r.notTaken()
}

// sendsNothing wants the pledge to end the connection before it asks anything.
func sendsNothing(r *run) error {
	if len(r.requests) > 0 {
		return fmt.Errorf("the pledge went on to ask for %s", r.path())
	}
	return r.notTaken()
}

func (r *run) notTaken() error {
	if r.outcome.Known && r.outcome.Took {
		return errors.New("the pledge reports success")
	}
	return nil
}

// flag is raised by one request and seen by the next connection.
type flag struct{ state atomic.Bool }

func (f *flag) raise()   { f.state.Store(true) }
func (f *flag) up() bool { return f.state.Load() }

// on answers what is for an operation of BRSKI.
func on(op brski.Operation, f answer) answer {
	return func(a *asked) *unkind.Answer {
		if !is(a.Request, op) {
			return nil
		}
		return f(a)
	}
}

// onEST answers what is for an operation of EST.
func onEST(op est.Operation, f answer) answer {
	return func(a *asked) *unkind.Answer {
		if !isEST(a.Request, op) {
			return nil
		}
		return f(a)
	}
}

// wrong answers with a voucher that was changed.
func wrong(change func(*draft)) script {
	return script{answer: on(brski.OpRequestVoucher, func(a *asked) *unkind.Answer { return a.world.voucher(a.Request, change) })}
}

// bent answers with the right voucher and changes the answer around it.
func bent(f func(*unkind.Answer) *unkind.Answer) script {
	return script{answer: on(brski.OpRequestVoucher, func(a *asked) *unkind.Answer { return f(a.world.voucher(a.Request, nil)) })}
}

// says answers voucher-requests so.
func says(a *unkind.Answer) script {
	return script{answer: on(brski.OpRequestVoucher, func(*asked) *unkind.Answer { copied := *a; return &copied })}
}
