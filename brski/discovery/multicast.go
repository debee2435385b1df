package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Port is mDNS's, of UDP (RFC 6762, Section 3).
const Port = 5353

// The groups of RFC 6762, Section 3.
var (
	group4 = netip.AddrFrom4([4]byte{224, 0, 0, 251})
	group6 = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0xfb})
)

// maxInterfaces bounds how many interfaces are used when none are named.
const maxInterfaces = 32

// Multicast joins mDNS's groups on the named interfaces, or, when none is
// named, on each that is up and can multicast, but for loopback and
// point-to-point ones; a link for IPv4 and one for IPv6 each, where it has them.
// It is an error when a named interface has neither, or when there is no link at all.
//
// What its links read came in by their interface, and was sent to the group, or
// from a machine that can reach us without a router (TTL or hop limit 255; RFC
// 6762, Section 11), where the platform tells; the readers of a [Link] check the
// source address besides.
func Multicast(interfaces ...string) ([]*Link, error) { return multicast(Port, interfaces...) }

func multicast(port uint16, names ...string) ([]*Link, error) {
	interfaces, err := choose(names)
	if err != nil {
		return nil, err
	}
	var links []*Link
	for i := range interfaces {
		var failed error
		opened := 0
		for _, open := range []func(*net.Interface, uint16) (*Link, error){open4, open6} {
			l, err := open(&interfaces[i], port)
			if err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			opened++
			links = append(links, l)
		}
		if opened == 0 && len(names) != 0 {
			for _, l := range links {
				failed = errors.Join(failed, l.Conn.Close())
			}
			return nil, fmt.Errorf("mDNS on the interface %s: %w", interfaces[i].Name, failed)
		}
	}
	if len(links) == 0 {
		return nil, errors.New("mDNS: no interface of this machine is up and can multicast; name one that can")
	}
	return links, nil
}

func choose(names []string) ([]net.Interface, error) {
	var chosen []net.Interface
	for _, n := range names {
		i, err := net.InterfaceByName(n)
		if err != nil {
			return nil, fmt.Errorf("mDNS: there is no interface %s: %w", strconv.Quote(n), err)
		}
		chosen = append(chosen, *i)
	}
	if len(names) != 0 {
		return chosen, nil
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("mDNS: listing the interfaces: %w", err)
	}
	for _, i := range all {
		const needed, unwanted = net.FlagUp | net.FlagMulticast, net.FlagLoopback | net.FlagPointToPoint
		if i.Flags&needed == needed && i.Flags&unwanted == 0 && len(chosen) < maxInterfaces {
			chosen = append(chosen, i)
		}
	}
	return chosen, nil
}

// socket opens a socket on port of all addresses that others may have too: the
// address of a group makes the net package ask for that.
func socket(network, anyGroup string, port uint16) (net.PacketConn, error) {
	return new(net.ListenConfig).ListenPacket(context.Background(), network, net.JoinHostPort(anyGroup, strconv.Itoa(int(port))))
}

func open4(i *net.Interface, port uint16) (*Link, error) {
	c, err := socket("udp4", "224.0.0.0", port)
	if err != nil {
		return nil, err
	}
	p := ipv4.NewPacketConn(c)
	err = errors.Join(
		p.JoinGroup(i, &net.UDPAddr{IP: group4.AsSlice()}), p.SetMulticastInterface(i), p.SetMulticastLoopback(true),
		p.SetMulticastTTL(255), p.SetTTL(255),
	)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	_ = p.SetControlMessage(ipv4.FlagTTL|ipv4.FlagDst|ipv4.FlagInterface, true) // not everywhere
	own := &ownAddresses{of: i}
	return newLink(own, group4, port, &conn4{PacketConn: c, p: p, index: i.Index, own: own}), nil
}

func open6(i *net.Interface, port uint16) (*Link, error) {
	c, err := socket("udp6", "ff02::", port)
	if err != nil {
		return nil, err
	}
	p := ipv6.NewPacketConn(c)
	err = errors.Join(
		p.JoinGroup(i, &net.UDPAddr{IP: group6.AsSlice()}), p.SetMulticastInterface(i), p.SetMulticastLoopback(true),
		p.SetMulticastHopLimit(255), p.SetHopLimit(255),
	)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	_ = p.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagDst|ipv6.FlagInterface, true) // not everywhere
	return newLink(&ownAddresses{of: i}, group6.WithZone(i.Name), port, &conn6{PacketConn: c, p: p, index: i.Index}), nil
}

func newLink(own *ownAddresses, group netip.Addr, port uint16, c net.PacketConn) *Link {
	return &Link{Conn: c, Group: netip.AddrPortFrom(group, port), Interface: own.of.Name, Prefixes: own.prefixes}
}

// conn4 reads what is the link's.
type conn4 struct {
	net.PacketConn
	p     *ipv4.PacketConn
	index int
	own   *ownAddresses
}

// ReadFrom implements [net.PacketConn].
func (c *conn4) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, cm, from, err := c.p.ReadFrom(b)
		if err != nil || cm == nil || local(c.index, cm.IfIndex, cm.Dst, cm.TTL) {
			return n, from, err
		}
	}
}

// WriteTo implements [net.PacketConn]. It sends from an address of the
// interface: the system's choice may be another one's.
func (c *conn4) WriteTo(b []byte, to net.Addr) (int, error) {
	for _, own := range c.own.prefixes() {
		if own.Addr().Is4() {
			return c.p.WriteTo(b, &ipv4.ControlMessage{IfIndex: c.index, Src: own.Addr().AsSlice()}, to)
		}
	}
	return 0, errors.New("the interface has no IPv4 address")
}

type conn6 struct {
	net.PacketConn
	p     *ipv6.PacketConn
	index int
}

// ReadFrom implements [net.PacketConn].
func (c *conn6) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, cm, from, err := c.p.ReadFrom(b)
		if err != nil || cm == nil || local(c.index, cm.IfIndex, cm.Dst, cm.HopLimit) {
			return n, from, err
		}
	}
}

// local says that a packet came in by the interface, and from the link: routers
// do not pass on what goes to mDNS's groups, and lower the hop count of the rest.
func local(index, by int, to net.IP, hops int) bool {
	return by == index && (to.IsLinkLocalMulticast() || hops == 255)
}

// ownAddresses asks the system for an interface's addresses, not more than
// each few seconds.
type ownAddresses struct {
	of *net.Interface

	mu    sync.Mutex
	at    time.Time      // guarded by mu
	known []netip.Prefix // guarded by mu
}

func (o *ownAddresses) prefixes() []netip.Prefix {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); now.Sub(o.at) > 5*time.Second {
		o.at = now
		if list, err := o.of.Addrs(); err == nil {
			o.known = parsePrefixes(list)
		}
	}
	return o.known
}

func parsePrefixes(list []net.Addr) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			prefixes = append(prefixes, p)
		}
	}
	return prefixes
}
