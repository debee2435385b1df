package main

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// registrarSettings names what of a configuration is a risk that somebody has
// to have meant.
func (d *doctor) registrarSettings(c *registrarConfig) {
	before := len(d.findings)
	for i := range c.Labels {
		d.label(&c.Labels[i])
	}
	for i := range c.Manufacturers {
		d.manufacturer(&c.Manufacturers[i])
	}
	if c.Listen.Revocation == "" && c.Cloud == nil {
		d.add(gradeNote, "settings.revocation", "set listen.revocation, or publish briskest ca crl's lists elsewhere", "nobody is told of revocations: listen.revocation is empty")
	}
	if c.Limits.EnrollmentsPerDevice == 0 && c.Limits.EnrollmentsPerAddress == 0 {
		d.add(gradeNote, "settings.budgets", "set limits.enrollments_per_device and limits.enrollments_per_address", "one device may ask for certificates without end: no budget is set")
	}
	d.watching(c.Listen.Metrics, &c.Tracing, &c.Log)
	if len(d.findings) == before {
		d.add(gradeOK, "settings", "", "no setting opens more than the defaults do")
	}
}

func (d *doctor) label(l *labelConfig) {
	name := `label "` + l.Name + `"`
	if l.Basic && !slices.Contains(l.Auth.Require, "certificate") && !l.Approval {
		d.add(gradeNote, "settings.basic", "use codes, IDevIDs or approval where devices can", "%s: who has an HTTP credential gets a certificate", name)
	}
	if l.Auth.DigestMD5 {
		d.add(gradeWarn, "settings.digest-md5", "leave digest_md5 out once no device needs it", "%s: Digest with MD5 is taken", name)
	}
	if l.Auth.AllowClientRevocationUnknown {
		d.add(gradeWarn, "settings.client-revocation", "give client_crls, and leave allow_client_revocation_unknown out", "%s: certificates of others are taken without knowing whether they are revoked", name)
	}
	if l.RA {
		d.add(gradeNote, "settings.ra", "know who has certificates with id-kp-cmcRA: briskest ca list --config", "%s: registration authorities enroll others", name)
	}
}

func (d *doctor) manufacturer(m *manufacturerConfig) {
	name := "manufacturer " + m.Name
	if m.UnlistedSerial == "admit" {
		d.add(gradeWarn, "settings.unlisted", "import what you bought, and set unlisted_serial to pending or deny", "%s: each device it ever built may join (unlisted_serial: admit)", name)
	}
	if m.AllowNonceless && !m.MASA.Offline {
		d.add(gradeWarn, "settings.nonceless", "leave allow_nonceless out unless vouchers are carried here by file", "%s: vouchers that are good again are taken", name)
	}
	switch m.IDevIDRevocation.Mode {
	case "off":
		d.add(gradeWarn, "settings.idevid-revocation", "set idevid_revocation.mode to require or check", "%s: nobody asks whether an IDevID is revoked", name)
	case "check":
		d.add(gradeNote, "settings.idevid-revocation", "set idevid_revocation.mode to require once its lists can be reached", "%s: an IDevID is taken while nobody answers whether it is revoked", name)
	}
	for rule, value := range map[string]string{"unknown_domain": m.AuditLog.UnknownDomain, "nonceless_entry": m.AuditLog.NoncelessEntry, "unavailable": m.AuditLog.Unavailable} {
		if value == "allow" {
			d.add(gradeWarn, "settings.audit-log", "set audit_log."+rule+" to wait or refuse", "%s: its devices join whoever had them before (audit_log.%s: allow)", name, rule)
		}
	}
}

// masaSettings does the same for a MASA.
func (d *doctor) masaSettings(c *masaConfig) {
	before := len(d.findings)
	for _, p := range c.Products {
		name := "product " + p.Name
		if p.AllowNoPriorSigned {
			d.add(gradeWarn, "settings.no-prior-signed", "leave allow_no_prior_signed out unless the devices cannot sign", "%s: vouchers are issued without a request that the device signed", name)
		}
		if p.AllowUnlisted {
			d.add(gradeNote, "settings.unlisted", "import what was built, and leave allow_unlisted out", "%s: vouchers are issued for devices that were not imported", name)
		}
		if !p.RequireOwner && c.RegistrarAnchors == "" {
			d.add(gradeNote, "settings.owner", "note owners, and set require_owner", "%s: whoever asks first gets a voucher; the audit-log tells", name)
		}
	}
	switch c.RegistrarRevocation.Mode {
	case "off":
		d.add(gradeWarn, "settings.registrar-revocation", "set registrar_revocation.mode to check or require", "nobody asks whether a registrar's certificate is revoked")
	}
	d.watching(c.Listen.Metrics, &c.Tracing, &c.Log)
	if len(d.findings) == before {
		d.add(gradeOK, "settings", "", "no setting opens more than the defaults do")
	}
}

// watching looks at what monitoring gives away.
func (d *doctor) watching(metrics string, t *tracingConfig, l *logConfig) {
	if metrics != "" && !loopback(metrics) {
		d.add(gradeNote, "settings.metrics", "let a firewall have only the monitoring reach it", "metrics are served to whoever reaches %s", metrics)
	}
	if u, err := url.Parse(t.Endpoint); err == nil && u.Scheme == "http" && !loopback(u.Host) {
		d.add(gradeWarn, "settings.tracing", "use https, or a collector on this machine", "traces leave this machine in the clear, to %s", u.Host)
	}
	if strings.EqualFold(l.Level, "debug") {
		d.add(gradeNote, "settings.log", "set log.level to info when the search is over", "the log tells everything (log.level: debug)")
	}
}

// loopback tells whether an address, HOST:PORT or HOST, is this machine's alone.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
