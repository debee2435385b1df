package estserver

import (
	"context"
	"crypto/tls"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// linking: the CSR and its connection belong together (RFC 7030, Section 3.5).
func linking() []check {
	return slices.Concat(
		in("RFC 7030, Section 3.5", passwordLinks()...),
		in("RFC 5929, Section 3", check{
			ID: "RFC5929-3-1", Level: must, Text: "in a resumed session of TLS 1.2 the link is the server's Finished, which comes first",
			Requirements: rows("EST-5929-3-01"), Run: runResumedLink,
		}, check{
			ID: "RFC5929-3-2", Level: must, Text: "TLS 1.3 has no tls-unique: twelve bytes in its place are refused",
			Requirements: rows("EST-5929-3-02"), Run: linkRefused(tls.VersionTLS13, "a link of twelve bytes in TLS 1.3", func([]byte) string {
				return base64.StdEncoding.EncodeToString([]byte("twelve bytes"))
			}),
		}),
		in("RFC 9266, Section 2", check{
			ID: "RFC9266-2-1", Level: must, Text: "in TLS 1.3 a CSR with the tls-exporter of its connection is taken",
			Requirements: rows("EST-9266-2-01", "EST-9266-2-02"), Run: linkAccepted(tls.VersionTLS13, tagPrintable),
		}, check{
			ID: "RFC9266-2-2", Level: must, Text: "in TLS 1.3 a CSR with another tls-exporter is refused",
			Requirements: rows("EST-9266-2-02", "EST-7030-3.5-02", "EST-7030-4.2-05"), Run: linkRefused(tls.VersionTLS13, "another connection's tls-exporter", flipped),
		}, check{
			ID: "RFC9266-2-3", Level: must, Text: "in TLS 1.2 tls-exporter is not taken for tls-unique",
			Requirements: rows("EST-9266-2-03"), Run: runExporterInTLS12,
		}),
		in("RFC 9266, Section 4", check{
			ID: "RFC9266-4-1", Level: must, Text: "a link is good for one request on its connection",
			Requirements: rows("EST-9266-4-02"), Run: runLinkOnce,
		}),
		in("RFC 7894, Section 2", identityLinks()...),
	)
}

func passwordLinks() []check {
	return []check{
		{
			ID: "RFC7030-3.5-1", Level: must, Text: "in TLS 1.2 a CSR with the tls-unique of its connection is taken",
			Requirements: rows("EST-7030-3.5-02", "EST-7030-3.3-05"), Run: linkAccepted(tls.VersionTLS12, tagPrintable),
		},
		{
			ID: "RFC7030-3.5-2", Level: must, Text: "in TLS 1.2 a CSR with another tls-unique is refused",
			Requirements: rows("EST-7030-3.5-02", "EST-7030-3.3-05", "EST-7030-4.2-05"), Run: linkRefused(tls.VersionTLS12, "a link to another connection", flipped),
		},
		{
			ID: "RFC7030-3.5-3", Level: must, Text: "a CSR that was linked to one connection is refused on another",
			Requirements: rows("EST-7030-3.5-02"), Run: runReplayedLink,
		},
		{
			ID: "RFC7030-3.5-4", Level: must, Text: "the beginning of the right link is refused",
			Requirements: rows("EST-7030-3.5-03"), Run: linkRefused(tls.VersionTLS12, "the first three bytes of the link", func(b []byte) string {
				return base64.StdEncoding.EncodeToString(b[:3])
			}),
		},
		{
			ID: "RFC7030-3.5-5", Level: must, Text: "the right link with more behind it is refused",
			Requirements: rows("EST-7030-3.5-03"), Run: linkRefused(tls.VersionTLS12, "the link and three bytes", func(b []byte) string {
				return base64.StdEncoding.EncodeToString(append(slices.Clone(b), 1, 2, 3))
			}),
		},
		{
			ID: "RFC7030-3.5-6", Level: must, Text: "a challengePassword of more than 255 characters is refused",
			Requirements: rows("EST-7030-3.5-08"), Run: linkRefused(tls.VersionTLS12, "a challengePassword of 256 characters", func([]byte) string {
				return strings.Repeat("QUFB", 64)
			}),
		},
		{
			ID: "RFC7030-3.5-7", Level: must, Text: "a challengePassword that is no base64 is refused",
			Requirements: rows("EST-7030-3.5-08"), Run: linkRefused(tls.VersionTLS12, "a challengePassword that is no base64", func([]byte) string { return "(:)" }),
		},
		{
			ID: "RFC7030-3.5-8", Level: must, Text: "a link in a UTF8String is taken as one in a PrintableString is",
			Requirements: rows("EST-7030-3.5-09"), Run: linkAccepted(tls.VersionTLS12, tagUTF8),
		},
		{
			ID: "RFC7030-3.5-9", Level: must, Text: "simplereenroll compares the link too",
			Requirements: rows("EST-7030-4.2-05"), Run: runReenrollLink,
		},
		{
			ID: "RFC7030-3.5-10", Level: should, Text: "the refusal of a CSR whose link is wrong says so to people",
			Requirements: rows("EST-7030-3.5-12"), Run: runLinkText,
		},
	}
}

// attempt enrolls on a connection of that version, with the attributes that are
// made of the connection's binding.
func (t *Target) attempt(ctx context.Context, version uint16, attributes func(binding []byte) [][]byte) (*wire.Answer, error) {
	if _, err := t.enrolled(ctx); err != nil {
		return nil, err
	}
	c, err := t.Dial(ctx, &wire.Options{Min: version, Max: version, Certificate: t.self().certificate})
	if err != nil {
		return nil, conformance.Skip("%s: %v (see RFC9325-3.1.1-4 and -5)", tls.VersionName(version), err)
	}
	defer c.Close()
	binding, err := bindingOf(c)
	if err != nil {
		return nil, err
	}
	return t.linked(ctx, c, attributes(binding))
}

// linked sends a CSR with these attributes.
func (t *Target) linked(ctx context.Context, c *wire.Conn, attributes [][]byte) (*wire.Answer, error) {
	key, err := t.key()
	if err != nil {
		return nil, err
	}
	r, err := forged(func(f *forgedCSR) { f.attributes = attributes })(t, key)
	if err != nil {
		return nil, err
	}
	r = t.authorized(t.self(), r)
	return c.Do(ctx, &r)
}

// bindingOf is tls-unique (RFC 5929, Section 3) up to TLS 1.2, and
// tls-exporter (RFC 9266, Section 2) in TLS 1.3.
func bindingOf(c *wire.Conn) ([]byte, error) {
	state := c.State()
	if state.Version >= tls.VersionTLS13 {
		return state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
	}
	if len(state.TLSUnique) == 0 {
		return nil, conformance.Skip("the connection has no tls-unique: it was resumed without the extended master secret (see RFC9325-3.5-2)")
	}
	return state.TLSUnique, nil
}

func password(tag byte, text string) []byte {
	return attribute(oidChallengePassword, tlv(tag, []byte(text)))
}

// flipped is another connection's link of the same length.
func flipped(b []byte) string {
	other := slices.Clone(b)
	other[0] ^= 0xff
	return base64.StdEncoding.EncodeToString(other)
}

func linkAccepted(version uint16, tag byte) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		a, err := t.attempt(ctx, version, func(b []byte) [][]byte {
			return [][]byte{password(tag, base64.StdEncoding.EncodeToString(b))}
		})
		if err != nil {
			return err
		}
		return t.accepted(ctx, a)
	}
}

