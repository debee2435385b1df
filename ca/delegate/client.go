package delegate

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
)

// Timeout is how long [NewClient] waits for an answer that no context bounds sooner.
const Timeout = 30 * time.Second

// NewClient returns a client for one CA's HTTPS server. It trusts roots and
// nothing else, presents own when that is not nil, uses no proxy and follows no
// redirect: a credential goes to the configured server and nowhere else. The
// server's name is checked against the URL's. zero for timeout is [Timeout].
func NewClient(roots []*x509.Certificate, own *tls.Certificate, timeout time.Duration) *http.Client {
	pool := x509.NewCertPool()
	for _, root := range roots {
		pool.AddCert(root)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	if own != nil {
		conf.Certificates = []tls.Certificate{*own}
	}
	if timeout <= 0 {
		timeout = Timeout
	}
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext:     (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSClientConfig: conf, TLSHandshakeTimeout: 10 * time.Second,
			// A connection that the server closes just as a request leaves loses
			// its answer: few are kept, and not for long.
			MaxIdleConnsPerHost: 8, IdleConnTimeout: 20 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
