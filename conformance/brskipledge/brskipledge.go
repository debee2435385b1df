// Package brskipledge holds the checks of a BRSKI pledge: it is started again
// and again against registrars that are each odd or wrong in one way, with a MASA
// behind them that signs whatever the check wants signed. Start with [Target] and
// [Checks]; how a pledge is started is in docs/conformance-peers.md.
package brskipledge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"slices"
	"sync"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/unkind"
)

// check is a check of a pledge.
type check = conformance.Check[*Target]

// The levels, short for the tables.
const (
	must   = conformance.Must
	should = conformance.Should
)

// Checks returns the checks of a pledge, in the order they are asked.
func Checks() []check {
	return slices.Concat(
		onboarding(), provisional(), requests(), answers(), vouchers(), imprint(), telemetry(), enrollment(),
	)
}

// in fills in the citation and the role.
func in(citation string, checks ...check) []check {
	for i := range checks {
		checks[i].Citation, checks[i].Role = citation, conformance.Pledge
	}
	return checks
}

func rows(ids ...string) []string { return ids }

// Target is the pledge under test. It is used for one run.
type Target struct {
	unkind.House
	// Signer signs vouchers in the MASA's stead, and IDevID is the certificate of
	// a pledge that brings its own, which trusts Signer. Both are nil for a pledge
	// that is handed an IDevID and the anchor of a manufacturer made for the run.
	Signer *tls.Certificate
	IDevID *x509.Certificate

	mu      sync.Mutex
	world   *world // guarded by mu; nil until first used
	control error  // what came of the control; guarded by mu
	known   bool   // whether control says anything; guarded by mu
}

// prepare makes the authorities and the pledge's files, once.
func (t *Target) prepare() (*world, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.world != nil {
		return t.world, nil
	}
	w, err := newWorld(t)
	if err != nil {
		return nil, err
	}
	t.world = w
	return w, nil
}

// play serves a script and runs the pledge against it once.
func (t *Target) play(ctx context.Context, id string, s *script) (*run, error) {
	w, err := t.prepare()
	if err != nil {
		return nil, err
	}
	if s.late != nil {
		made, err := s.late(t, w)
		if err != nil {
			return nil, err
		}
		s = &made
	}
	origins := []unkind.Origin{unkind.Always(unkind.Serving(w.server))}
	if s.origins != nil {
		if origins, err = s.origins(t, w); err != nil {
			return nil, err
		}
	}
	r := &run{world: w, shown: make(map[int][]byte)}
	for i, o := range origins {
		origins[i].TLS = func(conn int) *tls.Config {
			c := o.TLS(conn)
			r.show(conn, c.Certificates[0].Certificate[0])
			return c
		}
	}
	env := maps.Clone(w.environment)
	env["BRISKEST_OPERATION"] = "onboard"
	server, outcome, err := t.House.Play(ctx, id, &unkind.Options{Origins: origins, Handle: func(server *unkind.Server, q *unkind.Request) *unkind.Answer {
		if s.answer != nil {
			if a := s.answer(&asked{server, q, w}); a != nil {
				return a
			}
		}
		return w.kindly(q)
	}}, env)
	if err != nil {
		return nil, err
	}
	r.requests, r.handshakes, r.outcome = server.Requests(), server.Handshakes(), outcome
	return r, nil
}

// needs runs the pledge against a registrar that does all right, once: a pledge
// that fails there says nothing by refusing elsewhere.
func (t *Target) needs(ctx context.Context) error {
	t.mu.Lock()
	err, known := t.control, t.known
	t.mu.Unlock()
	if known {
		return err
	}
	r, err := t.play(ctx, "control", &script{})
	if err == nil {
		err = joins(r)
	}
	if err != nil && !conformance.IsSkip(err) {
		err = conformance.Skip("the pledge does not join at a registrar that does all right, so that its refusing says nothing (see RFC8995-5-P-1): %v", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if ctx.Err() == nil {
		t.control, t.known = err, true
	}
	return err
}

// Environment is what pledges are told besides the URL, once [Target.Reachable]
// has returned.
func (t *Target) Environment() map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.world == nil {
		return nil
	}
	return maps.Clone(t.world.environment)
}

// Reachable reports whether the address can be served.
func (t *Target) Reachable(ctx context.Context) error {
	w, err := t.prepare()
	if err != nil {
		return err
	}
	return t.House.Reachable(ctx, w.server)
}
