package vouchercose_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"testing"

	_ "crypto/sha256"
	_ "crypto/sha512"
)

// This file writes and reads CBOR (RFC 8949, Section 3) and COSE_Sign1 (RFC
// 9052, Section 4) by hand, for a second opinion about the libraries.

// head writes an initial byte and argument in the shortest form.
func head(major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return []byte{major | byte(n)}
	case n < 1<<8:
		return []byte{major | 24, byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{major | 25}, uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32([]byte{major | 26}, uint32(n))
	default:
		return binary.BigEndian.AppendUint64([]byte{major | 27}, n)
	}
}

func number(n int64) []byte {
	if n < 0 {
		return head(1, uint64(-1-n))
	}
	return head(0, uint64(n))
}

func octets(b []byte) []byte           { return append(head(2, uint64(len(b))), b...) }
func text(s string) []byte             { return append(head(3, uint64(len(s))), s...) }
func tagged(n uint64, b []byte) []byte { return append(head(6, n), b...) }

func list(items ...[]byte) []byte {
	return append(head(4, uint64(len(items))), bytes.Join(items, nil)...)
}

// object takes keys and values in turn.
func object(items ...[]byte) []byte {
	return append(head(5, uint64(len(items)/2)), bytes.Join(items, nil)...)
}

func certificates(certs ...*x509.Certificate) []byte {
	var items [][]byte
	for _, c := range certs {
		items = append(items, octets(c.Raw))
	}
	if len(items) == 1 {
		return items[0]
	}
	return list(items...)
}

// envelope is a COSE_Sign1 to be; its parts are encoded, but the payload.
type envelope struct {
	protected, unprotected []byte // maps
	payload                []byte
	key                    crypto.Signer
}

// sigStructure is what is signed (RFC 9052, Section 4.4).
func sigStructure(protected, payload []byte) []byte {
	return list(text("Signature1"), octets(protected), octets(nil), octets(payload))
}

// bytes signs by hand, ES256 with a P-256 key.
func (e envelope) bytes(t testing.TB) []byte {
	t.Helper()
	digest := crypto.SHA256.New()
	digest.Write(sigStructure(e.protected, e.payload))
	key, ok := e.key.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("a key of type %T", e.key)
	}
	r, s, err := ecdsa.Sign(rand.Reader, key, digest.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	size := (key.Params().BitSize + 7) / 8
	signature := append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	return tagged(18, list(octets(e.protected), e.unprotected, octets(e.payload), octets(signature)))
}

// reader reads the items that we write.
type reader struct {
	t    testing.TB
	data []byte
}

func (r *reader) head() (major byte, n uint64) {
	r.t.Helper()
	if len(r.data) == 0 {
		r.t.Fatal("cut off")
	}
	major, n = r.data[0]>>5, uint64(r.data[0]&0x1f)
	size := 0
	if n >= 24 {
		size = 1 << (n - 24)
		n = 0
	}
	for _, b := range r.data[1 : 1+size] {
		n = n<<8 | uint64(b)
	}
	if !bytes.HasPrefix(r.data, head(major, n)) {
		r.t.Errorf("%x is not the shortest form", r.data[:1+size])
	}
	r.data = r.data[1+size:]
	return major, n
}

func (r *reader) want(major byte, what string) uint64 {
	r.t.Helper()
	got, n := r.head()
	if got != major {
		r.t.Fatalf("%s has major type %d, want %d", what, got, major)
	}
	return n
}

func (r *reader) octets(what string) []byte {
	r.t.Helper()
	n := r.want(2, what)
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

// sign1 is a COSE_Sign1 that we have signed.
type sign1 struct {
	algorithm          int64
	protected, payload []byte
	bag                [][]byte
	signature          []byte
}

// takeApart fails the test unless data is just what we sign: alg alone protected, x5bag alone unprotected.
func takeApart(t testing.TB, data []byte) *sign1 {
	t.Helper()
	r := &reader{t, data}
	var m sign1
	if n := r.want(6, "the artifact"); n != 18 {
		t.Fatalf("tag %d, want 18", n)
	}
	if n := r.want(4, "COSE_Sign1"); n != 4 {
		t.Fatalf("an array of %d, want 4", n)
	}
	m.protected = r.octets("the protected header")
	p := &reader{t, m.protected}
	if entries := p.want(5, "the protected header's map"); entries != 1 || p.want(0, "its label") != 1 {
		t.Fatal("the protected header holds other than alg")
	}
	m.algorithm = -1 - int64(p.want(1, "alg"))
	if entries := r.want(5, "the unprotected header"); entries != 1 || r.want(0, "its label") != 32 {
		t.Fatal("the unprotected header holds other than x5bag")
	}
	if r.data[0]>>5 == 2 {
		m.bag = [][]byte{r.octets("x5bag")}
	} else {
		for range r.want(4, "x5bag") {
			m.bag = append(m.bag, r.octets("a certificate"))
		}
	}
	m.payload = r.octets("the payload")
	m.signature = r.octets("the signature")
	if len(r.data)+len(p.data) != 0 {
		t.Fatal("bytes follow")
	}
	return &m
}

// verify checks the signature with the standard library (RFC 9053, Section 2; RFC 8230, Section 2).
func (m *sign1) verify(public crypto.PublicKey) error {
	signed := sigStructure(m.protected, m.payload)
	hash, ok := map[int64]crypto.Hash{-7: crypto.SHA256, -35: crypto.SHA384, -36: crypto.SHA512, -37: crypto.SHA256, -8: 0}[m.algorithm]
	if !ok {
		return fmt.Errorf("algorithm %d", m.algorithm)
	}
	var digest []byte
	if hash != 0 {
		h := hash.New()
		h.Write(signed)
		digest = h.Sum(nil)
	}
	good := false
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		size := (key.Params().BitSize + 7) / 8
		if len(m.signature) != 2*size {
			return fmt.Errorf("a signature of %d bytes, want %d", len(m.signature), 2*size)
		}
		r, s := new(big.Int).SetBytes(m.signature[:size]), new(big.Int).SetBytes(m.signature[size:])
		good = ecdsa.Verify(key, digest, r, s)
	case ed25519.PublicKey:
		good = ed25519.Verify(key, signed, m.signature)
	case *rsa.PublicKey:
		return rsa.VerifyPSS(key, hash, digest, m.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	if !good {
		return fmt.Errorf("signature of %T does not hold", public)
	}
	return nil
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
