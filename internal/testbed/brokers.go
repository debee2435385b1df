package testbed

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Broker is a real message broker on 127.0.0.1, with what it keeps in a folder of the test.
type Broker struct {
	Address string // HOST:PORT

	t       testing.TB
	program string
	args    []string
	process *Process
}

// NewMosquitto runs Mosquitto until the test ends. It takes anybody, and keeps sessions
// across Stop. Lines are added to its configuration. It skips without the program.
func NewMosquitto(t testing.TB, lines string) *Broker {
	t.Helper()
	b := &Broker{t: t, program: Require(t, "mosquitto"), Address: FreeAddress(t)}
	dir := t.TempDir()
	host, port, err := net.SplitHostPort(b.Address)
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "mosquitto.conf")
	// Started as root it would become another user, who has no way into the folder.
	text := fmt.Sprintf("user root\nlistener %s %s\nallow_anonymous true\npersistence true\npersistence_location %s/\nmax_queued_messages 0\nmax_inflight_messages 0\nlog_dest stderr\n%s\n", port, host, dir, lines)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.args = []string{"-c", conf}
	b.Start()
	return b
}

// NewNATS runs a nats-server with JetStream until the test ends; it keeps streams across Kill.
// Arguments are added. It skips without the program.
func NewNATS(t testing.TB, args ...string) *Broker {
	t.Helper()
	b := &Broker{t: t, program: Require(t, "nats-server"), Address: FreeAddress(t)}
	host, port, err := net.SplitHostPort(b.Address)
	if err != nil {
		t.Fatal(err)
	}
	b.args = append([]string{"-a", host, "-p", port, "-js", "-sd", t.TempDir()}, args...)
	b.Start()
	return b
}

// Start runs the broker, again after Stop or Kill, and returns when it answers.
func (b *Broker) Start() {
	b.t.Helper()
	b.process = Launch(b.t, b.program, b.args...)
	b.process.Until(func() bool {
		c, err := net.Dial("tcp", b.Address) //nolint:noctx // to loopback, in a test
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// Kill ends the broker with SIGKILL.
func (b *Broker) Kill() { b.process.Kill() }

// End ends the broker with SIGTERM and waits: it writes down what it has.
func (b *Broker) End() {
	b.t.Helper()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		// One that has only just opened its port may miss the first signal.
		_ = b.process.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-b.process.done:
			return
		case <-again.C:
		}
	}
}

// Output is what the broker has printed since it was started last.
func (b *Broker) Output() string { return b.process.Output() }
