package cms_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

// encryptionKinds are the kinds of key that can be a recipient's.
func encryptionKinds() []string { return []string{"P-256", "P-384", "P-521", "RSA"} }

func sharedKey() cms.SharedKey {
	return cms.SharedKey{ID: []byte("key 1"), Key: bytes.Repeat([]byte{7}, 32)}
}

func encrypt(t testing.TB, r *cms.EncryptRequest) []byte {
	t.Helper()
	der, err := cms.Encrypt(r)
	if err != nil {
		t.Fatalf("Encrypt: %v", err)
	}
	return der
}

func TestEveryRecipientDecrypts(t *testing.T) {
	var ids []*cmstest.Identity
	var certs []*x509.Certificate
	for _, kind := range encryptionKinds() {
		id := cmstest.New(t, kind)
		ids, certs = append(ids, id), append(certs, id.Certificate)
	}
	shared := sharedKey()
	for _, authenticated := range []bool{false, true} {
		for _, byKeyID := range []bool{false, true} {
			for _, content := range [][]byte{{}, []byte("one"), bytes.Repeat([]byte("x"), 16), bytes.Repeat([]byte("key "), 5000)} {
				der := encrypt(t, &cms.EncryptRequest{ContentType: cms.OIDAsymmetricKeyPackage(), Content: content, Recipients: certs,
					SharedKeys: []cms.SharedKey{shared}, Authenticated: authenticated, UseSubjectKeyID: byKeyID})
				for _, data := range [][]byte{der, cmstest.Indefinite(der, 50), inSegments(t, der)} {
					e, err := cms.ParseEnveloped(data)
					if err != nil || e.Authenticated != authenticated || !e.ContentType.Equal(cms.OIDAsymmetricKeyPackage()) || len(e.Recipients) != 5 {
						t.Fatalf("ParseEnveloped = %+v, %v", e, err)
					}
					for i, id := range ids {
						got, err := e.Decrypt(&cms.RecipientKey{Certificate: id.Certificate, Key: id.Key})
						if err != nil || !bytes.Equal(got, content) || got == nil {
							t.Errorf("%s, authenticated %v: %d bytes, %v, want %d", encryptionKinds()[i], authenticated, len(got), err, len(content))
						}
					}
					if got, err := cms.Decrypt(data, &cms.RecipientKey{SharedKey: &shared}); err != nil || !bytes.Equal(got, content) {
						t.Errorf("shared key, authenticated %v: %d bytes, %v, want %d", authenticated, len(got), err, len(content))
					}
				}
			}
		}
	}
}

// inSegments returns the message with its encrypted content as [0] of segments, as streaming writers have it.
func inSegments(t *testing.T, der []byte) []byte {
	t.Helper()
	e, err := cms.ParseEnveloped(der)
	if err != nil {
		t.Fatal(err)
	}
	encrypted := cms.Encrypted(e)
	whole := cmstest.Element(0x80, encrypted)
	n := len(encrypted) / 2
	segments := cmstest.Element(0xa0, cmstest.Element(4, encrypted[:n]), cmstest.Element(4, encrypted[n:]))
	changed := replace(t, der, whole, segments)
	if bytes.Equal(changed, der) {
		t.Fatal("the encrypted content was not found")
	}
	return changed
}

// replace returns the DER element with the element old, found at any depth, replaced, and all lengths above it corrected.
func replace(t testing.TB, der, old, new []byte) []byte {
	t.Helper()
	if bytes.Equal(der, old) {
		return new
	}
	if der[0]&0x20 == 0 || !bytes.Contains(der, old) {
		return der
	}
	var rebuilt [][]byte
	var element asn1.RawValue
	if _, err := asn1.Unmarshal(der, &element); err != nil {
		t.Fatal(err)
	}
	for rest := element.Bytes; len(rest) > 0; {
		var child asn1.RawValue
		after, err := asn1.Unmarshal(rest, &child)
		if err != nil {
			t.Fatal(err)
		}
		rebuilt, rest = append(rebuilt, replace(t, child.FullBytes, old, new)), after
	}
	return cmstest.Element(der[0], rebuilt...)
}

func TestOthersDoNotDecrypt(t *testing.T) {
	for _, kind := range encryptionKinds() {
		id, other := cmstest.New(t, kind), cmstest.New(t, kind)
		der := encrypt(t, &cms.EncryptRequest{Content: []byte("secret"), Recipients: []*x509.Certificate{id.Certificate}})
		wrongID := sharedKey()
		for _, test := range []struct {
			name string
			key  cms.RecipientKey
			want error
		}{
			{"no key", cms.RecipientKey{}, cms.ErrNoRecipient},
			{"another certificate", cms.RecipientKey{Certificate: other.Certificate, Key: other.Key}, cms.ErrNoRecipient},
			{"a shared key", cms.RecipientKey{SharedKey: &wrongID}, cms.ErrNoRecipient},
			{"the certificate with another key", cms.RecipientKey{Certificate: id.Certificate, Key: other.Key}, cms.ErrDecrypt},
			{"the certificate without a key", cms.RecipientKey{Certificate: id.Certificate}, cms.ErrNoRecipient},
			{"the certificate with no kind of key", cms.RecipientKey{Certificate: id.Certificate, Key: "key"}, cms.ErrRequest},
		} {
			if got, err := cms.Decrypt(der, &test.key); !errors.Is(err, test.want) {
				t.Errorf("%s, %s: %q, %v, want %v", kind, test.name, got, err, test.want)
			}
		}
	}
}

