package catest_test

import (
	"testing"

	"github.com/briskest/briskest/ca/catest"
)

func TestRemoteKeepsTheContractOfAnIssuer(t *testing.T) {
	catest.TestIssuer(t, func(t *testing.T) catest.Fixture {
		return catest.Fixture{Issuer: catest.NewRemote(t), Profile: "device", Break: catest.BreakDevice}
	})
}

func TestRemoteKeepsTheContractOfADelegatingIssuer(t *testing.T) {
	catest.TestDelegating(t, func(t *testing.T) catest.Delegated {
		r := catest.NewRemote(t)
		return catest.Delegated{
			Fixture:    catest.Fixture{Issuer: r, Profile: "device", Break: catest.BreakDevice},
			Upstream:   r,
			Impossible: map[catest.Fault]string{catest.AnswersTwice: "a call returns one certificate"},
		}
	})
}
