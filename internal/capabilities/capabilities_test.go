// Package capabilities_test holds docs/capabilities.md to what it says: every
// command is one that the program has, and every test one that there is.
package capabilities_test

import (
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// later are the rows that are planned and not there yet.
var later = []string{"M34", "M37"}

// row is one line of the table.
type row struct {
	id       string
	commands []string // as written, without the quotes
	tests    []string // FOLDER.TestName
}

// rows reads the table: | M01 | capability | commands | tests |
func rows(t *testing.T) map[string]row {
	t.Helper()
	text, err := os.ReadFile("../../docs/capabilities.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`([^`]+)`")
	all := func(cell string) (out []string) {
		for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
			out = append(out, m[1])
		}
		return out
	}
	out := map[string]row{}
	for _, m := range regexp.MustCompile(`(?m)^\| (M\d\d) \|([^|]*)\|([^|]*)\|([^|]*)\|$`).FindAllStringSubmatch(string(text), -1) {
		if _, twice := out[m[1]]; twice {
			t.Errorf("%s is there twice", m[1])
		}
		out[m[1]] = row{m[1], all(m[3]), all(m[4])}
	}
	return out
}

func TestEveryCapabilityButTheLaterOnesHasACommandAndATest(t *testing.T) {
	got := rows(t)
	for i := 1; i <= 49; i++ {
		id := "M" + string(rune('0'+i/10)) + string(rune('0'+i%10))
		r, ok := got[id]
		if slices.Contains(later, id) {
			if ok && len(r.tests) > 0 {
				t.Errorf("%s is there, and said to come later", id)
			}
			continue
		}
		if len(r.commands) == 0 || len(r.tests) == 0 {
			t.Errorf("%s has the commands %q and the tests %q", id, r.commands, r.tests)
		}
	}
}

// words are those of a command up to its first flag, argument or file.
func words(command string) (program string, subcommands []string) {
	plain := regexp.MustCompile(`^[a-z][a-z-]*$`)
	fields := strings.Fields(command)
	for _, f := range fields[1:] {
		if !plain.MatchString(f) {
			break
		}
		subcommands = append(subcommands, f)
	}
	return fields[0], subcommands
}

func TestEveryCommandOfTheCapabilitiesIsOne(t *testing.T) {
	programs := map[string]string{"briskest": testbed.Build(t, "briskest"), "briskest-pledge": testbed.Build(t, "briskest-pledge")}
	seen := map[string]bool{}
	for _, r := range rows(t) {
		for _, command := range r.commands {
			name, sub := words(command)
			if seen[command] {
				continue
			}
			seen[command] = true
			if strings.Contains(name, "/") { // a script of the repository
				if _, err := os.Stat(path.Join("../..", name)); err != nil {
					t.Errorf("%s: %v", r.id, err)
				}
				continue
			}
			program := programs[name]
			if program == "" {
				t.Errorf("%s names %q, which is no command of ours", r.id, command)
				continue
			}
			out, errs, code := testbed.Run(t, program, append(sub, "--help")...)
			if code != 0 || !strings.Contains(out, "Usage: "+strings.Join(append([]string{name}, sub...), " ")) {
				t.Errorf("%s: %s %s --help: exit %d\n%s%s", r.id, name, strings.Join(sub, " "), code, out, errs)
			}
			for _, flag := range regexp.MustCompile(`--[a-z][a-z-]+`).FindAllString(command, -1) {
				if !strings.Contains(out, flag) {
					t.Errorf("%s: %q has no flag %s", r.id, command, flag)
				}
			}
		}
	}
}

func TestEveryTestOfTheCapabilitiesIsThere(t *testing.T) {
	want := map[string][]string{} // names by folder
	for _, r := range rows(t) {
		for _, name := range r.tests {
			folder, test, ok := strings.Cut(name, ".")
			if !ok {
				t.Errorf("%s: %q is not FOLDER.TestName", r.id, name)
				continue
			}
			want[folder] = append(want[folder], test)
		}
	}
	args := append([]string{"test", "-vet=off", "-ldflags=-s -w", "-list", "^Test"}, builtAs...)
	for folder := range want {
		if _, err := os.Stat(path.Join("../..", folder)); err != nil {
			t.Errorf("%v", err)
			continue
		}
		args = append(args, "./"+folder)
	}
	list := exec.CommandContext(t.Context(), "go", args...)
	list.Dir = "../.."
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go test -list: %v", err)
	}
	there := listed(string(out))
	for folder, names := range want {
		for _, name := range names {
			if !there[folder+"."+name] {
				t.Errorf("%s has no test %s", folder, name)
			}
		}
	}
}

// listed reads what go test -list prints: the names of a package's tests, then a line with its path.
func listed(out string) map[string]bool {
	const module = "github.com/briskest/briskest/"
	all, names := map[string]bool{}, []string(nil)
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 1:
			names = append(names, fields[0])
		case len(fields) > 1 && fields[0] == "ok":
			for _, name := range names {
				all[strings.TrimPrefix(fields[1], module)+"."+name] = true
			}
			names = nil
		}
	}
	return all
}
