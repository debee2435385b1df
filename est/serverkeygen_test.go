package est_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // names a key
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/est/esttest"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testbed"
	"github.com/briskest/briskest/internal/testpki"
	"software.sslmate.com/src/go-pkcs12"
)

const keyGenPath = "/.well-known/est/serverkeygen"

// keySite is a site whose backend makes keys.
type keySite struct {
	*site
	keys *esttest.KeyBackend
	// shared is the key "kek-0001"; the others are recipients.
	shared                     []byte
	rsa, ec, signing, anything *testpki.Identity
}

func newKeySite(t testing.TB) *keySite {
	t.Helper()
	b := esttest.New(t)
	s := &keySite{keys: &esttest.KeyBackend{Backend: b}, shared: bytes.Repeat([]byte{7}, 32)}
	s.site = &site{Backend: b, handler: &est.Handler{Backend: s.keys}}
	s.url = b.Serve(s.handler)
	s.keys.Signer = b.CA.Registrar(t, "key generator")
	s.keys.SharedKeys = map[string][]byte{"kek-0001": s.shared}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.rsa = s.recipient(t, rsaKey, x509.KeyUsageKeyEncipherment)
	s.ec = s.recipient(t, p384, x509.KeyUsageKeyAgreement)
	s.signing = s.recipient(t, testpki.NewKey(t), x509.KeyUsageDigitalSignature)
	s.anything = s.recipient(t, testpki.NewKey(t), 0)
	return s
}

func (s *keySite) recipient(t testing.TB, key crypto.Signer, usage x509.KeyUsage) *testpki.Identity {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	id := sha1.Sum(spki) //nolint:gosec // a name
	out := &testpki.Identity{Key: key}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(int64(1 + len(s.keys.Recipients))), Subject: pkix.Name{CommonName: "recipient"}, SubjectKeyId: id[:], KeyUsage: usage,
	}, s.CA.Certificate, key.Public(), s.CA.Key)
	if err == nil {
		out.Certificate, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.keys.Recipients = append(s.keys.Recipients, out.Certificate)
	return out
}

// Contents of OBJECT IDENTIFIERs.
const (
	sharedKeyID  = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x25"
	certKeyID    = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x36"
	capabilities = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0f"
	aes256wrap   = "\x60\x86\x48\x01\x65\x03\x04\x01\x2d"
	aes256cbc    = "\x60\x86\x48\x01\x65\x03\x04\x01\x2a"
	aes256gcm    = "\x60\x86\x48\x01\x65\x03\x04\x01\x2e"
	aes128cbc    = "\x60\x86\x48\x01\x65\x03\x04\x01\x02"
	oaep         = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07"
	stdDH384     = "\x2b\x81\x04\x01\x0b\x02"
	unknownOID   = "\x2a\x03\x04\x05"
)

func attr(oid string, values ...[]byte) []byte {
	return tlv(0x30, string(tlv(6, oid))+string(tlv(0x31, string(bytes.Join(values, nil)))))
}

// listing is SMIMECapabilities without parameters.
func listing(oids ...string) []byte {
	var all string
	for _, oid := range oids {
		all += string(tlv(0x30, string(tlv(6, oid))))
	}
	return attr(capabilities, tlv(0x30, all))
}

func octets(b string) []byte { return tlv(4, b) }

// keyCSR makes a CSR with those attributes and a signature of nothing, which nobody verifies.
func keyCSR(t testing.TB, key crypto.Signer, attributes ...[]byte) []byte {
	t.Helper()
	plain, err := x509.ParseCertificateRequest(testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "device"}}, key))
	if err != nil {
		t.Fatal(err)
	}
	return csrOf(plain.RawSubject, plain.RawSubjectPublicKeyInfo, attributes...)
}

func csrOf(subject, spki []byte, attributes ...[]byte) []byte {
	info := tlv(0x30, "\x02\x01\x00"+string(subject)+string(spki)+string(tlv(0xa0, string(bytes.Join(attributes, nil)))))
	return tlv(0x30, string(info)+string(tlv(0x30, string(tlv(6, "\x2a\x86\x48\xce\x3d\x04\x03\x02"))))+"\x03\x01\x00")
}

