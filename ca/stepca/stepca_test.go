package stepca_test

import (
	"testing"

	"github.com/briskest/briskest/ca/catest"
)

func TestStepCAKeepsTheContractOfAnIssuer(t *testing.T) {
	catest.TestIssuer(t, func(t *testing.T) catest.Fixture {
		return catest.Fixture{Issuer: newFake(t).issuer(), Profile: "device", Break: catest.BreakDevice}
	})
}

func TestStepCAKeepsTheContractOfADelegatingIssuer(t *testing.T) {
	for name, template := range map[string]bool{"with the default template": false, "with our template": true} {
		t.Run(name, func(t *testing.T) {
			catest.TestDelegating(t, func(t *testing.T) catest.Delegated {
				f := newFake(t)
				f.template = template
				return catest.Delegated{
					Fixture:  catest.Fixture{Issuer: f.issuer(), Profile: "device", Break: catest.BreakDevice},
					Upstream: f,
					Impossible: map[catest.Fault]string{
						catest.Waits: "step-ca decides at once",
					},
					TwoAfterLoss: "step-ca gives nobody a certificate that it signed before; with our template it is revoked",
				}
			})
		})
	}
}
