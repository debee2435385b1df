package main_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/testbed"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	masastore "github.com/briskest/briskest/masa/store"
	"github.com/briskest/briskest/registrar"
	registrarstore "github.com/briskest/briskest/registrar/store"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// asked is one signed voucher-request of a device, and the vouchers it got.
type asked struct {
	serial, nonce string
	raw           []byte
}

// answered collects what devices were given, over all lives of both servers.
type answered struct {
	mu       sync.Mutex
	requests []asked
	vouchers map[string][][]byte // different ones, by serial number and nonce
	repeats  int                 // vouchers that came again
}

func (a *answered) asks(q asked) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, q)
}

func (a *answered) got(q *asked, raw []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := q.serial + " " + q.nonce
	if slices.ContainsFunc(a.vouchers[key], func(v []byte) bool { return bytes.Equal(v, raw) }) {
		a.repeats++
		return
	}
	a.vouchers[key] = append(a.vouchers[key], raw)
}

// killBed is a quickstart's registrar and MASA as two processes, and devices
// that both know.
type killBed struct {
	*testbed.Bed
	registrar, masa *testbed.Process
	devices         []*testpki.Identity
	answers         answered
	proximity       []byte // the registrar's certificate
	restoredMASA    string // where the MASA was restored; empty for beside the registrar
}

