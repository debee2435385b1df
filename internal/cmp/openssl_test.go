package cmp_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"crypto/x509"

	"github.com/briskest/briskest/internal/cmp"
	"github.com/briskest/briskest/internal/testbed"
)

// What `openssl cmp` and its mock server, both in one process, say to each other is read, and each protection verifies.
func TestMessagesOfOpenSSLAreRead(t *testing.T) {
	openssl := testbed.Require(t, "openssl")
	w := newWorld(t)
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := func(name string, k any) string {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return write(name, "PRIVATE KEY", der)
	}
	ca, device := write("ca.pem", "CERTIFICATE", w.ca.Certificate.Raw), write("device.pem", "CERTIFICATE", w.device.Certificate.Raw)
	ra, raKey, deviceKey := write("ra.pem", "CERTIFICATE", w.ra.Certificate.Raw), key("ra.key", w.ra.Key), key("device.key", w.device.Key)
	csr := write("device.csr", "CERTIFICATE REQUEST", w.csr)
	signed := []string{"-srv_cert", ra, "-srv_key", raKey, "-srv_trusted", ca, "-cert", ra, "-key", raKey, "-trusted", ca}
	secret := &cmp.MAC{Secret: []byte("correct horse"), AllowHMACSHA1: true}
	byMAC := []string{"-srv_secret", "pass:correct horse", "-srv_ref", "ra", "-secret", "pass:correct horse", "-ref", "ra"}
	for _, c := range []struct {
		name string
		args []string
		mac  bool
		want []cmp.Kind // question, answer, question, answer
	}{
		{"ir, signed", append([]string{"-cmd", "ir", "-newkey", deviceKey, "-subject", "/CN=device", "-certout", "out"}, signed...), false, []cmp.Kind{cmp.IR, cmp.IP, cmp.CertConf, cmp.PKIConf}},
		{"p10cr, signed", append([]string{"-cmd", "p10cr", "-csr", csr, "-certout", "out"}, signed...), false, []cmp.Kind{cmp.P10CR, cmp.CP, cmp.CertConf, cmp.PKIConf}},
		{"cr by MAC", append([]string{"-cmd", "cr", "-newkey", deviceKey, "-subject", "/CN=device", "-certout", "out"}, byMAC...), true, []cmp.Kind{cmp.CR, cmp.CP, cmp.CertConf, cmp.PKIConf}},
		{"rr, signed", append([]string{"-cmd", "rr", "-oldcert", device, "-revreason", "4"}, signed...), false, []cmp.Kind{cmp.RR, cmp.RP}},
		{"polling", append([]string{"-cmd", "cr", "-newkey", deviceKey, "-subject", "/CN=device", "-certout", "out", "-poll_count", "2", "-check_after", "1"}, byMAC...), true,
			[]cmp.Kind{cmp.CR, cmp.CP, cmp.PollReq, cmp.PollRep, cmp.PollReq, cmp.CP, cmp.CertConf, cmp.PKIConf}},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := exec.Command(openssl, append([]string{"cmp", "-config", "", "-use_mock_srv", "-rsp_cert", device, "-reqout", "q0,q1,q2,q3", "-rspout", "r0,r1,r2,r3"}, c.args...)...)
			run.Dir = t.TempDir()
			if out, err := run.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", run.Args, err, out)
			}
			for i, want := range c.want {
				name := string("qr"[i%2]) + string(rune('0'+i/2))
				der, err := os.ReadFile(filepath.Join(run.Dir, name))
				if err != nil {
					t.Fatal(err)
				}
				m := parse(t, der)
				if m.Kind != want {
					t.Errorf("%s is a %s, want %s", name, m.Kind, want)
				}
				verify := func() error { return m.VerifySignature(w.ra.Certificate.PublicKey) }
				if c.mac {
					verify = func() error { return m.VerifyMAC(secret) }
				}
				if err := m.VerifyMAC(&cmp.MAC{Secret: secret.Secret}); c.mac && !errors.Is(err, cmp.ErrWeakAlgorithm) {
					t.Errorf("%s with HMAC-SHA1, where it is not taken: %v, want ErrWeakAlgorithm", name, err)
				}
				if err := verify(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if err := readAll(der); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if rep, err := m.CertRep(); err == nil && rep.Responses[0].Certificate != nil && !bytes.Equal(rep.Responses[0].Certificate, w.device.Certificate.Raw) {
					t.Errorf("%s: another certificate came out", name)
				}
			}
		})
	}
}
