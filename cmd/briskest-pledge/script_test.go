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
func TestScriptsOfThePledgeDoWhatTheySay(t *testing.T) {
	testbed.RunScripts(t, "briskest")
}
