package cmstest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	_ "crypto/sha256" // for Hash.New
	_ "crypto/sha512" // for Hash.New
	"encoding/asn1"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Message is a SignedData to assemble. Nothing in it needs to agree with anything else.
type Message struct {
	Version     int // 0 means 1
	ContentType asn1.ObjectIdentifier
	// Content is eContent; nil leaves it out.
	Content []byte
	// Certificates are written as they are, in order; nil leaves the field out.
	Certificates [][]byte
	// CRLs likewise.
	CRLs    [][]byte
	Signers []Signer
	// Rest is written after the signers.
	Rest []byte
}

// Signer is one SignerInfo to assemble. What is zero follows from Identity, which signs.
type Signer struct {
	Identity *Identity
	Version  int // 0 means 1, or 3 with BySubjectKeyID
	// BySubjectKeyID names the certificate so.
	BySubjectKeyID bool
	// Digest and Algorithm are AlgorithmIdentifiers in DER.
	Digest, Algorithm []byte
	// Attributes are written in this order; nil leaves the field out.
	Attributes [][]byte
	// Signed is what is signed; nil means the DER of the set of Attributes, or the content.
	Signed []byte
	// Hash is what is signed with; 0 means SHA-256.
	Hash crypto.Hash
	// Signature is written in place of a fresh one.
	Signature []byte
	// Unsigned are the unsigned attributes; nil leaves the field out.
	Unsigned [][]byte
}

// Bytes returns the ContentInfo in DER, but for the order of sets, which is that of m.
func (m *Message) Bytes(t testing.TB) []byte {
	t.Helper()
	signers := [][]byte{}
	for _, s := range m.Signers {
		signers = append(signers, s.bytes(t, m.Content))
	}
	version := m.Version
	if version == 0 {
		version = 1
	}
	content := [][]byte{OID(m.ContentType)}
	if m.Content != nil {
		content = append(content, Element(0xa0, Element(0x04, m.Content)))
	}
	fields := [][]byte{{2, 1, byte(version)}, Element(0x31, SHA256()), Element(0x30, content...)}
	if m.Certificates != nil {
		fields = append(fields, Element(0xa0, m.Certificates...))
	}
	if m.CRLs != nil {
		fields = append(fields, Element(0xa1, m.CRLs...))
	}
	fields = append(fields, Element(0x31, signers...), m.Rest)
	return Element(0x30, OID(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}), Element(0xa0, Element(0x30, fields...)))
}

func (s Signer) bytes(t testing.TB, content []byte) []byte {
	t.Helper()
	c := s.Identity.Certificate
	version := s.Version
	name := Element(0x30, c.RawIssuer, Integer(c.SerialNumber.Bytes()))
	if s.BySubjectKeyID {
		name = Element(0x80, c.SubjectKeyId)
	}
	if version == 0 {
		version = 1
		if s.BySubjectKeyID {
			version = 3
		}
	}
	digest, algorithm := s.Digest, s.Algorithm
	if digest == nil {
		digest = SHA256()
	}
	if algorithm == nil {
		algorithm = s.defaultAlgorithm()
	}
	fields := [][]byte{{2, 1, byte(version)}, name, digest}
	if s.Attributes != nil {
		fields = append(fields, Element(0xa0, s.Attributes...))
	}
	fields = append(fields, algorithm, Element(0x04, s.sign(t, content)))
	if s.Unsigned != nil {
		fields = append(fields, Element(0xa1, s.Unsigned...))
	}
	return Element(0x30, fields...)
}

func (s Signer) defaultAlgorithm() []byte {
	switch s.Identity.Key.Public().(type) {
	case *ecdsa.PublicKey:
		return Algorithm(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2})
	case ed25519.PublicKey:
		return Algorithm(asn1.ObjectIdentifier{1, 3, 101, 112})
	}
	return Algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, 5, 0)
}

func (s Signer) sign(t testing.TB, content []byte) []byte {
	t.Helper()
	if s.Signature != nil {
		return s.Signature
	}
	message := s.Signed
	switch {
	case message != nil:
	case s.Attributes != nil:
		message = SetOf(s.Attributes...)
	default:
		message = content
	}
	hash := s.Hash
	if hash == 0 {
		hash = crypto.SHA256
	}
	if _, ok := s.Identity.Key.Public().(ed25519.PublicKey); ok {
		hash = 0
	} else {
		message = Digest(hash, message)
	}
	signature, err := s.Identity.Key.Sign(rand.Reader, message, hash)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// Element returns an element with that tag and the contents one after the other, with a DER length.
func Element(tag byte, contents ...[]byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.Tag(tag), func(b *cryptobyte.Builder) {
		for _, c := range contents {
			b.AddBytes(c)
		}
	})
	return b.BytesOrPanic()
}

// SetOf returns a SET OF in DER: it sorts.
func SetOf(members ...[]byte) []byte {
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, bytes.Compare)
	return Element(0x31, sorted...)
}

// OID returns an OBJECT IDENTIFIER in DER.
func OID(oid asn1.ObjectIdentifier) []byte {
	var b cryptobyte.Builder
	b.AddASN1ObjectIdentifier(oid)
	return b.BytesOrPanic()
}

// Integer returns a non-negative INTEGER from its big-endian bytes.
func Integer(magnitude []byte) []byte {
	if len(magnitude) == 0 || magnitude[0] >= 0x80 {
		magnitude = append([]byte{0}, magnitude...)
	}
	return Element(0x02, magnitude)
}

// Algorithm returns an AlgorithmIdentifier with parameters in DER.
func Algorithm(oid asn1.ObjectIdentifier, parameters ...byte) []byte {
	return Element(0x30, OID(oid), parameters)
}

// SHA256 returns the AlgorithmIdentifier of SHA-256.
func SHA256() []byte { return Algorithm(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}) }

// Attribute returns an attribute with values in DER.
func Attribute(oid asn1.ObjectIdentifier, values ...[]byte) []byte {
	return Element(0x30, OID(oid), Element(0x31, values...))
}

// ContentType returns the content-type attribute.
func ContentType(oid asn1.ObjectIdentifier) []byte {
	return Attribute(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}, OID(oid))
}

// MessageDigest returns the message-digest attribute of content.
func MessageDigest(h crypto.Hash, content []byte) []byte {
	return Attribute(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}, Element(0x04, Digest(h, content)))
}

// Digest returns the digest of b.
func Digest(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}
