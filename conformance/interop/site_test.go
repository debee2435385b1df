package interop_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// program builds briskest, once for all tests.
var program = sync.OnceValues(func() (string, error) {
	if err := os.MkdirAll(programDir(), 0o700); err != nil {
		return "", err
	}
	return testbed.BuildIn(programDir(), "briskest")
})

func programDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("briskest-interop-%d", os.Getpid()))
}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := os.RemoveAll(programDir()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// site is a registrar that runs, and what its clients need to know.
type site struct {
	bed            *testbed.Bed
	user, password string // a group credential: it enrolls any name
	host           string // HOST:PORT
	tokens         *tokens
}

// labels are added to the quickstart's one without a name.
const labels = `
  - name: approve
    profile: device
    basic: true
    renewal: true
    approval: true
  - name: "ca:1"
    profile: device
    basic: true
    renewal: true
  - name: plain
    profile: device
    basic: true
    renewal: true
  - name: linked
    profile: linked
    basic: true
    renewal: true
  - name: digest
    profile: device
    digest: true
    renewal: true
  - name: md5
    profile: device
    digest_md5: true
    renewal: true
  - name: any
    profile: device
    basic: true
    digest: true
    digest_md5: true
  - name: bearer
    profile: device
    bearer:
      issuer: https://issuer.example.net
      audience: briskest
      jwks: jwks.json
`

// keys are shared with the group credential's user (RFC 7030, Section 4.4.1.1).
const keys = `
key_encryption_keys:
  - id: ` + kekID + `
    secret: kek.txt
    users: [clients]
`

// newSite makes a quickstart's folder and starts its registrar with more labels.
func newSite(t *testing.T) *site {
	t.Helper()
	briskest, err := program()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{bed: testbed.OnceIn(t, briskest, filepath.Join(t.TempDir(), "q"))}
	if err := os.WriteFile(s.file("kek.txt"), []byte(kek), 0o600); err != nil {
		t.Fatal(err)
	}
	// EC keys that keys are encrypted to have keyAgreement (RFC 7030, Section 4.4.1.2).
	s.edit(t, "registrar/profiles/device.yaml", "registrar/profiles/device.yaml", "  - p256\n", "  - p256\n  key_usage:\n  - key_agreement\n")
	s.edit(t, "registrar/profiles/device.yaml", "registrar/profiles/linked.yaml", "name: device", "name: linked",
		"allow_same_name_other_key:", "proof_of_possession_linking: required\nallow_same_name_other_key:")
	s.edit(t, "registrar.yaml", "registrar.yaml", "\nlabels:\n", "\n"+keys+"\nlabels:"+labels,
		"  - registrar/profiles/device.yaml", "  - registrar/profiles/device.yaml\n  - registrar/profiles/linked.yaml")
	s.tokens = newTokens(t, s.file("jwks.json"))
	s.start(t)
	// Made now that a label takes Digest: what was made before cannot be used with it.
	s.user = "clients"
	s.password = s.credential(t, s.user, "--group")
	return s
}

// newSmallSite starts a registrar that has one CA certificate, so that cacerts stays below 900 characters, and whose
// enrollments wait for approval.
func newSmallSite(t *testing.T, program string) *site {
	t.Helper()
	s := &site{bed: &testbed.Bed{Program: program, Dir: filepath.Join(t.TempDir(), "small")}}
	address := testbed.FreeAddress(t)
	s.briskest(t, "init", "registrar", "--dir", s.bed.Dir, "--host", "127.0.0.1", "--listen", address)
	s.bed.EST = "https://" + address + "/.well-known/est"
	s.edit(t, "registrar.yaml", "registrar.yaml", "renewal: true ", "renewal: true\n    approval: true ",
		"folder: registrar/ca", "certificate: registrar/ca/root.pem\n      key: file:registrar/ca/root.key")
	s.start(t)
	s.user = "swan"
	s.password = s.credential(t, "swan")
	return s
}

func (s *site) start(t *testing.T) {
	t.Helper()
	base, err := url.Parse(s.bed.EST)
	if err != nil {
		t.Fatal(err)
	}
	s.host = base.Host
	s.bed.Registrar(t)
}

// edit writes FROM with replacements to TO; each has to be made.
func (s *site) edit(t *testing.T, from, to string, replacements ...string) {
	t.Helper()
	text := s.bed.Read(t, from)
	for i := 0; i < len(replacements); i += 2 {
		if !bytes.Contains(text, []byte(replacements[i])) {
			t.Fatalf("%s does not hold %q", from, replacements[i])
		}
		text = bytes.ReplaceAll(text, []byte(replacements[i]), []byte(replacements[i+1]))
	}
	if err := os.WriteFile(filepath.Join(s.bed.Dir, to), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// briskest runs the program, which must exit 0, and returns its standard output.
func (s *site) briskest(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := testbed.Run(t, s.bed.Program, args...)
	if code != 0 {
		t.Fatalf("briskest %v: exit %d\n%s%s", args, code, out, errs)
	}
	return out
}

func (s *site) config() string { return filepath.Join(s.bed.Dir, "registrar.yaml") }

// credential adds a credential, for one name unless the arguments say --group, and returns its password.
func (s *site) credential(t *testing.T, user string, args ...string) string {
	t.Helper()
	var added struct{ Secret string }
	if err := json.Unmarshal([]byte(s.briskest(t, append([]string{"credential", "add", user, "--config", s.config(), "-o", "json"}, args...)...)), &added); err != nil {
		t.Fatal(err)
	}
	return added.Secret
}

// approve lets the request for a name pass that waits for an operator.
func (s *site) approve(t *testing.T, name string) {
	t.Helper()
	for line := range strings.Lines(s.briskest(t, "request", "list", "--config", s.config(), "-o", "json")) {
		if strings.Contains(line, `"waiting"`) && strings.Contains(line, name) {
			var row struct{ ID string }
			if err := json.Unmarshal([]byte(strings.Trim(line, "[], \n")), &row); err != nil {
				t.Fatal(err)
			}
			s.briskest(t, "request", "approve", row.ID, "--reason", "test", "--config", s.config())
			return
		}
	}
	t.Fatalf("no request waits for %s", name)
}

// file is a file of the bed's folder.
func (s *site) file(name string) string { return filepath.Join(s.bed.Dir, name) }

// anchors is the CA bundle that clients are given.
func (s *site) anchors() string { return s.file("ca.pem") }

// issued checks that certs is one certificate, below the site's CA, for the name and the key of the request.
func (s *site) issued(t *testing.T, certs []*x509.Certificate, csr *x509.CertificateRequest) {
	t.Helper()
	s.certified(t, certs, csr)
	if !bytes.Equal(certs[0].RawSubjectPublicKeyInfo, csr.RawSubjectPublicKeyInfo) {
		t.Error("the certificate holds another key than the request")
	}
}

// generated checks that certs is one certificate as above, but for a key that the server made: public, a
// SubjectPublicKeyInfo in DER.
func (s *site) generated(t *testing.T, public []byte, certs []*x509.Certificate, csr *x509.CertificateRequest) {
	t.Helper()
	s.certified(t, certs, csr)
	if !bytes.Equal(certs[0].RawSubjectPublicKeyInfo, public) {
		t.Error("the certificate holds another key than the one that came with it")
	}
	if bytes.Equal(public, csr.RawSubjectPublicKeyInfo) {
		t.Error("the server's key is the one of the request")
	}
}

func (s *site) certified(t *testing.T, certs []*x509.Certificate, csr *x509.CertificateRequest) {
	t.Helper()
	if len(certs) != 1 {
		t.Fatalf("the answer holds %d certificates, want the issued one alone", len(certs))
	}
	_, err := certs[0].Verify(x509.VerifyOptions{Roots: s.bed.Roots(t), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		t.Errorf("issued certificate: %v", err)
	}
	if certs[0].Subject.String() != csr.Subject.String() {
		t.Errorf("subject = %s, want %s", certs[0].Subject, csr.Subject)
	}
}
