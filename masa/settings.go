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
	// ClientCertificate says for what a registrar has to hold a TLS connection
	// with the key that signed its request. Empty for nothing.
	ClientCertificate ClientCertificate
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
	// VouchersPerMinute is how many new vouchers one domain may get for one
	// device within a minute: each is kept for good, with its request. Zero for 30.
	VouchersPerMinute int
	// Registrars have budgets of their own.
	Registrars []KnownRegistrar

	registrarKeys map[[32]byte]*KnownRegistrar // by the keys of their certificates
	clouds        []*x509.Certificate          // of those with Cloud
}

// ClientCertificate says for which requests a registrar needs a TLS client
// certificate with the key that signed them (RFC 8995, Sections 5.4 and 5.5.4).
// Without one, whoever got hold of a registrar's request may send it, and put
// other certificates around it, which its signature does not cover.
type ClientCertificate string

// The requests for which it is needed. What an operator carries to the MASA, or
// a caller in the same process asks, comes over no TLS connection and needs none.
const (
	ClientCertificateNonceless ClientCertificate = "nonceless" // for vouchers without a nonce
	ClientCertificateAlways    ClientCertificate = "always"    // for all vouchers and for audit-logs
)

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
	defaultVouchersPerMinute = 30
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
	switch c.ClientCertificate {
	case "", ClientCertificateNonceless, ClientCertificateAlways:
	default:
		return nil, fmt.Errorf("client certificates are needed for %q; want nonceless, always or nothing", c.ClientCertificate)
	}
	if c.VouchersPerMinute == 0 {
		c.VouchersPerMinute = defaultVouchersPerMinute
	}
	if c.VouchersPerMinute < 0 {
		return nil, fmt.Errorf("the limit of vouchers is %d a minute, want at least 1", c.VouchersPerMinute)
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
