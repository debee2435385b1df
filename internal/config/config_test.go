package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/config"
)

type sample struct {
	Listen struct {
		Devices string `yaml:"devices"`
	} `yaml:"listen"`
	Limit    int             `yaml:"limit"`
	Lifetime config.Duration `yaml:"lifetime"`
	Names    []string        `yaml:"names"`
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sample.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnknownAndDuplicateKeysAreRefusedWithTheirLine(t *testing.T) {
	for _, text := range []string{"limit: 1\nlimt: 2\n", "limit: 1\nlimit: 2\n"} {
		err := config.Load(write(t, text), "SAMPLE", &sample{})
		if err == nil || !strings.Contains(err.Error(), "[2:") {
			t.Errorf("Load(%q) error = %v, want one that names line 2", text, err)
		}
	}
}

func TestAnEnvironmentVariableReplacesOneKey(t *testing.T) {
	t.Setenv("SAMPLE_LISTEN_DEVICES", "127.0.0.1:7")
	t.Setenv("SAMPLE_LIFETIME", "30d")
	var got sample
	if err := config.Load(write(t, "listen:\n  devices: 127.0.0.1:1\nlimit: 5\n"), "SAMPLE", &got); err != nil {
		t.Fatal(err)
	}
	if got.Listen.Devices != "127.0.0.1:7" || got.Limit != 5 || time.Duration(got.Lifetime) != 720*time.Hour {
		t.Errorf("Load gave %+v, want the variables' values and limit 5", got)
	}
}

func TestAVariableThatDoesNotFitIsRefusedByItsName(t *testing.T) {
	t.Setenv("SAMPLE_LIMIT", "many")
	err := config.Load(write(t, "limit: 5\n"), "SAMPLE", &sample{})
	if err == nil || !strings.Contains(err.Error(), "SAMPLE_LIMIT") {
		t.Errorf("Load error = %v, want one that names SAMPLE_LIMIT", err)
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	for _, c := range [][3]string{
		{"/etc/b/registrar.yaml", "ca.pem", "/etc/b/ca.pem"},
		{"/etc/b/registrar.yaml", "/ca.pem", "/ca.pem"},
		{"/etc/b/registrar.yaml", "", ""},
	} {
		if got := config.Relative(c[0], c[1]); got != c[2] {
			t.Errorf("Relative(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
	if got := config.RelativeURI("/etc/b/r.yaml", "file:k.pem"); got != "file:/etc/b/k.pem" {
		t.Errorf("RelativeURI = %q", got)
	}
	if got := config.RelativeURI("/etc/b/r.yaml", "pkcs11:object=k"); got != "pkcs11:object=k" {
		t.Errorf("RelativeURI = %q", got)
	}
	if got := config.RelativeURI("/etc/b/r.yaml", "pkcs11:object=k?pin-source=file:pin"); got != "pkcs11:object=k?pin-source=file:/etc/b/pin" {
		t.Errorf("RelativeURI = %q", got)
	}
}

func TestNegativeAndNonsenseDurationsAreRefused(t *testing.T) {
	for _, text := range []string{"-1h", "-3d", "soon", "", "3dd", "99999999d"} {
		if d, err := config.ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, d)
		}
	}
}
