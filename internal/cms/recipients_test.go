package cms_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"slices"
	"testing"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

// spoilt is a message with one element replaced, and what is to come of it.
type spoilt struct {
	name     string
	old, new []byte
	want     error
}

func checkSpoilt(t *testing.T, der []byte, key *cms.RecipientKey, cases []spoilt) {
	t.Helper()
	for _, test := range cases {
		changed := replace(t, der, test.old, test.new)
		if bytes.Equal(changed, der) != bytes.Equal(test.old, test.new) {
			t.Errorf("%s: the element was not found", test.name)
		}
		if got, err := cms.Decrypt(changed, key); !errors.Is(err, test.want) {
			t.Errorf("%s: %q, %v, want %v", test.name, got, err, test.want)
		}
	}
}

// RFC 5652, Section 6.2.2; RFC 5753, Sections 3.1 and 7.
func TestFaultyKeyAgreementIsRefused(t *testing.T) {
	id := cmstest.New(t, "P-256")
	der := encrypt(t, &cms.EncryptRequest{Content: []byte("secret"), Recipients: []*x509.Certificate{id.Certificate}})
	algorithm := func(oid ...int) []byte { return cmstest.Algorithm(oid) }
	ecKey := algorithm(1, 2, 840, 10045, 2, 1)
	named := func(oid ...int) []byte {
		return cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, cmstest.OID(oid)...)
	}
	wrap := algorithm(2, 16, 840, 1, 101, 3, 4, 1, 45)
	agreement := func(oid asn1.ObjectIdentifier, parameters []byte) []byte {
		return cmstest.Algorithm(oid, parameters...)
	}
	stdDH := agreement(asn1.ObjectIdentifier{1, 3, 132, 1, 11, 1}, wrap)
	point := cmstest.Element(3, []byte{0}, cms.Ephemeral(t, der))
	originator := cmstest.Element(0xa0, cmstest.Element(0xa1, ecKey, point))
	name := cmstest.Element(0x30, id.Certificate.RawIssuer, cmstest.Integer(id.Certificate.SerialNumber.Bytes()))
	wrapped := cmstest.Element(4, cms.EncryptedKey(t, der))
	key := &cms.RecipientKey{Certificate: id.Certificate, Key: id.Key}
	checkSpoilt(t, der, key, []spoilt{
		{"nothing spoiled", point, point, nil},
		{"curve named", ecKey, named(1, 2, 840, 10045, 3, 1, 7), nil},
		{"curve NULL", ecKey, cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, 5, 0), nil},
		{"another curve named", ecKey, named(1, 3, 132, 0, 34), cms.ErrUnsupportedAlgorithm},
		{"curve that is no OID", ecKey, cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, 4, 0), cms.ErrSyntax},
		{"another kind of key", ecKey, algorithm(1, 3, 101, 110), cms.ErrUnsupportedAlgorithm},
		{"point in no BIT STRING", point, wrapped, cms.ErrSyntax},
		{"static originator", originator, cmstest.Element(0xa0, name), cms.ErrUnsupportedAlgorithm},
		{"no originator", originator, nil, cms.ErrSyntax},
		{"version", []byte{2, 1, 3}, []byte{2, 1, 4}, cms.ErrVersion},
		{"user keying material that was not used", stdDH, slices.Concat(cmstest.Element(0xa1, []byte{4, 1, 1}), stdDH), cms.ErrDecrypt},
		{"user keying material that is none", stdDH, slices.Concat(cmstest.Element(0xa1, []byte{5, 0}), stdDH), cms.ErrSyntax},
		{"SHA-1", stdDH, agreement(asn1.ObjectIdentifier{1, 3, 133, 16, 840, 63, 0, 2}, wrap), cms.ErrWeakAlgorithm},
		{"another hash", stdDH, agreement(asn1.ObjectIdentifier{1, 3, 132, 1, 11, 3}, wrap), cms.ErrDecrypt},
		{"another agreement", stdDH, agreement(asn1.ObjectIdentifier{1, 2, 3}, wrap), cms.ErrUnsupportedAlgorithm},
		{"no key wrap", stdDH, agreement(asn1.ObjectIdentifier{1, 3, 132, 1, 11, 1}, []byte{5, 0}), cms.ErrSyntax},
		{"another key wrap", wrap, algorithm(1, 2, 3), cms.ErrUnsupportedAlgorithm},
		{"a smaller key wrap", wrap, algorithm(2, 16, 840, 1, 101, 3, 4, 1, 5), cms.ErrDecrypt},
		{"somebody's key identifier", name, cmstest.Element(0xa0, []byte{4, 1, 7}), cms.ErrNoRecipient},
		{"right key identifier", name, cmstest.Element(0xa0, cmstest.Element(4, id.Certificate.SubjectKeyId)), nil},
		{"empty key identifier", name, cmstest.Element(0xa0, []byte{4, 0}), cms.ErrSyntax},
		{"bare key identifier", name, cmstest.Element(0x80, []byte{7}), cms.ErrSyntax},
		{"encrypted key that is none", wrapped, []byte{5, 0}, cms.ErrSyntax},
		{"empty encrypted key", wrapped, []byte{4, 0}, cms.ErrDecrypt},
		{"other encrypted key", wrapped, cmstest.Element(4, make([]byte, 40)), cms.ErrDecrypt},
	})
}

