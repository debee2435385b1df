package main

import (
	"fmt"
	"strings"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
)

// cmcConfig is what the operation fullcmc knows besides the labels that offer it
// (RFC 7030, Section 4.3). Its answers are signed with the key of tls.
type cmcConfig struct {
	// Secrets are shared with devices that have nothing else (RFC 5272, Section 6.2).
	Secrets []cmcSecretConfig `yaml:"secrets"`
	// AllowSHA1 takes identity proofs and POP link witnesses by HMAC-SHA1, as
	// RFC 5274, Section 4.1, had them. Signatures with SHA-1 are never taken.
	AllowSHA1 bool `yaml:"allow_sha1"`
}

// cmcSecretConfig is one shared secret.
type cmcSecretConfig struct {
	// Name is what the device says in the Identification control, and the one
	// name that it may enroll.
	Name string `yaml:"name"`
	// File has the secret in its first line: 16 characters at least.
	File string `yaml:"file"`
	// Group lets the secret enroll any name that the label's profile allows.
	Group bool `yaml:"group"`
}

// addCMC reads the secrets.
func (c *registrarConfig) addCMC(s *registrar.Settings) error {
	s.CMC = &registrar.CMC{AllowSHA1: c.CMC.AllowSHA1}
	for _, k := range c.CMC.Secrets {
		data, err := c.read(k.File)
		if err != nil {
			return fmt.Errorf("cmc.secrets: %q: %w", k.Name, err)
		}
		line, _, _ := strings.Cut(string(data), "\n")
		s.CMC.Secrets = append(s.CMC.Secrets, registrar.CMCSecret{
			Name: k.Name, Secret: est.Secret(strings.TrimSuffix(line, "\r")), Group: k.Group,
		})
	}
	return nil
}
