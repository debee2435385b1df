// Command briskest runs and operates a device provisioning service on EST and
// BRSKI: the registrar, the MASA, and the tools around them.
package main

import "github.com/briskest/briskest/cmd/internal/commandline"

func main() { commandline.Main("briskest", run) }
