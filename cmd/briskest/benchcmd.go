package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/briskest/briskest/internal/bench"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
)

type benchCmd struct {
	EST        benchESTCmd        `cmd:"" name:"est" help:"Enroll against a running registrar and against a bare floor, and print the ratios."`
	Storm      benchStormCmd      `cmd:"" help:"Have thousands of clients enroll at once at a running registrar, each until it has its certificate."`
	BRSKI      benchBRSKICmd      `cmd:"" name:"brski" help:"Have simulated devices onboard through a registrar and a MASA of its own and against bare floors, and print the ratios."`
	Inventory  benchInventoryCmd  `cmd:"" help:"Import a million devices, list and search them, and compare enrollments with those of a small inventory."`
	Revocation benchRevocationCmd `cmd:"" help:"Put a million certificates on record, start the server on them, and measure its answers about revocation."`
	Floor      benchFloorCmd      `cmd:"" hidden:"" help:"Run the bare floor."`
	BRSKIFloor benchBRSKIFloorCmd `cmd:"" name:"brski-floor" hidden:"" help:"Run a bare floor of BRSKI."`
}

type benchESTCmd struct {
	Dir    string `required:"" type:"existingdir" help:"A quickstart's directory whose registrar runs."`
	Op     string `enum:"simpleenroll,simplereenroll,serverkeygen,fullcmc" default:"simpleenroll" help:"The operation: ${enum}."`
	Auth   string `enum:"basic,cert" default:"basic" help:"How the clients authenticate: basic (est-user.txt) or cert (ra.pem)."`
	N      int    `short:"n" default:"2000" help:"Enrollments a run."`
	C      int    `short:"c" default:"8" help:"Clients at once; the wall-clock comparison uses 32."`
	Rounds int    `default:"5" help:"Alternating runs of each side; the medians are printed."`
	output
}

// Run measures and prints.
func (c *benchESTCmd) Run(ctx context.Context, s streams) error {
	if c.N < 10 || c.C < 1 || c.Rounds < 1 {
		return cli.Usage("-n must be at least 10, -c and --rounds at least 1")
	}
	op, err := bench.OpNamed(c.Op)
	if err != nil {
		return err
	}
	if !op.Kept && c.Auth != "basic" {
		return cli.Usage("the clients of %s have certificates of their own; leave --auth out", op.Name)
	}
	ours, err := quickstartTarget(ctx, c.Dir, c.Auth)
	if err != nil {
		return err
	}
	floor, stop, err := startFloor(ctx, op, c.Dir, c.Auth)
	if err != nil {
		return err
	}
	defer stop()
	floor.Certificate = ours.Certificate
	result, err := bench.Compare(ctx, ours, floor, bench.Options{
		Op: op, Requests: c.N, Clients: c.C, Rounds: c.Rounds,
		Progress: func(text string) { fmt.Fprintln(s.Err, text) },
	})
	if err != nil {
		return err
	}
	if c.Format == cli.JSON {
		return cli.PrintOne(s.Out, cli.JSON, result)
	}
	fmt.Fprintf(s.Err, "%s; the floor: %s\n", result.Op, result.FloorIs)
	return cli.PrintList(s.Out, c.Format, benchRows(result))
}

// benchRow is one line of the table.
type benchRow struct {
	Part       string `json:"part"`
	Side       string `json:"side"`
	Throughput string `json:"per_second"`
	P50        string `json:"p50_us"`
	P99        string `json:"p99_us"`
	CPU        string `json:"cpu_us"`
	Ratio      string `json:"ratio"`
}

func benchRows(c *bench.Comparison) []benchRow {
	var rows []benchRow
	for _, part := range []struct {
		name string
		pair *bench.Pair
	}{{"fresh", &c.Fresh}, {"kept", c.Kept}, {"wall", &c.Wall}, {"wall kept", c.WallKept}} {
		if part.pair == nil {
			continue
		}
		for _, side := range []struct {
			name  string
			run   *bench.Run
			ratio string
		}{{"floor", part.pair.Floor, ""}, {"registrar", part.pair.Ours, fmt.Sprintf("%.2f", part.pair.Ratio)}} {
			rows = append(rows, benchRow{
				part.name, side.name, fmt.Sprintf("%.0f", side.run.Throughput), fmt.Sprintf("%.0f", side.run.P50),
				fmt.Sprintf("%.0f", side.run.P99), fmt.Sprintf("%.0f", side.run.CPU), side.ratio,
			})
		}
	}
	return rows
}

// quickstartTarget reads from a quickstart's directory how to reach its registrar.
func quickstartTarget(ctx context.Context, dir, auth string) (*bench.Target, error) {
	where, err := readAddresses(dir)
	if err != nil {
		return nil, err
	}
	roots, err := pemfile.Pool(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	// Whoever answers on the operators' socket serves the registrar now; the
	// file says who did when the quickstart began.
	pid, err := serverPID(ctx, filepath.Join(dir, "registrar", "admin.sock"))
	if err != nil {
		return nil, cli.Hint(fmt.Errorf("the registrar does not run: %w", err), "start it with briskest registrar --config %s", filepath.Join(dir, "registrar.yaml"))
	}
	t := &bench.Target{URL: where.EST, Roots: roots, PID: pid}
	if auth == "cert" {
		cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "ra.pem"), filepath.Join(dir, "ra.key"))
		if err != nil {
			return nil, err
		}
		t.Certificate = &cert
		return t, nil
	}
	line, err := os.ReadFile(filepath.Join(dir, "est-user.txt"))
	if err != nil {
		return nil, err
	}
	user, password, ok := strings.Cut(strings.TrimSpace(string(line)), ":")
	if !ok {
		return nil, fmt.Errorf("%s: not user:password", filepath.Join(dir, "est-user.txt"))
	}
	t.User, t.Password = user, password
	return t, nil
}

// startFloor runs this program's floor in a process of its own, so that its
// CPU time can be told from ours.
func startFloor(ctx context.Context, op *bench.Op, dir, auth string) (*bench.Target, func(), error) {
	program, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	args := []string{"bench", "floor", "--op", op.Name}
	if auth == "cert" {
		args = append(args, "--client-ca", filepath.Join(dir, "ca.pem"))
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, nil, err
	}
	stop := func() {
		cancel()
		_ = cmd.Wait() // killed on purpose
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready bench.FloorReady
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	roots := x509.NewCertPool()
	if err == nil && !roots.AppendCertsFromPEM([]byte(ready.CA)) {
		err = errors.New("no certificate in its answer")
	}
	if err != nil {
		stop()
		return nil, nil, fmt.Errorf("the floor: %w", err)
	}
	return &bench.Target{URL: ready.URL, Roots: roots, PID: cmd.Process.Pid}, stop, nil
}

type benchFloorCmd struct {
	Op       string `default:"simpleenroll" help:"The operation."`
	ClientCA string `name:"client-ca" help:"Require a client certificate below this PEM file."`
}

// Run serves the floor until it is told to stop.
func (c *benchFloorCmd) Run(ctx context.Context, s streams) error {
	op, err := bench.OpNamed(c.Op)
	if err != nil {
		return err
	}
	var clients *x509.CertPool
	if c.ClientCA != "" {
		pool, err := pemfile.Pool(c.ClientCA)
		if err != nil {
			return err
		}
		clients = pool
	}
	return bench.ServeFloor(ctx, s.Out, op, clients)
}
