package cmpca

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"

	"github.com/briskest/briskest/ca"
)

// Check tells whether the CA's port takes connections; nothing is sent: CMP has no
// question that every server answers. Its error is ca.ErrUnavailable.
func (c *CA) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.s.Timeout)
	defer cancel()
	u, err := url.Parse(c.s.URL)
	if err != nil {
		return fmt.Errorf("cmpca: %w", err)
	}
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return fmt.Errorf("cmpca: %w: %w", ca.ErrUnavailable, err)
	}
	return conn.Close()
}
