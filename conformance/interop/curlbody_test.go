package interop_test

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"strconv"
	"strings"
	"testing"
)

// wrap is base64 in lines of width columns, each with the given end.
func wrap(der []byte, width int, end string) []byte {
	text := base64.StdEncoding.EncodeToString(der)
	var out []byte
	for len(text) > 0 {
		n := min(width, len(text))
		out = append(append(out, text[:n]...), end...)
		text = text[n:]
	}
	return out
}

// bodies are the forms of base64 that clients send (RFC 8951, Section 3.1). est-clients 2.10.
func bodies(c *client) {
	forms := []struct {
		name string
		form func(der []byte) []byte
	}{
		{"lines of 64 with LF, as libest", lines},
		{"lines of 76 with CRLF, as globalsign", func(der []byte) []byte { return wrap(der, 76, "\r\n") }},
		{"lines of 64 with CRLF", func(der []byte) []byte { return wrap(der, 64, "\r\n") }},
		{"lines of 76 with LF", func(der []byte) []byte { return wrap(der, 76, "\n") }},
		{"lines of 1", func(der []byte) []byte { return wrap(der, 1, "\n") }},
		{"lines that end within four characters", func(der []byte) []byte { return wrap(der, 61, "\r\n") }},
		{"one line, no newline, as strongSwan", func(der []byte) []byte { return wrap(der, 1<<20, "") }},
		{"one line with LF", func(der []byte) []byte { return wrap(der, 1<<20, "\n") }},
		{"one line with CRLF", func(der []byte) []byte { return wrap(der, 1<<20, "\r\n") }},
		{"lines with CR alone", func(der []byte) []byte { return wrap(der, 64, "\r") }},
		{"spaces", func(der []byte) []byte { return wrap(der, 4, " ") }},
		{"tabs", func(der []byte) []byte { return wrap(der, 8, "\t") }},
		{"spaces before and after lines", func(der []byte) []byte { return append([]byte(" \t"), wrap(der, 64, " \r\n\t ")...) }},
		{"empty lines around", func(der []byte) []byte { return append(append([]byte("\r\n\n"), lines(der)...), "\n\r\n"...) }},
		{"no final newline", func(der []byte) []byte { return bytes.TrimRight(lines(der), "\n") }},
	}
	for _, f := range forms {
		c.curlCase("body, "+f.name, func(t *testing.T, x *curl) {
			r := x.request("key", "curl body "+strings.ReplaceAll(f.name, ",", ""))
			a := x.do(f.form(r.der), "/simpleenroll", post(x.basic()...)...).want(t, 200)
			x.s.issued(t, x.certsOnly(a.body), r.csr)
		})
	}
	c.curlCase("body, a request of 3 kB", func(t *testing.T, x *curl) {
		sans := make([]string, 8)
		for i := range sans {
			sans[i] = "DNS:" + strings.Repeat(strings.Repeat(string(rune('a'+i)), 60)+".", 3) + "example.net"
		}
		r := x.request("key", "curl big", append(p256, "-addext", "subjectAltName="+strings.Join(sans, ","))...)
		a := x.do(lines(r.der), "/simpleenroll", post(x.basic()...)...).want(t, 200)
		x.s.issued(t, x.certsOnly(a.body), r.csr)
	})
	// est-clients 2.15: libest makes RSA 4096 without -x.
	for name, key := range map[string][]string{"RSA 4096": rsa4096, "RSA 2048": {"rsa:2048"}} {
		c.curlCase("body, a request with an "+name+" key", func(t *testing.T, x *curl) {
			r := x.request("key", "curl "+name, key...)
			a := x.do(lines(r.der), "/simpleenroll", post(x.basic()...)...).want(t, 200)
			x.s.issued(t, x.certsOnly(a.body), r.csr)
		})
	}
}

