package joinproxy_test

import (
	"bytes"
	"context"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/discovery"
	"github.com/briskest/briskest/brski/discoverytest"
	"github.com/briskest/briskest/brski/joinproxy"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// machine is a link of the network for a machine on loopback addresses.
func machine(n *discoverytest.Network) []*discovery.Link {
	return []*discovery.Link{n.Link("127.0.0.1/8")}
}

func port(t *testing.T, address string) uint16 {
	t.Helper()
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return at.Port()
}

// services notes which service types were spoken of on the network.
type services struct {
	mu    sync.Mutex
	seen  []byte
	proxy int // packets with that of proxies
}

func (s *services) see(_, _ netip.AddrPort, packet []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, packet...)
	if bytes.Contains(packet, []byte("_brski-proxy")) {
		s.proxy++
	}
}

func (s *services) proxies() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proxy
}

// until waits until q knows somebody, or nobody.
func until(q *discovery.Querier, somebody bool) []discovery.Candidate {
	for {
		changed := q.Changed()
		if c := q.Candidates(); (len(c) != 0) == somebody {
			return c
		}
		<-changed
	}
}

// BRSKI-8995-4-01, BRSKI-8995-4.1.1-02, BRSKI-8995-B-01, BRSKI-8995-B-02: a pledge that knows nothing finds a proxy that knows
// nothing but finds a registrar, and joins its domain. TCP is all that is announced.
func TestAPledgeJoinsThroughAProxyThatItFinds(t *testing.T) {
	var n discoverytest.Network
	var seen services
	n.Tap(seen.see)
	w := brskitest.New(t)

	registrars := &discovery.Querier{Service: discovery.ServiceRegistrar, Links: machine(&n)}
	discoverytest.Run(t, registrars.Run)
	address, _ := start(t, &joinproxy.Proxy{Registrars: joinproxy.Discovered(registrars)})
	discoverytest.Run(t, func(ctx context.Context) error {
		return joinproxy.AnnounceWhile(ctx, registrars, func(ctx context.Context) error {
			r := &discovery.Responder{Instance: "door", Links: machine(&n), Services: []discovery.Service{{Type: discovery.ServiceProxy, Port: port(t, address)}}}
			return r.Run(ctx)
		})
	})
	if got := seen.proxies(); got != 0 {
		t.Errorf("a proxy without a registrar speaks of itself %d times, want not at all", got)
	}

	registrar := &discovery.Responder{
		Instance: "registrar", Links: machine(&n),
		Services: []discovery.Service{{Type: discovery.ServiceRegistrar, Port: port(t, strings.TrimPrefix(w.URL, "https://"))}},
	}
	gone := discoverytest.Run(t, registrar.Run)
	proxies := &discovery.Querier{Service: discovery.ServiceProxy, Links: machine(&n)}
	discoverytest.Run(t, proxies.Run)
	found := until(proxies, true)
	if len(found) != 1 || found[0].Endpoints()[0].String() != address {
		t.Fatalf("the pledge finds %v, want the proxy at %s", found, address)
	}

	idevid := w.IDevID(t, "JADA123456789")
	var dialed []string
	p, err := pledge.New(pledge.Config{
		IDevID: idevid.TLS(), RegistrarURL: "https://" + found[0].Endpoints()[0].String(), Anchors: w.Vendor.Pool(),
		State: &state{files: make(map[string][]byte)}, Format: vouchercms.Format{},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			dialed = append(dialed, address)
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	result, err := p.Onboard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !result.Pinned.Equal(w.Domain.Certificate) || result.Certificate == nil {
		t.Errorf("the result is %+v, want a certificate of the domain", result)
	}
	for _, d := range dialed {
		if d != address {
			t.Errorf("the pledge connects to %s, want nobody but the proxy", d)
		}
	}

	// The registrar goes, and the proxy's announcement with it.
	gone()
	until(proxies, false)
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if bytes.Contains(seen.seen, []byte("_brski-proxy\x04_udp")) {
		t.Error("another transport than TCP was announced")
	}
}

// BRSKI-8995-4.1.1-02: there is no way to announce another transport than TCP.
func TestAProxyAnnouncesTCPAlone(t *testing.T) {
	var n discoverytest.Network
	r := &discovery.Responder{Instance: "door", Links: machine(&n), Services: []discovery.Service{{Type: "_brski-proxy._udp", Port: 5684}}}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // what is announced is announced until the end
	if err := r.Run(ended); err == nil {
		t.Error("_brski-proxy._udp is announced, want an error")
	}
}

// state is a pledge's storage.
type state struct {
	mu    sync.Mutex
	files map[string][]byte // guarded by mu
}

func (s *state) Load(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.files[name]; ok {
		return bytes.Clone(b), nil
	}
	return nil, fs.ErrNotExist
}

func (s *state) Save(name string, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = bytes.Clone(b)
	return nil
}

func (s *state) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, name)
	return nil
}
