package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/registrar"
)

// issuerConfig is one CA that issues: a name, and exactly one of the other keys.
// Labels name theirs; those that do not use the one named default, which has to
// be there and whose root devices pin.
type issuerConfig struct {
	Name string `yaml:"name"`
	// Local signs here.
	Local *caConfig `yaml:"local"`
	// CMP asks a CA by CMP.
	CMP *cmpConfig `yaml:"cmp"`
	// Step asks a step-ca, Vault the PKI of OpenBao or HashiCorp Vault.
	Step  *stepConfig  `yaml:"step"`
	Vault *vaultConfig `yaml:"vault"`
	// EST asks another EST server.
	EST *estConfig `yaml:"est"`
}

// issuerKind is what one kind of issuer is configured by.
type issuerKind interface {
	// check finds what is missing or contradicts itself; it opens nothing.
	check() error
	// open makes the issuer. Errors name keys and files, and no secrets.
	open(ctx context.Context, c *registrarConfig, profiles map[string]*profile.Profile) (ca.Issuer, error)
}

// kinds are those that are configured, by key.
func (i *issuerConfig) kinds() map[string]issuerKind {
	kinds := make(map[string]issuerKind)
	if i.Local != nil {
		kinds["local"] = i.Local
	}
	if i.CMP != nil {
		kinds["cmp"] = i.CMP
	}
	if i.Step != nil {
		kinds["step"] = i.Step
	}
	if i.Vault != nil {
		kinds["vault"] = i.Vault
	}
	if i.EST != nil {
		kinds["est"] = i.EST
	}
	return kinds
}

// issuerKinds are the keys that there are.
const issuerKinds = "local, cmp, step, vault, est"

// kind returns the one kind that is configured, with its key.
func (i *issuerConfig) kind() (string, issuerKind, error) {
	kinds := i.kinds()
	if len(kinds) != 1 {
		return "", nil, fmt.Errorf("issuer %q has %d kinds; it wants one of: %s", i.Name, len(kinds), issuerKinds)
	}
	for key, kind := range kinds {
		return key, kind, nil
	}
	panic("briskest: internal error: one kind, and none")
}

// checkIssuers wants one named default, and each whole and once.
func (c *registrarConfig) checkIssuers() error {
	seen := make(map[string]bool, len(c.Issuers))
	for n := range c.Issuers {
		i := &c.Issuers[n]
		switch {
		case i.Name == "":
			return fmt.Errorf("issuer %d has no name", n+1)
		case seen[i.Name]:
			return fmt.Errorf("issuer %q is there twice", i.Name)
		}
		seen[i.Name] = true
		key, kind, err := i.kind()
		if err == nil {
			if err = kind.check(); err != nil {
				err = fmt.Errorf("issuer %q: %s: %w", i.Name, key, err)
			}
		}
		if err != nil {
			return err
		}
	}
	if !seen[registrar.DefaultIssuer] {
		return fmt.Errorf("issuers has none named %q, which labels use that name none", registrar.DefaultIssuer)
	}
	for _, l := range c.Labels {
		if l.Issuer != "" && !seen[l.Issuer] {
			return fmt.Errorf("label %q: there is no issuer %q; there are: %s", l.Name, l.Issuer, strings.Join(c.issuerNames(), ", "))
		}
	}
	return nil
}

func (c *registrarConfig) issuerNames() []string {
	names := make([]string, len(c.Issuers))
	for n := range c.Issuers {
		names[n] = c.Issuers[n].Name
	}
	return names
}

// issuers opens those who issue. It returns the chain of the default one too.
func (c *registrarConfig) issuers(ctx context.Context, profiles map[string]*profile.Profile) (map[string]ca.Issuer, []*x509.Certificate, error) {
	issuers := make(map[string]ca.Issuer, len(c.Issuers))
	for n := range c.Issuers {
		i := &c.Issuers[n]
		_, kind, err := i.kind()
		if err != nil {
			return nil, nil, err
		}
		if issuers[i.Name], err = kind.open(ctx, c, profiles); err != nil {
			return nil, nil, fmt.Errorf("issuer %q: %w", i.Name, err)
		}
	}
	chain, err := issuers[registrar.DefaultIssuer].Chain(ctx)
	if err == nil && len(chain) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("issuer %q: its chain: %w", registrar.DefaultIssuer, err)
	}
	return issuers, chain, nil
}

// crlLifetime is that of the default issuer.
func (c *registrarConfig) crlLifetime() time.Duration {
	for n := range c.Issuers {
		if i := &c.Issuers[n]; i.Name == registrar.DefaultIssuer && i.Local != nil {
			return time.Duration(i.Local.CRLLifetime)
		}
	}
	return 0
}
