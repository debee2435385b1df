package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/inventory"
	registrarstore "github.com/briskest/briskest/registrar/store"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

type benchInventoryCmd struct {
	Dir     string `type:"path" help:"An empty or new directory for the databases; it is kept. Otherwise a temporary one."`
	N       int    `short:"n" default:"1000000" help:"Devices by serial number."`
	IDevIDs int    `name:"idevids" default:"100000" help:"Devices with an IDevID certificate, in a database of their own."`
	Small   int    `default:"1000" help:"Devices of the database that enrollments are compared with."`
	Enroll  int    `default:"3000" help:"Enrollments a run, of which there are five on each database, in turn."`
	Lists   int    `default:"300" help:"Pages of each list."`
	output
}

// inventoryResult is what it prints.
type inventoryResult struct {
	Imports []importMeasure `json:"imports"`
	Lists   []listMeasure   `json:"lists"`
	// EnrollSmall and EnrollLarge are the CPU time of an enrollment's two changes, in
	// microseconds, the median of five alternating runs; Ratio is the one by the other.
	EnrollSmall float64 `json:"enroll_cpu_us_small"`
	EnrollLarge float64 `json:"enroll_cpu_us_large"`
	Ratio       float64 `json:"enroll_ratio"`
}

type importMeasure struct {
	What      string  `json:"what"`
	Rows      int     `json:"rows"`
	PerSecond float64 `json:"rows_per_second"`
	CPU       float64 `json:"cpu_us_per_row"`
	FileMB    float64 `json:"file_mb"`
	PeakMB    float64 `json:"peak_memory_mb"` // of the process so far
}

type listMeasure struct {
	What string  `json:"what"`
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
}

// benchHouse is a registrar's inventory in a folder.
type benchHouse struct {
	path    string
	store   *registrarstore.Store
	service *registrar.Service
	maker   *x509.Certificate
	key     *ecdsa.PrivateKey
}

// Run measures and prints.
func (c *benchInventoryCmd) Run(ctx context.Context, s streams) error {
	if c.N < 1 || c.IDevIDs < 0 || c.Small < 1 || c.Enroll < 10 || c.Lists < 10 {
		return cli.Usage("-n and --small must be at least 1, --enroll and --lists at least 10")
	}
	dir := c.Dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "briskest-inventory-*"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	result := &inventoryResult{}
	large, err := c.imported(ctx, s, filepath.Join(dir, "large"), c.N, false, result)
	if err != nil {
		return err
	}
	defer large.close()
	if c.IDevIDs > 0 {
		certified, err := c.imported(ctx, s, filepath.Join(dir, "idevids"), c.IDevIDs, true, result)
		if err != nil {
			return err
		}
		certified.close()
	}
	small, err := c.imported(ctx, s, filepath.Join(dir, "small"), c.Small, false, result)
	if err != nil {
		return err
	}
	defer small.close()
	if err := c.lists(ctx, large, result); err != nil {
		return err
	}
	if err := c.enrollments(ctx, small, large, result); err != nil {
		return err
	}
	return c.print(s, result)
}

func newBenchHouse(ctx context.Context, dir string) (*benchHouse, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	_, trailKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	h := &benchHouse{path: filepath.Join(dir, "registrar.db")}
	if h.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if h.maker, err = h.certificate(&x509.Certificate{
		Subject: pkix.Name{CommonName: "bench maker"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, 1, nil); err != nil {
		return nil, err
	}
	if h.store, err = registrarstore.Open(ctx, registrarstore.Options{Path: h.path, TrailKey: trailKey}); err != nil {
		return nil, err
	}
	anchors := x509.NewCertPool()
	anchors.AddCert(h.maker)
	own, err := h.certificate(&x509.Certificate{
		Subject: pkix.Name{CommonName: "bench registrar"}, KeyUsage: x509.KeyUsageDigitalSignature,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 28}}, // id-kp-cmcRA (RFC 6402, Section 2.10)
	}, 2, h.maker)
	if err != nil {
		return nil, err
	}
	h.service, err = registrar.New(registrar.Config{
		Store: h.store, Issuer: benchIssuer{h.maker}, Policy: func(*registrar.Settings, *registrar.Case) *registrar.Decision { return nil },
		Settings: &registrar.Settings{
			Version: "1", Signer: &voucher.Signer{Key: h.key, Certificate: own}, Formats: []voucher.Format{vouchercms.Format{}},
			DialMASA: func(*registrar.Manufacturer, string) (brski.MASA, error) { return nil, registrar.ErrNotFound },
			Manufacturers: map[string]*registrar.Manufacturer{"bench": {
				IDevIDAnchors: anchors, VoucherAnchors: anchors, MASAURL: "https://127.0.0.1:1",
			}},
		},
	})
	return h, err
}

