package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/est/esttest"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/testpki"
)

// estBed is a small EST server and a folder to run commands in.
type estBed struct {
	*esttest.Backend
	dir string
}

func newESTBed(t *testing.T) *estBed {
	t.Helper()
	b := &estBed{Backend: esttest.New(t), dir: t.TempDir()}
	b.file(t, "ca.pem", string(b.CA.PEM()))
	b.file(t, "user.txt", "device:secret\n")
	return b
}

func (b *estBed) file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs "briskest est" with args, in which "@" begins a file of the folder.
func (b *estBed) run(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	for i, a := range args {
		if name, ok := strings.CutPrefix(a, "@"); ok {
			args[i] = filepath.Join(b.dir, name)
		}
	}
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), append([]string{"est"}, args...), streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	code = cli.Report(&stderr, "briskest", err)
	return stdout.String(), stderr.String(), code
}

// EST-7030-4.1.2-01: the CA certificates are got and shown, after a start with nothing but a fingerprint.
func TestESTCACertsStartsFromAFingerprint(t *testing.T) {
	b := newESTBed(t)
	url := b.Serve(&est.Handler{Backend: b.Backend})
	root := b.CA.Chain[0]
	out, errs, code := b.run(t, "cacerts", "--url", url, "--fingerprint", est.FingerprintOf(root))
	if code != cli.ExitDone || strings.Count(out, "BEGIN CERTIFICATE") != 1 {
		t.Fatalf("cacerts --fingerprint: exit %d, %s%s", code, out, errs)
	}
	b.file(t, "anchor.pem", out)
	all, errs, code := b.run(t, "cacerts", "--url", url, "--ca", "@anchor.pem")
	if code != cli.ExitDone || strings.Count(all, "BEGIN CERTIFICATE") != 2 || !strings.HasPrefix(all, out) {
		t.Errorf("cacerts --ca: exit %d, %s%s", code, all, errs)
	}
	if _, errs, code = b.run(t, "csrattrs", "--url", url, "--ca", "@anchor.pem"); code != cli.ExitDone {
		t.Errorf("csrattrs: exit %d, %s", code, errs)
	}
}

func TestESTEnrollWaitsOrSaysThatItIsPending(t *testing.T) {
	b := newESTBed(t)
	handler := &est.Handler{Backend: b.Backend}
	var asked atomic.Int32
	url := b.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.Header.Get("Authorization") != "" && asked.Add(1) < 3 {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	enroll := []string{"enroll", "--url", url, "--ca", "@ca.pem", "--user-file", "@user.txt", "--new-key", "@d.key", "--cn", "d"}
	if out, errs, code := b.run(t, enroll...); code != cli.ExitPending || out != "" || !strings.Contains(errs, "Retry-After: 1") {
		t.Errorf("enroll: exit %d, %s%s", code, out, errs)
	}
	if out, errs, code := b.run(t, append(enroll, "--wait", "1m")...); code != cli.ExitDone || !strings.Contains(out, "BEGIN CERTIFICATE") {
		t.Errorf("enroll --wait: exit %d, %s%s", code, out, errs)
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
}

func TestESTEnrollFollowsToAnotherHostOnlyWhenToldTo(t *testing.T) {
	b := newESTBed(t)
	var posts atomic.Int32
	handler := &est.Handler{Backend: b.Backend}
	second := b.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posts.Add(1)
		handler.ServeHTTP(w, r)
	}))
	first := b.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			handler.ServeHTTP(w, r)
			return
		}
		http.Redirect(w, r, second+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	enroll := []string{"enroll", "--url", first, "--ca", "@ca.pem", "--user-file", "@user.txt", "--new-key", "@d.key", "--cn", "d"}
	if _, errs, code := b.run(t, enroll...); code != cli.ExitFailed || posts.Load() != 0 || !strings.Contains(errs, "--follow") {
		t.Errorf("enroll: exit %d, %d requests elsewhere, %s", code, posts.Load(), errs)
	}
	if _, errs, code := b.run(t, append(enroll, "--follow")...); code != cli.ExitDone {
		t.Errorf("enroll --follow: exit %d, %s", code, errs)
	}
}

// distributor adds RFC 8295 to the backend.
type distributor struct {
	*esttest.Backend
	packages []est.Package
	certs    []*x509.Certificate
	crls     [][]byte
}

func (d *distributor) Packages(context.Context, *est.Request) ([]est.Package, error) {
	return d.packages, nil
}

func (d *distributor) EECerts(context.Context, *est.Request) ([]*x509.Certificate, error) {
	return d.certs, nil
}
func (d *distributor) CRLs(context.Context, *est.Request) ([][]byte, error) { return d.crls, nil }

