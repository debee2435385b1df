package est

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/briskest/briskest/internal/cms"
)

// KeyGenerator is a Backend that makes keys for clients (RFC 7030, Section 4.4).
type KeyGenerator interface {
	// GenerateKey decides about r as Enroll would, and only then makes a new key, with [KeyType.New] or another source of
	// the same quality, and has it certified. It returns once the certificate, and nothing of the private key, is on record.
	//
	// The CSR is a wish for names: nobody has verified its signature, and it has no key (RFC 7030, Section 4.4.1). Its
	// challengePassword has been checked as for Enroll.
	//
	// Where r names a key to encrypt with, the backend finds it among those that this peer may name, and has
	// [KeyRequest.ForSharedKey] or [KeyRequest.ForCertificate] choose how; [KeyRequest.UnknownKey] is the error for every
	// key that it does not find. [KeyRequest.CheckStrength] says whether a kind of key may go over this connection.
	GenerateKey(ctx context.Context, r *KeyRequest) (*GeneratedKey, error)
}

// KeyRequest is a serverkeygen.
type KeyRequest struct {
	EnrollRequest
	// Wish is the kind of the key that the CSR has; empty for a kind that nobody makes. It is a wish only.
	Wish KeyType
	// SharedKeyID names a symmetric key that the answer is to be encrypted with (DecryptKeyIdentifier, RFC 7030, Section
	// 4.4.1.1); nil for none.
	SharedKeyID []byte
	// CertificateKeyID is the subject key identifier of a certificate whose key the answer is to be encrypted with
	// (AsymmetricDecryptKeyIdentifier, RFC 7030, Section 4.4.1.2); nil for none. There is at most one of the two.
	CertificateKeyID []byte
	// PKCS12 asks for a PFX in place of key and certificate in two parts (RFC 8295, Section 8).
	PKCS12 bool

	capabilities []capability
}

// GeneratedKey is what a serverkeygen answers with.
type GeneratedKey struct {
	// Key is the private key: *ecdsa.PrivateKey, *rsa.PrivateKey or ed25519.PrivateKey.
	Key crypto.PrivateKey
	// Certificate is that of Key, in DER.
	Certificate []byte
	// Protection is how Key is encrypted; nil sends it as it is, and only where the request named no key.
	Protection *KeyProtection
	// Signer signs the key package before it is encrypted, as its generator (RFC 7030, Section 4.4.2), with the
	// certificates that show who that is, its own first. Only with Protection.
	Signer       crypto.Signer
	Certificates []*x509.Certificate
}

// KeyProtection is a way to encrypt a generated key that the client has listed. [KeyRequest] makes them.
type KeyProtection struct {
	sharedKey     *cms.SharedKey
	certificate   *x509.Certificate
	authenticated bool // AuthEnvelopedData
	strength      int  // in bits
}

func offersKeyGeneration(b Backend) bool {
	_, ok := b.(KeyGenerator)
	return ok
}

// serverKeyGen answers RFC 7030, Section 4.4, and RFC 8295, Section 8.
func (x *exchange) serverKeyGen() *Error {
	der, e := x.readPKCS10()
	if e != nil {
		return e
	}
	r := &KeyRequest{PKCS12: wantsPKCS12(x.r.Header)}
	if e := r.parse(der); e != nil {
		return e
	}
	x.req.CSR = r.CSR
	if err := x.checkLink(); err != nil {
		return asError(err)
	}
	r.EnrollRequest = x.req
	generator, ok := x.h.Backend.(KeyGenerator)
	if !ok {
		return asError(errors.New("the backend generates no keys"))
	}
	k, err := generator.GenerateKey(x.r.Context(), r)
	x.req.linked = r.linked
	if err != nil {
		return asError(err)
	}
	return x.deliver(r, k)
}

// deliver writes the answer, and wipes what it can of the key's copies.
func (x *exchange) deliver(r *KeyRequest, k *GeneratedKey) *Error {
	// A backend that forgot to ask is no reason to send a key in the clear.
	if k.Protection == nil && (r.SharedKeyID != nil || r.CertificateKeyID != nil) {
		return asError(errors.New("the backend did not encrypt the key although the request names a key to encrypt it with"))
	}
	kind := KeyTypeOf(k.Key)
	if err := r.CheckStrength(kind, k.Protection); err != nil {
		return asError(err)
	}
	var contentType string
	var body []byte
	var err error
	if r.PKCS12 {
		contentType, body, err = k.pfx()
	} else {
		contentType, body, err = k.parts()
	}
	defer clear(body)
	if err != nil {
		return asError(fmt.Errorf("generated %s key: %w", kind, err))
	}
	x.write(contentType, body, r.PKCS12)
	return nil
}
