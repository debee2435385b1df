package archtest_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/archtest"
)

// layout is a small module that keeps every rule: file -> imports. Those
// beginning with "./" are of the module.
func layout() map[string][]string {
	return map[string][]string{
		"voucher/voucher.go":                   {"encoding/json"},
		"voucher/vouchercms/open.go":           {"./voucher", "./internal/cms"},
		"voucher/vouchertest/t.go":             {"./voucher", "./internal/testpki"},
		"est/est.go":                           {"crypto/x509", "./internal/cms"},
		"est/est_test.go":                      {"./est", "./internal/testpki", "./est/esttest"},
		"est/esttest/backend.go":               {"./est", "./internal/testpki"},
		"brski/brski.go":                       {"./est", "./voucher"},
		"brski/pledge/pledge.go":               {"./brski", "./est", "./voucher/vouchercms"},
		"ca/ca.go":                             {"crypto/x509"},
		"ca/profile/profile.go":                {"./ca", "github.com/zmap/zlint/v3"},
		"ca/localca/localca.go":                {"./ca", "./ca/profile"},
		"ca/estca/estca.go":                    {"./ca", "./est"},
		"ca/vaultca/vaultca.go":                {"./ca", "github.com/openbao/openbao/api/v2"},
		"ca/catest/contract.go":                {"./ca", "./internal/testpki"},
		"registrar/registrar.go":               {"./brski", "./est", "./ca", "./voucher", "./internal/trail"},
		"registrar/store/store.go":             {"./registrar", "./internal/sqlitedb"},
		"registrar/store/store_test.go":        {"./registrar/storetest", "modernc.org/sqlite", "database/sql"},
		"registrar/storetest/memory.go":        {"./registrar", "./internal/trail"},
		"registrar/policy/profile.go":          {"./registrar", "./ca", "./ca/profile"},
		"registrar/admin/admin.go":             {"./registrar", "net/http"},
		"registrar/ui/pages.go":                {"./registrar/admin", "net/http"},
		"masa/masa.go":                         {"./brski", "./est", "./voucher"},
		"masa/store/store.go":                  {"./masa", "./internal/sqlitedb"},
		"conformance/conformance.go":           {"./est"},
		"conformance/estserver/cacerts.go":     {"./conformance"},
		"conformance/estserver/server_test.go": {"./conformance", "./internal/testpki", "./internal/cms"},
		"cmd/briskest/main.go":                 {"github.com/alecthomas/kong", "./registrar/store", "./masa/store", "./ca/localca", "./internal/config", "./internal/httpserver", "./conformance/estserver", "./internal/bench"},
		"cmd/briskest-pledge/main.go":          {"./brski/pledge", "./internal/keystore"},
		"internal/cose/cose.go":                {"github.com/fxamacker/cbor/v2", "github.com/veraison/go-cose"},
		"internal/cms/cms.go":                  {"golang.org/x/crypto/cryptobyte"},
		"internal/config/config.go":            {"github.com/goccy/go-yaml"},
		"internal/keystore/keystore.go":        {"os"},
		"internal/httpserver/server.go":        {"net/http"},
		"internal/trail/trail.go":              {"golang.org/x/mod/sumdb/tlog"},
		"internal/sqlitedb/db.go":              {"./internal/trail", "database/sql", "modernc.org/sqlite", "github.com/pressly/goose/v3"},
		"internal/bench/load.go":               {"./est", "./internal/cms"},
		"internal/testpki/testpki.go":          {"testing"},
		"internal/cms/peers/go.mod":            nil,
		"internal/cms/peers/peers.go":          {"go.mozilla.org/pkcs7", "github.com/fullsailor/pkcs7"},
		"internal/cms/testdata/odd.go":         {"./masa", "./registrar"},
	}
}

// violation adds imports to one file and expects exactly these rules to say so.
type violation struct {
	file    string
	imports []string
	rules   []string
}