// headers are what clients send around the body (RFC 7030, Section 4.2.1; RFC 8951, Section 3). est-clients 2.10.
func headers(c *client) {
	h := func(headers ...string) []string {
		var args []string
		for _, header := range headers {
			args = append(args, "-H", header)
		}
		return args
	}
	const pkcs10 = "Content-Type: application/pkcs10"
	ways := []struct {
		name string
		args []string
		says string
	}{
		{"no Content-Transfer-Encoding", h(pkcs10), ""},
		{"Content-Transfer-Encoding base64", h(pkcs10, "Content-Transfer-Encoding: base64"), ""},
		{"Content-Transfer-Encoding BASE64", h(pkcs10, "CONTENT-TRANSFER-ENCODING: BASE64"), ""},
		{"Content-Transfer-Encoding binary", h(pkcs10, "Content-Transfer-Encoding: binary"), ""},
		{"Content-Transfer-Encoding 8bit", h(pkcs10, "Content-Transfer-Encoding: 8bit"), ""},
		{"Content-Transfer-Encoding of no meaning", h(pkcs10, "Content-Transfer-Encoding: ;;\"x"), ""},
		{"Content-Transfer-Encoding twice", h(pkcs10, "Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: 7bit"), ""},
		{"a type with a parameter", h(pkcs10 + "; charset=utf-8"), ""},
		{"a type with smime-type and no blank", h(pkcs10 + ";smime-type=PKCS-10"), ""},
		{"a type with a quoted parameter", h(pkcs10 + `; name="smime.p10"`), ""},
		{"a type with a parameter that has no value", h(pkcs10 + "; base64"), ""},
		{"a type with a parameter twice", h(pkcs10 + "; a=1; a=2"), ""},
		{"a type in capitals", h("Content-Type: APPLICATION/PKCS10"), ""},
		{"a type in mixed case", h("Content-Type: Application/Pkcs10"), ""},
		{"lower-case header names", append(h("content-type: application/pkcs10", "content-transfer-encoding: base64"), "--http1.1"), "content-type: application/pkcs10"},
		{"upper-case header names", append(h("CONTENT-TYPE: application/pkcs10"), "--http1.1"), "CONTENT-TYPE: application/pkcs10"},
		{"no User-Agent, no Accept, as strongSwan", h(pkcs10, "User-Agent:", "Accept:"), ""},
		{"Accept as the JDK sends it", h(pkcs10, "Accept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"), ""},
		{"Connection: close, as libest", append(h(pkcs10, "Connection: close"), "--http1.1"), "onnection: close"},
		{"Expect: 100-continue", append(h(pkcs10, "Expect: 100-continue"), "--http1.1"), "HTTP/1.1 100 Continue"},
		{"Expect: 100-continue and chunked", append(h(pkcs10, "Expect: 100-continue", "Transfer-Encoding: chunked"), "--http1.1"), "HTTP/1.1 100 Continue"},
		{"Expect: 100-continue over HTTP 2", append(h(pkcs10, "Expect: 100-continue"), "--http2"), ""},
		{"chunked, as globalsign", append(h(pkcs10, "Transfer-Encoding: chunked"), "--http1.1"), "Transfer-Encoding: chunked"},
		{"no Content-Length over HTTP 2", append(h(pkcs10, "Content-Length:"), "--http2"), ""},
		{"another Host", append(h(pkcs10, "Host: est.example.net"), "--http1.1"), ""},
		{"a query", h(pkcs10), ""},
	}
	for _, w := range ways {
		c.curlCase("header, "+w.name, func(t *testing.T, x *curl) {
			r := x.request("key", "curl "+strings.ReplaceAll(w.name, ",", ""))
			args := append(append([]string{"--data-binary", "@-"}, x.basic()...), w.args...)
			a := x.do(lines(r.der), "/simpleenroll", args...).want(t, 200).says(t, w.says)
			x.s.issued(t, x.certsOnly(a.body), r.csr)
		})
	}
	for name, header := range map[string]string{"chunked": "Transfer-Encoding: chunked", "expects": "Expect: 100-continue"} {
		c.curlCase("reenroll, "+header, func(t *testing.T, x *curl) {
			device := "curl-renews-" + name
			x.enrolled(device)
			r := x.request("next", device)
			a := x.do(wrap(r.der, 76, "\r\n"), "/simplereenroll", post(append(by(device), "--http1.1", "-H", header)...)...).want(t, 200)
			x.s.issued(t, x.certsOnly(a.body), r.csr)
		})
	}
}

