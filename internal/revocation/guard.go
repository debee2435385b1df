package revocation

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
)

// fetchable refuses addresses that are not asked (RFC 5280, Section 4.2.1.13,
// has ldap and others too).
func fetchable(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is no address", address)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q: only http and https are fetched", address)
	case u.Hostname() == "" || u.User != nil:
		return nil, fmt.Errorf("%q: an address with a host and without a user is needed", address)
	}
	return u, nil
}

// maxRedirects is how often a host may send us on to itself.
const maxRedirects = 3

// client makes an HTTP client that connects only where permit lets it. It
// keeps no connection, so that none is used for what another client may not do.
func (f *Fetcher) client(permit func(netip.Addr) error) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return f.dial(ctx, network, address, permit)
			},
			TLSClientConfig:        &tls.Config{RootCAs: f.config.Roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			DisableCompression:     true, // what is read is bounded as it comes
			MaxResponseHeaderBytes: 16 << 10,
			ResponseHeaderTimeout:  f.config.Timeout,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects || !strings.EqualFold(r.URL.Host, via[0].URL.Host) || r.URL.Scheme != via[0].URL.Scheme {
				return errors.New("the server sends on to another address")
			}
			return nil
		},
	}
}

// dial resolves the host, and connects to an address that was checked: what
// the name means a moment later does not matter.
func (f *Fetcher) dial(ctx context.Context, network, address string, permit func(netip.Addr) error) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addresses, err := f.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	refused := fmt.Errorf("%s has no address", host)
	for _, a := range addresses[:min(len(addresses), 8)] {
		if permit != nil {
			if err := permit(a); err != nil {
				refused = err
				continue
			}
		}
		conn, err := f.connect(ctx, network, a, port)
		if err == nil {
			return conn, nil
		}
		refused = err
	}
	return nil, refused
}

func (f *Fetcher) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if f.config.Lookup != nil {
		return f.config.Lookup(ctx, host)
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

func (f *Fetcher) connect(ctx context.Context, network string, a netip.Addr, port string) (net.Conn, error) {
	leave, err := f.enter(ctx, a)
	if err != nil {
		return nil, err
	}
	dial := f.config.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: f.config.Timeout}).DialContext
	}
	conn, err := dial(ctx, network, net.JoinHostPort(a.String(), port))
	if err != nil {
		leave()
		return nil, err
	}
	return &counted{Conn: conn, leave: leave}, nil
}

// near is the connections to one neighborhood.
type near struct {
	places chan struct{}
	users  int // connected and waiting; guarded by Fetcher.mu
}

// enter waits for a place in the address's neighborhood, and only then for one
// of all. Call leave when the connection is closed.
func (f *Fetcher) enter(ctx context.Context, a netip.Addr) (leave func(), err error) {
	bits := 48
	if a = a.Unmap(); a.Is4() {
		bits = 24
	}
	where, err := a.Prefix(bits)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	n := f.near[where]
	if n == nil {
		n = &near{places: make(chan struct{}, neighborhood)}
		f.near[where] = n
	}
	n.users++
	f.mu.Unlock()
	forget := func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if n.users--; n.users == 0 {
			delete(f.near, where)
		}
	}
	select {
	case n.places <- struct{}{}:
	case <-ctx.Done():
		forget()
		return nil, fmt.Errorf("%d fetches from %s did not end: %w", neighborhood, where, ctx.Err())
	}
	select {
	case f.places <- struct{}{}:
	case <-ctx.Done():
		<-n.places
		forget()
		return nil, ctx.Err()
	}
	return sync.OnceFunc(func() {
		<-f.places
		<-n.places
		forget()
	}), nil
}

// counted is a connection that is counted until it is closed.
type counted struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// onlyPublic refuses addresses that are not of the public internet (the
// registries of RFC 6890, Section 2.2), those that lead to IPv4 ones by
// translation or a tunnel included.
func onlyPublic(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	if a.IsGlobalUnicast() && !a.IsPrivate() {
		inside := false
		for _, p := range notPublic() {
			inside = inside || p.Contains(a)
		}
		if !inside {
			return nil
		}
	}
	return fmt.Errorf("%s is no public address: name the host in the configuration if it is to be asked", a)
}

func notPublic() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
		netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
		netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
		netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"),
		netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("3fff::/20"), netip.MustParsePrefix("5f00::/16"),
		netip.MustParsePrefix("fec0::/10"),
	}
}
