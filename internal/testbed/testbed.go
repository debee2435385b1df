// Package testbed runs the real program for tests: it builds it, starts a
// quickstart or a registrar as a process of its own, and ends what it started.
package testbed

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a program may take to start or stop.
const patience = 60 * time.Second

// Addresses is a quickstart's addresses.json.
type Addresses struct {
	EST   string `json:"est"`
	BRSKI string `json:"brski"`
	MASA  string `json:"masa"`
	PID   int    `json:"pid"`
}

// Bed is a quickstart's directory with its servers running.
type Bed struct {
	Program string // the built briskest
	Dir     string
	Addresses
	process *Process
}

// Require finds a program of somebody else's, or skips the test with its name;
// with BRISKEST_REQUIRE set it fails instead.
func Require(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, program)
	}
	return path
}

// RequireFile is Require for what is no program, such as a library, by its path.
func RequireFile(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		missing(t, path)
	}
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("BRISKEST_REQUIRE") != "" {
		t.Fatalf("%s is not installed; `make tools` installs it", what)
	}
	t.Skipf("%s is not installed; `make tools` installs it", what)
}

// Build builds a command of the module, such as "briskest", without cgo and
// without the race detector, and returns its path: that of one program for all
// tests of the module, which is linked again only after a change.
func Build(t testing.TB, command string) string {
	t.Helper()
	out, err := buildShared(command, "CGO_ENABLED=0", "")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// BuildIn is Build for a package whose tests share the program: it writes to
// the folder dir, which the caller removes.
func BuildIn(dir, command string) (string, error) { return build(dir, command, "CGO_ENABLED=0", "") }

// BuildForTokens is Build with keys in PKCS#11 tokens. It skips without a C compiler.
func BuildForTokens(t testing.TB, command string) string {
	t.Helper()
	Require(t, "gcc")
	out, err := buildShared(command, "CGO_ENABLED=1", "pkcs11")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// buildShared builds into bin/test of the module, one at a time: the go command
// leaves a program alone that is up to date.
func buildShared(command, cgo, tags string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "bin", "test", tags)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, command+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	return build(dir, command, cgo, tags)
}

func build(dir, command, cgo, tags string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, command)
	cmd := exec.Command("go", "build", "-tags", tags, "-ldflags", "-s -w", "-o", out, "./cmd/"+command)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), cgo, "GOFLAGS=-buildvcs=false")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/%s: %w\n%s", command, err, text)
	}
	return out, nil
}

// moduleRoot finds the folder with the product's go.mod above the test.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(data, []byte("module github.com/briskest/briskest\n")) {
			return dir, nil
		}
	}
	return "", errors.New("no go.mod of the product above the test's folder")
}

// Start builds the program and runs a quickstart in a fresh directory until
// the test ends.
func Start(t testing.TB) *Bed {
	t.Helper()
	return StartIn(t, Build(t, "briskest"), filepath.Join(t.TempDir(), "q"))
}

// StartIn runs a quickstart of the given program in dir until the test ends.
func StartIn(t testing.TB, program, dir string) *Bed {
	t.Helper()
	b := &Bed{Program: program, Dir: dir}
	if err := os.Remove(filepath.Join(dir, "addresses.json")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	b.process = Launch(t, program, "quickstart", "--dir", dir)
	path := filepath.Join(dir, "addresses.json")
	b.process.Until(func() bool {
		data, err := os.ReadFile(path)
		return err == nil && json.Unmarshal(data, &b.Addresses) == nil
	})
	return b
}

// Once builds the program and runs a quickstart to its end: a filled directory
// whose servers do not run.
func Once(t testing.TB) *Bed {
	t.Helper()
	return OnceIn(t, Build(t, "briskest"), filepath.Join(t.TempDir(), "q"))
}

// OnceIn is Once with the given program and directory.
func OnceIn(t testing.TB, program, dir string) *Bed {
	t.Helper()
	b := &Bed{Program: program, Dir: dir}
	if out, errs, code := Run(t, b.Program, "quickstart", "--once", "--dir", b.Dir); code != 0 {
		t.Fatalf("quickstart: exit %d\n%s%s", code, out, errs)
	}
	b.Addresses = ReadAddresses(t, b.Dir)
	return b
}

// Registrar starts the bed's registrar alone and returns when it answers.
func (b *Bed) Registrar(t testing.TB) *Process {
	t.Helper()
	p := Launch(t, b.Program, "registrar", "--config", filepath.Join(b.Dir, "registrar.yaml"))
	client := b.Client(t, nil)
	p.Until(func() bool {
		res, err := client.Get(b.EST + "/cacerts")
		if err != nil {
			return false
		}
		return res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})
	return p
}

// Client returns an HTTP client that trusts the bed's CA, with the given
// client certificate when it is not nil.
func (b *Bed) Client(t testing.TB, cert *tls.Certificate) *http.Client {
	t.Helper()
	cfg := &tls.Config{RootCAs: b.Roots(t)}
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	transport := &http.Transport{TLSClientConfig: cfg}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// Roots returns the domain's CAs.
func (b *Bed) Roots(t testing.TB) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b.Read(t, "ca.pem")) {
		t.Fatal("ca.pem holds no certificate")
	}
	return pool
}

// Read returns a file of the bed's directory.
func (b *Bed) Read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(b.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// User returns the group credential of est-user.txt.
func (b *Bed) User(t testing.TB) (user, password string) {
	t.Helper()
	user, password, ok := strings.Cut(strings.TrimSpace(string(b.Read(t, "est-user.txt"))), ":")
	if !ok {
		t.Fatal("est-user.txt is not user:password")
	}
	return user, password
}

// Stop ends the quickstart with SIGTERM and waits; it must exit 0.
func (b *Bed) Stop(t testing.TB) {
	t.Helper()
	b.process.Stop()
}

// DialSocket connects to a unix socket, whose name may be longer than a socket's
// address is.
func DialSocket(path string) (net.Conn, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}

// Run runs a program to its end and returns what it printed and its exit code.
func Run(t testing.TB, program string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("%s: %v", program, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// JSONLines decodes each line of text.
func JSONLines[T any](t testing.TB, text string) []T {
	t.Helper()
	var rows []T
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row T
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		rows = append(rows, row)
	}
	return rows
}

// ReadAddresses reads a quickstart's addresses.json.
func ReadAddresses(t testing.TB, dir string) Addresses {
	t.Helper()
	a, err := parseAddresses(dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func parseAddresses(dir string) (a Addresses, err error) {
	data, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(data, &a)
}
