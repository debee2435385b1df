package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/bench"
	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type benchStormCmd struct {
	Dir     string        `required:"" type:"existingdir" help:"A quickstart's directory whose registrar runs."`
	N       int           `short:"n" default:"20000" help:"Clients, each with its own key, name and address."`
	Sockets int           `default:"4000" help:"Connections open at once."`
	Timeout time.Duration `default:"60s" help:"Of one attempt."`
	Within  time.Duration `default:"30m" help:"All must be enrolled by then."`
	output
}

// Run has everybody enroll, and then asks the registrar whether each is on
// record once.
func (c *benchStormCmd) Run(ctx context.Context, s streams) error {
	if c.N < 1 || c.N > 1<<22 || c.Sockets < 1 {
		return cli.Usage("-n and --sockets must be at least 1, and -n at most %d", 1<<22)
	}
	t, err := quickstartTarget(ctx, c.Dir, "basic")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Within)
	defer cancel()
	result, err := bench.Storm{
		Clients: c.N, Sockets: c.Sockets, Timeout: c.Timeout,
		Progress: func(done, busy int) {
			fmt.Fprintf(s.Err, "%d of %d enrolled, %d answers to come back later\n", done, c.N, busy)
		},
	}.Run(ctx, t)
	if err != nil {
		return err
	}
	if err := c.print(s, result); err != nil {
		return err
	}
	return c.judge(ctx, result)
}

func (c *benchStormCmd) print(s streams, r *bench.StormResult) error {
	if c.Format == cli.JSON {
		return cli.PrintOne(s.Out, cli.JSON, r)
	}
	_, err := fmt.Fprintf(s.Out, "%d of %d clients enrolled in %.1f s (%.0f/s), %d sockets at most\n"+
		"told to come back: %d times, the answer within %.0f ms (p99)\n"+
		"resets %d, timeouts %d, of these after a back-off %d; certificates beyond one a client %d\n"+
		"from the first attempt to the certificate: p50 %.0f ms, p99 %.0f ms\n"+
		"the server's memory: %.0f MB before, %.0f MB at most\n",
		r.Enrolled, r.Clients, r.Seconds, r.PerSecond, r.Sockets, r.Busy, r.BusyP99, r.Resets, r.Timeouts, r.After, r.Twice,
		r.P50, r.P99, r.MemoryBefore, r.MemoryPeak)
	return err
}

// judge fails when somebody is not enrolled, or more than once, by the
// registrar's own record.
func (c *benchStormCmd) judge(ctx context.Context, r *bench.StormResult) error {
	socket := filepath.Join(c.Dir, "registrar", "admin.sock")
	operator := registraradmin.NewClient(func(ctx context.Context) (net.Conn, error) { return dialUnix(ctx, socket) })
	defer operator.Close()
	names := make(map[string]int, r.Clients)
	for cert, err := range operator.Certificates(ctx, registraradmin.CertificateList{}) {
		if err != nil {
			return err
		}
		if _, name, ok := strings.Cut(cert.Subject, r.Prefix); ok {
			names[name]++
		}
	}
	var twice int
	for _, n := range names {
		twice += n - 1
	}
	switch {
	case r.Enrolled != r.Clients || len(names) != r.Clients:
		return fmt.Errorf("of %d clients %d were enrolled, and the registrar has %d on record", r.Clients, r.Enrolled, len(names))
	case twice > 0 || r.Twice > 0:
		return fmt.Errorf("%d certificates were issued beyond one a client", max(twice, r.Twice))
	case r.After > 0:
		return errors.New("connections failed after their clients had backed off: the server takes more than it can do")
	}
	return nil
}
