package estserver_test

import (
	"context"
	"fmt"
	"os"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/estserver"
	"github.com/briskest/briskest/conformance/wire"
)

// Ask a server all there is to ask, and print what came of it.
func ExampleChecks() {
	target := &estserver.Target{Site: wire.Site{URL: "https://est.example:8443"}, User: "device", Password: "from a file"}
	if err := target.Check(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	report := conformance.Run(context.Background(), target, estserver.Checks(), &conformance.Options{Target: target.URL})
	if err := report.Write(os.Stdout, "table"); err != nil || report.ExitCode(true) != 0 {
		fmt.Fprintln(os.Stderr, "the server does not conform")
	}
}
