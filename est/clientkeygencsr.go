package est

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// keyGenCSR makes the CSR of a serverkeygen: crypto/x509 cannot write its attributes.
type keyGenCSR struct {
	key     crypto.Signer // thrown away; it says which kind is wished for
	subject []byte
	spki    []byte
	// attributes, each in DER, without a link.
	attributes [][]byte
	algorithm  []byte
}

func newKeyGenCSR(r *KeyGenRequest) (*keyGenCSR, error) {
	kind := r.Type
	if kind == "" {
		kind = P256
	}
	if r.Names == nil {
		return nil, errors.New("no names to ask for")
	}
	key, err := kind.New()
	if err != nil {
		return nil, err
	}
	template := *r.Names
	template.SignatureAlgorithm = x509.UnknownSignatureAlgorithm // what suits the key
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		return nil, err
	}
	c := &keyGenCSR{key: key}
	in := cryptobyte.String(der)
	var outer, info, list, subject, spki, algorithm cryptobyte.String
	if !in.ReadASN1(&outer, asn1.SEQUENCE) || !outer.ReadASN1(&info, asn1.SEQUENCE) || !outer.ReadASN1Element(&algorithm, asn1.SEQUENCE) ||
		!info.SkipASN1(asn1.INTEGER) || !info.ReadASN1Element(&subject, asn1.SEQUENCE) || !info.ReadASN1Element(&spki, asn1.SEQUENCE) ||
		!info.ReadASN1(&list, asn1.Tag(0).ContextSpecific().Constructed()) {
		return nil, errDER
	}
	c.subject, c.spki, c.algorithm = subject, spki, algorithm
	for !list.Empty() {
		var one cryptobyte.String
		if !list.ReadASN1Element(&one, asn1.SEQUENCE) {
			return nil, errDER
		}
		c.attributes = append(c.attributes, one)
	}
	return c, c.encryption(r)
}

// encryption adds the attributes that name a key to encrypt with, and the algorithms for it (RFC 7030, Section 4.4.1).
func (c *keyGenCSR) encryption(r *KeyGenRequest) error {
	var capabilities []string // each a whole SMIMECapability, without its SEQUENCE
	cbc, gcm, wrap := objectID(oidAES256CBC), objectID(oidAES256GCM), objectID(oidAES256Wrap)
	switch {
	case r.SharedKey != nil && r.Recipient != nil:
		return errors.New("both a shared key and a recipient to encrypt with")
	case r.SharedKey == nil && r.Recipient == nil:
		return nil
	case r.SharedKey != nil:
		if len(r.SharedKey.Key) != 32 || len(r.SharedKey.ID) == 0 || len(r.SharedKey.ID) > maxKeyID {
			return errors.New("a shared key has 32 bytes, and its identifier 1 to 128")
		}
		c.add(oidDecryptKeyID, func(b *cryptobyte.Builder) { b.AddASN1OctetString(r.SharedKey.ID) })
		if capabilities = []string{wrap, cbc, gcm}; r.PKCS12 {
			capabilities = []string{cbc}
		}
	default:
		if r.PKCS12 {
			return errors.New("PKCS#12 is encrypted with a shared key only")
		}
		leaf := r.Recipient.Leaf
		if leaf == nil || r.Recipient.PrivateKey == nil || len(leaf.SubjectKeyId) == 0 {
			return errors.New("the recipient needs a leaf certificate with a subject key identifier, and its private key")
		}
		c.add(oidAsymDecryptKeyID, func(b *cryptobyte.Builder) { b.AddASN1OctetString(leaf.SubjectKeyId) })
		switch key := leaf.PublicKey.(type) {
		case *rsa.PublicKey:
			capabilities = []string{objectID(oidOAEP) + oaepSHA256, cbc, gcm}
		case *ecdsa.PublicKey:
			capabilities = []string{objectID(agreementScheme(key.Curve)) + aes256WrapIdentifier, wrap, cbc, gcm}
		default:
			return errors.New("the recipient's key is neither RSA nor EC")
		}
	}
	c.add(oidCapabilities, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, one := range capabilities {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes([]byte(one)) })
			}
		})
	})
	return nil
}

// objectID is an OBJECT IDENTIFIER of that content.
func objectID(content string) string { return "\x06" + string(rune(len(content))) + content }

func (c *keyGenCSR) add(oid string, value func(*cryptobyte.Builder)) {
	c.attributes = append(c.attributes, attributeOf(oid, value))
}

func attributeOf(oid string, value func(*cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes([]byte(objectID(oid)))
		b.AddASN1(asn1.SET, value)
	})
	return b.BytesOrPanic() // bounded before
}

// body is the CSR in base64, linked to a connection where binding is not nil (RFC 7030, Section 3.5).
func (c *keyGenCSR) body(binding []byte) ([]byte, error) {
	attributes := c.attributes
	if binding != nil {
		link := []byte(base64.StdEncoding.EncodeToString(binding))
		attributes = append(attributes[:len(attributes):len(attributes)], attributeOf(oidChallengePassword, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.PrintableString, func(b *cryptobyte.Builder) { b.AddBytes(link) })
		}))
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddBytes(c.subject)
		b.AddBytes(c.spki)
		b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			// The order of a SET OF in DER.
			for _, a := range slices.SortedFunc(slices.Values(attributes), bytes.Compare) {
				b.AddBytes(a)
			}
		})
	})
	info, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	signature, err := c.sign(info)
	if err != nil {
		return nil, err
	}
	var whole cryptobyte.Builder
	whole.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(info)
		b.AddBytes(c.algorithm)
		b.AddASN1BitString(signature)
	})
	der, err := whole.Bytes()
	if err != nil {
		return nil, err
	}
	return appendBase64(nil, der), nil
}

// sign signs with the algorithm that crypto/x509 has chosen for the key.
func (c *keyGenCSR) sign(info []byte) ([]byte, error) {
	hash := crypto.SHA256
	switch KeyTypeOf(c.key) {
	case P384:
		hash = crypto.SHA384
	case P521:
		hash = crypto.SHA512
	case Ed25519:
		return c.key.(ed25519.PrivateKey).Sign(rand.Reader, info, crypto.Hash(0))
	}
	h := hash.New()
	h.Write(info)
	return c.key.Sign(rand.Reader, h.Sum(nil), hash)
}
