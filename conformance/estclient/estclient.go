// Package estclient holds the checks of an EST client: it is started again and
// again against servers that are each odd or wrong in one way. Start with
// [Target] and [Checks]; how a client is started is in docs/conformance-peers.md.
package estclient

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"maps"
	"slices"
	"sync"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/unkind"
)

// check is a check of an EST client.
type check = conformance.Check[*Target]

// The levels, short for the tables.
const (
	must   = conformance.Must
	should = conformance.Should
)

// Checks returns the checks of an EST client, in the order they are asked.
func Checks() []check {
	return slices.Concat(
		enrollment(), serverAuthentication(), caCerts(), bodies(), redirects(),
	)
}

// in fills in the citation and the role.
func in(citation string, checks ...check) []check {
	for i := range checks {
		checks[i].Citation, checks[i].Role = citation, conformance.ESTClient
	}
	return checks
}

func rows(ids ...string) []string { return ids }

// The operations that a client is asked for, as BRISKEST_OPERATION says.
const (
	enroll   = "enroll"   // get a first certificate
	reenroll = "reenroll" // renew the one in BRISKEST_CERT
)

// User and Password are what the client is given for HTTP authentication.
const (
	User     = "device"
	Password = "conformance-secret" // of no other use than this
)

// Target is the client under test. It is used for one run.
type Target struct {
	unkind.House

	mu       sync.Mutex
	world    *world           // guarded by mu; nil until first used
	controls map[string]error // by operation; guarded by mu
}

// world is what stays the same during a run.
type world struct {
	root, issuing *unkind.Authority
	server        *tls.Certificate
	key           crypto.Signer     // of held
	held          *x509.Certificate // the one to renew
	environment   map[string]string
}

// prepare makes the authorities and the client's files, once.
func (t *Target) prepare() (*world, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.world != nil {
		return t.world, nil
	}
	w, err := newWorld(&t.House)
	if err != nil {
		return nil, err
	}
	t.world = w
	return w, nil
}

func newWorld(h *unkind.House) (*world, error) {
	root, err := unkind.NewRoot("Unkind Root")
	if err != nil {
		return nil, err
	}
	issuing, err := root.Below("Unkind Issuing CA")
	if err != nil {
		return nil, err
	}
	server, err := issuing.Present(unkind.ServerTemplate(h.Name()))
	if err != nil {
		return nil, err
	}
	key, err := unkind.NewKey()
	if err != nil {
		return nil, err
	}
	held, err := issuing.Issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "conformance", Organization: []string{"Renewed"}}, DNSNames: []string{"renewed.example"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key.Public())
	if err != nil {
		return nil, err
	}
	w := &world{root: root, issuing: issuing, server: server, key: key, held: held}
	return w, w.files(h)
}

// files writes what the client is given.
func (w *world) files(h *unkind.House) error {
	key, err := unkind.KeyPEM(w.key)
	if err != nil {
		return err
	}
	w.environment = map[string]string{"BRISKEST_SUBJECT": "conformance"}
	for name, f := range map[string]struct {
		file string
		data []byte
	}{
		"BRISKEST_CA":        {"ca.pem", unkind.PEM(w.root.Certificate)},
		"BRISKEST_CERT":      {"client.pem", unkind.PEM(w.held, w.issuing.Certificate)},
		"BRISKEST_KEY":       {"client.key", key},
		"BRISKEST_USER_FILE": {"user.txt", []byte(User + ":" + Password + "\n")},
	} {
		if w.environment[name], err = h.File(f.file, f.data); err != nil {
			return err
		}
	}
	return nil
}

// play serves a script and runs the client against it once.
func (t *Target) play(ctx context.Context, id string, s *script) (*run, error) {
	w, err := t.prepare()
	if err != nil {
		return nil, err
	}
	do := s.operation()
	if s.late != nil {
		made, err := s.late(t, w)
		if err != nil {
			return nil, err
		}
		s = &made
	}
	origins, err := s.serving(t, w)
	if err != nil {
		return nil, err
	}
	env := maps.Clone(w.environment)
	env["BRISKEST_OPERATION"] = do
	server, outcome, err := t.House.Play(ctx, id, &unkind.Options{Origins: origins, Handle: func(server *unkind.Server, r *unkind.Request) *unkind.Answer {
		if s.answer != nil {
			if a := s.answer(&asked{server, r, w}); a != nil {
				return a
			}
		}
		return w.kindly(r)
	}}, env)
	if err != nil {
		return nil, err
	}
	return newRun(w, server, outcome), nil
}

// control runs the client against a server that does all right, once for each
// operation: a client that fails there says nothing by refusing elsewhere.
func (t *Target) control(ctx context.Context, operation string) error {
	t.mu.Lock()
	err, known := t.controls[operation]
	t.mu.Unlock()
	if known {
		return err
	}
	r, err := t.play(ctx, "control", &script{do: operation})
	if err == nil {
		err = takes(r)
	}
	if err != nil && !conformance.IsSkip(err) {
		err = conformance.Skip("the client does not %s at a server that does all right, so that its refusing says nothing (see RFC7030-3.1-C-1): %v", operation, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.controls == nil {
		t.controls = make(map[string]error)
	}
	if ctx.Err() == nil {
		t.controls[operation] = err
	}
	return err
}

// Environment is what clients are told besides the URL, once [Target.Reachable]
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
