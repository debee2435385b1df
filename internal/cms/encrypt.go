package cms

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// EncryptRequest is what Encrypt is to encrypt, and for whom.
type EncryptRequest struct {
	// ContentType is the type of Content; empty means id-data.
	ContentType asn1.ObjectIdentifier
	// Content is what is encrypted.
	Content []byte
	// Recipients can open the message with their private keys: RSA by RSAES-OAEP with SHA-256 (RFC 8017, Section 7.1),
	// P-256, P-384 and P-521 by ephemeral-static ECDH (RFC 5753, Section 3.1).
	Recipients []*x509.Certificate
	// SharedKeys can open the message too, by AES-256 key wrap.
	SharedKeys []SharedKey
	// Authenticated makes AuthEnvelopedData with AES-256-GCM, which a change does not survive (RFC 5083, Section 2), instead
	// of EnvelopedData with AES-256-CBC. Prefer it where the reader knows it. OpenSSL opens it when
	// ContentType is id-data; it does not know the authenticated attributes that other types need.
	Authenticated bool
	// UseSubjectKeyID names the recipients by subject key identifier, which all must have.
	UseSubjectKeyID bool
}

// SharedKey is an AES key that sender and recipient have, and the name they have for it.
type SharedKey struct {
	ID  []byte
	Key []byte // 32 bytes; for reading also 16 or 24
}

// Encrypt returns a ContentInfo with EnvelopedData or AuthEnvelopedData in DER, under a new content key.
// Errors: ErrRequest, ErrUnsupportedAlgorithm for a certificate with another kind of key.
func Encrypt(r *EncryptRequest) ([]byte, error) {
	contentType := r.ContentType
	if len(contentType) == 0 {
		contentType = OIDData()
	}
	key := make([]byte, aes256Key)
	rand.Read(key)
	recipients, version, err := r.recipientInfos(key)
	if err != nil {
		return nil, err
	}
	sealed, err := r.seal(contentType, key)
	if err != nil {
		return nil, err
	}
	outerType := OIDEnvelopedData()
	if r.Authenticated {
		outerType, version = OIDAuthEnvelopedData(), 0
	}
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(outerType)
		b.AddASN1(tagExplicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(int64(version))
				b.AddBytes(appendSetOf(nil, tagSet, recipients))
				sealed.add(b, contentType)
			})
		})
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return der, nil
}

// sealed is encrypted content with what belongs to it.
type sealed struct {
	algorithm, encrypted []byte
	attributes           [][]byte
	mac                  []byte // nil in EnvelopedData
}

func (r *EncryptRequest) seal(contentType asn1.ObjectIdentifier, key []byte) (s sealed, err error) {
	if !r.Authenticated {
		s.algorithm, s.encrypted, err = sealCBC(key, r.Content)
		return s, err
	}
	// The content type is authenticated when it is not id-data (RFC 5083, Section 2.1), over the DER of the
	// SET OF attributes (RFC 5083, Section 2.2).
	var additional []byte
	if !contentType.Equal(OIDData()) {
		der, err := attribute(OIDAttributeContentType(), func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(contentType) })
		if err != nil {
			return s, fmt.Errorf("%w: content type: %w", ErrRequest, err)
		}
		s.attributes = [][]byte{der}
		additional = appendSetOf(nil, tagSet, s.attributes)
	}
	s.algorithm, s.encrypted, s.mac, err = sealGCM(key, r.Content, additional)
	return s, err
}

func (s sealed) add(b *cryptobyte.Builder, contentType asn1.ObjectIdentifier) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(contentType)
		b.AddBytes(s.algorithm)
		b.AddASN1(cryptobyte_asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(s.encrypted) })
	})
	if len(s.attributes) > 0 {
		b.AddBytes(appendSetOf(nil, 0xa1, s.attributes))
	}
	if s.mac != nil {
		b.AddASN1OctetString(s.mac)
	}
}

