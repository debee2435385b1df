package profile_test

import (
	"errors"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca/profile"
)

func constrained() *profile.Document {
	d := profile.SubCA("plant.example.com")
	d.NameConstraints.Permitted.IP = []string{"10.0.0.0/8", "fd00::/8"}
	d.NameConstraints.Permitted.Email = []string{".plant.example.com"}
	d.NameConstraints.Excluded = profile.NameSubtrees{DNS: []string{"office.plant.example.com"}, URI: []string{"uri.example.com"}}
	return d
}

// RFC 5280, Section 4.2.1.10.
func TestASubCACertifiesOnlyTheNamesOfItsConstraints(t *testing.T) {
	p := mustNew(t, constrained())
	c := decision(t, p, 1)
	cert := parseTBS(t, mustTBS(t, p, c), c)
	_, v4, _ := net.ParseCIDR("10.0.0.0/8")
	_, v6, _ := net.ParseCIDR("fd00::/8")
	for what, pair := range map[string][2]any{
		"critical":       {cert.PermittedDNSDomainsCritical, true},
		"permitted DNS":  {cert.PermittedDNSDomains, []string{"plant.example.com"}},
		"permitted IP":   {cert.PermittedIPRanges, []*net.IPNet{v4, v6}},
		"permitted mail": {cert.PermittedEmailAddresses, []string{".plant.example.com"}},
		"excluded DNS":   {cert.ExcludedDNSDomains, []string{"office.plant.example.com"}},
		"excluded URI":   {cert.ExcludedURIDomains, []string{"uri.example.com"}},
		"CA":             {cert.IsCA, true},
		"path length":    {[]any{cert.MaxPathLen, cert.MaxPathLenZero}, []any{0, true}},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s = %v, want %v", what, pair[0], pair[1])
		}
	}
	// What is signed has exactly these.
	for what, change := range map[string]func(n *profile.NameConstraints){
		"another domain":     func(n *profile.NameConstraints) { n.Permitted.DNS[0] = "example.com" },
		"one network less":   func(n *profile.NameConstraints) { n.Permitted.IP = n.Permitted.IP[:1] },
		"a wider network":    func(n *profile.NameConstraints) { n.Permitted.IP[0] = "0.0.0.0/0" },
		"nothing excluded":   func(n *profile.NameConstraints) { n.Excluded = profile.NameSubtrees{} },
		"one more permitted": func(n *profile.NameConstraints) { n.Permitted.URI = []string{"example.com"} },
		"swapped":            func(n *profile.NameConstraints) { n.Permitted, n.Excluded = n.Excluded, n.Permitted },
	} {
		d := constrained()
		change(d.NameConstraints)
		tbs, err := mustNew(t, d).TBS(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.CheckTBS(tbs, c); !errors.Is(err, profile.ErrTBS) {
			t.Errorf("%s: %v, want ErrTBS", what, err)
		}
	}
	d := constrained()
	d.NameConstraints = nil
	tbs, err := mustNew(t, d).TBS(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CheckTBS(tbs, c); !errors.Is(err, profile.ErrTBS) {
		t.Errorf("none: %v, want ErrTBS", err)
	}
}

func TestConstraintsThatCannotBeAreRefused(t *testing.T) {
	for what, change := range map[string]func(d *profile.Document){
		"are for CAs": func(d *profile.Document) {
			d.BasicConstraints, d.KeyUsage = nil, []string{"digital_signature"}
		},
		"permit and exclude nothing":             func(d *profile.Document) { d.NameConstraints = &profile.NameConstraints{} },
		"name_constraints.permitted.dns[0]":      func(d *profile.Document) { d.NameConstraints.Permitted.DNS = []string{".example.com"} },
		"name_constraints.permitted.dns[1]":      func(d *profile.Document) { d.NameConstraints.Permitted.DNS = []string{"a.example", "*.example"} },
		"name_constraints.excluded.ip[0]":        func(d *profile.Document) { d.NameConstraints.Excluded.IP = []string{"10.0.0.1/8"} },
		"name_constraints.permitted.email[0]":    func(d *profile.Document) { d.NameConstraints.Permitted.Email = []string{"a@example.com"} },
		"name_constraints.permitted: are more t": func(d *profile.Document) { d.NameConstraints.Permitted.DNS = slices.Repeat([]string{"a.example"}, 33) },
	} {
		d := constrained()
		change(d)
		if _, err := profile.New(d); !errors.Is(err, profile.ErrDocument) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
