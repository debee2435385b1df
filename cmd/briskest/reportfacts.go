package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/config"
)

// gatherFacts reads a registrar's configuration and all that it names.
func gatherFacts(ctx context.Context, file string, now time.Time) (*deploymentFacts, error) {
	c, err := loadRegistrarConfig(file)
	if err != nil {
		return nil, err
	}
	defer c.fetcher.Close()
	settings, _, err := c.build(ctx)
	if err != nil {
		return nil, err
	}
	f := &deploymentFacts{now: now, lifetimes: map[string]time.Duration{}, manufacturers: len(c.Manufacturers), revocation: c.Listen.Revocation,
		watched: c.Listen.Metrics != "" || c.Tracing.Endpoint != ""}
	for _, uri := range c.keys() {
		if strings.HasPrefix(uri, "pkcs11:") {
			f.keysInTokens++
		} else {
			f.keysInFiles++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(settings.Issuers)) {
		chain, err := settings.Issuers[name].Chain(ctx)
		if errors.Is(err, ca.ErrUnavailable) { // nothing is known of it yet
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("issuer %s: %w", name, err)
		}
		f.issuers = append(f.issuers, issuerFact{name, c.issuerKindOf(name), chain[0].SignatureAlgorithm.String(), chain[0].NotAfter})
	}
	for i := range c.Issuers {
		if local := c.Issuers[i].Local; local != nil && local.Folder != "" {
			_, err := os.Stat(filepath.Join(c.path(local.Folder), "root.key"))
			f.rootKeyHere = f.rootKeyHere || err == nil
		}
	}
	return f, f.ofSettings(c)
}

// endless stands for a lifetime without an end.
const endless = time.Duration(1<<63 - 1)

// issuerKindOf is the key under which an issuer is configured.
func (c *registrarConfig) issuerKindOf(name string) string {
	for i := range c.Issuers {
		if c.Issuers[i].Name == name {
			for kind := range c.Issuers[i].kinds() {
				return kind
			}
		}
	}
	return ""
}

// ofSettings counts who may enroll and who may join.
func (f *deploymentFacts) ofSettings(c *registrarConfig) error {
	profiles, err := c.profiles()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		p := profiles[name]
		if mode := p.Policy().ServerKeyGeneration; mode != "" && mode != "off" {
			f.serverKeys = append(f.serverKeys, name)
		}
		text := p.Document().Validity.Lifetime
		if text == "never" { // which is 9999-12-31 (RFC 5280, Section 4.1.2.5)
			f.lifetimes[name] = endless
			continue
		}
		d, err := config.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("profile %s: %w", name, err)
		}
		f.lifetimes[name] = d
	}
	f.labels = len(c.Labels)
	for i := range c.Labels {
		l := &c.Labels[i]
		if l.Auth.Codes {
			f.withCodes++
		}
		if l.IDevID != "" && l.IDevID != "never" {
			f.withID++
		}
		if l.Basic && len(l.Auth.Require) == 0 && !l.Approval {
			f.sharedPasswords++
		}
	}
	for i := range c.Manufacturers {
		m := &c.Manufacturers[i]
		if m.IDevIDRevocation.Mode == "off" {
			f.unrevoked = append(f.unrevoked, m.Name)
		}
		if m.UnlistedSerial == "admit" {
			f.admitAll = append(f.admitAll, m.Name)
		}
	}
	return nil
}
