package vaultca

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// Check asks the server whether it is well, logs in, and holds the issuer and
// the role, as far as our policies let us read it, against the configuration.
// Its error says what an operator has to mend.
func (c *CA) Check(ctx context.Context) error { return c.secrets.Error(c.checkAll(ctx)) }

func (c *CA) checkAll(ctx context.Context) error {
	a, err := c.send(ctx, http.MethodGet, "sys/health?standbyok=true&perfstandbyok=true", "", nil)
	if err != nil {
		return fmt.Errorf("vaultca: %w", unasked(err))
	}
	var health struct {
		Initialized bool `json:"initialized"`
		Sealed      bool `json:"sealed"`
	}
	if json.Unmarshal(a.Body, &health) != nil || !health.Initialized {
		return fmt.Errorf("vaultca: %s answered %d to sys/health: is it an initialized Vault or OpenBao?", c.base, a.Status)
	}
	if health.Sealed {
		return fmt.Errorf("vaultca: %s is sealed", c.base)
	}
	if err := c.checkIssuer(ctx); err != nil {
		return err
	}
	return c.checkRole(ctx)
}

func (c *CA) checkIssuer(ctx context.Context) error {
	a, err := c.call(ctx, http.MethodGet, c.config.Mount+"/issuer/"+mountOr(c.config.Issuer, "default")+"/json", nil)
	if err != nil {
		return fmt.Errorf("vaultca: read the issuer: %w", unasked(err))
	}
	var data struct {
		Certificate string `json:"certificate"`
	}
	if err := decode(a, &data); err != nil {
		return fmt.Errorf("vaultca: read the issuer: %w", unasked(err))
	}
	raw, err := decodePEM(data.Certificate)
	var cert *x509.Certificate
	if err == nil {
		cert, err = x509.ParseCertificate(raw)
	}
	if err != nil {
		return fmt.Errorf("vaultca: read the issuer: %w", err)
	}
	// The role may name another issuer than the default; then ours is to be named.
	if !slices.Equal(raw, c.config.Chain[0].Raw) {
		return fmt.Errorf("vaultca: the issuer of the mount %s is %q, and the chain begins with %q: set the issuer, or mend the chain", c.config.Mount, cert.Subject, c.config.Chain[0].Subject)
	}
	return nil
}

func (c *CA) checkRole(ctx context.Context) error {
	token, err := c.token(ctx)
	if err != nil {
		return err
	}
	a, err := c.send(ctx, http.MethodGet, c.config.Mount+"/roles/"+c.config.Role, token, nil)
	switch {
	case err != nil:
		return fmt.Errorf("vaultca: read the role: %w", unasked(err))
	case a.Status == http.StatusForbidden:
		return nil // we may sign by it and not read it
	case a.Status == http.StatusNotFound:
		return fmt.Errorf("vaultca: the mount %s has no role %q", c.config.Mount, c.config.Role)
	}
	var role struct {
		CommonName bool `json:"use_csr_common_name"`
		SANs       bool `json:"use_csr_sans"`
	}
	if err := errors.Join(refusal(a), decode(a, &role)); err != nil {
		return fmt.Errorf("vaultca: read the role: %w", unasked(err))
	}
	if role.SANs || role.CommonName && c.config.IgnoresCSRNames {
		return fmt.Errorf("vaultca: the role %s takes names from the CSR: set use_csr_common_name=false and use_csr_sans=false", c.config.Role)
	}
	return nil
}
