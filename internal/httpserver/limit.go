package httpserver

import (
	"net/netip"
	"sync"
)

// shares counts what each address holds: connections, or requests. What one
// peer can easily have many of, the addresses of an IPv6 /64, counts as one.
type shares struct {
	each   int
	relays map[netip.Prefix]int // what these have instead

	mu   sync.Mutex
	held map[netip.Prefix]int // guarded by mu
}

// newShares gives each address each places; zero stands for half of all, and
// 8 where half would be fewer. It is never more than there are. Relays have half
// of all at least.
func newShares(each, all int, relays []netip.Addr) *shares {
	const least = 8
	if each == 0 {
		each = max(least, all/2)
	}
	s := &shares{each: min(each, all), relays: make(map[netip.Prefix]int), held: make(map[netip.Prefix]int)}
	for _, r := range relays {
		s.relays[prefixOf(r)] = max(s.each, all/2)
	}
	return s
}

// take takes a place, unless the address holds its share.
func (s *shares) take(of netip.Prefix) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	each := s.each
	if more, relay := s.relays[of]; relay {
		each = more
	}
	if s.held[of] >= each {
		return false
	}
	s.held[of]++
	return true
}

func (s *shares) leave(of netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[of]--; s.held[of] <= 0 {
		delete(s.held, of)
	}
}

// holder is whom an address counts for. All that are no IP addresses, as of
// Unix sockets, are one.
func holder(address string) netip.Prefix {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Prefix{}
	}
	return prefixOf(at.Addr())
}

func prefixOf(a netip.Addr) netip.Prefix {
	a, bits := a.Unmap().WithZone(""), 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
