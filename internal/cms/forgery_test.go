package cms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

// attributes returns the attributes that belong to content.
func attributes(contentType asn1.ObjectIdentifier, content []byte) [][]byte {
	return [][]byte{cmstest.ContentType(contentType), cmstest.MessageDigest(crypto.SHA256, content)}
}

// messageBy returns a sound message by hand, for a test to spoil.
func messageBy(id *cmstest.Identity, contentType asn1.ObjectIdentifier, content []byte) *cmstest.Message {
	return &cmstest.Message{
		ContentType: contentType, Content: content, Certificates: [][]byte{id.Certificate.Raw},
		Signers: []cmstest.Signer{{Identity: id, Attributes: attributes(contentType, content)}},
	}
}

func verifyFirst(t testing.TB, m *cmstest.Message) error {
	t.Helper()
	return openAndVerify(m.Bytes(t))
}

func sha1Digest() []byte { return cmstest.Algorithm(asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}) }

// RFC 5652, Sections 5.3, 5.6 and 11; RFC 5754.
func TestForgedAndFaultySignersAreRefused(t *testing.T) {
	id := cmstest.New(t, "P-256")
	voucher, content := cms.OIDAnimaJSONVoucher(), []byte(`{"ietf-voucher:voucher":{}}`)
	oidDigest, oidType := cms.OIDAttributeMessageDigest(), cms.OIDAttributeContentType()
	digest := cmstest.Element(4, cmstest.Digest(crypto.SHA256, content))
	otherDigest := cmstest.MessageDigest(crypto.SHA256, []byte("other content"))
	for _, test := range []struct {
		name  string
		spoil func(*cmstest.Message)
		want  error
	}{
		{"nothing spoiled", func(*cmstest.Message) {}, nil},
		{"content-type attribute of another type", func(m *cmstest.Message) {
			m.Signers[0].Attributes[0] = cmstest.ContentType(cms.OIDData())
		}, cms.ErrContentTypeMismatch},
		{"content relabelled", func(m *cmstest.Message) { m.ContentType = cms.OIDData() }, cms.ErrContentTypeMismatch},
		{"no content-type attribute", func(m *cmstest.Message) {
			m.Signers[0].Attributes = m.Signers[0].Attributes[1:]
		}, cms.ErrMissingAttribute},
		{"content-type attribute twice", func(m *cmstest.Message) {
			m.Signers[0].Attributes = append(m.Signers[0].Attributes, cmstest.ContentType(voucher))
		}, cms.ErrDuplicateAttribute},
		{"content-type attribute with two values", func(m *cmstest.Message) {
			m.Signers[0].Attributes[0] = cmstest.Attribute(oidType, cmstest.OID(voucher), cmstest.OID(cms.OIDData()))
		}, cms.ErrDuplicateAttribute},
		{"content-type attribute without value", func(m *cmstest.Message) {
			m.Signers[0].Attributes[0] = cmstest.Attribute(oidType)
		}, cms.ErrDuplicateAttribute},
		{"content-type attribute that is no OID", func(m *cmstest.Message) {
			m.Signers[0].Attributes[0] = cmstest.Attribute(oidType, []byte{5, 0})
		}, cms.ErrSyntax},
		{"no message digest", func(m *cmstest.Message) {
			m.Signers[0].Attributes = m.Signers[0].Attributes[:1]
		}, cms.ErrMissingAttribute},
		{"two message digests, the right one first", func(m *cmstest.Message) {
			m.Signers[0].Attributes = append(m.Signers[0].Attributes, otherDigest)
		}, cms.ErrDuplicateAttribute},
		{"two message digests, the right one last", func(m *cmstest.Message) {
			m.Signers[0].Attributes = slices.Insert(m.Signers[0].Attributes, 1, otherDigest)
		}, cms.ErrDuplicateAttribute},
		{"message digest with two values", func(m *cmstest.Message) {
			m.Signers[0].Attributes[1] = cmstest.Attribute(oidDigest, digest, digest)
		}, cms.ErrDuplicateAttribute},
		{"message digest that is no OCTET STRING", func(m *cmstest.Message) {
			m.Signers[0].Attributes[1] = cmstest.Attribute(oidDigest, []byte{2, 1, 1})
		}, cms.ErrSyntax},
		{"another unknown attribute twice", func(m *cmstest.Message) {
			a := cmstest.Attribute(asn1.ObjectIdentifier{1, 2, 3}, []byte{5, 0})
			m.Signers[0].Attributes = append(m.Signers[0].Attributes, a, a)
		}, cms.ErrDuplicateAttribute},
		{"one unknown attribute", func(m *cmstest.Message) {
			m.Signers[0].Attributes = append(m.Signers[0].Attributes, cmstest.Attribute(asn1.ObjectIdentifier{1, 2, 3}, []byte{5, 0}))
		}, nil},
		{"digest of other content", func(m *cmstest.Message) { m.Signers[0].Attributes[1] = otherDigest }, cms.ErrDigestMismatch},
		{"empty digest", func(m *cmstest.Message) {
			m.Signers[0].Attributes[1] = cmstest.Attribute(oidDigest, []byte{4, 0})
		}, cms.ErrDigestMismatch},
		{"content changed", func(m *cmstest.Message) { m.Content = []byte("{}") }, cms.ErrDigestMismatch},
		{"no signed attributes", func(m *cmstest.Message) { m.Signers[0].Attributes = nil }, cms.ErrNoSignedAttributes},
		{"empty set of signed attributes", func(m *cmstest.Message) { m.Signers[0].Attributes = [][]byte{} }, cms.ErrSyntax},
		{"no content", func(m *cmstest.Message) { m.Content = nil }, cms.ErrNoContent},
		{"signature over the content, attributes present", func(m *cmstest.Message) { m.Signers[0].Signed = content }, cms.ErrSignature},
		{"signature over the attributes with their implicit tag", func(m *cmstest.Message) {
			m.Signers[0].Signed = cmstest.Element(0xa0, m.Signers[0].Attributes...)
		}, cms.ErrSignature},
		{"empty signature", func(m *cmstest.Message) { m.Signers[0].Signature = []byte{} }, cms.ErrSignature},
		{"signature of zeros", func(m *cmstest.Message) { m.Signers[0].Signature = unhex(t, "3006020100020100") }, cms.ErrSignature},
		{"attributes only unsigned", func(m *cmstest.Message) {
			m.Signers[0].Attributes, m.Signers[0].Unsigned = nil, m.Signers[0].Attributes
		}, cms.ErrNoSignedAttributes},
		{"SHA-1 digest", func(m *cmstest.Message) { m.Signers[0].Digest = sha1Digest() }, cms.ErrWeakAlgorithm},
		{"MD5 digest", func(m *cmstest.Message) {
			m.Signers[0].Digest = cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 5})
		}, cms.ErrWeakAlgorithm},
		{"ecdsa-with-SHA1", func(m *cmstest.Message) {
			m.Signers[0].Algorithm = cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1})
		}, cms.ErrWeakAlgorithm},
		{"sha1WithRSAEncryption", func(m *cmstest.Message) {
			m.Signers[0].Algorithm = cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, 5, 0)
		}, cms.ErrWeakAlgorithm},
		{"unknown digest", func(m *cmstest.Message) { m.Signers[0].Digest = cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 3}) }, cms.ErrUnsupportedAlgorithm},
		{"unknown signature algorithm", func(m *cmstest.Message) {
			m.Signers[0].Algorithm = cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 3})
		}, cms.ErrUnsupportedAlgorithm},
		{"digest with parameters", func(m *cmstest.Message) {
			m.Signers[0].Digest = cmstest.Algorithm(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, 4, 0)
		}, cms.ErrUnsupportedAlgorithm},
		{"RSA algorithm with an EC key", func(m *cmstest.Message) {
			m.Signers[0].Algorithm = cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, 5, 0)
		}, cms.ErrSignature},
		{"ECDSA with another hash than was used", func(m *cmstest.Message) {
			m.Signers[0].Algorithm = cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3})
		}, cms.ErrSignature},
		{"version of SignedData", func(m *cmstest.Message) { m.Version = 2 }, cms.ErrVersion},
		{"version of SignerInfo", func(m *cmstest.Message) { m.Signers[0].Version = 2 }, cms.ErrVersion},
		{"field after the signers", func(m *cmstest.Message) { m.Rest = []byte{5, 0} }, cms.ErrSyntax},
		{"no certificate", func(m *cmstest.Message) { m.Certificates = nil }, cms.ErrNoSignerCertificate},
		{"too many signers", func(m *cmstest.Message) { m.Signers = slices.Repeat(m.Signers, cms.MaxSigners+1) }, cms.ErrTooLarge},
		{"too many certificates", func(m *cmstest.Message) {
			m.Certificates = slices.Repeat([][]byte{{0x30, 0}}, cms.MaxCertificates+1)
		}, cms.ErrTooLarge},
		{"too many CRLs", func(m *cmstest.Message) { m.CRLs = slices.Repeat([][]byte{{0x30, 0}}, cms.MaxCertificates+1) }, cms.ErrTooLarge},
		{"too many attributes", func(m *cmstest.Message) {
			m.Signers[0].Attributes = slices.Repeat(m.Signers[0].Attributes, cms.MaxAttributes)
		}, cms.ErrTooLarge},
		{"too many values", func(m *cmstest.Message) {
			m.Signers[0].Attributes[1] = cmstest.Attribute(oidDigest, slices.Repeat([][]byte{digest}, cms.MaxAttributes+1)...)
		}, cms.ErrTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := messageBy(id, voucher, content)
			test.spoil(m)
			if err := verifyFirst(t, m); !errors.Is(err, test.want) {
				t.Errorf("parse and verify: %v, want %v", err, test.want)
			}
			if err := openAndVerify(append(m.Bytes(t), 0)); !errors.Is(err, cms.ErrTrailingData) {
				t.Errorf("with a trailing byte: %v, want %v", err, cms.ErrTrailingData)
			}
		})
	}
}

