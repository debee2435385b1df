package discovery

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// Link is one way to reach the machines on one network link: a packet
// connection, and what is known of the link. [Multicast] makes real ones.
type Link struct {
	// Conn carries mDNS messages. Its addresses are *net.UDPAddr. Whoever is
	// given the link closes it.
	Conn net.PacketConn
	// Group is where messages to everybody on the link go.
	Group netip.AddrPort
	// Interface is the name of the network interface: links of one interface,
	// for IPv4 and IPv6, are the same network, and it is the zone of link-local addresses.
	Interface string
	// Prefixes are the interface's own addresses now, each with the length of
	// its network: what is in one of them is on the link.
	Prefixes func() []netip.Prefix
}

var (
	linkLocal4 = netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254}), 16)
	linkLocal6 = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfe, 0x80}), 10)
)

// onLink says that a is the unicast address of a machine on the link
// (RFC 6762, Section 11): link-local, or in a network of the interface.
func (l *Link) onLink(a netip.Addr, prefixes []netip.Prefix) bool {
	a = a.Unmap()
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || (a.Zone() != "" && a.Zone() != l.Interface) {
		return false
	}
	a = a.WithZone("")
	return linkLocal4.Contains(a) || linkLocal6.Contains(a) ||
		slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Masked().Contains(a) })
}

// zoned gives link-local IPv6 addresses the interface as their zone.
func (l *Link) zoned(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.Is6() && a.IsLinkLocalUnicast() {
		return a.WithZone(l.Interface)
	}
	return a
}

// send sends one message to to.
func (l *Link) send(m *message, to netip.AddrPort) error {
	_, err := l.Conn.WriteTo(m.append(nil), net.UDPAddrFromAddrPort(to))
	return err
}

// arrival is a message that came from the link.
type arrival struct {
	link    int // index of links
	from    netip.AddrPort
	message *message
}

// listener reads what comes on links until it is closed, and with it their
// connections. What is malformed or from beyond the link is dropped.
type listener struct {
	links    []*Link
	arrivals chan arrival
	done     chan struct{} // closed by close
	wg       sync.WaitGroup
	log      *slog.Logger
}

func listen(links []*Link, log *slog.Logger) *listener {
	l := &listener{links: links, arrivals: make(chan arrival), done: make(chan struct{}), log: log}
	for i := range links {
		l.wg.Go(func() { l.read(i) })
	}
	return l
}

// close closes the links' connections.
func (l *listener) close() error {
	close(l.done)
	var err error
	for _, link := range l.links {
		err = errors.Join(err, link.Conn.Close())
	}
	l.wg.Wait()
	return err
}

// read ends when the connection does not read any more, as it does once closed.
func (l *listener) read(i int) {
	link := l.links[i]
	b := make([]byte, maxMessage+1)
	for {
		n, from, err := link.Conn.ReadFrom(b)
		if err != nil {
			select {
			case <-l.done:
			default:
				l.log.Warn("mDNS: nothing is heard on a link any more", slog.String("interface", link.Interface), slog.String("error", err.Error()))
			}
			return
		}
		udp, ok := from.(*net.UDPAddr)
		if !ok {
			continue
		}
		at := udp.AddrPort()
		if !link.onLink(at.Addr(), link.Prefixes()) {
			continue
		}
		m, err := parseMessage(b[:n])
		if err != nil {
			continue
		}
		for _, section := range [][]record{m.answers, m.authority, m.additional} {
			for k := range section {
				section[k].raw = slices.Clone(section[k].raw) // b is read into again
			}
		}
		select {
		case l.arrivals <- arrival{link: i, from: at, message: m}:
		case <-l.done:
			return
		}
	}
}