func (s *keySite) generate(t testing.TB, csr []byte, headers string) wire {
	t.Helper()
	return s.raw(t, post(keyGenPath, pkcs10+"BASIC\r\n"+headers, b64(csr)))
}

// keyPart is one part of an answer.
type keyPart struct {
	contentType string
	der         []byte
}

func partsOf(t testing.TB, w wire) []keyPart {
	t.Helper()
	if w.status != 200 {
		t.Fatalf("serverkeygen = %d: %s", w.status, w.body)
	}
	kind, params, err := mime.ParseMediaType(w.header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" {
		t.Fatalf("Content-Type = %q", w.header.Get("Content-Type"))
	}
	r := multipart.NewReader(strings.NewReader(w.body), params["boundary"])
	var parts []keyPart
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return parts
		}
		if err != nil {
			t.Fatalf("part %d: %v", len(parts)+1, err)
		}
		if p.Header.Get("Content-Transfer-Encoding") != "base64" {
			t.Errorf("part %d has the header %v, libest and tpmenroll want Content-Transfer-Encoding: base64", len(parts)+1, p.Header)
		}
		der, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, p))
		if err != nil {
			t.Fatalf("part %d: %v", len(parts)+1, err)
		}
		parts = append(parts, keyPart{p.Header.Get("Content-Type"), der})
	}
}

// EST-7030-4.4.2-01, EST-7030-4.4.2-02, EST-7030-4.4.2-10, EST-7030-4.4.1-03: two parts, PKCS#8 and a certificate of
// that key, which is not the CSR's.
func TestServerKeyGenAnswersWithAKeyAndItsCertificate(t *testing.T) {
	s := newKeySite(t)
	asked := testpki.NewKey(t)
	w := s.generate(t, csrFor(t, "device", asked), "")
	parts := partsOf(t, w)
	if w.header.Get("Content-Length") != fmt.Sprint(len(w.body)) || strings.Contains(strings.ReplaceAll(w.body, "\r\n", ""), "\n") ||
		!strings.HasPrefix(w.body, "--") || w.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the answer is not CRLF without preamble and with its length: %v %q", w.header, w.body)
	}
	if len(parts) != 2 || parts[0].contentType != "application/pkcs8" || parts[1].contentType != "application/pkcs7-mime; smime-type=certs-only" {
		t.Fatalf("parts = %+v", parts)
	}
	key, err := x509.ParsePKCS8PrivateKey(parts[0].der)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := cms.ParseCertsOnly(parts[1].der)
	if err != nil || len(certs) != 1 {
		t.Fatalf("ParseCertsOnly = %d certificates, %v", len(certs), err)
	}
	public := key.(crypto.Signer).Public().(*ecdsa.PublicKey)
	if !public.Equal(certs[0].PublicKey) || public.Equal(asked.Public()) || certs[0].Subject.CommonName != "device" {
		t.Errorf("the key is the CSR's, or the certificate another one's: %v", certs[0].Subject)
	}
	if bytes.Contains([]byte(w.body), []byte("BEGIN")) {
		t.Error("there is PEM in the answer")
	}
}

// EST-7030-4.4.1-02: key and signature of the CSR are ignored, whatever they are.
func TestServerKeyGenIgnoresKeyAndSignatureOfTheCSR(t *testing.T) {
	s := newKeySite(t)
	good := goodCSR(t, "device")
	bad := bytes.Clone(good)
	bad[len(bad)-1] ^= 1
	csrs := map[string][]byte{"a bad signature": bad, "no signature": keyCSR(t, testpki.NewKey(t))}
	for what, spki := range map[string][]byte{
		"an unknown key":   tlv(0x30, string(tlv(0x30, string(tlv(6, unknownOID))))+"\x03\x01\x00"),
		"an unknown curve": tlv(0x30, string(tlv(0x30, string(tlv(6, "\x2a\x86\x48\xce\x3d\x02\x01"))+string(tlv(6, "\x2b\x81\x04\x00\x0a"))))+"\x03\x02\x00\x04"),
		"an empty key":     tlv(0x30, ""),
		"a huge RSA key":   tlv(0x30, string(tlv(0x30, string(tlv(6, "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"))))+string(tlv(3, "\x00"+string(tlv(0x30, string(tlv(2, strings.Repeat("\x01", 50000)))))))),
	} {
		csrs[what] = csrOf(tlv(0x30, string(tlv(0x31, string(tlv(0x30, "\x06\x03\x55\x04\x03"+string(tlv(0x0c, "device"))))))), spki)
	}
	for what, csr := range csrs {
		if w := s.generate(t, csr, ""); w.status != 200 {
			t.Errorf("%s: %d %s", what, w.status, w.body)
		}
	}
}

