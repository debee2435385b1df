package main

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/brski/discovery"
	"github.com/briskest/briskest/brski/discoverytest"
	"github.com/briskest/briskest/internal/cli"
)

// serving runs a server until the test ends.
func serving(t *testing.T, serve func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve = %v", err)
		}
	})
}

// inMemory is how a server finds the machine's links in a test.
func inMemory(n *discoverytest.Network) func(...string) ([]*discovery.Link, error) {
	return func(...string) ([]*discovery.Link, error) { return []*discovery.Link{n.Link("127.0.0.1/8")}, nil }
}

// found browses until somebody is found.
func found(t *testing.T, n *discoverytest.Network, service string) []discovery.Candidate {
	t.Helper()
	links, _ := inMemory(n)()
	q := &discovery.Querier{Service: service, Links: links}
	serving(t, q.Run)
	for {
		changed := q.Changed()
		if c := q.Candidates(); len(c) != 0 {
			return c
		}
		<-changed
	}
}

// registrarIn makes a registrar that listens on a free port.
func registrarIn(t *testing.T) *registrarConfig {
	t.Helper()
	dir := t.TempDir()
	err := makeRegistrar(t.Context(), folder(dir), &registrarSetup{Name: "Example", Hosts: []string{"127.0.0.1"}, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := loadRegistrarConfig(filepath.Join(dir, "registrar.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// BRSKI-8995-4.3-04, BRSKI-8995-4.3-05: what is announced is each port that serves
// devices, all of TCP, and no other; each serves EST over TLS.
func TestEveryAnnouncedPortServesEST(t *testing.T) {
	var n discoverytest.Network
	cfg := registrarIn(t)
	cfg.Announce.Announcement = announceConfig{MDNS: true, Name: "registrar", links: inMemory(&n)}
	cfg.Announce.AsProxy = true
	s, _, err := startRegistrar(t.Context(), cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	serving(t, s.serve)
	for _, service := range []string{discovery.ServiceRegistrar, discovery.ServiceProxy} {
		var announced []string
		for _, c := range found(t, &n, service) {
			for _, e := range c.Endpoints() {
				announced = append(announced, e.String())
			}
		}
		if want := []string{s.devices.Addr().String()}; !slices.Equal(announced, want) {
			t.Fatalf("%s is announced at %v, want what serves devices: %v", service, announced, want)
		}
		//nolint:gosec // nothing is trusted
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		res, err := (&http.Client{Transport: transport}).Get("https://" + announced[0] + "/.well-known/est/cacerts")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		transport.CloseIdleConnections()
		if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/pkcs7-mime") {
			t.Errorf("cacerts at %s: %d, %s", announced[0], res.StatusCode, res.Header.Get("Content-Type"))
		}
	}
}

// BRSKI-8995-B-02: a join proxy finds the registrar, and announces itself from then on.
func TestAJoinProxyAnnouncesItselfOnceItHasARegistrar(t *testing.T) {
	var n discoverytest.Network
	cfg := registrarIn(t)
	cfg.Announce.Announcement = announceConfig{MDNS: true, Name: "registrar", links: inMemory(&n)}
	s, _, err := startRegistrar(t.Context(), cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	serving(t, s.serve)
	c := &joinProxyConfig{Version: 1}
	c.Listen.Addresses = []string{"127.0.0.1:0"}
	c.Discover.MDNS, c.Discover.Interfaces = true, []string{"mem0"}
	c.Announce = announceConfig{MDNS: true, Name: "door", links: inMemory(&n)}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	proxy, err := startJoinProxy(t.Context(), c, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	serving(t, proxy.serve)
	at := found(t, &n, discovery.ServiceProxy)[0].Endpoints()[0].String()
	if want := proxy.listeners[0].Addr().String(); at != want {
		t.Errorf("the proxy is announced at %s, want %s", at, want)
	}
	conn, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // nothing is trusted
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.ConnectionState().PeerCertificates[0]; !got.Equal((*s.certificates.Load())[0].Leaf) {
		t.Errorf("the proxy leads to %v, want the registrar", got.Subject)
	}
}

func TestAMistakeInAJoinProxysConfigurationIsNamed(t *testing.T) {
	const good = "version: 1\nlisten:\n  addresses: [\"127.0.0.1:0\"]\nregistrars: [\"127.0.0.1:443\"]\n"
	for text, want := range map[string]string{
		good: "",
		strings.Replace(good, "version: 1", "version: 2", 1):                "version is 2",
		good + "anounce: {}\n":                                              "anounce",
		"version: 1\nregistrars: [\"127.0.0.1:443\"]\n":                     "listen",
		"version: 1\nlisten:\n  addresses: [\"127.0.0.1:0\"]\n":             "nowhere",
		strings.Replace(good, ":443", "", 1):                                "HOST:PORT",
		good + "discover: {mdns: true}\n":                                   "discover.interfaces",
		good + "limits: {connections: -1}\n":                                "limit",
		"version: 1\nlisten: {interfaces: [eth0]}\nregistrars: [\"a:1\"]\n": "listen.port",
		strings.Replace(good, "127.0.0.1:443", "127.0.0.1:99999", 1):        "HOST:PORT",
	} {
		file := filepath.Join(t.TempDir(), "joinproxy.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := loadJoinProxyConfig(file)
		if (err == nil) != (want == "") || (err != nil && (!strings.Contains(err.Error(), want) || cli.Code(err) != cli.ExitUsage)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestWhatIsReachedAtAnAddressIsAnnouncedThere(t *testing.T) {
	for listened, want := range map[string]string{"127.0.0.1": "127.0.0.1", "0.0.0.0": "127.0.0.1 192.0.2.1", "::": "127.0.0.1 192.0.2.1 fe80::1%a fe80::1%b", "fe80::1%a": "fe80::1%a", "fe80::1": "fe80::1%a fe80::1%b", "fe80::2": ""} {
		var got []string
		for _, a := range []string{"127.0.0.1", "192.0.2.1", "fe80::1%a", "fe80::1%b"} {
			if covers(addr(t, listened), addr(t, a)) {
				got = append(got, a)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("who listens on %s is announced at %v, want %s", listened, got, want)
		}
	}
}

func addr(t *testing.T, s string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAnInterfaceThatCannotBeListenedOnIsNamed(t *testing.T) {
	for name, want := range map[string]string{"no-such-interface": "there is no interface", "lo": "no IPv6 link-local address"} {
		if _, err := linkLocal(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("linkLocal(%s) = %v, want %q", name, err, want)
		}
	}
	cfg := registrarIn(t)
	cfg.Announce.Announcement = announceConfig{MDNS: true, Interfaces: []string{"no-such-interface"}}
	if _, _, err := startRegistrar(t.Context(), cfg, io.Discard); err == nil || !strings.Contains(err.Error(), "no-such-interface") {
		t.Errorf("a registrar announced on no-such-interface: %v, want an error that names it", err)
	}
	cfg = registrarIn(t) // everything was closed
	cfg.Limits.Proxies = []string{"proxy.example"}
	if err := cfg.check(); err == nil || !strings.Contains(err.Error(), "limits.proxies") {
		t.Errorf("limits.proxies with a name: %v, want an error that names the key", err)
	}
}