// accepted wants a certificate for the run's key.
func (t *Target) accepted(ctx context.Context, a *wire.Answer) error {
	if err := undecided(a); err != nil {
		return err
	}
	key, err := t.key()
	if err != nil {
		return err
	}
	_, err = issued(ctx, a, key)
	return err
}

func linkRefused(version uint16, what string, link func(binding []byte) string) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		a, err := t.attempt(ctx, version, func(b []byte) [][]byte { return [][]byte{password(tagPrintable, link(b))} })
		if err != nil {
			return err
		}
		return refused(ctx, a, what)
	}
}

func runReplayedLink(ctx context.Context, t *Target) error {
	var first []byte
	if _, err := t.attempt(ctx, tls.VersionTLS12, func(b []byte) [][]byte {
		first = password(tagPrintable, base64.StdEncoding.EncodeToString(b))
		return [][]byte{first}
	}); err != nil {
		return err
	}
	a, err := t.attempt(ctx, tls.VersionTLS12, func([]byte) [][]byte { return [][]byte{first} })
	if err != nil {
		return err
	}
	return refused(ctx, a, "a CSR with the link of a connection before")
}

func runReenrollLink(ctx context.Context, t *Target) error {
	id, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	names, err := id.forgeRenewal()
	if err != nil {
		return err
	}
	names.attributes = append(names.attributes, password(tagPrintable, "QUJDREVGR0hJSktM"))
	der, err := names.der(id.key)
	if err != nil {
		return err
	}
	a, err := t.post(ctx, est.OpSimpleReenroll, with(id), encode(der))
	if err != nil {
		return err
	}
	return refused(ctx, a, "a re-enrollment with a link to another connection")
}