// EST-7030-4.4.1-06, EST-7030-4.4.1.1-02, EST-7030-4.4.1.2-02, EST-7030-4.4.1.2-03, EST-7030-4.4.2-08, EST-7030-4.4.2-11,
// EST-7030-4.4.2-12: what cannot be encrypted as it was asked is an error in plain text, and never a key in the clear.
func TestServerKeyGenNeverFallsBackToCleartext(t *testing.T) {
	s := newKeySite(t)
	key := testpki.NewKey(t)
	ski := func(id *testpki.Identity) []byte { return attr(certKeyID, octets(string(id.Certificate.SubjectKeyId))) }
	kek := attr(sharedKeyID, octets("kek-0001"))
	for _, c := range []struct {
		what       string
		attributes [][]byte
		reason     string
	}{
		{"a shared key without capabilities", [][]byte{kek}, est.ReasonKeyGenCapabilities},
		{"a certificate without capabilities", [][]byte{ski(s.rsa)}, est.ReasonKeyGenCapabilities},
		{"an unknown shared key", [][]byte{attr(sharedKeyID, octets("kek-0002")), listing(aes256wrap, aes256cbc)}, est.ReasonKeyGenKey},
		{"an unknown certificate", [][]byte{attr(certKeyID, octets("no such id")), listing(oaep, aes256cbc)}, est.ReasonKeyGenKey},
		{"a certificate for signatures only", [][]byte{ski(s.signing), listing(stdDH384, aes256wrap, aes256cbc)}, est.ReasonKeyGenKey},
		{"algorithms that nobody knows", [][]byte{kek, listing(unknownOID)}, est.ReasonKeyGenCapabilities},
		{"no algorithms", [][]byte{kek, listing()}, est.ReasonKeyGenCapabilities},
		{"key wrap with AES-128 content encryption only", [][]byte{kek, listing(aes256wrap, aes128cbc)}, est.ReasonKeyGenCapabilities},
		{"RSA without OAEP", [][]byte{ski(s.rsa), listing(aes256wrap, aes256cbc)}, est.ReasonKeyGenCapabilities},
		{"RSA with OAEP and SHA-1", [][]byte{ski(s.rsa), attr(capabilities, tlv(0x30, string(tlv(0x30, string(tlv(6, oaep))+"\x30\x00"))))}, est.ReasonKeyGenCapabilities},
		{"EC with the KDF of another curve", [][]byte{ski(s.anything), listing(stdDH384, aes256wrap)}, est.ReasonKeyGenCapabilities},
		{"both kinds of keys", [][]byte{kek, ski(s.rsa), listing(aes256wrap, oaep, aes256cbc)}, est.ReasonKeyGenAttribute},
		{"two shared keys", [][]byte{kek, kek, listing(aes256wrap)}, est.ReasonKeyGenAttribute},
		{"two identifiers in one", [][]byte{attr(sharedKeyID, octets("kek-0001"), octets("kek-0001")), listing(aes256wrap)}, est.ReasonKeyGenAttribute},
		{"an identifier of no bytes", [][]byte{attr(sharedKeyID, octets("")), listing(aes256wrap)}, est.ReasonKeyGenAttribute},
		{"an identifier of 129 bytes", [][]byte{attr(sharedKeyID, octets(strings.Repeat("k", 129))), listing(aes256wrap)}, est.ReasonKeyGenAttribute},
		{"an identifier that is a string", [][]byte{attr(sharedKeyID, tlv(0x0c, "kek-0001")), listing(aes256wrap)}, est.ReasonKeyGenAttribute},
		{"two lists of capabilities", [][]byte{kek, listing(aes256wrap), listing(aes256cbc)}, est.ReasonKeyGenAttribute},
		{"65 capabilities", [][]byte{kek, listing(repeated(unknownOID, 65)...)}, est.ReasonKeyGenAttribute},
		{"10,000 capabilities", [][]byte{kek, listing(repeated(unknownOID, 10000)...)}, est.ReasonKeyGenAttribute},
		{"a capability of 300 bytes", [][]byte{kek, attr(capabilities, tlv(0x30, string(tlv(0x30, string(tlv(6, aes256wrap))+string(octets(strings.Repeat("x", 300)))))))}, est.ReasonKeyGenAttribute},
	} {
		w := s.generate(t, keyCSR(t, key, c.attributes...), "")
		if w.status != 400 || !strings.Contains(w.body, "reason: "+c.reason) || w.header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d %q, want 400 with reason %s in plain text", c.what, w.status, w.body, c.reason)
		}
	}
	if s.keys.Made() != 0 || len(s.Issued()) != 0 {
		t.Errorf("%d keys made and %d certificates issued for refused requests", s.keys.Made(), len(s.Issued()))
	}
	// Not even by a backend's mistake.
	s.keys.Forget = true
	if w := s.generate(t, keyCSR(t, key, kek, listing(aes256wrap)), ""); w.status != 500 || strings.Contains(w.body, "pkcs8") {
		t.Errorf("a backend that forgot to encrypt: %d %q", w.status, w.body)
	}
}

