package vouchercms_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/internal/vectors"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/vouchertest"
)

// openssl runs it in dir, or skips the test.
func openssl(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenSSLVerifiesWhatWeSign(t *testing.T) {
	dir := t.TempDir()
	root, s := vouchertest.NewSigner(t, "MASA")
	der, err := vouchercms.Format{}.SignVoucher(t.Context(), vouchertest.Voucher(t), s)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "voucher.vcj", der)
	write(t, dir, "anchor.pem", root.PEM())
	out := openssl(t, dir, "cms", "-verify", "-inform", "DER", "-in", "voucher.vcj", "-CAfile", "anchor.pem", "-purpose", "any", "-binary")
	_, a, err := vouchercms.Format{}.OpenVoucher(der)
	if err != nil || !bytes.Equal(out, a.Payload) {
		t.Errorf("openssl read %q, we %q, %v", out, a.Payload, err)
	}
}

// What openssl signs, in the ways that peers call it.
func TestWhatOpenSSLSignsIsOpenedOrRefusedByName(t *testing.T) {
	dir := t.TempDir()
	root := testpki.NewRoot(t, "Vendor CA")
	for _, name := range []string{"", "second-"} {
		id := root.Client(t, name+"MASA")
		key, err := x509.MarshalPKCS8PrivateKey(id.Key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name+"key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
		write(t, dir, name+"cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Certificate.Raw}))
	}
	payload, err := voucher.MarshalVoucher(vouchertest.Voucher(t))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "payload.json", payload)
	voucherType := []string{"-econtent_type", "1.2.840.113549.1.9.16.1.40"}
	for _, c := range []struct {
		name    string
		args    []string
		finding string
		want    error
	}{
		{"as RFC 8366 has it", voucherType, "", nil},
		{"by default", nil, vouchercms.FindingV1IDData, nil},
		{"in indefinite lengths", append([]string{"-stream"}, voucherType...), "", nil},
		{"without attributes", []string{"-noattr"}, "", vouchercms.ErrNoSignedAttributes},
		{"without certificates", append([]string{"-nocerts"}, voucherType...), "", vouchercms.ErrNoSignerCertificate},
		{"with SHA-1", append([]string{"-md", "sha1"}, voucherType...), "", vouchercms.ErrWeakAlgorithm},
		{"by two signers", append([]string{"-signer", "second-cert.pem", "-inkey", "second-key.pem"}, voucherType...), "", vouchercms.ErrSigners},
	} {
		args := append([]string{"cms", "-sign", "-binary", "-nodetach", "-in", "payload.json", "-signer", "cert.pem", "-inkey", "key.pem", "-outform", "DER"}, c.args...)
		_, a, err := vouchercms.Format{}.OpenVoucher(openssl(t, dir, args...))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: OpenVoucher() = %v, want %v", c.name, err, c.want)
		}
		if got := strings.Join(findingIDs(a), " "); got != c.finding {
			t.Errorf("%s: findings %q, want %q", c.name, got, c.finding)
		}
	}
}

// A registrar of 2017 (minerva's fountain) had its key on secp256k1.
func TestASignerOnSecp256k1IsOpenedWithAFindingAndNotWhenChangedOrNotAskedFor(t *testing.T) {
	dir := t.TempDir()
	payload, err := voucher.MarshalVoucher(vouchertest.Voucher(t))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "payload.json", payload)
	for range 2 {
		openssl(t, dir, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1", "-nodes",
			"-subj", "/CN=registrar", "-days", "2", "-keyout", "key.pem", "-out", "cert.pem")
		der := openssl(t, dir, "cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-in", "payload.json", "-signer", "cert.pem", "-inkey", "key.pem",
			"-outform", "DER", "-econtent_type", "1.2.840.113549.1.9.16.1.40")
		_, a, err := vouchercms.Format{Secp256k1: true}.OpenVoucher(der)
		if err != nil || !slices.Equal(findingIDs(a), []string{vouchercms.FindingSecp256k1}) {
			t.Fatalf("OpenVoucher() = %v, %v, want one finding", findingIDs(a), err)
		}
		block, _ := pem.Decode(openssl(t, dir, "x509", "-in", "cert.pem"))
		if !bytes.Equal(a.Signer.Raw, block.Bytes) || !bytes.Contains(block.Bytes, a.Signer.RawTBSCertificate) ||
			!bytes.Contains(block.Bytes, a.Signer.RawSubjectPublicKeyInfo) {
			t.Error("the signer's certificate is not what travelled")
		}
		if err := a.Signer.CheckSignature(a.Signer.SignatureAlgorithm, a.Signer.RawTBSCertificate, a.Signer.Signature); err != nil {
			t.Errorf("self-signed certificate: %v", err)
		}
		if _, _, err := (vouchercms.Format{}).OpenVoucher(der); !errors.Is(err, vouchercms.ErrNoSignerCertificate) {
			t.Errorf("OpenVoucher() without being asked = %v, want %v", err, vouchercms.ErrNoSignerCertificate)
		}
		changed := bytes.Replace(der, []byte("PEER-0001"), []byte("PEER-0002"), 1)
		if _, _, err := (vouchercms.Format{Secp256k1: true}).OpenVoucher(changed); !errors.Is(err, vouchercms.ErrDigestMismatch) {
			t.Errorf("OpenVoucher(content changed) = %v, want %v", err, vouchercms.ErrDigestMismatch)
		}
		changed = bytes.Clone(der)
		changed[len(changed)-1] ^= 1
		if _, _, err := (vouchercms.Format{Secp256k1: true}).OpenVoucher(changed); !errors.Is(err, vouchercms.ErrSignature) {
			t.Errorf("OpenVoucher(signature changed) = %v, want %v", err, vouchercms.ErrSignature)
		}
	}
}

// The artifacts that other implementations sent each other.
func TestCapturedArtifactsOpen(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(vectors.Dir(t), "captures", "*", "*brski_requestvoucher*.der"))
	if err != nil || len(files) == 0 {
		t.Fatalf("captures: %d files, %v", len(files), err)
	}
	count := make(map[string]int)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var a *voucher.Artifact
		if strings.HasSuffix(file, "response.der") {
			_, a, err = vouchercms.Format{}.OpenVoucher(data)
		} else {
			_, a, err = vouchercms.Format{}.OpenRequest(data)
		}
		// nqminds as it is sends a text of 44 bytes as nonce, always the same; RFC 8366, Section 5.3 allows 32.
		if strings.Contains(file, "nqminds-stock") && errors.Is(err, voucher.ErrNonce) {
			count["refused for the nonce"]++
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		count["opened"]++
		for _, id := range findingIDs(a) {
			count[id]++
		}
	}
	t.Logf("%d captured artifacts: %v", len(files), count)
}
