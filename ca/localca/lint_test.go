package localca_test

import (
	"crypto/elliptic"
	"testing"

	"github.com/briskest/briskest/ca/profile"
)

// zlint finds no error in 200 certificates of each built-in profile, the CAs' included.
func TestZlintFindsNothingInIssuedCertificates(t *testing.T) {
	issuer := hierarchy(t)
	for _, d := range endEntities() {
		warnings := map[string]int{}
		count := 200
		if testing.Short() {
			count = 20
		}
		for n := range count {
			findings, err := profile.Lint(sample(t, issuer, d.Name, n).Raw)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range findings {
				if f.Error {
					t.Errorf("%s, sample %d: %s", d.Name, n, f)
				}
				warnings[f.Lint]++
			}
		}
		t.Logf("%s: %d certificates, warnings: %v", d.Name, count, warnings)
	}
	chain, err := issuer.Chain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chain {
		findings, err := profile.Lint(c.Raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			if f.Error {
				t.Errorf("%s: %s", c.Subject, f)
			}
			t.Logf("%s: %s", c.Subject, f)
		}
	}
}

// Names that only private networks have are none of the linter's errors.
func TestZlintTakesNamesOfPrivateNetworks(t *testing.T) {
	issuer := hierarchy(t)
	for _, dns := range []string{"localhost", "registrar", "registrar.local", "registrar.internal"} {
		cert, err := issuer.Certify(t.Context(), request(ecKey(t, elliptic.P256()).Public(), "registrar", dns, dns))
		if err != nil {
			t.Fatal(err)
		}
		findings, err := profile.Lint(cert.Raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			if f.Error {
				t.Errorf("%s: %s", dns, f)
			}
			t.Logf("%s: %s", dns, f)
		}
	}
}
