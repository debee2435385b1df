// Package packaging_test looks after what the Debian package is made of.
package packaging_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func units(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("systemd/*.service")
	if err != nil || len(all) != 3 {
		t.Fatalf("units are %v, %v", all, err)
	}
	return all
}

func TestEachUnitStartsACommandThatTheProgramHas(t *testing.T) {
	program := testbed.Build(t, "briskest")
	start := regexp.MustCompile(`(?m)^ExecStart=/usr/bin/briskest ([a-z-]+) --config (/etc/briskest/[a-z]+\.yaml)$`)
	for _, name := range units(t) {
		unit := read(t, name)
		m := start.FindStringSubmatch(unit)
		if m == nil {
			t.Errorf("%s starts nothing", name)
			continue
		}
		if !strings.Contains(unit, "ConditionPathExists="+m[2]+"\n") {
			t.Errorf("%s starts without its configuration", name)
		}
		if out, errs, code := testbed.Run(t, program, m[1], "--help"); code != 0 || !strings.Contains(out, "--config") {
			t.Errorf("%s: briskest %s --help: exit %d %s", name, m[1], code, errs)
		}
	}
}

func TestNoUnitRunsAsRootOrWritesWhatItNeedNot(t *testing.T) {
	for _, name := range units(t) {
		unit := read(t, name)
		for _, line := range []string{"User=briskest", "NoNewPrivileges=yes", "ProtectSystem=strict", "UMask=0077", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE"} {
			if !strings.Contains(unit, "\n"+line+"\n") {
				t.Errorf("%s lacks %s", name, line)
			}
		}
		if strings.Contains(unit, "ReadWritePaths=/etc/briskest\n") {
			t.Errorf("%s may write its own configuration", name)
		}
	}
}

func TestAServerIsGivenTheTimeItTakesToDrain(t *testing.T) {
	// drainTime of cmd/briskest is 20 s, and the collector of traces gets what is left.
	for _, name := range units(t) {
		if !strings.Contains(read(t, name), "\nTimeoutStopSec=40s\n") {
			t.Errorf("%s may be killed while it answers", name)
		}
	}
}

func TestThePackageNamesNoFileThatIsNotThere(t *testing.T) {
	source := regexp.MustCompile(`(?:src: |install: |remove: )([^,\s]+)`)
	for _, m := range source.FindAllStringSubmatch(read(t, "nfpm.yaml"), -1) {
		if strings.HasPrefix(m[1], "bin/") {
			continue // built by make deb
		}
		if found, err := filepath.Glob(filepath.Join("..", "..", m[1])); err != nil || len(found) == 0 {
			t.Errorf("nfpm.yaml names %s: %v", m[1], err)
		}
	}
}

func TestInstallScriptsAreShellAndKeepKeysAndRecords(t *testing.T) {
	shell := testbed.Require(t, "sh")
	for _, name := range []string{"postinstall.sh", "preremove.sh"} {
		if _, errs, code := testbed.Run(t, shell, "-n", name); code != 0 {
			t.Errorf("%s: %s", name, errs)
		}
		if strings.Contains(read(t, name), "rm ") {
			t.Errorf("%s removes something", name)
		}
	}
}
