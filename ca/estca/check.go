package estca

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/briskest/briskest/ca"
)

// Check asks the server for its CA certificates (RFC 7030, Section 4.1), and
// wants the issuing CA of the chain among them. Its error says what an operator
// has to mend.
func (c *CA) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	certs, err := c.clients[c.config.Label].CACerts(ctx)
	if err != nil {
		return fmt.Errorf("estca: %w: %w", ca.ErrUnavailable, c.secrets.Error(err))
	}
	issuing := c.config.Chain[0]
	if !slices.ContainsFunc(certs, func(cert *x509.Certificate) bool { return cert.Equal(issuing) }) {
		return fmt.Errorf("estca: its CA certificates do not have %q: check chain, or load the configuration again to learn them", issuing.Subject)
	}
	return nil
}
