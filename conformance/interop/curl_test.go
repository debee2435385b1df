package interop_test

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// curl is curl with openssl in one case's folder.
type curl struct {
	*tools
	s *site
}

// answer is what curl got.
type answer struct {
	status  int
	version string // of HTTP: "1.0", "1.1", "2"
	header  string
	body    []byte
	trace   string // curl -v
}

// do asks for a path below /.well-known/est and does not mind refusals.
func (c *curl) do(stdin []byte, path string, args ...string) *answer {
	c.t.Helper()
	_ = os.Remove(c.path("body")) // of the request before, if there was one
	args = append(args, "-sS", "-v", "--max-time", "60", "--cacert", c.s.anchors(), c.s.bed.EST+path,
		"-o", "body", "-D", "header", "-w", "%{http_code} %{http_version}")
	out, trace, err := c.try(stdin, "curl", args...)
	if err != nil {
		c.t.Fatalf("curl %v: %v\n%s", args, err, trace)
	}
	status, version, _ := strings.Cut(string(out), " ")
	a := &answer{version: version, header: string(c.read("header")), trace: string(trace)}
	if a.status, err = strconv.Atoi(status); err != nil {
		c.t.Fatal(err)
	}
	if _, err := os.Stat(c.path("body")); err == nil { // curl makes none of an empty body
		a.body = c.read("body")
	}
	return a
}

// want fails unless the status is so.
func (a *answer) want(t testing.TB, status int) *answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status = %d, want %d\n%s%s", a.status, status, a.header, a.body)
	}
	return a
}

// says fails unless the trace, the header or the body holds each text.
func (a *answer) says(t testing.TB, texts ...string) *answer {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(a.trace, text) && !strings.Contains(a.header, text) && !bytes.Contains(a.body, []byte(text)) {
			t.Errorf("nowhere in the exchange: %q\n%s\n%s", text, a.trace, a.body)
		}
	}
	return a
}

func (c *curl) basic() []string { return []string{"-u", c.s.user + ":" + c.s.password} }

// by is TLS client authentication with NAME.pem and NAME.key.
func by(path string) []string { return []string{"--cert", path + ".pem", "--key", path + ".key"} }

// post is how a request is sent.
func post(more ...string) []string {
	return append([]string{"-H", "Content-Type: application/pkcs10", "--data-binary", "@-"}, more...)
}

// lines is what openssl base64 makes of a request: 64 columns, LF.
func lines(der []byte) []byte { return wrap(der, 64, "\n") }

// enrolled enrolls a new P-256 key with HTTP Basic and saves NAME.key and NAME.pem.
func (c *curl) enrolled(name string) {
	c.t.Helper()
	r := c.request(name, name)
	a := c.do(lines(r.der), "/simpleenroll", post(c.basic()...)...).want(c.t, 200)
	c.save(name, c.certsOnly(a.body))
}

func driveCurl(c *client) {
	testbed.Require(c.t, "curl")
	testbed.Require(c.t, "openssl")
	ways(c)
	bodies(c)
	headers(c)
	refusals(c)
	credentials(c)
	connections(c)
	keyGeneration(c)
	encryptedKeys(c)
}

// curlCase runs one case with a curl of its own.
func (c *client) curlCase(name string, f func(t *testing.T, x *curl)) {
	c.run(name, func(t *testing.T) { f(t, &curl{newTools(t), c.s()}) })
}

func (c *client) s() *site { return c.site }

// transports are the ways in which curl carries HTTP.
var transports = []struct {
	name    string
	args    []string
	version string
	says    string
}{
	{"HTTP 1.0", []string{"--http1.0"}, "1", "HTTP/1.0"},
	{"HTTP 1.1", []string{"--http1.1"}, "1.1", "HTTP/1.1 "},
	{"HTTP 2", []string{"--http2"}, "2", "ALPN: server accepted h2"},
	{"TLS 1.2", []string{"--tlsv1.2", "--tls-max", "1.2"}, "2", "TLSv1.2"},
	{"TLS 1.3", []string{"--tlsv1.3"}, "2", "TLSv1.3"},
	{"TLS 1.2 and HTTP 1.1", []string{"--tlsv1.2", "--tls-max", "1.2", "--http1.1"}, "1.1", "TLSv1.2"},
}

// ways does each operation over each transport (RFC 7030, Sections 4.1, 4.2 and 4.5).
func ways(c *client) {
	for _, w := range transports {
		c.curlCase("cacerts, "+w.name, func(t *testing.T, x *curl) {
			a := x.do(nil, "/cacerts", w.args...).want(t, 200).says(t, w.says)
			if certs := x.certsOnly(a.body); len(certs) != 2 {
				t.Errorf("cacerts holds %d certificates, want the issuing CA and the root", len(certs))
			}
			if !strings.HasPrefix(a.version, w.version) {
				t.Errorf("HTTP version = %s, want %s", a.version, w.version)
			}
		})
		c.curlCase("csrattrs, "+w.name, func(t *testing.T, x *curl) {
			if a := x.do(nil, "/csrattrs", w.args...).says(t, w.says); a.status != 204 {
				a.want(t, 200)
				x.run(x.run(a.body, "openssl", "base64", "-d"), "openssl", "asn1parse", "-inform", "DER")
			}
		})
		c.curlCase("enroll, "+w.name, func(t *testing.T, x *curl) {
			r := x.request("key", "curl "+w.name)
			a := x.do(lines(r.der), "/simpleenroll", post(append(x.basic(), w.args...)...)...).want(t, 200).says(t, w.says)
			x.s.issued(t, x.certsOnly(a.body), r.csr)
		})
		c.curlCase("reenroll, "+w.name, func(t *testing.T, x *curl) {
			name := "curl-renews-" + strings.ReplaceAll(w.name, " ", "-")
			x.enrolled(name)
			r := x.request("next", name)
			a := x.do(lines(r.der), "/simplereenroll", post(append(by(name), w.args...)...)...).want(t, 200).says(t, w.says)
			x.s.issued(t, x.certsOnly(a.body), r.csr)
		})
	}
}

