package cms_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

// openssl runs the command in a directory of its own and returns what it wrote to its standard output.
type openssl struct {
	path, dir string
}

func findOpenSSL(t *testing.T) *openssl {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil && os.Getenv("BRISKEST_REQUIRE") != "" {
		t.Fatal("openssl is not installed, and BRISKEST_REQUIRE is set")
	}
	if err != nil {
		t.Skip("openssl is not installed")
	}
	return &openssl{path: path, dir: t.TempDir()}
}

func (o *openssl) try(t *testing.T, args ...string) ([]byte, string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), o.path, args...)
	cmd.Dir = o.dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return out.Bytes(), errs.String(), err
}

func (o *openssl) run(t *testing.T, args ...string) []byte {
	t.Helper()
	out, errs, err := o.try(t, args...)
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, errs)
	}
	return out
}

func (o *openssl) write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenSSLVerifiesWhatWeSign(t *testing.T) {
	o := findOpenSSL(t)
	content := bytes.Repeat([]byte("voucher\n"), 300)
	message := o.write(t, "content", content)
	chain := cmstest.New(t, "P-256")
	for _, kind := range cmstest.Kinds() {
		id := cmstest.New(t, kind)
		cert, _ := id.Files(t, o.dir, kind)
		verify := []string{"cms", "-verify", "-binary", "-inform", "DER", "-CAfile", cert, "-purpose", "any", "-in", filepath.Join(o.dir, "m")}
		base := cms.SignRequest{ContentType: cms.OIDAnimaJSONVoucher(), Content: content, Key: id.Key, Certificate: id.Certificate, SigningTime: signingTime()}
		for _, test := range []struct {
			name   string
			change func(*cms.SignRequest)
			args   []string
		}{
			{"plain", func(*cms.SignRequest) {}, nil},
			{"data", func(r *cms.SignRequest) { r.ContentType = nil }, nil},
			{"chain", func(r *cms.SignRequest) { r.Chain = []*x509.Certificate{chain.Certificate} }, nil},
			{"subject key identifier", func(r *cms.SignRequest) { r.UseSubjectKeyID = true }, nil},
			{"no certificates", func(r *cms.SignRequest) { r.OmitCertificates = true }, []string{"-certfile", cert}},
			{"detached", func(r *cms.SignRequest) { r.Detached = true }, []string{"-content", message}},
			{"PSS", func(r *cms.SignRequest) { r.PSS = true }, nil},
		} {
			if test.name == "PSS" && kind != "RSA" {
				continue
			}
			t.Run(kind+", "+test.name, func(t *testing.T) {
				r := base
				test.change(&r)
				der := sign(t, &r)
				o.write(t, "m", der)
				out, errs, err := o.try(t, append(verify, test.args...)...)
				if err != nil && kind == "Ed25519" && strings.Contains(errs, "eddsa") {
					t.Logf("this openssl knows no Ed25519 in CMS, and verifies the bare signature instead: %s", strings.TrimSpace(errs))
					o.verifyBare(t, der, id)
					return
				}
				if err != nil {
					t.Fatalf("openssl: %v\n%s", err, errs)
				}
				if !bytes.Equal(out, content) {
					t.Errorf("openssl reads %d bytes, want %d", len(out), len(content))
				}
				o.write(t, "m", flip(der, len(der)-10))
				if _, _, err := o.try(t, append(verify, test.args...)...); err == nil {
					t.Error("openssl verifies a changed signature: the test tests nothing")
				}
			})
		}
	}
}

// verifyBare has the signature verified over the DER of the signed attributes.
func (o *openssl) verifyBare(t *testing.T, der []byte, id *cmstest.Identity) {
	t.Helper()
	si := parse(t, der).Signers[0]
	var attributes [][]byte
	for _, a := range si.SignedAttributes {
		attributes = append(attributes, cmstest.Attribute(a.Type, a.Values...))
	}
	cert, _ := id.Files(t, o.dir, "bare")
	o.run(t, "pkeyutl", "-verify", "-rawin", "-certin", "-inkey", cert,
		"-in", o.write(t, "attributes", cmstest.SetOf(attributes...)), "-sigfile", o.write(t, "signature", si.Signature))
}