// The content of the forgery is the set of attributes that somebody signed in another message.
func TestMessageWithItsAttributesStrippedIsRefused(t *testing.T) {
	id := cmstest.New(t, "P-256")
	sound := parse(t, signed(t, id, []byte("sound")))
	si := sound.Signers[0]
	raw := [][]byte{}
	for _, a := range si.SignedAttributes {
		raw = append(raw, cmstest.Attribute(a.Type, a.Values...))
	}
	for _, test := range []struct {
		contentType asn1.ObjectIdentifier
		want        error
	}{
		{cms.OIDData(), cms.ErrAttributesAsContent},
		{cms.OIDAnimaJSONVoucher(), cms.ErrNoSignedAttributes},
	} {
		forged := &cmstest.Message{
			ContentType: test.contentType, Content: cmstest.SetOf(raw...), Certificates: [][]byte{id.Certificate.Raw},
			Signers: []cmstest.Signer{{Identity: id, Signature: si.Signature}},
		}
		if err := verifyFirst(t, forged); !errors.Is(err, test.want) {
			t.Errorf("forgery as %s: %v, want %v", test.contentType, err, test.want)
		}
		// The signature itself is right: only the form of the content gives the forgery away.
		pub := id.Key.Public().(*ecdsa.PublicKey)
		if !ecdsa.VerifyASN1(pub, cmstest.Digest(crypto.SHA256, forged.Content), si.Signature) {
			t.Error("the forgery's signature does not verify: the test tests nothing")
		}
	}
}

