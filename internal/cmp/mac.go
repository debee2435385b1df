package cmp

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	_ "crypto/sha1" // HMAC-SHA1, behind MAC.AllowHMACSHA1 only
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
)

// MAC protects by a secret that both sides know (RFC 9481, Section 6.1). It is also what verifies such messages.
type MAC struct {
	Secret []byte
	// PBMAC1 makes the key by PBKDF2 (RFC 8018, Section 7.1; RFC 9481, Section 6.1.2); otherwise by the password-based MAC
	// (RFC 4210, Section 5.1.3.1; RFC 9481, Section 6.1.1).
	PBMAC1 bool
	// Iterations of the key's making; 0 stands for 10,000.
	Iterations int
	// AllowHMACSHA1 takes messages whose MAC is HMAC-SHA1, as the server of OpenSSL 3.0 sends; its key is made by SHA-256 at
	// least all the same.
	AllowHMACSHA1 bool
}

const defaultIterations = 10_000

func oidPasswordBasedMAC() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113533, 7, 66, 13}
}
func oidPBMAC1() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 14} }
func oidPBKDF2() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12} }

func (k *MAC) begin() ([]byte, func([]byte) ([]byte, error), error) {
	if len(k.Secret) == 0 {
		return nil, nil, fmt.Errorf("%w: a MAC without a secret", ErrBuild)
	}
	iterations := k.Iterations
	if iterations == 0 {
		iterations = defaultIterations
	}
	salt := make([]byte, 16)
	rand.Read(salt)
	sha256, hmac256 := algorithm(oidOfHash(crypto.SHA256), nil), algorithm(oidOfHMAC(crypto.SHA256), []byte{5, 0})
	var b cryptobyte.Builder
	if k.PBMAC1 {
		kdf := sequenceOf(func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(salt)
			b.AddASN1Int64(int64(iterations))
			b.AddASN1Int64(32)
			b.AddBytes(hmac256)
		})
		b.AddBytes(algorithm(oidPBMAC1(), sequence(algorithm(oidPBKDF2(), kdf), hmac256)))
	} else {
		b.AddBytes(algorithm(oidPasswordBasedMAC(), sequenceOf(func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(salt)
			b.AddBytes(sha256)
			b.AddASN1Int64(int64(iterations))
			b.AddBytes(hmac256)
		})))
	}
	der, err := b.Bytes()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrBuild, err)
	}
	derive := keyMaking{pbkdf2: k.PBMAC1, hash: crypto.SHA256, salt: salt, iterations: iterations, length: 32, mac: crypto.SHA256}
	return der, func(part []byte) ([]byte, error) { return derive.protect(k.Secret, part) }, nil
}

// VerifyMAC checks that somebody who knows the secret made this message. The comparison takes constant time.
// Errors: ErrUnprotected, ErrProtection, ErrWeakAlgorithm, ErrUnsupportedAlgorithm, ErrSyntax, ErrTooLarge.
func (m *Message) VerifyMAC(k *MAC) error {
	if m.protection == nil {
		return ErrUnprotected
	}
	if len(k.Secret) == 0 {
		return fmt.Errorf("%w: a MAC without a secret", ErrBuild)
	}
	derive, err := readKeyMaking(m.Header.Algorithm)
	if err != nil {
		return err
	}
	if derive.mac == crypto.SHA1 && !k.AllowHMACSHA1 {
		return fmt.Errorf("%w: HMAC-SHA1", ErrWeakAlgorithm)
	}
	want, err := derive.protect(k.Secret, m.protected)
	if err != nil {
		return err
	}
	if !hmac.Equal(want, m.protection) {
		return ErrProtection
	}
	return nil
}

// keyMaking is how the key of a MAC is made, and which MAC it is.
type keyMaking struct {
	pbkdf2     bool
	hash       crypto.Hash // the one-way function, or that of PBKDF2's HMAC
	salt       []byte
	iterations int
	length     int // of PBKDF2's key, in bytes
	mac        crypto.Hash
}

func (d *keyMaking) protect(secret, part []byte) ([]byte, error) {
	key, err := d.key(secret)
	if err != nil {
		return nil, err
	}
	m := hmac.New(d.mac.New, key)
	m.Write(part)
	return m.Sum(nil), nil
}

func (d *keyMaking) key(secret []byte) ([]byte, error) {
	if d.pbkdf2 {
		key, err := pbkdf2.Key(d.hash.New, string(secret), d.salt, d.iterations, d.length)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnsupportedAlgorithm, err)
		}
		return key, nil
	}
	// RFC 4210, Section 5.1.3.1: the one-way function over secret and salt, and over its own result again.
	key := append(bytes.Clone(secret), d.salt...)
	for range d.iterations {
		h := d.hash.New()
		h.Write(key)
		key = h.Sum(key[:0])
	}
	return key, nil
}

