package main

import (
	"encoding/base64"
	"fmt"

	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
)

// auditLogConfig says what becomes of a device for what its MASA's audit-log
// says about it (RFC 8995, Section 5.8.3): "refuse", "wait" (the voucher is on
// record, and handed out when an operator approves) or "allow".
type auditLogConfig struct {
	// UnknownDomain: another network had the device; default wait.
	UnknownDomain string `yaml:"unknown_domain"`
	// NoncelessEntry: another network has a voucher that is good at any time; default wait.
	NoncelessEntry string `yaml:"nonceless_entry"`
	// AnyEntry: any voucher that is not on this registrar's record; default allow.
	AnyEntry string `yaml:"any_entry"`
	// Unavailable: the MASA gave no audit-log; default refuse.
	Unavailable string `yaml:"unavailable"`
	// KnownDomains may have had the device.
	KnownDomains []knownDomainConfig `yaml:"known_domains"`
}

// knownDomainConfig is a network that is known, by one of the two.
type knownDomainConfig struct {
	Name string `yaml:"name"`
	// DomainID as audit-logs have it, in base64 (RFC 8995, Section 5.8.2).
	DomainID string `yaml:"domain_id"`
	// Certificates is a PEM file of what vouchers of that network pin: its CAs, or its registrar's certificate.
	Certificates string `yaml:"certificates"`
}

// rules turns the file's words into the registrar's.
func (c *auditLogConfig) rules(path func(string) string) (registrar.AuditLogRules, error) {
	out := registrar.AuditLogRules{
		UnknownDomain: registrar.AuditRule(c.UnknownDomain), NoncelessEntry: registrar.AuditRule(c.NoncelessEntry),
		AnyEntry: registrar.AuditRule(c.AnyEntry), Unavailable: registrar.AuditRule(c.Unavailable), Known: map[string]string{},
	}
	for i, d := range c.KnownDomains {
		switch {
		case d.Name == "":
			return out, fmt.Errorf("audit_log: known domain %d has no name", i+1)
		case (d.DomainID == "") == (d.Certificates == ""):
			return out, fmt.Errorf("audit_log: the known domain %q needs either domain_id or certificates", d.Name)
		case d.DomainID != "":
			out.Known[d.DomainID] = d.Name
			continue
		}
		certs, err := pemfile.Certificates(path(d.Certificates))
		if err != nil {
			return out, fmt.Errorf("audit_log: the known domain %q: %w", d.Name, err)
		}
		for _, cert := range certs {
			out.Known[base64.StdEncoding.EncodeToString(voucher.DomainID(cert))] = d.Name
		}
	}
	return out, nil
}

// pinRule reads the setting pin.
func pinRule(word string) registrar.PinRule {
	if word == "any" {
		return registrar.PinAny
	}
	return registrar.PinRule(word)
}
