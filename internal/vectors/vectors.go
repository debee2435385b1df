// Package vectors finds and reads the shared test vectors, for tests only.
// They are not part of the project: the environment variable
// BRISKEST_VECTORS names the folder they are in.
package vectors

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// Variable is the environment variable that names the folder.
const Variable = "BRISKEST_VECTORS"

// Dir returns the folder of the vectors. It skips the test when the variable
// is unset, and fails it when the folder is not there.
func Dir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv(Variable)
	if dir == "" {
		t.Skipf("%s is not set: set it to the folder of the shared vectors", Variable)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		t.Fatalf("%s = %q is not a folder: %v", Variable, dir, err)
	}
	return dir
}

// Row is one row of brski/index.json.
type Row struct {
	File        string `json:"file"` // below brski/; may name several, see Files
	Group       string `json:"group"`
	Type        string `json:"type"` // "CMS", "JWS", "COSE", "cert", ...
	Source      string `json:"source"`
	What        string `json:"what"`
	Signer      string `json:"signer"`       // a certificate below brski/, or words
	TrustAnchor string `json:"trust_anchor"` // below brski/; may be empty
	Notes       string `json:"notes"`
	Negative    bool   `json:"negative"`  // to be refused
	SigOK       bool   `json:"sig_ok"`    // openssl verified the signature
	ChainOK     bool   `json:"chain_ok"`  // openssl verified the chain to TrustAnchor, times left out
	ChainNow    bool   `json:"chain_now"` // and with times, in November 2026
	CMSVersion  string `json:"cms_version"`
	EContent    string `json:"econtent"`
}

// BRSKI returns the rows of brski/index.json.
func BRSKI(t testing.TB) []Row {
	t.Helper()
	var rows []Row
	if err := json.Unmarshal(Read(t, "brski/index.json"), &rows); err != nil {
		t.Fatalf("brski/index.json: %v", err)
	}
	if len(rows) == 0 {
		t.Fatal("brski/index.json has no rows")
	}
	return rows
}

// Files returns the files of a row, as names for Read. One row names two
// files, "folder/a, b", both in that folder.
func (r Row) Files() []string {
	var files []string
	for i, name := range strings.Split(r.File, ", ") {
		if i > 0 {
			name = path.Join(path.Dir(r.File[:strings.Index(r.File, ", ")]), name)
		}
		files = append(files, path.Join("brski", name))
	}
	return files
}

// Read returns the file of that name, with slashes, below Dir.
func Read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(Dir(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatalf("vector: %v", err)
	}
	return data
}

// Certificates returns those in the file, which is DER or PEM.
func Certificates(t testing.TB, name string) []*x509.Certificate {
	t.Helper()
	data := Read(t, name)
	if block, _ := pem.Decode(data); block == nil {
		return []*x509.Certificate{parse(t, name, data)}
	}
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			certs = append(certs, parse(t, name, block.Bytes))
		}
	}
	return certs
}

func parse(t testing.TB, name string, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("vector %s: %v", name, err)
	}
	return cert
}
