package unkind

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/briskest/briskest/conformance"
)

// exitSkip is how a command says that its client cannot do what is asked.
const exitSkip = 77

// Play is one scenario, as the client is told of it.
type Play struct {
	Check       string // the ID of the check
	Server      *Server
	Environment map[string]string // names that begin with BRISKEST_; see docs/conformance-peers.md
}

// Outcome is what is known of how the client fared.
type Outcome struct {
	Known  bool   // false where nobody can tell
	Took   bool   // the client says that it succeeded
	Output string // what it wrote last
	// Certificate is what the client left as cert.pem in BRISKEST_STATE; nil where
	// it left nothing there.
	Certificate *x509.Certificate
}

// Start runs the client under test once and returns when it has ended. An
// error made by [conformance.Skip] says that the client never came.
type Start func(ctx context.Context, p *Play) (*Outcome, error)

// Command starts the client by a line for the shell. Exit status 0 says that
// the client has what it came for, 77 that it cannot do that, any other that it
// refused.
func Command(line string) Start {
	return func(ctx context.Context, p *Play) (*Outcome, error) {
		c := exec.CommandContext(ctx, "sh", "-c", line)
		c.WaitDelay = time.Second
		c.Env = os.Environ()
		for name, value := range p.Environment {
			c.Env = append(c.Env, name+"="+value)
		}
		var output tail
		c.Stdout, c.Stderr = &output, &output
		err := c.Run()
		var exit *exec.ExitError
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("the command had not ended in time: %w", ctx.Err())
		case errors.As(err, &exit) && exit.ExitCode() == exitSkip:
			return nil, conformance.Skip("the command says that the client cannot do this: %s", output.String())
		case err != nil && exit == nil:
			return nil, conformance.Skip("the command cannot be run: %v", err)
		}
		return &Outcome{Known: true, Took: err == nil, Output: output.String()}, nil
	}
}

// tail keeps the end of what is written.
type tail struct {
	mu sync.Mutex
	b  []byte // guarded by mu
}

const maxTail = 300

// Write implements [io.Writer].
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p[max(0, len(p)-maxTail):]...)
	t.b = t.b[max(0, len(t.b)-maxTail):]
	return len(p), nil
}

// String returns it in one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.Join(bytes.Fields(t.b), []byte(" ")))
}

// quiet is how long a client that somebody starts by hand has to be still.
const quiet = time.Second

// ByHand asks somebody to start the client, and waits for it that long.
func ByHand(to io.Writer, wait time.Duration) Start {
	return func(ctx context.Context, p *Play) (*Outcome, error) {
		fmt.Fprintf(to, "%s: start the client now (%s) at %s\n", p.Check, p.Environment["BRISKEST_OPERATION"], p.Server.URL(0))
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		if err := p.Server.Idle(ctx, quiet); err != nil {
			return nil, conformance.Skip("the client did not come within %v", wait)
		}
		return &Outcome{}, nil
	}
}
