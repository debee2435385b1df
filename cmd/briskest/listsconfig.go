package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/registrar"
)

// listsConfig says how others learn of revocations, at listen.revocation.
type listsConfig struct {
	// URL is how others reach that port, such as http://pki.example.org; lists name
	// it, and so do certificates of profiles that do. Empty: http:// and the address.
	// What certificates name has to stay.
	URL string `yaml:"url"`
	// Partitions is how many lists a CA's revocations are split into: a power of two
	// up to 65536; default 1. Profiles name one by {crl_partition}. Counts of before stay served.
	Partitions int `yaml:"partitions"`
	// Deltas offers what changed since a full list too, at INDEX-delta.crl.
	Deltas bool `yaml:"deltas"`
	// Soon is how old a list may be that lacks a revocation; default 1m.
	Soon config.Duration `yaml:"soon"`
	// OCSPLifetime is how long an answer is good, and others may keep it; default 1h.
	OCSPLifetime config.Duration `yaml:"ocsp_lifetime"`
}

// check judges the keys; listen is where the lists are served, empty for nowhere.
func (c *listsConfig) check(listen string) error {
	switch {
	case c.Soon < 0 || c.OCSPLifetime < 0:
		return errors.New("revocation: a duration is negative")
	case c.Partitions < 0 || c.Partitions != 0 && !profile.ValidPartitions(c.Partitions):
		return fmt.Errorf("revocation.partitions is %d; it may be a power of two up to %d", c.Partitions, profile.MaxPartitions)
	case c.OCSPLifetime > 0 && time.Duration(c.OCSPLifetime) < time.Minute:
		return errors.New("revocation.ocsp_lifetime is shorter than a minute")
	}
	if err := c.checkURL(); err != nil {
		return err
	}
	_, err := c.url(listen)
	return err
}

// checkURL wants what certificates can name (RFC 5280, Section 4.2.1.13): http,
// because who checks a certificate cannot check another one for it first.
func (c *listsConfig) checkURL() error {
	if c.URL == "" {
		return nil
	}
	if strings.HasPrefix(c.URL, "https://") {
		return errors.New("revocation.url begins with https://; it begins with http://, because who checks a certificate cannot check another one for it first, and lists and answers are signed")
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Scheme != "http" || u.Hostname() == "" || strings.ContainsFunc(c.URL, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`{}"<>\^|`+"`", r) }):
		return errors.New("revocation.url cannot be read; it is http://HOST, http://HOST:PORT or one of them with a path, such as http://pki.example.org")
	case u.User != nil:
		return errors.New("revocation.url has a user or a password in it, which every certificate would show; take it out")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("revocation.url has a query or a fragment; take it out: the paths of lists are put behind it")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("revocation.url has the port %s; it is 1 to 65535", port)
		}
	}
	return nil
}

// url is the start of what lists name; empty where none are served.
func (c *listsConfig) url(listen string) (string, error) {
	if c.URL != "" || listen == "" {
		return strings.TrimSuffix(c.URL, "/"), nil
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("listen.revocation: %w", err)
	}
	if a, err := netip.ParseAddr(host); host == "" || port == "0" || err == nil && a.IsUnspecified() {
		if c.Partitions > 1 || c.Deltas {
			return "", fmt.Errorf("revocation.url is needed: nobody can reach %s by that name", listen)
		}
		return "", nil
	}
	return "http://" + listen, nil
}

// revocationListen is the address that lists are served at: one for all domains.
func (c *registrarConfig) revocationListen() string {
	if c.of != nil {
		return c.of.Listen.Revocation
	}
	return c.Listen.Revocation
}

// addLists has every CA that signs here sign lists and answers: those of the
// issuers, and those before them.
func (c *registrarConfig) addLists(ctx context.Context, s *registrar.Settings) error {
	base, err := c.Revocation.url(c.revocationListen())
	if err != nil {
		return err
	}
	if c.of != nil && c.Revocation.URL == "" { // one port for all domains
		if base, err = c.of.Revocation.url(c.of.Listen.Revocation); err != nil {
			return err
		}
	}
	s.Lists = registrar.Lists{URL: base, Partitions: c.Revocation.Partitions, Deltas: c.Revocation.Deltas, Soon: time.Duration(c.Revocation.Soon)}
	p, err := profile.New(profile.OCSPResponder())
	if err != nil {
		return err
	}
	responder := map[string]*profile.Profile{p.Name(): p}
	for _, name := range slices.Sorted(maps.Keys(s.Issuers)) {
		local, ok := s.Issuers[name].(*localca.CA)
		if !ok {
			continue
		}
		if c.Revocation.Partitions > 1 {
			if local, err = local.WithCRLPartitions(c.Revocation.Partitions); err != nil {
				return err
			}
			s.Issuers[name] = local
		}
		for _, authority := range append([]*localca.CA{local}, local.Previous()...) {
			by, err := authority.WithProfiles(responder)
			if err != nil {
				return err
			}
			chain, err := authority.Chain(ctx)
			if err != nil {
				return err
			}
			s.Lists.Authorities = append(s.Lists.Authorities, &registrar.Authority{
				Issuer: name, Certificate: chain[0], Above: chain[1:], Lists: authority, Responder: by,
			})
		}
	}
	return nil
}
