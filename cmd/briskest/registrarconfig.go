package main

import (
	"crypto/tls"
	"fmt"

	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/internal/tracing"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/events"
)

// registrarConfig is registrar.yaml. Paths are relative to the file.
// BRISKEST_REGISTRAR_ and the key's path override single keys, such as
// BRISKEST_REGISTRAR_LISTEN_DEVICES.
type registrarConfig struct {
	source `yaml:"-"`
	// fetcher asks about revocation; one for all that is loaded in the process.
	fetcher *revocation.Fetcher
	api     *apiInForce         // set by build
	of      *registrarConfig    // nil, but for a further domain
	others  []*registrarConfig  // the further domains
	built   *registrar.Settings // of a further domain, set by buildDomains; as the next
	shown   []*tls.Certificate
	// tracer follows what MASAs are asked; one for all that is loaded in the process; nil: nothing is traced.
	tracer *tracing.Tracer
	events *events.Settings // set by build

	// Version of this schema; 1.
	Version int `yaml:"version"`
	// Domain that everything belongs to.
	Domain string `yaml:"domain"`
	// Domains are the files of further tenants, like this one but without what there is one of:
	// store, trail_key, listen.admin. Each has its own listen.devices, identity, issuers, labels and limits.
	Domains []string `yaml:"domains"`
	// URL is where devices reach the server, such as https://est.example.org,
	// for links in answers; empty: links are relative.
	URL    string `yaml:"url"`
	Listen struct {
		// Devices is the address devices reach EST and BRSKI at, HOST:PORT.
		Devices string `yaml:"devices"`
		// Admin is the unix socket that operators' commands use while the server runs.
		Admin string `yaml:"admin"`
		// API is the address of the operators' API over TLS, HOST:PORT; empty: it is on the socket only.
		API string `yaml:"api"`
		// Revocation is the address of OCSP, revocation lists and CA certificates, HOST:PORT,
		// for anybody, over plain HTTP; empty: they are served nowhere.
		Revocation string `yaml:"revocation"`
		// Metrics is the address of /metrics, /healthz and /readyz, HOST:PORT, over plain
		// HTTP, for the monitoring of the site; empty: they are on the admin socket alone.
		Metrics string `yaml:"metrics"`
	} `yaml:"listen"`
	// Store is the SQLite database file; made when it is not there.
	Store string `yaml:"store"`
	// TrailKey is the keystore URI of the Ed25519 key that signs the trail's heads.
	TrailKey string `yaml:"trail_key"`
	// TLS is the registrar's certificate (leaf first) and key. It also signs
	// voucher-requests.
	TLS identityConfig `yaml:"tls"`
	// MoreTLS are certificates for further server names (SNI).
	MoreTLS []identityConfig `yaml:"more_tls"`
	// Issuers are the CAs that issue; one is named default.
	Issuers []issuerConfig `yaml:"issuers"`
	// Revocation says how others learn of revocations.
	Revocation listsConfig `yaml:"revocation"`
	// Profiles are files with one certificate profile each.
	Profiles []string `yaml:"profiles"`
	// BlockedKeys are files with keys that no certificate is issued for: one line each,
	// that begins with the SHA-256 of a SubjectPublicKeyInfo or the hash of Debian's openssl-blacklist.
	BlockedKeys []string `yaml:"blocked_keys"`
	// Labels are the EST labels; the one named "" serves requests without.
	Labels []labelConfig `yaml:"labels"`
	// CMC is what fullcmc knows besides.
	CMC cmcConfig `yaml:"cmc"`
	// Manufacturers whose devices may join.
	Manufacturers []manufacturerConfig `yaml:"manufacturers"`
	// ImportFolder is a folder whose lists of devices are imported.
	ImportFolder importFolderConfig `yaml:"import_folder"`
	// Cloud makes it a cloud registrar, which sends devices to their owners.
	Cloud *cloudConfig `yaml:"cloud"`
	// KeyEncryptionKeys are shared with devices, for serverkeygen.
	KeyEncryptionKeys []keyConfig `yaml:"key_encryption_keys"`
	// API says who may use the operators' API from elsewhere.
	API apiConfig `yaml:"api"`
	// Limits bound what one peer can make the server hold.
	Limits limitsConfig `yaml:"limits"`
	// Events are what other systems are told; Targets are those systems.
	Events  eventsConfig   `yaml:"events"`
	Targets []targetConfig `yaml:"targets"`
	// Announce makes the registrar known to join proxies on its links.
	Announce registrarAnnounceConfig `yaml:"announce"`
	Log      logConfig               `yaml:"log"`
	// Tracing follows requests through registrar, MASA and CA.
	Tracing tracingConfig `yaml:"tracing"`
}

