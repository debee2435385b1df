package pledge_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// memory is a Storage whose power can be cut.
type memory struct {
	mu    sync.Mutex
	files map[string][]byte // guarded by mu
	saves []string          // names, in order; guarded by mu
	cutAt int               // the write with this number (from 1) does not return; 0 for none
	lost  bool              // that write is lost, too
}

// powerCut is what the write panics with.
type powerCut struct{}

func newMemory() *memory { return &memory{files: make(map[string][]byte)} }

func (m *memory) Load(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, found := m.files[name]
	if !found {
		return nil, fs.ErrNotExist
	}
	return bytes.Clone(data), nil
}

func (m *memory) Save(name string, data []byte) error {
	m.write(name, func() { m.files[name] = bytes.Clone(data) })
	return nil
}

func (m *memory) Remove(name string) error {
	m.write("-"+name, func() { delete(m.files, name) })
	return nil
}

func (m *memory) write(name string, do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saves = append(m.saves, name)
	cut := m.cutAt == len(m.saves)
	if !cut || !m.lost {
		do()
	}
	if cut {
		panic(powerCut{})
	}
}

func (m *memory) writes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.saves)
}

// copyFiles starts over with the same content and no cut.
func (m *memory) copyFiles() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memory{files: maps.Clone(m.files)}
}

// device is a pledge with its surroundings.
type device struct {
	t      testing.TB
	world  *brskitest.World
	idevid *testpki.Identity
	config pledge.Config
	memory *memory
	steps  []pledge.StepName

	mu    sync.Mutex
	waits []time.Duration // guarded by mu
}

func newDevice(t testing.TB, w *brskitest.World, change ...func(*pledge.Config)) *device {
	t.Helper()
	d := &device{t: t, world: w, idevid: w.IDevID(t, "JADA123456789"), memory: newMemory()}
	d.config = pledge.Config{
		IDevID: d.idevid.TLS(), RegistrarURL: w.URL, Anchors: w.Vendor.Pool(), State: d.memory, Format: vouchercms.Format{},
		Report: func(s pledge.Step) { d.steps = append(d.steps, s.Name) },
		Wait: func(ctx context.Context, wait time.Duration) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.waits = append(d.waits, wait)
			return ctx.Err()
		},
	}
	for _, f := range change {
		f(&d.config)
	}
	return d
}

func (d *device) pledge() *pledge.Pledge {
	d.t.Helper()
	p, err := pledge.New(d.config)
	if err != nil {
		d.t.Fatalf("New: %v", err)
	}
	return p
}

func (d *device) onboard() *pledge.Result {
	d.t.Helper()
	result, err := d.pledge().Onboard(context.Background())
	if err != nil {
		d.t.Fatalf("Onboard: %v", err)
	}
	return result
}

// onboardFails returns the error, which must have reason and class.
func (d *device) onboardFails(reason string, class error) *pledge.Error {
	d.t.Helper()
	result, err := d.pledge().Onboard(context.Background())
	var e *pledge.Error
	if !errors.As(err, &e) || e.Reason != reason || (class != nil && !errors.Is(err, class)) {
		d.t.Fatalf("Onboard = %v, %v; want reason %q of class %q", result, err, reason, class)
	}
	return e
}

func (d *device) stage() pledge.Stage {
	d.t.Helper()
	s, err := d.pledge().Status()
	if err != nil {
		d.t.Fatalf("Status: %v", err)
	}
	return s.Stage
}

func (d *device) file(name string) []byte {
	d.t.Helper()
	data, err := d.memory.Load(name)
	if err != nil {
		d.t.Fatalf("Load(%s): %v", name, err)
	}
	return data
}

func openRequest(t testing.TB, raw []byte) (*voucher.Request, *voucher.Artifact) {
	t.Helper()
	r, a, err := vouchercms.Format{}.OpenRequest(raw)
	if err != nil {
		t.Fatalf("OpenRequest: %v", err)
	}
	return r, a
}

func firstCertificate(t testing.TB, data []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatalf("no PEM in %q", data)
		return nil
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatalf("certificate: %v", err)
	}
	return c
}

// checkWhole checks that what is stored belongs together: one nonce, one key,
// one domain.
func (d *device) checkWhole(result *pledge.Result) {
	d.t.Helper()
	request, artifact := openRequest(d.t, d.file(pledge.FileRequest))
	v, _, err := vouchercms.Format{}.OpenVoucher(d.file(pledge.FileVoucher))
	if err != nil {
		d.t.Fatalf("OpenVoucher: %v", err)
	}
	if v.Nonce != request.Nonce {
		d.t.Errorf("nonce of the stored voucher = %q, of the stored request %q", v.Nonce, request.Nonce)
	}
	if !bytes.Equal(artifact.Signer.Raw, d.idevid.Certificate.Raw) {
		d.t.Errorf("signer of the request = %v, want the IDevID", artifact.Signer.Subject)
	}
	if !bytes.Equal(v.PinnedDomainCert, d.world.Domain.Certificate.Raw) {
		d.t.Errorf("the stored voucher pins something else than the domain's root")
	}
	leaf := firstCertificate(d.t, d.file(pledge.FileLDevID))
	if !leaf.Equal(result.Certificate) {
		d.t.Errorf("ldevid.pem = %v, want that of the Result, %v", leaf.Subject, result.Certificate.Subject)
	}
	block, _ := pem.Decode(d.file(pledge.FileKey))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		d.t.Fatalf("ldevid.key: %v", err)
	}
	if !sameKey(d.t, key, leaf) {
		d.t.Errorf("ldevid.key is not the key of ldevid.pem")
	}
	if sameKey(d.t, key, d.idevid.Certificate) {
		d.t.Errorf("the LDevID key is the IDevID key")
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: d.world.Domain.Pool(), Intermediates: d.world.Issuing.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}); err != nil {
		d.t.Errorf("ldevid.pem does not chain to the domain: %v", err)
	}
}

func sameKey(t testing.TB, key any, c *x509.Certificate) bool {
	t.Helper()
	signer, ok := key.(crypto.Signer)
	if !ok {
		t.Fatalf("key of type %T", key)
	}
	der, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		t.Fatalf("public key: %v", err)
	}
	return bytes.Equal(der, c.RawSubjectPublicKeyInfo)
}

// enrolledKeys returns the distinct keys that the registrar was asked to certify.
func enrolledKeys(w *brskitest.World) []string {
	var keys []string
	for _, e := range w.Registrar.Enrollments() {
		if k := string(e.CSR.RawSubjectPublicKeyInfo); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (d *device) status() *pledge.Status {
	d.t.Helper()
	s, err := d.pledge().Status()
	if err != nil {
		d.t.Fatalf("Status: %v", err)
	}
	return s
}

// public is a key of which only the public half is asked for.
type public struct {
	crypto.Signer
	key crypto.PublicKey
}

func (p public) Public() crypto.PublicKey { return p.key }
