package bench

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/voucher"
)

// BRSKI is a registrar with its MASA under load, each a process of its own.
type BRSKI struct {
	URL          string            // of the registrar, https://HOST:PORT
	Registrar    *x509.Certificate // that it shows in TLS
	Anchors      *x509.CertPool    // of vouchers
	Format       voucher.Format
	RegistrarPID int
	MASAPID      int
}

// Device is a simulated device.
type Device struct {
	SerialNumber string
	IDevID       tls.Certificate
}

// MakeDevices makes n devices whose serial numbers begin with prefix. Their
// IDevIDs are issued by ca, name the MASA and never expire.
func MakeDevices(n int, prefix, masaURL string, ca *x509.Certificate, key crypto.Signer) ([]Device, error) {
	url, err := asn1.MarshalWithParams(masaURL, "ia5")
	if err != nil {
		return nil, err
	}
	devices := make([]Device, n)
	for i := range devices {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		serial := fmt.Sprintf("%s%06d", prefix, i)
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(int64(i) + 1), Subject: pkix.Name{SerialNumber: serial},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
			KeyUsage:        x509.KeyUsageDigitalSignature,
			ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 32}, Value: url}},
		}, ca, own.Public(), key)
		if err != nil {
			return nil, err
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		devices[i] = Device{serial, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: own, Leaf: leaf}}
	}
	return devices, nil
}

// BRSKIRun is what a load on a registrar and its MASA showed.
type BRSKIRun struct {
	Throughput float64 `json:"throughput"` // devices a second
	P50        float64 `json:"p50_us"`
	P99        float64 `json:"p99_us"`
	Registrar  float64 `json:"registrar_cpu_us"` // per device
	MASA       float64 `json:"masa_cpu_us"`      // per device
}

// measure runs one for each device, from so many clients at once.
func (t *BRSKI) measure(ctx context.Context, n, clients int, one func(ctx context.Context, i int) error) (*BRSKIRun, error) {
	registrar, err := cpuTime(t.RegistrarPID)
	if err != nil {
		return nil, err
	}
	masa, err := cpuTime(t.MASAPID)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	latencies, err := concurrently(ctx, n, clients, func() (func(context.Context, int) error, func()) { return one, func() {} })
	if err != nil {
		return nil, err
	}
	wall := time.Since(start)
	registrarAfter, err := cpuTime(t.RegistrarPID)
	if err != nil {
		return nil, err
	}
	masaAfter, err := cpuTime(t.MASAPID)
	if err != nil {
		return nil, err
	}
	slices.Sort(latencies)
	return &BRSKIRun{
		Throughput: float64(n) / wall.Seconds(), P50: micros(latencies[n/2]), P99: micros(latencies[n*99/100]),
		Registrar: micros(registrarAfter-registrar) / float64(n), MASA: micros(masaAfter-masa) / float64(n),
	}, nil
}

// concurrently has so many workers do 0 to n-1 and returns how long each took.
// Begin makes a worker's function, and what ends it. The first error ends all.
func concurrently(ctx context.Context, n, workers int, begin func() (one func(ctx context.Context, i int) error, end func())) ([]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	latencies := make([]time.Duration, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			one, end := begin()
			defer end()
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				start := time.Now()
				if err := one(ctx, i); err != nil {
					cancel(fmt.Errorf("client %d: %w", i, err))
					return
				}
				latencies[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	return latencies, context.Cause(ctx)
}

// Vouchers has each device get a voucher over a new connection
// (RFC 8995, Section 5.2). The requests are made and signed beforehand.
func (t *BRSKI) Vouchers(ctx context.Context, devices []Device, clients int) (*BRSKIRun, error) {
	requests := make([]*voucher.Request, len(devices))
	bodies := make([][]byte, len(devices))
	for i := range devices {
		d := &devices[i]
		requests[i] = &voucher.Request{
			Assertion: voucher.Proximity, CreatedOn: time.Now().UTC().Truncate(time.Second), SerialNumber: d.SerialNumber,
			Nonce: voucher.NewNonce(), ProximityRegistrarCert: t.Registrar.Raw,
		}
		var err error
		bodies[i], err = t.Format.SignRequest(ctx, requests[i], &voucher.Signer{Key: d.IDevID.PrivateKey.(crypto.Signer), Certificate: d.IDevID.Leaf})
		if err != nil {
			return nil, err
		}
	}
	return t.measure(ctx, len(devices), clients, func(ctx context.Context, i int) error {
		raw, err := t.post(ctx, &devices[i], bodies[i])
		if err != nil {
			return err
		}
		got, _, err := t.Format.OpenVoucher(raw)
		if err == nil && (got.Nonce != requests[i].Nonce || got.SerialNumber != requests[i].SerialNumber) {
			err = fmt.Errorf("the voucher is for %q with the nonce %q", got.SerialNumber, got.Nonce)
		}
		return err
	})
}

// post asks until there is an answer: a MASA may be slow, and then 202 says to
// come back with the same request (RFC 8995, Section 5.6).
func (t *BRSKI) post(ctx context.Context, d *Device, body []byte) ([]byte, error) {
	client := &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{
				InsecureSkipVerify: true, //nolint:gosec // provisional, as a pledge's connection is (RFC 8995, Section 5.1)
				Certificates:       []tls.Certificate{d.IDevID}, NextProtos: []string{"http/1.1"},
			},
			DisableKeepAlives: true, DisableCompression: true,
		},
		Timeout: time.Minute,
	}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL+"/.well-known/brski/requestvoucher", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", t.Format.MediaType())
		req.Header.Set("Accept", t.Format.MediaType())
		res, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		_ = res.Body.Close()
		switch {
		case err != nil:
			return nil, err
		case res.StatusCode == http.StatusAccepted:
			continue
		case res.StatusCode != http.StatusOK:
			return nil, fmt.Errorf("%s: %s", res.Status, bytes.TrimSpace(text))
		}
		return text, nil
	}
}

