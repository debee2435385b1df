package rfc7030_test

import (
	"context"
	"fmt"
	"os"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/rfc7030"
)

// Ask a server all there is to ask, and print what came of it.
func ExampleChecks() {
	target := &conformance.Target{URL: "https://est.example:8443", User: "device", Password: "from a file"}
	report, err := conformance.Run(context.Background(), target, rfc7030.Checks())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	if err := report.WriteTable(os.Stdout); err != nil || report.Failed() {
		fmt.Fprintln(os.Stderr, "the server does not conform")
	}
}
