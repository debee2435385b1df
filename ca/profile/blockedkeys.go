package profile

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what Debian's lists are made of; nothing rests on it
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
)

// MaxBlockedKeys is how many keys a list may name. In memory each takes 16 bytes.
const MaxBlockedKeys = 4 << 20

// maxBlockedLine bounds a line of the list, in bytes.
const maxBlockedLine = 4096

// ErrBlockedKeys says that a list of blocked keys cannot be read.
var ErrBlockedKeys = errors.New("profile: list of blocked keys")

// BlockedKeys are keys that no certificate is issued for, since others have them:
// published ones, and those of broken generators. It may be used by many at once.
type BlockedKeys struct {
	keys   [][16]byte // sorted; of the SHA-256 of the SubjectPublicKeyInfo the first 128 bits
	moduli [][10]byte // sorted; Debian's hashes of RSA moduli
}

// ReadBlockedKeys reads a list: text, one key a line, in any order. A line begins
// with one of
//
//   - 64 hex digits: the SHA-256 of a SubjectPublicKeyInfo (DER), as of
//     openssl pkey -pubin -outform der | sha256sum, and as in the lists of pwnedkeys;
//   - 20 hex digits: the last 80 bits of the SHA-1 of "Modulus=" with an RSA
//     modulus in upper-case hex and a line feed, which is how Debian's package
//     openssl-blacklist lists the keys of CVE-2008-0166.
//
// What follows a space or tab is for people, as are empty lines and those that begin
// with #. Lists may be read one after the other into one by more. The error names the
// line and wraps [ErrBlockedKeys]; more than [MaxBlockedKeys] are one too.
func ReadBlockedKeys(lists ...io.Reader) (*BlockedKeys, error) {
	b := new(BlockedKeys)
	for _, in := range lists {
		if err := b.read(in); err != nil {
			return nil, err
		}
	}
	compare := func(x, y [16]byte) int { return bytes.Compare(x[:], y[:]) }
	slices.SortFunc(b.keys, compare)
	b.keys = slices.Clip(slices.Compact(b.keys))
	slices.SortFunc(b.moduli, compareModuli)
	b.moduli = slices.Clip(slices.Compact(b.moduli))
	return b, nil
}

func compareModuli(x, y [10]byte) int { return bytes.Compare(x[:], y[:]) }

func (b *BlockedKeys) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, maxBlockedLine), maxBlockedLine)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if i := bytes.IndexAny(line, " \t"); i >= 0 {
			line = line[:i]
		}
		if b.Len() == MaxBlockedKeys {
			return fmt.Errorf("%w: line %d: there are more than %d keys", ErrBlockedKeys, n, MaxBlockedKeys)
		}
		var digest [32]byte
		size, err := 0, error(nil)
		if len(line) <= 2*len(digest) {
			size, err = hex.Decode(digest[:], line)
		}
		switch {
		case err == nil && size == 32:
			b.keys = append(b.keys, [16]byte(digest[:16]))
		case err == nil && size == 10:
			b.moduli = append(b.moduli, [10]byte(digest[:10]))
		default:
			return fmt.Errorf("%w: line %d: %.70q is neither 64 hex digits (SHA-256 of a SubjectPublicKeyInfo) nor 20 (of Debian's openssl-blacklist)", ErrBlockedKeys, n, line)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrBlockedKeys, err)
	}
	return nil
}

// Len is how many keys are blocked.
func (b *BlockedKeys) Len() int { return len(b.keys) + len(b.moduli) }

// check refuses a key that is listed.
func (b *BlockedKeys) check(pub crypto.PublicKey) error {
	spki, err := MarshalPublicKey(pub)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(spki)
	if _, found := slices.BinarySearchFunc(b.keys, [16]byte(digest[:16]), func(x, y [16]byte) int { return bytes.Compare(x[:], y[:]) }); found {
		return rejected(ErrKeyBlocked, "its SHA-256 %x is on a list of blocked keys; have the device make another key", digest)
	}
	key, ok := pub.(*rsa.PublicKey)
	if !ok || len(b.moduli) == 0 {
		return nil
	}
	weak := sha1.Sum(fmt.Appendf(nil, "Modulus=%X\n", key.N.Bytes())) //nolint:gosec // see the import
	if _, found := slices.BinarySearchFunc(b.moduli, [10]byte(weak[10:]), compareModuli); found {
		return rejected(ErrKeyBlocked, "it is one of those that Debian's OpenSSL made before 2008 (CVE-2008-0166); have the device make another key")
	}
	return nil
}

// WithBlockedKeys returns a profile that is the same, and refuses those keys too. Nil blocks none.
func (p *Profile) WithBlockedKeys(b *BlockedKeys) *Profile {
	other := *p
	other.blocked = b
	return &other
}