func newKillBed(t *testing.T, devices int) *killBed {
	t.Helper()
	t.Setenv("BRISKEST_REGISTRAR_LIMITS_ENROLLMENTS_PER_DEVICE", "0")
	t.Setenv("BRISKEST_REGISTRAR_LIMITS_ENROLLMENTS_PER_ADDRESS", "0")
	t.Setenv("BRISKEST_REGISTRAR_LIMITS_MASA_RETRY", "20ms")
	for _, budget := range []string{"REQUESTS", "REGISTRAR_REQUESTS", "VOUCHERS"} {
		t.Setenv("BRISKEST_MASA_"+budget+"_PER_MINUTE", "1000000")
	}
	b := &killBed{Bed: testbed.Once(t), answers: answered{vouchers: map[string][][]byte{}}}
	ca, err := pemfile.Certificates(filepath.Join(b.Dir, "masa", "idevid-ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := keystore.Open(t.Context(), "file:"+filepath.Join(b.Dir, "masa", "idevid-ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := pemfile.Certificates(filepath.Join(b.Dir, "registrar", "registrar.pem"))
	if err != nil {
		t.Fatal(err)
	}
	b.proximity = own[0].Raw
	vendor := &testpki.Identity{Certificate: ca[0], Key: key}
	var serials strings.Builder
	for i := range devices {
		serial := fmt.Sprintf("KILL-%d", i)
		fmt.Fprintln(&serials, serial)
		b.devices = append(b.devices, vendor.IDevID(t, serial, b.MASA))
	}
	list := filepath.Join(t.TempDir(), "serials.txt")
	if err := os.WriteFile(list, []byte(serials.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	b.run(t, "masa", "device", "import", "--config", b.file("masa.yaml"), "--product", "widget", list)
	b.run(t, "device", "import", "--config", b.file("registrar.yaml"), "--manufacturer", "example", list)
	b.start(t)
	return b
}

func (b *killBed) file(name string) string {
	if b.restoredMASA != "" && strings.HasPrefix(name, "masa") {
		return filepath.Join(b.restoredMASA, name)
	}
	return filepath.Join(b.Dir, name)
}

func (b *killBed) run(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := testbed.Run(t, b.Program, args...)
	if code != 0 {
		t.Fatalf("%v: exit %d\n%s%s", args, code, out, errs)
	}
	return out
}

// start starts whichever of the two does not run.
func (b *killBed) start(t *testing.T) {
	t.Helper()
	if b.masa == nil {
		b.masa = testbed.Launch(t, b.Program, "masa", "--config", b.file("masa.yaml"))
		where, err := url.Parse(b.MASA)
		if err != nil {
			t.Fatal(err)
		}
		b.masa.Until(func() bool {
			conn, err := net.Dial("tcp", where.Host)
			return err == nil && conn.Close() == nil
		})
	}
	if b.registrar == nil {
		b.registrar = b.Registrar(t)
	}
}

// kill ends one of the two, or both, at a random moment.
func (b *killBed) kill() {
	<-time.After(time.Duration(10+rand.IntN(250)) * time.Millisecond)
	which := rand.IntN(3)
	if which != 0 {
		b.registrar.Kill()
		b.registrar = nil
	}
	if which != 1 {
		b.masa.Kill()
		b.masa = nil
	}
}

// errFinal wraps what asking again does not change.
var errFinal = errors.New("refused")

// ask posts a request once.
func (b *killBed) ask(ctx context.Context, client *http.Client, q *asked) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.BRSKI+"/requestvoucher", bytes.NewReader(q.raw))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", vouchercms.MediaType)
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode == http.StatusOK:
		b.answers.got(q, body)
		return nil
	case res.StatusCode == http.StatusAccepted, res.StatusCode == http.StatusServiceUnavailable:
		return errors.New(res.Status)
	default:
		return fmt.Errorf("%w: %s: %s", errFinal, res.Status, body)
	}
}

// sign makes a request; an empty nonce is a new one.
func (b *killBed) sign(id *testpki.Identity, nonce string) (*asked, error) {
	if nonce == "" {
		nonce = voucher.NewNonce()
	}
	serial, err := voucher.SerialNumber(id.Certificate)
	if err != nil {
		return nil, err
	}
	raw, err := vouchercms.Format{}.SignRequest(context.Background(), &voucher.Request{
		Assertion: voucher.Proximity, CreatedOn: time.Now().UTC().Truncate(time.Second), SerialNumber: serial, Nonce: nonce,
		ProximityRegistrarCert: b.proximity,
	}, &voucher.Signer{Key: id.Key, Certificate: id.Certificate})
	q := &asked{serial, nonce, raw}
	b.answers.asks(*q)
	return q, err
}

// device asks until ctx ends: a new nonce, the same bytes again, and now and
// then the same nonce in another request.
func (b *killBed) device(ctx context.Context, t *testing.T, id *testpki.Identity, client *http.Client) {
	for n := 0; ctx.Err() == nil; n++ {
		q, err := b.sign(id, "")
		if err != nil {
			t.Error(err)
			return
		}
		for try := 0; try < 5 && b.ask(ctx, client, q) != nil; try++ {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		if n%3 != 0 {
			continue
		}
		other, err := b.sign(id, q.nonce)
		if err != nil {
			t.Error(err)
			return
		}
		for _, again := range []*asked{other, q} {
			_ = b.ask(ctx, client, again) // what it gave is held against the rest
		}
	}
}

// R27: the same nonce is never answered with two different vouchers, whenever
// the registrar or the MASA dies; seen from outside.
func TestANonceGetsOneVoucherWhateverIsKilled(t *testing.T) {
	kills, devices := 6, 6
	if os.Getenv("BRISKEST_SOAK") != "" {
		kills = 100
	}
	b := newKillBed(t, devices)
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	clients := make(map[string]*http.Client)
	for i, id := range b.devices {
		certificate := id.TLS()
		clients[fmt.Sprintf("KILL-%d", i)] = b.Client(t, &tls.Certificate{Certificate: certificate.Certificate[:1], PrivateKey: id.Key})
	}
	for i, id := range b.devices {
		client := clients[fmt.Sprintf("KILL-%d", i)]
		load.Go(func() { b.device(ctx, t, id, client) })
	}
	for range kills {
		b.kill()
		b.start(t)
	}
	<-time.After(200 * time.Millisecond)
	cancel()
	load.Wait()

	// Every request that was ever signed, once more.
	for i := range b.answers.requests {
		q := &b.answers.requests[i]
		deadline := time.After(time.Minute)
		for err := b.ask(t.Context(), clients[q.serial], q); err != nil && !errors.Is(err, errFinal); err = b.ask(t.Context(), clients[q.serial], q) {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-deadline:
				t.Fatalf("%s has no answer: %v", q.serial, err)
			}
		}
	}
	b.registrar.Stop()
	b.masa.Stop()
	b.check(t)
	if n := len(b.answers.vouchers); n < kills {
		t.Errorf("%d vouchers with %d kills: the load was not a load", n, kills)
	}
	t.Logf("figures: %d kills, %d requests, %d nonces with a voucher, %d answers again", kills, len(b.answers.requests), len(b.answers.vouchers), b.answers.repeats)
}

// check holds what devices got against each other and against both records.
func (b *killBed) check(t *testing.T) {
	t.Helper()
	ours, vendor := b.stores(t)
	for key, got := range b.answers.vouchers {
		if len(got) != 1 {
			t.Errorf("%s got %d different vouchers", key, len(got))
		}
		serial, nonce, _ := strings.Cut(key, " ")
		device, err := ours.FindDevices(t.Context(), registrar.DefaultDomain, serial)
		if err != nil || len(device) != 1 {
			t.Fatalf("device %s: %v, %v", serial, device, err)
		}
		row, err := ours.VoucherByNonce(t.Context(), registrar.DefaultDomain, device[0].ID, nonce)
		if err != nil || row.State != "issued" || !bytes.Equal(row.Voucher, got[0]) {
			t.Errorf("%s: the registrar's record is another one (%v)", key, err)
		}
		built, err := vendor.FindDevices(t.Context(), masa.DefaultDomain, serial)
		if err != nil || len(built) != 1 {
			t.Fatalf("the MASA's device %s: %v, %v", serial, built, err)
		}
		issued, err := vendor.VoucherByNonce(t.Context(), masa.DefaultDomain, built[0].ID, nonce)
		if err != nil || issued.State != masa.Issued || !bytes.Equal(issued.Voucher, got[0]) {
			t.Errorf("%s: the MASA's record is another one (%v)", key, err)
		}
	}
	for i := range b.devices {
		b.checkDevice(t, ours, fmt.Sprintf("KILL-%d", i))
	}
}

// checkDevice looks for nonces and requests with more than one record.
func (b *killBed) checkDevice(t *testing.T, ours *registrarstore.Store, serial string) {
	t.Helper()
	devices, err := ours.FindDevices(t.Context(), registrar.DefaultDomain, serial)
	if err != nil || len(devices) != 1 {
		t.Fatalf("device %s: %v, %v", serial, devices, err)
	}
	rows, err := ours.ListVouchers(t.Context(), registrar.DefaultDomain, devices[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	nonces := make(map[string]bool)
	for _, row := range rows {
		if nonces[row.Nonce] {
			t.Errorf("%s: two exchanges have the nonce %s", serial, row.Nonce)
		}
		nonces[row.Nonce] = true
		if row.State == "asked" || row.RequestHash != sha256.Sum256(row.PledgeRequest) {
			t.Errorf("%s: exchange %s is %q", serial, row.ID, row.State)
		}
	}
}

func (b *killBed) stores(t *testing.T) (*registrarstore.Store, *masastore.Store) {
	t.Helper()
	for _, args := range [][]string{{"--config", b.file("registrar.yaml")}, {"--masa", "--config", b.file("masa.yaml")}} {
		if out := b.run(t, append([]string{"trail", "verify"}, args...)...); !verified.MatchString(out) {
			t.Errorf("trail verify %v: %q", args, out)
		}
	}
	open := func(role string) (path string, key crypto.Signer) {
		signer, err := keystore.Open(t.Context(), "file:"+b.file(role+"/trail.key"))
		if err != nil {
			t.Fatal(err)
		}
		return b.file(role + "/" + role + ".db"), signer
	}
	path, key := open("registrar")
	ours, err := registrarstore.Open(t.Context(), registrarstore.Options{Path: path, TrailKey: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	path, key = open("masa")
	vendor, err := masastore.Open(t.Context(), masastore.Options{Path: path, TrailKey: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = vendor.Close() })
	return ours, vendor
}
