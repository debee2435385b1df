package est

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
)

// errSessionOver says that a session's connection was closed, so that what is linked to it has to be made again.
var errSessionOver = errors.New("the connection is closed")

// session is one connection, whose handshake is done, and HTTP over it and no other.
type session struct {
	conn *tls.Conn
	http *http.Transport
}

// open connects to the origin of u. names are the hosts of the configured URI and of each redirect, u's last.
func (c *Client) open(ctx context.Context, u *url.URL, cfg *tls.Config) (*session, error) {
	conn, err := c.dialTLS(ctx, "tcp", hostPort(u), cfg)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn}
	var taken atomic.Bool
	s.http = newTransport(func(context.Context, string, string) (net.Conn, error) {
		if taken.Swap(true) {
			return nil, errSessionOver
		}
		return conn, nil
	})
	return s, nil
}

// binding is the channel binding of the session: tls-unique in TLS 1.2 (RFC 7030, Section 3.5), tls-exporter since
// TLS 1.3 (RFC 9266, Section 2); nil where there is none.
func (s *session) binding() []byte {
	cs := s.conn.ConnectionState()
	return LinkPolicy{}.channelBinding(&cs)
}

func (s *session) close() {
	if s != nil {
		s.http.CloseIdleConnections()
		_ = s.conn.Close()
	}
}
