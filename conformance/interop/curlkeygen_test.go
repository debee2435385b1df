package interop_test

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
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

// kekID and kek are the key that the site shares with its user.
const (
	kekID = "shared"
	kek   = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)

// Algorithms that the client lists (RFC 8551, Section 2.5.2).
var (
	aes256CBC  = capability(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, nil)
	aes256Wrap = capability(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 45}, nil)
	oaep       = capability(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 7}, nil)
	stdDH      = capability(asn1.ObjectIdentifier{1, 3, 132, 1, 11, 1}, aes256Wrap)
)

func capability(oid asn1.ObjectIdentifier, parameters []byte) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddBytes(parameters)
	})
	return b.BytesOrPanic()
}

// asking is the request with attributes that name a key to encrypt with (RFC 7030, Section 4.4.1). The signature is left
// as it was: a serverkeygen's is not looked at.
func asking(t *testing.T, csr *x509.CertificateRequest, attribute asn1.ObjectIdentifier, keyID []byte, algorithms ...[]byte) []byte {
	t.Helper()
	tag := cryptobyte_asn1.Tag(0).ContextSpecific().Constructed()
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(0)
			b.AddBytes(csr.RawSubject)
			b.AddBytes(csr.RawSubjectPublicKeyInfo)
			b.AddASN1(tag, func(b *cryptobyte.Builder) {
				addAttribute(b, attribute, func(b *cryptobyte.Builder) { b.AddASN1OctetString(keyID) })
				addAttribute(b, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 15}, func(b *cryptobyte.Builder) {
					b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						for _, a := range algorithms {
							b.AddBytes(a)
						}
					})
				})
			})
		})
		b.AddBytes(capability(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, nil))
		b.AddASN1BitString(csr.Signature)
	})
	der, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func addAttribute(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, value func(b *cryptobyte.Builder)) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(cryptobyte_asn1.SET, value)
	})
}

// encryptedKeys has the server encrypt what it makes, and openssl cms open it (RFC 7030, Section 4.4.2).
func encryptedKeys(c *client) {
	byShared, byCertificate := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 37}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 54}
	c.curlCase("serverkeygen, encrypted with a shared key", func(t *testing.T, x *curl) {
		r := x.request("key", "curl keygen shared")
		a := x.do(lines(asking(t, r.csr, byShared, []byte(kekID), aes256CBC, aes256Wrap)), "/serverkeygen", post(x.basic()...)...)
		x.decrypted(t, a.want(t, 200), r.csr, "-secretkey", kek, "-secretkeyid", hex.EncodeToString([]byte(kekID)))
	})
	for name, key := range map[string][]string{"RSA": {"rsa:2048"}, "EC": p256} {
		c.curlCase("serverkeygen, encrypted to the client's certificate, "+name, func(t *testing.T, x *curl) {
			own := x.request("own", "curl-keygen-"+name, key...)
			a := x.do(lines(own.der), "/simpleenroll", post(x.basic()...)...).want(t, 200)
			certs := x.certsOnly(a.body)
			x.save("own", certs)
			r := x.request("key", "curl-keygen-"+name)
			wish := asking(t, r.csr, byCertificate, certs[0].SubjectKeyId, aes256CBC, aes256Wrap, oaep, stdDH)
			a = x.do(lines(wish), "/serverkeygen", post(x.basic()...)...)
			x.decrypted(t, a.want(t, 200), r.csr, "-recip", "own.pem", "-inkey", "own.key")
		})
	}
	c.curlCase("refused, serverkeygen, encrypted with a key that nobody shares", func(t *testing.T, x *curl) {
		r := x.request("key", "curl keygen unknown")
		a := x.do(lines(asking(t, r.csr, byShared, []byte("unknown"), aes256CBC, aes256Wrap)), "/serverkeygen", post(x.basic()...)...)
		if a.status != 400 && a.status != 403 {
			t.Errorf("status = %d, want a refusal and no key in the clear\n%s", a.status, a.body)
		}
	})
}

// decrypted opens the first part with openssl cms and checks key and certificate.
func (c *curl) decrypted(t *testing.T, a *answer, csr *x509.CertificateRequest, with ...string) {
	t.Helper()
	parts := a.parts(t)
	if len(parts) != 2 || parts[0].header.Get("Content-Type") != "application/pkcs7-mime; smime-type=server-generated-key" {
		t.Fatalf("%d parts, the first %v", len(parts), parts[0].header)
	}
	enveloped := c.run(parts[0].body, "openssl", "base64", "-d")
	signed := c.run(enveloped, "openssl", append([]string{"cms", "-decrypt", "-binary", "-inform", "DER"}, with...)...)
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2})
		b.AddASN1(cryptobyte_asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddBytes(signed) })
	})
	pkg := c.run(b.BytesOrPanic(), "openssl", "cms", "-verify", "-binary", "-inform", "DER", "-CAfile", c.s.anchors(), "-purpose", "any")
	var keys []asn1.RawValue
	if rest, err := asn1.Unmarshal(pkg, &keys); err != nil || len(rest) != 0 || len(keys) != 1 {
		t.Fatalf("AsymmetricKeyPackage: %d keys, %v", len(keys), err)
	}
	public := c.run(keys[0].FullBytes, "openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER")
	c.s.generated(t, public, c.certsOnly(parts[1].body), csr)
}
