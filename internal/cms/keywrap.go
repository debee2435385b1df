package cms

import (
	"crypto"
	"crypto/aes"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
)

// wrapIV is the initial value of AES Key Wrap (RFC 3394, Section 2.2.3.1).
const wrapIV = 0xa6a6a6a6a6a6a6a6

// WrapKey wraps key, a multiple of 8 bytes and at least 16, by AES Key Wrap (RFC 3394, Section 2.2.1).
func WrapKey(kek, key []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, fmt.Errorf("%w: key encryption key of %d bytes", ErrRequest, len(kek))
	}
	n := len(key) / 8
	if n < 2 || len(key)%8 != 0 {
		return nil, fmt.Errorf("%w: key to wrap of %d bytes", ErrRequest, len(key))
	}
	var b [16]byte
	a := uint64(wrapIV)
	out := make([]byte, 8+len(key))
	copy(out[8:], key)
	for j := range 6 {
		for i := 1; i <= n; i++ {
			binary.BigEndian.PutUint64(b[:8], a)
			copy(b[8:], out[8*i:8*i+8])
			block.Encrypt(b[:], b[:])
			a = binary.BigEndian.Uint64(b[:8]) ^ uint64(n*j+i)
			copy(out[8*i:], b[8:])
		}
	}
	binary.BigEndian.PutUint64(out, a)
	return out, nil
}

// UnwrapKey undoes WrapKey (RFC 3394, Section 2.2.2). Error: ErrDecrypt.
func UnwrapKey(kek, wrapped []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	n := len(wrapped)/8 - 1
	// A content key has at most 32 bytes; 64 leaves room and bounds the work.
	if err != nil || n < 2 || n > 8 || len(wrapped)%8 != 0 {
		return nil, ErrDecrypt
	}
	var b [16]byte
	a := binary.BigEndian.Uint64(wrapped)
	out := append([]byte(nil), wrapped[8:]...)
	for j := 5; j >= 0; j-- {
		for i := n; i >= 1; i-- {
			binary.BigEndian.PutUint64(b[:8], a^uint64(n*j+i))
			copy(b[8:], out[8*i-8:8*i])
			block.Decrypt(b[:], b[:])
			a = binary.BigEndian.Uint64(b[:8])
			copy(out[8*i-8:], b[8:])
		}
	}
	binary.BigEndian.PutUint64(b[:8], a)
	binary.BigEndian.PutUint64(b[8:], wrapIV)
	if subtle.ConstantTimeCompare(b[:8], b[8:]) != 1 {
		return nil, ErrDecrypt
	}
	return out, nil
}

// x963KDF derives size bytes from the shared secret z (SEC 1, Section 3.6.1, as RFC 5753, Section 7.2 uses it).
func x963KDF(h crypto.Hash, z, sharedInfo []byte, size int) []byte {
	out := make([]byte, 0, size+h.Size())
	for counter := uint32(1); len(out) < size; counter++ {
		d := h.New()
		d.Write(z)
		d.Write(binary.BigEndian.AppendUint32(nil, counter))
		d.Write(sharedInfo)
		out = d.Sum(out)
	}
	return out[:size]
}
