package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// The private keys that the registrar makes are in no file of it, and in no log; the command writes them for their owner alone.
func TestServerKeyGenLeavesNoKeyBehind(t *testing.T) {
	bed := testbed.Once(t)
	secret := strings.Repeat("0123456789abcdef", 4)
	write(t, filepath.Join(bed.Dir, "kek.key"), secret+"\n")
	config := filepath.Join(bed.Dir, "registrar.yaml")
	data, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, string(data)+"\nkey_encryption_keys:\n  - {id: kek-1, secret: kek.key, devices: [sealed, boxed]}\n")
	registrar := bed.Registrar(t)
	out := t.TempDir()
	run := func(name string, more ...string) (stderr string, code int) {
		args := append([]string{
			"est", "serverkeygen", "--url", bed.Addresses.EST, "--ca", filepath.Join(bed.Dir, "ca.pem"), "--user-file", filepath.Join(bed.Dir, "est-user.txt"),
			"--cn", name, "--key-out", filepath.Join(out, name+".key"), "--out", filepath.Join(out, name+".pem"),
		}, more...)
		_, stderr, code = testbed.Run(t, bed.Program, args...)
		return stderr, code
	}
	shared := []string{"--shared-key-id", "kek-1", "--shared-key-file", filepath.Join(bed.Dir, "kek.key")}
	for name, more := range map[string][]string{"plain": nil, "filed": {"--pkcs12"}, "sealed": shared, "boxed": append([]string{"--pkcs12"}, shared...)} {
		if stderr, code := run(name, more...); code != 0 {
			t.Fatalf("%s: exit %d %s\n%s", name, code, stderr, registrar.Output())
		}
		file := filepath.Join(out, name+".key")
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v, want mode 0600", file, info, err)
		}
		pair, err := tls.LoadX509KeyPair(filepath.Join(out, name+".pem"), file)
		if err != nil {
			t.Fatalf("%s: key and certificate: %v", name, err)
		}
		searchKey(t, bed.Dir, registrar.Output(), pair.PrivateKey.(*ecdsa.PrivateKey))
	}
	before, err := os.ReadFile(filepath.Join(out, "plain.key"))
	if err != nil {
		t.Fatal(err)
	}
	if stderr, code := run("plain"); code != 2 || !strings.Contains(stderr, "no key is overwritten") {
		t.Errorf("a key file that is there: exit %d %s", code, stderr)
	}
	if after, err := os.ReadFile(filepath.Join(out, "plain.key")); err != nil || !bytes.Equal(before, after) {
		t.Error("the key file was overwritten")
	}
	// Another device's key: refused, as one that does not exist, and no empty file stays.
	stderr, code := run("other", shared...)
	if code != 3 || !strings.Contains(stderr, "key-identifier") {
		t.Errorf("another device's key: exit %d %s", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(out, "other.key")); !os.IsNotExist(err) {
		t.Errorf("a refused request left a key file: %v", err)
	}
	if strings.Contains(registrar.Output(), secret) {
		t.Error("the shared key is in the log")
	}
}

// searchKey looks for the private number, raw, in hex and in base64, in every file and in the log.
func searchKey(t *testing.T, dir, log string, key *ecdsa.PrivateKey) {
	t.Helper()
	private, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	armour := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	canaries := [][]byte{
		private, []byte(hex.EncodeToString(private)), []byte(base64.StdEncoding.EncodeToString(private)),
		[]byte(base64.StdEncoding.EncodeToString(pkcs8))[:100], armour[40:80],
	}
	search := func(where string, data []byte) {
		for i, c := range canaries {
			if bytes.Contains(data, c) {
				t.Errorf("%s holds the private key (form %d)", where, i)
			}
		}
	}
	search("the log", []byte(log))
	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil // a file of the database that came and went
		}
		files++
		search(path, data)
		return err
	})
	if err != nil || files < 5 {
		t.Fatalf("%d files searched: %v", files, err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
