// Package conformancetest holds the checks of the conformance suite to their
// word: each has been seen to fail. A [Mutation] is the reference actor of a
// role with one fault; [Mutations] runs the check it is for, which must fail,
// and checks of other sections, which must not.
package conformancetest

import (
	"hash/fnv"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/conformance"
)

// Mutation is a broken actor.
type Mutation[T any] struct {
	Check  string // the ID of the check that must fail
	Breaks string // what is broken, in a few words
	// Also names checks of other sections that see the same fault, because
	// two RFCs ask for the same thing.
	Also []string
	// Start starts the actor, which ends with the test, and returns it as a
	// target.
	Start func(t testing.TB) T
}

// Environment names the variable that chooses the mutations: "all" runs all of
// them against all checks, "each" and whatever follows it all of them against a check of each other section, any
// other text, such as a commit, picks a tenth of them against a check of each
// other section.
const Environment = "BRISKEST_MUTATIONS"

// limit is how long one mutated run may take. It is generous, for machines under
// load: what a mutation took is logged.
const limit = time.Minute

// Passes runs the checks against a good target: none may fail or be skipped but
// those named.
func Passes[T any](t *testing.T, target T, checks []conformance.Check[T], skipped ...string) {
	t.Helper()
	report := conformance.Run(t.Context(), target, checks, &conformance.Options{Deadline: limit})
	for i := range report.Checks {
		r := &report.Checks[i]
		switch want := slices.Contains(skipped, r.ID); {
		case r.Verdict == conformance.VerdictFail, r.Verdict == conformance.VerdictSkip && !want:
			t.Errorf("%s: %s, want pass: %s", r.ID, r.Verdict, r.Reason)
		case r.Verdict == conformance.VerdictPass && want:
			t.Errorf("%s passes, want it skipped", r.ID)
		}
	}
}

// Mutations runs the mutations that the environment chooses. It fails when a
// check has no mutation at all, or a mutation names no check.
func Mutations[T any](t *testing.T, checks []conformance.Check[T], mutations []Mutation[T]) {
	t.Helper()
	byID := make(map[string]*conformance.Check[T], len(checks))
	for i := range checks {
		c := &checks[i]
		if byID[c.ID] != nil {
			t.Errorf("two checks are called %s", c.ID)
		}
		byID[c.ID] = c
	}
	seen := make(map[string]bool)
	for _, m := range mutations {
		seen[m.Check] = true
		if byID[m.Check] == nil {
			t.Errorf("the mutation %q is for the check %s, which is none", m.Breaks, m.Check)
		}
	}
	for i := range checks {
		if !seen[checks[i].ID] {
			t.Errorf("nothing makes %s fail: give it a mutation, or remove it", checks[i].ID)
		}
	}
	rotation := os.Getenv(Environment)
	for i, m := range mutations {
		if byID[m.Check] == nil || rotation != "all" && !strings.HasPrefix(rotation, "each") && turn(rotation, 10) != i%10 {
			continue
		}
		t.Run(m.Check+"/"+strings.ReplaceAll(m.Breaks, " ", "_"), func(t *testing.T) {
			t.Parallel()
			m.run(t, byID[m.Check], others(byID[m.Check], checks, rotation))
		})
	}
}

// turn is the number below n that a rotation text stands for.
func turn(rotation string, n int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(rotation)) // never fails
	return int(h.Sum32() % uint32(n))
}

// others are checks of other sections: all of them, or one a section.
func others[T any](c *conformance.Check[T], checks []conformance.Check[T], rotation string) []conformance.Check[T] {
	sections := make(map[string][]conformance.Check[T])
	var order []string
	for _, other := range checks {
		if other.Citation == c.Citation {
			continue
		}
		if sections[other.Citation] == nil {
			order = append(order, other.Citation)
		}
		sections[other.Citation] = append(sections[other.Citation], other)
	}
	var chosen []conformance.Check[T]
	for _, citation := range order {
		of := sections[citation]
		if rotation == "all" {
			chosen = append(chosen, of...)
			continue
		}
		chosen = append(chosen, of[turn(rotation+c.ID, len(of))])
	}
	return chosen
}

// run starts the broken actor and judges it.
func (m *Mutation[T]) run(t *testing.T, c *conformance.Check[T], others []conformance.Check[T]) {
	begun := time.Now()
	target := m.Start(t)
	options := &conformance.Options{Deadline: limit}
	if os.Getenv(Environment) == "all" {
		options.Deadline = 10 * limit
	}
	report := conformance.Run(t.Context(), target, append([]conformance.Check[T]{*c}, others...), options)
	first := &report.Checks[0]
	if first.Verdict != conformance.VerdictFail {
		t.Errorf("%s: %s, want fail: %s", first.ID, first.Verdict, first.Reason)
	}
	for i := range report.Checks[1:] {
		r := &report.Checks[1+i]
		if r.Verdict == conformance.VerdictFail && !slices.Contains(m.Also, r.ID) {
			t.Errorf("%s of another section fails too: %s", r.ID, r.Reason)
		}
	}
	t.Logf("%s: %v for %d checks: %s", m.Check, time.Since(begun).Round(time.Millisecond), len(report.Checks), first.Reason)
}
