package brskiregistrar

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/voucher"
)

// transport: the pledge's connection.
func transport() []check {
	version := func(id string, v uint16) check {
		return check{
			ID: id, Level: should, Text: "a pledge that speaks " + tls.VersionName(v) + " alone gets its voucher",
			Requirements: rows("BRSKI-8995-5.1-02"), Run: taken(asking{options: wire.Options{Min: v, Max: v}}),
		}
	}
	return slices.Concat(
		in("RFC 8446, Section 4.2.1",
			version("RFC8446-4.2.1-REG-1", tls.VersionTLS12),
			version("RFC8446-4.2.1-REG-2", tls.VersionTLS13),
			check{
				ID: "RFC8446-4.2.1-REG-3", Level: should, Text: "TLS 1.1 is not agreed on",
				Requirements: rows("BRSKI-8995-5.1-02"), Run: func(ctx context.Context, t *Target) error {
					a, err := t.Hello(ctx, &wire.Hello{Version: tls.VersionTLS11, Suites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}})
					if err == nil && a.Agreed {
						err = fmt.Errorf("a ClientHello of TLS 1.1 is answered with a ServerHello of %s", tls.VersionName(a.Version))
					}
					return err
				},
			},
		),
		in("RFC 8995, Erratum 6648", check{
			ID: "RFC8995-E6648-REG-1", Level: must, Text: "the certificate does not depend on the name in the pledge's ClientHello",
			Requirements: rows("BRSKI-8995-ERRATA-6648-01"), Run: runAnyName,
		}),
		in("RFC 8995, Section 5", check{
			ID: "RFC8995-5-REG-1", Level: should, Text: "one connection carries requestvoucher, voucher_status and cacerts",
			Requirements: rows("BRSKI-8995-5-03"), Run: runPersistent,
		}),
	)
}

// runAnyName compares what is presented without a name and under one that nobody has.
func runAnyName(ctx context.Context, t *Target) error {
	var certs [][]byte
	for _, name := range []string{"", "no-such-name.example"} {
		c, err := t.Dial(ctx, &wire.Options{Certificate: t.Pledge, Untrusted: true, ServerName: name})
		if err != nil {
			return fmt.Errorf("server_name %q: %w", name, err)
		}
		certs = append(certs, c.State().PeerCertificates[0].Raw)
		c.Close()
	}
	if !bytes.Equal(certs[0], certs[1]) {
		return fmt.Errorf("the certificate under a name of nobody's is another one: a pledge that comes by its address cannot know the name")
	}
	return nil
}

// masaConnections: the registrar as the MASA's client (RFC 8995, Section 5.4).
func masaConnections() []check {
	return slices.Concat(
		in("RFC 8995, Section 2.3.2",
			check{
				ID: "RFC8995-2.3.2-REG-1", Level: must, Text: "the MASA is asked at the path that the IDevID's MASA URL leads to",
				Requirements: rows("BRSKI-8995-2.3.2-02"), Run: seen(just(asking{}), func(x *exchange, a *arrival) error {
					base, err := voucher.MASAURL(leafOf(x.pledge))
					if err != nil {
						return skipf("the IDevID has no MASA URL: %v", err)
					}
					u, err := url.Parse(base)
					if err == nil && a.path != u.EscapedPath()+"/requestvoucher" {
						err = fmt.Errorf("the MASA was asked at %s, and its URL is %s", a.path, base)
					}
					return err
				}),
			},
			check{
				ID: "RFC8995-2.3.2-REG-2", Level: may, Text: "a complete URI in the IDevID is used with its path",
				Requirements: rows("BRSKI-8995-2.3.2-04"), Run: seen(with(func(t *Target) (*tls.Certificate, error) {
					return t.made(leadingTo(t.fresh(), "https://"+t.authority()+"/custom/brski"))
				}), func(_ *exchange, a *arrival) error {
					if a.path != "/custom/brski/requestvoucher" {
						return fmt.Errorf("the MASA was asked at %s, want /custom/brski/requestvoucher", a.path)
					}
					return nil
				}),
			},
			check{
				ID: "RFC8995-2.3.2-REG-3", Level: must, Text: "a MASA URL of the scheme http is not followed without TLS",
				Requirements: rows("BRSKI-8995-2.3.2-01"), Run: runNoPlaintext,
			},
		),
		in("RFC 8995, Section 5.4",
			check{
				ID: "RFC8995-5.4-REG-1", Level: should, Text: "a MASA whose server certificate nobody vouches for is sent nothing",
				Requirements: rows("BRSKI-8995-5.4-01", "BRSKI-8995-2.5.3-01"), Run: runFalseMASA,
			},
			check{
				ID: "RFC8995-5.4-REG-2", Level: should, Text: "the pledge is answered 4xx or 5xx when the MASA wants credentials",
				Requirements: rows("BRSKI-8995-5.4-05"), Run: masaFails(refuses(401)),
			},
			check{
				ID: "RFC8995-5.4-REG-3", Level: should, Text: "the registrar speaks TLS 1.3 to a MASA that does",
				Requirements: rows("BRSKI-8995-5.1-02"), Run: seen(just(asking{}), func(_ *exchange, a *arrival) error {
					if a.state.Version < tls.VersionTLS13 {
						return fmt.Errorf("the registrar came with %s", tls.VersionName(a.state.Version))
					}
					return nil
				}),
			},
		),
		in("RFC 8995, Erratum 6642", check{
			ID: "RFC8995-E6642-REG-1", Level: must, Text: "the registrar names the MASA's host in its ClientHello",
			Requirements: rows("BRSKI-8995-ERRATA-6642-01"), Run: seen(byName, func(x *exchange, a *arrival) error {
				if host := x.masaHost(); !strings.EqualFold(a.state.ServerName, host) {
					return fmt.Errorf("server_name is %q, want %q", a.state.ServerName, host)
				}
				return nil
			}),
		}),
	)
}

