package interop_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// tools runs other people's programs in a scratch folder.
type tools struct {
	t   testing.TB
	dir string
}

func newTools(t *testing.T) *tools { return &tools{t, t.TempDir()} }

func (x *tools) path(name string) string { return filepath.Join(x.dir, name) }

func (x *tools) write(name string, data []byte) string {
	x.t.Helper()
	if err := os.WriteFile(x.path(name), data, 0o600); err != nil {
		x.t.Fatal(err)
	}
	return x.path(name)
}

func (x *tools) read(name string) []byte {
	x.t.Helper()
	data, err := os.ReadFile(x.path(name))
	if err != nil {
		x.t.Fatal(err)
	}
	return data
}

// run runs a program with stdin and returns its standard output; it must exit 0.
func (x *tools) run(stdin []byte, program string, args ...string) []byte {
	x.t.Helper()
	out, errs, err := x.try(stdin, program, args...)
	if err != nil {
		x.t.Fatalf("%s %v: %v\n%s%s", program, args, err, out, errs)
	}
	return out
}

// try runs a program that may fail.
func (x *tools) try(stdin []byte, program string, args ...string) (stdout, stderr []byte, err error) {
	cmd := exec.CommandContext(x.t.Context(), program, args...)
	cmd.Dir, cmd.Stdin = x.dir, bytes.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	return out, errs.Bytes(), err
}

// request is a key in NAME.key and a CSR for it.
type request struct {
	name string // of the files
	der  []byte
	csr  *x509.CertificateRequest
}

// p256 and its like are what `openssl req -newkey` takes.
var (
	p256    = []string{"ec", "-pkeyopt", "ec_paramgen_curve:P-256"}
	rsa4096 = []string{"rsa:4096"}
)

// request makes a new key NAME.key and a request for CN=commonName.
func (x *tools) request(name, commonName string, key ...string) *request {
	x.t.Helper()
	if len(key) == 0 {
		key = p256
	}
	args := append([]string{"req", "-new", "-nodes", "-keyout", name + ".key", "-subj", "/CN=" + commonName, "-outform", "DER", "-newkey"}, key...)
	der := x.run(nil, "openssl", args...)
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		x.t.Fatal(err)
	}
	x.write(name+".p10", der)
	return &request{name: name, der: der, csr: csr}
}

// certsOnly has openssl read an answer, base64 and PKCS#7.
func (x *tools) certsOnly(answer []byte) []*x509.Certificate {
	x.t.Helper()
	der := x.run(answer, "openssl", "base64", "-d")
	return x.certificates(x.run(der, "openssl", "pkcs7", "-inform", "DER", "-print_certs"))
}

// certificates reads those in PEM.
func (x *tools) certificates(text []byte) []*x509.Certificate {
	x.t.Helper()
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return certs
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			x.t.Fatal(err)
		}
		certs = append(certs, cert)
	}
}

// save writes the first of certs to NAME.pem.
func (x *tools) save(name string, certs []*x509.Certificate) string {
	x.t.Helper()
	return x.write(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certs[0].Raw}))
}
