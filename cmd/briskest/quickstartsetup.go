package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
	masaadmin "github.com/briskest/briskest/masa/admin"
)

// setUp makes the vendor, the operator and the device.
func (q *quickstart) setUp(ctx context.Context, port int) error {
	q.out.Printf("Everything is in %s\n\n", q.path(""))
	masaListen, err := q.listenAddress("masa.yaml", 0)
	if err != nil {
		return err
	}
	local := []string{"localhost", "127.0.0.1", "::1"}
	did := q.madeOrKept("masa.yaml")
	if err := makeMASA(ctx, q.folder, &masaSetup{Name: quickVendor, Hosts: local, Listen: masaListen, Product: quickProduct}); err != nil {
		return err
	}
	q.step("vendor", did+" a CA for its devices, and a MASA that signs vouchers", "masa.yaml", "masa/anchor.pem")
	did = q.madeOrKept("pledge/idevid.pem")
	if err := q.makeIDevID(ctx, quickSerial, "pledge"); err != nil {
		return err
	}
	q.step("vendor", did+" device "+quickSerial+": its IDevID names the MASA, which knows it, and never expires", "pledge/idevid.pem")
	listen, err := q.listenAddress("registrar.yaml", port)
	if err != nil {
		return err
	}
	did = q.madeOrKept("registrar.yaml")
	err = makeRegistrar(ctx, q.folder, &registrarSetup{
		Name: quickOperator, Hosts: local, Listen: listen, Revocation: q.revocation,
		Manufacturers: []manufacturerSetup{{
			Name: quickMaker, IDevIDAnchors: "masa/idevid-ca.pem", VoucherAnchors: "masa/anchor.pem", TLSAnchors: "masa/anchor.pem",
		}},
	})
	if err != nil {
		return err
	}
	if err := q.keepPort(port); err != nil {
		return err
	}
	q.step("operator", did+" a root CA, an issuing CA, the registrar and an RA certificate", "registrar.yaml", "ca.pem", "ra.pem")
	return nil
}

// madeOrKept says what setting up does about a file.
func (q *quickstart) madeOrKept(file string) string {
	if q.has(file) {
		return "kept"
	}
	return "made"
}

// listenAddress returns a loopback address for a configuration that is not
// there yet; one that is there keeps its own.
func (q *quickstart) listenAddress(file string, port int) (string, error) {
	if q.has(file) {
		return "", nil
	}
	return loopbackAddress(port)
}

// keepPort writes --port into a registrar.yaml that was there with another one.
func (q *quickstart) keepPort(port int) error {
	if port == 0 {
		return nil
	}
	file := q.path("registrar.yaml")
	cfg, err := loadRegistrarConfig(file)
	if err != nil {
		return err
	}
	want := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if cfg.Listen.Devices == want {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	old := "devices: " + strconv.Quote(cfg.Listen.Devices)
	if strings.Count(string(text), old) != 1 {
		return cli.Usage("%s says listen.devices in a way of its own; change it there, without --port", file)
	}
	return pemfile.Write(file, []byte(strings.Replace(string(text), old, "devices: "+strconv.Quote(want), 1)), 0o644)
}

// Ports that a quickstart takes: below those that systems hand out to
// connections, so that a restarted server does not find its port in use.
const (
	firstPort = 20000
	lastPort  = 32767
)

// loopbackAddress returns a loopback address with the given port, or with a
// free one when it is 0.
func loopbackAddress(port int) (string, error) {
	if port != 0 {
		return canListen(port)
	}
	for range 50 {
		if address, err := canListen(firstPort + rand.IntN(lastPort-firstPort+1)); err == nil {
			return address, nil
		}
	}
	return canListen(0)
}

func canListen(port int) (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// makeIDevID makes a device's key and manufacturer certificate under name/. The
// MASA has the device on record then.
func (q *quickstart) makeIDevID(ctx context.Context, serial, name string) error {
	if err := q.make(name); err != nil {
		return err
	}
	key, err := q.key(ctx, name+"/idevid.key", keystore.P256)
	if err != nil {
		return err
	}
	vendor := masaData{Config: q.path("masa.yaml")}
	return vendor.issuing(ctx, q.out, func(c *masaConfig, op masaadmin.Operator, rec record) error {
		maker, err := c.idevidCA(ctx, quickProduct, op, rec)
		if err != nil {
			return err
		}
		made, problems, err := maker.issue(ctx, []idevidRequest{{serial: serial, key: key.Public()}})
		if err != nil {
			return err
		}
		if len(problems) > 0 {
			return fmt.Errorf("the vendor does not make %s: %s", serial, problems[0].Problem)
		}
		return writeIDevID(q.path(name+"/idevid.pem"), made[0].certificate, maker.above)
	})
}
