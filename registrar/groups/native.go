package groups

import (
	"slices"
	"strings"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
)

// native evaluates a condition without CEL, which costs some twenty times as much: of
// comparisons with written text, idevid.present, && and ||. Nil: it has other things in
// it. What CEL cannot evaluate, a missing attribute, is not true here; without a
// negation the whole then is true exactly where CEL says so.
func (s *Set) native(x ast.Expr) func(a *activation) bool {
	for _, logical := range []string{operators.LogicalAnd, operators.LogicalOr} {
		args, is := isCall(x, logical, 2)
		if !is {
			continue
		}
		left, right := s.native(args[0]), s.native(args[1])
		switch {
		case left == nil || right == nil:
			return nil
		case logical == operators.LogicalAnd:
			return func(a *activation) bool { return left(a) && right(a) }
		default:
			return func(a *activation) bool { return left(a) || right(a) }
		}
	}
	if x.Kind() == ast.IdentKind && x.AsIdent() == varIDevID {
		return func(a *activation) bool { return a.certificate() != nil }
	}
	found, exact, ok := keys(x, func(key) int { return 1 })
	if !ok || !exact || len(found) == 0 {
		return nil
	}
	of := s.sourceOf(found[0].fact).of
	return func(a *activation) bool {
		value, there := of(a)
		return there && slices.ContainsFunc(found, func(k key) bool {
			return value == k.value || k.prefix && strings.HasPrefix(value, k.value)
		})
	}
}
