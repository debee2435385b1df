package estserver_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/briskest/briskest/internal/testpki"
)

func tlsMutations() []mutation {
	old := func(version uint16) fault {
		return front(func(c *clientHello) []byte {
			if c.raw() && c.version == version && len(c.suites) > 15 {
				return serverHello(version, 0xc009, 0)
			}
			return nil
		})
	}
	agrees := func(suite uint16) fault {
		return front(func(c *clientHello) []byte {
			if c.raw() && slices.Contains(c.suites, suite) && len(c.suites) < 15 {
				return serverHello(c.version, suite, 0)
			}
			return nil
		})
	}
	answers := func(when func(*clientHello) bool, compression byte, extensions ...byte) fault {
		return front(func(c *clientHello) []byte {
			if c.raw() && when(c) {
				return serverHello(c.version, 0xc02b, compression, extensions...)
			}
			return nil
		})
	}
	has := func(n uint16) func(*clientHello) bool { return func(c *clientHello) bool { return c.has(n) } }
	handshake := []byte{21, 3, 3, 0, 2, 2, 40} // alert handshake_failure
	return []mutation{
		breaks("RFC7030-3.3-1", "answers without TLS", front(func(c *clientHello) []byte {
			if c.plain {
				return []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
			return nil
		})),
		breaks("RFC7030-3.3-2", "resumes no session", func(h *house) { h.tls.SessionTicketsDisabled = true }),
		breaks("RFC9325-3.1.1-1", "speaks SSL 3.0", old(0x0300)),
		breaks("RFC9325-3.1.1-2", "speaks TLS 1.0", func(h *house) { h.tls.MinVersion = tls.VersionTLS10 }),
		breaks("RFC9325-3.1.1-3", "speaks TLS 1.1", old(0x0302)),
		breaks("RFC9325-3.1.1-4", "speaks TLS 1.3 alone", func(h *house) { h.tls.MinVersion = tls.VersionTLS13 }),
		breaks("RFC9325-3.1.1-5", "speaks TLS 1.2 alone", func(h *house) { h.tls.MaxVersion = tls.VersionTLS12 }),
		breaks("RFC9325-4.1-1", "encrypts nothing", agrees(0x003b)),
		breaks("RFC9325-4.1-2", "is anonymous", agrees(0x0034)),
		breaks("RFC9325-4.1-3", "knows RC4", agrees(0xc011)),
		breaks("RFC9325-4.1-4", "knows EXPORT", agrees(0x0003)),
		breaks("RFC9325-4.1-5", "knows 3DES", agrees(0x0016)),
		breaks("RFC9325-4.1-6", "exchanges keys by RSA", agrees(0x003d)),
		breaks("RFC9325-4.1-7", "takes the client's order", front(func(c *clientHello) []byte {
			if c.raw() && len(c.suites) == 7 && c.suites[0] == 0x009c {
				return serverHello(c.version, 0x009c, 0)
			}
			return nil
		})),
		breaks("RFC9325-4.2-1", "knows no AES-256-GCM", front(func(c *clientHello) []byte {
			if slices.Equal(c.suites, []uint16{0xc02c, 0xc030}) {
				return handshake
			}
			return nil
		})),
		breaks("RFC7030-3.3.3-1", "takes shared keys", agrees(0x008c)),
		breaks("RFC9325-3.3-1", "compresses", answers(func(c *clientHello) bool { return slices.Contains(c.compression, 1) }, 1)),
		breaks("RFC9325-3.5-1", "renegotiates insecurely", answers(has(0xff01), 0)),
		breaks("RFC9325-3.5-2", "has no extended master secret", answers(has(23), 0)),
		breaks("RFC9325-3.6-1", "truncates HMACs", answers(has(4), 0, 0, 4, 0, 0)),
		breaks("RFC9325-3.7-1", "knows no name", func(h *house) {
			h.tls.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
				if info.ServerName != "" {
					return nil, errors.New("no such name")
				}
				return nil, nil
			}
		}),
		breaks("RFC9325-3.7-2", "wants a name", func(h *house) {
			h.byName = true
			h.tls.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
				if info.ServerName == "" {
					return nil, errors.New("name?")
				}
				return nil, nil
			}
		}),
		breaks("RFC9325-3.8-1", "knows no HTTP/1.1", func(h *house) { h.tls.NextProtos = []string{"odd"} }),
		breaks("RFC9325-3.8-2", "passes over ALPN", func(h *house) {
			without := h.tls.Clone()
			without.NextProtos = nil
			h.tls.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
				if slices.Contains(info.SupportedProtos, "briskest") {
					return without, nil
				}
				return nil, nil
			}
		}),
	}
}

// shows has the first client see another certificate: later ones would not
// get as far as their questions.
func shows(make func(h *house) tls.Certificate) fault {
	return func(h *house) {
		first := make(h)
		h.firstClient(func(c *tls.Config) { c.Certificates = []tls.Certificate{first} })
	}
}

// unasked does not ask the first client for a certificate.
func unasked(h *house) { h.firstClient(func(c *tls.Config) { c.ClientAuth = tls.NoClientCert }) }

// firstClient changes the configuration for the first connection.
func (h *house) firstClient(change func(*tls.Config)) {
	var clients atomic.Int32
	h.tls.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if clients.Add(1) > 1 {
			return nil, nil
		}
		c := h.tls.Clone()
		c.GetConfigForClient = nil
		change(c)
		return c, nil
	}
}

func certificateMutations() []mutation {
	issue := func(change func(*x509.Certificate)) func(h *house) tls.Certificate {
		return func(h *house) tls.Certificate {
			template := &x509.Certificate{
				Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
				ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 28}},
			}
			change(template)
			return h.backend.CA.Issue(h.t, template, testpki.NewKey(h.t)).TLS()
		}
	}
	return []mutation{
		breaks("RFC7030-3.3.1-1", "is somebody else", shows(issue(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.example"} }))),
		breaks("RFC7030-3.3.1-2", "has a certificate for clients", shows(issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }))),
		breaks("RFC7030-3.6.1-1", "is no registration authority", shows(issue(func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil }))),
		breaks("RFC9325-4.5-1", "has a short key", shows(shortKey)),
		breaks("RFC9325-4.5-2", "has a certificate under SHA-1", shows(issue(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }))),
	}
}

// shortKey is an RSA key of 1024 bits.
func shortKey(h *house) tls.Certificate {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		h.t.Fatal(err)
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "short"}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	return h.backend.CA.Issue(h.t, template, key).TLS()
}