// A key in a token has no more than the method ECDH.
func TestECDHKeyDecrypts(t *testing.T) {
	id := cmstest.New(t, "P-256")
	key, err := id.Key.(*ecdsa.PrivateKey).ECDH()
	if err != nil {
		t.Fatal(err)
	}
	der := encrypt(t, &cms.EncryptRequest{Content: []byte("secret"), Recipients: []*x509.Certificate{id.Certificate}})
	if got, err := cms.Decrypt(der, &cms.RecipientKey{Certificate: id.Certificate, Key: key}); err != nil || string(got) != "secret" {
		t.Errorf("Decrypt = %q, %v", got, err)
	}
}

// RFC 5083, Section 2: content, attributes and parameters are authenticated.
func TestChangedAuthEnvelopedDataIsRefused(t *testing.T) {
	shared := sharedKey()
	key := &cms.RecipientKey{SharedKey: &shared}
	for _, contentType := range []asn1.ObjectIdentifier{cms.OIDData(), cms.OIDSignedData()} {
		der := encrypt(t, &cms.EncryptRequest{ContentType: contentType, Content: []byte("secret"), SharedKeys: []cms.SharedKey{shared}, Authenticated: true})
		for i := range 8 * len(der) {
			changed := bytes.Clone(der)
			changed[i/8] ^= 1 << (i % 8)
			e, err := cms.ParseEnveloped(changed)
			if err != nil {
				continue
			}
			got, err := e.Decrypt(key)
			if err == nil && (string(got) != "secret" || (!contentType.Equal(cms.OIDData()) && !e.ContentType.Equal(contentType))) {
				t.Errorf("bit %d of byte %d changed, and it decrypts to %q of type %s", i%8, i/8, got, e.ContentType)
			}
		}
	}
}

// RFC 5083, Section 2.1.
func TestContentTypeIsAuthenticatedUnlessData(t *testing.T) {
	shared := sharedKey()
	key := &cms.RecipientKey{SharedKey: &shared}
	r := &cms.EncryptRequest{ContentType: cms.OIDSignedData(), Content: []byte("secret"), SharedKeys: []cms.SharedKey{shared}, Authenticated: true}
	der := encrypt(t, r)
	attribute := cmstest.Element(0xa1, cmstest.ContentType(cms.OIDSignedData()))
	if _, err := cms.Decrypt(replace(t, der, attribute, nil), key); !errors.Is(err, cms.ErrMissingAttribute) {
		t.Errorf("without attributes: %v, want %v", err, cms.ErrMissingAttribute)
	}
	other := cmstest.Element(0xa1, cmstest.ContentType(cms.OIDPKIData()))
	if _, err := cms.Decrypt(replace(t, der, attribute, other), key); !errors.Is(err, cms.ErrContentTypeMismatch) {
		t.Errorf("another type: %v, want %v", err, cms.ErrContentTypeMismatch)
	}
	r.ContentType = nil
	der = encrypt(t, r)
	if bytes.Contains(der, cmstest.OID(cms.OIDAttributeContentType())) {
		t.Error("attributes beside id-data, which OpenSSL does not read")
	}
}

