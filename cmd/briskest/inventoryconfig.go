package main

import (
	"crypto/x509"
	"fmt"

	"github.com/briskest/briskest/internal/pemfile"
)

// manifestAnchors are those that signers of a manufacturer's manifests chain to;
// nil for none, and for a manufacturer that is not in the configuration.
func (c *registrarConfig) manifestAnchors(manufacturer string) (*x509.CertPool, error) {
	for i := range c.Manufacturers {
		m := &c.Manufacturers[i]
		if m.Name != manufacturer || m.ManifestAnchors == "" {
			continue
		}
		pool, err := pemfile.Pool(c.path(m.ManifestAnchors))
		if err != nil {
			return nil, fmt.Errorf("manifest_anchors of %q: %w", m.Name, err)
		}
		return pool, nil
	}
	return nil, nil //nolint:nilnil // no manifest is taken then
}
