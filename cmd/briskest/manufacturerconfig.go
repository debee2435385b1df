package main

import (
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"

	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
)

// joinConfig decides about the devices that match all that it names
// (RFC 8995, Section 5.3); one that names nothing is about every device.
type joinConfig struct {
	Name string `yaml:"name"` // for the record
	// HardwareTypes of the IDevID's HardwareModuleName (RFC 4108, Section 5); any of them.
	HardwareTypes []string `yaml:"hardware_types"`
	// Subject attributes of the IDevID, such as {O: Acme, OU: Sensors}: CN, O, OU,
	// C, ST, L, serialNumber or an object identifier; all of them. A value may end in *.
	Subject map[string]string `yaml:"subject"`
	// SerialNumbers; any of them. One may end in *.
	SerialNumbers []string `yaml:"serial_numbers"`
	// Verdict is "deny" (of devices that were imported too), "pending" or "admit".
	Verdict string `yaml:"verdict"`
}

func (c *joinConfig) rule() (registrar.JoinRule, error) {
	out := registrar.JoinRule{Name: c.Name, SerialNumbers: c.SerialNumbers, Verdict: registrar.UnlistedRule(c.Verdict)}
	var err error
	if out.HardwareTypes, err = objectIdentifiers(c.HardwareTypes); err != nil {
		return out, fmt.Errorf("join: hardware_types: %w", err)
	}
	for _, word := range slices.Sorted(maps.Keys(c.Subject)) {
		oid, ok := subjectTypes()[word]
		if !ok {
			parsed, err := objectIdentifiers([]string{word})
			if err != nil {
				return out, fmt.Errorf("join: subject: %q is neither CN, O, OU, C, ST, L, serialNumber nor an object identifier", word)
			}
			oid = parsed[0]
		}
		out.Subject = append(out.Subject, registrar.SubjectMatch{Type: oid, Value: c.Subject[word]})
	}
	return out, nil
}

// subjectTypes are the attributes of a subject that have a name here (RFC 4519, Section 2).
func subjectTypes() map[string]asn1.ObjectIdentifier {
	return map[string]asn1.ObjectIdentifier{
		"CN": {2, 5, 4, 3}, "serialNumber": {2, 5, 4, 5}, "C": {2, 5, 4, 6}, "L": {2, 5, 4, 7}, "ST": {2, 5, 4, 8},
		"O": {2, 5, 4, 10}, "OU": {2, 5, 4, 11},
	}
}

// decide fills in who may join, and with what history.
func (c *manufacturerConfig) decide(out *registrar.Manufacturer, path func(string) string) error {
	out.Pin = pinRule(c.Pin)
	for i := range c.Join {
		rule, err := c.Join[i].rule()
		if err != nil {
			return err
		}
		out.Join = append(out.Join, rule)
	}
	var err error
	out.AuditLog, err = c.AuditLog.rules(path)
	return err
}

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
