package keystore

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

// parse reads the one private key of a PEM file: PKCS#8 (RFC 5958, Section 2),
// SEC1 (RFC 5915, Section 4) or PKCS#1 (RFC 8017, Appendix A.1.2). Other
// blocks, such as EC parameters and certificates, are passed over. No error
// holds any of the content.
func parse(data []byte) (crypto.Signer, error) {
	var found crypto.Signer
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%w: more than one private key in the file; keep one", ErrFormat)
		}
		key, err := parseBlock(block)
		if err != nil {
			return nil, err
		}
		found = key
	}
	if found == nil {
		return nil, fmt.Errorf("%w: no PEM private key in the file; convert with openssl pkcs8 -topk8 -nocrypt", ErrFormat)
	}
	return found, nil
}

func parseBlock(block *pem.Block) (crypto.Signer, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
		return nil, fmt.Errorf("%w: the key is encrypted; decrypt it with openssl pkey and keep it in a file of mode 0600", ErrFormat)
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("%w: PEM type %q", ErrFormat, block.Type)
	}
	if err != nil {
		// The cause is left out: it may quote what it could not read.
		return nil, fmt.Errorf("%w: the %s is damaged or of an unsupported kind", ErrFormat, block.Type)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: a key of this kind cannot sign; use ECDSA, RSA or Ed25519", ErrFormat)
	}
	return signer, nil
}
