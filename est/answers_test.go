package est_test

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"crypto/tls"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/est/esttest"
	"github.com/briskest/briskest/internal/cms"
)

// strictDER decodes an answer, and wants DER in it and nothing else.
func strictDER(t *testing.T, what, body string) []byte {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(body)
	if err != nil {
		t.Fatalf("%s is not base64: %v", what, err)
	}
	again, err := cms.ToDER(der)
	if err != nil || !bytes.Equal(again, der) {
		t.Errorf("%s is not DER: %v", what, err)
	}
	return der
}

// EST-8951-3-03, EST-7030-4.1.3-03, EST-5652-5.1-01: every answer is the base64
// of DER; certificates come in a SignedData of version 1 over id-data, with no
// content, no digest algorithms and no signers.
func TestEveryAnswerIsBase64OfDERAndCertificatesAreCertsOnly(t *testing.T) {
	s := newSite(t)
	s.Attrs = tlv(0x30, string(tlv(6, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07")))
	strictDER(t, "csrattrs", s.raw(t, get("/.well-known/est/csrattrs")).body)
	csr := b64(goodCSR(t, "device"))
	for what, request := range map[string]string{
		"cacerts": get("/.well-known/est/cacerts"), "simpleenroll": post(enrollPath, pkcs10+"BASIC\r\n", csr),
	} {
		der := strictDER(t, what, s.raw(t, request).body)
		var info struct {
			Type    asn1.ObjectIdentifier
			Content struct {
				Version      int
				Digests      asn1.RawValue
				Encapsulated struct {
					Type    asn1.ObjectIdentifier
					Content asn1.RawValue `asn1:"optional,explicit,tag:0"`
				}
				Certificates asn1.RawValue `asn1:"tag:0"`
				Signers      asn1.RawValue
			} `asn1:"explicit,tag:0"`
		}
		rest, err := asn1.Unmarshal(der, &info)
		if err != nil || len(rest) != 0 {
			t.Fatalf("%s: %v, %d bytes after it", what, err, len(rest))
		}
		c := &info.Content
		if !info.Type.Equal(cms.OIDSignedData()) || c.Version != 1 || !c.Encapsulated.Type.Equal(cms.OIDData()) ||
			c.Encapsulated.Content.FullBytes != nil || len(c.Digests.Bytes) != 0 || c.Signers.Tag != asn1.TagSet || len(c.Signers.Bytes) != 0 {
			t.Errorf("%s is not certs-only: %+v", what, info)
		}
	}
}

// EST-7030-4.1.3-06: what cacerts answers is enough to verify what was issued.
func TestAnIssuedCertificateVerifiesWithCACertsAlone(t *testing.T) {
	s := newSite(t)
	c := s.client(t)
	cas, err := c.CACerts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	issued, err := c.SimpleEnroll(t.Context(), goodCSR(t, "device"))
	if err != nil {
		t.Fatal(err)
	}
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, ca := range cas {
		if ca.CheckSignatureFrom(ca) == nil {
			opts.Roots.AddCert(ca)
		} else {
			opts.Intermediates.AddCert(ca)
		}
	}
	if _, err := issued.Verify(opts); err != nil {
		t.Error(err)
	}
}

// EST-9112-9.3-01: a connection stays for the next request unless the client
// says otherwise, or speaks HTTP/1.0; then it ends after the whole answer.
func TestAConnectionEndsWhenTheClientSaysSo(t *testing.T) {
	s := newSite(t)
	for what, c := range map[string]struct {
		request string
		ends    bool
	}{
		"HTTP/1.1":           {"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\n\r\n", false},
		"keep-alive":         {"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", false},
		"Bouncy Castle":      {"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true},
		"HTTP/1.0":           {"GET /.well-known/est/cacerts HTTP/1.0\r\n\r\n", true},
		"close, in capitals": {"GET /.well-known/est/cacerts HTTP/1.1\r\nHOST: a\r\nCONNECTION: Close\r\n\r\n", true},
	} {
		conn := s.dial(t, &tls.Config{})
		r := bufio.NewReader(conn)
		if _, err := io.WriteString(conn, c.request); err != nil {
			t.Fatal(err)
		}
		if got := readWire(t, r, "GET"); got.status != 200 || len(certsOf(t, got.body)) == 0 {
			t.Errorf("%s: %d", what, got.status)
		}
		if c.ends {
			if _, err := r.ReadByte(); err != io.EOF {
				t.Errorf("%s: the connection goes on: %v", what, err)
			}
			continue
		}
		if _, err := io.WriteString(conn, c.request); err != nil {
			t.Fatal(err)
		}
		if got := readWire(t, r, "GET"); got.status != 200 {
			t.Errorf("%s, again: %d", what, got.status)
		}
	}
}

// endless is a body of n bytes that is nowhere in memory.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	n := min(len(p), e.left)
	if n == 0 {
		return 0, io.EOF
	}
	for i := range p[:n] {
		p[i] = 'A'
	}
	e.left -= n
	return n, nil
}

// EST-7030-6-09, R5: hostile ASN.1 is refused, for little memory.
func TestHostileASN1IsRefusedForLittleMemory(t *testing.T) {
	b := esttest.New(t)
	h := &est.Handler{Backend: b, AllowPlaintext: true}
	nested := func(head string, deep int) string { return b64([]byte(strings.Repeat(head, deep))) }
	for what, body := range map[string]io.Reader{
		"10,000 SEQUENCEs of no known end": strings.NewReader(nested("\x30\x80", 10000)),
		"10,000 SEQUENCEs":                 strings.NewReader(nested("\x30\x82\x40\x00", 10000)),
		"a length of 4 GiB":                strings.NewReader(b64([]byte("\x30\x84\xff\xff\xff\xff\x02\x01\x00"))),
		"a length of 9 bytes":              strings.NewReader(b64([]byte("\x30\x89\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02"))),
		"an INTEGER without content":       strings.NewReader(b64([]byte("\x30\x04\x30\x02\x02\x00"))),
		"a tag of many bytes":              strings.NewReader(b64([]byte("\x3f\xff\xff\xff\xff\x7f\x00"))),
		"two bytes of a PKCS#7":            strings.NewReader(b64([]byte("\x1f\x80"))),
		"100 MB":                           &endless{left: 100 << 20},
	} {
		r := httptest.NewRequest("POST", enrollPath, body)
		r.ContentLength = -1
		r.Header.Set("Content-Type", "application/pkcs10")
		r.SetBasicAuth("device", "secret")
		w := httptest.NewRecorder()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h.ServeHTTP(w, r)
		runtime.ReadMemStats(&after)
		if w.Code < 400 || w.Code > 499 {
			t.Errorf("%s: %d", what, w.Code)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
			t.Errorf("%s: %s", what, fmt.Sprint(used, " bytes were allocated"))
		}
	}
	if len(b.Issued()) != 0 {
		t.Error("a certificate was issued")
	}
}
