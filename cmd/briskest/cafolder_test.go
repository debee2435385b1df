package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// inCA runs a command of briskest ca.
func inCA(t *testing.T, args ...string) error {
	t.Helper()
	return run(t.Context(), append([]string{"ca"}, args...), streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
}

func TestTwoCommandsDoNotWriteIntoOneCAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	if err := inCA(t, "init", "--dir", dir, "--name", "Plant"); err != nil {
		t.Fatal(err)
	}
	f, err := changeCAFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"renew", "--dir", dir}, {"rollover", "--dir", dir}, {"csr", "--dir", dir, "--out", filepath.Join(t.TempDir(), "x.csr")},
		{"init", "--dir", dir, "--name", "Plant"}, {"install", "--dir", dir, filepath.Join(dir, "ca-1.pem")}, {"certify", "--dir", dir, filepath.Join(dir, "ca-1.pem")},
	} {
		if err := inCA(t, args...); err == nil || !strings.Contains(err.Error(), "another command is at work") {
			t.Errorf("ca %s beside another command = %v", args[0], err)
		}
	}
	if err := inCA(t, "status", "--dir", dir); err != nil {
		t.Errorf("ca status beside another command = %v", err)
	}
	f.release()
	if err := inCA(t, "renew", "--dir", dir); err != nil {
		t.Errorf("ca renew once the other has ended = %v", err)
	}
}

// RFC 5280, Section 4.2: a critical extension that is not understood makes a certificate one that nobody may trust.
func TestACACertificateWithAnUnknownCriticalExtensionIsNotInstalled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	request := filepath.Join(t.TempDir(), "ca.csr")
	if err := inCA(t, "csr", "--dir", dir, "--name", "Plant CA", "--out", request); err != nil {
		t.Fatal(err)
	}
	csr, err := readCACSR(streams{}, request)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := func(n int64, name string, extra ...pkix.Extension) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, ExtraExtensions: extra,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, template(1, "root"), template(1, "root"), key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(rootDER)
	if err != nil {
		t.Fatal(err)
	}
	for critical, want := range map[bool]string{true: "critical extension 1.3.6.1.4.1.99999.1", false: ""} {
		extra := pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: critical, Value: []byte{5, 0}}
		der, err := x509.CreateCertificate(rand.Reader, template(2, "Plant CA", extra), root, csr.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "ca.pem")
		write(t, file, pemText("CERTIFICATE", der)+pemText("CERTIFICATE", rootDER))
		err = inCA(t, "install", "--dir", dir, file)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("install with an extension that is critical, %t = %v", critical, err)
		}
	}
}
