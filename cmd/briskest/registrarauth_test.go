package main

import (
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// labelled writes a registrar.yaml with one label of these keys and loads it.
func labelled(t *testing.T, keys string) (*registrarConfig, error) {
	t.Helper()
	dir := t.TempDir()
	third := testpki.NewRoot(t, "third party")
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
	}, third.Certificate, third.Key)
	if err != nil {
		t.Fatal(err)
	}
	text := "version: 1\nlisten: {devices: \"127.0.0.1:0\", admin: a}\nstore: s\ntrail_key: \"file:t\"\ntls: {certificate: c, key: \"file:k\"}\n" +
		"issuers: [{name: default, local: {certificate: c, key: \"file:k\"}}]\nlabels:\n  - name: \"\"\n    profile: device\n    idevid: inventory\n" + keys
	for name, data := range map[string]string{
		"registrar.yaml": text, "third.pem": string(pemfile.Encode(third.Certificate.Raw)), "third.crl": string(list), "empty.json": "{}",
		"keys.json": `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return loadRegistrarConfig(filepath.Join(dir, "registrar.yaml"))
}

func TestEveryWayToAuthenticateIsSetByALabelsKeys(t *testing.T) {
	c, err := labelled(t, `    basic: true
    digest: true
    digest_md5: true
    codes: true
    bearer: {issuer: "https://login.example", audience: registrar, claim: device_serial, algorithms: [EdDSA], jwks: keys.json}
    client_anchors: third.pem
    client_crls: [third.crl]
    allow_client_revocation_unknown: true
    require: [certificate, digest]
`)
	if err != nil {
		t.Fatal(err)
	}
	l := &registrar.Label{}
	if err := c.authenticate(l, &c.Labels[0].Auth); err != nil {
		t.Fatal(err)
	}
	if !c.Labels[0].Basic || !l.Digest || !l.DigestMD5 || !l.Codes || l.Tokens == nil || l.ClientAnchors == nil || l.ClientRevocation == nil ||
		l.ClientRevocation.Mode() != revocation.Check || len(l.Require) != 2 {
		t.Errorf("label = %+v", l)
	}
	c, err = labelled(t, "")
	if err != nil {
		t.Fatal(err)
	}
	l = &registrar.Label{}
	if err := c.authenticate(l, &c.Labels[0].Auth); err != nil || l.Digest || l.DigestMD5 || l.Codes || l.Tokens != nil || l.ClientAnchors != nil {
		t.Errorf("a label that says nothing takes %+v, %v", l, err)
	}
}

func TestKeysThatAreWrongAreNamed(t *testing.T) {
	for keys, want := range map[string]string{
		"    digests: true\n": "digests",
		"    bearer: {issuer: \"https://a.example\", audience: b, key: x}\n":             "key",
		"    bearer: {issuer: \"https://a.example\"}\n":                                  "audience",
		"    bearer: {issuer: \"http://a.example\", audience: b}\n":                      "https",
		"    bearer: {issuer: a, audience: b, jwks: empty.json}\n":                       "keys",
		"    bearer: {issuer: a, audience: b, jwks: nothing.json}\n":                     "nothing.json",
		"    bearer: {issuer: \"https://a.example\", audience: b, algorithms: [none]}\n": "none",
		"    client_anchors: nothing.pem\n":                                              "nothing.pem",
		"    client_anchors: third.pem\n    client_crls: [third.pem]\n":                  "CRL",
		"    client_anchors: third.pem\n    client_crls: [keys.json]\n":                  "keys.json",
	} {
		c, err := labelled(t, keys)
		if err == nil {
			err = c.authenticate(&registrar.Label{}, &c.Labels[0].Auth)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", keys, err, want)
		}
	}
}
