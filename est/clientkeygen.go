package est

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/briskest/briskest/internal/cms"
)

// SharedKey is a symmetric key that client and server have, and the name they have for it.
type SharedKey struct {
	ID  []byte // 1 to 128 bytes
	Key []byte // 32 bytes
}

// KeyGenRequest asks a server for a key and its certificate (RFC 7030, Section 4.4).
type KeyGenRequest struct {
	// Names holds subject and alternative names to ask for.
	Names *x509.CertificateRequest
	// Type is the kind of key to ask for; the server may choose another. Empty: P256.
	Type KeyType
	// SharedKey has the server encrypt the key with it. Nil: not.
	SharedKey *SharedKey
	// Recipient has the server encrypt the key to this certificate, which it knows and which has a subject key identifier.
	// The private key decrypts (RSA) or agrees on keys (EC). Nil: not. At most one of the two.
	Recipient *tls.Certificate
	// PKCS12 asks for a PKCS#12 file on the wire (RFC 8295, Section 8); not with Recipient. The result is the same.
	PKCS12 bool
	// Link links the request to the TLS session (RFC 7030, Section 3.5).
	Link bool
	// MaxWait is as in CertRequest.
	MaxWait time.Duration
}

// ServerKey is a key that a server has made, with its certificate.
type ServerKey struct {
	Key         crypto.Signer
	Certificate *x509.Certificate
	// Encrypted tells that the key was encrypted under TLS too.
	Encrypted bool
}

// ServerKeyGen has the server make a key and certify it (RFC 7030, Section 4.4). With neither SharedKey nor Recipient TLS
// alone protects the key on its way. With one of them, a key that comes in the clear all the same is refused, and so is
// one that is not signed by the server of the connection, or by a registration authority below Roots.
//
// The key is the certificate's; the names in it are the caller's to look at. The server forgets the key: when the answer
// is lost, ask again.
//
// Errors: as [Client.Request].
func (c *Client) ServerKeyGen(ctx context.Context, r *KeyGenRequest) (*ServerKey, error) {
	csr, err := newKeyGenCSR(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", OpServerKeyGen, err)
	}
	q := &request{op: OpServerKeyGen, content: typePKCS10, accept: typeMultipart, linked: r.Link, body: csr.body}
	if r.PKCS12 {
		q.accept = typePKCS12
	}
	a, err := c.callPatiently(ctx, q, r.MaxWait)
	if err != nil {
		return nil, err
	}
	defer clear(a.body)
	switch a.status {
	case http.StatusOK:
	case http.StatusAccepted:
		return nil, &PendingError{RetryAfter: a.retryAfter}
	default:
		return nil, a.refusal()
	}
	var k *ServerKey
	if r.PKCS12 {
		k, err = a.pfx(r)
	} else {
		k, err = c.openParts(a, r)
	}
	if errors.Is(err, ErrAnswer) {
		return nil, err
	}
	if err != nil {
		return nil, a.invalid(err)
	}
	public, ok := k.Key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(k.Certificate.PublicKey) {
		return nil, a.invalid(errors.New("the certificate is for another key than the one that came with it"))
	}
	return k, nil
}

// openParts reads the two parts of RFC 7030, Section 4.4.2, by their types.
func (c *Client) openParts(a *answer, r *KeyGenRequest) (*ServerKey, error) {
	kind, params, err := mime.ParseMediaType(a.contentType)
	if err != nil || kind != typeMultipart || params["boundary"] == "" {
		return nil, fmt.Errorf("Content-Type is %q instead of %s", printable(a.contentType, 80), typeMultipart)
	}
	reader := multipart.NewReader(bytes.NewReader(a.body), params["boundary"])
	k := new(ServerKey)
	for n := 0; ; n++ {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) && n == 2 && k.Key != nil && k.Certificate != nil {
			return k, nil
		}
		if err != nil || n == 2 {
			return nil, fmt.Errorf("it does not have exactly two parts, a key and a certificate; %d were read", n)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		p := &answer{op: a.op, contentType: part.Header.Get("Content-Type"), body: body}
		if mediaType(p.contentType) == typePKCS8 || smimeType(p.contentType) == "server-generated-key" {
			err = c.openKey(p, r, k)
		} else {
			k.Certificate, err = p.certificate()
		}
		if err != nil {
			return nil, err
		}
	}
}

func (a *answer) certificate() (*x509.Certificate, error) {
	certs, err := a.certificates()
	if err != nil {
		return nil, err
	}
	if len(certs) != 1 {
		return nil, fmt.Errorf("%d certificates instead of one", len(certs))
	}
	return certs[0], nil
}