// labelConfig is one EST label: who may use it and which profile it issues.
type labelConfig struct {
	Name    string `yaml:"name"`
	Profile string `yaml:"profile"`
	// Issuer is who issues, by its name in issuers; empty for the one named default.
	Issuer string `yaml:"issuer"`
	// Basic lets devices without a certificate enroll with an HTTP credential.
	Basic bool `yaml:"basic"`
	// IDevID says when devices enroll with their IDevID: "voucher" once they
	// are vouched for, "inventory" when their serial number was imported,
	// "never" (default).
	IDevID string `yaml:"idevid"`
	// Renewal lets certificates that this label issued renew themselves.
	Renewal bool `yaml:"renewal"`
	// RA lets certificates of ours with id-kp-cmcRA enroll others.
	RA bool `yaml:"ra"`
	// SubCA says that this label issues to CAs; its profile has basic_constraints.ca then, and no other label's may.
	SubCA bool `yaml:"sub_ca"`
	// Approval makes each first enrollment wait for an operator.
	Approval bool `yaml:"approval"`
	// WantedAttributes are object identifiers that csrattrs names beside what the
	// profile wants, such as 1.2.840.113549.1.9.16.2.56 (otpChallenge, RFC 7894, Section 2.1).
	WantedAttributes []string `yaml:"wanted_attributes"`
	// Further ways to authenticate.
	Auth labelAuthConfig `yaml:",inline"`
	// FullCMC offers Full PKI Requests (RFC 7030, Section 4.3) to all who may
	// enroll or renew here otherwise.
	FullCMC bool `yaml:"fullcmc"`
	// SharedSecret lets devices enroll with a secret of cmc.secrets.
	SharedSecret bool `yaml:"shared_secret"`
	// Linking says how requests are linked to their connection.
	Linking linkingConfig `yaml:"linking"`
	// Webhook is another system that decides about enrollments and renewals.
	Webhook webhookConfig `yaml:"webhook"`
}

// manufacturerConfig is one vendor of devices.
type manufacturerConfig struct {
	Name string `yaml:"name"`
	// IDevIDAnchors is a PEM file of the CAs its IDevIDs chain to.
	IDevIDAnchors string `yaml:"idevid_anchors"`
	// VoucherAnchors is a PEM file of the CAs its vouchers' signers chain to.
	VoucherAnchors string `yaml:"voucher_anchors"`
	// ManifestAnchors is a PEM file of the CAs that signers of its manufacturing
	// manifests chain to; without it no manifest is taken.
	ManifestAnchors string `yaml:"manifest_anchors"`

	MASA struct {
		// URL replaces the one in the IDevIDs (RFC 8995, Section 2.3.2).
		URL string `yaml:"url"`
		// TLSAnchors is a PEM file of the CAs its MASA's TLS certificate chains to.
		TLSAnchors string `yaml:"tls_anchors"`
		// Offline says that the MASA is not asked: devices get the vouchers that were
		// imported for them (briskest voucher import). Needs allow_nonceless.
		Offline bool `yaml:"offline"`
	} `yaml:"masa"`
	// UnlistedSerial says what becomes of a device that was not imported:
	// "deny" (404), "pending" (an operator decides) or "admit".
	UnlistedSerial string `yaml:"unlisted_serial"`
	// Join are rules that are asked before that; the first that is about a device decides.
	Join []joinConfig `yaml:"join"`
	// Assertions that its vouchers may carry; default logged, proximity and verified.
	Assertions []string `yaml:"assertions"`
	// AllowNonceless takes requests and vouchers without a nonce.
	AllowNonceless bool `yaml:"allow_nonceless"`
	// AuditLog says what becomes of devices that other networks had.
	AuditLog auditLogConfig `yaml:"audit_log"`
	// Pin says what its vouchers may pin: "any" certificate of this network
	// (default), "ca", or "registrar", the registrar's own alone.
	Pin string `yaml:"pin"`
	// IDevIDRevocation says who tells whether its IDevIDs are revoked.
	IDevIDRevocation revocationConfig `yaml:"idevid_revocation"`
	// Webhook is another system that decides about its voucher-requests.
	Webhook webhookConfig `yaml:"webhook"`
}