// benchIssuer has a chain and issues nothing: what is measured is the record.
type benchIssuer struct{ root *x509.Certificate }

// Issue implements ca.Issuer.
func (benchIssuer) Issue(context.Context, *ca.Request) (*ca.Certificate, error) {
	return nil, registrar.ErrNotFound
}

// Chain implements ca.Issuer.
func (i benchIssuer) Chain(context.Context) ([]*x509.Certificate, error) {
	return []*x509.Certificate{i.root}, nil
}

func (h *benchHouse) close() {
	h.service.Close()
	_ = h.store.Close()
}

// certificate signs one for the house's own key; parent nil is itself.
func (h *benchHouse) certificate(template *x509.Certificate, serial int64, parent *x509.Certificate) (*x509.Certificate, error) {
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(serial), time.Now().Add(-time.Hour), time.Now().AddDate(10, 0, 0)
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, h.key.Public(), h.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// imported makes a file and a database, and imports the one into the other.
func (c *benchInventoryCmd) imported(ctx context.Context, s streams, dir string, n int, certified bool, out *inventoryResult) (*benchHouse, error) {
	h, err := newBenchHouse(ctx, dir)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "devices.csv")
	if err := h.write(file, n, certified); err != nil {
		return nil, err
	}
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	shown := newProgress(s.Err)
	im := &inventory.Importer{Import: h.service.ImportDevices, Actor: "bench", Manufacturer: "bench", Progress: func(p inventory.Progress) {
		shown.total = p.Of
		shown.show(p.Checking, p.Rows)
	}}
	began, cpu := time.Now(), processCPU()
	report, err := im.Run(ctx, in, file)
	shown.end()
	if err != nil {
		return nil, err
	}
	took, used := time.Since(began), processCPU()-cpu
	what := "by serial number"
	if certified {
		what = "with an IDevID certificate"
	}
	out.Imports = append(out.Imports, importMeasure{
		What: what, Rows: report.Rows, PerSecond: float64(report.Rows) / took.Seconds(), CPU: float64(used.Microseconds()) / float64(report.Rows),
		FileMB: megabytes(h.path) + megabytes(h.path+"-wal"), PeakMB: peakMemory(),
	})
	return h, nil
}

