package catest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
)

func TestMemoryIsAnIssuer(t *testing.T) {
	catest.TestIssuer(t, func(t *testing.T) catest.Fixture {
		m := catest.NewMemory(t)
		return catest.Fixture{
			Issuer: m, Profile: "device", Signer: m.UseKey(),
			Break: func(r *ca.Request) { r.Names.DNS = []string{"a.forbidden.example"} },
		}
	})
}

func TestMemoryFailsWhenTold(t *testing.T) {
	m := catest.NewMemory(t)
	recorded := 0
	r := &ca.Request{Profile: "device", PublicKey: m.Root().PublicKey, Record: func(context.Context, *ca.Intent) error { recorded++; return nil }}
	for _, c := range []struct {
		name          string
		before, after error
		recorded      int
	}{
		{"before", catest.ErrInjected, nil, 0},
		{"after", nil, ca.ErrPending, 1},
		{"neither", nil, nil, 1},
	} {
		recorded = 0
		m.FailBeforeRecord(c.before)
		m.FailAfterRecord(c.after)
		_, err := m.Issue(t.Context(), r)
		if want := errors.Join(c.before, c.after); (err == nil) != (want == nil) || (want != nil && !errors.Is(want, err)) {
			t.Errorf("%s: Issue = %v, want %v", c.name, err, want)
		}
		if recorded != c.recorded {
			t.Errorf("%s: recorded %d, want %d", c.name, recorded, c.recorded)
		}
	}
	if n := len(m.Issued()); n != 1 {
		t.Errorf("%d certificates issued, want 1", n)
	}
}