// recipientInfos encrypts key for everybody. The version is that of EnvelopedData (RFC 5652, Section 6.1).
func (r *EncryptRequest) recipientInfos(key []byte) (infos [][]byte, version int, err error) {
	n := len(r.Recipients) + len(r.SharedKeys)
	if n == 0 || n > MaxRecipients {
		return nil, 0, fmt.Errorf("%w: %d recipients", ErrRequest, n)
	}
	for _, c := range r.Recipients {
		if r.UseSubjectKeyID && len(c.SubjectKeyId) == 0 {
			return nil, 0, fmt.Errorf("%w: recipient without subject key identifier", ErrRequest)
		}
		var info []byte
		switch public := c.PublicKey.(type) {
		case *rsa.PublicKey:
			info, err = r.transport(c, public, key)
			if r.UseSubjectKeyID {
				version = 2
			}
		case *ecdsa.PublicKey:
			info, err = r.agree(c, public, key)
			version = 2
		default:
			err = fmt.Errorf("%w: key of type %T", ErrUnsupportedAlgorithm, public)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("recipient %s: %w", c.Subject, err)
		}
		infos = append(infos, info)
	}
	for _, k := range r.SharedKeys {
		info, err := k.wrap(key)
		if err != nil {
			return nil, 0, fmt.Errorf("shared key %x: %w", k.ID, err)
		}
		infos, version = append(infos, info), 2
	}
	return infos, version, nil
}

// transport returns KeyTransRecipientInfo with RSAES-OAEP (RFC 5652, Section 6.2.1; RFC 3560, Section 2).
func (r *EncryptRequest) transport(c *x509.Certificate, public *rsa.PublicKey, key []byte) ([]byte, error) {
	if err := checkRSASize(public); err != nil {
		return nil, err
	}
	encrypted, err := rsa.EncryptOAEP(oaepHash.New(), rand.Reader, public, key, nil)
	if err != nil {
		return nil, err
	}
	version := 0
	if r.UseSubjectKeyID {
		version = 2
	}
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(int64(version))
		addCertificateName(b, c, r.UseSubjectKeyID)
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidPKCS1(7))
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { addHashAndMGF(b, oaepHash) })
		})
		b.AddASN1OctetString(encrypted)
	})
	return b.Bytes()
}

// agree returns KeyAgreeRecipientInfo with a new ephemeral key (RFC 5652, Section 6.2.2; RFC 5753, Section 3.1).
func (r *EncryptRequest) agree(c *x509.Certificate, public *ecdsa.PublicKey, key []byte) ([]byte, error) {
	hash, _ := curveHash(public.Curve)
	if hash == 0 {
		return nil, fmt.Errorf("%w: curve %s", ErrUnsupportedAlgorithm, public.Curve.Params().Name)
	}
	static, err := public.ECDH()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	ephemeral, z, err := agreeEphemeral(static)
	if err != nil {
		return nil, err
	}
	wrap := algorithmIdentifier(oidAES(aes256Wrap), nil)
	kek := x963KDF(hash, z, sharedInfo(wrap, nil, false, aes256Key), aes256Key)
	encrypted, err := WrapKey(kek, key)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(tagExplicit(1), func(b *cryptobyte.Builder) {
		b.AddASN1Int64(3)
		b.AddASN1(tagExplicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(tagExplicit(1), func(b *cryptobyte.Builder) {
				b.AddBytes(algorithmIdentifier(oidECPublicKey(), nil))
				b.AddASN1BitString(ephemeral)
			})
		})
		b.AddBytes(algorithmIdentifier(oidStdDH(hash), wrap))
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				if r.UseSubjectKeyID {
					b.AddASN1(tagExplicit(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(c.SubjectKeyId) })
				} else {
					addCertificateName(b, c, false)
				}
				b.AddASN1OctetString(encrypted)
			})
		})
	})
	return b.Bytes()
}

func agreeEphemeral(static *ecdh.PublicKey) (public, z []byte, err error) {
	ephemeral, err := static.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if z, err = ephemeral.ECDH(static); err != nil {
		return nil, nil, err
	}
	return ephemeral.PublicKey().Bytes(), z, nil
}

// wrap returns KEKRecipientInfo (RFC 5652, Section 6.2.3) with AES-256 key wrap.
func (k SharedKey) wrap(key []byte) ([]byte, error) {
	if len(k.Key) != aes256Key || len(k.ID) == 0 {
		return nil, fmt.Errorf("%w: a shared key is 32 bytes and has an identifier", ErrRequest)
	}
	encrypted, err := WrapKey(k.Key, key)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(tagExplicit(2), func(b *cryptobyte.Builder) {
		b.AddASN1Int64(4)
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1OctetString(k.ID) })
		b.AddBytes(algorithmIdentifier(oidAES(aes256Wrap), nil))
		b.AddASN1OctetString(encrypted)
	})
	return b.Bytes()
}