func (h *benchHouse) write(file string, n int, certified bool) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	heading := "serial_number"
	if certified {
		heading += ",idevid"
	}
	fmt.Fprintln(w, heading)
	for i := range n {
		fmt.Fprintf(w, "SN-%09d", i)
		if certified {
			cert, err := h.certificate(&x509.Certificate{Subject: pkix.Name{CommonName: "device", SerialNumber: fmt.Sprintf("SN-%09d", i)}}, int64(i)+3, h.maker)
			if err != nil {
				return err
			}
			w.WriteByte(',')
			w.WriteString(base64.StdEncoding.EncodeToString(cert.Raw))
		}
		w.WriteByte('\n')
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// lists asks for pages at places all over the inventory. A tenth of the devices
// get details before.
func (c *benchInventoryCmd) lists(ctx context.Context, h *benchHouse, out *inventoryResult) error {
	const step = 10
	for start := 0; start < c.N; start += registrar.MaxImport * step {
		r := &registrar.ImportRequest{Actor: "bench", Manufacturer: "bench"}
		for i := start; i < min(c.N, start+registrar.MaxImport*step); i += step {
			r.Devices = append(r.Devices, registrar.ImportDevice{
				SerialNumber: fmt.Sprintf("SN-%09d", i), Model: fmt.Sprintf("m-%d", i/step%5), Firmware: fmt.Sprintf("1.%d", i/step%20),
				Batch: fmt.Sprintf("b-%d", i/10000), Attributes: map[string]string{"site": fmt.Sprintf("s-%d", i/step%500)},
			})
		}
		if _, err := h.service.ImportDevices(ctx, r); err != nil {
			return err
		}
	}
	for _, l := range []struct {
		what string
		ask  func(i int) registrar.DeviceQuery
	}{
		{"list", func(int) registrar.DeviceQuery { return registrar.DeviceQuery{} }},
		{"filter by state", func(int) registrar.DeviceQuery { return registrar.DeviceQuery{State: registrar.Expected} }},
		{"filter by model", func(i int) registrar.DeviceQuery { return registrar.DeviceQuery{Model: fmt.Sprintf("m-%d", i%5)} }},
		{"filter by firmware", func(i int) registrar.DeviceQuery { return registrar.DeviceQuery{Firmware: fmt.Sprintf("1.%d", i%20)} }},
		{"filter by batch", func(i int) registrar.DeviceQuery { return registrar.DeviceQuery{Batch: fmt.Sprintf("b-%d", i%100)} }},
		{"filter by attribute", func(i int) registrar.DeviceQuery {
			return registrar.DeviceQuery{Attributes: map[string]string{"site": fmt.Sprintf("s-%d", i%500)}}
		}},
		{"filter by model and firmware that never meet", func(i int) registrar.DeviceQuery {
			return registrar.DeviceQuery{Model: fmt.Sprintf("m-%d", i%5), Firmware: fmt.Sprintf("1.%d", (i+1)%5)}
		}},
		{"filter by manufacturer, never seen", func(int) registrar.DeviceQuery {
			return registrar.DeviceQuery{Manufacturer: "bench", NeverSeen: true}
		}},
		{"search by prefix", func(i int) registrar.DeviceQuery {
			return registrar.DeviceQuery{SerialPrefix: fmt.Sprintf("SN-%06d", i*7919%max(c.N/1000, 1))}
		}},
		{"search by prefix and attribute", func(i int) registrar.DeviceQuery {
			return registrar.DeviceQuery{SerialPrefix: "SN-000", Attributes: map[string]string{"site": fmt.Sprintf("s-%d", i%500)}}
		}},
	} {
		m, err := c.pages(ctx, h, l.what, l.ask)
		if err != nil {
			return fmt.Errorf("%s: %w", l.what, err)
		}
		out.Lists = append(out.Lists, m)
	}
	return nil
}

// pages measures each page of 100.
func (c *benchInventoryCmd) pages(ctx context.Context, h *benchHouse, what string, ask func(i int) registrar.DeviceQuery) (listMeasure, error) {
	times := make([]time.Duration, 0, c.Lists)
	after := ""
	for i := 0; len(times) < c.Lists; i++ {
		q := ask(i)
		q.Limit = 100
		for range 5 { // a few pages of each
			q.After = after
			began := time.Now()
			page, err := h.service.QueryDevices(ctx, &q)
			if err != nil {
				return listMeasure{}, err
			}
			times = append(times, time.Since(began))
			if after = page.Next; after == "" {
				break
			}
		}
		after = ""
	}
	slices.Sort(times)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return listMeasure{what, ms(times[len(times)/2]), ms(times[len(times)*99/100])}, nil
}

// enrollments measures the store's part of first enrollments, by turns.
func (c *benchInventoryCmd) enrollments(ctx context.Context, small, large *benchHouse, out *inventoryResult) error {
	const rounds = 5
	var ours [2][]float64
	next := 0
	for range rounds {
		for i, h := range []*benchHouse{small, large} {
			n := c.Small
			if h == large {
				n = c.N
			}
			runtime.GC()
			cpu := processCPU()
			for j := range c.Enroll {
				if err := h.enroll(ctx, (next+j)*7919%n, next+j); err != nil {
					return fmt.Errorf("enrollment: %w", err)
				}
			}
			ours[i] = append(ours[i], float64((processCPU()-cpu).Nanoseconds())/1000/float64(c.Enroll))
		}
		next += c.Enroll
	}
	slices.Sort(ours[0])
	slices.Sort(ours[1])
	out.EnrollSmall, out.EnrollLarge = ours[0][rounds/2], ours[1][rounds/2]
	out.Ratio = out.EnrollLarge / out.EnrollSmall
	return nil
}

// enroll is what the registrar does with its store for an enrollment: look for the
// device, the intent, the certificate with the device's new state.
func (h *benchHouse) enroll(ctx context.Context, device, n int) error {
	d, err := h.store.DeviceBySerialNumber(ctx, registrar.DefaultDomain, "bench", fmt.Sprintf("SN-%09d", device))
	if err != nil {
		return err
	}
	if _, err := h.store.FindIDevIDs(ctx, registrar.DefaultDomain, d.SerialNumber); err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	var serial [16]byte
	rand.Read(serial[:]) // never fails (crypto/rand)
	serial[0] |= 1
	var hash [32]byte
	copy(hash[:], serial[:])
	row := &registrar.Certificate{
		Domain: registrar.DefaultDomain, ID: registrar.NewID(now), Issuer: registrar.DefaultIssuer, Authority: registrar.AuthorityOf(h.maker), Serial: serial[:],
		DeviceID: d.ID, Status: registrar.Intended, Profile: "device", Version: "1", Operation: "simpleenroll", Subject: "CN=" + d.SerialNumber, TBSHash: hash,
		KeyHash: hash, NamesHash: hash, Credential: "basic:bench", NotBefore: now, NotAfter: now.AddDate(1, 0, 0), IntendedAt: now,
	}
	if err := h.store.Commit(ctx, &registrar.Change{Intents: []*registrar.Certificate{row}}); err != nil {
		return err
	}
	issued, changed := *row, *d
	issued.Raw, issued.IssuedAt = h.maker.Raw, now
	changed.State, changed.SeenAt = registrar.Enrolled, now.Add(time.Duration(n)*time.Hour)
	return h.store.Commit(ctx, &registrar.Change{
		Issued: []*registrar.Certificate{&issued}, PutDevices: []*registrar.Device{&changed},
		Trail: []*trail.Entry{{At: now, Domain: registrar.DefaultDomain, Kind: registrar.KindCertificateIssued, Device: d.ID, Actor: "bench"}},
	})
}

func processCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory is the most that the process held, in MB.
func peakMemory() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Maxrss) / 1024
}

func megabytes(path string) float64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return float64(info.Size()) / (1 << 20)
}

func (c *benchInventoryCmd) print(s streams, r *inventoryResult) error {
	if c.Format == cli.JSON {
		return cli.PrintOne(s.Out, cli.JSON, r)
	}
	for _, m := range r.Imports {
		s.Printf("import %-27s %8d rows  %8.0f rows/s  %6.1f us CPU a row  file %.0f MB  memory at most %.0f MB\n",
			m.What, m.Rows, m.PerSecond, m.CPU, m.FileMB, m.PeakMB)
	}
	for _, m := range r.Lists {
		s.Printf("%-46s p50 %6.2f ms  p99 %6.2f ms\n", m.What, m.P50, m.P99)
	}
	s.Printf("enrollment, CPU of its changes: %.0f us at %d devices, %.0f us at %d: %.2f times\n", r.EnrollSmall, c.Small, r.EnrollLarge, c.N, r.Ratio)
	return nil
}
