package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/briskest/briskest/cmd/internal/voucherformat"
	"github.com/briskest/briskest/internal/bench"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/masa"
	masaadmin "github.com/briskest/briskest/masa/admin"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

// benchPrefix is what the serial numbers of simulated devices begin with.
const benchPrefix = "BENCH-"

type benchBRSKICmd struct {
	N      int `short:"n" default:"1000" help:"Devices a run."`
	C      int `short:"c" default:"64" help:"Devices at once. The more there are, the more of them share a disk sync."`
	Rounds int `default:"5" help:"Alternating runs of each side; the medians are printed."`
	voucherformat.Flag
	output
}

// Run sets up a vendor and an operator in a folder of its own, runs a MASA and
// a registrar beside their floors, and measures.
func (c *benchBRSKICmd) Run(ctx context.Context, s streams) error {
	if c.N < 10 || c.C < 1 || c.Rounds < 1 || c.N*(c.Rounds+2) > 1<<20 {
		return cli.Usage("-n must be at least 10, -c and --rounds at least 1, and all devices together at most %d", 1<<20)
	}
	dir, err := os.MkdirTemp("", "briskest-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(ctx)
	b := &brskiBench{quickstart: quickstart{folder: folder(dir), out: streams{Out: io.Discard, Err: s.Err}, format: c.Voucher}, stop: stop, log: s.Err}
	defer b.end()
	if err := b.start(ctx); err != nil {
		return err
	}
	result, err := b.compare(ctx, c)
	if err != nil {
		return err
	}
	if c.Format == cli.JSON {
		return cli.PrintOne(s.Out, cli.JSON, result)
	}
	fmt.Fprintf(s.Err, "the registrar's floor: %s\nthe MASA's floor: %s\n", bench.RegistrarFloorIs, bench.MASAFloorIs)
	if err := cli.PrintList(s.Out, c.Format, result.rows()); err != nil {
		return err
	}
	fmt.Fprintf(s.Err, "on record: %d devices enrolled at the registrar, %d vouchers at the MASA\n", result.Enrolled, result.Vouchers)
	return nil
}

// brskiBench is a vendor and an operator in a folder, and their floors.
type brskiBench struct {
	quickstart
	ours, floor bench.BRSKI
	log         io.Writer
	stop        context.CancelFunc
	running     []*exec.Cmd
}

// end stops the processes.
func (b *brskiBench) end() {
	b.stop()
	for _, cmd := range b.running {
		_ = cmd.Wait() // killed on purpose
	}
}

func (b *brskiBench) start(ctx context.Context) error {
	if err := b.setUp(ctx, 0); err != nil {
		return err
	}
	if err := b.target(ctx); err != nil {
		return err
	}
	// One registrar asks for everybody.
	masaPID, err := b.serve(ctx, "masa", "BRISKEST_MASA_REQUESTS_PER_MINUTE=1000000000")
	if err != nil {
		return err
	}
	registrarPID, err := b.serve(ctx, "registrar")
	if err != nil {
		return err
	}
	b.ours.MASAPID, b.ours.RegistrarPID = masaPID, registrarPID
	b.floor = b.ours
	masaURL, masaPID, err := b.serveFloor(ctx, "")
	if err != nil {
		return err
	}
	b.floor.MASAPID = masaPID
	b.floor.URL, b.floor.RegistrarPID, err = b.serveFloor(ctx, masaURL)
	return err
}

// target says how devices reach the registrar.
func (b *brskiBench) target(ctx context.Context) error {
	cfg, err := loadRegistrarConfig(b.path("registrar.yaml"))
	if err != nil {
		return err
	}
	certs, err := pemfile.Certificates(b.path("registrar/registrar.pem"))
	if err != nil {
		return err
	}
	if b.ours.Anchors, err = pemfile.Pool(b.path("masa/anchor.pem")); err != nil {
		return err
	}
	b.ours.URL, b.ours.Registrar = "https://"+cfg.Listen.Devices, certs[0]
	b.ours.Format, err = b.format.Format()
	return err
}

// serve runs a role in a process of its own and waits until it answers operators.
func (b *brskiBench) serve(ctx context.Context, role string, env ...string) (pid int, err error) {
	cmd, err := b.command(ctx, role, "--config", b.path(role+".yaml"))
	if err != nil {
		return 0, err
	}
	cmd.Env = append(os.Environ(), env...)
	log, err := os.Create(b.path(role + ".log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	b.running = append(b.running, cmd)
	socket := b.path(role + "/admin.sock")
	for deadline := time.Now().Add(20 * time.Second); !answers(ctx, socket); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) || ctx.Err() != nil {
			text, _ := os.ReadFile(log.Name())
			return 0, fmt.Errorf("the %s did not start:\n%s", role, text)
		}
	}
	return cmd.Process.Pid, nil
}

func (b *brskiBench) command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, program, args...), nil
}

