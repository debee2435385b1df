package est_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/testpki"
)

// forged is a CSR made by hand, field by field, with a signature that verifies.
type forged struct {
	version    int64
	subject    []byte // DER of a Name
	attributes [][]byte
	badSig     bool
	key        crypto.Signer // P-256; nil: a new one
}

var (
	oidExtensionRequest  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14}
	oidChallengePassword = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}
	oidChangeSubjectName = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 7, 36}
	oidSAN               = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidCommonName        = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidOrganization      = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidEmail             = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
)

const (
	tagT61       = 20
	tagUniversal = 28
	tagBMP       = 30
)

func (f forged) der(t testing.TB) []byte {
	t.Helper()
	if f.key == nil {
		f.key = testpki.NewKey(t)
	}
	key, ok := f.key.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatal("the key is no ECDSA key")
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if f.subject == nil {
		f.subject = name(atv(oidCommonName, cbasn1.UTF8String, "device"))
	}
	tbs := build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(f.version)
			b.AddBytes(f.subject)
			b.AddBytes(spki)
			b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				for _, a := range f.attributes {
					b.AddBytes(a)
				}
			})
		})
	})
	digest := sha256.Sum256(tbs)
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	if f.badSig {
		signature[len(signature)-1] ^= 1
	}
	return build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(tbs)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}) // ecdsa-with-SHA256
			})
			b.AddASN1BitString(signature)
		})
	})
}

func build(f func(*cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	f(&b)
	return b.BytesOrPanic()
}

func tlv(tag cbasn1.Tag, content string) []byte {
	return build(func(b *cryptobyte.Builder) {
		b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(content)) })
	})
}

func attribute(oid asn1.ObjectIdentifier, values ...[]byte) []byte {
	return build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
				for _, v := range values {
					b.AddBytes(v)
				}
			})
		})
	})
}

func sequence(parts ...[]byte) []byte {
	return build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, p := range parts {
				b.AddBytes(p)
			}
		})
	})
}

func extension(oid asn1.ObjectIdentifier, critical bool, value []byte) []byte {
	return build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			if critical {
				b.AddASN1Boolean(true)
			}
			b.AddASN1OctetString(value)
		})
	})
}

// san makes a subjectAltName extension.
func san(critical bool, names ...[]byte) []byte {
	return extension(oidSAN, critical, sequence(names...))
}

func general(tag uint8, content string) []byte {
	return tlv(cbasn1.Tag(tag).ContextSpecific(), content)
}

// extensionRequest makes the attribute of RFC 2985, Section 5.4.2.
func extensionRequest(extensions ...[]byte) []byte {
	return attribute(oidExtensionRequest, sequence(extensions...))
}

func atv(oid asn1.ObjectIdentifier, tag cbasn1.Tag, value string) []byte {
	return build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(value)) })
		})
	})
}

// rdn makes one RelativeDistinguishedName of several attributes.
func rdn(atvs ...[]byte) []byte {
	return build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
			for _, a := range atvs {
				b.AddBytes(a)
			}
		})
	})
}

// name makes a Name with one attribute in each RDN.
func name(atvs ...[]byte) []byte {
	rdns := make([][]byte, len(atvs))
	for i, a := range atvs {
		rdns[i] = rdn(a)
	}
	return sequence(rdns...)
}

// bmp encodes ASCII as a BMPString's bytes.
func bmp(s string) string {
	var out []byte
	for i := range len(s) {
		out = append(out, 0, s[i])
	}
	return string(out)
}

// universal encodes ASCII as a UniversalString's bytes.
func universal(s string) string {
	var out []byte
	for i := range len(s) {
		out = append(out, 0, 0, 0, s[i])
	}
	return string(out)
}