// RFC 5652, Section 5.3 allows it for id-data; the caller sees that there are none.
func TestDataWithoutSignedAttributesVerifiesAndSaysSo(t *testing.T) {
	id := cmstest.New(t, "P-256")
	for _, content := range []string{"plain", "", "\x31\x00", "\x31\x03\x30\x01\x05", "\x31\x80"} {
		m := messageBy(id, cms.OIDData(), []byte(content))
		m.Signers[0].Attributes = nil
		sd := parse(t, m.Bytes(t))
		si := sd.Signers[0]
		if err := sd.Verify(si, id.Certificate); err != nil || si.HasSignedAttributes {
			t.Errorf("content %q: %v, attributes %v, want none and no error", content, err, si.HasSignedAttributes)
		}
		m.Signers[0].Algorithm = cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3})
		m.Signers[0].Hash = crypto.SHA384
		if err := verifyFirst(t, m); !errors.Is(err, cms.ErrSignature) {
			t.Errorf("two hashes without attributes: %v, want %v", err, cms.ErrSignature)
		}
	}
}

// RFC 5652, Section 5.4: the signature is over the DER, whatever the encoding of the message.
func TestUnsortedAttributesVerifyWhicheverOrderIsSigned(t *testing.T) {
	id := cmstest.New(t, "P-256")
	content := []byte("content")
	m := messageBy(id, cms.OIDAnimaJSONVoucher(), content)
	a := m.Signers[0].Attributes
	sorted := cmstest.SetOf(a...)
	slices.SortFunc(a, func(x, y []byte) int { return bytes.Compare(y, x) }) // the wrong way round
	if bytes.Equal(cmstest.Element(0x31, a...), sorted) {
		t.Fatal("the attributes are sorted: the test tests nothing")
	}
	if err := verifyFirst(t, m); err != nil {
		t.Errorf("unsorted on the wire, signed over DER: %v", err)
	}
	if err := openAndVerify(cmstest.Indefinite(m.Bytes(t), 5)); err != nil {
		t.Errorf("unsorted, in BER, signed over DER: %v", err)
	}
	m.Signers[0].Signed = cmstest.Element(0x31, a...)
	if err := verifyFirst(t, m); err != nil {
		t.Errorf("unsorted on the wire and signed so (mranga-1-vr): %v", err)
	}
}

