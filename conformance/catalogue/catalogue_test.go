package catalogue_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"testing"

	"github.com/briskest/briskest/conformance/catalogue"
)

func TestTheMatrixIsCurrent(t *testing.T) {
	root := filepath.Join("..", "..")
	want, err := catalogue.Matrix(root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, catalogue.Document))
	if err != nil || string(got) != string(want) {
		t.Errorf("%s is stale (%v): run `go run ./conformance/matrix` and commit it", catalogue.Document, err)
	}
}

// The lists of requirements are not in the repository: where they are, each row
// that a check names is one of theirs.
func TestEveryRequirementThatACheckNamesExists(t *testing.T) {
	vectors := os.Getenv("BRISKEST_VECTORS")
	if vectors == "" {
		t.Skip("BRISKEST_VECTORS is not set: the lists of requirements are beside the vectors")
	}
	known := make(map[string]bool)
	for _, name := range []string{"est-requirements.csv", "brski-requirements.csv"} {
		f, err := os.Open(filepath.Join(vectors, "..", "spec", name))
		if err != nil {
			t.Fatal(err)
		}
		records, err := csv.NewReader(f).ReadAll()
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			known[r[0]] = true
		}
	}
	for _, c := range catalogue.All() {
		for _, id := range c.Requirements {
			if !known[id] {
				t.Errorf("check %s names %s, which is in no list", c.ID, id)
			}
		}
	}
}