func violations() []violation {
	return []violation{
		{"voucher/bad.go", []string{"./est"}, []string{"voucher-imports-its-codecs"}},
		{"est/bad.go", []string{"./voucher"}, []string{"est-imports-its-codecs"}},
		{"est/bad.go", []string{"database/sql"}, []string{"libraries-have-no-storage", "sqlite-is-for-sqlitedb", "devices-carry-no-server"}},
		{"est/estcoap/bad.go", []string{"./internal/cms"}, []string{"estcoap-imports-est"}},
		{"brski/bad.go", []string{"./registrar"}, []string{"brski-imports-est-and-voucher", "devices-carry-no-server"}},
		{"brski/bad.go", []string{"./brski/pledge"}, []string{"brski-core-stays-below-its-parts"}},
		{"brski/brskicoap/bad.go", []string{"./internal/cms"}, []string{"brskicoap-imports-brski"}},
		{"ca/bad.go", []string{"golang.org/x/crypto/cryptobyte"}, []string{"ca-imports-the-standard-library"}},
		{"ca/bad.go", []string{"./est"}, []string{"ca-imports-the-standard-library"}},
		{"ca/profile/bad.go", []string{"./est"}, []string{"ca-profile-imports-ca"}},
		{"ca/localca/bad.go", []string{"./internal/keystore"}, []string{"localca-imports-ca-and-profile"}},
		{"ca/estca/bad.go", []string{"./ca/localca"}, []string{"estca-imports-ca-and-est"}},
		{"ca/delegate/bad.go", []string{"./est"}, []string{"delegate-imports-ca-and-profile"}},
		{"ca/vaultca/bad.go", []string{"./ca/localca"}, []string{"delegating-issuers-import-ca"}},
		{"registrar/bad.go", []string{"./masa"}, []string{"registrar-never-imports-masa"}},
		{"internal/keystore/bad.go", []string{"github.com/miekg/pkcs11"}, []string{"pkcs11-is-for-cryptoki"}},
		{"registrar/store/bad.go", []string{"./internal/cryptoki"}, []string{"cryptoki-is-for-keystore"}},
		{"registrar/events/bad.go", []string{"github.com/nats-io/nats.go", "github.com/eclipse/paho.golang/paho"}, []string{"brokers-are-for-events"}},
		{"est/bad.go", []string{"github.com/lestrrat-go/jwx/v3/jws"}, []string{"jwx-is-for-tokens"}},
		{"voucher/vouchercose/bad.go", []string{"github.com/veraison/go-cose"}, []string{"cbor-is-behind-cose"}},
		{"registrar/bad.go", []string{"github.com/fxamacker/cbor/v2"}, []string{"cbor-is-behind-cose"}},
		{"registrar/bearer/bad.go", []string{"./registrar/store"}, []string{"registrar-bearer-imports-registrar"}},
		{"registrar/groups/bad.go", []string{"./registrar/store"}, []string{"registrar-groups-imports-registrar"}},
		{"registrar/baseline/bad.go", []string{"./registrar/store"}, []string{"registrar-baseline-imports-registrar"}},
		{"registrar/evidence/bad.go", []string{"./registrar/store"}, []string{"registrar-evidence-imports-registrar"}},
		{"registrar/bad.go", []string{"./ca/localca"}, []string{"registrar-knows-the-port-only"}},
		{"registrar/bad.go", []string{"./registrar/store"}, []string{"registrar-stays-below-its-parts"}},
		{"registrar/bad.go", []string{"./internal/sqlitedb"}, []string{"services-have-no-storage"}},
		{"registrar/inventory/bad.go", []string{"./registrar/admin"}, []string{"registrar-inventory-imports-registrar"}},
		{"registrar/policy/bad.go", []string{"./registrar/admin"}, []string{"registrar-policy-imports-registrar"}},
		{"registrar/policy/bad.go", []string{"./ca/localca"}, []string{"registrar-policy-knows-profiles"}},
		{"registrar/admin/bad.go", []string{"./ca/profile"}, []string{"registrar-knows-the-port-only"}},
		{"registrar/store/bad.go", []string{"./registrar/admin"}, []string{"registrar-store-imports-registrar"}},
		{"registrar/events/bad.go", []string{"./registrar/store"}, []string{"registrar-events-imports-registrar"}},
		{"registrar/admin/bad.go", []string{"./registrar/store"}, []string{"registrar-admin-imports-registrar"}},
		{"registrar/webhook/bad.go", []string{"./registrar/store"}, []string{"registrar-webhook-imports-registrar"}},
		{"registrar/ui/bad.go", []string{"./registrar"}, []string{"registrar-ui-stands-on-admin"}},
		{"masa/bad.go", []string{"./registrar"}, []string{"masa-never-imports-registrar"}},
		{"masa/bad.go", []string{"./ca"}, []string{"masa-never-imports-ca"}},
		{"masa/bad.go", []string{"./masa/store"}, []string{"masa-stays-below-its-parts"}},
		{"masa/ownership/bad.go", []string{"./masa/store"}, []string{"masa-ownership-imports-masa"}},
		{"masa/store/bad.go", []string{"./masa/admin"}, []string{"masa-store-imports-masa"}},
		{"masa/admin/bad.go", []string{"./masa/store"}, []string{"masa-admin-imports-masa"}},
		{"tools/bad.go", []string{"fmt"}, []string{"packages-have-a-place"}},
		{"docs/bad.go", []string{"./ca/localca"}, []string{"cmd-names-implementations"}},
		{"internal/keystore/bad.go", []string{"./est"}, []string{"internal-serves-everybody"}},
		{"internal/cms/bad.go", []string{"./internal/trail"}, []string{"codecs-are-leaves"}},
		{"internal/keystore/bad.go", []string{"./internal/bench"}, []string{"bench-is-for-cmd"}},
		{"internal/bench/bad.go", []string{"./registrar"}, []string{"bench-knows-the-wire"}},
		{"cmd/briskest-pledge/bad.go", []string{"./internal/httpserver"}, []string{"devices-carry-no-server"}},
		{"internal/keystore/bad.go", []string{"./internal/sqlitedb"}, []string{"devices-carry-no-server"}}, // by way of the keystore
		{"conformance/estserver/bad.go", []string{"./internal/pemfile"}, []string{"conformance-is-a-black-box"}},
		{"conformance/estserver/bad_test.go", []string{"./registrar"}, []string{"conformance-tests-stay-outside"}},
		{"internal/keystore/bad.go", []string{"./conformance"}, []string{"conformance-is-for-cmd", "internal-serves-everybody"}},
		{"cmd/briskest/bad.go", []string{"./internal/testpki"}, []string{"test-support-is-for-tests"}},
		{"cmd/briskest/bad.go", []string{"./est/esttest"}, []string{"test-support-is-for-tests"}},
		{"internal/cms/bad_test.go", []string{"go.mozilla.org/pkcs7"}, []string{"no-foreign-pkcs7"}},
		{"voucher/voucherjws/bad_test.go", []string{"github.com/go-jose/go-jose/v4"}, []string{"no-foreign-jose"}},
		{"cmd/briskest/bad.go", []string{"github.com/globalsign/est"}, []string{"no-foreign-pkcs7"}},
		{"internal/config/bad.go", []string{"github.com/alecthomas/kong"}, []string{"kong-is-for-cmd"}},
		{"cmd/briskest/bad.go", []string{"github.com/goccy/go-yaml"}, []string{"yaml-is-for-config"}},
		{"cmd/briskest/bad.go", []string{"modernc.org/sqlite"}, []string{"sqlite-is-for-sqlitedb"}},
		{"brski/pledge/bad.go", []string{"golang.org/x/net/ipv4"}, []string{"packets-are-for-discovery"}},
	}
}