// Regression R7, and RFC 5652, Section 6.
func TestFaultyEnvelopesAreRefused(t *testing.T) {
	shared, id := sharedKey(), cmstest.New(t, "P-256")
	der := encrypt(t, &cms.EncryptRequest{Content: []byte("secret"), SharedKeys: []cms.SharedKey{shared}})
	e, err := cms.ParseEnveloped(der)
	if err != nil {
		t.Fatal(err)
	}
	content := cmstest.Element(0x80, cms.Encrypted(e))
	wrap := cmstest.Algorithm(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 45})
	aes := cmstest.OID(e.ContentEncryption.OID)
	key := &cms.RecipientKey{SharedKey: &shared}
	for _, test := range []struct {
		name     string
		old, new []byte
		want     error
	}{
		{"nothing spoiled", content, content, nil},
		{"no encrypted content", content, nil, cms.ErrNoContent},
		{"empty encrypted content", content, []byte{0x80, 0}, cms.ErrDecrypt},
		{"half a block", content, cmstest.Element(0x80, make([]byte, 8)), cms.ErrDecrypt},
		{"content of another tag", content, []byte{4, 0}, cms.ErrSyntax},
		{"segments that are none", content, cmstest.Element(0xa0, []byte{5, 0}), cms.ErrSyntax},
		{"unknown key wrap", wrap, cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 3}), cms.ErrUnsupportedAlgorithm},
		{"key wrap of another size", wrap, cmstest.Algorithm(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 5}), cms.ErrDecrypt},
		{"key wrap with parameters", wrap, cmstest.Algorithm(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 45}, 4, 0), cms.ErrUnsupportedAlgorithm},
		{"Triple-DES", aes, cmstest.OID(asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}), cms.ErrUnsupportedAlgorithm},
		{"GCM without a MAC", aes, cmstest.OID(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 46}), cms.ErrUnsupportedAlgorithm},
		{"AES-128 with a key of 256 bits", aes, cmstest.OID(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}), cms.ErrDecrypt},
		{"version of the envelope", []byte{2, 1, 2}, []byte{2, 1, 1}, cms.ErrVersion},
		{"version of the recipient", []byte{2, 1, 4}, []byte{2, 1, 3}, cms.ErrVersion},
		{"SignedData", cmstest.OID(cms.OIDEnvelopedData()), cmstest.OID(cms.OIDSignedData()), cms.ErrNotEnveloped},
	} {
		if got, err := cms.Decrypt(replace(t, der, test.old, test.new), key); !errors.Is(err, test.want) {
			t.Errorf("%s: %q, %v, want %v", test.name, got, err, test.want)
		}
	}
	for _, authenticated := range []bool{false, true} {
		der := encrypt(t, &cms.EncryptRequest{Content: []byte("secret"), Recipients: []*x509.Certificate{id.Certificate}, Authenticated: authenticated})
		for n := range der {
			if _, err := cms.ParseEnveloped(der[:n]); err == nil {
				t.Errorf("ParseEnveloped takes the first %d of %d bytes", n, len(der))
			}
		}
		if _, err := cms.ParseEnveloped(append(der, 0)); !errors.Is(err, cms.ErrTrailingData) {
			t.Errorf("trailing byte: %v, want %v", err, cms.ErrTrailingData)
		}
	}
}

// The private key would leak through points off the curve.
func TestPointsOffTheCurveAreRefused(t *testing.T) {
	id := cmstest.New(t, "P-256")
	der := encrypt(t, &cms.EncryptRequest{Content: []byte("secret"), Recipients: []*x509.Certificate{id.Certificate}})
	point := cms.Ephemeral(t, der)
	old := cmstest.Element(3, []byte{0}, point)
	for _, spoilt := range [][]byte{{}, {0}, make([]byte, 65), append([]byte{4}, make([]byte, 64)...), point[:64], flip(point, 40)} {
		changed := replace(t, der, old, cmstest.Element(3, []byte{0}, spoilt))
		if got, err := cms.Decrypt(changed, &cms.RecipientKey{Certificate: id.Certificate, Key: id.Key}); !errors.Is(err, cms.ErrDecrypt) && !errors.Is(err, cms.ErrUnsupportedAlgorithm) {
			t.Errorf("point %x: %q, %v, want %v", spoilt, got, err, cms.ErrDecrypt)
		}
	}
}

func flip(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 1
	return b
}

func TestEncryptRefusesWhatItCannotDo(t *testing.T) {
	ed, p224, p256 := cmstest.New(t, "Ed25519"), cmstest.New(t, "P-224"), cmstest.New(t, "P-256")
	noID := *p256.Certificate
	noID.SubjectKeyId = nil
	one := func(c *x509.Certificate) []*x509.Certificate { return []*x509.Certificate{c} }
	for _, test := range []struct {
		name string
		r    cms.EncryptRequest
		want error
	}{
		{"nobody", cms.EncryptRequest{}, cms.ErrRequest},
		{"too many", cms.EncryptRequest{SharedKeys: make([]cms.SharedKey, cms.MaxRecipients+1)}, cms.ErrRequest},
		{"a signature key", cms.EncryptRequest{Recipients: one(ed.Certificate)}, cms.ErrUnsupportedAlgorithm},
		{"a curve", cms.EncryptRequest{Recipients: one(p224.Certificate)}, cms.ErrUnsupportedAlgorithm},
		{"no subject key identifier", cms.EncryptRequest{Recipients: one(&noID), UseSubjectKeyID: true}, cms.ErrRequest},
		{"short shared key", cms.EncryptRequest{SharedKeys: []cms.SharedKey{{ID: []byte("1"), Key: make([]byte, 16)}}}, cms.ErrRequest},
		{"nameless shared key", cms.EncryptRequest{SharedKeys: []cms.SharedKey{{Key: make([]byte, 32)}}}, cms.ErrRequest},
	} {
		if _, err := cms.Encrypt(&test.r); !errors.Is(err, test.want) {
			t.Errorf("Encrypt for %s: %v, want %v", test.name, err, test.want)
		}
	}
	_, err := cms.Encrypt(&cms.EncryptRequest{SharedKeys: []cms.SharedKey{{ID: []byte("1"), Key: []byte("very secret")}}})
	if err == nil || strings.Contains(err.Error(), "very secret") || strings.Contains(err.Error(), "76657279") {
		t.Errorf("the error shows the key: %v", err)
	}
}
