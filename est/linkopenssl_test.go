package est_test

import (
	"bufio"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testbed"
)

// sClient is a running openssl s_client.
type sClient struct {
	in  io.WriteCloser
	out *bufio.Reader
	cmd *exec.Cmd
}

// openssl connects, with the extended master secret or without.
func (s *site) openssl(t *testing.T, ems bool, args ...string) *sClient {
	t.Helper()
	program := testbed.Require(t, "openssl")
	conf := filepath.Join(t.TempDir(), "openssl.cnf")
	option := ""
	if !ems {
		option = "Options = -ExtendedMasterSecret\n"
	}
	if err := os.WriteFile(conf, []byte("openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = default\n[default]\n"+option), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, append([]string{"s_client", "-connect", strings.TrimPrefix(s.url, "https://"), "-ign_eof", "-msg"}, args...)...)
	cmd.Env = append(os.Environ(), "OPENSSL_CONF="+conf)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return &sClient{in: in, out: bufio.NewReader(out), cmd: cmd}
}

// until reads what openssl prints up to the first match, and returns its last group.
func (c *sClient) until(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var seen strings.Builder
	for {
		line, err := c.out.ReadString('\n')
		seen.WriteString(line)
		if m := re.FindStringSubmatch(seen.String()); m != nil {
			return m[len(m)-1]
		}
		if err != nil {
			t.Fatalf("openssl ended without %s:\n%s", pattern, seen.String())
		}
	}
}

// enroll posts a CSR with this link and returns the answer's status line.
func (c *sClient) enroll(t *testing.T, link []byte) string {
	t.Helper()
	csr := forged{attributes: [][]byte{text(oidChallengePassword, cbasn1.PrintableString, b64(link))}}.der(t)
	auth := "Authorization: Basic " + b64([]byte("device:secret")) + "\r\n"
	if _, err := io.WriteString(c.in, post(enrollPath, pkcs10+auth+"Connection: close\r\n", b64(csr))); err != nil {
		t.Fatal(err)
	}
	return c.until(t, `HTTP/1\.1 (\d+) `)
}

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// EST-9266-2-01: tls-exporter is what openssl exports for EXPORTER-Channel-Binding, 32 bytes.
func TestOpenSSLExportsTheSameBinding(t *testing.T) {
	s := linkSite(t, est.LinkPolicy{}, nil)
	c := s.openssl(t, true, "-tls1_3", "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32")
	exported := fromHex(t, c.until(t, `Keying material: ([0-9A-F]{64})\n`))
	if status := c.enroll(t, exported); status != "200" {
		t.Errorf("with what openssl exported: %s", status)
	}
}

// EST-5929-3-02: a TLS 1.2 session that was resumed without extended master secret has no tls-unique.
// EST-9266-4.1-01: without extended master secret there is no tls-exporter in TLS 1.2.
func TestWithoutExtendedMasterSecretABindingIsRefused(t *testing.T) {
	const finished = `Handshake \[length 0010\], Finished\n +14 00 00 0c ((?:[0-9a-f]{2} ?){12})`
	s := linkSite(t, est.LinkPolicy{}, nil)
	session := filepath.Join(t.TempDir(), "session.pem")
	first := s.openssl(t, false, "-tls1_2", "-sess_out", session)
	unique := fromHex(t, first.until(t, finished)) // the client's is the first
	first.until(t, `Extended master secret: no`)
	if status := first.enroll(t, unique); status != "200" { // a full handshake has one (RFC 5929, Section 3)
		t.Errorf("a full handshake: %s", status)
	}
	_ = first.cmd.Wait()
	second := s.openssl(t, false, "-tls1_2", "-sess_in", session)
	unique = fromHex(t, second.until(t, finished)) // the server's is the first
	second.until(t, `Reused, TLSv1\.2`)
	if status := second.enroll(t, unique); status != "400" {
		t.Errorf("a session resumed without extended master secret: %s, want 400", status)
	}

	s = linkSite(t, est.LinkPolicy{ExporterInTLS12: true}, nil)
	for ems, why := range map[bool]string{
		true:  "is not the channel binding", // openssl's context is absent and not empty, which is another value in TLS 1.2
		false: "without extended master secret",
	} {
		c := s.openssl(t, ems, "-tls1_2", "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32")
		exported := fromHex(t, c.until(t, `Keying material: ([0-9A-F]{64})\n`))
		if status := c.enroll(t, exported); status != "400" {
			t.Errorf("tls-exporter in TLS 1.2, extended master secret %v: %s, want 400", ems, status)
		}
		c.until(t, why)
	}
}