func TestTwoSignersAreTwo(t *testing.T) {
	one, two := cmstest.New(t, "P-256"), cmstest.New(t, "RSA")
	m := messageBy(one, cms.OIDAnimaJSONVoucher(), []byte("content"))
	m.Certificates = append(m.Certificates, two.Certificate.Raw)
	m.Signers = append(m.Signers, cmstest.Signer{Identity: two, Attributes: m.Signers[0].Attributes, BySubjectKeyID: true})
	sd := parse(t, m.Bytes(t))
	if len(sd.Signers) != 2 {
		t.Fatalf("%d signers, want 2", len(sd.Signers))
	}
	for i, id := range []*cmstest.Identity{one, two} {
		cert, err := sd.SignerCertificate(sd.Signers[i])
		if err != nil || !cert.Equal(id.Certificate) || sd.Verify(sd.Signers[i], cert) != nil {
			t.Errorf("signer %d: %v", i+1, err)
		}
	}
	// One bad signer does not hide the other.
	m.Signers[0].Digest = sha1Digest()
	sd = parse(t, m.Bytes(t))
	if err := sd.Verify(sd.Signers[0], one.Certificate); !errors.Is(err, cms.ErrWeakAlgorithm) {
		t.Errorf("first signer: %v, want %v", err, cms.ErrWeakAlgorithm)
	}
	if err := sd.Verify(sd.Signers[1], two.Certificate); err != nil {
		t.Errorf("second signer: %v", err)
	}
}

