package pledge_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
)

// RFC 6874, Section 2: join proxies have link-local addresses (RFC 8995, Section
// 4.1.1), and a URL has their zone escaped.
func TestAProxyAtALinkLocalAddressIsReached(t *testing.T) {
	const proxy = "[fe80::1%eth0]:8443"
	w := brskitest.New(t)
	d := newDevice(t, w, func(c *pledge.Config) {
		c.RegistrarURL = pledge.CandidateAt(netip.MustParseAddrPort(proxy)).URL
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != proxy {
				t.Errorf("the pledge connects to %s, want %s", address, proxy)
			}
			return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(w.URL, "https://"))
		}
	})
	d.onboard()
}
