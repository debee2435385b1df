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

func TestOnlySkipsForVectorsAndOfLibestAreLetThrough(t *testing.T) {
	skip := func(pkg, test, text string) string {
		name := `"Package":"` + pkg + `","Test":"` + test + `"`
		return passing + `{"Action":"output",` + name + `,"Output":"` + text + `\n"}` + "\n" + `{"Action":"skip",` + name + "}\n"
	}
	const (
		interop = "github.com/briskest/briskest/conformance/interop"
		libest  = "TestOtherPeoplesClients/client/libest"
		unset   = "BRISKEST_LIBEST does not name libest's estclient"
	)
	for _, tt := range []struct {
		pkg, test, text string
		want            bool
	}{
		{"p", "TestB", "openssl is not installed", false},
		{"p", "TestB", "BRISKEST_VECTORS is not set: no vectors at hand", true},
		{"p", "TestB", "the peer step-ca is not in bin/peers; `make peers` builds it", true},
		{interop, libest, unset, true},
		{interop, libest, "openssl is not installed", false},
		{interop, "TestOtherPeoplesClients/client/curl", unset, false},
		{"p", libest, unset, false},
	} {
		var out strings.Builder
		if got := report(strings.NewReader(skip(tt.pkg, tt.test, tt.text)), &out, io.Discard); got != tt.want {
			t.Errorf("report(skip of %s %s: %q) = %t, want %t\n%s", tt.pkg, tt.test, tt.text, got, tt.want, out.String())
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
