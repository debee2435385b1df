package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/cmd/internal/voucherformat"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

// What the quickstart calls its parts.
const (
	quickVendor   = "Example Vendor"
	quickOperator = "Example Operator"
	quickProduct  = "widget"
	quickMaker    = "example"
	quickSerial   = "WIDGET-0001"
	quickUser     = "line-1"
)

type quickstartCmd struct {
	Once       bool   `help:"Exit when the device is in."`
	Dir        string `help:"Directory; default a new temporary one. A filled one is resumed, and no key overwritten."`
	Port       uint16 `help:"Port of the registrar; default a free one, and then the one in registrar.yaml."`
	Add        string `placeholder:"SERIAL" help:"Onboard one more simulated device with this serial number at the quickstart that runs in --dir."`
	Revocation string `placeholder:"HOST:PORT" help:"Address to serve OCSP, revocation lists and CA certificates at, which certificates then name."`
	keysFlag
	voucherformat.Flag
}

// addresses is addresses.json: where the servers of a quickstart answer.
type addresses struct {
	EST   string `json:"est"`
	BRSKI string `json:"brski"`
	MASA  string `json:"masa"`
	PID   int    `json:"pid"` // of the process that serves the registrar
}

// readAddresses reads where a quickstart's servers answer.
func readAddresses(dir string) (*addresses, error) {
	data, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
	if err != nil {
		return nil, cli.Hint(err, "briskest quickstart --dir %s starts the servers and writes it", dir)
	}
	var a addresses
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, fmt.Errorf("addresses.json: %w", err)
	}
	return &a, nil
}

// Run makes what is not there yet, serves, and onboards the device.
func (c *quickstartCmd) Run(ctx context.Context, s streams) error {
	if c.Dir == "" {
		if c.Add != "" {
			return required("--dir")
		}
		dir, err := os.MkdirTemp("", "briskest-")
		if err != nil {
			return err
		}
		c.Dir = dir
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	q := &quickstart{folder: folder(dir), out: s, format: c.Voucher, revocation: c.Revocation}
	if c.Add != "" {
		return q.add(ctx, c.Add)
	}
	err = q.run(ctx, c)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && !c.Once {
		return nil // told to end while it was still on the way
	}
	return err
}

// quickstart is one run of the command.
type quickstart struct {
	folder
	out    streams
	format voucherformat.Name // of the devices' vouchers
	steps  int

	revocation string // address that certificates name; empty for none
}

// step prints one thing done and what is known since.
func (q *quickstart) step(who, proven string, files ...string) {
	q.steps++
	q.out.Printf("%2d. %-10s %s\n", q.steps, who, proven)
	for _, f := range files {
		q.out.Printf("    %10s %s\n", "", q.path(f))
	}
}

// run sets up, serves and onboards, and ends what it started.
func (q *quickstart) run(ctx context.Context, c *quickstartCmd) error {
	if err := q.useKeys(ctx, q.out, c.Keys); err != nil {
		return err
	}
	if err := q.setUp(ctx, int(c.Port)); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	servers, err := q.start(ctx)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	failed := make(chan error, len(servers.all))
	for _, s := range servers.all {
		running.Go(func() {
			failed <- s.serve(ctx)
			stop() // one that ends, ends the other
		})
	}
	err = q.onboard(ctx, servers, c.Once)
	if err != nil || c.Once {
		stop()
	}
	running.Wait()
	close(failed)
	for e := range failed {
		err = errors.Join(err, e)
	}
	return err
}

// quickServers are the two servers of a quickstart.
type quickServers struct {
	all       []*service
	registrar *registrarRole
	addresses
}

// start opens both servers, and puts on record what was built and bought.
func (q *quickstart) start(ctx context.Context) (*quickServers, error) {
	logs, err := q.logFiles()
	if err != nil {
		return nil, err
	}
	masaConfig, err := loadMASAConfig(q.path("masa.yaml"))
	if err != nil {
		return nil, err
	}
	registrarConfig, err := loadRegistrarConfig(q.path("registrar.yaml"))
	if err != nil {
		return nil, err
	}
	servers := &quickServers{}
	masaService, _, err := startMASA(ctx, masaConfig, logs[0])
	if err != nil {
		return nil, err
	}
	registrarService, registrarRole, err := startRegistrar(ctx, registrarConfig, logs[1])
	if err != nil {
		discard(masaService.discard)
		return nil, err
	}
	servers.all = []*service{masaService, registrarService}
	servers.registrar = registrarRole
	base := "https://" + registrarService.devices.Addr().String()
	servers.addresses = addresses{
		EST: base + "/.well-known/est", BRSKI: base + "/.well-known/brski",
		MASA: "https://" + masaService.devices.Addr().String() + "/.well-known/brski", PID: os.Getpid(),
	}
	// Both stores are ours alone now: who waits for addresses.json waits for us.
	err = ignoreNotExist(os.Remove(q.path("addresses.json")))
	if err == nil {
		err = q.enter(ctx, servers)
	}
	if err != nil {
		discard(registrarService.discard, masaService.discard)
		return nil, err
	}
	return servers, nil
}

// logFiles opens where the servers log to, so that the steps stay readable.
func (q *quickstart) logFiles() ([2]*os.File, error) {
	var logs [2]*os.File
	for i, name := range []string{"masa/masa.log", "registrar/registrar.log"} {
		f, err := os.OpenFile(q.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return logs, err
		}
		logs[i] = f
	}
	return logs, nil
}

// enter imports the device at the operator's registrar, and makes the group
// credential.
func (q *quickstart) enter(ctx context.Context, servers *quickServers) error {
	operator := servers.registrar.inProcess()
	if err := q.importDevice(ctx, operator, quickSerial); err != nil {
		return err
	}
	q.step("operator", "put "+quickSerial+" on the registrar's list of devices bought")
	if q.has("est-user.txt") {
		return nil
	}
	added, err := operator.AddCredential(ctx, registraradmin.AddCredential{User: quickUser, Group: true, Replace: true})
	if err != nil {
		return err
	}
	return pemfile.Write(q.path("est-user.txt"), []byte(quickUser+":"+added.Secret+"\n"), 0o600)
}

// onboard runs the pledge over the wire and prints what each step proved.
func (q *quickstart) onboard(ctx context.Context, servers *quickServers, once bool) error {
	if err := q.runPledge(ctx, "pledge", servers.EST); err != nil {
		return err
	}
	data, err := json.MarshalIndent(servers.addresses, "", "  ")
	if err != nil {
		return err
	}
	if err := pemfile.Write(q.path("addresses.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	q.out.Printf("\nThe device is a member of the network.\n%s\n", q.whatNext(servers.EST, once))
	return nil
}

func (q *quickstart) runPledge(ctx context.Context, name, estURL string) error {
	id, err := pemfile.Identity(ctx, q.path(name+"/idevid.pem"), "file:"+q.path(name+"/idevid.key"))
	if err != nil {
		return err
	}
	anchors, err := pemfile.Pool(q.path("masa/anchor.pem"))
	if err != nil {
		return err
	}
	format, err := q.format.Format()
	if err != nil {
		return err
	}
	p, err := pledge.New(pledge.Config{
		IDevID: *id, RegistrarURL: originOf(estURL), Anchors: anchors, State: pledge.Dir(q.path(name)),
		Format: format, MaxWait: time.Minute,
		Report: func(s pledge.Step) {
			var files []string
			if s.File != "" {
				files = []string{name + "/" + s.File}
			}
			q.step("device", s.Proven, files...)
		},
	})
	if err != nil {
		return err
	}
	_, err = p.Onboard(ctx)
	return err
}