// refusals are the mistakes that are seen in the field; each is told what to do instead.
func refusals(c *client) {
	pemOf := func(der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	mistakes := []struct {
		name   string
		body   func(der []byte) []byte
		args   []string
		status int
		says   []string
	}{
		{"PEM", pemOf, nil, 400, []string{"PEM", "openssl base64"}},
		{"PEM with CRLF", func(der []byte) []byte { return bytes.ReplaceAll(pemOf(der), []byte("\n"), []byte("\r\n")) }, nil, 400, []string{"PEM"}},
		{"DER", bytes.Clone, nil, 400, []string{"bare DER", "openssl base64"}},
		{"DER with Content-Transfer-Encoding binary", bytes.Clone, []string{"-H", "Content-Transfer-Encoding: binary"}, 400, []string{"bare DER"}},
		{"base64url", func(der []byte) []byte {
			return []byte(base64.URLEncoding.EncodeToString(append(der, 0xff, 0xff, 0xff)))
		}, nil, 400, []string{"not base64"}},
		{"base64 without padding", func(der []byte) []byte {
			return bytes.TrimRight(lines(append(der, make([]byte, 3-len(der)%3+1)...)), "=\n")
		}, nil, 400, []string{"not base64"}},
		{"nothing", func([]byte) []byte { return nil }, nil, 400, []string{"no body"}},
		{"half a request", func(der []byte) []byte { return lines(der[:len(der)/2]) }, nil, 400, nil},
		{"curl's own Content-Type", lines, []string{"-H", "Content-Type: application/x-www-form-urlencoded"}, 415, []string{"Content-Type: application/pkcs10"}},
		{"no Content-Type", lines, []string{"-H", "Content-Type:"}, 415, []string{"Content-Type: application/pkcs10"}},
		{"a compressed body", lines, []string{"-H", "Content-Encoding: gzip"}, 415, []string{"compressed"}},
		{"Accept of another type", lines, []string{"-H", "Accept: text/html"}, 406, []string{"application/pkcs7-mime"}},
		{"PUT", lines, []string{"-X", "PUT"}, 405, []string{"POST"}},
	}
	for _, m := range mistakes {
		c.curlCase("refused, "+m.name, func(t *testing.T, x *curl) {
			r := x.request("key", "curl wrong")
			args := append([]string{"--data-binary", "@-"}, x.basic()...)
			if len(m.args) == 0 || !strings.HasPrefix(m.args[1], "Content-Type:") {
				args = append(args, "-H", "Content-Type: application/pkcs10")
			}
			x.do(m.body(r.der), "/simpleenroll", append(args, m.args...)...).want(t, m.status).says(t, m.says...)
		})
	}
	for path, says := range map[string]string{
		"/simpleenroll/": "slash", "//simpleenroll": "slash", "/SimpleEnroll": "lower case", "/a%2Fb/simpleenroll": "percent", "/nowhere/simpleenroll": "label",
	} {
		c.curlCase("refused, path "+path, func(t *testing.T, x *curl) {
			args := post(append(x.basic(), "--path-as-is")...)
			a := x.do(lines(x.request("key", "curl wrong").der), path, args...).says(t, says)
			if a.status != 404 && a.status != 403 {
				t.Errorf("status = %d, want 404 or 403", a.status)
			}
		})
	}
	// est-clients 2.9: an answer that leaves the body unread gives curl 7.88 a stream error now and then.
	c.curlCase("refused, a large body with the wrong method over HTTP 2", func(t *testing.T, x *curl) {
		for range 5 {
			x.do(bytes.Repeat([]byte("A"), 300<<10), "/cacerts", "--http2", "--data-binary", "@-").want(t, 405).says(t, "GET")
		}
	})
	c.curlCase("refused, a body above the limit", func(t *testing.T, x *curl) {
		x.do(bytes.Repeat([]byte("A"), 300<<10), "/simpleenroll", post(x.basic()...)...).want(t, 413).says(t, "too large")
	})
}

// connections are kept, closed and resumed; every request on one is decided anew (RFC 7030, Section 3.3.2).
func connections(c *client) {
	c.curlCase("reenroll, a resumed session of TLS 1.3", func(t *testing.T, x *curl) {
		x.enrolled("curl-resumes")
		r := x.request("next", "curl-resumes")
		alone := append([]string{"--http1.1", "-H", "Connection: close"}, by("curl-resumes")...)
		first := append([]string{x.s.bed.EST + "/cacerts", "--cacert", x.s.anchors(), "-o", "first"}, alone...)
		a := x.do(lines(r.der), "/simplereenroll", append(append(first, "--next"), post(alone...)...)...)
		a.want(t, 200).says(t, "SSL re-using session ID")
		x.s.issued(t, x.certsOnly(a.body), r.csr)
	})
	// curl takes no tickets in TLS 1.2; openssl does.
	c.curlCase("reenroll, a resumed session of TLS 1.2, openssl s_client", func(t *testing.T, x *curl) {
		x.enrolled("openssl-resumes")
		r := x.request("next", "openssl-resumes")
		speak := func(request string, args ...string) string {
			args = append([]string{"s_client", "-connect", x.s.host, "-tls1_2", "-CAfile", x.s.anchors(), "-ign_eof"}, args...)
			return string(x.run([]byte(request), "openssl", args...))
		}
		const end = "Host: x\r\nConnection: close\r\n"
		speak("GET /.well-known/est/cacerts HTTP/1.1\r\n"+end+"\r\n", "-cert", "openssl-resumes.pem", "-key", "openssl-resumes.key", "-sess_out", "session")
		body := wrap(r.der, 1<<20, "")
		text := speak("POST /.well-known/est/simplereenroll HTTP/1.1\r\n"+end+"Content-Type: application/pkcs10\r\nContent-Length: "+
			strconv.Itoa(len(body))+"\r\n\r\n"+string(body), "-sess_in", "session")
		if !strings.Contains(text, "Reused, TLSv1.2") {
			t.Errorf("the session was not resumed:\n%s", text)
		}
		_, text, _ = strings.Cut(text, "HTTP/1.1 200 OK\r\n")
		_, text, _ = strings.Cut(text, "\r\n\r\n")
		text, _, _ = strings.Cut(text, "\n")
		x.s.issued(t, x.certsOnly([]byte(text+"\n")), r.csr)
	})
	for _, version := range []string{"--http1.1", "--http2"} {
		c.curlCase("enroll, a kept connection, "+version[2:], func(t *testing.T, x *curl) {
			r := x.request("key", "curl keeps "+version[2:])
			first := []string{x.s.bed.EST + "/cacerts", version, "--cacert", x.s.anchors(), "-o", "first", "--next", version}
			a := x.do(lines(r.der), "/simpleenroll", append(first, post(x.basic()...)...)...)
			a.want(t, 200).says(t, "Re-using existing connection")
			x.s.issued(t, x.certsOnly(a.body), r.csr)
		})
	}
}