func runLinkText(ctx context.Context, t *Target) error {
	a, err := t.attempt(ctx, tls.VersionTLS12, func(b []byte) [][]byte { return [][]byte{password(tagPrintable, flipped(b))} })
	if err != nil {
		return err
	}
	if !a.Refused() {
		return conformance.Skip("%v: it is not refused (see RFC7030-3.5-2)", a)
	}
	text := strings.ToLower(string(a.Body))
	if !strings.Contains(text, "link") && !strings.Contains(text, "binding") && !strings.Contains(text, "challenge") && !strings.Contains(text, "possession") && !strings.Contains(text, "tls-unique") {
		return fmt.Errorf("%v, and its text does not tell people that the link is wrong", a)
	}
	return nil
}

// runResumedLink resumes a session of TLS 1.2 and links to it.
func runResumedLink(ctx context.Context, t *Target) error {
	if _, err := t.enrolled(ctx); err != nil {
		return err
	}
	o := &wire.Options{Max: tls.VersionTLS12, Sessions: tls.NewLRUClientSessionCache(2), Certificate: t.self().certificate}
	first, err := t.Dial(ctx, o)
	if err != nil {
		return conformance.Skip("%v (see RFC9325-3.1.1-4)", err)
	}
	first.Close()
	c, err := t.Dial(ctx, o)
	if err != nil {
		return err
	}
	defer c.Close()
	if !c.State().DidResume {
		return conformance.Skip("the session is not resumed (see RFC7030-3.3-2)")
	}
	binding, err := bindingOf(c)
	if err != nil {
		return err
	}
	a, err := t.linked(ctx, c, [][]byte{password(tagPrintable, base64.StdEncoding.EncodeToString(binding))})
	if err != nil {
		return err
	}
	return t.accepted(ctx, a)
}

func runExporterInTLS12(ctx context.Context, t *Target) error {
	if _, err := t.enrolled(ctx); err != nil {
		return err
	}
	c, err := t.Dial(ctx, &wire.Options{Max: tls.VersionTLS12, Certificate: t.self().certificate})
	if err != nil {
		return conformance.Skip("%v (see RFC9325-3.1.1-4)", err)
	}
	defer c.Close()
	state := c.State()
	exporter, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
	if err != nil {
		return conformance.Skip("no exporter on this connection: %v (see RFC9325-3.5-2)", err)
	}
	a, err := t.linked(ctx, c, [][]byte{password(tagPrintable, base64.StdEncoding.EncodeToString(exporter))})
	if err != nil {
		return err
	}
	return refused(ctx, a, "tls-exporter in TLS 1.2")
}

// runLinkOnce sends two linked requests on one connection.
func runLinkOnce(ctx context.Context, t *Target) error {
	if _, err := t.enrolled(ctx); err != nil {
		return err
	}
	c, err := t.Dial(ctx, &wire.Options{Certificate: t.self().certificate})
	if err != nil {
		return err
	}
	defer c.Close()
	binding, err := bindingOf(c)
	if err != nil {
		return err
	}
	link := [][]byte{password(tagPrintable, base64.StdEncoding.EncodeToString(binding))}
	a, err := t.linked(ctx, c, link)
	if err != nil {
		return err
	}
	if err := t.accepted(ctx, a); err != nil {
		return conformance.Skip("%v (see RFC7030-3.5-1 and RFC9266-2-1)", err)
	}
	if strings.EqualFold(a.Header.Get("Connection"), "close") {
		return nil
	}
	again, err := t.linked(ctx, c, link)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return nil // it was closed after all
	}
	return refused(ctx, again, "a second request with the same link on one connection")
}

