// Command matrix writes docs/conformance-matrix.md: which requirement the checks
// of the conformance suite cover, and why others are not. Run it in the module's
// folder.
package main

import (
	"fmt"
	"os"

	"github.com/briskest/briskest/conformance/catalogue"
)

func main() {
	text, err := catalogue.Matrix(".")
	if err == nil {
		err = os.WriteFile(catalogue.Document, text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
}
