package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/briskest/briskest/internal/testbed"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"briskest": main})
}

// The scripts of testdata/script tell what each command does; testbed says
// which words they have.
//
// BRSKI-8995-9-01: offline.txt, where a device joins by a voucher that was
// exported before, when neither its registrar asks a MASA nor one is there.
func TestScriptsOfTheProgramDoWhatTheySay(t *testing.T) {
	testbed.RunScripts(t, "briskest-pledge")
}
