package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/briskest/briskest/brski/joinproxy"
	"github.com/briskest/briskest/internal/config"
)

// joinProxyConfig is joinproxy.yaml. BRISKEST_JOINPROXY_ and the key's path
// override single keys.
type joinProxyConfig struct {
	source `yaml:"-"`

	// Version of this schema; 1.
	Version int `yaml:"version"`
	Listen  struct {
		// Addresses that pledges connect to, HOST:PORT each.
		Addresses []string `yaml:"addresses"`
		// Interfaces whose IPv6 link-local addresses pledges connect to (RFC
		// 8995, Section 4.1.1), at Port.
		Interfaces []string `yaml:"interfaces"`
		Port       uint16   `yaml:"port"`
	} `yaml:"listen"`
	// Registrars are tried in turn, HOST:PORT each, before discovered ones.
	Registrars []string `yaml:"registrars"`
	// Discover finds registrars by mDNS (RFC 8995, Appendix B).
	Discover struct {
		MDNS bool `yaml:"mdns"`
		// Interfaces to browse on; at least one. Whoever is on such a link can make
		// itself a registrar to pledges, which then decide by its voucher: name the
		// operator's links, not the pledges'.
		Interfaces []string `yaml:"interfaces"`
	} `yaml:"discover"`
	// Announce makes the proxy known to pledges, while it knows a registrar.
	// Without interfaces, those of listen.
	Announce announceConfig `yaml:"announce"`
	Limits   struct {
		Connections           int             `yaml:"connections"`             // in all; default 256
		ConnectionsPerAddress int             `yaml:"connections_per_address"` // (global IPv6: /64); default 8
		FirstBytes            config.Duration `yaml:"first_bytes"`             // until a pledge says something; default 10s
		Dial                  config.Duration `yaml:"dial"`                    // until a registrar answers; default 5s
		Idle                  config.Duration `yaml:"idle"`                    // for which nothing passes; default 2m
		Lifetime              config.Duration `yaml:"lifetime"`                // of a circuit; default 30m
		BytesPerSecond        int             `yaml:"bytes_per_second"`        // each way of a circuit, after 256 KiB; default 1 MiB
		Drain                 config.Duration `yaml:"drain"`                   // for circuits to end at a stop; default 20s
	} `yaml:"limits"`
	Log logConfig `yaml:"log"`
}

// loadJoinProxyConfig reads and checks a joinproxy.yaml.
func loadJoinProxyConfig(file string) (*joinProxyConfig, error) {
	c := &joinProxyConfig{}
	return c, c.load(file, "BRISKEST_JOINPROXY", c)
}

func (c *joinProxyConfig) check() error {
	if c.Version != 1 {
		return fmt.Errorf("version is %d; this program reads version 1", c.Version)
	}
	if len(c.Listen.Addresses)+len(c.Listen.Interfaces) == 0 {
		return errors.New("the key listen is empty: no pledge could connect; name addresses or interfaces")
	}
	if len(c.Listen.Interfaces) != 0 && c.Listen.Port == 0 {
		return errors.New("the key listen.port is missing: listen.interfaces need one")
	}
	if len(c.Registrars) == 0 && !c.Discover.MDNS {
		return errors.New("no registrar is named, and discover.mdns is off: there would be nowhere to connect to")
	}
	if c.Discover.MDNS && len(c.Discover.Interfaces) == 0 {
		return errors.New("the key discover.interfaces is missing: name the links that registrars may be found on, and not the pledges'")
	}
	for _, a := range slices.Concat(c.Listen.Addresses, c.Registrars) {
		if err := checkEndpoint(a); err != nil {
			return err
		}
	}
	l := &c.Limits
	for _, n := range []int{l.Connections, l.ConnectionsPerAddress, l.BytesPerSecond, int(l.FirstBytes), int(l.Dial), int(l.Idle), int(l.Lifetime), int(l.Drain)} {
		if n < 0 {
			return fmt.Errorf("a limit is %d; use 0 for the default", n)
		}
	}
	return nil
}

func checkEndpoint(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || host == "" {
		return fmt.Errorf("%q is not of the form HOST:PORT", address)
	}
	return nil
}

func (c *joinProxyConfig) limits() joinproxy.Limits {
	l := &c.Limits
	return joinproxy.Limits{
		Connections: l.Connections, ConnectionsPerAddress: l.ConnectionsPerAddress, BytesPerSecond: l.BytesPerSecond,
		FirstBytes: time.Duration(l.FirstBytes), Dial: time.Duration(l.Dial), Idle: time.Duration(l.Idle),
		Lifetime: time.Duration(l.Lifetime), Drain: time.Duration(l.Drain),
	}
}

// listeners opens all that pledges connect to.
func (c *joinProxyConfig) listeners(ctx context.Context) ([]net.Listener, error) {
	addresses := slices.Clone(c.Listen.Addresses)
	for _, name := range c.Listen.Interfaces {
		found, err := linkLocal(name)
		if err != nil {
			return nil, c.wrong(err)
		}
		for _, a := range found {
			addresses = append(addresses, netip.AddrPortFrom(a, c.Listen.Port).String())
		}
	}
	var all []net.Listener
	for _, a := range addresses {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", a)
		if err != nil {
			for _, open := range all {
				discard(open.Close)
			}
			return nil, fmt.Errorf("listening for pledges: %w", err)
		}
		all = append(all, l)
	}
	return all, nil
}

// linkLocal are the IPv6 link-local addresses of an interface.
func linkLocal(name string) ([]netip.Addr, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("listen.interfaces: there is no interface %q: %w", name, err)
	}
	addresses, err := i.Addrs()
	if err != nil {
		return nil, err
	}
	var found []netip.Addr
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			found = append(found, p.Addr().WithZone(name))
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("listen.interfaces: %s has no IPv6 link-local address; switch IPv6 on, or name listen.addresses", name)
	}
	return found, nil
}