func readKeyMaking(a cms.AlgorithmIdentifier) (*keyMaking, error) {
	d := &keyMaking{}
	var err error
	switch {
	case a.OID.Equal(oidPasswordBasedMAC()):
		err = read(a.Parameters, "PBMParameter", func(r *reader) { d.readPBM(r.sequence("PBMParameter")) })
	case a.OID.Equal(oidPBMAC1()):
		err = read(a.Parameters, "PBMAC1-params", func(r *reader) { d.readPBMAC1(r.sequence("PBMAC1-params")) })
	default:
		err = fmt.Errorf("%w: %s is no MAC that is taken", ErrUnsupportedAlgorithm, a.OID)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// readPBM reads PBMParameter (RFC 4210, Section 5.1.3.1).
func (d *keyMaking) readPBM(r *reader) {
	d.salt = r.octets("salt")
	d.hash = r.hash(oidOfHash, "one-way function")
	d.readIterations(r)
	d.mac = r.hash(oidOfHMAC, "MAC")
	r.end("PBMParameter")
	if r.ok() && d.hash == crypto.SHA1 {
		r.broken(ErrWeakAlgorithm, "a key made by SHA-1")
	}
}

// readPBMAC1 reads PBMAC1-params with PBKDF2-params (RFC 8018, Appendix A).
func (d *keyMaking) readPBMAC1(r *reader) {
	d.pbkdf2, d.hash = true, crypto.SHA1 // the default, refused below
	kdf := r.sequence("keyDerivationFunc")
	if oid := kdf.oid("keyDerivationFunc"); kdf.ok() && !oid.Equal(oidPBKDF2()) {
		kdf.broken(ErrUnsupportedAlgorithm, fmt.Sprintf("key derivation by %s", oid))
	}
	params := kdf.sequence("PBKDF2-params")
	kdf.end("keyDerivationFunc")
	d.salt = params.octets("salt")
	d.readIterations(params)
	if params.is(cryptobyte_asn1.INTEGER) {
		d.length = int(min(params.integer("keyLength"), 1024))
	}
	if params.more() {
		d.hash = params.hash(oidOfHMAC, "prf")
	}
	params.end("PBKDF2-params")
	d.mac = r.hash(oidOfHMAC, "messageAuthScheme")
	r.end("PBMAC1-params")
	// The length is optional (RFC 8018, Appendix A.2) and needed here: HMAC takes keys of any.
	if r.ok() && (d.length < 16 || d.length > 64) {
		r.broken(ErrUnsupportedAlgorithm, fmt.Sprintf("a key of %d bytes", d.length))
	}
	if r.ok() && d.hash == crypto.SHA1 {
		r.broken(ErrWeakAlgorithm, "PBKDF2 with HMAC-SHA1")
	}
}

func (d *keyMaking) readIterations(r *reader) {
	n := r.integer("iterationCount")
	if r.ok() && (n < 1 || n > MaxIterations) {
		r.broken(ErrTooLarge, fmt.Sprintf("iterationCount %d, the limit is %d", n, MaxIterations))
	}
	d.iterations = int(n)
}

// hash reads the algorithm identifier of a hash, or of HMAC over one, by oidOf. SHA-1 stands for HMAC-SHA1 in all its names,
// and for SHA-1: the caller judges.
func (r *reader) hash(oidOf func(crypto.Hash) asn1.ObjectIdentifier, what string) crypto.Hash {
	a := r.algorithm(what)
	if !r.ok() {
		return 0
	}
	if a.Parameters == nil || bytes.Equal(a.Parameters, []byte{5, 0}) {
		for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			if a.OID.Equal(oidOf(h)) {
				return h
			}
		}
		// hmacWithSHA1, hMAC-SHA1 of RFC 4210, Section D.2, and SHA-1.
		switch a.OID.String() {
		case "1.2.840.113549.2.7", "1.3.6.1.5.5.8.1.2", "1.3.14.3.2.26":
			return crypto.SHA1
		}
	}
	r.broken(ErrUnsupportedAlgorithm, fmt.Sprintf("%s %s", what, a.OID))
	return 0
}

func oidOfHash(h crypto.Hash) asn1.ObjectIdentifier {
	last := map[crypto.Hash]int{crypto.SHA256: 1, crypto.SHA384: 2, crypto.SHA512: 3}[h]
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, last}
}

func oidOfHMAC(h crypto.Hash) asn1.ObjectIdentifier {
	last := map[crypto.Hash]int{crypto.SHA256: 9, crypto.SHA384: 10, crypto.SHA512: 11}[h]
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 2, last}
}

// algorithm returns an AlgorithmIdentifier in DER; parameters nil leaves them out.
func algorithm(oid asn1.ObjectIdentifier, parameters []byte) []byte {
	return sequenceOf(func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddBytes(parameters)
	})
}

func sequenceOf(f func(*cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, f)
	return b.BytesOrPanic() // only with values of this package
}

// confirmationHash returns the hash that a certHash is made with, and whether it has to be said.
func confirmationHash(a x509.SignatureAlgorithm) (crypto.Hash, bool) {
	switch a {
	case x509.SHA256WithRSA, x509.ECDSAWithSHA256, x509.SHA256WithRSAPSS:
		return crypto.SHA256, false
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		return crypto.SHA384, false
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		return crypto.SHA512, false
	default:
		return crypto.SHA512, true
	}
}
