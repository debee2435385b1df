package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// "The CA behind it": ca init makes the keys in the token, renewal and rollover
// use them and make new ones there, and no file of the folder has one.
func TestACeremonyWithATokenLeavesNoKeyInAFile(t *testing.T) {
	program := testbed.BuildForTokens(t, "briskest")
	token := testbed.NewSoftHSM(t)
	dir := filepath.Join(t.TempDir(), "ca")
	key, root := token.URI(";object=issuing")+"&x-sessions=2&x-deadline=30s", token.URI(";object=root")+"&x-sessions=2&x-deadline=30s"
	for _, args := range [][]string{
		{"init", "--dir", dir, "--name", "Plant", "--key", key, "--root-key", root, "--algorithm", "p256", "--root-algorithm", "p384"},
		{"renew", "--dir", dir, "--root"},
		{"rollover", "--dir", dir},
		{"rollover", "--dir", dir, "--what", "issuing", "--key", token.URI(";object=third") + "&x-sessions=2", "--algorithm", "rsa2048"},
		{"status", "--dir", dir},
	} {
		out, errs, code := testbed.Run(t, program, append([]string{"ca"}, args...)...)
		if code != 0 {
			t.Fatalf("ca %v: exit %d\n%s%s", args, code, out, errs)
		}
		if args[0] == "status" && (strings.Count(out, "signs") != 4 || strings.Contains(out, "471147")) {
			t.Errorf("ca status: want 4 keys that sign: issuing, root and the two before\n%s", out)
		}
	}
	if n := token.PrivateKeys(t); n != 5 {
		t.Errorf("%d private keys are in the token, want 5: two roots and three issuing CAs", n)
	}
	if got := filesWithKeys(t, dir); len(got) != 0 {
		t.Errorf("private keys are in %v", got)
	}
	data, err := os.ReadFile(filepath.Join(dir, "ca.yaml"))
	if err != nil || !strings.Contains(string(data), "object=root-2") || !strings.Contains(string(data), "object=third") {
		t.Errorf("ca.yaml: %v\n%s", err, data)
	}
	if out, errs, code := testbed.Run(t, program, "ca", "init", "--dir", dir+"2", "--name", "x", "--key", token.URI(";object=x")+"&x-sessions=many"); code != 2 || !strings.Contains(errs, "x-sessions is a number") {
		t.Errorf("a limit that is none: exit %d\n%s%s", code, out, errs)
	}
}
