package groups

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/cel-go/cel"

	"github.com/briskest/briskest/registrar"
)

// Set is a compiled document. It never changes.
type Set struct {
	groups []*compiled // in the order in which they are asked
	byName map[string]*compiled
	shown  []*registrar.Group

	values  map[string]func(a *activation) string
	sources []*source
	scan    []int32 // groups that no index finds, by position
	reads   registrar.DeviceFacts
}

var _ registrar.Grouping = (*Set)(nil)

type compiled struct {
	registrar.Group
	position int32
	match    *expression              // nil: none matches
	always   bool                     // whatever the facts
	exact    bool                     // what the index finds matches
	test     func(a *activation) bool // match without CEL; nil: it takes CEL
	require  []*condition
}

type condition struct {
	registrar.Requirement
	*expression
}

// New compiles a document. Errors wrap [ErrDocument] and name the group. It takes
// about 100 microseconds a rule.
func New(d *Document) (*Set, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	list := facts()
	env, err := newEnvironment(list)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	s := &Set{byName: make(map[string]*compiled, len(d.Groups)), values: make(map[string]func(a *activation) string, len(list))}
	for _, f := range list {
		s.values[f.name] = f.of
	}
	for i := range d.Groups {
		c, err := s.compile(env, &d.Groups[i])
		if err != nil {
			return nil, fmt.Errorf("%w: group %q: %w", ErrDocument, d.Groups[i].Name, err)
		}
		s.groups = append(s.groups, c)
		s.byName[c.Name] = c
	}
	slices.SortStableFunc(s.groups, func(a, b *compiled) int { return cmp.Compare(b.Priority, a.Priority) })
	for i, c := range s.groups {
		c.position = int32(i) //nolint:gosec // at most MaxGroups
		s.shown = append(s.shown, &c.Group)
	}
	return s, s.index()
}

// Compile is [Parse] and [New] in one.
func Compile(document []byte) (*Set, error) {
	d, err := Parse(document)
	if err != nil {
		return nil, err
	}
	return New(d)
}

func (s *Set) compile(env *cel.Env, g *Group) (*compiled, error) {
	c := &compiled{Group: registrar.Group{
		Name: g.Name, Priority: g.Priority, Description: g.Description, Decision: registrar.GroupDecision(g.Decision), Profile: g.Profile,
		Lifetime: time.Duration(g.Lifetime), RenewalWindow: time.Duration(g.RenewalWindow), Names: maps.Clone(g.Names), Baseline: g.Baseline,
		Applications: make(map[string]*registrar.Application, len(g.Applications)), Pinned: g.Match == "",
	}}
	for name, a := range g.Applications {
		c.Applications[name] = &registrar.Application{Profile: a.Profile, Names: a.Names, Endpoints: a.Endpoints, Publish: a.Publish, Subscribe: a.Subscribe}
	}
	if g.Match != "" {
		e, err := compile(env, g.Match)
		if err != nil {
			return nil, fmt.Errorf("match: %w", err)
		}
		if e.request && !g.AllowRequestFacts {
			return nil, fmt.Errorf("match reads request.*, which devices choose freely, so that each could choose this group; use device.*, idevid.* or auth.*, or set allow_request_facts where that is meant")
		}
		value, fixed := e.constant()
		if c.always = value; value || !fixed {
			c.match = e
		}
	}
	for _, r := range g.Require {
		e, err := compile(env, r.That)
		if err != nil {
			return nil, fmt.Errorf("requirement %q: %w", r.Name, err)
		}
		c.require = append(c.require, &condition{registrar.Requirement{Name: r.Name, Rule: r.That, Message: r.Message}, e})
	}
	if len(c.require) > 0 {
		c.Unmet = func(f *registrar.GroupFacts) *registrar.Requirement { return s.unmet(c, f) }
	}
	return c, nil
}

// index puts every group where its devices find it.
func (s *Set) index() error {
	common := make(map[key]int) // how many groups have it
	for _, c := range s.groups {
		if c.match != nil {
			allKeys(c.match.tree, func(k key) { common[k]++ })
		}
	}
	named := make(map[string]*source)
	for _, c := range s.groups {
		if c.match == nil {
			continue
		}
		s.reads |= c.match.reads
		c.test = s.native(c.match.tree)
		found, exact, ok := keys(c.match.tree, func(k key) int {
			if strings.HasPrefix(k.fact, "idevid.") {
				return 1024*common[k] + 1 // of two alike, rather the one that parses no certificate
			}
			return 1024 * common[k]
		})
		if !ok {
			s.scan = append(s.scan, c.position)
			continue
		}
		c.exact = exact
		for _, k := range found {
			if named[k.fact] == nil {
				named[k.fact] = s.sourceOf(k.fact)
			}
			named[k.fact].add(k, c.position)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		s.sources = append(s.sources, named[name])
	}
	return s.affordable()
}

// affordable refuses a document whose rules cost too much for one device.
func (s *Set) affordable() error {
	worst := 0
	for _, position := range s.scan {
		if !s.groups[position].always {
			worst++
		}
	}
	scanned := worst
	for _, source := range s.sources {
		worst += source.worst()
	}
	if worst > MaxEvaluated {
		return fmt.Errorf("%w: to place one device up to %d rules would have to be evaluated, of which %d are asked about every device; at most %d. Give rules a condition that few share: a fact == \"text\", in [list] or startsWith(\"text\")",
			ErrDocument, worst, scanned, MaxEvaluated)
	}
	return nil
}
