package main_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
)

// Issue 6, point 8: registrar and MASA are backed up while devices ask for
// vouchers and enroll, lost, and restored into empty folders. No serial number is
// given twice, no voucher is issued a second time for what was answered since the
// backup, tokens of before are good no more, and both trails go on and verify.
func TestABackupTakenUnderLoadIsRestoredWithNothingIssuedTwice(t *testing.T) {
	b := newKillBed(t, 4)
	clients := make(map[string]*http.Client)
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	defer load.Wait()
	defer cancel()
	for i, id := range b.devices {
		certificate := id.TLS()
		client := b.Client(t, &tls.Certificate{Certificate: certificate.Certificate[:1], PrivateKey: id.Key})
		clients[fmt.Sprintf("KILL-%d", i)] = client
		load.Go(func() { b.device(ctx, t, id, client) })
	}
	b.until(t, 8)
	b.enroll(t, "before")
	token := firstWord(b.run(t, "token", "create", "robot", "--role", "administrator", "--config", b.file("registrar.yaml")))
	safe := b.safe(t)
	backups := t.TempDir()
	for _, args := range [][]string{{"masa", "--masa"}, {"registrar"}} {
		b.run(t, append([]string{"trail", "witness", "--out", filepath.Join(backups, args[0]+".witness"), "--config", b.file(args[0] + ".yaml")}, args[1:]...)...)
		b.run(t, append([]string{"backup", filepath.Join(backups, args[0]), "--keys-for", safe + ".pem", "--config", b.file(args[0] + ".yaml")}, args[1:]...)...)
	}
	known := len(b.nonces())
	b.enroll(t, "after")
	b.until(t, known+20)
	cancel()
	load.Wait()
	b.registrar.Kill()
	b.masa.Kill()
	b.registrar, b.masa = nil, nil
	before := b.serials(t)
	answered := b.nonces()

	b.restore(t, backups, safe)
	b.start(t)
	refused := 0
	for i := range b.answers.requests {
		q := &b.answers.requests[i]
		if b.settled(t, clients[q.serial], q) && answered[q.serial+" "+q.nonce] {
			refused++
		}
	}
	if refused == 0 {
		t.Error("nothing was refused: no voucher was issued between backup and restore")
	}
	b.asksAnew(t, clients)
	for _, name := range []string{"before", "after", "again"} {
		b.enroll(t, name)
	}
	b.tokenIsRevoked(t, token)
	b.registrar.Stop()
	b.masa.Stop()
	for serial, subject := range b.serials(t) {
		if was, twice := before[serial]; twice && was != subject {
			t.Errorf("the serial number %s is of %s and of %s", serial, was, subject)
		}
	}
	for key, got := range b.answers.vouchers {
		if len(got) != 1 {
			t.Errorf("%s got %d different vouchers", key, len(got))
		}
	}
	b.wentOn(t, backups)
	t.Logf("figures: %d nonces answered before the end, %d requests refused after the restore", len(answered), refused)
}

func firstWord(s string) string { return string(bytes.Fields([]byte(s))[0]) }

// until waits for that many nonces with a voucher.
func (b *killBed) until(t *testing.T, vouchers int) {
	t.Helper()
	b.registrar.Until(func() bool { return len(b.nonces()) >= vouchers })
}

// nonces are those that got a voucher, by serial number and nonce.
func (b *killBed) nonces() map[string]bool {
	b.answers.mu.Lock()
	defer b.answers.mu.Unlock()
	out := make(map[string]bool)
	for key := range b.answers.vouchers {
		out[key] = true
	}
	return out
}

// enroll enrolls one device with a new key.
func (b *killBed) enroll(t *testing.T, name string) {
	t.Helper()
	dir := t.TempDir()
	b.run(t, "est", "enroll", "--url", b.EST, "--ca", b.file("ca.pem"), "--user-file", b.file("est-user.txt"),
		"--new-key", filepath.Join(dir, "k"), "--cn", "sensor-"+name, "--out", filepath.Join(dir, "c"))
}

