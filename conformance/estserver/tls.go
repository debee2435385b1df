package estserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// transport: TLS versions, suites and extensions.
func transport() []check {
	return slices.Concat(
		in("RFC 7030, Section 3.3", sessions()...),
		in("RFC 9325, Section 3.1.1", versions()...),
		in("RFC 9325, Section 4.1", forbiddenSuites()...),
		in("RFC 9325, Section 4.2", check{
			ID: "RFC9325-4.2-1", Level: should, Text: "the recommended suites of TLS 1.2 with AES-128-GCM and AES-256-GCM are offered",
			Requirements: rows("EST-9325-4.2-01", "EST-9325-4.1-03"), Run: runRecommended,
		}),
		in("RFC 7030, Section 3.3.3", check{
			ID: "RFC7030-3.3.3-1", Level: must, Text: "suites with a shared key alone, which a dictionary breaks, are not taken",
			Requirements: rows("EST-7030-3.3.3-02", "EST-7030-3.3.3-01"), Run: agreesNot("PSK suites", 0x008c, 0x008d, 0x00a8, 0x00a9, 0x00ae, 0xc035, 0xc036),
		}),
		in("RFC 9325, Section 3", extensionsOfTLS()...),
	)
}

func sessions() []check {
	return []check{
		{
			ID: "RFC7030-3.3-1", Level: must, Text: "EST is not served without TLS",
			Requirements: rows("EST-7030-3.3-01", "EST-7030-3.2.3-02"), Run: runPlaintext,
		},
		{
			ID: "RFC7030-3.3-2", Level: should, Text: "a TLS session is resumed",
			Requirements: rows("EST-7030-3.3-03"), Run: runResumption,
		},
	}
}

func runPlaintext(ctx context.Context, t *Target) error {
	a, err := t.Plaintext(ctx, &wire.Request{Method: "GET", Path: t.path(est.OpCACerts), Close: true})
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return nil // it hangs up, or answers what is no HTTP
	}
	if a.OK() {
		return fmt.Errorf("%v without TLS", a)
	}
	return nil
}

func runResumption(ctx context.Context, t *Target) error {
	cache := tls.NewLRUClientSessionCache(4)
	for range 2 {
		c, err := t.Dial(ctx, &wire.Options{Sessions: cache})
		if err != nil {
			return err
		}
		// The tickets of TLS 1.3 come with the first answer.
		_, err = c.Do(ctx, &wire.Request{Method: "GET", Path: t.path(est.OpCACerts)})
		resumed := c.State().DidResume
		c.Close()
		if err != nil || resumed {
			return err
		}
	}
	return fmt.Errorf("the second handshake was a full one, although the client offered the session of the first")
}

func versions() []check {
	old := func(id, text string, version uint16) check {
		return check{
			ID: id, Level: must, Text: text, Requirements: rows("EST-9325-3.1.1-01", "EST-7030-3.3-02"),
			Run: func(ctx context.Context, t *Target) error {
				a, err := t.Hello(ctx, &wire.Hello{Version: version, Suites: manySuites()})
				if err != nil {
					return err
				}
				if a.Agreed && a.Version <= version {
					return fmt.Errorf("the server agreed on %s", tls.VersionName(a.Version))
				}
				return nil
			},
		}
	}
	return []check{
		old("RFC9325-3.1.1-1", "SSL 3.0 is not taken", 0x0300),
		old("RFC9325-3.1.1-2", "TLS 1.0 is not taken", tls.VersionTLS10),
		old("RFC9325-3.1.1-3", "TLS 1.1 is not taken", tls.VersionTLS11),
		{
			ID: "RFC9325-3.1.1-4", Level: must, Text: "TLS 1.2 is taken",
			Requirements: rows("EST-9325-3.1.1-02", "EST-7030-3.3-02"), Run: speaks(tls.VersionTLS12, tls.VersionTLS12),
		},
		{
			ID: "RFC9325-3.1.1-5", Level: should, Text: "TLS 1.3 is preferred",
			Requirements: rows("EST-9325-3.1.1-03"), Run: speaks(0, tls.VersionTLS13),
		},
	}
}

// speaks is a check that a client with that highest version ends up with it.
func speaks(highest, want uint16) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		c, err := t.Dial(ctx, &wire.Options{Max: highest})
		if err != nil {
			return err
		}
		defer c.Close()
		if got := c.State().Version; got != want {
			return fmt.Errorf("the server chose %s, want %s", tls.VersionName(got), tls.VersionName(want))
		}
		return nil
	}
}

// manySuites is what a client of any age may offer.
func manySuites() []uint16 {
	return []uint16{
		0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a, 0xc014, 0xc023, 0xc027,
		0x009c, 0x009d, 0x002f, 0x0035, 0x003c, 0x000a, 0xc012, 0xc008,
	}
}

