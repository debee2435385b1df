package estclient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/conformance/estclient"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/est"
)

// client is the library's client, as a small program would use it. Faults make
// it careless.
type client struct {
	t     testing.TB
	conns atomic.Int64 // of one run, as far as verify counts them
	// The faults; nil and false for none.
	change   func(*est.Client)
	verify   func(cs *tls.ConnectionState, roots *x509.CertPool) error // in place of the library's
	trust    func(old *x509.CertPool, set *est.CASet) *x509.CertPool   // in place of the anchors
	forgive  func(error) bool                                          // success all the same
	skip     bool                                                      // cacerts
	enroll   func(ctx context.Context, c *est.Client, p *unkind.Play) (*est.Enrolled, error)
	pick     func(p *unkind.Play) *x509.Certificate // in place of what came
	tampered bool                                   // http is used with what follows
	mend     func(*http.Response)                   // what the library gets to see
	request  func(*http.Request)                    // what the server gets to see
	again    func(*http.Response) bool              // repeat at once
	sniff    func([]byte) error                     // what comes in the connection
	http     func(*http.Client, *tls.Config)
}

// start returns a target for the client.
func start(t testing.TB, faults ...func(*client)) *estclient.Target {
	t.Helper()
	c := &client{t: t}
	for _, f := range faults {
		f(c)
	}
	return &estclient.Target{House: unkind.House{Start: c.run, Dir: t.TempDir()}}
}

func (c *client) run(ctx context.Context, p *unkind.Play) (*unkind.Outcome, error) {
	c.conns.Store(0)
	err := c.play(ctx, p)
	if err != nil && c.forgive != nil && c.forgive(err) {
		err = nil
	}
	if err != nil {
		return &unkind.Outcome{Known: true, Output: err.Error()}, nil
	}
	return &unkind.Outcome{Known: true, Took: true}, nil
}

// play fetches the CA certificates, trusts these from then on, and enrolls.
func (c *client) play(ctx context.Context, p *unkind.Play) error {
	roots := c.pool(p.Environment["BRISKEST_CA"])
	if !c.skip {
		ec := c.client(p, roots)
		defer ec.CloseIdleConnections()
		set, err := ec.TrustedCACerts(ctx)
		switch {
		case err == nil && c.trust != nil:
			roots = c.trust(roots, set)
		case err == nil:
			roots = set.Pool()
		case c.forgive == nil || !c.forgive(err):
			return err
		}
	}
	ec := c.client(p, roots)
	defer ec.CloseIdleConnections()
	enroll := c.enroll
	if enroll == nil {
		enroll = get
	}
	got, err := enroll(ctx, ec, p)
	if err != nil {
		return err
	}
	cert := got.Certificate
	if c.pick != nil {
		cert = c.pick(p)
	}
	return os.WriteFile(filepath.Join(p.Environment["BRISKEST_STATE"], "cert.pem"), unkind.PEM(cert), 0o600)
}

// get enrolls or renews.
func get(ctx context.Context, ec *est.Client, p *unkind.Play) (*est.Enrolled, error) {
	e := &est.Enrollment{MaxWait: 5 * time.Second}
	if p.Environment["BRISKEST_OPERATION"] == "reenroll" {
		return ec.Reenroll(ctx, e)
	}
	e.Names = &x509.CertificateRequest{Subject: pkix.Name{CommonName: p.Environment["BRISKEST_SUBJECT"]}}
	return ec.Enroll(ctx, e)
}

func (c *client) client(p *unkind.Play, roots *x509.CertPool) *est.Client {
	user, password, _ := strings.Cut(strings.TrimSpace(string(c.file(p.Environment["BRISKEST_USER_FILE"]))), ":")
	ec := &est.Client{URL: p.Environment["BRISKEST_URL"], Roots: roots, User: user, Password: est.Secret(password)}
	if p.Environment["BRISKEST_OPERATION"] == "reenroll" {
		held, err := tls.LoadX509KeyPair(p.Environment["BRISKEST_CERT"], p.Environment["BRISKEST_KEY"])
		if err != nil {
			c.t.Fatal(err)
		}
		ec.Certificate = &held
	}
	if c.verify != nil {
		ec.TLSConfig = &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(cs tls.ConnectionState) error { //nolint:gosec // VerifyConnection verifies
			return c.verify(&cs, roots)
		}}
	}
	if c.change != nil {
		c.change(ec)
	}
	if c.tampered {
		ec.HTTP = c.tampering(ec, roots)
	}
	return ec
}

// tampering is an HTTP client with faults.
func (c *client) tampering(ec *est.Client, roots *x509.CertPool) *http.Client {
	config := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(cs tls.ConnectionState) error { //nolint:gosec // VerifyConnection verifies
		return properly(&cs, roots)
	}}
	if ec.Certificate != nil {
		config.Certificates = []tls.Certificate{*ec.Certificate}
	}
	transport := &http.Transport{}
	h := &http.Client{Transport: &tampering{c, transport}}
	if c.http != nil {
		c.http(h, config)
	}
	transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, network, address)
		if err != nil || c.sniff == nil {
			return conn, err
		}
		return &sniffing{conn, c.sniff}, nil
	}
	return h
}

// properly verifies a server as the library does: its chain, and its name or
// that it is a registration authority.
func properly(cs *tls.ConnectionState, roots *x509.CertPool) error {
	if err := chain(cs, roots, x509.VerifyOptions{}); err != nil {
		return err
	}
	return named(cs)
}

func chain(cs *tls.ConnectionState, roots *x509.CertPool, o x509.VerifyOptions) error {
	o.Roots, o.Intermediates = roots, x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := cs.PeerCertificates[0].Verify(o)
	return err
}

func named(cs *tls.ConnectionState) error {
	leaf := cs.PeerCertificates[0]
	if slices.ContainsFunc(leaf.UnknownExtKeyUsage, unkind.CMCRA().Equal) {
		return nil
	}
	return leaf.VerifyHostname("127.0.0.1")
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

type tampering struct {
	c    *client
	next *http.Transport
}

// RoundTrip implements [http.RoundTripper].
func (t *tampering) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.c.request != nil {
		r = r.Clone(r.Context())
		t.c.request(r)
	}
	response, err := t.next.RoundTrip(r)
	if err == nil && t.c.again != nil && t.c.again(response) {
		_ = response.Body.Close() // read to its end or not
		if r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
		response, err = t.next.RoundTrip(r)
	}
	if err == nil && t.c.mend != nil {
		t.c.mend(response)
	}
	return response, err
}

// CloseIdleConnections is what an [http.Client] asks for.
func (t *tampering) CloseIdleConnections() { t.next.CloseIdleConnections() }

func (c *client) file(name string) []byte {
	data, err := os.ReadFile(name)
	if err != nil {
		c.t.Error(err)
	}
	return data
}

func (c *client) read(name string) []*x509.Certificate {
	var certs []*x509.Certificate
	for rest := c.file(name); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return certs
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			c.t.Error(err)
			return certs
		}
		certs = append(certs, cert)
	}
}

func (c *client) pool(name string) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, cert := range c.read(name) {
		pool.AddCert(cert)
	}
	return pool
}
