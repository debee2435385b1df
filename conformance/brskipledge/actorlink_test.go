package brskipledge_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/briskest/briskest/conformance/unkind"
)

// connect begins anew.
func (v *visit) connect() error {
	v.shows, v.server, v.pin, v.conns = &v.idevid, nil, nil, 0
	v.http = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &faulty{v, &http.Transport{DialTLSContext: v.dial, DisableCompression: true}},
	}
	u, err := url.Parse(v.base)
	if err != nil {
		return err
	}
	v.ready, err = v.dial(v.ctx, "tcp", u.Host)
	return v.check("handshake", err)
}

// dial makes a connection.
func (v *visit) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c := v.ready; c != nil {
		v.ready = nil
		return c, nil
	}
	v.conns++
	shows := *v.shows
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, VerifyConnection: v.verify, //nolint:gosec // VerifyConnection verifies
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &shows, nil },
	}
	if v.connects != nil {
		v.connects(v.conns, config)
	}
	c, err := (&tls.Dialer{Config: config}).DialContext(ctx, network, address)
	if err != nil || v.sniffs == nil {
		return c, err
	}
	return &sniffing{c, v.sniffs}, nil
}

func (v *visit) verify(state tls.ConnectionState) error {
	switch {
	case v.pin != nil:
		return v.check("later connections", v.pinned(state.PeerCertificates))
	case v.server == nil:
		v.server = state.PeerCertificates
	case !bytes.Equal(v.server[0].Raw, state.PeerCertificates[0].Raw):
		return v.check("face", errors.New("the registrar has another certificate"))
	}
	return nil
}

// sniffing reads along.
type sniffing struct {
	net.Conn
	sniff func([]byte) error
}

// Read implements [net.Conn].
func (s *sniffing) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err == nil {
		err = s.sniff(p[:n])
	}
	return n, err
}

// faulty is HTTP with faults.
type faulty struct {
	v    *visit
	next *http.Transport
}

// RoundTrip implements [http.RoundTripper].
func (f *faulty) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.v.asks != nil {
		r = r.Clone(r.Context())
		f.v.asks(r)
	}
	response, err := f.next.RoundTrip(r)
	if err == nil && f.v.hears != nil {
		if err = f.v.hears(response); err != nil {
			_ = response.Body.Close() // nobody reads it
			return nil, err
		}
	}
	return response, err
}

// CloseIdleConnections is what an [http.Client] asks for.
func (f *faulty) CloseIdleConnections() { f.next.CloseIdleConnections() }

// isCMCRA tells a registration authority.
func isCMCRA(c *x509.Certificate) bool {
	return slices.ContainsFunc(c.UnknownExtKeyUsage, unkind.CMCRA().Equal)
}