// RFC 8295, Sections 2 to 4.
func TestESTFetchesPackagesAndKeepsWhatATrustedCAVouchesFor(t *testing.T) {
	b := newESTBed(t)
	foreign := testpki.NewRoot(t, "foreign")
	list := func(by *testpki.Identity) []byte {
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
		}, by.Certificate, by.Key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	d := &distributor{Backend: b.Backend, crls: [][]byte{list(foreign)}, certs: []*x509.Certificate{foreign.Client(t, "x").Certificate}}
	url := b.Serve(&est.Handler{Backend: d})
	d.packages = []est.Package{
		{Type: est.PackageCACertificates, Size: 1, Info: est.PackageInfo{URI: url + "/.well-known/est/cacerts"}},
		{Type: est.PackageEnroll, Info: est.PackageInfo{URI: url + "/.well-known/est/simpleenroll"}},
		{Type: est.PackageEnroll, Info: est.PackageInfo{DN: "CN=x"}},
	}
	out, errs, code := b.run(t, "pal", "--url", url, "--ca", "@ca.pem", "-o", "json", "--fetch", "@got")
	if code != cli.ExitDone || strings.Count(out, "\n") != 3 {
		t.Errorf("pal: exit %d, %s%s", code, out, errs)
	}
	files, err := os.ReadDir(filepath.Join(b.dir, "got"))
	if err != nil || len(files) != 1 || files[0].Name() != "001-0002" {
		t.Errorf("pal --fetch wrote %v, %v", files, err)
	}
	for _, op := range []string{"crls", "eecerts"} {
		if out, errs, code := b.run(t, op, "--url", url, "--ca", "@ca.pem"); code != cli.ExitNotFound || out != "" {
			t.Errorf("%s with a foreign one: exit %d, %s%s", op, code, out, errs)
		}
	}
	d.crls, d.certs = append(d.crls, list(b.CA)), append(d.certs, b.CA.Client(t, "y").Certificate)
	for _, op := range []string{"crls", "eecerts"} {
		if out, errs, code := b.run(t, op, "--url", url, "--ca", "@ca.pem"); code != cli.ExitDone || strings.Count(out, "BEGIN") != 1 {
			t.Errorf("%s: exit %d, %s%s", op, code, out, errs)
		}
	}
}

func TestESTExitCodesTellWhatWentWrong(t *testing.T) {
	b := newESTBed(t)
	url := b.Serve(&est.Handler{Backend: b.Backend})
	mute := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	mute.TLS = &tls.Config{Certificates: []tls.Certificate{b.CA.Server(t, "mute").TLS()}}
	mute.Config.ErrorLog = log.New(io.Discard, "", 0)
	mute.StartTLS()
	defer mute.Close()
	busy := b.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "17")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	if _, errs, _ := b.run(t, "cacerts", "--url", busy, "--ca", "@ca.pem"); !strings.Contains(errs, "hint: nothing was decided: ask again in 17s") {
		t.Errorf("a server that is busy: %s", errs)
	}
	b.file(t, "stranger.pem", string(testpki.NewRoot(t, "stranger").PEM()))
	b.file(t, "wrong.txt", "device:guess\n")
	for _, c := range []struct {
		what string
		args []string
		want int
	}{
		{"a stranger", []string{"cacerts", "--url", url, "--ca", "@stranger.pem"}, cli.ExitFailed},
		{"a refusal", []string{"cacerts", "--url", url, "--label", "nothing", "--ca", "@ca.pem"}, cli.ExitRefused},
		{"a wrong password", []string{"enroll", "--url", url, "--ca", "@ca.pem", "--user-file", "@wrong.txt", "--new-key", "@d.key", "--cn", "d"}, cli.ExitRefused},
		{"no answer", []string{"cacerts", "--url", mute.URL, "--ca", "@ca.pem"}, cli.ExitUnreachable},
		{"busy", []string{"cacerts", "--url", busy, "--ca", "@ca.pem"}, cli.ExitUnreachable},
		{"no EST URL", []string{"cacerts", "--url", "http://127.0.0.1", "--ca", "@ca.pem"}, cli.ExitUsage},
		{"a user without a password", []string{"cacerts", "--url", url, "--ca", "@ca.pem", "--user", "x"}, cli.ExitUsage},
		{"a certificate without a key", []string{"cacerts", "--url", url, "--ca", "@ca.pem", "--cert", "@ca.pem"}, cli.ExitUsage},
	} {
		if out, errs, code := b.run(t, c.args...); code != c.want || out != "" {
			t.Errorf("%s: exit %d, want %d: %s%s", c.what, code, c.want, out, errs)
		}
	}
}