func TestUnreadableCertificateDoesNotHideTheSigner(t *testing.T) {
	id := cmstest.New(t, "P-256")
	m := messageBy(id, cms.OIDAnimaJSONVoucher(), []byte("content"))
	odd := cmstest.Element(0x30, []byte{2, 1, 1})
	m.Certificates = [][]byte{odd, cmstest.Element(0xa2, []byte{5, 0}), id.Certificate.Raw}
	sd := parse(t, m.Bytes(t))
	if len(sd.Certificates) != 1 || len(sd.UnreadableCertificates) != 2 || !bytes.Equal(sd.UnreadableCertificates[0].Raw, odd) || sd.UnreadableCertificates[0].Err == nil {
		t.Errorf("%d certificates and %d unreadable, want 1 and 2", len(sd.Certificates), len(sd.UnreadableCertificates))
	}
	if err := verifyFirst(t, m); err != nil {
		t.Error(err)
	}
	m.Certificates = m.Certificates[:1]
	if err := verifyFirst(t, m); !errors.Is(err, cms.ErrNoSignerCertificate) {
		t.Errorf("without the signer's: %v, want %v", err, cms.ErrNoSignerCertificate)
	}
}

func TestTwoCertificatesOfOneNameAreAmbiguous(t *testing.T) {
	id := cmstest.New(t, "P-256")
	twin := sameName(t, id)
	m := messageBy(id, cms.OIDAnimaJSONVoucher(), []byte("content"))
	m.Certificates = [][]byte{id.Certificate.Raw, id.Certificate.Raw}
	if err := verifyFirst(t, m); err != nil {
		t.Errorf("the same certificate twice: %v", err)
	}
	m.Certificates = append(m.Certificates, twin)
	if err := verifyFirst(t, m); !errors.Is(err, cms.ErrAmbiguousSigner) {
		t.Errorf("two certificates of one name: %v, want %v", err, cms.ErrAmbiguousSigner)
	}
}

// sameName returns a certificate with the issuer and serial number of id's and another signature.
func sameName(t *testing.T, id *cmstest.Identity) []byte {
	t.Helper()
	in := cryptobyte.String(id.Certificate.Raw)
	var body, tbs, algorithm cryptobyte.String
	if !in.ReadASN1(&body, cryptobyte_asn1.SEQUENCE) || !body.ReadASN1Element(&tbs, cryptobyte_asn1.SEQUENCE) ||
		!body.ReadASN1Element(&algorithm, cryptobyte_asn1.SEQUENCE) {
		t.Fatal("certificate does not parse")
	}
	signature, err := id.Key.Sign(rand.Reader, cmstest.Digest(crypto.SHA256, tbs), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return cmstest.Element(0x30, tbs, algorithm, cmstest.Element(3, []byte{0}, signature))
}

func TestWeakAndUnknownKeysAreRefused(t *testing.T) {
	for kind, want := range map[string]error{"RSA-1024": cms.ErrWeakAlgorithm, "P-224": cms.ErrUnsupportedAlgorithm} {
		m := messageBy(cmstest.New(t, kind), cms.OIDAnimaJSONVoucher(), []byte("content"))
		if err := verifyFirst(t, m); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", kind, err, want)
		}
	}
	sd := parse(t, signed(t, cmstest.New(t, "P-256"), []byte("content")))
	if err := sd.VerifyKey(sd.Signers[0], "no key"); !errors.Is(err, cms.ErrUnsupportedAlgorithm) {
		t.Errorf("a string for a key: %v, want %v", err, cms.ErrUnsupportedAlgorithm)
	}
}

