package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/briskest/briskest/internal/bench"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/registrar"
)

type benchRevocationCmd struct {
	Dir        string `help:"Directory for the registrar and its store; what is in it is used again. Default: a temporary one."`
	N          int    `short:"n" default:"1000000" help:"Certificates on record."`
	Revoked    int    `default:"100000" help:"How many of them are revoked."`
	Partitions int    `default:"64" help:"Partitions of the revocation lists."`
	Requests   int    `default:"20000" help:"OCSP requests, by GET and again by POST."`
	Rate       int    `default:"500" help:"How many of them arrive in a second, whatever the server does: latency is judged there."`
	C          int    `short:"c" default:"16" help:"Clients that ask as fast as they are answered, for the throughput."`
	output
}

// revocationRow is one line of the result.
type revocationRow struct {
	Measure string `json:"measure"`
	Value   string `json:"value"`
	Limit   string `json:"limit,omitempty"`
	Result  string `json:"result,omitempty"` // pass or fail
}

// Run fills a store, starts the server on it, and asks it.
func (c *benchRevocationCmd) Run(ctx context.Context, s streams) error {
	if c.N < 100 || c.Revoked < 1 || c.Revoked > c.N || c.C < 1 || c.Requests < c.C || c.Rate < 1 {
		return cli.Usage("-n must be at least 100, --revoked between 1 and that, --requests at least -c, --rate at least 1")
	}
	if c.Dir == "" {
		dir, err := os.MkdirTemp("", "briskest-bench-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		c.Dir = dir
	}
	fill, err := c.fill(ctx, s)
	if err != nil {
		return err
	}
	target, start, stop, err := c.serve(ctx, s)
	if err != nil {
		return err
	}
	defer stop()
	run, err := target.Measure(ctx, bench.RevocationLoad{Requests: c.Requests, Rate: float64(c.Rate), Clients: c.C, Lists: 16})
	if err != nil {
		return err
	}
	rows := c.rows(fill, start, run)
	if err := cli.PrintList(s.Out, c.Format, rows); err != nil {
		return err
	}
	for _, r := range rows {
		if r.Result == "fail" {
			return errors.New("a limit is not held")
		}
	}
	return nil
}

func (c *benchRevocationCmd) rows(fill, start time.Duration, r *bench.RevocationRun) []revocationRow {
	limited := func(measure string, got, limit time.Duration) revocationRow {
		result := "pass"
		if got >= limit {
			result = "fail"
		}
		return revocationRow{measure, got.Round(10 * time.Microsecond).String(), limit.String(), result}
	}
	micros := func(us float64) time.Duration { return time.Duration(us * float64(time.Microsecond)) }
	rows := []revocationRow{
		{Measure: "certificates, revoked", Value: fmt.Sprintf("%d, %d", c.N, c.Revoked)},
		{Measure: "filling the store", Value: fill.Round(time.Millisecond).String()},
		limited("start to the first answer", start, 2*time.Second),
	}
	for _, one := range []struct {
		name string
		run  *bench.Run
	}{{"OCSP by GET", &r.GET}, {"OCSP by POST", &r.POST}} {
		rows = append(rows,
			revocationRow{Measure: one.name + ", CPU of the server an answer", Value: micros(one.run.CPU).Round(time.Microsecond).String()},
			revocationRow{Measure: fmt.Sprintf("%s, %d a second, p50", one.name, c.Rate), Value: micros(one.run.P50).Round(10 * time.Microsecond).String()},
			limited(fmt.Sprintf("%s, %d a second, p99", one.name, c.Rate), micros(one.run.P99), 10*time.Millisecond),
		)
	}
	rows = append(rows, revocationRow{
		Measure: fmt.Sprintf("OCSP by %d clients, answers a second, p99", c.C),
		Value:   fmt.Sprintf("%.0f, %s", r.Crowd.Throughput, micros(r.Crowd.P99).Round(10*time.Microsecond)),
	})
	megabytes := func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/(1<<20)) }
	full := revocationRow{Measure: "entries of the full list", Value: strconv.Itoa(r.FullEntries), Limit: strconv.Itoa(c.Revoked), Result: "pass"}
	if r.FullEntries != c.Revoked {
		full.Result = "fail"
	}
	return append(rows,
		limited(fmt.Sprintf("list of one of %d partitions", c.Partitions), r.Partition, 5*time.Second),
		revocationRow{Measure: "full list", Value: r.Full.Round(time.Millisecond).String() + ", " + megabytes(int64(r.FullBytes))},
		full,
		revocationRow{Measure: "memory after the start", Value: megabytes(r.Idle)},
		revocationRow{Measure: "memory after the load", Value: megabytes(r.Resting)},
	)
}

func (c *benchRevocationCmd) config() string { return filepath.Join(c.Dir, "registrar.yaml") }

