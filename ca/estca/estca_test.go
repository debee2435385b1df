package estca_test

import (
	"testing"

	"github.com/briskest/briskest/ca/catest"
)

func TestESTKeepsTheContractOfAnIssuer(t *testing.T) {
	catest.TestIssuer(t, func(t *testing.T) catest.Fixture {
		f := newFake(t)
		return catest.Fixture{Issuer: &lengths{Issuer: f.issuer(), f: f}, Profile: "device", Break: catest.BreakDevice}
	})
}

func TestESTKeepsTheContractOfADelegatingIssuer(t *testing.T) {
	for name, anew := range map[string]bool{"a server that knows a repetition": false, "a server that signs each request": true} {
		t.Run(name, func(t *testing.T) {
			catest.TestDelegating(t, func(t *testing.T) catest.Delegated {
				f := newFake(t)
				d := catest.Delegated{
					Fixture:  catest.Fixture{Issuer: f.issuer(), Profile: "device", Break: catest.BreakDevice},
					Upstream: f,
				}
				if f.anew = anew; anew {
					d.TwoAfterLoss = "EST has no identifier of a request; such a server has to be told of the first by its operator"
				}
				return d
			})
		})
	}
}
