package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigurationsOfIssuersThatAreNotWholeAreRefused(t *testing.T) {
	const local = "{certificate: c, key: \"file:k\"}"
	for name, c := range map[string]struct{ issuers, label, says string }{
		"none":               {"[]", "", `none named "default"`},
		"no default":         {"[{name: a, local: " + local + "}]", "", `none named "default"`},
		"no name":            {"[{local: " + local + "}]", "", "issuer 1 has no name"},
		"one name twice":     {"[{name: default, local: " + local + "}, {name: default, local: " + local + "}]", "", "is there twice"},
		"no kind":            {"[{name: default}]", "", `issuer "default" has 0 kinds; it wants one of: local, cmp, step, vault`},
		"half a kind":        {"[{name: default, local: {certificate: c}}]", "", `issuer "default": local:`},
		"both forms":         {"[{name: default, local: {folder: f, key: \"file:k\"}}]", "", "folder says"},
		"an unknown kind":    {"[{name: default, sorcery: {}}]", "", "sorcery"},
		"a label of another": {"[{name: default, local: " + local + "}, {name: lab, local: " + local + "}]", "hall", `label "": there is no issuer "hall"; there are: default, lab`},
		"two that are whole": {"[{name: default, local: " + local + "}, {name: lab, local: " + local + "}]", "lab", ""},
	} {
		file := filepath.Join(t.TempDir(), "registrar.yaml")
		text := "version: 1\nlisten: {devices: \"127.0.0.1:0\", admin: a}\nstore: s\ntrail_key: \"file:t\"\ntls: {certificate: c, key: \"file:k\"}\n" +
			"issuers: " + c.issuers + "\nlabels: [{name: \"\", profile: device, issuer: \"" + c.label + "\"}]\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := loadRegistrarConfig(file)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: error %v; want one that says %q", name, err, c.says)
		}
	}
}
