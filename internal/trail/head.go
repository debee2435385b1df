package trail

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Head is a signed statement about the log. Heads are numbered without a gap,
// so that one taken away is missed.
type Head struct {
	Number    int64    // from 1
	Size      int64    // entries covered
	Root      [32]byte // of the tree of that size
	Signature []byte   // over Text
}

// Text returns what is signed: the origin, the size and the root in base64 as
// in a C2SP tlog-checkpoint, and an extension line with the number.
func (h *Head) Text(origin string) string {
	b := make([]byte, 0, len(origin)+96)
	b = append(b, origin...)
	b = append(b, '\n')
	b = strconv.AppendInt(b, h.Size, 10)
	b = append(b, '\n')
	b = base64.StdEncoding.AppendEncode(b, h.Root[:])
	b = append(b, "\nhead "...)
	b = strconv.AppendInt(b, h.Number, 10)
	b = append(b, '\n')
	return string(b)
}

// Sign fills in the signature with the given key: Ed25519 over the text, any
// other over its SHA-256.
func (h *Head) Sign(origin string, key crypto.Signer) error {
	text := []byte(h.Text(origin))
	var err error
	if _, ok := key.Public().(ed25519.PublicKey); ok {
		h.Signature, err = key.Sign(rand.Reader, text, crypto.Hash(0))
	} else {
		sum := sha256.Sum256(text)
		h.Signature, err = key.Sign(rand.Reader, sum[:], crypto.SHA256)
	}
	if err != nil {
		return fmt.Errorf("sign trail head %d: %w", h.Number, err)
	}
	return nil
}

// ErrSignature says that a head is not signed by the trail's key.
var ErrSignature = errors.New("trail: the head is not signed by this trail's key")

// Verify checks the signature with the trail's public key, Ed25519 or ECDSA.
// It returns nil or an error that wraps [ErrSignature].
func (h *Head) Verify(origin string, key crypto.PublicKey) error {
	v, err := newVerifier(origin, key)
	if err != nil {
		return err
	}
	if !v.Verify([]byte(h.Text(origin)), h.Signature) {
		return fmt.Errorf("%w: head %d", ErrSignature, h.Number)
	}
	return nil
}

// Note returns the head as a signed note (golang.org/x/mod/sumdb/note), the
// form in which it is shown to somebody else.
func (h *Head) Note(origin string, key crypto.PublicKey) ([]byte, error) {
	v, err := newVerifier(origin, key)
	if err != nil {
		return nil, err
	}
	sig := binary.BigEndian.AppendUint32(nil, v.KeyHash())
	sig = append(sig, h.Signature...)
	return fmt.Appendf(nil, "%s\n— %s %s\n", h.Text(origin), origin, base64.StdEncoding.EncodeToString(sig)), nil
}

// OpenNote reads a note that [Head.Note] wrote and checks its signature.
func OpenNote(msg []byte, origin string, key crypto.PublicKey) (*Head, error) {
	v, err := newVerifier(origin, key)
	if err != nil {
		return nil, err
	}
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return parseText(n, origin)
}

func parseText(n *note.Note, origin string) (*Head, error) {
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 5 {
		return nil, errors.New("trail: a head has four lines")
	}
	size, err1 := strconv.ParseInt(lines[1], 10, 64)
	root, err2 := base64.StdEncoding.DecodeString(lines[2])
	number, err3 := strconv.ParseInt(strings.TrimPrefix(lines[3], "head "), 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("trail: head: %w", err)
	}
	h := &Head{Number: number, Size: size}
	copy(h.Root[:], root)
	if h.Text(origin) != n.Text {
		return nil, errors.New("trail: the head is not in its canonical form")
	}
	sig, err := base64.StdEncoding.DecodeString(n.Sigs[0].Base64)
	if err != nil || len(sig) < 4 {
		return nil, errors.New("trail: head signature cut short")
	}
	h.Signature = sig[4:]
	return h, nil
}

// verifier is a note.Verifier for one key.
type verifier struct {
	origin string
	hash   uint32
	check  func(msg, sig []byte) bool
}

func (v *verifier) Name() string                { return v.origin }
func (v *verifier) KeyHash() uint32             { return v.hash }
func (v *verifier) Verify(msg, sig []byte) bool { return v.check(msg, sig) }

// newVerifier computes the key hash as signed notes do: over the name, an
// algorithm byte (1 Ed25519, 2 ECDSA) and the key.
func newVerifier(origin string, key crypto.PublicKey) (*verifier, error) {
	var alg byte
	var raw []byte
	v := &verifier{origin: origin}
	switch k := key.(type) {
	case ed25519.PublicKey:
		alg, raw = 1, k
		v.check = func(msg, sig []byte) bool { return ed25519.Verify(k, msg, sig) }
	case *ecdsa.PublicKey:
		alg = 2
		der, err := x509.MarshalPKIXPublicKey(k)
		if err != nil {
			return nil, fmt.Errorf("trail key: %w", err)
		}
		raw = der
		v.check = func(msg, sig []byte) bool {
			sum := sha256.Sum256(msg)
			return ecdsa.VerifyASN1(k, sum[:], sig)
		}
	default:
		return nil, fmt.Errorf("trail key: a %T, want Ed25519 or ECDSA", key)
	}
	sum := sha256.Sum256(append([]byte(origin+"\n"+string([]byte{alg})), raw...))
	v.hash = binary.BigEndian.Uint32(sum[:])
	return v, nil
}
