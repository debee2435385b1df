package main

import (
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// The scripts of testdata/script tell what each command does; testbed says
// which words they have. They run the program as it is built for others: what runs
// in the tests' own process is looked after by the race detector there.
//
// BRSKI-8995-9-01: offline.txt, where a device joins by a voucher that was
// exported before, when neither its registrar asks a MASA nor one is there.
func TestScriptsOfTheProgramDoWhatTheySay(t *testing.T) {
	testbed.RunScripts(t, "briskest", "briskest-pledge")
}
