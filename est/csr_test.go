package est_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

// reasonOf returns the reason id in err, or the whole error.
func reasonOf(err error) string {
	var e *est.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Reason
	}
	return err.Error()
}

// RFC 2986, Section 4; each of these but for the syntax errors passes crypto/x509.
// EST-5280-4.2-01: nor is one that has an extension twice.
func TestParseCSRRefusesWithTheReasonFor(t *testing.T) {
	good := forged{}.der(t)
	password := func(s string) []byte { return attribute(oidChallengePassword, tlv(cbasn1.PrintableString, s)) }
	many := make([][]byte, 65)
	for i := range many {
		many[i] = attribute(asn1.ObjectIdentifier{2, 999, i}, tlv(cbasn1.NULL, ""))
	}
	wide := make([][]byte, 129)
	for i := range wide {
		wide[i] = extension(asn1.ObjectIdentifier{2, 999, i}, false, []byte{5, 0})
	}
	repeat := func(n int, element []byte) [][]byte {
		out := make([][]byte, n)
		for i := range out {
			out[i] = element
		}
		return out
	}
	for what, c := range map[string]struct {
		der  []byte
		want string
	}{
		"257 alternative names":          {forged{attributes: [][]byte{extensionRequest(san(true, repeat(257, general(2, "a"))...))}}.der(t), est.ReasonCSRTooLarge},
		"256 alternative names":          {forged{attributes: [][]byte{extensionRequest(san(true, repeat(256, general(2, "a"))...))}}.der(t), ""},
		"65 parts of the subject":        {forged{subject: name(repeat(65, atv(oidCommonName, cbasn1.UTF8String, "a"))...)}.der(t), est.ReasonCSRTooLarge},
		"alternative names of no list":   {forged{attributes: [][]byte{extensionRequest(extension(oidSAN, false, []byte("x")))}}.der(t), est.ReasonCSRSyntax},
		"an alternative name cut short":  {forged{attributes: [][]byte{extensionRequest(extension(oidSAN, false, sequence([]byte{0x82, 5})))}}.der(t), est.ReasonCSRSyntax},
		"nothing":                        {nil, est.ReasonCSRSyntax},
		"text":                           {[]byte("hello"), est.ReasonCSRSyntax},
		"an empty sequence":              {[]byte{0x30, 0}, est.ReasonCSRSyntax},
		"a sequence that ends early":     {good[:len(good)-1], est.ReasonCSRSyntax},
		"indefinite length":              {append([]byte{0x30, 0x80}, good[4:]...), est.ReasonCSRSyntax},
		"a trailing byte":                {append(bytes.Clone(good), 0), est.ReasonCSRTrailing},
		"version 1":                      {forged{version: 1}.der(t), est.ReasonCSRVersion},
		"a negative version":             {forged{version: -1}.der(t), est.ReasonCSRVersion},
		"more than 96 KiB":               {make([]byte, 96<<10+1), est.ReasonCSRTooLarge},
		"65 attributes":                  {forged{attributes: many}.der(t), est.ReasonCSRTooLarge},
		"129 extensions":                 {forged{attributes: [][]byte{extensionRequest(wide...)}}.der(t), est.ReasonCSRTooLarge},
		"two extensionRequests":          {forged{attributes: [][]byte{extensionRequest(san(false, general(2, "a"))), extensionRequest(san(false, general(2, "b")))}}.der(t), est.ReasonCSRExtensionRequest},
		"an extensionRequest of two":     {forged{attributes: [][]byte{attribute(oidExtensionRequest, sequence(), sequence())}}.der(t), est.ReasonCSRExtensionRequest},
		"an extensionRequest of none":    {forged{attributes: [][]byte{attribute(oidExtensionRequest)}}.der(t), est.ReasonCSRExtensionRequest},
		"an extension twice":             {forged{attributes: [][]byte{extensionRequest(san(false, general(2, "a")), san(false, general(2, "b")))}}.der(t), est.ReasonCSRDuplicateExtension},
		"two challengePasswords":         {forged{attributes: [][]byte{password("a"), password("b")}}.der(t), est.ReasonCSRChallengePassword},
		"an empty challengePassword":     {forged{attributes: [][]byte{password("")}}.der(t), est.ReasonCSRChallengePassword},
		"a challengePassword of 256":     {forged{attributes: [][]byte{password(strings.Repeat("x", 256))}}.der(t), est.ReasonCSRChallengePassword},
		"a challengePassword of two":     {forged{attributes: [][]byte{attribute(oidChallengePassword, tlv(cbasn1.PrintableString, "a"), tlv(cbasn1.PrintableString, "b"))}}.der(t), est.ReasonCSRChallengePassword},
		"a challengePassword of octets":  {forged{attributes: [][]byte{attribute(oidChallengePassword, tlv(cbasn1.OCTET_STRING, "a"))}}.der(t), est.ReasonCSRChallengePassword},
		"half a BMPString character":     {forged{attributes: [][]byte{attribute(oidChallengePassword, tlv(tagBMP, "\x00a\x00"))}}.der(t), est.ReasonCSRChallengePassword},
		"NUL in a dNSName":               {forged{attributes: [][]byte{extensionRequest(san(false, general(2, "a.example\x00.evil")))}}.der(t), est.ReasonCSRName},
		"NUL in an rfc822Name":           {forged{attributes: [][]byte{extensionRequest(san(false, general(1, "a\x00@example")))}}.der(t), est.ReasonCSRName},
		"NUL in the subject":             {forged{subject: name(atv(oidCommonName, cbasn1.UTF8String, "a\x00b"))}.der(t), est.ReasonCSRName},
		"a line break in the subject":    {forged{subject: name(atv(oidCommonName, cbasn1.UTF8String, "a\nb"))}.der(t), est.ReasonCSRName},
		"NUL in a URI":                   {forged{attributes: [][]byte{extensionRequest(san(false, general(6, "http://a\x00b/")))}}.der(t), est.ReasonCSRSyntax},
		"a signature that does not fit":  {forged{badSig: true}.der(t), est.ReasonCSRSignature},
		"an unknown signature algorithm": {replace(t, good, "\x2a\x86\x48\xce\x3d\x04\x03\x02", "\x2a\x86\x48\xce\x3d\x04\x03\x7f"), est.ReasonCSRSignatureAlgorithm},
		"ECDSA with SHA-1":               {testpki.CSR(t, &x509.CertificateRequest{SignatureAlgorithm: x509.ECDSAWithSHA1}, testpki.NewKey(t)), est.ReasonCSRWeakSignature},
		"an unknown type of key":         {replace(t, good, "\x2a\x86\x48\xce\x3d\x02\x01", "\x2a\x86\x48\xce\x3d\x02\x7f"), est.ReasonCSRKeyType},
		"an RSA key of 16384 bits":       {hugeRSA(t, 16384), est.ReasonCSRKeySize},
		"an RSA key of 512 bits":         {hugeRSA(t, 512), est.ReasonCSRKeySize},
		"RSA with SHA-1":                 {rsaCSR(t, x509.SHA1WithRSA), est.ReasonCSRWeakSignature},
		"a certificate in its place":     {testpki.NewRoot(t, "no CSR").Certificate.Raw, est.ReasonCSRSyntax},
	} {
		csr, err := est.ParseCSR(c.der)
		if got := reasonOf(err); got != c.want {
			t.Errorf("ParseCSR of %s: reason %q, want %q", what, got, c.want)
		}
		if (csr == nil) != (err != nil) {
			t.Errorf("ParseCSR of %s: CSR %v together with error %v", what, csr, err)
		}
	}
}

