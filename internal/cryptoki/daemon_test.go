//go:build pkcs11

package cryptoki_test

import (
	"crypto"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cryptoki"
	"github.com/briskest/briskest/internal/testbed"
	"github.com/briskest/briskest/internal/token"
)

// daemon is SoftHSM2 behind p11-kit's server, a token in another process.
type daemon struct {
	t      *testing.T
	hsm    *testbed.SoftHSM
	socket string
	cmd    *exec.Cmd
}

func (d *daemon) start() {
	d.t.Helper()
	if err := os.Remove(d.socket); err != nil && !os.IsNotExist(err) {
		d.t.Fatal(err)
	}
	d.cmd = exec.Command(testbed.Require(d.t, "p11-kit"), "server", "--foreground", "--name", d.socket, "--provider", d.hsm.Module, "pkcs11:token=briskest%20test")
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it forks for each client
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	for range 1000 {
		if conn, err := net.Dial("unix", d.socket); err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-d.t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	d.t.Fatal("p11-kit's server does not answer")
}

func (d *daemon) kill() {
	d.signal(syscall.SIGKILL)
	_ = d.cmd.Wait() // it was killed
}

func (d *daemon) signal(s syscall.Signal) {
	if err := syscall.Kill(-d.cmd.Process.Pid, s); err != nil {
		d.t.Error(err)
	}
}

func TestATokensDaemonMayBeKilledRestartedAndStopped(t *testing.T) {
	d := &daemon{t: t, hsm: testbed.NewSoftHSM(t), socket: filepath.Join(t.TempDir(), "s")}
	client := "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so"
	if found, _ := filepath.Glob("/usr/lib/*/pkcs11/p11-kit-client.so"); len(found) > 0 {
		client = found[0]
	}
	testbed.RequireFile(t, client)
	t.Setenv("P11_KIT_SERVER_ADDRESS", "unix:path="+d.socket)
	d.start()
	defer func() { d.kill() }()
	library, err := cryptoki.Load(client, "")
	if err != nil {
		t.Fatal(err)
	}
	limits := token.Limits{Deadline: 2 * time.Second, Pause: time.Millisecond, Sessions: 4}
	tok, err := token.NewModule(library, limits).Token(token.Selector{Token: d.hsm.Token}, "", token.Limits{}, func() (string, error) { return "471147", nil })
	if err != nil {
		t.Fatal(err)
	}
	key, err := tok.Create(t.Context(), token.Object{Label: "k"}, "p256")
	if err != nil {
		t.Fatal(err)
	}
	sign := func() error {
		_, err := key.Sign(rand.Reader, make([]byte, 32), crypto.SHA256)
		return err
	}
	for i := range 20 {
		if err := sign(); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		d.kill()
		if i%2 == 0 {
			if err := sign(); err == nil {
				t.Fatal("a daemon that was killed signs")
			}
		}
		d.start()
	}
	// A daemon that does not answer: calls end, and go on when it does.
	if err := sign(); err != nil {
		t.Fatal(err)
	}
	d.signal(syscall.SIGSTOP)
	begin := time.Now()
	if err := sign(); !errors.Is(err, token.ErrHung) || time.Since(begin) > 20*time.Second {
		t.Errorf("with a stopped daemon: %v after %v, want ErrHung after 2s", err, time.Since(begin))
	}
	d.signal(syscall.SIGCONT)
	for range 1000 {
		if err = sign(); err == nil {
			return
		}
		select {
		case <-t.Context().Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Errorf("after the daemon goes on: %v", err)
}
