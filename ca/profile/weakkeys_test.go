package profile_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
)

// closeModulus is a product of two numbers with that gap between them (CVE-2022-26320).
func closeModulus(t testing.TB, bits int, gap int64) *big.Int {
	t.Helper()
	p := modulus(t, bits/2)
	p.SetBit(p, bits/2-2, 1) // so that the product has as many bits
	p = withoutSmallFactors(p)
	return new(big.Int).Mul(p, withoutSmallFactors(new(big.Int).Add(p, big.NewInt(gap))))
}

// EST-5274-9-02: known bad keys are refused, as EST-5274-9-01 has it of malformed ones.
func TestRSAKeysOfBrokenGeneratorsAreRefused(t *testing.T) {
	p := mustNew(t, profile.LDevID())
	for name, n := range map[string]*big.Int{
		"factors with the smallest gap": closeModulus(t, 2048, 2),
		"factors with a gap of 2^32":    closeModulus(t, 2048, 1<<32),
		"factors with a gap of 2^62":    closeModulus(t, 3072, 1<<62),
		"a square":                      closeModulus(t, 2048, 0),
		"a multiple of 3":               new(big.Int).Mul(modulus(t, 2047), big.NewInt(3)),
		"a multiple of 751":             new(big.Int).Mul(modulus(t, 2040), big.NewInt(751)),
		"a multiple of 2":               new(big.Int).Lsh(modulus(t, 2047), 1),
		"CVE-2017-15361":                flawedModulus(t, 2048),
	} {
		if err := p.CheckKey(&rsa.PublicKey{N: n, E: 65537}); !errors.Is(err, profile.ErrKeyWeak) || !errors.Is(err, ca.ErrRejected) {
			t.Errorf("%s: %v, want ErrKeyWeak", name, err)
		} else if strings.Contains(name, "gap") && !strings.Contains(err.Error(), "too close") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Nobody may be refused by chance.
	for range 20 {
		if err := p.CheckKey(&rsa.PublicKey{N: modulus(t, 2048), E: 65537}); err != nil {
			t.Errorf("a good key: %v", err)
		}
	}
}

// EST-5274-9-01: points that are none, or of which everybody knows the private key.
func TestPointsWithoutAPrivateKeyAreRefused(t *testing.T) {
	p := mustNew(t, profile.LDevID())
	params := elliptic.P256().Params()
	point := func(x, y *big.Int) *ecdsa.PublicKey { return &ecdsa.PublicKey{Curve: elliptic.P256(), X: x, Y: y} }
	good := ecKey(t, elliptic.P256())
	keys := map[string]crypto.PublicKey{
		"the point at infinity":       point(new(big.Int), new(big.Int)),
		"no point":                    point(nil, nil),
		"a point off the curve":       point(good.X, new(big.Int).Add(good.Y, big.NewInt(1))),
		"a point of another curve":    &ecdsa.PublicKey{Curve: elliptic.P384(), X: good.X, Y: good.Y},
		"coordinates that are larger": point(new(big.Int).Add(good.X, params.P), good.Y),
		"a negative coordinate":       point(good.X, new(big.Int).Neg(good.Y)),
		"the generator":               point(params.Gx, params.Gy),
		"its negative":                point(params.Gx, new(big.Int).Sub(params.P, params.Gy)),
	}
	for i, key := range smallOrderKeys(t) {
		keys[fmt.Sprintf("Ed25519 point of small order %d", i)] = key
	}
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys["Ed25519, too short"], keys["Ed25519, empty"] = edKey[:31], ed25519.PublicKey{}
	keys["Ed25519, y of p+3"] = ed25519.PublicKey(append(append([]byte{0xf0}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f))
	keys["Ed25519, no point"] = ed25519.PublicKey(append([]byte{2}, make([]byte, 31)...))
	for name, key := range keys {
		if err := p.CheckKey(key); !errors.Is(err, profile.ErrKeyWeak) || !errors.Is(err, ca.ErrRejected) {
			t.Errorf("%s: %v, want ErrKeyWeak", name, err)
		}
	}
	for range 64 {
		edKey, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.CheckKey(edKey); err != nil {
			t.Errorf("a good Ed25519 key: %v", err)
		}
	}
}

// smallOrderKeys derives the points whose order divides 8 from the curve's equation,
// with both signs.
func smallOrderKeys(t testing.TB) []ed25519.PublicKey {
	t.Helper()
	prime := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	mod := func(n *big.Int) *big.Int { return n.Mod(n, prime) }
	d := new(big.Int).ModInverse(big.NewInt(121666), prime)
	mod(d.Mul(d, big.NewInt(-121665)))
	ys := []*big.Int{new(big.Int), big.NewInt(1), new(big.Int).Sub(prime, big.NewInt(1))}
	// Of order 8: the double is of order 4, whose y is 0, so x*x = -y*y, and the curve's
	// equation is 2*y*y = 1 - d*y^4: y*y = (-1 + sqrt(1+d))/d or (-1 - sqrt(1+d))/d.
	root := new(big.Int).ModSqrt(new(big.Int).Add(d, big.NewInt(1)), prime)
	if root == nil {
		t.Fatal("1+d is no square")
	}
	inverse := new(big.Int).ModInverse(d, prime)
	for _, r := range []*big.Int{root, new(big.Int).Neg(root)} {
		square := mod(new(big.Int).Mul(new(big.Int).Sub(r, big.NewInt(1)), inverse))
		if y := new(big.Int).ModSqrt(square, prime); y != nil {
			ys = append(ys, y, new(big.Int).Sub(prime, y))
		}
	}
	if len(ys) != 5 {
		t.Fatalf("%d values of y, want 5", len(ys))
	}
	var keys []ed25519.PublicKey
	for _, y := range ys {
		key := make([]byte, ed25519.PublicKeySize)
		y.FillBytes(key)
		for i, j := 0, len(key)-1; i < j; i, j = i+1, j-1 {
			key[i], key[j] = key[j], key[i]
		}
		signed := bytes.Clone(key)
		signed[31] |= 0x80
		keys = append(keys, key, signed)
	}
	return keys
}

func listOf(t testing.TB, comment string, keys ...crypto.PublicKey) string {
	t.Helper()
	text := "# " + comment + "\n\n"
	for _, key := range keys {
		spki, err := profile.MarshalPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("%x\t%s\n", sha256.Sum256(spki), comment)
	}
	return text
}

func TestBlockedKeysAreRefused(t *testing.T) {
	weak := &rsa.PublicKey{N: modulus(t, 2048), E: 65537}
	digest := sha1.Sum(fmt.Appendf(nil, "Modulus=%X\n", weak.N))
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	blocked := []crypto.PublicKey{ecKey(t, elliptic.P256()).Public(), ecKey(t, elliptic.P384()).Public(), &rsa.PublicKey{N: modulus(t, 2048), E: 65537}, edKey}
	list, err := profile.ReadBlockedKeys(
		strings.NewReader(listOf(t, "published", blocked...)),
		strings.NewReader(strings.ToUpper(listOf(t, "again", blocked...))),
		strings.NewReader("\r\n"+hex.EncodeToString(digest[10:])+"\r\n"),
	)
	if err != nil || list.Len() != len(blocked)+1 {
		t.Fatalf("%v, %v, want %d keys", list, err, len(blocked)+1)
	}
	open := mustNew(t, profile.LDevID())
	p := open.WithBlockedKeys(list)
	for _, key := range append(blocked, weak) {
		if err := p.CheckKey(key); !errors.Is(err, profile.ErrKeyBlocked) || !errors.Is(err, ca.ErrRejected) {
			t.Errorf("%T: %v, want ErrKeyBlocked", key, err)
		}
		if err := open.CheckKey(key); err != nil {
			t.Errorf("the profile without a list: %v", err)
		}
	}
	for _, key := range []crypto.PublicKey{ecKey(t, elliptic.P256()).Public(), &rsa.PublicKey{N: modulus(t, 2048), E: 65537}} {
		if err := p.CheckKey(key); err != nil {
			t.Errorf("a key that is not listed: %v", err)
		}
	}
	if p.Version() != open.Version() {
		t.Error("a list of keys changes the profile's version")
	}
}

// The hash is Debian's: openssl-blacklist has "Modulus=" of openssl rsa -noout -modulus in it.
func TestDebianKeysAreKnownByTheirModulus(t *testing.T) {
	n, ok := new(big.Int).SetString("C"+strings.Repeat("0", 509)+"25", 16)
	if !ok {
		t.Fatal("no number")
	}
	// printf 'Modulus=C00...025\n' | sha1sum | cut -c21-40
	list, err := profile.ReadBlockedKeys(strings.NewReader("96b5cb11005c7703bfb4\n"))
	if err != nil {
		t.Fatal(err)
	}
	p := mustNew(t, profile.LDevID())
	if err := p.CheckKey(&rsa.PublicKey{N: n, E: 65537}); err != nil {
		t.Fatalf("without a list: %v", err)
	}
	if err := p.WithBlockedKeys(list).CheckKey(&rsa.PublicKey{N: n, E: 65537}); !errors.Is(err, profile.ErrKeyBlocked) {
		t.Errorf("%v, want ErrKeyBlocked", err)
	}
}

func TestListsThatAreNoneAreRefused(t *testing.T) {
	for what, text := range map[string]string{
		"a short hash": strings.Repeat("a", 63), "a long one": strings.Repeat("a", 65), "no hex": strings.Repeat("g", 64), "a colon": "aa:bb",
		"a long line": strings.Repeat("a", 64) + " " + strings.Repeat("x", 5000), "a PEM file": "-----BEGIN PUBLIC KEY-----", "a NUL": "\x00",
	} {
		if b, err := profile.ReadBlockedKeys(strings.NewReader(text)); !errors.Is(err, profile.ErrBlockedKeys) || b != nil {
			t.Errorf("%s: %v, want ErrBlockedKeys", what, err)
		}
	}
	if b, err := profile.ReadBlockedKeys(); err != nil || b.Len() != 0 {
		t.Errorf("no list: %v, %v", b, err)
	}
}

// A list without an end takes bounded memory.
func TestAListOfBlockedKeysHasAnEnd(t *testing.T) {
	endless := &repeated{line: []byte("00112233445566778899\n")}
	if _, err := profile.ReadBlockedKeys(endless); !errors.Is(err, profile.ErrBlockedKeys) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("%v, want ErrBlockedKeys", err)
	}
}

type repeated struct {
	line []byte
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.line[r.at:])
	r.at = (r.at + n) % len(r.line)
	return n, nil
}

var _ io.Reader = (*repeated)(nil)

func FuzzReadBlockedKeys(f *testing.F) {
	f.Add([]byte("# none\n\n" + strings.Repeat("0f", 32) + " a key\n00112233445566778899\n"))
	f.Add([]byte("x"))
	key := ecKey(f, elliptic.P256()).Public()
	p := mustNew(f, profile.Device())
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := profile.ReadBlockedKeys(bytes.NewReader(text))
		if err != nil {
			return
		}
		if b.Len() > bytes.Count(text, []byte("\n"))+1 {
			t.Errorf("%d keys in %q", b.Len(), text)
		}
		if err := p.WithBlockedKeys(b).CheckKey(key); err != nil {
			t.Errorf("a list without it blocks a key: %v", err)
		}
	})
}

func BenchmarkCheckKeyEd25519(b *testing.B) {
	p := mustNew(b, profile.LDevID())
	key, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := p.CheckKey(key); err != nil {
			b.Fatal(err)
		}
	}
}