// safe makes a key pair that backups are encrypted for.
func (b *killBed) safe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "safe")
	for from, to := range map[string]string{"ra.pem": ".pem", "ra.key": ".key"} {
		if err := pemfile.Write(path+to, b.Read(t, from), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// serials are the serial numbers on record and what they are of: times and subject.
func (b *killBed) serials(t *testing.T) map[string]string {
	t.Helper()
	out := make(map[string]string)
	d := json.NewDecoder(bytes.NewBufferString(b.run(t, "ca", "list", "-o", "json", "--config", b.file("registrar.yaml"))))
	for d.More() {
		var row struct {
			Serial    string    `json:"serial"`
			Subject   string    `json:"subject"`
			NotBefore time.Time `json:"not_before"`
			Device    string    `json:"device"`
		}
		if err := d.Decode(&row); err != nil {
			t.Fatal(err)
		}
		out[row.Serial] = fmt.Sprint(row.Subject, row.NotBefore, row.Device)
	}
	if len(out) < 2 {
		t.Fatalf("%d certificates on record", len(out))
	}
	return out
}

// restore puts both backups into empty folders, and the bed there.
func (b *killBed) restore(t *testing.T, backups, safe string) {
	t.Helper()
	to := t.TempDir()
	for _, role := range []string{"masa", "registrar"} {
		b.run(t, "restore", filepath.Join(backups, role), "--to", filepath.Join(to, role), "--keys-with", "file:"+safe+".key", "--keys-cert", safe+".pem",
			"--witness", filepath.Join(backups, role+".witness"))
	}
	for _, name := range []string{"ca.pem", "est-user.txt"} {
		data := b.Read(t, name)
		if err := os.WriteFile(filepath.Join(to, "registrar", name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.Dir, b.restoredMASA = filepath.Join(to, "registrar"), filepath.Join(to, "masa")
}

// settled asks until there is an answer, and tells whether it is a refusal.
func (b *killBed) settled(t *testing.T, client *http.Client, q *asked) (refused bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		err := b.ask(t.Context(), client, q)
		switch {
		case err == nil:
			return false
		case errors.Is(err, errFinal):
			return true
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%s has no answer: %v", q.serial, err)
		}
	}
}

// asksAnew wants a voucher for each device that asks with a new nonce. Those that
// ask in the second of the restore may have asked before it.
func (b *killBed) asksAnew(t *testing.T, clients map[string]*http.Client) {
	t.Helper()
	for _, id := range b.devices {
		b.registrar.Until(func() bool { return b.asksOnce(t, id, clients) })
	}
}

func (b *killBed) asksOnce(t *testing.T, id *testpki.Identity, clients map[string]*http.Client) bool {
	t.Helper()
	q, err := b.sign(id, "")
	if err != nil {
		t.Fatal(err)
	}
	return !b.settled(t, clients[q.serial], q)
}

// tokenIsRevoked wants the token of before on record as revoked.
func (b *killBed) tokenIsRevoked(t *testing.T, token string) {
	t.Helper()
	var row struct {
		ID, State string
	}
	list := b.run(t, "token", "list", "-o", "json", "--config", b.file("registrar.yaml"))
	if err := json.Unmarshal([]byte(list), &row); err != nil || row.State != "revoked" || !bytes.Contains([]byte(token), []byte(row.ID)) {
		t.Errorf("the token of before the restore is %q (%v), want revoked", list, err)
	}
}

// wentOn wants the heads of the backup in both trails, a line about the restore
// behind it, and nothing wrong.
func (b *killBed) wentOn(t *testing.T, backups string) {
	t.Helper()
	for _, args := range [][]string{{"masa", "--masa"}, {"registrar"}} {
		witness := filepath.Join(backups, args[0]+".witness")
		config := append([]string{"--config", b.file(args[0] + ".yaml")}, args[1:]...)
		if out := b.run(t, append([]string{"trail", "verify", "--witness", witness}, config...)...); !verified.MatchString(out) {
			t.Errorf("trail verify of the restored %s: %q", args[0], out)
		}
		if out := b.run(t, append([]string{"trail", "export", "--kind", masa.KindRestored}, config...)...); !bytes.Contains([]byte(out), []byte(`"made_at"`)) {
			t.Errorf("the trail of the restored %s has %q about it", args[0], out)
		}
	}
	out := b.run(t, "trail", "export", "--kind", masa.KindRefused, "--masa", "--config", b.file("masa.yaml"))
	if !bytes.Contains([]byte(out), []byte(masa.ReasonAskedBefore)) {
		t.Errorf("the MASA refused nothing as %s: %s", masa.ReasonAskedBefore, out)
	}
}
