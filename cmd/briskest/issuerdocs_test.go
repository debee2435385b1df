package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/config"
)

// exampleIssuers returns the yaml examples of a section of docs/issuers.md.
func exampleIssuers(t *testing.T, heading string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "issuers.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(data), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("docs/issuers.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var examples []string
	for i, part := range strings.Split(section, "```yaml\n") {
		if i > 0 {
			example, _, _ := strings.Cut(part, "```")
			examples = append(examples, example)
		}
	}
	return examples
}

func TestTheExamplesOfStepCAAndVaultAreConfigurations(t *testing.T) {
	for heading, kinds := range map[string]int{"step-ca": 2, "OpenBao and HashiCorp Vault": 2} {
		examples := exampleIssuers(t, heading)
		if len(examples) != kinds {
			t.Errorf("%s has %d examples, want %d", heading, len(examples), kinds)
		}
		for _, example := range examples {
			var c struct {
				Issuers []struct {
					Name  string       `yaml:"name"`
					Step  *stepConfig  `yaml:"step"`
					Vault *vaultConfig `yaml:"vault"`
				} `yaml:"issuers"`
			}
			if err := config.Decode([]byte(example), &c); err != nil {
				t.Errorf("%v in\n%s", err, example)
				continue
			}
			for _, one := range c.Issuers {
				var err error
				if one.Step != nil {
					err = one.Step.check()
				} else {
					err = one.Vault.check()
				}
				if err != nil {
					t.Errorf("%v in\n%s", err, example)
				}
			}
		}
	}
}

func TestTheExamplesOfAnotherESTServerAreConfigurations(t *testing.T) {
	examples := exampleIssuers(t, "Another EST server")
	if len(examples) != 2 {
		t.Errorf("there are %d examples, want 2", len(examples))
	}
	for _, example := range examples {
		var c struct {
			Issuers []issuerConfig `yaml:"issuers"`
		}
		err := config.Decode([]byte(example), &c)
		for n := 0; err == nil && n < len(c.Issuers); n++ {
			_, kind, bad := c.Issuers[n].kind()
			if err = bad; err == nil {
				err = kind.check()
			}
		}
		if err != nil {
			t.Errorf("%v in\n%s", err, example)
		}
	}
}