func (b *brskiBench) serveFloor(ctx context.Context, masaURL string) (url string, pid int, err error) {
	cmd, err := b.command(ctx, "bench", "brski-floor", "--dir", b.path(""), "--masa", masaURL, "--format", string(b.format))
	if err != nil {
		return "", 0, err
	}
	cmd.Stderr = b.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", 0, err
	}
	if err := cmd.Start(); err != nil {
		return "", 0, err
	}
	b.running = append(b.running, cmd)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready bench.FloorReady
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil {
		return "", 0, fmt.Errorf("the floor: %w", err)
	}
	return ready.URL, cmd.Process.Pid, nil
}

// brskiResult is what a comparison came to: medians, and the median of the
// rounds' ratios.
type brskiResult struct {
	Devices   int            `json:"devices"`
	Clients   int            `json:"clients"`
	Rounds    int            `json:"rounds"`
	Voucher   bench.BRSKIRun `json:"voucher"`
	Floor     bench.BRSKIRun `json:"floor"`
	Onboard   bench.BRSKIRun `json:"onboard"`
	Registrar float64        `json:"registrar_ratio"`
	MASA      float64        `json:"masa_ratio"`
	Enrolled  int            `json:"enrolled_on_record"`
	Vouchers  int            `json:"vouchers_on_record"`
}

// compare measures vouchers against the floor, alternating, and then the whole road.
func (b *brskiBench) compare(ctx context.Context, c *benchBRSKICmd) (*brskiResult, error) {
	warm := min(c.N, 4*c.C)
	devices, err := b.devices(ctx, c.N*(c.Rounds+1)+warm)
	if err != nil {
		return nil, err
	}
	take := func(n int) []bench.Device {
		taken := devices[:n]
		devices = devices[n:]
		return taken
	}
	total := len(devices)
	vouchers, err := b.ours.Compare(ctx, &b.floor, bench.BRSKIOptions{
		Devices: take, Warm: warm, Each: c.N, Clients: c.C, Rounds: c.Rounds,
		Progress: func(text string) { fmt.Fprintln(b.log, text) },
	})
	if err != nil {
		return nil, err
	}
	onboard, err := b.ours.Onboard(ctx, take(c.N), c.C)
	if err != nil {
		return nil, fmt.Errorf("onboarding: %w", err)
	}
	r := &brskiResult{
		Devices: c.N, Clients: c.C, Rounds: c.Rounds, Voucher: *vouchers.Ours, Floor: *vouchers.Floor, Onboard: *onboard,
		Registrar: vouchers.Registrar, MASA: vouchers.MASA,
	}
	if r.Enrolled, r.Vouchers, err = b.onRecord(ctx); err != nil {
		return nil, err
	}
	if r.Enrolled != c.N || r.Vouchers != total {
		return nil, fmt.Errorf("on record are %d enrolled devices and %d vouchers; %d and %d were handed out", r.Enrolled, r.Vouchers, c.N, total)
	}
	return r, nil
}

// devices makes devices and puts them on both lists.
func (b *brskiBench) devices(ctx context.Context, n int) ([]bench.Device, error) {
	fmt.Fprintf(b.log, "making %d devices\n", n)
	vendor, err := loadMASAConfig(b.path("masa.yaml"))
	if err != nil {
		return nil, err
	}
	root, err := pemfile.Identity(ctx, b.path("masa/idevid-ca.pem"), "file:"+b.path("masa/idevid-ca.key"))
	if err != nil {
		return nil, err
	}
	key, err := pemfile.Signer(root)
	if err != nil {
		return nil, err
	}
	devices, err := bench.MakeDevices(n, benchPrefix, "https://"+vendor.Listen.Registrars+"/.well-known/brski", root.Leaf, key)
	if err != nil {
		return nil, err
	}
	maker, operator := b.operators()
	defer operator.Close()
	return devices, chunks(devices, masa.MaxImport, func(part []bench.Device) error {
		built := &masa.Import{Product: quickProduct, By: actor()}
		var bought []registraradmin.ImportDevice
		for _, d := range part {
			built.Devices = append(built.Devices, masa.ImportDevice{SerialNumber: d.SerialNumber, IDevID: d.IDevID.Leaf.Raw})
			bought = append(bought, registraradmin.ImportDevice{SerialNumber: d.SerialNumber})
		}
		_, err := maker.ImportDevices(ctx, built)
		if err == nil {
			_, err = operator.ImportDevices(ctx, quickMaker, bought, false)
		}
		return err
	})
}