func TestWeVerifyWhatOpenSSLSigns(t *testing.T) {
	o := findOpenSSL(t)
	content := bytes.Repeat([]byte("voucher\n"), 3000)
	message := o.write(t, "content", content)
	for _, kind := range encryptionKinds() { // Ed25519: see the next test
		id := cmstest.New(t, kind)
		cert, key := id.Files(t, o.dir, kind)
		for _, test := range []struct {
			name string
			args []string
		}{
			{"plain", nil},
			{"voucher", []string{"-econtent_type", "1.2.840.113549.1.9.16.1.40"}},
			{"keyid", []string{"-keyid"}},
			{"stream", []string{"-stream"}},
			{"nocerts", []string{"-nocerts"}},
			{"noattr", []string{"-noattr"}},
			{"nosmimecap", []string{"-nosmimecap", "-md", "sha384"}},
			{"cades", []string{"-cades"}},
			{"pss", []string{"-keyopt", "rsa_padding_mode:pss"}},
			{"pss with a salt as long as fits, sha512", []string{"-md", "sha512", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:-2"}},
		} {
			if strings.HasPrefix(test.name, "pss") && kind != "RSA" {
				continue
			}
			t.Run(kind+", "+test.name, func(t *testing.T) {
				args := append([]string{"cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-in", message, "-signer", cert, "-inkey", key}, test.args...)
				out, errs, err := o.try(t, args...)
				if err != nil {
					t.Fatalf("openssl: %v\n%s", err, errs)
				}
				sd := parse(t, out)
				if len(sd.Signers) != 1 || !bytes.Equal(sd.Content, content) {
					t.Fatalf("%d signers and %d bytes of content, want 1 and %d", len(sd.Signers), len(sd.Content), len(content))
				}
				if test.name == "nocerts" != (len(sd.Certificates) == 0) {
					t.Errorf("%d certificates", len(sd.Certificates))
				}
				if err := sd.Verify(sd.Signers[0], id.Certificate); err != nil || !sd.Signers[0].Names(id.Certificate) {
					t.Errorf("Verify: %v, names the signer: %v", err, sd.Signers[0].Names(id.Certificate))
				}
				if test.name == "noattr" == sd.Signers[0].HasSignedAttributes {
					t.Errorf("HasSignedAttributes = %v", sd.Signers[0].HasSignedAttributes)
				}
			})
		}
	}
}

// OpenSSL 3.0 has no Ed25519 in CMS. It signs the attributes of a message put together by hand (RFC 8419, Section 3.1).
func TestWeVerifyEd25519SignaturesOfOpenSSL(t *testing.T) {
	o := findOpenSSL(t)
	id := cmstest.New(t, "Ed25519")
	_, key := id.Files(t, o.dir, "ed")
	content := []byte("content")
	m := messageBy(id, cms.OIDAnimaJSONVoucher(), content)
	s := &m.Signers[0]
	s.Digest = cmstest.Algorithm(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3})
	s.Attributes[1] = cmstest.MessageDigest(crypto.SHA512, content)
	s.Signature = o.run(t, "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", o.write(t, "attributes", cmstest.SetOf(s.Attributes...)))
	if err := verifyFirst(t, m); err != nil {
		t.Error(err)
	}
	s.Signature = flip(s.Signature, 3)
	if err := verifyFirst(t, m); !errors.Is(err, cms.ErrSignature) {
		t.Errorf("a changed signature: %v, want %v", err, cms.ErrSignature)
	}
}

func TestTwoSignersOfOpenSSLAreTwo(t *testing.T) {
	o := findOpenSSL(t)
	message := o.write(t, "content", []byte("content"))
	one, two := cmstest.New(t, "P-256"), cmstest.New(t, "RSA")
	cert1, key1 := one.Files(t, o.dir, "one")
	cert2, key2 := two.Files(t, o.dir, "two")
	sd := parse(t, o.run(t, "cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-in", message,
		"-signer", cert1, "-inkey", key1, "-signer", cert2, "-inkey", key2))
	if len(sd.Signers) != 2 || len(sd.Certificates) != 2 {
		t.Fatalf("%d signers and %d certificates, want 2 and 2", len(sd.Signers), len(sd.Certificates))
	}
	found := map[string]bool{}
	for _, si := range sd.Signers {
		c, err := sd.SignerCertificate(si)
		if err != nil || sd.Verify(si, c) != nil {
			t.Fatalf("signer: %v", err)
		}
		found[c.SerialNumber.String()] = true
	}
	if !found[one.Certificate.SerialNumber.String()] || !found[two.Certificate.SerialNumber.String()] {
		t.Errorf("signers %v", found)
	}
}

func TestDetachedSignatureOfOpenSSLVerifies(t *testing.T) {
	o := findOpenSSL(t)
	id := cmstest.New(t, "P-256")
	cert, key := id.Files(t, o.dir, "one")
	message := o.write(t, "content", []byte("content"))
	sd := parse(t, o.run(t, "cms", "-sign", "-binary", "-outform", "DER", "-in", message, "-signer", cert, "-inkey", key))
	if err := sd.VerifyDetached(sd.Signers[0], id.Certificate, []byte("content")); err != nil || sd.Content != nil {
		t.Errorf("VerifyDetached: %v, content %q", err, sd.Content)
	}
}

func TestOpenSSLReadsCertsOnlyAndWeReadItsOwn(t *testing.T) {
	o := findOpenSSL(t)
	one, two := cmstest.New(t, "P-256"), cmstest.New(t, "RSA")
	der, err := cms.CertsOnly(one.Certificate.Raw, two.Certificate.Raw)
	if err != nil {
		t.Fatal(err)
	}
	out := o.run(t, "pkcs7", "-inform", "DER", "-print_certs", "-in", o.write(t, "m", der))
	if n := bytes.Count(out, []byte("BEGIN CERTIFICATE")); n != 2 {
		t.Errorf("openssl reads %d certificates, want 2", n)
	}
	cert, _ := one.Files(t, o.dir, "one")
	cert2, _ := two.Files(t, o.dir, "two")
	certs, err := cms.ParseCertsOnly(o.run(t, "crl2pkcs7", "-nocrl", "-outform", "DER", "-certfile", cert, "-certfile", cert2))
	if err != nil || len(certs) != 2 {
		t.Errorf("ParseCertsOnly of openssl's = %d certificates, %v, want 2", len(certs), err)
	}
}

func TestOpenSSLDecryptsWhatWeEncrypt(t *testing.T) {
	o := findOpenSSL(t)
	content := bytes.Repeat([]byte("secret\n"), 500)
	for _, kind := range encryptionKinds() {
		id, other := cmstest.New(t, kind), cmstest.New(t, "P-256")
		cert, key := id.Files(t, o.dir, kind)
		for _, authenticated := range []bool{false, true} {
			for _, byKeyID := range []bool{false, true} {
				o.write(t, "m", encrypt(t, &cms.EncryptRequest{Content: content, Authenticated: authenticated, UseSubjectKeyID: byKeyID,
					Recipients: []*x509.Certificate{other.Certificate, id.Certificate}}))
				out, errs, err := o.try(t, "cms", "-decrypt", "-binary", "-inform", "DER", "-in", "m", "-recip", cert, "-inkey", key)
				if err != nil || !bytes.Equal(out, content) {
					t.Errorf("%s, authenticated %v, by key id %v: %d bytes, %v\n%s", kind, authenticated, byKeyID, len(out), err, errs)
				}
			}
		}
	}
	shared := sharedKey()
	for _, authenticated := range []bool{false, true} {
		o.write(t, "m", encrypt(t, &cms.EncryptRequest{Content: content, SharedKeys: []cms.SharedKey{shared}, Authenticated: authenticated}))
		out, errs, err := o.try(t, "cms", "-decrypt", "-binary", "-inform", "DER", "-in", "m",
			"-secretkey", hex.EncodeToString(shared.Key), "-secretkeyid", hex.EncodeToString(shared.ID))
		if err != nil || !bytes.Equal(out, content) {
			t.Errorf("shared key, authenticated %v: %d bytes, %v\n%s", authenticated, len(out), err, errs)
		}
	}
}

func TestWeDecryptWhatOpenSSLEncrypts(t *testing.T) {
	o := findOpenSSL(t)
	content := bytes.Repeat([]byte("secret\n"), 5000)
	message := o.write(t, "content", content)
	shared := sharedKey()
	type variant struct {
		name string
		args []string
	}
	variants := []variant{{"cbc", []string{"-aes256"}}, {"cbc128", []string{"-aes128"}}, {"stream", []string{"-aes-256-cbc", "-stream"}},
		{"gcm", []string{"-aes-256-gcm"}}, {"gcm192", []string{"-aes-192-gcm"}}, {"keyid", []string{"-aes256", "-keyid"}}}
	keyOptions := map[string][]variant{
		"RSA": {{"oaep sha256", []string{"-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"}},
			{"oaep sha512", []string{"-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha512", "-keyopt", "rsa_mgf1_md:sha256"}}},
		"P-256": {{"kdf sha256", []string{"-keyopt", "ecdh_kdf_md:sha256"}}, {"kdf sha512", []string{"-keyopt", "ecdh_kdf_md:sha512"}}},
		"P-384": {{"kdf sha384", []string{"-keyopt", "ecdh_kdf_md:sha384"}}},
		"P-521": {{"kdf sha512", []string{"-keyopt", "ecdh_kdf_md:sha512"}}},
	}
	for _, kind := range encryptionKinds() {
		id := cmstest.New(t, kind)
		cert, _ := id.Files(t, o.dir, kind)
		for _, v := range variants {
			for _, k := range keyOptions[kind] {
				args := append([]string{"cms", "-encrypt", "-binary", "-outform", "DER", "-in", message}, v.args...)
				args = append(append(args, "-recip", cert), k.args...)
				got, err := cms.Decrypt(o.run(t, args...), &cms.RecipientKey{Certificate: id.Certificate, Key: id.Key})
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s, %s, %s: %d bytes, %v, want %d", kind, v.name, k.name, len(got), err, len(content))
				}
			}
		}
	}
	for _, v := range variants {
		if v.name == "cbc128" || v.name == "gcm192" || v.name == "keyid" {
			continue
		}
		data := o.run(t, append([]string{"cms", "-encrypt", "-binary", "-outform", "DER", "-in", message,
			"-secretkey", hex.EncodeToString(shared.Key), "-secretkeyid", hex.EncodeToString(shared.ID)}, v.args...)...)
		if got, err := cms.Decrypt(data, &cms.RecipientKey{SharedKey: &shared}); err != nil || !bytes.Equal(got, content) {
			t.Errorf("shared key, %s: %d bytes, %v, want %d", v.name, len(got), err, len(content))
		}
	}
}

// OpenSSL's defaults are SHA-1 and PKCS #1 v1.5.
func TestWeakDefaultsOfOpenSSLAreRefused(t *testing.T) {
	o := findOpenSSL(t)
	message := o.write(t, "content", []byte("secret"))
	for _, test := range []struct {
		kind string
		args []string
	}{{"RSA", nil}, {"RSA", []string{"-keyopt", "rsa_padding_mode:oaep"}}, {"P-256", nil}} {
		id := cmstest.New(t, test.kind)
		cert, _ := id.Files(t, o.dir, test.kind)
		data := o.run(t, append([]string{"cms", "-encrypt", "-aes256", "-outform", "DER", "-in", message, "-recip", cert}, test.args...)...)
		if got, err := cms.Decrypt(data, &cms.RecipientKey{Certificate: id.Certificate, Key: id.Key}); !errors.Is(err, cms.ErrWeakAlgorithm) {
			t.Errorf("%s %v: %q, %v, want %v", test.kind, test.args, got, err, cms.ErrWeakAlgorithm)
		}
	}
}
