// Package discovery finds join proxies and registrars on the links of a machine,
// and announces them there, by DNS-SD (RFC 6763, Section 4) over mDNS (RFC 6762, Section 3)
// as RFC 8995, Appendix B has it:
//
//   - [Querier] browses a service type for as long as it runs and knows its
//     [Candidate]s
//   - [Responder] announces services and answers for them
//   - [Multicast] opens the [Link]s both work on; a test gives them others
//
// Nothing here is authenticated: mDNS tells where to try, and RFC 8995, Section 5.6.2
// whom to believe. What comes from beyond the link is dropped, and so are announced
// addresses that lie beyond it, so that nobody far away can say where devices
// connect to. GRASP is not offered (docs/divergences.md, RFC 8995, Section 4).
package discovery

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// The service types of RFC 8995, Section 8.6, for the domain "local".
const (
	ServiceProxy     = "_brski-proxy._tcp"     // where pledges connect
	ServiceRegistrar = "_brski-registrar._tcp" // where join proxies connect
)

// Candidate is somebody who offers the service, as far as announced.
type Candidate struct {
	Instance  string // the first label of its name, for people; any UTF-8, or none
	Host      string // its host's name, such as "pi.local"
	Interface string // the name of the interface that it was heard on
	Port      uint16
	// Addresses are on the link, IPv6 link-local ones first and with the
	// interface as their zone. Never empty.
	Addresses []netip.Addr
	// Expires is when it is forgotten unless it is heard of again.
	Expires time.Time
}

// Endpoints are the addresses with the port, to be tried in this order.
func (c *Candidate) Endpoints() []netip.AddrPort {
	endpoints := make([]netip.AddrPort, 0, len(c.Addresses))
	for _, a := range c.Addresses {
		endpoints = append(endpoints, netip.AddrPortFrom(a, c.Port))
	}
	return endpoints
}

// String says who and where, quoted where others chose the words.
func (c *Candidate) String() string {
	return fmt.Sprintf("%q at %v", c.Instance, c.Endpoints())
}

// logger is log, or one that says nothing.
func logger(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
