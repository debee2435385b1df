package groups

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/briskest/briskest/registrar"
)

// maxCost bounds what an expression can cost, in CEL's units: about one a step and
// one each ten characters that are compared.
const maxCost = 20_000

// expression is a compiled condition.
type expression struct {
	text    string
	program cel.Program
	tree    ast.Expr

	request bool // reads request.*
	auth    bool // reads auth.*
	key     bool // reads what the request says of its key
	reads   registrar.DeviceFacts
}

// newEnvironment declares the variables and what may be done with them: the standard
// functions without loops, and at_least for versions.
func newEnvironment(list []fact) (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.StdLib(), cel.ClearMacros(), cel.Macros(cel.HasMacro),
		cel.ParserExpressionSizeLimit(MaxExpression), cel.ParserRecursionLimit(40), cel.ParserErrorRecoveryLimit(4),
		cel.ExpressionNodeLimit(600),
		cel.Function("at_least", cel.Overload("at_least_string_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(func(have, want ref.Val) ref.Val {
				h, ok1 := have.Value().(string)
				w, ok2 := want.Value().(string)
				return types.Bool(ok1 && ok2 && atLeast(h, w))
			}))),
	}
	return cel.NewCustomEnv(append(options, variables(list)...)...)
}

// compile checks and plans an expression, which must be a condition.
func compile(env *cel.Env, text string) (*expression, error) {
	if len(text) > MaxExpression {
		return nil, fmt.Errorf("it has %d bytes; at most %d", len(text), MaxExpression)
	}
	checked, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		return nil, errors.New(clip(strings.ReplaceAll(err.Error(), "\n", " "), 400))
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("it is no condition but a %s", checked.OutputType())
	}
	cost, err := env.EstimateCost(checked, sizes{})
	if err != nil {
		return nil, err
	}
	if cost.Max > maxCost {
		return nil, fmt.Errorf("it may cost %d; at most %d", cost.Max, maxCost)
	}
	e := &expression{text: text, tree: checked.NativeRep().Expr()}
	if err := e.look(); err != nil {
		return nil, err
	}
	e.program, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	return e, err
}

// look notes what the expression reads, and refuses patterns that are not written out:
// somebody else could choose them.
func (e *expression) look() error {
	var problem error
	ast.PostOrderVisit(e.tree, ast.NewExprVisitor(func(x ast.Expr) {
		switch x.Kind() {
		case ast.IdentKind:
			e.request = e.request || strings.HasPrefix(x.AsIdent(), "request.")
			e.key = e.key || strings.HasPrefix(x.AsIdent(), "request.key_")
			e.auth = e.auth || strings.HasPrefix(x.AsIdent(), "auth.")
			e.reads |= recordedFacts(x.AsIdent())
		case ast.CallKind:
			call := x.AsCall()
			if call.FunctionName() != "matches" {
				return
			}
			args := call.Args()
			if len(args) == 0 {
				return
			}
			pattern, written := literal(args[len(args)-1])
			if !written {
				problem = errors.New("the pattern of matches has to be written out")
			} else if err := checkPattern(pattern); err != nil {
				problem = err
			}
		case ast.ComprehensionKind:
			problem = errors.New("loops are not taken")
		}
	}))
	return problem
}

// checkPattern bounds what a pattern costs: each character of a text is looked at once
// for every instruction. It is not left to cel.RegexProgramSizeLimit, which panics at a
// repetition such as {4} (cel-go v0.31.0).
func checkPattern(pattern string) error {
	const instructions = 1000
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return fmt.Errorf("the pattern of matches: %w", err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return fmt.Errorf("the pattern of matches: %w", err)
	}
	if len(program.Inst) > instructions {
		return fmt.Errorf("the pattern of matches has %d instructions; at most %d", len(program.Inst), instructions)
	}
	return nil
}

// holds evaluates the expression. An error is not true: a missing attribute, say.
func (e *expression) holds(a *activation) (bool, error) {
	value, _, err := e.program.Eval(a)
	if err != nil {
		return false, err
	}
	return value == types.True, nil
}

// constant returns the value of "true" and "false".
func (e *expression) constant() (value, ok bool) {
	if e.tree.Kind() != ast.LiteralKind {
		return false, false
	}
	b, ok := e.tree.AsLiteral().(types.Bool)
	return bool(b), ok
}

// sizes tells CEL's cost estimation how long facts are.
type sizes struct{}

// EstimateSize implements checker.CostEstimator.
func (sizes) EstimateSize(node checker.AstNode) *checker.SizeEstimate {
	switch node.Type().Kind() {
	case types.MapKind, types.ListKind:
		return &checker.SizeEstimate{Max: 64}
	default:
		return &checker.SizeEstimate{Max: maxFact}
	}
}

// EstimateCallCost implements checker.CostEstimator.
func (sizes) EstimateCallCost(function, _ string, _ *checker.AstNode, _ []checker.AstNode) *checker.CallEstimate {
	if function == "at_least" {
		return &checker.CallEstimate{CostEstimate: checker.CostEstimate{Min: 1, Max: maxFact}}
	}
	return nil
}

// atLeast compares versions part by part: numbers as numbers, other parts as text,
// and a part that is missing before any other. What is empty is at least nothing.
func atLeast(have, want string) bool {
	if have == "" {
		return false
	}
	isEnd := func(r rune) bool { return strings.ContainsRune(".-_+ ", r) }
	h, w := strings.FieldsFunc(strings.TrimPrefix(have, "v"), isEnd), strings.FieldsFunc(strings.TrimPrefix(want, "v"), isEnd)
	for i := range w {
		if i == len(h) {
			return false
		}
		if order := comparePart(h[i], w[i]); order != 0 {
			return order > 0
		}
	}
	return true
}

func comparePart(a, b string) int {
	numbers := isDigits(a) && isDigits(b)
	if numbers {
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		if len(a) != len(b) {
			return len(a) - len(b)
		}
	}
	return strings.Compare(a, b)
}

func isDigits(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
}

func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}

// isCall tells whether x is a call of that function with n arguments, and returns them.
func isCall(x ast.Expr, function string, n int) ([]ast.Expr, bool) {
	if x.Kind() != ast.CallKind {
		return nil, false
	}
	call := x.AsCall()
	args := call.Args()
	if call.IsMemberFunction() {
		args = append([]ast.Expr{call.Target()}, args...)
	}
	return args, call.FunctionName() == function && len(args) == n
}

// textVariable returns the name under which an expression that is a text fact, or an
// attribute, is indexed.
func textVariable(x ast.Expr) (string, bool) {
	switch x.Kind() {
	case ast.IdentKind:
		return x.AsIdent(), true
	case ast.SelectKind:
		s := x.AsSelect()
		if !s.IsTestOnly() && s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == varAttributes {
			return attributePrefix + s.FieldName(), true
		}
	case ast.CallKind:
		args, ok := isCall(x, operators.Index, 2)
		if ok && args[0].Kind() == ast.IdentKind && args[0].AsIdent() == varAttributes {
			if key, ok := literal(args[1]); ok {
				return attributePrefix + key, true
			}
		}
	}
	return "", false
}

func literal(x ast.Expr) (string, bool) {
	if x.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := x.AsLiteral().(types.String)
	return string(s), ok
}