// byName is the pledge where its IDevID has a name for the MASA, else a device
// whose IDevID has "localhost" for a MASA on this machine: server_name carries no
// address (RFC 6066, Section 3).
func byName(t *Target) (asking, error) {
	host, port, err := net.SplitHostPort(t.authority())
	if err != nil {
		host = t.authority()
	}
	ip := net.ParseIP(host)
	switch {
	case host != "" && ip == nil:
		return asking{}, nil
	case ip != nil && ip.IsLoopback() && leafOf(t.MASA.Certificate).VerifyHostname("localhost") == nil:
		pledge, err := t.made(leadingTo(t.fresh(), "https://"+net.JoinHostPort("localhost", port)+"/.well-known/brski"))
		return asking{pledge: pledge}, err
	default:
		return asking{}, skipf("the MASA's host in the IDevID is an address, which server_name does not carry; use an IDevID with a name")
	}
}

func (x *exchange) masaHost() string {
	base, err := voucher.MASAURL(leafOf(x.pledge))
	if err != nil {
		return ""
	}
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// authority is where the pledge's IDevID leads.
func (t *Target) authority() string {
	base, err := voucher.MASAURL(leafOf(t.Pledge))
	if err != nil {
		return t.MASA.addr.String()
	}
	u, err := url.Parse(base)
	if err != nil {
		return t.MASA.addr.String()
	}
	return u.Host
}

func runNoPlaintext(ctx context.Context, t *Target) error {
	if err := t.need(ctx); err != nil {
		return err
	}
	pledge, err := t.made(leadingTo(t.fresh(), "http://"+t.authority()+"/.well-known/brski"))
	if err != nil {
		return err
	}
	before := t.MASA.plaintext()
	x, err := t.ask(ctx, asking{pledge: pledge})
	switch {
	case t.MASA.plaintext() > before:
		return fmt.Errorf("the registrar opened a connection to the MASA without TLS")
	case err != nil:
		return err
	case x.answer.OK() && len(x.requested()) == 0:
		return fmt.Errorf("%v, and the MASA was not asked over TLS", x.answer)
	}
	return nil
}

func runFalseMASA(ctx context.Context, t *Target) error {
	if err := t.need(ctx); err != nil {
		return err
	}
	template := t.device()
	own := leafOf(t.MASA.Certificate)
	template.RawSubject, template.DNSNames, template.IPAddresses, template.ExtraExtensions = own.RawSubject, own.DNSNames, own.IPAddresses, nil
	if host := t.host(); net.ParseIP(host) != nil {
		template.IPAddresses = []net.IP{net.ParseIP(host)}
	} else {
		template.DNSNames = []string{host}
	}
	fake, err := issue(template, nil, nil)
	if err != nil {
		return err
	}
	defer t.MASA.presents(fake)()
	x, err := t.ask(ctx, asking{})
	switch {
	case err != nil:
		return err
	case len(x.seen) > 0:
		return fmt.Errorf("the registrar sent %s to a server that signed its own certificate", x.seen[0].path)
	case x.answer.OK():
		return fmt.Errorf("%v, and the MASA was not asked", x.answer)
	}
	return nil
}

func (t *Target) host() string {
	host, _, err := net.SplitHostPort(t.authority())
	if err != nil {
		return t.authority()
	}
	return host
}
