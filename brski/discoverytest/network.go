// Package discoverytest is a network link in memory, for tests of what finds
// and announces by mDNS without sending a packet anywhere.
package discoverytest

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/briskest/briskest/brski/discovery"
)

// Network is one link that [discovery.Link]s are attached to. What one sends to
// the group all get, itself included; the rest the one with the address gets.
type Network struct {
	mu    sync.Mutex
	conns []*conn                                      // guarded by mu
	tap   func(from, to netip.AddrPort, packet []byte) // guarded by mu
}

// Group is where messages to all go: what IPv6's is on the interface "mem0".
var group = netip.MustParseAddrPort("[ff02::fb%mem0]:5353")

// Tap lets see see every packet. It must not send.
func (n *Network) Tap(see func(from, to netip.AddrPort, packet []byte)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tap = see
}

// Link attaches a machine with these addresses, such as "fe80::1/64"; it sends
// from the first, and port 5353.
func (n *Network) Link(prefixes ...string) *discovery.Link {
	var own []netip.Prefix
	for _, p := range prefixes {
		own = append(own, netip.MustParsePrefix(p))
	}
	c := n.attach(netip.AddrPortFrom(own[0].Addr(), discovery.Port))
	return &discovery.Link{Conn: c, Group: group, Interface: "mem0", Prefixes: func() []netip.Prefix { return own }}
}

// Attach attaches a bare connection, for tests that write packets themselves.
func (n *Network) Attach(address netip.AddrPort) net.PacketConn { return n.attach(address) }

// Group is where messages to everybody go.
func Group() net.Addr { return net.UDPAddrFromAddrPort(group) }

func (n *Network) attach(address netip.AddrPort) *conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := &conn{network: n, address: address, in: make(chan packet, 1024), closed: make(chan struct{})}
	n.conns = append(n.conns, c)
	return c
}

type packet struct {
	data []byte
	from netip.AddrPort
}

// conn is one machine's connection. What does not fit into its queue is lost.
type conn struct {
	network *Network
	address netip.AddrPort
	in      chan packet
	once    sync.Once
	closed  chan struct{}
}

// ReadFrom implements [net.PacketConn].
func (c *conn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-c.in:
		return copy(b, p.data), net.UDPAddrFromAddrPort(p.from), nil
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo implements [net.PacketConn].
func (c *conn) WriteTo(b []byte, to net.Addr) (int, error) {
	n := c.network
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	target := to.(*net.UDPAddr).AddrPort()
	if n.tap != nil {
		n.tap(c.address, target, slices.Clone(b))
	}
	for _, other := range n.conns {
		if target.Addr().IsMulticast() && other.address.Port() == target.Port() ||
			other.address.Port() == target.Port() && other.address.Addr() == target.Addr().WithZone("") {
			select {
			case other.in <- packet{slices.Clone(b), c.address}:
			default:
			}
		}
	}
	return len(b), nil
}

// Close implements [net.PacketConn].
func (c *conn) Close() error {
	c.once.Do(func() {
		n := c.network
		n.mu.Lock()
		defer n.mu.Unlock()
		n.conns = slices.DeleteFunc(n.conns, func(o *conn) bool { return o == c })
		close(c.closed)
	})
	return nil
}

// LocalAddr implements [net.PacketConn].
func (c *conn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.address) }

// SetDeadline implements [net.PacketConn]; there are none.
func (c *conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements [net.PacketConn]; there are none.
func (c *conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements [net.PacketConn]; there are none.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