// replace changes bytes of der that have to be there.
func replace(t *testing.T, der []byte, from, to string) []byte {
	t.Helper()
	if !bytes.Contains(der, []byte(from)) {
		t.Fatalf("%x is not in the CSR", from)
	}
	return bytes.ReplaceAll(der, []byte(from), []byte(to))
}

// hugeRSA makes a CSR with an RSA key that nobody has, and no real signature.
func hugeRSA(t *testing.T, bits uint) []byte {
	t.Helper()
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	spki, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	tbs := build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(0)
			b.AddBytes(name(atv(oidCommonName, cbasn1.UTF8String, "huge")))
			b.AddBytes(spki)
			b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(*cryptobyte.Builder) {})
		})
	})
	sha256WithRSA := sequence(build(func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11})
		b.AddASN1NULL()
	}))
	return sequence(tbs, sha256WithRSA, build(func(b *cryptobyte.Builder) { b.AddASN1BitString(make([]byte, bits/8)) }))
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaCSR(t *testing.T, algorithm x509.SignatureAlgorithm) []byte {
	t.Helper()
	return testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "rsa"}, SignatureAlgorithm: algorithm}, rsaKey(t))
}

func TestParseCSRTakesEveryKeyTypeInUse(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]crypto.Signer{"Ed25519": ed, "P-256": testpki.NewKey(t)}
	for what, key := range keys {
		if _, err := est.ParseCSR(csrFor(t, "device", key)); err != nil {
			t.Errorf("ParseCSR with %s: %v", what, err)
		}
	}
	for _, a := range []x509.SignatureAlgorithm{x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA256WithRSAPSS} {
		if _, err := est.ParseCSR(rsaCSR(t, a)); err != nil {
			t.Errorf("ParseCSR with %v: %v", a, err)
		}
	}
}

