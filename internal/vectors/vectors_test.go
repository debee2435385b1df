package vectors_test

import (
	"slices"
	"testing"

	"github.com/briskest/briskest/internal/vectors"
)

func TestFilesOfARowAreInTheFolderOfTheFirst(t *testing.T) {
	got := vectors.Row{File: "cbrski-legacy/a.bin, b.bin"}.Files()
	if want := []string{"brski/cbrski-legacy/a.bin", "brski/cbrski-legacy/b.bin"}; !slices.Equal(got, want) {
		t.Errorf("Files() = %q, want %q", got, want)
	}
}

func TestEveryCMSRowNamesFilesThatAreThere(t *testing.T) {
	for _, row := range vectors.BRSKI(t) {
		for _, file := range row.Files() {
			if row.Type == "CMS" && len(vectors.Read(t, file)) == 0 {
				t.Errorf("%s is empty", file)
			}
		}
	}
}
