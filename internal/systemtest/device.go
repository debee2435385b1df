package systemtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// Device is a pledge with what it keeps.
type Device struct {
	Serial string
	IDevID *testpki.Identity
	Config pledge.Config // but for the registrar, which Onboard names

	t     testing.TB
	world *World
	mu    sync.Mutex
	files map[string][]byte // guarded by mu
}

func newDevice(v *Vendor, idevid *testpki.Identity, serial string) *Device {
	d := &Device{Serial: serial, IDevID: idevid, t: v.t, world: v.world, files: make(map[string][]byte)}
	d.Config = pledge.Config{
		IDevID: idevid.TLS(), Anchors: v.Vouchers.Pool(), State: d, Format: vouchercms.Format{}, Dial: v.world.Dial, Now: v.world.Now, NoWait: true,
		Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }, // between attempts
	}
	return d
}

// Load implements [pledge.Storage].
func (d *Device) Load(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	data, found := d.files[name]
	if !found {
		return nil, fs.ErrNotExist
	}
	return bytes.Clone(data), nil
}

// Save implements [pledge.Storage].
func (d *Device) Save(name string, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[name] = bytes.Clone(data)
	return nil
}

// Remove implements [pledge.Storage].
func (d *Device) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.files, name)
	return nil
}

// Pledge is the device's, told of the registrars at urls.
func (d *Device) Pledge(urls ...string) *pledge.Pledge {
	d.t.Helper()
	c := d.Config
	c.Registrars = urls
	p, err := pledge.New(c)
	if err != nil {
		d.t.Fatalf("systemtest: pledge %s: %v", d.Serial, err)
	}
	return p
}

// Onboard joins the device at one of the registrars, asking each once.
func (d *Device) Onboard(urls ...string) error {
	d.t.Helper()
	_, err := d.Pledge(urls...).Onboard(d.t.Context())
	return err
}

// Reset makes the device factory new.
func (d *Device) Reset() {
	d.t.Helper()
	if err := d.Pledge("https://192.0.2.1").Reset(); err != nil {
		d.t.Fatalf("systemtest: reset %s: %v", d.Serial, err)
	}
}

// Stage is how far the device has come.
func (d *Device) Stage() pledge.Stage {
	d.t.Helper()
	status, err := d.Pledge("https://192.0.2.1").Status()
	if err != nil {
		d.t.Fatalf("systemtest: status of %s: %v", d.Serial, err)
	}
	return status.Stage
}

// Voucher is the device's, opened; nil for none.
func (d *Device) Voucher() *voucher.Voucher {
	d.t.Helper()
	raw, err := d.Load(pledge.FileVoucher)
	if err != nil {
		return nil
	}
	v, _, err := vouchercms.Format{}.OpenVoucher(raw)
	if err != nil {
		d.t.Fatalf("systemtest: voucher of %s: %v", d.Serial, err)
	}
	return v
}

// Reason is the reason of a pledge's error; "" for none.
func Reason(err error) string {
	var e *pledge.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// Request signs a voucher-request for the registrar to, for a device that says
// what it likes. change may falsify it.
func (d *Device) Request(to *testpki.Identity, change func(*voucher.Request)) []byte {
	d.t.Helper()
	q := &voucher.Request{
		Assertion: voucher.Proximity, CreatedOn: d.world.Now(), SerialNumber: d.Serial, Nonce: voucher.NewNonce(),
		ProximityRegistrarCert: to.Certificate.Raw,
	}
	if change != nil {
		change(q)
	}
	raw, err := vouchercms.Format{}.SignRequest(context.Background(), q, &voucher.Signer{Key: d.IDevID.Key, Certificate: d.IDevID.Certificate, Chain: d.IDevID.Chain})
	if err != nil {
		d.t.Fatalf("systemtest: request of %s: %v", d.Serial, err)
	}
	return raw
}

// Post sends a voucher-request over a connection with the device's IDevID, and
// returns the status and the body of the answer.
func (d *Device) Post(url string, raw []byte) (int, []byte) {
	d.t.Helper()
	transport := &http.Transport{
		DialContext: d.world.Dial,
		// The pledge does not know the registrar yet (RFC 8995, Section 5.1).
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, Certificates: []tls.Certificate{d.IDevID.TLS()}}, //nolint:gosec // see above
	}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, url+brski.PathPrefix+"/"+string(brski.OpRequestVoucher), bytes.NewReader(raw))
	if err != nil {
		d.t.Fatalf("systemtest: %v", err)
	}
	r.Header.Set("Content-Type", vouchercms.MediaType)
	r.Header.Set("Accept", vouchercms.MediaType)
	res, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		d.t.Fatalf("systemtest: request of %s: %v", d.Serial, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		d.t.Fatalf("systemtest: answer to %s: %v", d.Serial, err)
	}
	return res.StatusCode, body
}
