package discovery_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/brski/discovery"
	"github.com/briskest/briskest/brski/discoverytest"
)

// after lets time pass in a synctest bubble.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func proxyOn(link *discovery.Link) *discovery.Responder {
	return &discovery.Responder{
		Instance: "door 1.2", Host: "pi", Links: []*discovery.Link{link},
		Services: []discovery.Service{{Type: discovery.ServiceProxy, Port: 8443}},
	}
}

func browser(link *discovery.Link) *discovery.Querier {
	return &discovery.Querier{Service: discovery.ServiceProxy, Links: []*discovery.Link{link}}
}

// sighting is a packet that was seen on the network.
type sighting struct {
	at       time.Time
	from, to netip.AddrPort
	message  *discovery.Message
}

// sightings are all packets of a network, read.
type sightings struct {
	mu   sync.Mutex
	list []sighting // guarded by mu
}

func watch(t *testing.T, n *discoverytest.Network) *sightings {
	s := &sightings{}
	n.Tap(func(from, to netip.AddrPort, packet []byte) {
		m, err := discovery.ParseMessage(packet)
		if err != nil {
			return // a test's own
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.list = append(s.list, sighting{time.Now(), from, to, m})
	})
	return s
}

// take returns what was seen since the last time.
func (s *sightings) take() []sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.list
	s.list = nil
	return list
}

// Types and classes of records that tests write.
const (
	a, ptr, txt, aaaa, srv, anyType = 1, 12, 16, 28, 33, 255

	in    = 1
	flush = 0x8000
)

// packet is a message written by hand.
type packet struct {
	id, flags            uint16
	questions, authority [][]byte
	answers              [][]byte
}

func (p packet) bytes() []byte {
	var b []byte
	for _, v := range []int{int(p.id), int(p.flags), len(p.questions), len(p.answers), len(p.authority), 0} {
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	for _, section := range [][][]byte{p.questions, p.answers, p.authority} {
		for _, r := range section {
			b = append(b, r...)
		}
	}
	return b
}

const response = 0x8400

// encode writes a name whose labels are separated by "|", or else by dots.
func encode(n string) []byte {
	separator := "."
	if strings.Contains(n, "|") {
		separator = "|"
	}
	var b []byte
	for _, l := range strings.Split(n, separator) {
		b = append(append(b, byte(len(l))), l...)
	}
	return append(b, 0)
}

func asks(n string, kind, class uint16) []byte {
	b := binary.BigEndian.AppendUint16(encode(n), kind)
	return binary.BigEndian.AppendUint16(b, class)
}

func says(n string, kind, class uint16, ttl uint32, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(encode(n), kind)
	b = binary.BigEndian.AppendUint16(b, class)
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

func service(port uint16, host string) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0, 0, 0, 0}, port)
	return append(b, encode(host)...)
}

func ip(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

// offer is a whole answer to whoever browses for proxies.
func offer(instance, host, address string, port uint16, ttl uint32) packet {
	full := instance + "|_brski-proxy|_tcp|local"
	kind := uint16(aaaa)
	if netip.MustParseAddr(address).Is4() {
		kind = a
	}
	return packet{flags: response, answers: [][]byte{
		says("_brski-proxy._tcp.local", ptr, in, ttl, encode(full)),
		says(full, srv, in|flush, ttl, service(port, host)),
		says(host, kind, in|flush, ttl, ip(address)),
	}}
}

// speaker is a machine that says what it is told to.
type speaker struct {
	t    *testing.T
	conn net.PacketConn
}

func speak(t *testing.T, n *discoverytest.Network, address string) speaker {
	t.Helper()
	c := n.Attach(netip.MustParseAddrPort(address))
	t.Cleanup(func() { _ = c.Close() })
	return speaker{t, c}
}

func (s speaker) say(p packet) {
	s.t.Helper()
	if _, err := s.conn.WriteTo(p.bytes(), discoverytest.Group()); err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
}
