package cms

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// oidAES returns an OID below NIST's AES arc: CBC 2, 22, 42 (RFC 3565, Section 4.1); wrap 5, 25, 45
// (RFC 3565, Section 4.2); GCM 6, 26, 46 (RFC 5084, Section 3.2); for 128, 192 and 256 bits.
func oidAES(last int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, last}
}

const (
	aes256CBC    = 42
	aes256Wrap   = 45
	aes256GCM    = 46
	aes256Key    = 32
	gcmNonceSize = 12
	gcmTagSize   = 16
)

// aesKeySize returns the key size in bytes when oid is one of the three of a mode, whose 128-bit form ends in
// first; else 0.
func aesKeySize(oid asn1.ObjectIdentifier, first int) int {
	switch {
	case oid.Equal(oidAES(first)):
		return 16
	case oid.Equal(oidAES(first + 20)):
		return 24
	case oid.Equal(oidAES(first + 40)):
		return 32
	}
	return 0
}

// contentCipher is a content encryption algorithm with its parameters, read before any secret is used.
type contentCipher struct {
	keySize int    // in bytes
	iv      []byte // of CBC, or the nonce of GCM
	tagSize int    // of GCM, in bytes; 0 for CBC
}

// readContentCipher reads a content encryption algorithm. CBC belongs to EnvelopedData, GCM to AuthEnvelopedData
// only: without the MAC, GCM would be bare counter mode.
func readContentCipher(a AlgorithmIdentifier, authenticated bool) (c contentCipher, err error) {
	in := cryptobyte.String(a.Parameters)
	var iv cryptobyte.String
	if !authenticated {
		if c.keySize = aesKeySize(a.OID, 2); c.keySize == 0 {
			return c, fmt.Errorf("%w: content encryption %s", ErrUnsupportedAlgorithm, a.OID)
		}
		if !in.ReadASN1(&iv, cryptobyte_asn1.OCTET_STRING) || !in.Empty() || len(iv) != aes.BlockSize {
			return c, fmt.Errorf("%w: initialization vector", ErrSyntax)
		}
		c.iv = iv
		return c, nil
	}
	if c.keySize = aesKeySize(a.OID, 6); c.keySize == 0 {
		return c, fmt.Errorf("%w: authenticated encryption %s", ErrUnsupportedAlgorithm, a.OID)
	}
	var body cryptobyte.String
	if !in.ReadASN1(&body, cryptobyte_asn1.SEQUENCE) || !in.Empty() || !body.ReadASN1(&iv, cryptobyte_asn1.OCTET_STRING) {
		return c, fmt.Errorf("%w: GCM parameters", ErrSyntax)
	}
	c.tagSize = 12 // the default of aes-ICVlen (RFC 5084, Section 3.2)
	if !body.Empty() && (!body.ReadASN1Integer(&c.tagSize) || !body.Empty()) {
		return c, fmt.Errorf("%w: GCM parameters", ErrSyntax)
	}
	// Nonces have 12 bytes and tags 12 to 16 (RFC 5084, Section 3.2).
	if len(iv) != gcmNonceSize || c.tagSize < 12 || c.tagSize > 16 {
		return c, fmt.Errorf("%w: GCM with a nonce of %d and a tag of %d bytes", ErrUnsupportedAlgorithm, len(iv), c.tagSize)
	}
	c.iv = iv
	return c, nil
}

// open decrypts. Its one error is ErrDecrypt.
func (c contentCipher) open(key, encrypted, mac, additional []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil || len(key) != c.keySize {
		return nil, ErrDecrypt
	}
	if c.tagSize == 0 {
		return openCBC(block, c.iv, encrypted)
	}
	gcm, err := cipher.NewGCMWithTagSize(block, c.tagSize)
	if err != nil || len(mac) != c.tagSize {
		return nil, ErrDecrypt
	}
	sealed := make([]byte, 0, len(encrypted)+len(mac))
	sealed = append(append(sealed, encrypted...), mac...)
	content, err := gcm.Open(sealed[:0], c.iv, sealed, additional)
	if err != nil {
		return nil, ErrDecrypt
	}
	return content, nil
}

// openCBC decrypts CBC with the padding of RFC 5652, Section 6.3. The padding is looked at whole: it is an oracle for
// whoever may ask often and can tell failures apart.
func openCBC(block cipher.Block, iv, encrypted []byte) ([]byte, error) {
	if len(encrypted) == 0 || len(encrypted)%aes.BlockSize != 0 {
		return nil, ErrDecrypt
	}
	content := make([]byte, len(encrypted))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(content, encrypted)
	padding := int(content[len(content)-1])
	wrong := 0
	if padding < 1 || padding > aes.BlockSize {
		wrong, padding = 1, aes.BlockSize
	}
	for _, b := range content[len(content)-padding:] {
		wrong |= int(b) ^ padding
	}
	if wrong != 0 {
		return nil, ErrDecrypt
	}
	return content[:len(content)-padding], nil
}

// sealCBC encrypts with AES-256-CBC and the padding of RFC 5652, Section 6.3. It returns the algorithm identifier too.
func sealCBC(key, content []byte) (algorithm, encrypted []byte, err error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	iv := make([]byte, aes.BlockSize)
	rand.Read(iv)
	padding := aes.BlockSize - len(content)%aes.BlockSize
	encrypted = make([]byte, len(content)+padding)
	copy(encrypted, content)
	for i := len(content); i < len(encrypted); i++ {
		encrypted[i] = byte(padding)
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(encrypted, encrypted)
	var parameters cryptobyte.Builder
	parameters.AddASN1OctetString(iv)
	return algorithmIdentifier(oidAES(aes256CBC), parameters.BytesOrPanic()), encrypted, nil
}

// sealGCM encrypts with AES-256-GCM (RFC 5084, Section 3.2). The key is used once, so a random nonce is safe.
func sealGCM(key, content, additional []byte) (algorithm, encrypted, mac []byte, err error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, nil, nil, err
	}
	nonce := make([]byte, gcmNonceSize)
	rand.Read(nonce)
	sealed := gcm.Seal(nil, nonce, content, additional)
	var parameters cryptobyte.Builder
	parameters.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1OctetString(nonce)
		b.AddASN1Int64(gcmTagSize)
	})
	algorithm = algorithmIdentifier(oidAES(aes256GCM), parameters.BytesOrPanic())
	return algorithm, sealed[:len(content)], sealed[len(content):], nil
}
