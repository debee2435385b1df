package archtest_test

import (
	"testing"

	"github.com/briskest/briskest/internal/archtest"
)

// root is this module, seen from this package.
const root = "../.."

func TestThisModuleKeepsTheImportRules(t *testing.T) {
	m, err := archtest.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range archtest.CheckImports(m, archtest.Rules()) {
		t.Error(v)
	}
}

func TestThisModulesLibrariesExportNoThirdPartyType(t *testing.T) {
	found, err := archtest.CheckSignatures(root, []string{"./est/...", "./brski/...", "./voucher/..."})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Error(v)
	}
}
