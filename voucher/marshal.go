package voucher

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// MarshalVoucher writes v as JSON in its container, the leaves in a fixed
// order, dates in UTC and whole seconds. What is written obeys
// RFC 8366, Section 5.3: it refuses a voucher without serial-number, assertion,
// created-on or pin; with nonce and expires-on both (unless v.AllowNonceWithExpiresOn); with a nonce that is not
// of 8 to 32 bytes; with last-renewal-date alone; with an expires-on later
// than the end of the pinned certificate; with a hash that is not of 32 bytes;
// with leaves of a [Delegation] that is not enabled. Errors as for [ParseVoucher].
func MarshalVoucher(v *Voucher) ([]byte, error) {
	root := rootVoucher
	if v.Delegation != nil {
		root = rootDelegated
	}
	b := newBuilder(root)
	b.voucher(v)
	b.delegation(v.Delegation)
	b.shared(v.shared())
	return b.finish("voucher")
}

// MarshalRequest writes r as JSON in its container like [MarshalVoucher]. Of
// the leaves only serial-number is mandatory (RFC 8995, Section 3.4), and with
// agent-proximity those that prove it.
func MarshalRequest(r *Request) ([]byte, error) {
	b := newBuilder(rootRequest)
	s := r.shared()
	b.leaves(s)
	if err := checkAgentProximity(r); err != nil && b.err == nil {
		b.err = err
	}
	if err := checkHash(r.ProximityRegistrarPubkSHA256); err != nil {
		b.fail("proximity-registrar-pubk-sha256", err)
	}
	b.binary("prior-signed-voucher-request", r.PriorSignedVoucherRequest)
	b.binary("proximity-registrar-cert", r.ProximityRegistrarCert)
	b.binary("proximity-registrar-pubk", r.ProximityRegistrarPubk)
	b.binary("proximity-registrar-pubk-sha256", r.ProximityRegistrarPubkSHA256)
	b.binary("agent-provided-proximity-registrar-cert", r.AgentProvidedProximityRegistrarCert)
	b.binaries("agent-sign-cert", r.AgentSignCert)
	b.binary("agent-signed-data", r.AgentSignedData)
	b.rest(s)
	return b.finish("voucher-request")
}

// builder writes one container. The first error stays.
type builder struct {
	buf   bytes.Buffer
	names map[string]bool
	err   error
}

func newBuilder(root string) *builder {
	b := &builder{names: make(map[string]bool)}
	b.buf.WriteString(`{"` + root + `":{`)
	return b
}

func (b *builder) finish(what string) ([]byte, error) {
	b.buf.WriteString("}}")
	if b.err == nil && b.buf.Len() > MaxPayload {
		b.err = fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, b.buf.Len(), MaxPayload)
	}
	if b.err != nil {
		return nil, fmt.Errorf("%s: %w", what, b.err)
	}
	return b.buf.Bytes(), nil
}

// voucher applies the rules of a voucher alone.
func (b *builder) voucher(v *Voucher) {
	if v.Assertion == "" {
		b.fail("assertion", ErrMissingLeaf)
	}
	if v.CreatedOn.IsZero() {
		b.fail("created-on", ErrMissingLeaf)
	}
	if len(v.PinnedDomainCert) == 0 && len(v.PinnedDomainPubk) == 0 && len(v.PinnedDomainPubkSHA256) == 0 &&
		!v.Delegation.pins() {
		b.fail("pinned-domain-cert", ErrMissingLeaf)
	}
	if len(v.PinnedDomainCert) == 0 {
		return
	}
	pin, err := x509.ParseCertificate(v.PinnedDomainCert)
	if err != nil {
		b.fail("pinned-domain-cert", fmt.Errorf("%w: not a certificate: %w", ErrLeafValue, err))
		return
	}
	if v.ExpiresOn.After(pin.NotAfter) {
		b.fail("expires-on", fmt.Errorf("%w: later than the end of the pinned certificate, %s",
			ErrLeafValue, pin.NotAfter.UTC().Format(time.RFC3339)))
	}
}

func (b *builder) shared(s *shared) {
	b.leaves(s)
	b.rest(s)
}

func (b *builder) leaves(s *shared) {
	b.check(s)
	b.date("created-on", *s.createdOn)
	b.date("expires-on", *s.expiresOn)
	b.text("assertion", string(*s.assertion))
	b.text("serial-number", *s.serialNumber)
	b.binary("idevid-issuer", *s.idevidIssuer)
	b.binary("pinned-domain-cert", *s.pinnedCert)
	b.binary("pinned-domain-pubk", *s.pinnedPubk)
	b.binary("pinned-domain-pubk-sha256", *s.pinnedPubkHash)
	b.flag("domain-cert-revocation-checks", *s.revocationChecks)
	b.text("nonce", *s.nonce)
	b.date("last-renewal-date", *s.lastRenewalDate)
	b.text("est-domain", *s.estDomain)
	b.text("additional-configuration-url", *s.configurationURL)
	b.raw("manufacturer-proprietary", *s.proprietary)
}

