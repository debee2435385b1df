// Command briskest runs and operates a device provisioning service on EST and
// BRSKI: the registrar, the MASA, and the tools around them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/briskest/briskest/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Report(os.Stderr, "briskest", run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
	stop()
	os.Exit(code)
}
