package cms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SignRequest is what Sign is to sign, and how.
type SignRequest struct {
	// ContentType is the type of Content; empty means id-data.
	ContentType asn1.ObjectIdentifier
	// Content is what is signed. It may be empty.
	Content []byte
	// Detached leaves Content out of the message.
	Detached bool
	// Key signs: RSA, ECDSA on P-256, P-384 or P-521, or Ed25519. It is the key of Certificate.
	Key crypto.Signer
	// Certificate is the signer's.
	Certificate *x509.Certificate
	// Chain are further certificates to include. Certificate itself is not among them.
	Chain []*x509.Certificate
	// CRLs are certificate revocation lists to include, DER, for a CMC response (RFC 5272, Section 6.10).
	CRLs [][]byte
	// SigningTime is the signing-time attribute, cut to seconds; zero leaves the attribute out.
	SigningTime time.Time
	// PSS signs with RSASSA-PSS instead of PKCS #1 v1.5. Only with an RSA key.
	PSS bool
	// UseSubjectKeyID names the certificate by its subject key identifier, which it must have, instead of by
	// issuer and serial number.
	UseSubjectKeyID bool
	// OmitCertificates leaves Certificate and Chain out, for a reader that has them.
	OmitCertificates bool
}

// Sign returns a ContentInfo with SignedData in DER with one signer and signed attributes (RFC 5652, Section 5).
// The hash follows from the key: SHA-256 for RSA and P-256, SHA-384 for P-384, SHA-512 for P-521 and for Ed25519
// (RFC 8419, Section 3.1). The version is 3 when the content type is not id-data or the signer is named by
// subject key identifier, else 1 (RFC 5652, Section 5.1).
//
// Errors: ErrRequest for a request that cannot be met, ErrUnsupportedAlgorithm for a key of another kind, or
// the key's own error.
func Sign(r *SignRequest) ([]byte, error) {
	contentType := r.ContentType
	if len(contentType) == 0 {
		contentType = OIDData()
	}
	a, err := r.algorithms()
	if err != nil {
		return nil, err
	}
	attributes, err := r.signedAttributes(contentType, sum(a.digest, r.Content))
	if err != nil {
		return nil, err
	}
	signature, err := a.sign(r.Key, appendSetOf(nil, tagSet, attributes))
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(OIDSignedData())
		b.AddASN1(tagExplicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				r.addSignedData(b, contentType, a, attributes, signature)
			})
		})
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return der, nil
}

// algorithms are what one signer uses.
type algorithms struct {
	digest     crypto.Hash
	scheme     scheme
	identifier []byte // the signature AlgorithmIdentifier in DER
}

// algorithms checks the request and chooses by the key.
func (r *SignRequest) algorithms() (algorithms, error) {
	var a algorithms
	if r.Key == nil || r.Certificate == nil {
		return a, fmt.Errorf("%w: a key and its certificate are needed", ErrRequest)
	}
	if r.UseSubjectKeyID && len(r.Certificate.SubjectKeyId) == 0 {
		return a, fmt.Errorf("%w: the certificate has no subject key identifier", ErrRequest)
	}
	public, ok := r.Key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(r.Certificate.PublicKey) {
		return a, fmt.Errorf("%w: the certificate is not that of the key", ErrRequest)
	}
	return algorithmsOf(public, r.PSS)
}

// algorithmsOf chooses by the key.
func algorithmsOf(public crypto.PublicKey, pss bool) (algorithms, error) {
	var a algorithms
	if _, isRSA := public.(*rsa.PublicKey); pss && !isRSA {
		return a, fmt.Errorf("%w: PSS with a key that is not RSA", ErrRequest)
	}
	switch key := public.(type) {
	case *rsa.PublicKey:
		a = algorithms{digest: crypto.SHA256, scheme: scheme{kind: kindPKCS1, hash: crypto.SHA256}}
		// Both rsaEncryption and this identifier are to be understood (RFC 5754, Section 3.2). This one says which
		// hash it is; OpenSSL and both pkcs7 packages in the folder peers read it.
		a.identifier = algorithmIdentifier(oidPKCS1(11), []byte{5, 0})
		if pss {
			a.scheme = scheme{kind: kindPSS, hash: crypto.SHA256, salt: crypto.SHA256.Size()}
			a.identifier = algorithmIdentifier(oidPKCS1(10), pssParameters(a.scheme))
		}
	case *ecdsa.PublicKey:
		hash, last := curveHash(key.Curve)
		if hash == 0 {
			return a, fmt.Errorf("%w: curve %s", ErrUnsupportedAlgorithm, key.Curve.Params().Name)
		}
		a = algorithms{digest: hash, scheme: scheme{kind: kindECDSA, hash: hash}}
		a.identifier = algorithmIdentifier(oidECDSAWith(last), nil)
	case ed25519.PublicKey:
		a = algorithms{digest: crypto.SHA512, scheme: scheme{kind: kindEd25519}}
		a.identifier = algorithmIdentifier(oidEd25519(), nil)
	default:
		return a, fmt.Errorf("%w: key of type %T", ErrUnsupportedAlgorithm, public)
	}
	return a, nil
}

