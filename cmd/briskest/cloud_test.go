package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/cli"
)

const cloudYAML = `version: 1
listen: {devices: "127.0.0.1:0", admin: registrar/admin.sock}
store: registrar/registrar.db
trail_key: file:registrar/trail.key
tls: {certificate: registrar/registrar.pem, key: "file:registrar/registrar.key"}
cloud:
  signer: {certificate: registrar/registrar.pem, key: "file:registrar/registrar.key"}
  owners: [{name: school, registrar_url: "https://registrar.school.example"}]
manufacturers: [{name: acme, idevid_anchors: ca.pem, voucher_anchors: ca.pem}]
`

// cloudIn makes a cloud registrar of a registrar's keys.
func cloudIn(t *testing.T, text string) (*registrarConfig, error) {
	t.Helper()
	file := filepath.Join(filepath.Dir(registrarIn(t).file), "cloud.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return loadRegistrarConfig(file)
}

// BRSKI-CLOUD-2.2-02: csrattrs is not found at a cloud registrar, and neither is
// any other operation of EST.
func TestCloudRegistrarHasNoEST(t *testing.T) {
	cfg, err := cloudIn(t, cloudYAML)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := startRegistrar(t.Context(), cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	serving(t, s.serve)
	//nolint:gosec // nothing is trusted
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	for operation, method := range map[string]string{
		"est/csrattrs": "GET", "est/cacerts": "GET", "est/label/csrattrs": "GET", "est/simpleenroll": "POST", "est/simplereenroll": "POST",
		"est/serverkeygen": "POST", "est/fullcmc": "POST", "est": "GET", "brski/elsewhere": "POST",
	} {
		req, err := http.NewRequestWithContext(t.Context(), method, "https://"+s.devices.Addr().String()+"/.well-known/"+operation, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s %s: %d, want 404", method, operation, res.StatusCode)
		}
	}
}

func TestCloudConfigurationsThatContradictThemselvesAreRefused(t *testing.T) {
	for name, change := range map[string]struct{ old, text, says string }{
		"a CA":             {"cloud:", "issuers: [{name: default, local: {certificate: ca.pem, key: \"file:registrar/ca/issuing.key\"}}]\ncloud:", "the key issuers is for"},
		"labels":           {"cloud:", "labels: [{name: \"\", profile: device}]\ncloud:", "the key labels is for"},
		"a pin":            {"voucher_anchors: ca.pem", "voucher_anchors: ca.pem, pin: ca", "leave pin out"},
		"no signer":        {"  signer: {", "  # {", "cloud.signer.certificate"},
		"no name":          {"name: school", "name: \"\"", "owner 1 has no name"},
		"http":             {"https://registrar", "http://registrar", "not https://HOST"},
		"a user":           {"https://registrar", "https://x@registrar", "not https://HOST"},
		"nobody's devices": {"manufacturers: [", "# [", "no manufacturers"},
		"offline":          {"voucher_anchors: ca.pem", "voucher_anchors: ca.pem, allow_nonceless: true", "without a nonce"},
	} {
		cfg, err := cloudIn(t, strings.Replace(cloudYAML, change.old, change.text, 1))
		if err == nil {
			_, err = openRegistrar(t.Context(), cfg, io.Discard)
		}
		if cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), change.says) {
			t.Errorf("with %s: %v, want %q", name, err, change.says)
		}
	}
}