// openKey reads the part with the key.
func (c *Client) openKey(p *answer, r *KeyGenRequest, k *ServerKey) error {
	encrypted := r.SharedKey != nil || r.Recipient != nil
	if mediaType(p.contentType) == typePKCS8 {
		if encrypted {
			return errors.New("the key came in the clear although it was to be encrypted")
		}
		der, err := p.der(typePKCS8)
		if err != nil {
			return err
		}
		defer clear(der)
		k.Key, err = parseKey(der)
		return err
	}
	if !encrypted {
		return errors.New("the key came encrypted, and no key to decrypt it with was named")
	}
	der, err := p.der(typePKCS7)
	if err != nil {
		return err
	}
	pkcs8, err := c.openPackage(der, r)
	if err != nil {
		return err
	}
	defer clear(pkcs8)
	k.Encrypted = true
	k.Key, err = parseKey(pkcs8)
	return err
}

// openPackage decrypts, verifies who signed, and takes the one key out (RFC 7030, Section 4.4.2).
func (c *Client) openPackage(der []byte, r *KeyGenRequest) ([]byte, error) {
	e, err := cms.ParseEnveloped(der)
	if err != nil {
		return nil, err
	}
	if !e.ContentType.Equal(cms.OIDSignedData()) {
		return nil, fmt.Errorf("the encrypted content is %s and not SignedData", e.ContentType)
	}
	var with cms.RecipientKey
	if r.SharedKey != nil {
		with.SharedKey = &cms.SharedKey{ID: r.SharedKey.ID, Key: r.SharedKey.Key}
	} else {
		with.Certificate, with.Key = r.Recipient.Leaf, r.Recipient.PrivateKey
	}
	content, err := e.Decrypt(&with)
	if err != nil {
		return nil, err
	}
	defer clear(content)
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(cms.OIDSignedData())
		b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddBytes(content) })
	})
	info, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	sd, err := cms.ParseSignedData(info)
	if err != nil {
		return nil, err
	}
	if !sd.ContentType.Equal(cms.OIDAsymmetricKeyPackage()) || len(sd.Signers) != 1 {
		return nil, fmt.Errorf("the signed content is %s, by %d signers, and not one key package", sd.ContentType, len(sd.Signers))
	}
	signer, err := sd.SignerCertificate(sd.Signers[0])
	if err != nil {
		return nil, err
	}
	if err := sd.Verify(sd.Signers[0], signer); err != nil {
		return nil, err
	}
	if err := c.mayGenerate(signer, sd.Certificates); err != nil {
		return nil, fmt.Errorf("signer of the key package: %w", err)
	}
	in := cryptobyte.String(sd.Content)
	var list, one cryptobyte.String
	if !in.ReadASN1(&list, asn1.SEQUENCE) || !in.Empty() || !list.ReadASN1Element(&one, asn1.SEQUENCE) || !list.Empty() {
		return nil, errors.New("the key package does not hold one key")
	}
	return bytes.Clone(one), nil
}

// mayGenerate says whether a certificate may sign a generated key: the server's own, or a registration authority's
// below the explicit anchors.
func (c *Client) mayGenerate(signer *x509.Certificate, all []*x509.Certificate) error {
	if s := c.Server(); s != nil && len(s.Chain) > 0 && s.Chain[0].Equal(signer) {
		return nil
	}
	if c.Roots == nil || !isRA(signer) {
		return errors.New("it is neither the server of the connection nor a registration authority below the explicit anchors")
	}
	v := &verifier{explicit: c.Roots, now: c.now()}
	_, err := v.chains(append([]*x509.Certificate{signer}, all...), c.Roots, true)
	return err
}

func parseKey(pkcs8 []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, errors.New("the key is no PKCS#8 that can be read") // the cause could quote the key
	}
	return checkedKey(key)
}

// checkedKey refuses keys that are weaker than any that a server may make.
func checkedKey(key any) (crypto.Signer, error) {
	signer, ok := key.(crypto.Signer)
	if !ok || KeyTypeOf(key).Strength() == 0 {
		return nil, fmt.Errorf("a key of type %T, or one that is too weak", key)
	}
	if k, ok := key.(*rsa.PrivateKey); ok {
		if err := k.Validate(); err != nil {
			return nil, errors.New("the RSA key contradicts itself")
		}
	}
	return signer, nil
}

// pfx reads a PKCS#12 file (RFC 8295, Section 8).
func (a *answer) pfx(r *KeyGenRequest) (*ServerKey, error) {
	der, err := a.der(typePKCS12)
	if err != nil {
		return nil, err
	}
	password := ""
	if r.SharedKey != nil {
		password = hex.EncodeToString(r.SharedKey.Key)
	}
	key, cert, err := pkcs12.Decode(der, password)
	if err != nil {
		return nil, fmt.Errorf("PKCS#12: %w", err)
	}
	k := &ServerKey{Certificate: cert, Encrypted: r.SharedKey != nil}
	k.Key, err = checkedKey(key)
	return k, err
}
