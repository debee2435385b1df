package groups

import (
	"slices"
	"strings"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
)

// attributePrefix begins the names of indexed attributes.
const attributePrefix = varAttributes + "."

// key is a condition that an index answers: a fact that equals a value, or begins with it.
type key struct {
	fact, value string
	prefix      bool
}

// keys are conditions of which one has to hold for the expression to be true. Exact:
// and then it is true. Not ok: there are none that an index could answer. Of several
// choices the one that weighs least is taken.
func keys(x ast.Expr, weigh func(key) int) (found []key, exact, ok bool) {
	if args, is := isCall(x, operators.LogicalAnd, 2); is {
		left, _, ok1 := keys(args[0], weigh)
		right, _, ok2 := keys(args[1], weigh)
		switch {
		case ok1 && ok2 && total(right, weigh) < total(left, weigh):
			return right, false, true
		case ok1:
			return left, false, true
		default:
			return right, false, ok2
		}
	}
	if args, is := isCall(x, operators.LogicalOr, 2); is {
		left, exact1, ok1 := keys(args[0], weigh)
		right, exact2, ok2 := keys(args[1], weigh)
		return append(slices.Clip(left), right...), exact1 && exact2, ok1 && ok2
	}
	if args, is := isCall(x, operators.Equals, 2); is {
		if _, ok := literal(args[0]); ok {
			args[0], args[1] = args[1], args[0]
		}
		name, ok1 := textVariable(args[0])
		value, ok2 := literal(args[1])
		return []key{{fact: name, value: value}}, true, ok1 && ok2
	}
	if args, is := isCall(x, operators.In, 2); is && args[1].Kind() == ast.ListKind {
		name, ok := textVariable(args[0])
		for _, element := range args[1].AsList().Elements() {
			value, isText := literal(element)
			ok = ok && isText
			found = append(found, key{fact: name, value: value})
		}
		return found, true, ok
	}
	if args, is := isCall(x, "startsWith", 2); is {
		name, ok1 := textVariable(args[0])
		value, ok2 := literal(args[1])
		return []key{{name, value, true}}, true, ok1 && ok2 && value != ""
	}
	return nil, false, false
}

func total(found []key, weigh func(key) int) int {
	sum := 0
	for _, k := range found {
		sum += weigh(k)
	}
	return sum
}

// allKeys calls do for each condition in the expression that an index could answer.
func allKeys(x ast.Expr, do func(key)) {
	for _, logical := range []string{operators.LogicalAnd, operators.LogicalOr} {
		if args, is := isCall(x, logical, 2); is {
			allKeys(args[0], do)
			allKeys(args[1], do)
			return
		}
	}
	if found, _, ok := keys(x, func(key) int { return 1 }); ok {
		for _, k := range found {
			do(k)
		}
	}
}

// source is the index of one fact.
type source struct {
	of      func(a *activation) (string, bool)
	equal   map[string][]int32 // positions of groups by value
	begins  map[string][]int32 // by prefix
	lengths []int              // of the prefixes, ascending
}

// add puts a group under a condition.
func (s *source) add(k key, position int32) {
	if !k.prefix {
		s.equal[k.value] = append(s.equal[k.value], position)
		return
	}
	s.begins[k.value] = append(s.begins[k.value], position)
	if i, there := slices.BinarySearch(s.lengths, len(k.value)); !there {
		s.lengths = slices.Insert(s.lengths, i, len(k.value))
	}
}

// find appends the positions of the groups whose condition holds.
func (s *source) find(a *activation, positions []int32) []int32 {
	value, there := s.of(a)
	if !there {
		return positions
	}
	positions = append(positions, s.equal[value]...)
	for _, n := range s.lengths {
		if n > len(value) {
			break
		}
		positions = append(positions, s.begins[value[:n]]...)
	}
	return positions
}

// worst is how many groups one value can bring at most.
func (s *source) worst() int {
	equal, begins := 0, 0
	for _, positions := range s.equal {
		equal = max(equal, len(positions))
	}
	for prefix := range s.begins {
		n := 0
		for _, length := range s.lengths {
			if length <= len(prefix) {
				n += len(s.begins[prefix[:length]])
			}
		}
		begins = max(begins, n)
	}
	return equal + begins
}

// sourceOf makes the empty index of a fact.
func (s *Set) sourceOf(name string) *source {
	out := &source{equal: make(map[string][]int32), begins: make(map[string][]int32)}
	if attribute, is := strings.CutPrefix(name, attributePrefix); is {
		out.of = func(a *activation) (string, bool) {
			if a.f.Device == nil {
				return "", false
			}
			value, there := a.f.Device.Attributes[attribute]
			return value, there
		}
		return out
	}
	of := s.values[name]
	out.of = func(a *activation) (string, bool) { return bounded(of(a)), true }
	return out
}