// fill makes a registrar and puts the certificates on its record, unless they are there.
func (c *benchRevocationCmd) fill(ctx context.Context, s streams) (time.Duration, error) {
	listen, err := loopbackAddress(0)
	if err != nil {
		return 0, err
	}
	err = makeRegistrar(ctx, folder(c.Dir), &registrarSetup{Name: "Bench", Hosts: []string{"127.0.0.1"}, Listen: listen})
	if err != nil {
		return 0, err
	}
	cfg, err := loadRegistrarConfig(c.config())
	if err != nil {
		return 0, err
	}
	role, err := openRegistrar(ctx, cfg, s.Err)
	if err != nil {
		return 0, err
	}
	defer discard(role.close)
	authority := role.service.Authorities()[0].ID()
	state, err := role.service.CertificateState(ctx, authority, benchSerial(c.N-1))
	if err != nil || state.Issued {
		return 0, err
	}
	begin := time.Now()
	const each = 1000
	for n := 0; n < c.N; n += each {
		if err := role.store.Commit(ctx, c.change(authority, n, min(n+each, c.N))); err != nil {
			return 0, err
		}
		if n%100_000 == 0 {
			fmt.Fprintf(s.Err, "%d of %d certificates on record\n", n, c.N)
		}
	}
	return time.Since(begin), nil
}

// change puts the certificates from first to last on record, 1,000 a device;
// their DER is filled up with zeros.
func (c *benchRevocationCmd) change(authority string, first, last int) *registrar.Change {
	now := time.Now().UTC()
	device := fmt.Sprintf("%032x", first+1)
	out := &registrar.Change{PutDevices: []*registrar.Device{{
		ID: device, Domain: registrar.DefaultDomain, SerialNumber: device, State: registrar.Enrolled, Source: "bench", CreatedAt: now, SeenAt: now,
	}}}
	for n := first; n < last; n++ {
		serial := benchSerial(n)
		row := &registrar.Certificate{
			Domain: registrar.DefaultDomain, ID: fmt.Sprintf("%032x", n+1), Issuer: registrar.DefaultIssuer, Authority: authority, Serial: serial,
			DeviceID: device, Status: registrar.Intended, Profile: "device", Version: "1", Operation: "enroll", Subject: "CN=" + device,
			TBSHash: sha256.Sum256(serial), KeyHash: sha256.Sum256(append(serial, 1)), NamesHash: sha256.Sum256(append(serial, 2)), Credential: "bench",
			NotBefore: now, NotAfter: now.AddDate(1, 0, 0), IntendedAt: now,
		}
		issued := *row
		issued.Status, issued.IssuedAt, issued.Raw = registrar.Issued, now, append(make([]byte, 500), serial...)
		out.Intents, out.Issued = append(out.Intents, row), append(out.Issued, &issued)
		if n < c.Revoked {
			revoked := issued
			revoked.Status, revoked.RevokedAt, revoked.RevokeReason = registrar.Revoked, now, 4
			out.Revoked = append(out.Revoked, &revoked)
		}
	}
	return out
}

// benchSerial is the serial number of certificate n: one that counts, then what
// nobody can guess, as those that are issued here.
func benchSerial(n int) []byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	return append(binary.BigEndian.AppendUint32([]byte{0x1a}, uint32(n)), sum[:12]...)
}

// serve starts the registrar as a process of its own, and returns how long it
// took to the first answer.
func (c *benchRevocationCmd) serve(ctx context.Context, s streams) (*bench.RevocationTarget, time.Duration, func(), error) {
	program, err := os.Executable()
	if err != nil {
		return nil, 0, nil, err
	}
	address, err := loopbackAddress(0)
	if err != nil {
		return nil, 0, nil, err
	}
	chain, err := pemfile.Certificates(filepath.Join(c.Dir, "ca.pem"))
	if err != nil {
		return nil, 0, nil, err
	}
	cmd := exec.CommandContext(ctx, program, "registrar", "--config", c.config())
	cmd.Stderr = s.Err
	cmd.Env = append(os.Environ(), "BRISKEST_REGISTRAR_LISTEN_REVOCATION="+address,
		"BRISKEST_REGISTRAR_REVOCATION_PARTITIONS="+strconv.Itoa(c.Partitions), "BRISKEST_REGISTRAR_LOG_LEVEL=error")
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, 0, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	}
	t := &bench.RevocationTarget{
		URL: "http://" + address, Issuer: chain[0], Serial: benchSerial, N: c.N, Revoked: c.Revoked, Partitions: c.Partitions, PID: cmd.Process.Pid,
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := t.Answering(wait); err != nil {
		stop()
		return nil, 0, nil, fmt.Errorf("the server does not answer: %w", err)
	}
	return t, time.Since(begin), stop, nil
}
