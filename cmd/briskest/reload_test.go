package main_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/testbed"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

// variant is one state of the device profile.
type variant struct {
	text     []byte
	version  string // as the trail names it
	lifetime time.Duration
	client   bool
}

// R21: each certificate is of one version of the profile, whole, and the trail says
// which; what cannot be loaded changes nothing.
func TestEachCertificateIsOfExactlyOneLoadedConfiguration(t *testing.T) {
	bed := testbed.Once(t)
	file := filepath.Join(bed.Dir, "registrar", "profiles", "device.yaml")
	variants := makeVariants(t, readFile(t, file))
	registrar := bed.Registrar(t)

	reload(t, registrar, file, variants[0].text, "configuration loaded")
	ctx, cancel := context.WithCancel(t.Context())
	issued := &issuedCertificates{}
	clients := enrollUntil(ctx, t, &load{bed: bed, clients: 4, got: issued.add, failed: func(err error) {
		if ctx.Err() == nil {
			t.Errorf("SimpleEnroll: %v", err)
		}
	}})
	for round := range 10 {
		reload(t, registrar, file, variants[(round+1)%len(variants)].text, "configuration loaded")
		reload(t, registrar, file, []byte("schema: 1\nname: device\nnot_a_key: 1\n"), "the old one stays")
	}
	cancel()
	clients.Wait()
	checkVersions(t, bed.Dir, variants, issued.certs)
	registrar.Stop()
}

// makeVariants changes the profile's lifetime and usages together.
func makeVariants(t *testing.T, text []byte) []variant {
	t.Helper()
	base, err := profile.Load(text, config.Decode)
	if err != nil {
		t.Fatal(err)
	}
	var out []variant
	for _, v := range []variant{{lifetime: 100 * 24 * time.Hour}, {lifetime: 200 * 24 * time.Hour, client: true}} {
		d := base.Document()
		d.Validity.Lifetime, d.Validity.Backdate, d.ExtendedKeyUsage = v.lifetime.String(), "0s", []string{"server_auth"}
		if v.client {
			d.ExtendedKeyUsage = append(d.ExtendedKeyUsage, "client_auth")
		}
		p, err := profile.New(d)
		if err != nil {
			t.Fatal(err)
		}
		if v.text, err = config.Encode(d); err != nil {
			t.Fatal(err)
		}
		v.version = p.Version()
		out = append(out, v)
	}
	return out
}

// reload replaces the profile, sends SIGHUP and waits for what the log says.
func reload(t *testing.T, registrar *testbed.Process, file string, text []byte, logged string) {
	t.Helper()
	if err := pemfile.Write(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	before := strings.Count(registrar.Output(), logged)
	registrar.Signal(syscall.SIGHUP)
	registrar.Until(func() bool { return strings.Count(registrar.Output(), logged) > before })
}

// issuedCertificates is what the clients were given.
type issuedCertificates struct {
	mu    sync.Mutex
	certs []*x509.Certificate // guarded by mu
}

func (i *issuedCertificates) add(cert *x509.Certificate) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.certs = append(i.certs, cert)
}

// trailed is what the test reads of an entry's body.
type trailed struct {
	Settings string            `json:"settings"`
	SHA256   map[string]string `json:"sha256"`
	Serial   string            `json:"serial"`
	Version  string            `json:"profile_version"`
}

// checkVersions finds each certificate on the trail, the configuration its
// entry names, and the profile that configuration had.
func checkVersions(t *testing.T, dir string, variants []variant, certs []*x509.Certificate) {
	t.Helper()
	loaded, issued := readTrail(t, dir)
	counts := make([]int, len(variants))
	for _, cert := range certs {
		entry := issued[hex.EncodeToString(cert.SerialNumber.Bytes())]
		matches := 0
		for i, v := range variants {
			sum := sha256.Sum256(v.text)
			named := entry.Version == v.version && loaded[entry.Settings]["registrar/profiles/device.yaml"] == hex.EncodeToString(sum[:])
			// A certificate's last second counts (RFC 5280, Section 4.1.2.5).
			lifetime := cert.NotAfter.Sub(cert.NotBefore) + time.Second
			made := lifetime == v.lifetime && (len(cert.ExtKeyUsage) == 2) == v.client
			if named != made {
				t.Errorf("certificate %x: the trail names version %q of settings %q; lifetime %v, %d usages", cert.SerialNumber, entry.Version, entry.Settings, lifetime, len(cert.ExtKeyUsage))
			}
			if named && made {
				matches++
				counts[i]++
			}
		}
		if matches != 1 {
			t.Errorf("certificate %x matches %d versions, want 1", cert.SerialNumber, matches)
		}
	}
	t.Logf("%d certificates, by version %v, %d configurations loaded", len(certs), counts, len(loaded))
	for i, n := range counts {
		if n == 0 {
			t.Errorf("no certificate of version %s: the load was not a load", variants[i].version)
		}
	}
}

// readTrail returns the digests of each configuration loaded, by its name, and
// the entries of certificates issued, by serial.
func readTrail(t *testing.T, dir string) (loaded map[string]map[string]string, issued map[string]trailed) {
	t.Helper()
	client := registraradmin.NewClient(func(context.Context) (net.Conn, error) {
		return testbed.DialSocket(filepath.Join(dir, "registrar", "admin.sock"))
	})
	defer client.Close()
	loaded, issued = make(map[string]map[string]string), make(map[string]trailed)
	for from := int64(0); ; {
		page, err := client.Trail(t.Context(), "", from, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			var body trailed
			if err := json.Unmarshal(e.Body, &body); err != nil && e.Kind == "certificate-issued" {
				t.Fatalf("entry %d: %v", e.Seq, err)
			}
			switch e.Kind {
			case "configuration-loaded":
				loaded[body.Settings] = body.SHA256
			case "certificate-issued":
				if loaded[body.Settings] == nil && body.Settings != "setup" { // the quickstart's own
					t.Errorf("entry %d names the settings %q, which no entry before it loaded", e.Seq, body.Settings)
				}
				issued[body.Serial] = body
			}
			from = e.Seq + 1
		}
		if len(page) < 1000 {
			return loaded, issued
		}
	}
}
