package masa

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/voucher"
)

// Settings is one version of the configuration. The zero value issues nothing.
type Settings struct {
	Version string // named on the trail by every decision; free text
	Domain  string // that everything stored belongs to; empty for DefaultDomain
	// Products are the lines of devices by name.
	Products map[string]Product
	// RegistrarAnchors, when not nil, are the CAs that a registrar's
	// certificate has to chain to. When nil any registrar is heard that carries
	// id-kp-cmcRA, and the audit-log tells (RFC 8995, Section 5.5.4).
	RegistrarAnchors *x509.CertPool
	// CheckRegistrar looks further at a registrar's verified chain, leaf first
	// and with the anchor, such as at revocation (RFC 8995, Section 5.5.3). Nil admits.
	CheckRegistrar RegistrarCheck
	// NoncelessClientCertificate has a registrar that asks for a voucher without
	// a nonce hold a TLS connection with the key that signed its request, so
	// that nobody else gets one with the request alone (RFC 8995, Section
	// 5.5.4). The owner on record, which it has to be in any case, is a
	// configured anchor.
	NoncelessClientCertificate bool
	// Formats are the encodings spoken, the preferred one first.
	Formats []voucher.Format
	// AuditLogLimit is how many events an audit-log has at most, up to
	// brski.MaxAuditEvents; the rest is counted in its truncation. Zero for 256.
	AuditLogLimit int
	// RequestsPerMinute is how many requests one address (of IPv6, one /64) may
	// make within a minute. Zero for 600.
	RequestsPerMinute int
	// RegistrarRequestsPerMinute is how many one registrar may make for devices
	// of ours, by its key and from any address. Zero for RequestsPerMinute.
	RegistrarRequestsPerMinute int
	// Registrars have budgets of their own.
	Registrars []KnownRegistrar

	registrarKeys map[[32]byte]*KnownRegistrar // by the keys of their certificates
}

// RegistrarCheck returns until when what it found out about a chain holds, such
// as the end of a revocation list; zero for no end. An error that wraps
// [ErrRegistrarRevoked] says that a certificate of the chain has been revoked,
// one that wraps [ErrRegistrarUnanswered] that nobody said and that it may help
// to ask later; one that is an *est.Error is what the registrar is told. It may ask
// over the network: it is called once what is signed has been checked, and with
// no lock held.
type RegistrarCheck func(ctx context.Context, chain []*x509.Certificate, at time.Time) (until time.Time, err error)

// What a [RegistrarCheck] may find.
var (
	ErrRegistrarRevoked    = errors.New("masa: the registrar's certificate is revoked")
	ErrRegistrarUnanswered = errors.New("masa: nobody says whether the registrar's certificate is revoked")
)

const (
	defaultNoncelessLifetime = 24 * time.Hour
	defaultAuditLogLimit     = 256
	defaultRequestsPerMinute = 600
)

// checked returns a copy with the defaults filled in, or what is wrong.
func (s *Settings) checked() (*Settings, error) {
	if s == nil {
		return nil, errors.New("there are none")
	}
	c := *s
	c.Products = maps.Clone(s.Products)
	if c.Domain == "" {
		c.Domain = DefaultDomain
	}
	if c.AuditLogLimit == 0 {
		c.AuditLogLimit = defaultAuditLogLimit
	}
	if c.AuditLogLimit < 0 || c.AuditLogLimit > brski.MaxAuditEvents {
		return nil, fmt.Errorf("the audit-log limit is %d, want 1 to %d", c.AuditLogLimit, brski.MaxAuditEvents)
	}
	if c.RequestsPerMinute == 0 {
		c.RequestsPerMinute = defaultRequestsPerMinute
	}
	if c.RequestsPerMinute < 0 {
		return nil, fmt.Errorf("the limit of requests is %d a minute, want at least 1", c.RequestsPerMinute)
	}
	if len(c.Formats) == 0 {
		return nil, errors.New("no voucher format is named")
	}
	if err := c.checkRegistrars(); err != nil {
		return nil, err
	}
	for _, name := range c.productNames() {
		p, err := c.Products[name].checked()
		if err != nil {
			return nil, fmt.Errorf("product %q: %w", name, err)
		}
		c.Products[name] = p
	}
	return &c, nil
}

// productNames returns the names in order, so that every choice among products
// is the same each time.
func (s *Settings) productNames() []string { return slices.Sorted(maps.Keys(s.Products)) }
