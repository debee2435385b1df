//go:build pkcs11

package keystore_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/testbed"
)

// The keys of the issue "The CA behind it", made in the token and used from it.
func TestKeysOfATokenSignWhatX509Verifies(t *testing.T) {
	hsm := testbed.NewSoftHSM(t)
	for alg, signatures := range map[keystore.Algorithm][]x509.SignatureAlgorithm{
		keystore.P256:    {x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512},
		keystore.P384:    {x509.ECDSAWithSHA256, x509.ECDSAWithSHA384},
		keystore.P521:    {x509.ECDSAWithSHA512},
		keystore.RSA2048: {x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS},
		keystore.RSA3072: {x509.SHA256WithRSA, x509.SHA256WithRSAPSS},
		keystore.RSA4096: {x509.SHA512WithRSA, x509.SHA512WithRSAPSS},
		keystore.Ed25519: {x509.PureEd25519},
	} {
		uri := hsm.URI(";object=key%20" + string(alg))
		if _, err := keystore.Open(t.Context(), uri); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open of a key that is not there: %v, want fs.ErrNotExist", err)
		}
		made, err := keystore.Create(t.Context(), uri, alg)
		if err != nil {
			t.Errorf("Create(%s): %v", alg, err)
			continue
		}
		opened, err := keystore.Open(t.Context(), uri)
		if err != nil || !made.Public().(publicKey).Equal(opened.Public()) {
			t.Errorf("Open after Create(%s) = %v, or another key", alg, err)
			continue
		}
		for _, signature := range signatures {
			template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, SignatureAlgorithm: signature, IsCA: true, BasicConstraintsValid: true}
			der, err := x509.CreateCertificate(rand.Reader, template, template, opened.Public(), opened)
			if err != nil {
				t.Errorf("%v with %s: %v", signature, alg, err)
				continue
			}
			cert, err := x509.ParseCertificate(der)
			if err != nil || cert.CheckSignatureFrom(cert) != nil {
				t.Errorf("%v with %s does not verify: %v", signature, alg, err)
			}
		}
		if _, err := keystore.Create(t.Context(), uri, alg); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Create of a key that is there: %v, want fs.ErrExist", err)
		}
	}
}

func TestPSSSignsWithTheSaltAskedFor(t *testing.T) {
	hsm := testbed.NewSoftHSM(t)
	key, err := keystore.Create(t.Context(), hsm.URI(";object=pss"), keystore.RSA2048)
	if err != nil {
		t.Fatal(err)
	}
	digest := make([]byte, 32)
	for _, salt := range []int{rsa.PSSSaltLengthAuto, rsa.PSSSaltLengthEqualsHash, 20} {
		opts := &rsa.PSSOptions{SaltLength: salt, Hash: crypto.SHA256}
		signature, err := key.Sign(rand.Reader, digest, opts)
		if err != nil {
			t.Errorf("salt %d: %v", salt, err)
			continue
		}
		if err := rsa.VerifyPSS(key.Public().(*rsa.PublicKey), crypto.SHA256, digest, signature, opts); err != nil {
			t.Errorf("salt %d: %v", salt, err)
		}
	}
}

