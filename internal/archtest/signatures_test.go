package archtest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/archtest"
)

// A third-party type in each place where a user of the library would meet it.
func TestEachThirdPartyTypeInASignatureIsReported(t *testing.T) {
	const imports = "import (\n\t\"math/rand/v2\"\n\t\"github.com/fxamacker/cbor/v2\"\n\tother \"example.org/go-other\"\n)\nvar _ rand.Source\nvar _ cbor.Tag\nvar _ other.T\n"
	for name, text := range map[string]string{
		"parameter":                 "func F(t cbor.Tag) {}",
		"result":                    "func F() (*other.T, error) { return nil, nil }",
		"field":                     "type T struct { M map[string][]cbor.Tag }",
		"embedded":                  "type T struct { cbor.Tag }",
		"method":                    "type T struct{}\nfunc (t *T) M(cbor.Tag) {}",
		"generic method":            "type T[E any] struct{}\nfunc (t *T[E]) M(cbor.Tag) {}",
		"constraint":                "type T[E other.T] struct{}",
		"alias":                     "type T = other.T",
		"interface method":          "type T interface { M() other.T }",
		"embedded interface":        "type T interface { other.T }",
		"function type":             "type T func(cbor.Tag) error",
		"variable":                  "var V cbor.Tag",
		"inferred variable":         "var V = other.New()",
		"inferred by new":           "var V = new(other.T)",
		"inferred by a literal":     "var V = &cbor.Tag{}",
		"through unexported type":   "type t struct { Inner other.T }\nfunc F() t { return t{} }",
		"promoted from unexported":  "type t struct{}\nfunc (t) M() other.T { panic(0) }\ntype T struct { t }",
		"through unexported func":   "func f() other.T { panic(0) }\nvar V = f()",
		"inferred through composed": "var V = map[string]other.T{}",
	} {
		t.Run(name, func(t *testing.T) {
			found := signatures(t, "package est\n"+imports+text+"\n")
			if len(found) != 1 || found[0].Rule != archtest.SignatureRule || !strings.HasPrefix(found[0].At, "est/est.go:") {
				t.Errorf("CheckSignatures(%s) = %v, want one report", text, found)
			}
		})
	}
}

func TestADotImportOfAThirdPartyIsReported(t *testing.T) {
	if found := signatures(t, "package est\nimport . \"example.org/other\"\nvar _ T\n"); len(found) != 1 {
		t.Errorf("CheckSignatures = %v, want one report", found)
	}
}

func TestThirdPartyTypesBehindTheSignaturesAreNotReported(t *testing.T) {
	found := signatures(t, `package est
import (
	"crypto/x509"
	"math/rand/v2"
	"github.com/fxamacker/cbor/v2"
	"example.com/house/voucher"
)
type T struct {
	mode cbor.DecMode
	Cert *x509.Certificate
	Next *T
	R rand.Source
}
type hidden struct { Mode cbor.DecMode }
func (t *T) decode(m cbor.DecMode) error { return nil }
func (t *T) V() voucher.Voucher { var m cbor.DecMode; _ = m; return voucher.Voucher{} }
func New(cbor int) *T { return &T{mode: nil} }
var Default = &T{mode: cbor.Mode()}
var F = func(x int) int { return cbor.N }
`)
	if len(found) != 0 {
		t.Errorf("CheckSignatures = %v, want none", found)
	}
}

func TestOnlyTheNamedPackagesSignaturesAreRead(t *testing.T) {
	dir := write(t, nil)
	for _, name := range []string{"ca/profile/p.go", "est/esttest/t.go", "est/x_test.go"} {
		place(t, dir, name, "package p\nimport \"example.org/other\"\nfunc F() other.T { panic(0) }\n")
	}
	found, err := archtest.CheckSignatures(dir, []string{"./est/..."})
	if err != nil || len(found) != 0 {
		t.Errorf("CheckSignatures = %v, %v, want none", found, err)
	}
}

func TestEverySignatureReportSaysWhatAndWhere(t *testing.T) {
	found := signatures(t, "package est\nimport \"example.org/other\"\n\nfunc F() other.T { panic(0) }\n")
	want := "est/est.go:4: package est must not export other.T in the signature of F:"
	if !slices.ContainsFunc(found, func(v archtest.Violation) bool { return strings.HasPrefix(v.String(), want) }) {
		t.Errorf("reports are %v, want one that begins with %q", found, want)
	}
}

func signatures(t *testing.T, text string) []archtest.Violation {
	t.Helper()
	dir := write(t, nil)
	place(t, dir, "est/est.go", text)
	found, err := archtest.CheckSignatures(dir, []string{"./est/..."})
	if err != nil {
		t.Fatalf("CheckSignatures: %v", err)
	}
	return found
}

func place(t *testing.T, dir, name, text string) {
	t.Helper()
	name = filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
