package esttest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"slices"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

var (
	_ est.KeyGenerator = (*KeyBackend)(nil)
	_ est.KeyReceiver  = (*KeyBackend)(nil)
)

// KeyBackend is a Backend that makes keys too, and takes receipts.
type KeyBackend struct {
	*Backend
	// Type is the kind of key that is made. Empty: P256.
	Type est.KeyType
	// SharedKeys are found by their identifier, Recipients by their subject key identifier.
	SharedKeys map[string][]byte
	Recipients []*x509.Certificate
	// Signer signs key packages.
	Signer *testpki.Identity
	// Forget leaves out the encryption that the client asked for, which no backend may.
	Forget bool

	made     int
	receipts []*est.KeyReceipt
}

// GenerateKey implements est.KeyGenerator.
func (b *KeyBackend) GenerateKey(_ context.Context, r *est.KeyRequest) (*est.GeneratedKey, error) {
	b.check(&r.Request)
	if r.CSR == nil || r.CSR.PublicKey != nil || len(r.CSR.RawSubjectPublicKeyInfo) > 0 {
		b.t.Errorf("GenerateKey got a CSR that is missing or has a key")
		return nil, errors.New("contract broken")
	}
	if err := b.authenticate(&r.EnrollRequest); err != nil {
		return nil, err
	}
	if b.FailBefore != nil {
		return nil, b.FailBefore
	}
	k := new(est.GeneratedKey)
	var err error
	switch {
	case r.SharedKeyID != nil:
		err = r.UnknownKey()
		if key := b.SharedKeys[string(r.SharedKeyID)]; key != nil {
			k.Protection, err = r.ForSharedKey(key)
		}
	case r.CertificateKeyID != nil:
		err = r.UnknownKey()
		i := slices.IndexFunc(b.Recipients, func(c *x509.Certificate) bool { return bytes.Equal(c.SubjectKeyId, r.CertificateKeyID) })
		if i >= 0 {
			k.Protection, err = r.ForCertificate(b.Recipients[i])
		}
	}
	kind := b.Type
	if kind == "" {
		kind = est.P256
	}
	if err == nil {
		err = r.CheckStrength(kind, k.Protection)
	}
	if err != nil {
		return nil, err
	}
	return k, b.generate(r, kind, k)
}

func (b *KeyBackend) generate(r *est.KeyRequest, kind est.KeyType, k *est.GeneratedKey) error {
	key, err := kind.New()
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.made++
	b.mu.Unlock()
	asked := *r.CSR.CertificateRequest
	asked.PublicKey = key.Public()
	request := r.EnrollRequest
	request.CSR = &est.CSR{CertificateRequest: &asked}
	if k.Certificate, err = b.sign(&request); err != nil {
		return err
	}
	k.Key = crypto.PrivateKey(key)
	if b.Signer != nil {
		k.Signer, k.Certificates = b.Signer.Key, append([]*x509.Certificate{b.Signer.Certificate}, b.Signer.Chain...)
	}
	if b.Forget {
		k.Protection = nil
	}
	return nil
}

// KeyReturned implements est.KeyReceiver.
func (b *KeyBackend) KeyReturned(_ context.Context, r *est.KeyReceipt) error {
	b.check(&r.Request)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.receipts = append(b.receipts, r)
	return nil
}

// Made tells how many keys were made.
func (b *KeyBackend) Made() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.made
}

// Receipts returns those that came.
func (b *KeyBackend) Receipts() []*est.KeyReceipt {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.receipts)
}
