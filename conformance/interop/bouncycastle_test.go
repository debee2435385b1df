package interop_test

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// bouncyCastle is a JVM with Bouncy Castle's org.bouncycastle.est 1.72, which does one case after the other: HTTP 1.1
// without keep-alive, base64 in lines of 64, credentials after the challenge, tls-unique with its own TLS.
type bouncyCastle struct {
	s   *site
	dir string // where results are saved

	mu  sync.Mutex // one case at a time
	in  io.Writer
	out *bufio.Scanner
}

// jars are those of Debian's libbcpkix-java and libbctls-java, and what they need.
var jars = []string{"bcpkix", "bctls", "bcprov", "bcutil"}

func startBouncyCastle(t *testing.T, s *site) *bouncyCastle {
	t.Helper()
	java := testbed.Require(t, "java")
	path := make([]string, len(jars))
	for i, jar := range jars {
		path[i] = "/usr/share/java/" + jar + ".jar"
		testbed.RequireFile(t, path[i])
	}
	cmd := exec.Command(java, "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", strings.Join(path, ":"), "bouncycastle/Driver.java", s.host, s.anchors())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer // read when the program has ended
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the driver: %v\n%s", err, errs.Bytes())
		}
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	return &bouncyCastle{s: s, dir: t.TempDir(), in: in, out: lines}
}

// try has the driver do a case: an operation and NAME=VALUE. It returns the answer's fields, or why there are none.
func (b *bouncyCastle) try(t *testing.T, operation string, values ...string) (fields map[string][][]byte, refusal string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := fmt.Fprintln(b.in, strings.Join(append([]string{operation}, values...), "\t")); err != nil {
		t.Fatal(err)
	}
	if !b.out.Scan() {
		t.Fatalf("the driver has no answer to %s %v: %v", operation, values, b.out.Err())
	}
	words := strings.Split(b.out.Text(), "\t")
	if words[0] != "ok" {
		return nil, strings.Join(words[1:], " ")
	}
	fields = make(map[string][][]byte)
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		data, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			t.Fatalf("%s: %v", word, err)
		}
		fields[name] = append(fields[name], data)
	}
	return fields, ""
}

// do is try for what must succeed.
func (b *bouncyCastle) do(t *testing.T, operation string, values ...string) map[string][][]byte {
	t.Helper()
	fields, refusal := b.try(t, operation, values...)
	if refusal != "" {
		t.Fatalf("%s %v: %s", operation, values, refusal)
	}
	return fields
}

// enroll does an enrollment of whatever kind and checks the certificate.
func (b *bouncyCastle) enroll(t *testing.T, operation string, values ...string) map[string][][]byte {
	t.Helper()
	fields := b.do(t, operation, values...)
	certs := parseAll(t, fields["cert"])
	csr, err := x509.ParseCertificateRequest(fields["csr"][0])
	if err != nil {
		t.Fatal(err)
	}
	b.s.issued(t, certs, csr)
	return fields
}

func parseAll(t *testing.T, ders [][]byte) []*x509.Certificate {
	t.Helper()
	certs := make([]*x509.Certificate, len(ders))
	for i, der := range ders {
		var err error
		if certs[i], err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
	}
	return certs
}

// refused fails unless the case is refused with the text.
func (b *bouncyCastle) refused(t *testing.T, text, operation string, values ...string) {
	t.Helper()
	if _, refusal := b.try(t, operation, values...); !strings.Contains(refusal, text) {
		t.Errorf("%s %v: refused with %q, want %q", operation, values, refusal, text)
	}
}

func (b *bouncyCastle) basic(more ...string) []string {
	return append([]string{"user=" + b.s.user, "password=" + b.s.password}, more...)
}