// credentials are the ways to say who asks (RFC 7030, Section 3.2.3 and Section 3.3.2).
func credentials(c *client) {
	enroll := func(way, label string, args func(x *curl) []string) {
		c.curlCase("enroll, "+way, func(t *testing.T, x *curl) {
			r := x.request("key", "curl "+way)
			a := x.do(lines(r.der), label+"/simpleenroll", post(args(x)...)...).want(t, 200)
			x.s.issued(t, x.certsOnly(a.body), r.csr)
		})
	}
	enroll("Basic after the challenge", "", func(x *curl) []string { return append(x.basic(), "--anyauth") })
	enroll("Digest with SHA-256", "/digest", func(x *curl) []string { return append(x.basic(), "--digest") })
	enroll("Digest with SHA-256 over HTTP 1.1", "/digest", func(x *curl) []string { return append(x.basic(), "--digest", "--http1.1") })
	enroll("Digest with MD5", "/md5", func(x *curl) []string { return append(x.basic(), "--digest") })
	enroll("Digest where Basic is taken too", "/any", func(x *curl) []string { return append(x.basic(), "--digest") })
	enroll("the best that is offered", "/any", func(x *curl) []string { return append(x.basic(), "--anyauth") })
	c.curlCase("enroll, Bearer", func(t *testing.T, x *curl) {
		r := x.request("key", "curl-bearer")
		a := x.do(lines(r.der), "/bearer/simpleenroll", post("--oauth2-bearer", x.s.tokens.issue(t, "curl-bearer"))...).want(t, 200)
		x.s.issued(t, x.certsOnly(a.body), r.csr)
	})
	c.curlCase("refused, a Bearer token for another name", func(t *testing.T, x *curl) {
		r := x.request("key", "curl-bearer-2")
		x.do(lines(r.der), "/bearer/simpleenroll", post("--oauth2-bearer", x.s.tokens.issue(t, "curl-other"))...).want(t, 403)
	})
	c.curlCase("refused, Digest with a wrong password", func(t *testing.T, x *curl) {
		x.do(lines(x.request("key", "nobody").der), "/digest/simpleenroll", post("-u", x.s.user+":wrong", "--digest")...).want(t, 401)
	})
	enroll("an RA's certificate", "", func(x *curl) []string { return by(x.s.file("ra")) })
	enroll("a label", "/ca:1", func(x *curl) []string { return x.basic() })
	c.curlCase("enroll, no credentials", func(t *testing.T, x *curl) {
		a := x.do(lines(x.request("key", "nobody").der), "/simpleenroll", post("--http1.1")...).want(t, 401)
		a.says(t, "WWW-Authenticate: Basic realm=")
	})
	c.curlCase("enroll, a wrong password", func(t *testing.T, x *curl) {
		x.do(lines(x.request("key", "nobody").der), "/simpleenroll", post("-u", x.s.user+":wrong")...).want(t, 401)
	})
	c.curlCase("enroll, after an operator's approval", func(t *testing.T, x *curl) {
		r := x.request("key", "curl-waits")
		ask := func() *answer { return x.do(lines(r.der), "/approve/simpleenroll", post(x.basic()...)...) }
		ask().want(t, 202).says(t, "etry-")
		x.s.approve(t, "curl-waits")
		x.s.issued(t, x.certsOnly(ask().want(t, 200).body), r.csr)
	})
	c.curlCase("reenroll, the certificate with its chain", func(t *testing.T, x *curl) {
		x.enrolled("curl-chain")
		x.write("curl-chain.pem", append(x.read("curl-chain.pem"), x.s.bed.Read(t, "ca.pem")...))
		r := x.request("next", "curl-chain")
		a := x.do(lines(r.der), "/simplereenroll", post(by("curl-chain")...)...).want(t, 200)
		x.s.issued(t, x.certsOnly(a.body), r.csr)
	})
	c.curlCase("reenroll, the key that it has", func(t *testing.T, x *curl) {
		x.enrolled("curl-same")
		der := x.run(nil, "openssl", "req", "-new", "-key", "curl-same.key", "-subj", "/CN=curl-same", "-outform", "DER")
		x.do(lines(der), "/simplereenroll", post(by("curl-same")...)...).want(t, 200)
	})
	c.curlCase("reenroll, no certificate", func(t *testing.T, x *curl) {
		a := x.do(lines(x.request("key", "nobody").der), "/simplereenroll", post(x.basic()...)...)
		if a.status != 401 && a.status != 403 {
			t.Errorf("status = %d, want 401 or 403", a.status)
		}
	})
}