// limitsConfig bounds; zero means off for budgets and the default elsewhere.
type limitsConfig struct {
	EnrollmentsPerDevice  int             `yaml:"enrollments_per_device"`  // in a day; 0: no budget
	EnrollmentsPerAddress int             `yaml:"enrollments_per_address"` // in an hour; 0: no budget
	Devices               int             `yaml:"devices"`                 // that the domain holds, decommissioned ones apart; 0: any number
	RequestsPerMinute     int             `yaml:"requests_per_minute"`     // of EST, BRSKI and baselines, of the whole domain; 0: any number
	PendingPerDevice      int             `yaml:"pending_per_device"`      // default 4
	Pending               int             `yaml:"pending"`                 // in all; default 10000
	MASARetry             config.Duration `yaml:"masa_retry"`              // between tries; default 10s
	MASAGiveUp            config.Duration `yaml:"masa_give_up"`            // then 504; default 1h
	IssuerTimeout         config.Duration `yaml:"issuer_timeout"`          // of one question to a CA behind; default 20s
	IssuerRetry           config.Duration `yaml:"issuer_retry"`            // between questions about one issuance, growing to an hour; default 30s
	IssuerGiveUp          config.Duration `yaml:"issuer_give_up"`          // then the intent is abandoned; default 7d
	Connections           int             `yaml:"connections"`             // default 8192
	InFlight              int             `yaml:"in_flight"`               // default 1024
	ConnectionsPerAddress int             `yaml:"connections_per_address"` // (IPv6: /64); default half of connections, 8 at least
	InFlightPerAddress    int             `yaml:"in_flight_per_address"`   // (IPv6: /64); default half of in_flight, 8 at least
	// Proxies are the IP addresses that join proxies connect from. Many devices
	// are behind each, so each may have half of connections, handshakes and in_flight,
	// and enrollments_per_address counts for each certificate that comes from there.
	Proxies           []string        `yaml:"proxies"`
	BodyPause         config.Duration `yaml:"body_pause"`          // for how long nothing of a body may come; default 10s
	EnrollmentsAtOnce int             `yaml:"enrollments_at_once"` // being decided and signed; default 256
	ApprovalLifetime  config.Duration `yaml:"approval_lifetime"`   // how long an approval counts; default 30d
}

// logConfig says how to log, on standard error.
type logConfig struct {
	Level  string `yaml:"level"`  // debug, info (default), warn or error
	Format string `yaml:"format"` // json (default) or text
}

// loadRegistrarConfig reads and checks a registrar.yaml.
func loadRegistrarConfig(file string) (*registrarConfig, error) {
	c := &registrarConfig{Domain: registrar.DefaultDomain, fetcher: revocation.NewFetcher(revocation.FetchConfig{})}
	if err := c.load(file, "BRISKEST_REGISTRAR", c); err != nil {
		return c, err
	}
	return c, c.loadDomains()
}

func (c *registrarConfig) check() error {
	if c.Version != 1 {
		return fmt.Errorf("version is %d; this program reads version 1", c.Version)
	}
	keys := map[string]string{
		"listen.devices": c.Listen.Devices, "listen.admin": c.Listen.Admin, "store": c.Store, "trail_key": c.TrailKey,
		"tls.certificate": c.TLS.Certificate, "tls.key": c.TLS.Key,
	}
	if c.of != nil {
		if err := c.checkDomain(); err != nil {
			return err
		}
		delete(keys, "listen.admin")
		delete(keys, "store")
		delete(keys, "trail_key")
	}
	if c.Cloud != nil {
		if err := c.checkCloud(); err != nil {
			return err
		}
		keys["cloud.signer.certificate"], keys["cloud.signer.key"] = c.Cloud.Signer.Certificate, c.Cloud.Signer.Key
	} else if err := c.checkIssuers(); err != nil {
		return err
	}
	if err := requireKeys(keys); err != nil {
		return err
	}
	if len(c.Labels) == 0 && c.Cloud == nil {
		return fmt.Errorf("the key labels is empty: no device could enroll; add one named \"\"")
	}
	for _, n := range []int{c.Limits.Connections, c.Limits.InFlight, c.Limits.ConnectionsPerAddress, c.Limits.InFlightPerAddress} {
		if n < 0 {
			return fmt.Errorf("a limit is %d; use 0 for the default", n)
		}
	}
	if _, err := c.Limits.relays(); err != nil {
		return err
	}
	if err := c.Revocation.check(c.revocationListen()); err != nil {
		return err
	}
	for i, m := range c.Manufacturers {
		if m.Name == "" || m.IDevIDAnchors == "" || m.VoucherAnchors == "" {
			return fmt.Errorf("manufacturer %d: name, idevid_anchors and voucher_anchors are needed", i+1)
		}
		if m.MASA.Offline && !m.AllowNonceless {
			return fmt.Errorf("manufacturer %s: masa.offline leaves vouchers without a nonce only; set allow_nonceless", m.Name)
		}
		switch m.UnlistedSerial {
		case "", "deny", "pending", "admit":
		default:
			return fmt.Errorf("manufacturer %s: unlisted_serial is %q; it may be deny, pending or admit", m.Name, m.UnlistedSerial)
		}
	}
	return nil
}
