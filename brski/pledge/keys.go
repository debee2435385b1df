package pledge

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"

	"github.com/briskest/briskest/est"
)

// newKey returns Config.Key, or a new one that is stored under name.
func (r *run) newKey(name string, kind *est.KeyPlan) (crypto.Signer, error) {
	if r.c.Key != nil {
		return r.c.Key, nil
	}
	bad := func(err error) error {
		return &Error{Reason: ReasonKey, Message: "no LDevID key could be made", Err: err}
	}
	generate := r.c.NewKey
	if generate == nil {
		generate = kind.Generate
	}
	key, err := generate()
	if err != nil {
		return nil, bad(err)
	}
	if samePublicKey(key.Public(), r.idevid.PublicKey) {
		return nil, bad(errors.New("it is the IDevID's key"))
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, bad(err)
	}
	if err := r.store(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return nil, err
	}
	return key, nil
}

// loadKey returns the stored key with the hash, or errNotWhole.
func (r *run) loadKey(name, hash string) (crypto.Signer, error) {
	if r.c.Key != nil {
		if keyHash(r.c.Key) != hash {
			return nil, &Error{Reason: ReasonKey, Message: "the key in Config.Key is not the one that was used before"}
		}
		return r.c.Key, nil
	}
	data, err := r.c.State.Load(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, storageError("reading "+name, err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s: %w", name, errNotWhole)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, errNotWhole) // the cause might quote the key
	}
	key, ok := parsed.(crypto.Signer)
	if !ok || keyHash(key) != hash {
		return nil, fmt.Errorf("%s: %w", name, errNotWhole)
	}
	return key, nil
}

func keyHash(key crypto.Signer) string {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "" // equals no stored hash
	}
	return hexHash(der)
}