// check applies the rules that both kinds share.
func (b *builder) check(s *shared) {
	if *s.serialNumber == "" {
		b.fail("serial-number", ErrMissingLeaf)
	}
	if err := checkSerialNumber(*s.serialNumber); err != nil {
		b.fail("serial-number", err)
	}
	if *s.assertion != "" && !s.assertion.known() {
		b.fail("assertion", fmt.Errorf("%w: %q", ErrLeafValue, clip(string(*s.assertion), 32)))
	}
	if *s.nonce != "" {
		if err := CheckNonce(*s.nonce); err != nil {
			b.fail("nonce", err)
		}
		if !s.expiresOn.IsZero() && !s.nonceWithExpiresOn {
			b.fail("expires-on", ErrNonceWithExpiresOn)
		}
	}
	if err := checkHash(*s.pinnedPubkHash); err != nil {
		b.fail("pinned-domain-pubk-sha256", err)
	}
	if !s.lastRenewalDate.IsZero() && s.expiresOn.IsZero() {
		b.fail("last-renewal-date", fmt.Errorf("%w: only together with expires-on", ErrLeafValue))
	}
	for name, value := range map[string]string{"est-domain": *s.estDomain, "additional-configuration-url": *s.configurationURL} {
		if value != "" && checkURI(value) != nil {
			b.fail(name, checkURI(value))
		}
	}
}

// rest writes extensions, after a list of their names (rfc8366bis, Section
// 8.6), and unknown leaves, each in order of name.
func (b *builder) rest(s *shared) {
	extensions := slices.Sorted(maps.Keys(*s.extensions))
	var list []string
	for _, leaf := range extensions {
		if err := checkExtension(leaf); err != nil {
			b.fail(leaf, err)
		}
		list = append(list, strings.TrimPrefix(leaf, extensionPrefix))
	}
	if len(list) > 0 {
		b.key("extensions")
		for i, name := range list {
			b.buf.WriteByte("[,"[min(i, 1)])
			b.quote("extensions", name)
		}
		b.buf.WriteByte(']')
	}
	for _, leaf := range extensions {
		b.raw(leaf, (*s.extensions)[leaf])
	}
	for _, leaf := range slices.Sorted(maps.Keys(*s.unknown)) {
		if strings.HasPrefix(leaf, extensionPrefix) {
			b.fail(leaf, fmt.Errorf("%w: an extension is not an unknown leaf", ErrLeafValue))
		}
		b.raw(leaf, (*s.unknown)[leaf])
	}
}

func (b *builder) fail(leaf string, err error) {
	if b.err == nil {
		b.err = leafError(leaf, err)
	}
}

func (b *builder) key(name string) {
	if b.names[name] {
		b.fail(name, ErrDuplicateLeaf)
	}
	if len(b.names) > 0 {
		b.buf.WriteByte(',')
	}
	b.names[name] = true
	b.quote(name, name)
	b.buf.WriteByte(':')
}

// quote writes text as a JSON string. Nothing is escaped that need not be:
// nqminds does not decode escapes.
func (b *builder) quote(leaf, text string) {
	if !utf8.ValidString(text) {
		b.fail(leaf, fmt.Errorf("%w: not UTF-8", ErrLeafValue))
		return
	}
	encoder := json.NewEncoder(&b.buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		b.fail(leaf, err)
		return
	}
	b.buf.Truncate(b.buf.Len() - 1) // Encode ends with a line feed
}

func (b *builder) text(name, value string) {
	if value != "" {
		b.key(name)
		b.quote(name, value)
	}
}

func (b *builder) date(name string, t time.Time) {
	if t.IsZero() {
		return
	}
	t = t.UTC()
	if t.Year() < 1 || t.Year() > 9999 {
		b.fail(name, fmt.Errorf("%w: year %d", ErrDate, t.Year()))
	}
	// RFC 3339, Section 5.6. Fractions are left out: nqminds refuses them.
	b.text(name, t.Format("2006-01-02T15:04:05Z"))
}

func (b *builder) binary(name string, value []byte) {
	b.text(name, base64.StdEncoding.EncodeToString(value))
}

func (b *builder) flag(name string, value *bool) {
	if value != nil {
		b.key(name)
		fmt.Fprint(&b.buf, *value)
	}
}

func (b *builder) raw(name string, value json.RawMessage) {
	if value == nil {
		return
	}
	if err := scanValue(value); err != nil {
		b.fail(name, err)
		return
	}
	b.key(name)
	b.buf.Write(value)
}
