package main_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmp"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/testbed"
)

// killedWaiter is a device that another CA has not decided about.
type killedWaiter struct{ csr, cert []byte }

// What another CA was asked for and has not decided outlives SIGKILL, twice: the next process goes on asking without
// its devices, the CA signs once for each, and each device gets the one there is.
func TestAKilledRegistrarGoesOnWithWhatAnotherCAWasAskedFor(t *testing.T) {
	bed := testbed.Once(t)
	plant := catest.NewCMP(t)
	plant.Wished = func(w *catest.Wish) { w.NotAfter = time.Now().Add(24 * time.Hour) }
	key := p256(t)
	plant.RA = plant.Certify("registrar", key, 28)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(bed.Dir, "cmp.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
	put(t, filepath.Join(bed.Dir, "cmp.pem"), string(pemfile.Encode(plant.RA.Raw, plant.Issuing.Raw)))
	put(t, filepath.Join(bed.Dir, "plant.pem"), string(pemfile.Encode(plant.Issuing.Raw, plant.Root.Raw)))
	issueBy(t, bed, fmt.Sprintf("    cmp: {url: %q, chain: plant.pem, certificate: cmp.pem, key: \"file:cmp.key\", timeout: 10s}\n", plant.URL()))
	amend(t, filepath.Join(bed.Dir, "registrar.yaml"), "\nlimits:\n", "\nlimits:\n  issuer_retry: 200ms\n")
	plant.Reply = func(asked *cmp.Message, r *catest.CMPReply) {
		if asked.Kind == cmp.PollReq && plant.Fault() == catest.Waits {
			r.Body = cmp.NewPollRep(cmp.Poll{RequestID: -1}) // come again at once
		}
	}
	plant.Fail(catest.Waits)

	registrar := bed.Registrar(t)
	user, password := bed.User(t)
	client := &est.Client{URL: bed.EST, HTTP: bed.Client(t, nil), User: user, Password: est.Secret(password)}
	waiters := make([]*killedWaiter, 5)
	for i := range waiters {
		csr, err := newRequest()
		if err != nil {
			t.Fatal(err)
		}
		waiters[i] = &killedWaiter{csr: csr}
		var pending *est.PendingError
		if _, err := client.SimpleEnroll(t.Context(), csr); !errors.As(err, &pending) {
			t.Fatalf("SimpleEnroll while the CA decides: %v, want 202\n%s", err, registrar.Output())
		}
	}
	registrar.Kill()
	registrar = bed.Registrar(t)
	polled := func() int { return len(plant.Messages()) }
	before := polled()
	registrar.Until(func() bool { return polled() >= before+2*len(waiters) }) // it asks by itself
	registrar.Kill()
	plant.Fail(catest.None)
	registrar = bed.Registrar(t)
	issued := func() int {
		out, errs, code := testbed.Run(t, bed.Program, "ca", "list", "--config", filepath.Join(bed.Dir, "registrar.yaml"), "--status", "issued", "-o", "json")
		if code != 0 {
			t.Fatalf("ca list: exit %d\n%s", code, errs)
		}
		return strings.Count(out, `"kill-`) + strings.Count(out, `CN=kill-`)
	}
	registrar.Until(func() bool {
		return len(plant.Signed()) >= len(waiters) && plant.Unconfirmed() == 0 && issued() >= len(waiters)
	})
	for _, w := range waiters {
		cert, err := client.SimpleEnroll(t.Context(), w.csr)
		if err != nil {
			t.Fatalf("SimpleEnroll once the certificate is there: %v\n%s", err, registrar.Output())
		}
		if err := cert.CheckSignatureFrom(plant.Issuing); err != nil {
			t.Error(err)
		}
		for _, other := range waiters {
			if bytes.Equal(other.cert, cert.Raw) {
				t.Error("two devices got one certificate")
			}
		}
		w.cert = cert.Raw
	}
	if n := len(plant.Signed()); n != len(waiters) {
		t.Errorf("the CA signed %d certificates for %d devices", n, len(waiters))
	}
	registrar.Stop()
}

// One issuer whose CA was never reached takes nobody else down, and ca status says so.
func TestARegistrarStartsAndReloadsWithoutACAThatWasNeverReached(t *testing.T) {
	bed := testbed.Once(t)
	config := filepath.Join(bed.Dir, "registrar.yaml")
	put(t, filepath.Join(bed.Dir, "plant.password"), "secret\n")
	amend(t, config, "\nissuers:\n", "\nissuers:\n  - name: plant\n    est: {url: \"https://127.0.0.1:1\", user: registrar, password: plant.password, roots: ca.pem, learned: learned.pem}\n")
	amend(t, config, "\nlabels:\n", "\nlabels:\n  - {name: plant, profile: device, issuer: plant, basic: true}\n")
	registrar := bed.Registrar(t)
	user, password := bed.User(t)
	enroll := func(label string) error {
		csr, err := newRequest()
		if err != nil {
			t.Fatal(err)
		}
		c := &est.Client{URL: bed.EST, Label: label, HTTP: bed.Client(t, nil), User: user, Password: est.Secret(password)}
		_, err = c.SimpleEnroll(t.Context(), csr)
		return err
	}
	for _, reloaded := range []bool{false, true} {
		if reloaded {
			text, err := os.ReadFile(filepath.Join(bed.Dir, "registrar", "profiles", "device.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			reload(t, registrar, filepath.Join(bed.Dir, "registrar", "profiles", "device.yaml"), text, "configuration loaded")
		}
		if err := enroll(""); err != nil {
			t.Errorf("reloaded %t: SimpleEnroll at the default issuer: %v\n%s", reloaded, err, registrar.Output())
		}
		var refused *est.StatusError
		if err := enroll("plant"); !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable {
			t.Errorf("reloaded %t: SimpleEnroll at the CA that is away: %v, want 503", reloaded, err)
		}
	}
	out, errs, code := testbed.Run(t, bed.Program, "ca", "status", "--config", config)
	if code != 1 || !strings.Contains(out, "CA asked by issuer plant") || !strings.Contains(out, "is not well") || !strings.Contains(errs, "hint:") {
		t.Errorf("ca status: exit %d\n%s%s", code, out, errs)
	}
	registrar.Stop()
}

// amend replaces text in a file, which has to have it.
func amend(t *testing.T, file, old, by string) {
	t.Helper()
	text := string(readFile(t, file))
	if !strings.Contains(text, old) {
		t.Fatalf("%s has no %q:\n%s", file, old, text)
	}
	put(t, file, strings.Replace(text, old, by, 1))
}
