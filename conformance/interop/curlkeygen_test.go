package interop_test

import (
	"crypto/x509"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"
	"testing"
)

// part is one of a multipart answer.
type part struct {
	header textproto.MIMEHeader
	body   []byte
}

// parts takes a multipart/mixed answer apart (RFC 2046, Section 5.1).
func (a *answer) parts(t *testing.T) []part {
	t.Helper()
	_, params, err := mime.ParseMediaType(a.value("content-type"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(params["boundary"]); n == 0 || n > 70 {
		t.Errorf("the boundary has %d characters", n)
	}
	var all []part
	r := multipart.NewReader(strings.NewReader(string(a.body)), params["boundary"])
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, part{p.Header, body})
	}
}

// value is a header's, whatever its case, of the last answer.
func (a *answer) value(name string) string {
	value := ""
	for line := range strings.Lines(a.header) {
		if n, v, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && strings.EqualFold(n, name) {
			value = v
		}
	}
	return value
}

// generated checks the answer of a serverkeygen: the key first, a PKCS#8, then its certificate (RFC 7030, Section
// 4.4.2). est-clients 2.14 and 2.2.
func (c *curl) generated(t *testing.T, a *answer, csr *x509.CertificateRequest) {
	t.Helper()
	parts := a.parts(t)
	if len(parts) != 2 {
		t.Fatalf("%d parts, want key and certificate\n%s", len(parts), a.header)
	}
	for i, want := range []string{"application/pkcs8", "application/pkcs7-mime; smime-type=certs-only"} {
		h := parts[i].header
		if h.Get("Content-Type") != want || h.Get("Content-Transfer-Encoding") != "base64" {
			t.Errorf("part %d has the header %v, want %s in base64", i+1, h, want)
		}
	}
	key := c.run(parts[0].body, "openssl", "base64", "-d")
	c.s.generated(t, c.run(key, "openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"), c.certsOnly(parts[1].body), csr)
}

// keyGeneration has the server make keys (RFC 7030, Section 4.4).
func keyGeneration(c *client) {
	for _, w := range transports {
		c.curlCase("serverkeygen, "+w.name, func(t *testing.T, x *curl) {
			r := x.request("key", "curl keygen "+w.name)
			a := x.do(lines(r.der), "/serverkeygen", post(append(x.basic(), w.args...)...)...).want(t, 200).says(t, w.says)
			x.generated(t, a, r.csr)
		})
	}
	for name, args := range map[string][]string{
		"chunked":                {"--http1.1", "-H", "Transfer-Encoding: chunked"},
		"Expect: 100-continue":   {"--http1.1", "-H", "Expect: 100-continue"},
		"multipart/mixed wanted": {"-H", "Accept: multipart/mixed"},
	} {
		c.curlCase("serverkeygen, "+name, func(t *testing.T, x *curl) {
			r := x.request("key", "curl keygen "+strings.ReplaceAll(name, "/", " "))
			x.generated(t, x.do(wrap(r.der, 76, "\r\n"), "/serverkeygen", post(append(x.basic(), args...)...)...).want(t, 200), r.csr)
		})
	}
	c.curlCase("serverkeygen, an RA's certificate", func(t *testing.T, x *curl) {
		r := x.request("key", "curl keygen ra")
		x.generated(t, x.do(lines(r.der), "/serverkeygen", post(by(x.s.file("ra"))...)...).want(t, 200), r.csr)
	})
	c.curlCase("serverkeygen, an RSA key wished for", func(t *testing.T, x *curl) {
		r := x.request("key", "curl keygen rsa", "rsa:2048")
		x.generated(t, x.do(lines(r.der), "/serverkeygen", post(x.basic()...)...).want(t, 200), r.csr)
	})
	// RFC 8295, Section 8: one file in place of two parts.
	c.curlCase("serverkeygen, PKCS#12", func(t *testing.T, x *curl) {
		r := x.request("key", "curl keygen pkcs12")
		a := x.do(lines(r.der), "/serverkeygen", post(append(x.basic(), "-H", "Accept: application/pkcs12")...)...).want(t, 200)
		pfx := x.write("key.p12", x.run(a.body, "openssl", "base64", "-d"))
		out := x.run(nil, "openssl", "pkcs12", "-in", pfx, "-nodes", "-passin", "pass:")
		public := x.run(out, "openssl", "pkey", "-pubout", "-outform", "DER")
		x.s.generated(t, public, x.certificates(out), r.csr)
	})
	c.curlCase("refused, serverkeygen without credentials", func(t *testing.T, x *curl) {
		x.do(lines(x.request("key", "nobody").der), "/serverkeygen", post()...).want(t, 401)
	})
	c.curlCase("refused, serverkeygen, PEM", func(t *testing.T, x *curl) {
		r := x.request("key", "nobody")
		x.do(x.run(r.der, "openssl", "req", "-inform", "DER"), "/serverkeygen", post(x.basic()...)...).want(t, 400).says(t, "PEM")
	})
}
