package testbed

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// RunScripts runs the scripts of testdata/script with the commands of
// [ScriptCommands], and with the named programs of the module in the PATH beside
// those that the test's main registered.
func RunScripts(t *testing.T, programs ...string) {
	var bin string
	for _, program := range programs {
		bin = filepath.Dir(Build(t, program)) // one folder for all
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		Cmds:                ScriptCommands(),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", e.Getenv("PATH")+string(os.PathListSeparator)+bin)
			return nil
		},
	})
}

// ScriptCommands are what our scripts use beside the commands of testscript:
//
//	exits CODE PROGRAM ARG...     run to the end; the exit code must be CODE
//	until CODE PROGRAM ARG...     the same, again and again until it is so
//	shows REGEXP PROGRAM ARG...   run again and again until its stdout matches
//	await PATH...                 until a file is there; a *.sock must answer
//	signal TERM|HUP|INT TEXT      to the background program whose arguments hold TEXT
//	addresses DIR                 sets ORIGIN, EST, BRSKI, MASA and PID from a quickstart's addresses.json
//	freeport NAME                 sets NAME to a free port of 127.0.0.1
//	replace OLD NEW FILE          every occurrence, of which there must be some
//	mode OCTAL PATH...            the permissions must be these
//	capture NAME REGEXP           sets NAME to the first group's match in the last stdout
//
// Waiting ends after a minute, and then the script fails.
func ScriptCommands() map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	commands := map[string]struct {
		least int
		run   func(ts *testscript.TestScript, args []string)
	}{
		"exits": {2, exits}, "until": {2, until}, "shows": {2, shows}, "await": {1, await}, "signal": {2, signal}, "addresses": {1, addresses},
		"freeport": {1, freeport}, "replace": {3, replace}, "mode": {2, mode}, "capture": {2, capture},
	}
	out := make(map[string]func(*testscript.TestScript, bool, []string))
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		c := commands[name]
		out[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) < c.least {
				ts.Fatalf("usage: %s is not negated and takes at least %d arguments", name, c.least)
			}
			c.run(ts, args)
		}
	}
	return out
}

// code runs a program and returns its exit code.
func code(ts *testscript.TestScript, args []string) int {
	err := ts.Exec(args[0], args[1:]...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%s: %v", args[0], err)
	}
	if exit != nil {
		return exit.ExitCode()
	}
	return 0
}

func exits(ts *testscript.TestScript, args []string) {
	if got := strconv.Itoa(code(ts, args[1:])); got != args[0] {
		ts.Fatalf("exit %s, want %s", got, args[0])
	}
}

func until(ts *testscript.TestScript, args []string) {
	poll(ts, strings.Join(args, " "), func() bool { return strconv.Itoa(code(ts, args[1:])) == args[0] })
}

func shows(ts *testscript.TestScript, args []string) {
	want, err := regexp.Compile(args[0])
	ts.Check(err)
	poll(ts, strings.Join(args, " "), func() bool { return code(ts, args[1:]) == 0 && want.MatchString(ts.ReadFile("stdout")) })
}

// poll asks until ready says so.
func poll(ts *testscript.TestScript, what string, ready func() bool) {
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-deadline:
			ts.Fatalf("%s: not within %v", what, patience)
		case <-tick.C:
		}
	}
}

func await(ts *testscript.TestScript, args []string) {
	for _, name := range args {
		path := ts.MkAbs(name)
		poll(ts, name, func() bool {
			if filepath.Ext(path) != ".sock" {
				_, err := os.Stat(path)
				return err == nil
			}
			conn, err := DialSocket(path)
			if err != nil {
				return false
			}
			return conn.Close() == nil
		})
	}
}

func signal(ts *testscript.TestScript, args []string) {
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "INT": syscall.SIGINT}
	for _, cmd := range ts.BackgroundCmds() {
		if strings.Contains(strings.Join(cmd.Args, " "), args[1]) && cmd.ProcessState == nil {
			ts.Check(cmd.Process.Signal(signals[args[0]]))
			return
		}
	}
	ts.Fatalf("no background program has %q in its arguments", args[1])
}

func addresses(ts *testscript.TestScript, args []string) {
	a, err := parseAddresses(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Setenv("ORIGIN", strings.TrimSuffix(a.EST, "/.well-known/est"))
	ts.Setenv("EST", a.EST)
	ts.Setenv("BRSKI", a.BRSKI)
	ts.Setenv("MASA", a.MASA)
	ts.Setenv("PID", strconv.Itoa(a.PID))
}

func freeport(ts *testscript.TestScript, args []string) {
	port, err := freePort()
	ts.Check(err)
	ts.Setenv(args[0], port)
}

// FreeAddress is an address of 127.0.0.1 that nobody listens at.
func FreeAddress(t testing.TB) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// freePort takes ports below those that are handed out to connections.
func freePort() (string, error) {
	var err error
	for range 100 {
		port := strconv.Itoa(10000 + rand.IntN(10000))
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			return port, l.Close()
		}
	}
	return "", fmt.Errorf("no free port in 100 tries: %w", err)
}

func replace(ts *testscript.TestScript, args []string) {
	text := ts.ReadFile(args[2])
	if strings.Count(text, args[0]) == 0 {
		ts.Fatalf("%s does not hold %q:\n%s", args[2], args[0], text)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(strings.ReplaceAll(text, args[0], args[1])), 0o600))
}

func mode(ts *testscript.TestScript, args []string) {
	for _, name := range args[1:] {
		st, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if got := strconv.FormatUint(uint64(st.Mode().Perm()), 8); got != args[0] {
			ts.Fatalf("%s has the mode %s, want %s", name, got, args[0])
		}
	}
}

func capture(ts *testscript.TestScript, args []string) {
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	m := re.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("the output has nothing that matches %s with a group", args[1])
	}
	ts.Setenv(args[0], m[1])
}
