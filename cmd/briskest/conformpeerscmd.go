package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/briskest/briskest/conformance/estclient"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/internal/cli"
)

// conformPeerFlags say how a client under test is started.
type conformPeerFlags struct {
	Listen string        `placeholder:"ADDR" help:"Where to serve, as HOST:PORT; with port 0 each check has another port, which --run is told."`
	Host   string        `help:"The host that URLs and certificates name; default the host of --listen."`
	Start  string        `name:"run" placeholder:"COMMAND" help:"Start the client by this line for the shell, once a check, with BRISKEST_URL and others in its environment. Exit status 0: it has what it came for; 77: it cannot do that; any other: it refused. Without --run you start it by hand when told to."`
	Wait   time.Duration `default:"60s" help:"Without --run: how long to wait for the client at each check."`
	Dir    string        `placeholder:"DIR" help:"A new directory for the files that the client needs, which stay there; a temporary one without it."`
}

// house opens where checks are played. The caller calls the function at the end.
func (c *conformPeerFlags) house(s streams, f *conformFlags) (*unkind.House, func(), error) {
	if c.Listen == "" {
		return nil, nil, required("--listen")
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, nil, cli.Usage("--listen: %w", err)
	}
	h := &unkind.House{Listen: c.Listen, Host: c.Host, Dir: c.Dir}
	if h.Host == "" {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			return nil, nil, cli.Usage("--listen %s names no host: say with --host how the client reaches it", c.Listen)
		}
		h.Host = host
	}
	switch {
	case c.Start != "":
		h.Start = unkind.Command(c.Start)
	case port == "0":
		return nil, nil, cli.Usage("--listen: whoever starts the client by hand needs one port for all checks; give one, or --run")
	default:
		h.Start = unkind.ByHand(s.Err, c.Wait)
		f.Timeout += c.Wait
		f.Deadline += 100 * c.Wait
	}
	if c.Dir != "" {
		if err := os.Mkdir(c.Dir, 0o700); err != nil {
			return nil, nil, cli.Usage("--dir: %w", err)
		}
		return h, func() {}, nil
	}
	if h.Dir, err = os.MkdirTemp("", "briskest-conform-"); err != nil {
		return nil, nil, fmt.Errorf("a directory for the client's files: %w", err)
	}
	return h, func() {
		if err := os.RemoveAll(h.Dir); err != nil {
			cli.Note(s.Err, "%s stays behind: %v", h.Dir, err)
		}
	}, nil
}

// tell says by hand what the client is to be given.
func (c *conformPeerFlags) tell(s streams, environment map[string]string) {
	if c.Start != "" {
		return
	}
	for name, value := range environment {
		cli.Note(s.Err, "%s=%s", name, value)
	}
}

// ready reports whether the target can be served, and says what its peer is to be given.
func (c *conformPeerFlags) ready(s streams, t interface {
	Reachable(ctx context.Context) error
	Environment() map[string]string
}) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := t.Reachable(ctx); err != nil {
			return err
		}
		c.tell(s, t.Environment())
		return nil
	}
}

type conformESTClientCmd struct {
	conformPeerFlags
	conformFlags
}

// Run is unkind to the client and prints the report.
func (c *conformESTClientCmd) Run(ctx context.Context, s streams) error {
	end := func() {}
	defer func() { end() }()
	return conform(ctx, s, &c.conformFlags, estclient.Checks(), "EST client", func() (*estclient.Target, func(context.Context) error, error) {
		house, ended, err := c.house(s, &c.conformFlags)
		if err != nil {
			return nil, nil, err
		}
		end = ended
		t := &estclient.Target{House: unkind.House{Start: house.Start, Listen: house.Listen, Host: house.Host, Dir: house.Dir}}
		return t, c.ready(s, t), nil
	})
}
