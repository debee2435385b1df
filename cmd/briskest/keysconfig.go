package main

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/registrar"
)

// keyConfig is a key that the registrar shares with devices, to encrypt with it
// the keys it makes for them (RFC 7030, Section 4.4.1.1).
type keyConfig struct {
	// ID is what devices name the key by: text, or hex: and hex digits.
	ID string `yaml:"id"`
	// Secret is a file of the key: 32 bytes, or their 64 hex digits. Make one
	// with: openssl rand -hex 32
	Secret string `yaml:"secret"`
	// Devices are the names, or serial numbers, of the devices that have it.
	Devices []string `yaml:"devices"`
	// Users are the HTTP users that have it.
	Users []string `yaml:"users"`
}

// addKeys reads the files of the shared keys. Their digests are not noted: they
// are secrets.
func (c *registrarConfig) addKeys(s *registrar.Settings) error {
	for _, k := range c.KeyEncryptionKeys {
		id := []byte(k.ID)
		if digits, ok := strings.CutPrefix(k.ID, "hex:"); ok {
			var err error
			if id, err = hex.DecodeString(digits); err != nil {
				return fmt.Errorf("key encryption key %q: what follows hex: is not hexadecimal", k.ID)
			}
		}
		if k.Secret == "" {
			return fmt.Errorf("key encryption key %q: name its file with the key secret", k.ID)
		}
		data, err := config.Read(c.path(k.Secret))
		if err != nil {
			return fmt.Errorf("key encryption key %q: %w", k.ID, err)
		}
		key, err := sharedKey(data)
		if err != nil {
			return fmt.Errorf("key encryption key %q: %s: %w", k.ID, k.Secret, err)
		}
		s.KeyEncryptionKeys = append(s.KeyEncryptionKeys, &registrar.KeyEncryptionKey{ID: id, Key: key, Devices: k.Devices, Users: k.Users})
	}
	return nil
}

// sharedKey reads 32 bytes, or 64 hex digits with white space around them.
func sharedKey(data []byte) ([]byte, error) {
	const size = 32
	if len(data) == size {
		return data, nil
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(key) != size { // the error would quote the secret
		return nil, fmt.Errorf("holds neither %d bytes nor %d hex digits; make one with: openssl rand -hex %d", size, 2*size, size)
	}
	return key, nil
}