// Onboard has each device go the whole road with the pledge of this project:
// voucher, status, CA certificates, CSR attributes, enrollment, status.
func (t *BRSKI) Onboard(ctx context.Context, devices []Device, clients int) (*BRSKIRun, error) {
	return t.measure(ctx, len(devices), clients, func(ctx context.Context, i int) error {
		p, err := pledge.New(pledge.Config{
			IDevID: devices[i].IDevID, RegistrarURL: t.URL, Anchors: t.Anchors, Format: t.Format,
			State: make(deviceMemory), MaxWait: time.Minute,
		})
		if err != nil {
			return err
		}
		_, err = p.Onboard(ctx)
		return err
	})
}

// deviceMemory is a pledge's storage that ends with it; one pledge uses it at a time.
type deviceMemory map[string][]byte

func (m deviceMemory) Load(name string) ([]byte, error) {
	if data, ok := m[name]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (m deviceMemory) Save(name string, data []byte) error {
	m[name] = bytes.Clone(data)
	return nil
}

func (m deviceMemory) Remove(name string) error {
	delete(m, name)
	return nil
}

// BRSKIOptions says how to compare.
type BRSKIOptions struct {
	Devices  func(n int) []Device // takes so many new ones
	Warm     int                  // devices before the first round
	Each     int                  // devices a round
	Clients  int
	Rounds   int
	Progress func(text string)
}

// BRSKIComparison has the medians of both sides, and of the rounds' ratios.
type BRSKIComparison struct {
	Ours, Floor     *BRSKIRun
	Registrar, MASA float64 // CPU time of ours over the floor's
}

// Compare measures vouchers at t against the floor, alternating, with the same
// devices.
func (t *BRSKI) Compare(ctx context.Context, floor *BRSKI, o BRSKIOptions) (*BRSKIComparison, error) {
	warm := o.Devices(o.Warm)
	for _, side := range []*BRSKI{floor, t} {
		if _, err := side.Vouchers(ctx, warm, o.Clients); err != nil {
			return nil, err
		}
	}
	var ours, bare []*BRSKIRun
	var registrar, masa []float64
	for round := range o.Rounds {
		devices := o.Devices(o.Each)
		f, err := floor.Vouchers(ctx, devices, o.Clients)
		if err != nil {
			return nil, fmt.Errorf("floor: %w", err)
		}
		r, err := t.Vouchers(ctx, devices, o.Clients)
		if err != nil {
			return nil, err
		}
		ours, bare = append(ours, r), append(bare, f)
		registrar, masa = append(registrar, r.Registrar/f.Registrar), append(masa, r.MASA/f.MASA)
		o.Progress(fmt.Sprintf("round %d of %d: registrar %.0f us CPU, MASA %.0f us, %.0f/s; floor %.0f us and %.0f us, %.0f/s",
			round+1, o.Rounds, r.Registrar, r.MASA, r.Throughput, f.Registrar, f.MASA, f.Throughput))
	}
	slices.Sort(registrar)
	slices.Sort(masa)
	return &BRSKIComparison{medianBRSKI(ours), medianBRSKI(bare), registrar[len(registrar)/2], masa[len(masa)/2]}, nil
}

func medianBRSKI(runs []*BRSKIRun) *BRSKIRun {
	pick := func(of func(*BRSKIRun) float64) float64 {
		values := make([]float64, len(runs))
		for i, r := range runs {
			values[i] = of(r)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return &BRSKIRun{
		Throughput: pick(func(r *BRSKIRun) float64 { return r.Throughput }),
		P50:        pick(func(r *BRSKIRun) float64 { return r.P50 }),
		P99:        pick(func(r *BRSKIRun) float64 { return r.P99 }),
		Registrar:  pick(func(r *BRSKIRun) float64 { return r.Registrar }),
		MASA:       pick(func(r *BRSKIRun) float64 { return r.MASA }),
	}
}
