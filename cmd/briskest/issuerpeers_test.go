package main_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/testbed"
)

// foreignCA is a root and an issuing CA for somebody else's server.
type foreignCA struct {
	chain []*x509.Certificate // issuing, root
	key   *ecdsa.PrivateKey   // of issuing
}

func newForeignCA(t *testing.T) *foreignCA {
	t.Helper()
	unrecorded := func(context.Context, *ca.Intent) error { return nil }
	rootKey, key := p256(t), p256(t)
	root, err := localca.NewRoot(t.Context(), rootKey, &localca.Authority{Subject: pkix.Name{CommonName: "Plant root"}, Lifetime: "7300d", PathLength: 1, Record: unrecorded})
	if err != nil {
		t.Fatal(err)
	}
	above, err := localca.New(localca.Config{Certificate: root, Key: rootKey})
	if err != nil {
		t.Fatal(err)
	}
	issuing, err := localca.NewIntermediate(t.Context(), above, key.Public(), &localca.Authority{Subject: pkix.Name{CommonName: "Plant CA"}, Lifetime: "3650d", Record: unrecorded})
	if err != nil {
		t.Fatal(err)
	}
	return &foreignCA{[]*x509.Certificate{issuing, root}, key}
}

// documented returns the first block of a fence in docs/issuers.md that holds text.
func documented(t *testing.T, text string) string {
	t.Helper()
	for _, part := range strings.Split(string(readFile(t, filepath.Join("..", "..", "docs", "issuers.md"))), "```") {
		if strings.Contains(part, text) && strings.HasPrefix(strings.TrimSpace(part), "{") {
			return part
		}
	}
	t.Fatalf("docs/issuers.md has no block with %q", text)
	return ""
}

