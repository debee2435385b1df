package vaultca_test

import (
	"testing"

	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/vaultca"
)

func TestVaultCAKeepsTheContractOfAnIssuer(t *testing.T) {
	for name, ignores := range map[string]bool{"with a role that takes no names from the CSR": true, "with CSRs that agree": false} {
		t.Run(name, func(t *testing.T) {
			catest.TestIssuer(t, func(t *testing.T) catest.Fixture {
				c := newFake(t).issuer(func(c *vaultca.Config) { c.IgnoresCSRNames = ignores })
				return catest.Fixture{Issuer: c, Profile: "device", Break: catest.BreakDevice}
			})
		})
	}
}

func TestVaultCAKeepsTheContractOfADelegatingIssuer(t *testing.T) {
	for name, search := range map[string]int{"": 100, "without search": 0} {
		t.Run(name, func(t *testing.T) {
			catest.TestDelegating(t, func(t *testing.T) catest.Delegated {
				f := newFake(t)
				d := catest.Delegated{
					Fixture:    catest.Fixture{Issuer: f.issuer(func(c *vaultca.Config) { c.Search = search }), Profile: "device", Break: catest.BreakDevice},
					Upstream:   f,
					Impossible: map[catest.Fault]string{catest.Waits: "Vault decides at once"},
				}
				if search == 0 {
					d.TwoAfterLoss = "Vault signs each request, and nobody looks for the first certificate"
				}
				return d
			})
		})
	}
}