func TestWhatATokenMustNotSignIsRefused(t *testing.T) {
	hsm := testbed.NewSoftHSM(t)
	ec, err := keystore.Create(t.Context(), hsm.URI(";object=ec"), keystore.P256)
	if err != nil {
		t.Fatal(err)
	}
	ed, err := keystore.Create(t.Context(), hsm.URI(";object=ed"), keystore.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() ([]byte, error){
		"RSA-like without options": func() ([]byte, error) { return ed.Sign(nil, nil, nil) },
		"SHA-1":                    func() ([]byte, error) { return ec.Sign(nil, make([]byte, 20), crypto.SHA1) },
		"no hash":                  func() ([]byte, error) { return ec.Sign(nil, make([]byte, 32), crypto.Hash(0)) },
		"a digest cut short":       func() ([]byte, error) { return ec.Sign(nil, make([]byte, 31), crypto.SHA256) },
		"Ed25519 over a digest":    func() ([]byte, error) { return ed.Sign(nil, make([]byte, 64), crypto.SHA512) },
		"Ed25519 with a context":   func() ([]byte, error) { return ed.Sign(nil, nil, &ed25519.Options{Context: "x"}) },
	} {
		if signature, err := call(); err == nil {
			t.Errorf("%s: signed, %x", name, signature)
		}
	}
}

func TestAPINThatATokenRefusedIsNotTriedAgain(t *testing.T) {
	hsm := testbed.NewSoftHSM(t)
	wrong := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(wrong, []byte("999999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	uri := strings.Replace(hsm.URI(";object=k"), hsm.PIN, wrong, 1)
	for range 20 { // a token that counts would be locked
		_, err := keystore.Open(t.Context(), uri)
		if err == nil || !strings.Contains(err.Error(), "refuses the PIN") || strings.Contains(err.Error(), "999999") {
			t.Fatalf("Open with a wrong PIN: %v", err)
		}
	}
	if err := os.WriteFile(wrong, []byte("471147\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keystore.Create(t.Context(), uri, keystore.P256); err != nil {
		t.Errorf("Create with the PIN put right: %v", err)
	}
}

func TestATokenThatWasTakenOutWorksAgainWhenItIsBack(t *testing.T) {
	hsm := testbed.NewSoftHSM(t)
	key, err := keystore.Create(t.Context(), hsm.URI(";object=k"), keystore.P256)
	if err != nil {
		t.Fatal(err)
	}
	digest := make([]byte, 32)
	sign := func() error {
		signature, err := key.Sign(rand.Reader, digest, crypto.SHA256)
		if err == nil && !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest, signature) {
			t.Error("the signature does not verify")
		}
		return err
	}
	away := hsm.Tokens + ".away"
	for i := range 20 {
		if err := sign(); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if err := os.Rename(hsm.Tokens, away); err != nil {
			t.Fatal(err)
		}
		if err := sign(); err == nil {
			t.Fatalf("round %d: a token that is not there signs", i)
		}
		if err := os.Rename(away, hsm.Tokens); err != nil {
			t.Fatal(err)
		}
	}
}

func TestManySignAtOnceWhileSessionsAreTakenAway(t *testing.T) {
	hsm := testbed.NewSoftHSM(t)
	key, err := keystore.Create(t.Context(), hsm.URI(";object=k"), keystore.P256)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make(chan error, 64)
	for range 32 {
		wg.Go(func() {
			for range 50 {
				if _, err := key.Sign(rand.Reader, make([]byte, 32), crypto.SHA256); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

func TestURIsOfTokensAreRefusedByName(t *testing.T) {
	hsm := testbed.NewSoftHSM(t)
	for uri, want := range map[string]string{
		hsm.URI(""):                                             "object=",
		"pkcs11:object=k?pin-value=4711":                        "pin-source",
		"pkcs11:object=k":                                       "module-path=",
		"pkcs11:object=k?module-path=/nowhere/p11.so":           "/nowhere/p11.so",
		"pkcs11:object=k?module-path=" + hsm.PIN:                "no PKCS#11 library",
		"pkcs11:object=k;token=other?module-path=" + hsm.Module: `sees "briskest test"`,
		"pkcs11:object=k?module-path=" + hsm.Module + "&pin-source=file:/nowhere/token": "/nowhere/token",
	} {
		_, err := keystore.Open(t.Context(), uri)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "4711") || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%q) = %v, want an error with %q", uri, err, want)
		}
	}
}

// A key that another program brought, with openssl and pkcs11-tool.
func TestAKeyThatWasImportedIsUsed(t *testing.T) {
	hsm := testbed.NewSoftHSM(t)
	tool := testbed.Require(t, "softhsm2-util")
	file := filepath.Join(t.TempDir(), "k.pem")
	made, err := keystore.Create(t.Context(), "file:"+file, keystore.P384)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "--import", file, "--token", hsm.Token, "--label", "brought", "--id", "0a0b", "--pin", "471147").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{";object=brought", ";id=%0a%0b", ";object=brought;id=%0a%0b"} {
		key, err := keystore.Open(t.Context(), hsm.URI(name))
		if err != nil || !made.Public().(publicKey).Equal(key.Public()) {
			t.Errorf("Open(%s) of an imported key: %v, or another key", name, err)
		}
	}
}