// issueBy replaces the quickstart's issuer in registrar.yaml.
func issueBy(t *testing.T, bed *testbed.Bed, issuer string) {
	t.Helper()
	file := filepath.Join(bed.Dir, "registrar.yaml")
	const local = "    local:\n      folder: registrar/ca\n      crl_lifetime: 7d\n"
	text := string(readFile(t, file))
	if !strings.Contains(text, local) {
		t.Fatalf("registrar.yaml has another issuer than the test expects:\n%s", text)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(text, local, issuer, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// journey enrolls a device through a registrar that asks the CA, renews it while
// the CA is killed and started again, revokes it, and wants the CA to know.
type journey struct {
	bed    *testbed.Bed
	chain  []*x509.Certificate
	kill   func()
	start  func()
	listed func(serial []byte) bool
}

func (j *journey) run(t *testing.T) {
	registrar := j.bed.Registrar(t)
	client := func(args ...string) (string, int) {
		out, errs, code := testbed.Run(t, j.bed.Program, append(args, "--url", j.bed.EST, "--ca", filepath.Join(j.bed.Dir, "ca.pem"))...)
		return out + errs, code
	}
	file := func(name string) string { return filepath.Join(j.bed.Dir, name) }
	user := file("est-user.txt")
	if out, code := client("est", "enroll", "--user-file", user, "--new-key", file("a.key"), "--cn", "pump-1", "--out", file("a.pem")); code != 0 {
		t.Fatalf("enroll: exit %d\n%s\n%s", code, out, registrar.Output())
	}
	first := j.signed(t, file("a.pem"))

	j.kill()
	renew := []string{"est", "reenroll", "--cert", file("a.pem"), "--key", file("a.key"), "--new-key", file("b.key"), "--out", file("b.pem")}
	if out, code := client(renew...); code == 0 {
		t.Fatalf("a renewal worked without the CA\n%s", out)
	}
	j.start()
	deadline := time.Now().Add(time.Minute)
	for {
		os.Remove(file("b.key"))
		out, code := client(renew...)
		if code == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the renewal does not work once the CA is there again: exit %d\n%s\n%s", code, out, registrar.Output())
		}
	}
	second := j.signed(t, file("b.pem"))
	if bytes.Equal(first.Raw, second.Raw) {
		t.Error("the renewal gave the same certificate")
	}

	out, errs, code := testbed.Run(t, j.bed.Program, "ca", "revoke", "--config", file("registrar.yaml"), fmt.Sprintf("%x", second.SerialNumber.Bytes()))
	if code != 0 {
		t.Fatalf("ca revoke: exit %d\n%s%s", code, out, errs)
	}
	for deadline := time.Now().Add(time.Minute); !j.listed(second.SerialNumber.Bytes()); {
		if time.Now().After(deadline) {
			t.Fatalf("the CA does not know of the revocation\n%s", registrar.Output())
		}
	}
	registrar.Stop()
}

// signed reads a certificate that must come from the CA.
func (j *journey) signed(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	certs, err := pemfile.Certificates(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := certs[0].CheckSignatureFrom(j.chain[0]); err != nil {
		t.Errorf("%s was not issued by the CA that is asked: %v", name, err)
	}
	return certs[0]
}

// list says whether the CRL at url has a serial number.
func list(t *testing.T, client *http.Client, url string, serial []byte) bool {
	t.Helper()
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	der, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return false // there is none before the first revocation
	}
	for _, entry := range crl.RevokedCertificateEntries {
		if bytes.Equal(entry.SerialNumber.Bytes(), serial) {
			return true
		}
	}
	return false
}

func TestARegistrarEnrollsRenewsAndRevokesThroughThePeerStepCA(t *testing.T) {
	testbed.Peer(t, "step-ca")
	bed := testbed.Once(t)
	foreign := newForeignCA(t)
	own := p256(t)
	point, err := own.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := own.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	jwk := map[string]string{"kty": "EC", "crv": "P-256", "kid": "registrar-1", "use": "sig", "alg": "ES256", "x": b64(point[1:33]), "y": b64(point[33:])}
	step := testbed.NewStepCA(t, &testbed.StepCAConfig{
		Chain: foreign.chain, Key: foreign.key,
		Provisioners: []any{map[string]any{
			"type": "JWK", "name": "registrar", "key": jwk, "claims": map[string]string{"maxTLSCertDuration": "20000h"},
			"options": map[string]any{"x509": map[string]string{"template": documented(t, ".Token.briskest.subject")}},
		}},
	})
	private := map[string]string{"d": b64(secret)}
	for k, v := range jwk {
		private[k] = v
	}
	text, err := json.Marshal(private)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(bed.Dir, "step.jwk"), string(text))
	put(t, filepath.Join(bed.Dir, "chain.pem"), string(pemfile.Encode(foreign.chain[0].Raw, foreign.chain[1].Raw)))
	issueBy(t, bed, fmt.Sprintf("    step:\n      url: %s\n      chain: chain.pem\n      provisioner: registrar\n      jwk: step.jwk\n      template: true\n", step.URL))
	j := &journey{
		bed: bed, chain: foreign.chain, kill: step.Kill, start: step.Start,
		listed: func(serial []byte) bool { return list(t, step.Client(nil), step.URL+"/1.0/crl", serial) },
	}
	j.run(t)
}

func TestARegistrarEnrollsRenewsAndRevokesThroughThePeerVault(t *testing.T) {
	testbed.Peer(t, "vault-pki")
	bed := testbed.Once(t)
	foreign := newForeignCA(t)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(foreign.key)
	if err != nil {
		t.Fatal(err)
	}
	vault := testbed.NewVault(t)
	roleID, secretID := vault.PKI(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})) + string(pemfile.Encode(foreign.chain[0].Raw, foreign.chain[1].Raw)))
	put(t, filepath.Join(bed.Dir, "secret-id"), secretID+"\n")
	put(t, filepath.Join(bed.Dir, "chain.pem"), string(pemfile.Encode(foreign.chain[0].Raw, foreign.chain[1].Raw)))
	issueBy(t, bed, fmt.Sprintf("    vault:\n      url: %s\n      tls_anchors: %s\n      chain: chain.pem\n      role: device\n      ignores_csr_names: true\n      approle: {role_id: %s, secret_id: secret-id}\n",
		vault.URL, vault.Certificate(), roleID))
	j := &journey{
		bed: bed, chain: foreign.chain, kill: vault.Kill, start: vault.Start,
		listed: func(serial []byte) bool { return list(t, vault.Client(), vault.URL+"/v1/pki/crl", serial) },
	}
	j.run(t)
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
