package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/config"
)

// profiles reads and checks each profile file.
func (c *registrarConfig) profiles() (map[string]*profile.Profile, error) {
	blocked, err := c.blockedKeys(c.BlockedKeys)
	if err != nil {
		return nil, err
	}
	profiles := make(map[string]*profile.Profile)
	for _, file := range c.Profiles {
		data, err := c.read(file)
		if err != nil {
			return nil, err
		}
		p, err := profile.Load(data, config.Decode)
		if err != nil {
			return nil, fmt.Errorf("profile %s: %w", file, err)
		}
		if profiles[p.Name()] != nil {
			return nil, fmt.Errorf("profile %s: the name %q is there twice", file, p.Name())
		}
		profiles[p.Name()] = p.WithBlockedKeys(blocked)
	}
	return profiles, nil
}

// blockedKeys reads lists of keys, and notes what they held; nil for no list.
func (s *source) blockedKeys(names []string) (*profile.BlockedKeys, error) {
	if len(names) == 0 {
		return nil, nil //nolint:nilnil // nothing is blocked
	}
	lists, digests := make([]io.Reader, len(names)), make([]hash.Hash, len(names))
	for i, name := range names {
		f, err := os.Open(s.path(name))
		if err != nil {
			return nil, fmt.Errorf("blocked_keys: %w", err)
		}
		defer f.Close()
		digests[i] = sha256.New()
		lists[i] = io.TeeReader(f, digests[i])
	}
	blocked, err := profile.ReadBlockedKeys(lists...)
	if err != nil {
		return nil, fmt.Errorf("blocked_keys: %w", err)
	}
	for i, name := range names {
		s.digests[name] = hex.EncodeToString(digests[i].Sum(nil))
	}
	return blocked, nil
}

// checkAuthority refuses a profile that makes CAs at a label that does not say so.
func (l *labelConfig) checkAuthority(p *profile.Profile) error {
	switch isCA, _ := p.Authority(); {
	case isCA && !l.SubCA:
		return fmt.Errorf("the profile %s makes CAs; use another one, or set sub_ca if all who may enroll here are to be CAs", p.Name())
	case l.SubCA && !isCA:
		return fmt.Errorf("sub_ca is set and the profile %s makes no CAs; use one with basic_constraints.ca, such as sub-ca", p.Name())
	default:
		return nil
	}
}
