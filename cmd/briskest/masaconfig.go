package main

import (
	"fmt"

	"github.com/briskest/briskest/internal/revocation"
)

// masaConfig is masa.yaml. Paths are relative to the file. BRISKEST_MASA_ and
// the key's path override single keys.
type masaConfig struct {
	source `yaml:"-"`
	// fetcher asks about revocation; one for all that is loaded in the process.
	fetcher *revocation.Fetcher

	// Version of this schema; 1.
	Version int    `yaml:"version"`
	Domain  string `yaml:"domain"`
	Listen  struct {
		// Registrars is the address registrars reach the MASA at, HOST:PORT.
		Registrars string `yaml:"registrars"`
		// Admin is the unix socket that operators' commands use while the server runs.
		Admin string `yaml:"admin"`
		// Metrics is the address of /metrics, /healthz and /readyz, HOST:PORT, over plain
		// HTTP, for the monitoring of the site; empty: they are on the admin socket alone.
		Metrics string `yaml:"metrics"`
	} `yaml:"listen"`
	Store    string         `yaml:"store"`
	TrailKey string         `yaml:"trail_key"`
	TLS      identityConfig `yaml:"tls"`
	// Products are lines of devices, each with its own voucher key.
	Products []productConfig `yaml:"products"`
	// RegistrarAnchors is a PEM file; when given, a registrar's certificate
	// must chain to one of them. Without it any registrar is taken that
	// carries id-kp-cmcRA (RFC 8995, Section 5.5.4), and the audit-log tells.
	RegistrarAnchors string `yaml:"registrar_anchors"`
	// RegistrarRevocation says who tells whether registrars' certificates, and
	// those of the CAs above them, are revoked (RFC 8995, Section 5.5.3). Their
	// servers are in other people's networks: what is not on the internet needs
	// mode check, or a list in crls.
	RegistrarRevocation revocationConfig `yaml:"registrar_revocation"`
	// RequestsPerMinute is how many requests one address may send; default 600.
	RequestsPerMinute int `yaml:"requests_per_minute"`
	// RegistrarRequestsPerMinute is how many one registrar, by its key, may send
	// from anywhere; default requests_per_minute.
	RegistrarRequestsPerMinute int `yaml:"registrar_requests_per_minute"`
	// Registrars have budgets of their own.
	Registrars []knownRegistrarConfig `yaml:"registrars"`
	// AuditLogEvents is how many events an audit-log has at most, 1 to 4096;
	// default 256. Of a device with more vouchers each domain's newest are
	// there, and the others are counted.
	AuditLogEvents int `yaml:"audit_log_events"`
	// TakeBase64 takes CMS requests in base64 too, as nqminds' registrar sends
	// them. A change needs a restart.
	TakeBase64 bool `yaml:"take_base64"`
	// ClientCertificate says for what a registrar needs a TLS client certificate
	// with the key that signed its request: nonceless (vouchers without a nonce),
	// always, or "" (default) for nothing.
	ClientCertificate string `yaml:"client_certificate"`
	// VouchersPerMinute is how many new vouchers one domain may get for one device; default 30.
	VouchersPerMinute int       `yaml:"vouchers_per_minute"`
	Log               logConfig `yaml:"log"`
	// Tracing follows requests through registrar, MASA and CA.
	Tracing tracingConfig `yaml:"tracing"`
}

// loadMASAConfig reads and checks a masa.yaml.
func loadMASAConfig(file string) (*masaConfig, error) {
	c := &masaConfig{Domain: "default", fetcher: revocation.NewFetcher(revocation.FetchConfig{})}
	return c, c.load(file, "BRISKEST_MASA", c)
}

func (c *masaConfig) check() error {
	if c.Version != 1 {
		return fmt.Errorf("version is %d; this program reads version 1", c.Version)
	}
	err := requireKeys(map[string]string{
		"listen.registrars": c.Listen.Registrars, "listen.admin": c.Listen.Admin, "store": c.Store,
		"trail_key": c.TrailKey, "tls.certificate": c.TLS.Certificate, "tls.key": c.TLS.Key,
	})
	if err != nil {
		return err
	}
	if len(c.Products) == 0 {
		return fmt.Errorf("the key products is empty: there is no voucher this MASA could sign")
	}
	return nil
}