func forbiddenSuites() []check {
	return []check{
		{
			ID: "RFC9325-4.1-1", Level: must, Text: "suites without encryption are not taken",
			Requirements: rows("EST-9325-4.1-01", "EST-7030-3.2.3-03", "EST-7030-4.4-03"), Run: agreesNot("NULL suites", 0x0001, 0x0002, 0x003b, 0xc001, 0xc006, 0xc00b, 0xc010),
		},
		{
			ID: "RFC9325-4.1-2", Level: must, Text: "suites without authentication are not taken",
			Requirements: rows("EST-7030-3.2.3-03"), Run: agreesNot("anonymous suites", 0x0018, 0x001b, 0x0034, 0x003a, 0x006c, 0x00a6, 0xc017, 0xc018, 0xc019),
		},
		{
			ID: "RFC9325-4.1-3", Level: must, Text: "suites with RC4 are not taken",
			Requirements: rows("EST-9325-4.1-01"), Run: agreesNot("RC4 suites", 0x0004, 0x0005, 0xc007, 0xc011),
		},
		{
			ID: "RFC9325-4.1-4", Level: must, Text: "EXPORT and DES suites are not taken",
			Requirements: rows("EST-7030-6-04", "EST-9325-4.1-01"), Run: agreesNot("EXPORT and DES suites", 0x0003, 0x0006, 0x0008, 0x0009, 0x000b, 0x000e, 0x0011, 0x0012, 0x0014, 0x0015, 0x0019, 0x001a),
		},
		{
			ID: "RFC9325-4.1-5", Level: should, Text: "suites with 3DES, below 128 bits, are not taken",
			Requirements: rows("EST-9325-4.1-02"), Run: agreesNot("3DES suites", 0x000a, 0x0016, 0xc008, 0xc012),
		},
		{
			ID: "RFC9325-4.1-6", Level: should, Text: "suites whose key exchange is RSA, without forward secrecy, are not taken",
			Requirements: rows("EST-9325-4.1-02"), Run: agreesNot("RSA key exchange", 0x002f, 0x0035, 0x003c, 0x003d, 0x009c, 0x009d),
		},
		{
			ID: "RFC9325-4.1-7", Level: must, Text: "forward secrecy is preferred to the client's order",
			Requirements: rows("EST-9325-4.1-03"), Run: runForwardSecrecy,
		},
	}
}

// agreesNot is a check that the server agrees on none of these suites.
func agreesNot(what string, suites ...uint16) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS10} {
			a, err := t.Hello(ctx, &wire.Hello{Version: version, Suites: suites})
			if err != nil {
				return err
			}
			if a.Agreed {
				return fmt.Errorf("the server agreed on %s with a client that offers %s alone", tls.CipherSuiteName(a.Suite), what)
			}
		}
		return nil
	}
}

func runForwardSecrecy(ctx context.Context, t *Target) error {
	a, err := t.Hello(ctx, &wire.Hello{Version: tls.VersionTLS12, Suites: []uint16{0x009c, 0x002f, 0x0035, 0xc02b, 0xc02f, 0xc02c, 0xc030}})
	if err != nil {
		return err
	}
	if !a.Agreed {
		return conformance.Skip("the server does not agree on TLS 1.2 (see RFC9325-3.1.1-4)")
	}
	if a.Suite>>8 != 0xc0 {
		return fmt.Errorf("the server chose %s, although the client offers ECDHE", tls.CipherSuiteName(a.Suite))
	}
	return nil
}

func runRecommended(ctx context.Context, t *Target) error {
	if err := t.needTLS12(ctx); err != nil {
		return err
	}
	for what, suites := range map[string][]uint16{"AES-128-GCM": {0xc02b, 0xc02f}, "AES-256-GCM": {0xc02c, 0xc030}} {
		a, err := t.Hello(ctx, &wire.Hello{Version: tls.VersionTLS12, Suites: suites})
		if err != nil {
			return err
		}
		if !a.Agreed {
			return fmt.Errorf("the server does not agree on ECDHE with %s in TLS 1.2", what)
		}
	}
	return nil
}