func repeated(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

// EST-7030-4.4.2-03, EST-7030-4.4.2-04, EST-7030-4.4.2-05, EST-7030-4.4.2-06, EST-7030-4.4.2-08, EST-7030-4.4.2-09: the
// key package, signed by its generator, enveloped for the key that was named, by algorithms that were listed.
func TestEncryptedKeysAreSignedAndEnveloped(t *testing.T) {
	s := newKeySite(t)
	ski := func(id *testpki.Identity) []byte { return attr(certKeyID, octets(string(id.Certificate.SubjectKeyId))) }
	for _, c := range []struct {
		what          string
		name, list    []byte
		with          cms.RecipientKey
		wrapping      string
		authenticated bool
	}{
		{"shared key", attr(sharedKeyID, octets("kek-0001")), listing(aes256wrap, aes256cbc), cms.RecipientKey{SharedKey: &cms.SharedKey{ID: []byte("kek-0001"), Key: s.shared}}, "2.16.840.1.101.3.4.1.45", false},
		{"shared key, AES-256 wrap alone", attr(sharedKeyID, octets("kek-0001")), listing(aes256wrap), cms.RecipientKey{SharedKey: &cms.SharedKey{ID: []byte("kek-0001"), Key: s.shared}}, "2.16.840.1.101.3.4.1.45", false},
		{"shared key, GCM", attr(sharedKeyID, octets("kek-0001")), listing(aes256gcm, aes256wrap), cms.RecipientKey{SharedKey: &cms.SharedKey{ID: []byte("kek-0001"), Key: s.shared}}, "2.16.840.1.101.3.4.1.45", true},
		{"RSA", ski(s.rsa), listing(oaep, aes256cbc), cms.RecipientKey{Certificate: s.rsa.Certificate, Key: s.rsa.Key}, "1.2.840.113549.1.1.7", false},
		{"EC", ski(s.ec), listing(stdDH384, aes256cbc), cms.RecipientKey{Certificate: s.ec.Certificate, Key: s.ec.Key}, "1.3.132.1.11.2", false},
		{"EC without keyUsage", ski(s.anything), listing(aes256wrap, aes256cbc), cms.RecipientKey{Certificate: s.anything.Certificate, Key: s.anything.Key}, "1.3.132.1.11.1", false},
	} {
		t.Run(c.what, func(t *testing.T) {
			parts := partsOf(t, s.generate(t, keyCSR(t, testpki.NewKey(t), c.name, c.list), ""))
			if len(parts) != 2 || parts[0].contentType != "application/pkcs7-mime; smime-type=server-generated-key" {
				t.Fatalf("parts = %+v", parts)
			}
			e, err := cms.ParseEnveloped(parts[0].der)
			if err != nil {
				t.Fatal(err)
			}
			if len(e.Recipients) != 1 || e.Recipients[0].KeyEncryption.OID.String() != c.wrapping || e.Authenticated != c.authenticated || !e.ContentType.Equal(cms.OIDSignedData()) {
				t.Fatalf("enveloped = %+v, recipients %+v", e, e.Recipients)
			}
			if r := e.Recipients[0]; c.with.SharedKey != nil {
				// KEKRecipientInfo is read in version 4 only.
				if string(r.SharedKeyID) != "kek-0001" {
					t.Errorf("kekid = %q", r.SharedKeyID)
				}
			} else if !bytes.Equal(r.SubjectKeyID, c.with.Certificate.SubjectKeyId) {
				t.Errorf("recipient = %+v", r)
			}
			content, err := e.Decrypt(&c.with)
			if err != nil {
				t.Fatal(err)
			}
			sd, err := cms.ParseSignedData(tlv(0x30, string(tlv(6, "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"))+string(tlv(0xa0, string(content)))))
			if err != nil || !sd.ContentType.Equal(cms.OIDAsymmetricKeyPackage()) {
				t.Fatalf("the encrypted content is no SignedData of a key package: %v", err)
			}
			if err := sd.Verify(sd.Signers[0], s.keys.Signer.Certificate); err != nil {
				t.Errorf("the signature: %v", err)
			}
			certs, err := cms.ParseCertsOnly(parts[1].der)
			if err != nil {
				t.Fatal(err)
			}
			// AsymmetricKeyPackage ::= SEQUENCE OF OneAsymmetricKey
			key, err := x509.ParsePKCS8PrivateKey(inner(t, sd.Content))
			if err != nil || !key.(*ecdsa.PrivateKey).PublicKey.Equal(certs[0].PublicKey) {
				t.Errorf("the key in the package: %v, or not that of the certificate", err)
			}
			if bytes.Contains(parts[0].der, inner(t, sd.Content)[40:]) {
				t.Error("the key is there in the clear")
			}
		})
	}
}

// inner takes the outer SEQUENCE off.
func inner(t testing.TB, der []byte) []byte {
	t.Helper()
	header := 2
	if der[1] > 0x80 {
		header += int(der[1] & 0x7f)
	}
	return der[header:]
}

// EST-8295-8-01: a PFX in base64; the password is empty, or the shared key in hex.
func TestPKCS12IsSentToWhoAcceptsIt(t *testing.T) {
	s := newKeySite(t)
	bad := goodCSR(t, "device")
	bad[len(bad)-1] ^= 1
	kek := [][]byte{attr(sharedKeyID, octets("kek-0001")), listing(aes256cbc)}
	for _, c := range []struct {
		what, password string
		csr            []byte
	}{
		{"cleartext", "", bad},
		{"shared key", hex.EncodeToString(s.shared), keyCSR(t, testpki.NewKey(t), kek...)},
	} {
		w := s.generate(t, c.csr, "Accept: application/pkcs12\r\n")
		if w.status != 200 || w.header.Get("Content-Type") != "application/pkcs12" {
			t.Fatalf("%s: %d %v %s", c.what, w.status, w.header, w.body)
		}
		der, err := base64.StdEncoding.DecodeString(w.body)
		if err != nil {
			t.Fatal(err)
		}
		key, cert, err := pkcs12.Decode(der, c.password)
		if err != nil || !key.(*ecdsa.PrivateKey).PublicKey.Equal(cert.PublicKey) {
			t.Errorf("%s: the PFX does not open with its password, or holds another key: %v", c.what, err)
		}
		if _, _, err := pkcs12.Decode(der, c.password+"x"); err == nil {
			t.Errorf("%s: the PFX opens with another password", c.what)
		}
	}
	for accept, want := range map[string]string{
		"multipart/mixed, application/pkcs12;q=0.5": "multipart/mixed", "*/*": "multipart/mixed", "": "multipart/mixed",
		"application/pkcs12;q=0, */*": "multipart/mixed", "multipart/mixed;q=0.1, application/pkcs12": "application/pkcs12",
	} {
		w := s.generate(t, bad, "Accept: "+accept+"\r\n")
		if got, _, _ := strings.Cut(w.header.Get("Content-Type"), ";"); got != want {
			t.Errorf("Accept: %q gives %q, want %q: %d %s", accept, got, want, w.status, w.body)
		}
	}
	ski := attr(certKeyID, octets(string(s.rsa.Certificate.SubjectKeyId)))
	if w := s.generate(t, keyCSR(t, testpki.NewKey(t), ski, listing(oaep)), "Accept: application/pkcs12\r\n"); w.status != 400 {
		t.Errorf("PKCS#12 to a certificate: %d", w.status)
	}
	if w := s.generate(t, keyCSR(t, testpki.NewKey(t), kek[0], listing(aes256wrap)), "Accept: application/pkcs12\r\n"); w.status != 400 {
		t.Errorf("PKCS#12 without AES-256-CBC: %d", w.status)
	}
}

// EST-8295-8-01, EST-7030-4.4.2-02, EST-7030-4.4.2-04: OpenSSL reads what is sent.
func TestOpenSSLReadsTheAnswersOfServerKeyGen(t *testing.T) {
	openssl := testbed.Require(t, "openssl")
	s := newKeySite(t)
	dir := t.TempDir()
	write := func(name string, data []byte) string { return writeFile(t, dir, name, data) }
	run := func(args ...string) string {
		out, stderr, code := testbed.Run(t, openssl, args...)
		if code != 0 {
			t.Errorf("openssl %v: %d %s", args, code, stderr)
		}
		return out
	}
	plain := partsOf(t, s.generate(t, goodCSR(t, "device"), ""))
	run("pkcs8", "-inform", "DER", "-nocrypt", "-in", write("key.der", plain[0].der), "-out", dir+"/out.pem")
	enveloped := partsOf(t, s.generate(t, keyCSR(t, testpki.NewKey(t), attr(sharedKeyID, octets("kek-0001")), listing(aes256wrap, aes256cbc)), ""))
	file := write("key.cms", enveloped[0].der)
	text := run("cms", "-cmsout", "-print", "-inform", "DER", "-in", file)
	if !strings.Contains(text, "d.kekri") || !strings.Contains(text, "version: 4") || !strings.Contains(text, "kek-0001") {
		t.Errorf("openssl sees no KEKRecipientInfo version 4 for kek-0001:\n%.1500s", text)
	}
	run("cms", "-decrypt", "-inform", "DER", "-in", file, "-secretkey", hex.EncodeToString(s.shared), "-secretkeyid", hex.EncodeToString([]byte("kek-0001")), "-binary", "-out", dir+"/content.der")
	w := s.generate(t, goodCSR(t, "device"), "Accept: application/pkcs12\r\n")
	der, err := base64.StdEncoding.DecodeString(w.body)
	if err != nil {
		t.Fatal(err)
	}
	if out := run("pkcs12", "-in", write("key.p12", der), "-nodes", "-passin", "pass:"); !strings.Contains(out, "PRIVATE KEY") || !strings.Contains(out, "BEGIN CERTIFICATE") {
		t.Errorf("openssl pkcs12 shows %q", out)
	}
}

// EST-7030-4.4-02: who has not authenticated gets no key, and none is made.
func TestServerKeyGenWantsAuthentication(t *testing.T) {
	s := newKeySite(t)
	for what, headers := range map[string]string{"nothing": "", "a wrong password": "Authorization: Basic " + b64([]byte("device:wrong")) + "\r\n"} {
		w := s.raw(t, post(keyGenPath, pkcs10+headers, b64(goodCSR(t, "device"))))
		if w.status != 401 || s.keys.Made() != 0 {
			t.Errorf("%s: %d, %d keys made", what, w.status, s.keys.Made())
		}
	}
}