// identityLinks: estIdentityLinking says what challengePassword says, and
// nothing else (RFC 7894, Section 2.3).
func identityLinks() []check {
	link := func(id asn1.ObjectIdentifier, tag byte, text string) []byte {
		return attribute(id, tlv(tag, []byte(text)))
	}
	right := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	take := func(tag byte) func(context.Context, *Target) error {
		return identityLink("", func(b []byte) [][]byte { return [][]byte{link(oidIdentityLinking, tag, right(b))} })
	}
	refuse := func(what string, attributes func(b []byte) [][]byte) func(context.Context, *Target) error {
		return identityLink(what, attributes)
	}
	return []check{
		{
			ID: "RFC7894-2-1", Level: must, Text: "the right link in estIdentityLinking is taken, as PrintableString",
			Requirements: rows("EST-7894-2.3-01", "EST-7894-2-01"), Run: take(tagPrintable),
		},
		{
			ID: "RFC7894-2-2", Level: must, Text: "the right link in estIdentityLinking is taken, as UTF8String",
			Requirements: rows("EST-7894-2-01"), Run: take(tagUTF8),
		},
		{
			ID: "RFC7894-2-3", Level: must, Text: "a wrong link in estIdentityLinking is refused",
			Requirements: rows("EST-7894-2.3-01"), Run: refuse("a wrong estIdentityLinking", func(b []byte) [][]byte {
				return [][]byte{link(oidIdentityLinking, tagPrintable, flipped(b))}
			}),
		},
		{
			ID: "RFC7894-2-4", Level: must, Text: "estIdentityLinking with two values is refused",
			Requirements: rows("EST-7894-2-03"), Run: refuse("estIdentityLinking with two values", func(b []byte) [][]byte {
				value := tlv(tagPrintable, []byte(right(b)))
				return [][]byte{attribute(oidIdentityLinking, value, tlv(tagPrintable, []byte("QUJD")))}
			}),
		},
		{
			ID: "RFC7894-2-5", Level: must, Text: "estIdentityLinking of more than 255 characters is refused",
			Requirements: rows("EST-7894-2-03"), Run: refuse("estIdentityLinking of 256 characters", func([]byte) [][]byte {
				return [][]byte{link(oidIdentityLinking, tagPrintable, strings.Repeat("QUFB", 64))}
			}),
		},
		{
			ID: "RFC7894-2-6", Level: must, Text: "a right challengePassword does not help a wrong estIdentityLinking",
			Requirements: rows("EST-7894-2-04"), Run: refuse("links that disagree", func(b []byte) [][]byte {
				return [][]byte{password(tagPrintable, right(b)), link(oidIdentityLinking, tagPrintable, flipped(b))}
			}),
		},
	}
}

// identityLink wants the CSR taken, or refused as what says. RFC 7894 is
// optional: a server that takes a wrong link and asks for none ignores it.
func identityLink(what string, attributes func([]byte) [][]byte) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		a, err := t.attempt(ctx, tls.VersionTLS12, attributes)
		if err != nil {
			return err
		}
		if what == "" {
			return t.accepted(ctx, a)
		}
		if !a.OK() {
			return refused(ctx, a, what)
		}
		wrong, err := t.attempt(ctx, tls.VersionTLS12, func(b []byte) [][]byte {
			return [][]byte{attribute(oidIdentityLinking, tlv(tagPrintable, []byte(flipped(b))))}
		})
		if err != nil {
			return err
		}
		if wrong.OK() && !t.wantsIdentityLink(ctx) {
			return conformance.Skip("%v: RFC 7894 is optional, the server ignores its attributes and does not ask for them in csrattrs", a)
		}
		return refused(ctx, a, what)
	}
}

// wantsIdentityLink reports whether csrattrs name estIdentityLinking.
func (t *Target) wantsIdentityLink(ctx context.Context) bool {
	a, err := t.get(ctx, est.OpCSRAttrs, t.self())
	if err != nil || !a.OK() {
		return false
	}
	der, err := decode(a.Body)
	return err == nil && strings.Contains(string(der), string(oid(oidIdentityLinking)))
}
