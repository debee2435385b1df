package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/briskest/briskest/internal/testbed"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"briskest-pledge": main})
}

// The scripts of testdata/script tell what each command does; testbed says
// which words they have.
//
// BRSKI-8366BIS-8-01, BRSKI-8366BIS-8-02: pins.txt, with our registrar and MASA.
func TestScriptsOfThePledgeDoWhatTheySay(t *testing.T) {
	testbed.RunScripts(t, "briskest")
}
