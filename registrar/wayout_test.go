package registrar_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/briskest/briskest/registrar"
)

// reasonIDs are all that packages declare, read off their sources: constants named Reason*.
func reasonIDs(t *testing.T, folders ...string) map[string]string {
	t.Helper()
	ids := make(map[string]string)
	for _, folder := range folders {
		packages, err := parser.ParseDir(token.NewFileSet(), folder, nil, 0) //nolint:staticcheck // build tags do not matter here
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packages {
			ast.Inspect(p, func(n ast.Node) bool {
				spec, ok := n.(*ast.ValueSpec)
				for i := 0; ok && i < len(spec.Names) && i < len(spec.Values); i++ {
					value, isText := spec.Values[i].(*ast.BasicLit)
					if !isText || value.Kind != token.STRING || !strings.HasPrefix(spec.Names[i].Name, "Reason") {
						continue
					}
					if id, err := strconv.Unquote(value.Value); err == nil {
						ids[id] = folder + "." + spec.Names[i].Name
					}
				}
				return true
			})
		}
	}
	return ids
}

// M40: whatever reason stands on the trail, device why says what would change the answer.
func TestEveryReasonHasAWayOut(t *testing.T) {
	ids := reasonIDs(t, ".", "../est", "../brski")
	if len(ids) < 150 {
		t.Fatalf("only %d reason ids were found", len(ids))
	}
	for id, name := range ids {
		way := registrar.WayOut(id)
		if way == "" || !strings.HasSuffix(way, ".") || strings.Contains(way, "  ") {
			t.Errorf("%s %q: the way out is %q, want a sentence", name, id, way)
		}
	}
	for _, r := range registrar.Reasons() {
		if registrar.WayOut(r.ID) == "" {
			t.Errorf("reason %q has no way out", r.ID)
		}
	}
	if registrar.WayOut("no-such-reason") != "" {
		t.Error("an id that is none has a way out")
	}
}