func extensionsOfTLS() []check {
	return []check{
		{
			ID: "RFC9325-3.3-1", Level: should, Text: "TLS does not compress",
			Requirements: rows("EST-9325-3.3-01"), Run: hello(&wire.Hello{Compression: []byte{1, 0}}, func(a *wire.HelloAnswer) error {
				if a.Compression != 0 {
					return fmt.Errorf("the server chose compression %d", a.Compression)
				}
				return nil
			}),
		},
		{
			ID: "RFC9325-3.5-1", Level: must, Text: "TLS 1.2 renegotiates securely or not at all: renegotiation_info is answered",
			Requirements: rows("EST-9325-3.5-01", "EST-7030-3.5-06"), Run: answersExtension(wire.ExtRenegotiation, []byte{0}, "renegotiation_info"),
		},
		{
			ID: "RFC9325-3.5-2", Level: must, Text: "TLS 1.2 has the extended master secret",
			Requirements: rows("EST-9325-3.5-01", "EST-9266-4.1-01"), Run: answersExtension(wire.ExtMasterSecret, nil, "extended_master_secret"),
		},
		{
			ID: "RFC9325-3.6-1", Level: must, Text: "the truncated HMAC is not used",
			Requirements: rows("EST-9325-4.6-01"), Run: hello(&wire.Hello{Extensions: map[uint16][]byte{wire.ExtTruncatedHMAC: nil}}, func(a *wire.HelloAnswer) error {
				if _, ok := a.Extensions[wire.ExtTruncatedHMAC]; ok {
					return fmt.Errorf("the server agreed on truncated_hmac")
				}
				return nil
			}),
		},
		{
			ID: "RFC9325-3.7-1", Level: must, Text: "a client that names the server (SNI) is served",
			Requirements: rows("EST-9325-3.7-01"), Run: runSNI,
		},
		{
			ID: "RFC9325-3.7-2", Level: must, Text: "a client that does not name the server is served",
			Requirements: rows("EST-9325-3.7-02"), Run: hello(&wire.Hello{NoName: true}, func(*wire.HelloAnswer) error { return nil }),
		},
		{
			ID: "RFC9325-3.8-1", Level: must, Text: "HTTP/1.1 is chosen by ALPN",
			Requirements: rows("EST-9325-3.8-01"), Run: runALPN,
		},
		{
			ID: "RFC9325-3.8-2", Level: must, Text: "an unknown protocol in ALPN is refused with no_application_protocol",
			Requirements: rows("EST-9325-3.8-01"), Run: runUnknownALPN,
		},
	}
}

// hello is a check of what the server says to a ClientHello of TLS 1.2.
func hello(h *wire.Hello, judge func(*wire.HelloAnswer) error) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		sent := *h
		sent.Version, sent.Suites = tls.VersionTLS12, manySuites()
		a, err := t.Hello(ctx, &sent)
		if err != nil {
			return err
		}
		if !a.Agreed {
			if err := t.needTLS12(ctx); err != nil {
				return err
			}
			if len(h.Extensions) == 0 && h.Compression == nil {
				return fmt.Errorf("the server ended the handshake with alert %d", a.Alert)
			}
		}
		return judge(a)
	}
}

// needTLS12 skips where an ordinary ClientHello of TLS 1.2 is refused.
func (t *Target) needTLS12(ctx context.Context) error {
	a, err := t.Hello(ctx, &wire.Hello{Version: tls.VersionTLS12, Suites: manySuites()})
	if err == nil && !a.Agreed {
		return conformance.Skip("the server does not agree on TLS 1.2 (see RFC9325-3.1.1-4)")
	}
	return err
}

func answersExtension(number uint16, data []byte, name string) func(context.Context, *Target) error {
	return hello(&wire.Hello{Extensions: map[uint16][]byte{number: data}}, func(a *wire.HelloAnswer) error {
		if !a.Agreed {
			return conformance.Skip("the server does not agree on TLS 1.2 (see RFC9325-3.1.1-4)")
		}
		if _, ok := a.Extensions[number]; !ok {
			return fmt.Errorf("the ServerHello has no %s", name)
		}
		return nil
	})
}

// The name is one that the server's certificate has.
func runSNI(ctx context.Context, t *Target) error {
	c, err := t.Dial(ctx, &wire.Options{})
	if err != nil {
		return err
	}
	names := c.State().PeerCertificates[0].DNSNames
	c.Close()
	if len(names) == 0 {
		return conformance.Skip("the server's certificate names no host")
	}
	c, err = t.Dial(ctx, &wire.Options{ServerName: names[0]})
	if err != nil {
		return fmt.Errorf("with the server name %q: %w", names[0], err)
	}
	defer c.Close()
	if err := c.State().PeerCertificates[0].VerifyHostname(names[0]); err != nil {
		return fmt.Errorf("asked for %q: %w", names[0], err)
	}
	return nil
}

func runALPN(ctx context.Context, t *Target) error {
	c, err := t.Dial(ctx, &wire.Options{Protocols: []string{"http/1.1"}})
	if err != nil {
		return err
	}
	defer c.Close()
	if got := c.State().NegotiatedProtocol; got != "http/1.1" {
		return fmt.Errorf("the server chose %q, want http/1.1", got)
	}
	return nil
}

// alertProtocolVersion is protocol_version (RFC 8446, Section 6).
const alertProtocolVersion = 70

func runUnknownALPN(ctx context.Context, t *Target) error {
	protocol := append([]byte{0, 9, 8}, "briskest"...)
	a, err := t.Hello(ctx, &wire.Hello{
		Version: tls.VersionTLS12, Suites: manySuites(), Extensions: map[uint16][]byte{wire.ExtALPN: protocol},
	})
	switch {
	case err != nil:
		return err
	case a.Agreed:
		return fmt.Errorf("the server agreed with a client that speaks an unknown protocol alone")
	case a.Alert == alertProtocolVersion:
		return conformance.Skip("the server ended the handshake because of TLS 1.2 (see RFC9325-3.1.1-4)")
	case a.Alert != wire.AlertNoProtocol:
		return fmt.Errorf("the server ended the handshake with alert %d, want %d", a.Alert, wire.AlertNoProtocol)
	}
	return nil
}