// RFC 4055, Section 3.1; RFC 4056, Section 3.
func TestPSSParametersAreChecked(t *testing.T) {
	id := cmstest.New(t, "RSA")
	sha256, sha384 := cmstest.SHA256(), cmstest.Algorithm(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2})
	mgf1 := func(hash []byte) []byte {
		return cmstest.Element(0xa1, cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}, hash...))
	}
	hash, salt := cmstest.Element(0xa0, sha256), cmstest.Element(0xa2, []byte{2, 1, 32})
	otherMGF := cmstest.Element(0xa1, cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 3}, sha256...))
	for _, test := range []struct {
		name       string
		parameters []byte
		want       error
	}{
		{"none", nil, cms.ErrSyntax},
		{"NULL", []byte{5, 0}, cms.ErrSyntax},
		{"all defaults", cmstest.Element(0x30), cms.ErrWeakAlgorithm},
		{"default mask generation", cmstest.Element(0x30, hash, salt), cms.ErrWeakAlgorithm},
		{"SHA-1 in mask generation", cmstest.Element(0x30, hash, mgf1(sha1Digest()), salt), cms.ErrWeakAlgorithm},
		{"another hash in mask generation", cmstest.Element(0x30, hash, mgf1(sha384), salt), cms.ErrUnsupportedAlgorithm},
		{"another hash than the digest's", cmstest.Element(0x30, cmstest.Element(0xa0, sha384), mgf1(sha384), salt), cms.ErrSignature},
		{"another mask generation", cmstest.Element(0x30, hash, otherMGF, salt), cms.ErrUnsupportedAlgorithm},
		{"mask generation without a hash", cmstest.Element(0x30, hash, mgf1(nil), salt), cms.ErrSyntax},
		{"salt of no bytes", cmstest.Element(0x30, hash, mgf1(sha256), cmstest.Element(0xa2, []byte{2, 1, 0})), cms.ErrUnsupportedAlgorithm},
		{"negative salt", cmstest.Element(0x30, hash, mgf1(sha256), cmstest.Element(0xa2, []byte{2, 1, 0xff})), cms.ErrUnsupportedAlgorithm},
		{"huge salt", cmstest.Element(0x30, hash, mgf1(sha256), cmstest.Element(0xa2, []byte{2, 3, 1, 0, 0})), cms.ErrUnsupportedAlgorithm},
		{"salt that is no number", cmstest.Element(0x30, hash, mgf1(sha256), cmstest.Element(0xa2, []byte{5, 0})), cms.ErrSyntax},
		{"another trailer", cmstest.Element(0x30, hash, mgf1(sha256), salt, cmstest.Element(0xa3, []byte{2, 1, 2})), cms.ErrUnsupportedAlgorithm},
		{"a fifth field", cmstest.Element(0x30, hash, mgf1(sha256), salt, cmstest.Element(0xa4, []byte{2, 1, 2})), cms.ErrSyntax},
		{"a right form, the signature being PKCS #1", cmstest.Element(0x30, hash, mgf1(sha256), salt, cmstest.Element(0xa3, []byte{2, 1, 1})), cms.ErrSignature},
	} {
		m := messageBy(id, cms.OIDAnimaJSONVoucher(), []byte("content"))
		m.Signers[0].Algorithm = cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}, test.parameters...)
		if err := verifyFirst(t, m); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func TestOtherContentInfosAreNoSignedData(t *testing.T) {
	for _, test := range []struct {
		name string
		data []byte
		want error
	}{
		{"data", cmstest.Element(0x30, cmstest.OID(cms.OIDData()), cmstest.Element(0xa0, []byte{4, 0})), cms.ErrNotSignedData},
		{"no content", cmstest.Element(0x30, cmstest.OID(cms.OIDSignedData())), cms.ErrNoContent},
		{"wrong tag", cmstest.Element(0x30, cmstest.OID(cms.OIDSignedData()), cmstest.Element(0xa1, []byte{4, 0})), cms.ErrSyntax},
		{"not a sequence", cmstest.Element(0x31, cmstest.OID(cms.OIDSignedData())), cms.ErrSyntax},
		{"empty sequence", []byte{0x30, 0}, cms.ErrSyntax},
		{"two contents", cmstest.Element(0x30, cmstest.OID(cms.OIDSignedData()), cmstest.Element(0xa0), cmstest.Element(0xa0)), cms.ErrSyntax},
	} {
		if _, err := cms.ParseSignedData(test.data); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}