func driveBouncyCastle(c *client) {
	b := startBouncyCastle(c.t, c.site)
	tls := []struct {
		name   string
		values []string
	}{
		{"the JDK's TLS", nil},
		{"TLS 1.2", []string{"tls=TLSv1.2"}},
		{"BCJSSE", []string{"jsse=bc"}},
		{"BCJSSE and TLS 1.2", []string{"jsse=bc", "tls=TLSv1.2"}},
	}
	for i, way := range tls {
		c.inOrder("cacerts, "+way.name, func(t *testing.T) {
			if certs := parseAll(t, b.do(t, "cacerts", way.values...)["cert"]); len(certs) != 2 {
				t.Errorf("cacerts gave %d certificates, want the issuing CA and the root", len(certs))
			}
		})
		// est-clients 2.11: 204 when there are none.
		c.inOrder("csrattrs, "+way.name, func(t *testing.T) { b.do(t, "csrattrs", way.values...) })
		c.inOrder("enroll, Basic, "+way.name, func(t *testing.T) {
			b.enroll(t, "enroll", append(b.basic(fmt.Sprintf("cn=bc basic %d", i)), way.values...)...)
		})
		c.inOrder("reenroll, "+way.name, func(t *testing.T) {
			name := fmt.Sprintf("cn=bc-renews-%d", i)
			old := b.enroll(t, "enroll", b.basic(name, "save="+b.dir+"/old")...)
			renewed := b.enroll(t, "reenroll", append([]string{name, "cert=" + b.dir + "/old.pem"}, way.values...)...)
			if bytes.Equal(old["cert"][0], renewed["cert"][0]) {
				t.Error("the renewal is the certificate that it renews")
			}
		})
	}
	c.inOrder("enroll, an RSA key", func(t *testing.T) { b.enroll(t, "enroll", b.basic("cn=bc rsa", "key=rsa")...) })
	c.inOrder("enroll, a label", func(t *testing.T) { b.enroll(t, "enroll", b.basic("cn=bc label", "label=ca:1")...) })
	// est-clients 2.4: no algorithm in the challenge, nc and algorithm quoted in the answer, an opaque that nobody sent.
	c.inOrder("enroll, Digest with MD5", func(t *testing.T) { b.enroll(t, "enroll", b.basic("cn=bc digest", "label=md5")...) })
	c.inOrder("enroll, Digest with MD5, BCJSSE and TLS 1.2", func(t *testing.T) {
		b.enroll(t, "enroll", b.basic("cn=bc digest 2", "label=md5", "jsse=bc", "tls=TLSv1.2")...)
	})
	c.inOrder("refused, Digest with a wrong password", func(t *testing.T) {
		b.refused(t, "401", "enroll", "cn=bc wrong", "label=md5", "user="+b.s.user, "password=wrong")
	})
	c.inOrder("cacerts, a label", func(t *testing.T) { b.do(t, "cacerts", "label=ca:1") })
	c.inOrder("enroll, an RA's certificate", func(t *testing.T) { b.enroll(t, "enroll", "cn=bc ra", "cert="+b.s.file("ra.pem")) })
	driveBouncyCastleLinking(c, b)
	driveBouncyCastleKeys(c, b)
	// est-clients 2.5: a 202 with a body would end in "Stream closed before limit fully read".
	c.inOrder("enroll, after an operator's approval", func(t *testing.T) {
		values := b.basic("cn=bc-waits", "label=approve")
		if waits := b.do(t, "enroll", values...); waits["pending"] == nil {
			t.Fatalf("enroll before the approval gave %v, want to be told to come back", waits)
		}
		b.s.approve(t, "bc-waits")
		b.enroll(t, "again", values...)
	})
	// est-clients 2.5, for the 401.
	c.inOrder("refused, a wrong password", func(t *testing.T) {
		b.refused(t, "401", "enroll", "cn=bc wrong", "user="+b.s.user, "password=wrong")
	})
	c.inOrder("refused, no credentials", func(t *testing.T) { b.refused(t, "401", "enroll", "cn=bc nobody") })
	c.inOrder("refused, another's certificate renews nothing", func(t *testing.T) {
		b.enroll(t, "enroll", b.basic("cn=bc-one", "save="+b.dir+"/one")...)
		b.refused(t, "403", "reenroll", "cn=bc-two", "cert="+b.dir+"/one.pem")
	})
}

// driveBouncyCastleLinking links identity and proof-of-possession with tls-unique (RFC 7030, Section 3.5), which
// TLS 1.3 does not have. est-clients 2.12.
func driveBouncyCastleLinking(c *client, b *bouncyCastle) {
	pop := []string{"pop=1", "jsse=bc", "tls=TLSv1.2"}
	c.inOrder("enroll, linked with tls-unique", func(t *testing.T) {
		b.enroll(t, "enroll", append(b.basic("cn=bc linked"), pop...)...)
	})
	c.inOrder("enroll, linked with tls-unique where a label demands it", func(t *testing.T) {
		b.enroll(t, "enroll", append(b.basic("cn=bc demanded", "label=linked"), pop...)...)
	})
	c.inOrder("refused, not linked where a label demands it", func(t *testing.T) {
		b.refused(t, "400", "enroll", b.basic("cn=bc unlinked", "label=linked")...)
	})
	c.inOrder("enroll, linked with tls-unique, an RA's certificate", func(t *testing.T) {
		b.enroll(t, "enroll", append([]string{"cn=bc linked ra", "cert=" + b.s.file("ra.pem")}, pop...)...)
	})
	c.inOrder("reenroll, linked with tls-unique", func(t *testing.T) {
		b.enroll(t, "enroll", b.basic("cn=bc-links", "save="+b.dir+"/links")...)
		b.enroll(t, "reenroll", append([]string{"cn=bc-links", "cert=" + b.dir + "/links.pem"}, pop...)...)
	})
}

// driveBouncyCastleKeys has the server make keys (RFC 7030, Section 4.4). est-clients 2.14.
func driveBouncyCastleKeys(c *client, b *bouncyCastle) {
	for _, way := range [][]string{{"Basic"}, {"BCJSSE and TLS 1.2", "jsse=bc", "tls=TLSv1.2"}, {"an RSA key wished for", "key=rsa"}} {
		c.inOrder("serverkeygen, "+way[0], func(t *testing.T) {
			fields := b.do(t, "serverkeygen", append(b.basic("cn=bc keygen "+way[0]), way[1:]...)...)
			if len(fields["key"]) != 1 {
				t.Fatalf("no key in %v", fields)
			}
			csr, err := x509.ParseCertificateRequest(fields["csr"][0])
			if err != nil {
				t.Fatal(err)
			}
			b.s.generated(t, publicOf(t, fields["key"][0]), parseAll(t, fields["cert"]), csr)
		})
	}
	// 1.72 posts this to simpleenroll, which certifies the client's own key.
	c.inOrder("diverges, serverkeygen linked with tls-unique", func(t *testing.T) {
		fields := b.enroll(t, "serverkeygen", b.basic("cn=bc keygen linked", "pop=1", "jsse=bc", "tls=TLSv1.2")...)
		if len(fields["key"]) != 0 {
			t.Error("there is a key: take this case out, and est-clients 2.14 with it")
		}
	})
}

func publicOf(t *testing.T, pkcs8 []byte) []byte {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.(crypto.Signer).Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}
