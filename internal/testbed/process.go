package testbed

import (
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Process is a program that a test started.
type Process struct {
	t    testing.TB
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
	err  error
}

// Launch starts a program; it is ended when the test ends.
func Launch(t testing.TB, program string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, cmd: exec.Command(program, args...), out: &output{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.done
	})
	return p
}

// PID is the program's process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output is what the program has printed so far, both streams.
func (p *Process) Output() string { return p.out.String() }

// Until waits until ready says so, and fails the test when the program ends
// first or takes longer than a minute.
func (p *Process) Until(ready func() bool) {
	p.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-p.done:
			p.t.Fatalf("%v ended early: %v\n%s", p.cmd.Args, p.err, p.Output())
		case <-deadline:
			p.t.Fatalf("%v is not ready after %v\n%s", p.cmd.Args, patience, p.Output())
		case <-tick.C:
		}
	}
}

// Kill ends the program with SIGKILL and waits for it.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// Signal sends the program a signal.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%v: %v\n%s", p.cmd.Args, err, p.Output())
	}
}

// Stop ends the program with SIGTERM; it must exit 0.
func (p *Process) Stop() {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%v still runs %v after SIGTERM\n%s", p.cmd.Args, patience, p.Output())
	}
	if p.err != nil {
		p.t.Fatalf("%v after SIGTERM: %v\n%s", p.cmd.Args, p.err, p.Output())
	}
}
