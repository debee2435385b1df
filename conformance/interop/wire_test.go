package interop_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/cms"
)

// R24: bc-java 1325, libest 93, 100, 114, 120, 127, globalsign/est 9 and 31. The golden corpus, testdata/wire, holds
// requests as they crossed the wire: those with a version in their name but libest's were recorded from the client,
// the others are composed from what is known of a client. Chunked bodies, Expect, HTTP/1.0, LF and CRLF, lengths of
// lines, absent and lower-case headers: each gets the certificate. est-clients 2.10.
func TestTheGoldenWireCorpusIsServed(t *testing.T) {
	s := newSite(t)
	files, err := filepath.Glob("testdata/wire/*.http")
	if err != nil || len(files) < 15 {
		t.Fatalf("testdata/wire has %d requests, %v", len(files), err)
	}
	versions := []uint16{tls.VersionTLS12, tls.VersionTLS13}
	for _, file := range files {
		golden, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, version := range versions {
			t.Run(fmt.Sprintf("%s, %s", strings.TrimSuffix(filepath.Base(file), ".http"), tls.VersionName(version)), func(t *testing.T) {
				w := s.dial(t, &tls.Config{MinVersion: version, MaxVersion: version})
				s.replay(t, w, string(golden), strings.Contains(file, "unauthenticated"))
			})
		}
	}
	t.Logf("figures: golden wire corpus: %d requests, each over %d versions of TLS", len(files), len(versions))
}

// replay sends a recorded request and checks the answer.
func (s *site) replay(t *testing.T, w *wire, golden string, challenge bool) {
	t.Helper()
	text := strings.NewReplacer("{{host}}", s.host, "{{basic}}", s.basicToken()).Replace(golden)
	end := "\r\n\r\n"
	if !strings.Contains(text, end) {
		end = "\n\n"
	}
	head, body, _ := strings.Cut(text, end)
	w.send(head + end)
	if strings.Contains(strings.ToLower(head), "expect:") {
		if r := w.read(); r.status != 100 {
			t.Fatalf("Expect: 100-continue is answered %d %q", r.status, r.body)
		}
	}
	w.send(body)
	r := w.read()
	if challenge {
		r.isChallenge(t)
		return
	}
	certs := r.certificates(t, 200)
	csr, err := x509.ParseCertificateRequest(bodyOf(t, body))
	if err != nil {
		t.Fatal(err)
	}
	s.issued(t, certs, csr)
}

// bodyOf is the DER in a recorded body, chunked or not.
func bodyOf(t *testing.T, body string) []byte {
	t.Helper()
	if !strings.HasPrefix(body, "MI") {
		var whole strings.Builder
		for {
			var size int
			head, rest, _ := strings.Cut(body, "\r\n")
			if _, err := fmt.Sscanf(head, "%x", &size); err != nil || size == 0 {
				break
			}
			whole.WriteString(rest[:size])
			body = rest[size+len("\r\n"):]
		}
		body = whole.String()
	}
	der, err := base64.StdEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// certificates checks the form of an answer that holds certificates, letter by letter. est-clients 2.1, 2.2, 2.6, 2.7.
func (r *reply) certificates(t *testing.T, status int) []*x509.Certificate {
	t.Helper()
	if r.status != status {
		t.Fatalf("status = %d %q, want %d", r.status, r.body, status)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/pkcs7-mime; smime-type=certs-only", "Content-Transfer-Encoding": "base64",
	} {
		if got := r.value(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if len(r.header) > 16 {
		t.Errorf("the header has %d lines; libest loses the body at 17", len(r.header))
	}
	// One line is what strongSwan 5.9.8 reads; libest fails on one above 1000 characters.
	lines := strings.Split(strings.TrimSuffix(r.body, "\n"), "\n")
	if one := len(r.body) <= 901; one && len(lines) != 1 || !one && width(lines) != 64 || !strings.HasSuffix(r.body, "\n") {
		t.Errorf("base64 of %d characters is in %d lines of %d", len(r.body), len(lines), width(lines))
	}
	der, err := base64.StdEncoding.DecodeString(r.body)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := cms.ParseCertsOnly(der)
	if err != nil {
		t.Fatal(err)
	}
	return certs
}