// curveHash returns the hash of the curve's strength, and the last arc of ecdsa-with- that hash.
func curveHash(c elliptic.Curve) (crypto.Hash, int) {
	switch c {
	case elliptic.P256():
		return crypto.SHA256, 2
	case elliptic.P384():
		return crypto.SHA384, 3
	case elliptic.P521():
		return crypto.SHA512, 4
	}
	return 0, 0
}

func (a algorithms) sign(key crypto.Signer, message []byte) ([]byte, error) {
	switch a.scheme.kind {
	case kindEd25519:
		return key.Sign(rand.Reader, message, crypto.Hash(0))
	case kindPSS:
		options := &rsa.PSSOptions{SaltLength: a.scheme.salt, Hash: a.scheme.hash}
		return key.Sign(rand.Reader, sum(a.scheme.hash, message), options)
	}
	return key.Sign(rand.Reader, sum(a.scheme.hash, message), a.scheme.hash)
}

// signedAttributes returns the attributes, each in DER.
func (r *SignRequest) signedAttributes(contentType asn1.ObjectIdentifier, digest []byte) ([][]byte, error) {
	attributes := [][]byte{}
	var failed error
	add := func(oid asn1.ObjectIdentifier, value func(*cryptobyte.Builder)) {
		der, err := attribute(oid, value)
		if err != nil {
			failed = fmt.Errorf("%w: attribute %s: %w", ErrRequest, oid, err)
		}
		attributes = append(attributes, der)
	}
	add(OIDAttributeContentType(), func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(contentType) })
	add(OIDAttributeMessageDigest(), func(b *cryptobyte.Builder) { b.AddASN1OctetString(digest) })
	if t := r.SigningTime.UTC(); !t.IsZero() {
		add(OIDAttributeSigningTime(), func(b *cryptobyte.Builder) {
			// UTCTime for 1950 to 2049, else GeneralizedTime (RFC 5652, Section 11.3).
			if t.Year() >= 1950 && t.Year() < 2050 {
				b.AddASN1UTCTime(t)
				return
			}
			b.AddASN1GeneralizedTime(t)
		})
	}
	return attributes, failed
}

func attribute(oid asn1.ObjectIdentifier, value func(*cryptobyte.Builder)) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(cryptobyte_asn1.SET, value)
	})
	return b.Bytes()
}

// addSignedData adds the fields of SignedData (RFC 5652, Section 5.1).
func (r *SignRequest) addSignedData(b *cryptobyte.Builder, contentType asn1.ObjectIdentifier, a algorithms, attributes [][]byte, signature []byte) {
	version := 1
	if r.UseSubjectKeyID || !contentType.Equal(OIDData()) {
		version = 3
	}
	digest := algorithmIdentifier(oidOfHash(a.digest), nil)
	b.AddASN1Int64(int64(version))
	b.AddASN1(cryptobyte_asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(digest) })
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(contentType)
		if !r.Detached {
			b.AddASN1(tagExplicit(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(r.Content) })
		}
	})
	if !r.OmitCertificates {
		certificates := [][]byte{r.Certificate.Raw}
		for _, c := range r.Chain {
			if !c.Equal(r.Certificate) {
				certificates = append(certificates, c.Raw)
			}
		}
		b.AddBytes(appendSetOf(nil, tagCertificates, certificates))
	}
	if len(r.CRLs) > 0 {
		b.AddBytes(appendSetOf(nil, tagCRLs, slices.Clone(r.CRLs)))
	}
	b.AddASN1(cryptobyte_asn1.SET, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			if r.UseSubjectKeyID {
				b.AddASN1Int64(3)
			} else {
				b.AddASN1Int64(1)
			}
			addCertificateName(b, r.Certificate, r.UseSubjectKeyID)
			b.AddBytes(digest)
			b.AddBytes(appendSetOf(nil, 0xa0, attributes))
			b.AddBytes(a.identifier)
			b.AddASN1OctetString(signature)
		})
	})
}

// addCertificateName adds SignerIdentifier or RecipientIdentifier (RFC 5652, Sections 5.3 and 6.2.1).
func addCertificateName(b *cryptobyte.Builder, c *x509.Certificate, bySubjectKeyID bool) {
	if bySubjectKeyID {
		b.AddASN1(cryptobyte_asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(c.SubjectKeyId) })
		return
	}
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(c.RawIssuer)
		b.AddASN1BigInt(c.SerialNumber)
	})
}

// algorithmIdentifier returns an AlgorithmIdentifier in DER; parameters nil leaves them out.
func algorithmIdentifier(oid asn1.ObjectIdentifier, parameters []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddBytes(parameters)
	})
	return b.BytesOrPanic() // only with OIDs of this package
}

// pssParameters returns RSASSA-PSS-params (RFC 4055, Section 3.1) with the same hash everywhere.
func pssParameters(s scheme) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addHashAndMGF(b, s.hash)
		b.AddASN1(tagExplicit(2), func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(s.salt)) })
	})
	return b.BytesOrPanic()
}

// addHashAndMGF adds the first two fields of PSS and OAEP parameters.
func addHashAndMGF(b *cryptobyte.Builder, h crypto.Hash) {
	hash := algorithmIdentifier(oidOfHash(h), []byte{5, 0})
	b.AddASN1(tagExplicit(0), func(b *cryptobyte.Builder) { b.AddBytes(hash) })
	b.AddASN1(tagExplicit(1), func(b *cryptobyte.Builder) { b.AddBytes(algorithmIdentifier(oidPKCS1(8), hash)) })
}
