package joinproxy

import (
	"net"
	"net/netip"
	"time"
)

// admit gives c a place, unless its address has its share already or there is
// none. Whoever has said nothing for longest gives way to a newcomer.
func (p *Proxy) admit(c *circuit) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Accepted++
	from := endpoint(c.pledge.RemoteAddr())
	if from.IsValid() && p.own[from] {
		// A "registrar" that is this proxy: the circuit would never end.
		p.stats.Looped++
		return false
	}
	c.holder = holder(from.Addr())
	if p.held[c.holder] >= p.Limits.ConnectionsPerAddress || (len(p.circuits) >= p.Limits.Connections && !p.evict()) {
		p.stats.Refused++
		return false
	}
	if p.circuits == nil {
		p.circuits, p.held = make(map[*circuit]struct{}), make(map[netip.Prefix]int)
	}
	p.circuits[c] = struct{}{}
	p.held[c.holder]++
	return true
}

// evict closes the circuit that has said nothing for longest; mu is held.
func (p *Proxy) evict() bool {
	var oldest *circuit
	for c := range p.circuits {
		if !c.spoke && (oldest == nil || c.begun.Before(oldest.begun)) {
			oldest = c
		}
	}
	if oldest == nil {
		return false
	}
	p.drop(oldest)
	reset(oldest.pledge)
	return true
}

// drop takes c's place away; mu is held.
func (p *Proxy) drop(c *circuit) {
	if _, there := p.circuits[c]; !there {
		return
	}
	delete(p.circuits, c)
	if p.held[c.holder]--; p.held[c.holder] <= 0 {
		delete(p.held, c.holder)
	}
}

// leave counts a circuit that is over.
func (p *Proxy) leave(c *circuit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(c)
	if !c.spoke {
		p.stats.Silent++
	}
	p.stats.Up += c.up.bytes.Load()
	p.stats.Down += c.down.bytes.Load()
}

// speaks notes that the pledge has said something; false: it has no place any more.
func (p *Proxy) speaks(c *circuit) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, there := p.circuits[c]
	c.spoke = there
	return there
}

// looped counts a circuit that would have led to this proxy itself.
func (p *Proxy) looped() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Looped++
}

// outgoing notes the local end of a connection to a registrar, and forgets it
// with the returned function.
func (p *Proxy) outgoing(conn net.Conn) (forget func()) {
	local := endpoint(conn.LocalAddr())
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.own == nil {
		p.own = make(map[netip.AddrPort]bool)
	}
	p.own[local] = true
	for c := range p.circuits { // accepted before its other end could be noted
		if endpoint(c.pledge.RemoteAddr()) == local {
			p.stats.Looped++
			p.drop(c)
			reset(c.pledge)
		}
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.own, local)
	}
}

// avoidTime is for how long a registrar that did not answer is asked last.
const avoidTime = 30 * time.Second

// order puts the registrars that did not answer lately behind the others. Only
// those that are named now are remembered.
func (p *Proxy) order(registrars []string) []string {
	const most = 16
	registrars = registrars[:min(len(registrars), most)]
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	failed := make(map[string]time.Time)
	var good, bad []string
	for _, r := range registrars {
		if at, ok := p.failed[r]; ok && now.Sub(at) < avoidTime {
			failed[r] = at
			bad = append(bad, r)
		} else {
			good = append(good, r)
		}
	}
	p.failed = failed
	return append(good, bad...)
}

func (p *Proxy) answered(registrar string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ok {
		delete(p.failed, registrar)
	} else if p.failed != nil {
		p.failed[registrar] = time.Now()
	}
}

// endpoint is a as address and port; IPv4 as such, and link-local IPv6 with its zone.
func endpoint(a net.Addr) netip.AddrPort {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// holder is whom an address counts for: it alone, or the /64 that one machine can
// easily have all of. All of a link are in fe80::/64, and so those count alone.
func holder(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() && !a.IsLinkLocalUnicast() {
		bits = 64
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// reset closes c at once, without a trace of it kept.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
