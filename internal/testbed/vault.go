package testbed

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Vault is a real Vault with its PKI engine, in a folder of the test.
type Vault struct {
	URL     string
	Dir     string
	Token   string // the root token
	t       testing.TB
	program string
	address string
	process *Process
	client  *http.Client
}

// NewVault runs one, unsealed and empty, until the test ends. It skips without
// the peer vault-pki.
func NewVault(t testing.TB) *Vault {
	t.Helper()
	v := &Vault{t: t, program: Peer(t, "vault-pki"), Dir: t.TempDir(), address: FreePort(t)}
	v.URL = "https://" + v.address
	v.Start()
	return v
}

// Start runs the server, again after Kill, and returns when it answers.
func (v *Vault) Start() {
	v.t.Helper()
	v.process = Launch(v.t, v.program, v.address, v.Dir)
	v.process.Until(func() bool {
		data, err := os.ReadFile(filepath.Join(v.Dir, "server.pem"))
		pool := x509.NewCertPool()
		if err != nil || !pool.AppendCertsFromPEM(data) {
			return false
		}
		v.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}, Timeout: patience}
		res, err := v.client.Get(v.URL + "/v1/sys/health")
		if err != nil {
			return false
		}
		return res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})
	token, err := os.ReadFile(filepath.Join(v.Dir, "root-token"))
	if err != nil {
		v.t.Fatal(err)
	}
	v.Token = strings.TrimSpace(string(token))
}

// Kill ends the server at once.
func (v *Vault) Kill() { v.process.Kill() }

// Output is what the server has printed since it was started last.
func (v *Vault) Output() string { return v.process.Output() }

// Client is an HTTP client that trusts the server.
func (v *Vault) Client() *http.Client { return v.client }

// Certificate is the file that holds the server's certificate.
func (v *Vault) Certificate() string { return filepath.Join(v.Dir, "server.pem") }

// Call asks with the root token and returns the data and the auth of the answer,
// which must be a success.
func (v *Vault) Call(method, path string, body any) (data, auth map[string]any) {
	v.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		v.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(v.t.Context(), method, v.URL+"/v1/"+path, bytes.NewReader(text))
	if err != nil {
		v.t.Fatal(err)
	}
	request.Header.Set("X-Vault-Token", v.Token)
	res, err := v.client.Do(request)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err = io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		v.t.Fatalf("%s %s: %d %v\n%s\n%s", method, path, res.StatusCode, err, text, v.Output())
	}
	var answer struct {
		Data, Auth map[string]any
	}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			v.t.Fatal(err)
		}
	}
	return answer.Data, answer.Auth
}

// PKI mounts an engine at pki that signs with the given CA, whose bundle is PEM
// with its key and every CA above it, and makes the role device for DNS names
// below example.com, and an AppRole that may use it.
func (v *Vault) PKI(bundle string) (roleID, secretID string) {
	v.t.Helper()
	v.Call("POST", "sys/mounts/pki", map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": "90000h"}})
	v.Call("POST", "pki/config/ca", map[string]any{"pem_bundle": bundle})
	v.Call("POST", "pki/roles/device", map[string]any{
		"allowed_domains": []string{"example.com"}, "allow_subdomains": true, "cn_validations": []string{"disabled"}, "require_cn": false,
		"use_csr_common_name": false, "use_csr_sans": false, "key_type": "any", "allowed_serial_numbers": []string{"*"},
		"server_flag": true, "client_flag": true, "key_usage": []string{"DigitalSignature"},
	})
	v.Call("POST", "sys/policies/acl/registrar", map[string]any{"policy": `
path "pki/sign/device" { capabilities = ["update"] }
path "pki/revoke" { capabilities = ["update"] }
path "pki/certs" { capabilities = ["list"] }
path "pki/certs/" { capabilities = ["list"] }
path "pki/roles/device" { capabilities = ["read"] }
path "pki/cert/*" { capabilities = ["read"] }
path "pki/issuer/default/json" { capabilities = ["read"] }
`})
	v.Call("POST", "sys/auth/approle", map[string]any{"type": "approle"})
	v.Call("POST", "auth/approle/role/registrar", map[string]any{"token_policies": []string{"registrar"}, "token_ttl": "1h", "token_max_ttl": "24h"})
	data, _ := v.Call("GET", "auth/approle/role/registrar/role-id", nil)
	roleID, _ = data["role_id"].(string)
	data, _ = v.Call("POST", "auth/approle/role/registrar/secret-id", map[string]any{})
	secretID, _ = data["secret_id"].(string)
	return roleID, secretID
}