func (b *brskiBench) operators() (*masaadmin.Client, *registraradmin.Client) {
	dial := func(socket string) func(ctx context.Context) (net.Conn, error) {
		return func(ctx context.Context) (net.Conn, error) { return dialUnix(ctx, b.path(socket)) }
	}
	operator := registraradmin.NewClient(dial("registrar/admin.sock"))
	return masaadmin.NewClient(dial("masa/admin.sock")), operator
}

// onRecord counts by what the servers have on record.
func (b *brskiBench) onRecord(ctx context.Context) (enrolled, vouchers int, err error) {
	maker, operator := b.operators()
	defer operator.Close()
	for d, err := range operator.Devices(ctx) {
		if err != nil {
			return 0, 0, err
		}
		if d.State == "enrolled" && strings.HasPrefix(d.SerialNumber, benchPrefix) {
			enrolled++
		}
	}
	for page := (masa.Page{Limit: 1000}); ; {
		part, err := maker.ListVouchers(ctx, page)
		if err != nil {
			return 0, 0, err
		}
		for _, v := range part {
			if v.State == masa.Issued {
				vouchers++
			}
			page.After = v.ID
		}
		if len(part) < page.Limit {
			return enrolled, vouchers, nil
		}
	}
}

// brskiRow is one line of the table.
type brskiRow struct {
	Part       string `json:"part"`
	Throughput string `json:"per_second"`
	P50        string `json:"p50_us"`
	P99        string `json:"p99_us"`
	Registrar  string `json:"registrar_cpu_us"`
	Ratio      string `json:"ratio"`
	MASA       string `json:"masa_cpu_us"`
	MASARatio  string `json:"masa_ratio"`
}

func (r *brskiResult) rows() []brskiRow {
	row := func(part string, run *bench.BRSKIRun) brskiRow {
		whole := func(x float64) string { return strconv.FormatFloat(x, 'f', 0, 64) }
		return brskiRow{Part: part, Throughput: whole(run.Throughput), P50: whole(run.P50), P99: whole(run.P99), Registrar: whole(run.Registrar), MASA: whole(run.MASA)}
	}
	ours := row("voucher", &r.Voucher)
	ours.Ratio, ours.MASARatio = fmt.Sprintf("%.2f", r.Registrar), fmt.Sprintf("%.2f", r.MASA)
	return []brskiRow{row("floor", &r.Floor), ours, row("onboard", &r.Onboard)}
}

type benchBRSKIFloorCmd struct {
	Dir  string `required:"" help:"Where the vendor and the operator are."`
	MASA string `name:"masa" help:"URL of the MASA's floor; without one it is the MASA's floor itself."`
	voucherformat.Flag
}

// Run serves the floor until it is told to stop.
func (c *benchBRSKIFloorCmd) Run(ctx context.Context, s streams) error {
	dir := folder(c.Dir)
	identity := func(name string) (tls.Certificate, error) {
		id, err := pemfile.Identity(ctx, dir.path(name+".pem"), "file:"+dir.path(name+".key"))
		if err != nil {
			return tls.Certificate{}, err
		}
		return *id, nil
	}
	pool := func(name string) (*x509.CertPool, error) { return pemfile.Pool(filepath.Join(c.Dir, name)) }
	f := &bench.BRSKIFloor{}
	var errs [6]error
	f.Format, errs[0] = c.Voucher.Format()
	if c.MASA == "" {
		f.TLS, errs[1] = identity("masa/tls")
		f.Signer, errs[2] = identity("masa/voucher")
	} else {
		f.TLS, errs[1] = identity("registrar/registrar")
		f.Signer, f.MASA = f.TLS, c.MASA
		f.Clients, errs[2] = pool("masa/idevid-ca.pem")
		f.Roots, errs[3] = pool("masa/anchor.pem")
		f.Chain, errs[4] = pemfile.Certificates(dir.path("ca.pem"))
	}
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	return f.Serve(ctx, s.Out)
}
