package main

import (
	"io"
	"strings"
	"testing"
)

const passing = `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}
{"Action":"pass","Package":"p","Elapsed":0.2}
`

func TestOnlySkipsForVectorsAreLetThrough(t *testing.T) {
	skip := func(text string) string {
		return passing + `{"Action":"output","Package":"p","Test":"TestB","Output":"` + text + `\n"}` + "\n" +
			`{"Action":"skip","Package":"p","Test":"TestB"}` + "\n"
	}
	for text, want := range map[string]bool{
		"openssl is not installed":                        false,
		"BRISKEST_VECTORS is not set: no vectors at hand": true,
	} {
		var out strings.Builder
		if got := report(strings.NewReader(skip(text)), &out, io.Discard); got != want {
			t.Errorf("report(skip %q) = %t, want %t\n%s", text, got, want, out.String())
		}
	}
}

func TestFailuresAndNothingAtAllAreFailures(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":           "",
		"a failed test":     passing + `{"Action":"fail","Package":"p","Test":"TestB"}` + "\n",
		"a package unbuilt": passing + `{"Action":"fail","Package":"q"}` + "\n",
		"only passes":       passing,
	} {
		var out strings.Builder
		if got := report(strings.NewReader(text), &out, io.Discard); got != (name == "only passes") {
			t.Errorf("report(%s) = %t\n%s", name, got, out.String())
		}
	}
}
