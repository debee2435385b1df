// Package pemfile reads certificates and identities from PEM files, and writes
// files whole.
package pemfile

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/briskest/briskest/internal/keystore"
)

// Certificates reads every certificate of a PEM file, at least one.
func Certificates(path string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for rest := data; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", path, len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s: no PEM certificate in it", path)
	}
	return certs, nil
}

// Pool reads every certificate of a PEM file into a pool.
func Pool(path string) (*x509.CertPool, error) {
	certs, err := Certificates(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool, nil
}

// Identity reads a certificate chain, leaf first, and opens its key, which
// must be the leaf's. keyURI is a keystore URI.
func Identity(ctx context.Context, certPath, keyURI string) (*tls.Certificate, error) {
	certs, err := Certificates(certPath)
	if err != nil {
		return nil, err
	}
	key, err := keystore.Open(ctx, keyURI)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(spki, certs[0].RawSubjectPublicKeyInfo) {
		return nil, fmt.Errorf("the key %s is not that of the certificate %s", keyURI, certPath)
	}
	id := &tls.Certificate{PrivateKey: key, Leaf: certs[0]}
	for _, c := range certs {
		id.Certificate = append(id.Certificate, c.Raw)
	}
	return id, nil
}

// Signer returns the private key of an identity.
func Signer(id *tls.Certificate) (crypto.Signer, error) {
	key, ok := id.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key of %s cannot sign", id.Leaf.Subject)
	}
	return key, nil
}

// Chain returns the certificates of an identity above its leaf, in order.
func Chain(id *tls.Certificate) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for _, der := range id.Certificate[1:] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, cert)
	}
	return chain, nil
}

// Encode writes certificates as PEM, one after another.
func Encode(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

// Write replaces a file by rename, so that a reader sees the old or the new
// content and nothing between; it returns when the content is on disk.
func Write(file string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once renamed, as it should
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return os.Rename(f.Name(), file)
}