func TestALayoutThatKeepsTheRulesIsNotReported(t *testing.T) {
	for _, v := range check(t, layout()) {
		t.Error(v)
	}
}

func TestEachForbiddenImportIsReportedByItsRule(t *testing.T) {
	for _, bad := range violations() {
		t.Run(bad.rules[0]+"/"+bad.file, func(t *testing.T) {
			files := layout()
			files[bad.file] = bad.imports
			got := make(map[string]bool)
			for _, v := range check(t, files) {
				got[v.Rule] = true
				if !strings.HasPrefix(v.At, bad.file+":") {
					t.Errorf("reported at %s, want %s: %v", v.At, bad.file, v)
				}
			}
			want := slices.Sorted(slices.Values(bad.rules))
			if rules := slices.Sorted(maps.Keys(got)); !slices.Equal(rules, want) {
				t.Errorf("%s importing %v: rules %v, want %v", bad.file, bad.imports, rules, want)
			}
		})
	}
}

func TestEachRuleHasBeenSeenToFail(t *testing.T) {
	seen := make(map[string]bool)
	for _, bad := range violations() {
		for _, r := range bad.rules {
			seen[r] = true
		}
	}
	for _, r := range archtest.Rules() {
		if !seen[r.ID] {
			t.Errorf("no forbidden import in this test breaks %s", r.ID)
		}
	}
}

func TestRulesHaveAnIDOfTheirOwnAndAReason(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range archtest.Rules() {
		if seen[r.ID] {
			t.Errorf("rule ID %s is there twice", r.ID)
		}
		seen[r.ID] = true
		if r.Why == "" || len(r.From) == 0 || len(r.Deny) == 0 {
			t.Errorf("rule %s lacks a reason, a From or a Deny", r.ID)
		}
	}
}

func TestATransitiveViolationNamesTheWay(t *testing.T) {
	files := layout()
	files["internal/keystore/bad.go"] = []string{"./internal/sqlitedb"}
	var texts []string
	for _, v := range check(t, files) {
		texts = append(texts, v.String())
	}
	if all := strings.Join(texts, "\n"); !strings.Contains(all, "by way of cmd/briskest-pledge -> internal/keystore") {
		t.Errorf("the way from the program to the database is not named:\n%s", all)
	}
}

func TestAFileWithATypeErrorIsStillJudged(t *testing.T) {
	files := layout()
	dir := write(t, files)
	broken := "package registrar\n\nimport _ \"" + module + "/masa\"\n\nvar x int = \"no\" + undefined(\n"
	if err := os.WriteFile(filepath.Join(dir, "registrar/broken.go"), []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := archtest.Load(dir)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if got := archtest.CheckImports(m, archtest.Rules()); len(got) != 1 || got[0].Rule != "registrar-never-imports-masa" {
		t.Errorf("CheckImports = %v, want registrar-never-imports-masa alone", got)
	}
}

const module = "example.com/house"

func check(t *testing.T, files map[string][]string) []archtest.Violation {
	t.Helper()
	m, err := archtest.Load(write(t, files))
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return archtest.CheckImports(m, archtest.Rules())
}

// write puts a module of files with these imports into a new folder.
func write(t *testing.T, files map[string][]string) string {
	t.Helper()
	dir := t.TempDir()
	texts := map[string]string{"go.mod": "module " + module + "\n"}
	for name, imports := range files {
		var b strings.Builder
		fmt.Fprintf(&b, "package %s\n", "p")
		for _, i := range imports {
			if rest, ok := strings.CutPrefix(i, "./"); ok {
				i = module + "/" + rest
			}
			fmt.Fprintf(&b, "import _ %q\n", i)
		}
		texts[name] = b.String()
	}
	for name, text := range texts {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