// RFC 5652, Section 6.2.1; RFC 4055, Section 4.1.
func TestFaultyKeyTransportIsRefused(t *testing.T) {
	id := cmstest.New(t, "RSA")
	der := encrypt(t, &cms.EncryptRequest{Content: []byte("secret"), Recipients: []*x509.Certificate{id.Certificate}, UseSubjectKeyID: true})
	sha256 := cmstest.Algorithm(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, 5, 0)
	sha1 := sha1Digest()
	hash := cmstest.Element(0xa0, sha256)
	mgf1 := func(h []byte) []byte {
		return cmstest.Element(0xa1, cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}, h...))
	}
	oaep := func(fields ...[]byte) []byte {
		return cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 7}, cmstest.Element(0x30, fields...)...)
	}
	was := oaep(hash, mgf1(sha256))
	label := cmstest.Element(0xa2, cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 9}, 4, 1, 1))
	wrapped := cmstest.Element(4, cms.EncryptedKey(t, der))
	name := cmstest.Element(0x80, id.Certificate.SubjectKeyId)
	key := &cms.RecipientKey{Certificate: id.Certificate, Key: id.Key}
	checkSpoilt(t, der, key, []spoilt{
		{"nothing spoiled", was, was, nil},
		{"PKCS #1 v1.5", was, cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, 5, 0), cms.ErrWeakAlgorithm},
		{"another algorithm", was, cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 3}), cms.ErrUnsupportedAlgorithm},
		{"defaults", was, oaep(), cms.ErrWeakAlgorithm},
		{"SHA-1", was, oaep(cmstest.Element(0xa0, sha1), mgf1(sha256)), cms.ErrWeakAlgorithm},
		{"SHA-1 in mask generation", was, oaep(hash, mgf1(sha1)), cms.ErrWeakAlgorithm},
		{"no parameters", was, cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 7}), cms.ErrSyntax},
		{"a label", was, oaep(hash, mgf1(sha256), label), cms.ErrUnsupportedAlgorithm},
		{"hash that is none", was, oaep(cmstest.Element(0xa0, []byte{5, 0}), mgf1(sha256)), cms.ErrSyntax},
		{"version", cmstest.Element(0x30, []byte{2, 1, 2}, name, was, wrapped), cmstest.Element(0x30, []byte{2, 1, 1}, name, was, wrapped), cms.ErrVersion},
		{"no version", cmstest.Element(0x30, []byte{2, 1, 2}, name, was, wrapped), cmstest.Element(0x30, name, was, wrapped), cms.ErrSyntax},
		{"empty key identifier", name, []byte{0x80, 0}, cms.ErrSyntax},
		{"encrypted key that is none", wrapped, []byte{5, 0}, cms.ErrSyntax},
		{"short encrypted key", wrapped, []byte{4, 1, 1}, cms.ErrDecrypt},
		{"other encrypted key", wrapped, cmstest.Element(4, bytes.Repeat([]byte{1}, 256)), cms.ErrDecrypt},
	})
}

// RFC 5652, Sections 6.1 and 6.2.
func TestOtherRecipientsArePassedOverOrRefused(t *testing.T) {
	shared := sharedKey()
	der := encrypt(t, &cms.EncryptRequest{Content: []byte("secret"), SharedKeys: []cms.SharedKey{shared}})
	wrap := cmstest.Algorithm(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 45})
	kek := cmstest.Element(0xa2, []byte{2, 1, 4}, cmstest.Element(0x30, cmstest.Element(4, shared.ID)), wrap, cmstest.Element(4, cms.EncryptedKey(t, der)))
	set := func(infos ...[]byte) []byte { return cmstest.Element(0x31, infos...) }
	key := &cms.RecipientKey{SharedKey: &shared}
	many := slices.Repeat([][]byte{kek}, cms.MaxRecipients)
	checkSpoilt(t, der, key, []spoilt{
		{"nothing spoiled", set(kek), set(kek), nil},
		{"a password before", set(kek), set(cmstest.Element(0xa3, []byte{2, 1, 0}), kek), nil},
		{"another kind before", set(kek), set(cmstest.Element(0xa4), kek), nil},
		{"only a password", set(kek), set(cmstest.Element(0xa3, []byte{2, 1, 0})), cms.ErrNoRecipient},
		{"a kind that is not defined", set(kek), set(cmstest.Element(0xa5), kek), cms.ErrSyntax},
		{"no recipients", set(kek), set(), cms.ErrSyntax},
		{"a wrong one of the same name before", set(kek), set(replace(t, kek, cmstest.Element(4, cms.EncryptedKey(t, der)), []byte{4, 0}), kek), nil},
		{"as many as may be", set(kek), set(many...), nil},
		{"one too many", set(kek), set(append(many, kek)...), cms.ErrTooLarge},
		{"originator's certificates", set(kek), slices.Concat(cmstest.Element(0xa0), set(kek)), nil},
	})
}
