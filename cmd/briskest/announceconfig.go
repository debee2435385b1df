package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/briskest/briskest/brski/discovery"
	"github.com/briskest/briskest/internal/cli"
)

// announceConfig says how a server makes itself known to others on its links.
type announceConfig struct {
	// MDNS announces by mDNS (RFC 8995, Appendix B).
	MDNS bool `yaml:"mdns"`
	// Interfaces to announce on, such as eth0; none: all that are up and can
	// multicast, but loopback.
	Interfaces []string `yaml:"interfaces"`
	// Name is what people see; default the machine's. Another one with the
	// same name makes it "NAME (2)".
	Name string `yaml:"name"`

	// links opens the links; nil: discovery.Multicast. For tests.
	links func(interfaces ...string) ([]*discovery.Link, error)
}

// open opens the links to announce or to browse on.
func (c *announceConfig) open(interfaces []string) ([]*discovery.Link, error) {
	open := c.links
	if open == nil {
		open = discovery.Multicast
	}
	links, err := open(interfaces...)
	if err != nil {
		return nil, cli.Hint(err, "ip link lists the interfaces; one that is named has to be up, and UDP port 5353 free or shared")
	}
	return links, nil
}

// responder announces services that the given listeners serve: at their
// addresses alone.
func (c *announceConfig) responder(types []string, listeners []net.Listener, log *slog.Logger) (*discovery.Responder, error) {
	r := &discovery.Responder{Instance: c.Name, Log: log}
	if r.Instance == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("announce.name is empty, and the machine has none: %w", err)
		}
		r.Instance = host[:min(len(host), 57)]
	}
	var at []netip.Addr
	port := uint16(0)
	for _, l := range listeners {
		e, err := netip.ParseAddrPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		if port != 0 && e.Port() != port {
			return nil, cli.Usage("what is announced listens on port %d and on port %d; one port can be announced", port, e.Port())
		}
		port = e.Port()
		at = append(at, e.Addr().Unmap())
	}
	r.Announced = func(a netip.Addr) bool {
		return slices.ContainsFunc(at, func(l netip.Addr) bool { return covers(l, a) })
	}
	for _, t := range types {
		r.Services = append(r.Services, discovery.Service{Type: t, Port: port})
	}
	return r, nil
}

// covers says that who listens on l is reached at a. The unspecified IPv6
// address stands for IPv4 too, and a listener on a link-local address may have
// lost its zone, as listeners have it.
func covers(l, a netip.Addr) bool {
	if l.IsUnspecified() {
		return l.Is6() || a.Is4()
	}
	if l.Zone() == "" {
		a = a.WithZone("")
	}
	return l == a
}

// announcing opens the links, and returns what announces until its context ends.
func (c *announceConfig) announcing(types []string, listeners []net.Listener, log *slog.Logger) (func(context.Context) error, error) {
	r, err := c.responder(types, listeners, log)
	if err != nil {
		return nil, err
	}
	if r.Links, err = c.open(c.Interfaces); err != nil {
		return nil, err
	}
	return r.Run, nil
}

// registrarAnnounceConfig adds what a registrar may be besides.
type registrarAnnounceConfig struct {
	Announcement announceConfig `yaml:",inline"`
	// AsProxy announces the registrar to pledges on its own links too, so that
	// these need no join proxy (RFC 8995, Section 4.1.1).
	AsProxy bool `yaml:"as_proxy"`
}

func (c *registrarAnnounceConfig) types() []string {
	if c.AsProxy {
		return []string{discovery.ServiceRegistrar, discovery.ServiceProxy}
	}
	return []string{discovery.ServiceRegistrar}
}

// relays are the addresses of join proxies.
func (c *limitsConfig) relays() ([]netip.Addr, error) {
	var list []netip.Addr
	for _, p := range c.Proxies {
		a, err := netip.ParseAddr(p)
		if err != nil {
			return nil, fmt.Errorf("limits.proxies: %q is not an IP address; write the address that the join proxy connects from", p)
		}
		list = append(list, a)
	}
	return list, nil
}
