package est

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CSRRequest is what [CreateCSR] makes a CSR of.
type CSRRequest struct {
	// Own is what the client has to say of itself, as for x509.CreateCertificateRequest: Subject or RawSubject, the
	// alternative names, and ExtraExtensions. Other fields are not looked at.
	Own *x509.CertificateRequest
	// Plan is what the server wants, from [ParseCSRPlan]; nil for nothing.
	Plan *CSRPlan
	// KeepNames leaves subject and subjectAltName as Own has them, whatever Plan says: in a re-enrollment they are those
	// of the certificate (RFC 7030, Section 4.2.2).
	KeepNames bool
	// ChallengePassword goes into the attribute of that name (RFC 2985, Section 5.4.1): the channel binding of the
	// connection that the CSR is sent on, in base64, where Plan.Link asks for it. Empty: no such attribute.
	ChallengePassword string
	// Attributes are further ones (RFC 2986, Section 4.1), such as a ChangeSubjectName or those of Plan.Wanted that the
	// caller knows. They take the place of those that Plan gives.
	Attributes []Attribute
}

// CreateCSR makes a PKCS#10 request (RFC 2986, Section 4) signed with key: RSA, ECDSA on P-256, P-384 or P-521, or Ed25519.
// Where the server has wishes, the CSR is what they say, filled in from what the client knows (RFC 9908, Section 3.4):
//
//   - the subject of a template replaces the client's; attributes without a value get the client's of that type
//   - extensions that come with a value are copied, criticality included, and replace the client's; for those without,
//     the client's are used, else digitalSignature for keyUsage and clientAuth for extKeyUsage; others are left out
//   - in a given subjectAltName, an iPAddress without bytes becomes the client's addresses, an empty directoryName its subject
//   - given attributes are copied, but for challengePassword and those in Attributes
//   - the public key is key's and no other; one in a template is never used
//
// The error matches [ErrCSRPlan] when the wishes cannot be met: key is of another kind, or the client has no attribute of
// the subject, no address, for what is to be filled in.
func CreateCSR(key crypto.Signer, r *CSRRequest) ([]byte, error) {
	if r.Plan == nil {
		copied := *r
		copied.Plan, r = new(CSRPlan), &copied
	}
	if err := r.Plan.Key.Check(key.Public()); err != nil {
		return nil, err
	}
	own, err := ownNames(r.Own)
	if err != nil {
		return nil, err
	}
	subject, err := own.fillSubject(r)
	if err != nil {
		return nil, err
	}
	attributes, err := own.attributes(r, subject)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("key of the CSR: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddBytes(subject)
		b.AddBytes(spki)
		b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) { b.AddBytes(attributes) })
	})
	info, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("CSR: %w", err)
	}
	return signCSR(key, info, r.Plan.Hash)
}

// signCSR signs a CertificationRequestInfo. hash may be 0 for what suits the key.
func signCSR(key crypto.Signer, info []byte, hash crypto.Hash) ([]byte, error) {
	var identifier []byte
	switch public := key.Public().(type) {
	case *rsa.PublicKey:
		hash = orHash(hash, crypto.SHA256)
		identifier = algorithmIdentifier(hash, x509.RSA)
	case *ecdsa.PublicKey:
		hash = orHash(hash, (&KeyPlan{Algorithm: x509.ECDSA, Curve: public.Curve}).NaturalHash())
		identifier = algorithmIdentifier(hash, x509.ECDSA)
	case ed25519.PublicKey:
		hash, identifier = 0, []byte{0x30, 5, 6, 3, 0x2b, 0x65, 0x70} // RFC 8410, Section 3
	}
	if identifier == nil {
		return nil, planError("a key of type %T does not sign with %s", key.Public(), hash)
	}
	digest := info
	if hash != 0 {
		h := hash.New()
		h.Write(info)
		digest = h.Sum(nil)
	}
	signature, err := key.Sign(rand.Reader, digest, hash)
	if err != nil {
		return nil, fmt.Errorf("signature of the CSR: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(info)
		b.AddBytes(identifier)
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}

func orHash(hash, natural crypto.Hash) crypto.Hash {
	if hash == 0 {
		return natural
	}
	return hash
}

// algorithmIdentifier is nil for what is not known.
func algorithmIdentifier(hash crypto.Hash, key x509.PublicKeyAlgorithm) []byte {
	plan := CSRPlan{Key: &KeyPlan{Algorithm: key}, Hash: hash}
	oid := plan.signatureOID()
	if oid == nil {
		return nil
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if key == x509.RSA {
			b.AddASN1NULL() // RFC 4055, Section 5
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return nil
	}
	return der
}