// RFC 2985, Section 5.4.1: a DirectoryString; crypto/x509 hides all of them.
func TestParseCSRReadsChallengePasswordInEveryStringType(t *testing.T) {
	for what, value := range map[string][]byte{
		"PrintableString": tlv(cbasn1.PrintableString, "AbC+/9="),
		"UTF8String":      tlv(cbasn1.UTF8String, "AbC+/9="),
		"TeletexString":   tlv(tagT61, "AbC+/9="),
		"BMPString":       tlv(tagBMP, bmp("AbC+/9=")),
		"UniversalString": tlv(tagUniversal, universal("AbC+/9=")),
	} {
		// Attributes in any order: pyca/cryptography and others do not sort the SET.
		csr, err := est.ParseCSR(forged{attributes: [][]byte{
			attribute(oidChallengePassword, value), attribute(asn1.ObjectIdentifier{2, 999, 1}, tlv(cbasn1.NULL, "")),
			extensionRequest(san(true, general(2, "a.example"))),
		}}.der(t))
		if err != nil {
			t.Errorf("ParseCSR with %s: %v", what, err)
			continue
		}
		if csr.ChallengePassword != "AbC+/9=" {
			t.Errorf("ChallengePassword from %s = %q, want AbC+/9=", what, csr.ChallengePassword)
		}
		if len(csr.DNSNames) != 1 || csr.ChangeSubjectName != nil {
			t.Errorf("with %s: DNSNames %v, ChangeSubjectName %v", what, csr.DNSNames, csr.ChangeSubjectName)
		}
	}
}

func vectors(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("BRISKEST_VECTORS")
	if dir == "" {
		t.Skip("BRISKEST_VECTORS names no folder of vectors")
	}
	return filepath.Join(dir, "est")
}

func FuzzParseCSR(f *testing.F) {
	f.Add(forged{}.der(f))
	f.Add(forged{attributes: [][]byte{
		attribute(oidChallengePassword, tlv(tagBMP, bmp("x"))), attribute(oidChangeSubjectName, sequence()),
		extensionRequest(san(true, general(2, "a"), general(7, "\x7f\x00\x00\x01"))),
	}}.der(f))
	f.Add(forged{attributes: [][]byte{attribute(oidChangeSubjectName, sequence(sequence(), tagged(1, general(2, "a"))))}}.der(f))
	for _, s := range []string{"\x1f\x80", "\x1f\x05", "\x30\x81", "\x30\x84\x01", "\x30\x82\x06", "\x5f\x4d", strings.Repeat("\x30\x80", 80)} {
		f.Add([]byte(s)) // R6 of the incidents that are kept as tests
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		csr, err := est.ParseCSR(der)
		if err != nil {
			if e := reasonOf(err); !strings.HasPrefix(e, "csr-") {
				t.Errorf("ParseCSR(%x): error without a reason of its own: %v", der, err)
			}
			return
		}
		if !bytes.Equal(csr.Raw, der) || csr.CheckSignature() != nil {
			t.Errorf("ParseCSR(%x) took a CSR that is not the whole input or is not verified", der)
		}
	})
}
