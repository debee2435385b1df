package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/discovery"
	"github.com/briskest/briskest/brski/discoverytest"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/testpki"
)

// until is a writer that ends something when a text has been written to it.
type until struct {
	text string
	end  func()

	mu  sync.Mutex
	all strings.Builder // guarded by mu
}

func (u *until) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all.Write(p)
	if u.text != "" && strings.Contains(u.all.String(), u.text) {
		u.end()
	}
	return len(p), nil
}

func (u *until) String() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.all.String()
}

// newDeviceFiles writes a device's files and returns the flags that name them.
func newDeviceFiles(t *testing.T, w *brskitest.World) []string {
	t.Helper()
	id := w.IDevID(t, "JADA123456789")
	der, err := x509.MarshalPKCS8PrivateKey(id.Key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return []string{
		"--idevid", write("idevid.pem", id.PEM()),
		"--key", "file:" + write("idevid.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"--anchor", write("anchor.pem", w.Vendor.PEM()), "--state", filepath.Join(dir, "state"), "--registrar", w.URL,
	}
}

// BRSKI-8995-5-01, BRSKI-8995-5-02: a factory-new device asks for a voucher by
// itself, a configured one says nothing.
func TestRunJoinsWhenFactoryNewAndIsQuietWhenConfigured(t *testing.T) {
	w := brskitest.New(t)
	flags := newDeviceFiles(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	out := &until{text: string(pledge.StepEnrolledTold), end: cancel}
	if err := run(ctx, append([]string{"run"}, flags...), streams{Out: out, Err: io.Discard}); err != nil {
		t.Fatalf("run: %v", err)
	}
	if n := len(w.Registrar.Requests()); n != 1 {
		t.Errorf("%d voucher-requests came from a factory-new device, want 1", n)
	}
	var asked atomic.Int32
	w.Intercept(func(http.ResponseWriter, *http.Request) bool { asked.Add(1); return false })
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*24*time.Hour)
		defer cancel()
		out := new(until)
		if err := run(ctx, append([]string{"run"}, flags...), streams{Out: out, Err: io.Discard}); err != nil {
			t.Errorf("run: %v", err)
		}
		if n := asked.Load(); n != 0 || strings.Contains(out.String(), string(pledge.StepConnected)) {
			t.Errorf("a configured device made %d requests in a month: %s", n, out)
		}
	})
}

// BRSKI-8995-5-02: nor with mDNS: a configured device does not look for anybody.
func TestRunLooksForRegistrarsOnlyWhenFactoryNew(t *testing.T) {
	w := brskitest.New(t)
	flags := newDeviceFiles(t, w)
	if err := run(t.Context(), append([]string{"onboard"}, flags...), streams{Out: io.Discard, Err: io.Discard}); err != nil {
		t.Fatalf("onboard: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		opened := false
		c := runCmd{device: device{
			IDevID: flags[1], Key: flags[3], Anchor: flags[5], State: flags[7], MaxWait: time.Hour,
			places: places{Discover: true, links: func(...string) ([]*discovery.Link, error) {
				opened = true
				return nil, errors.New("no links")
			}},
		}}
		c.Voucher = "cms"
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		if err := c.Run(ctx, streams{Out: io.Discard}); err != nil || opened {
			t.Errorf("Run = %v, links opened: %v; want neither", err, opened)
		}
	})
}

// RFC 8995, Appendix B.
func TestFinderReturnsJoinProxiesAsTheyAreAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n discoverytest.Network
		f := &finder{open: func() ([]*discovery.Link, error) { return []*discovery.Link{n.Link("fe80::2/64")}, nil }}
		defer f.stop()
		begun := time.Now()
		if _, err := f.Next(t.Context()); !errors.Is(err, io.EOF) || time.Since(begun) != patience {
			t.Errorf("Next = %v after %v, want %v after %v", err, time.Since(begun), io.EOF, patience)
		}
		proxy := &discovery.Responder{
			Instance: "door", Services: []discovery.Service{{Type: discovery.ServiceProxy, Port: 8443}},
			Links: []*discovery.Link{n.Link("fe80::1/64")},
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- proxy.Run(ctx) }()
		want := pledge.Candidate{URL: "https://[fe80::1%25mem0]:8443"}
		for range 2 { // once between two io.EOF
			if c, err := f.Next(t.Context()); err != nil || c != want {
				t.Errorf("Next = %v, %v; want %v", c, err, want)
			}
			if c, err := f.Next(t.Context()); !errors.Is(err, io.EOF) {
				t.Errorf("Next = %v, %v; want %v", c, err, io.EOF)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// draft-ietf-anima-brski-cloud-20, Section 3.1.2.
func TestCloudRegistrarIsNamedWithItsAnchors(t *testing.T) {
	w := brskitest.New(t)
	web := testpki.NewRoot(t, "Web CA")
	cloud := brskitest.NewCloud(t, w, web.Server(t, "cloud"), "localhost")
	cloud.Answer(cloud.Redirect(w.URL))
	flags := newDeviceFiles(t, w)
	flags = append(flags[:len(flags)-2], "--cloud", cloud.URL)
	if err := run(t.Context(), append([]string{"onboard"}, flags...), streams{Out: io.Discard, Err: io.Discard}); err == nil {
		t.Errorf("onboard took --cloud without --cloud-anchor")
	}
	anchor := filepath.Join(t.TempDir(), "web.pem")
	if err := os.WriteFile(anchor, web.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	out := new(until)
	err := run(t.Context(), append([]string{"onboard", "--cloud-anchor", anchor}, flags...), streams{Out: out, Err: io.Discard})
	if err != nil || !strings.Contains(out.String(), string(pledge.StepRedirected)) {
		t.Errorf("onboard by way of the cloud = %v, printed %s", err, out)
	}
	for _, command := range []string{"renew", "status"} { // where the owner's registrar is, is known
		args := append([]string{command}, flags[:len(flags)-2]...)
		if err := run(t.Context(), args, streams{Out: out, Err: io.Discard}); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
}
