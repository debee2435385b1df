package main

import (
	"fmt"

	"github.com/briskest/briskest/internal/revocation"
)

// revocationConfig says who tells whether certificates are revoked.
type revocationConfig struct {
	// Mode is what becomes of a certificate about which nobody answers: "require"
	// (default) refuses it, unless it names nowhere to ask and no list of its
	// issuer is in crls; "require-all" refuses it in any case; "check" takes it,
	// and refuses what is known to be revoked; "off" asks nobody.
	Mode string `yaml:"mode"`
	// CRLs are files with revocation lists, PEM or DER; read again at a reload.
	CRLs []string `yaml:"crls"`
	// Fetch asks the distribution points and OCSP responders that certificates
	// name; default true.
	Fetch *bool `yaml:"fetch"`
	// AllowedHosts are names or addresses, without a port, that are asked although
	// they are on this machine or in a private network.
	AllowedHosts []string `yaml:"allowed_hosts"`
}

// checker builds what the keys say; read reads a file of the configuration.
func (c *revocationConfig) checker(read func(file string) ([]byte, error), fetcher *revocation.Fetcher) (*revocation.Checker, error) {
	mode, err := revocation.ParseMode(c.Mode)
	if err != nil {
		return nil, fmt.Errorf("mode: %w", err)
	}
	out := revocation.Config{Mode: mode, AllowedHosts: c.AllowedHosts}
	if out.Lists, err = revocationLists(read, c.CRLs); err != nil {
		return nil, fmt.Errorf("crls: %w", err)
	}
	if c.Fetch == nil || *c.Fetch {
		out.Fetcher = fetcher
	}
	return revocation.New(out)
}

// revocationLists reads files of lists.
func revocationLists(read func(file string) ([]byte, error), files []string) ([]*revocation.List, error) {
	var all []*revocation.List
	for _, file := range files {
		data, err := read(file)
		if err != nil {
			return nil, err
		}
		lists, err := revocation.ParseLists(file, data)
		if err != nil {
			return nil, err
		}
		all = append(all, lists...)
	}
	return all, nil
}
