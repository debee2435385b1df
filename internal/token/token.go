// Package token signs with keys in PKCS#11 tokens: a pool of sessions that
// outlives what happens to tokens. It is about order and faults and knows no
// C: [Library] is what it needs of a PKCS#11 library.
//
// [NewModule] takes a library, [Module.Token] one token of it, and [Token.Open]
// and [Token.Create] give keys that are a crypto.Signer. What a call does
// when something is wrong:
//
//   - A session, handle or login that is gone is made anew; where that does not
//     help, the whole library is started again (C_Finalize, C_Initialize).
//   - A call that does not return within the deadline is left behind with its
//     session. The library cannot be started again under it, so the others go on
//     with the sessions that are left.
//   - After some failures in a row calls fail at once for a moment, and then
//     one of them tries.
//   - A signature that the public key does not verify never leaves.
//   - A PIN that the token did not take is not tried again: tokens lock.
package token

import (
	"context"
	"crypto"
	"errors"
	"time"
)

var (
	// ErrNotFound says that the token has no such private key.
	ErrNotFound = errors.New("pkcs11: no such private key in the token")
	// ErrExists says that the token has a private key of that name.
	ErrExists = errors.New("pkcs11: a private key of that name is in the token already")
	// ErrAmbiguous says that several private keys match.
	ErrAmbiguous = errors.New("pkcs11: several private keys match; add id= to the URI")
	// ErrNoToken says that no token, or more than one, is as the URI says.
	ErrNoToken = errors.New("pkcs11: no such token")
	// ErrHung says that the library did not answer within the deadline.
	ErrHung = errors.New("pkcs11: the token does not answer")
	// ErrUnavailable says that calls fail at once, since the last ones failed.
	ErrUnavailable = errors.New("pkcs11: the token is out of order")
	// ErrWrongSignature says that the token answered with what the public key
	// does not verify.
	ErrWrongSignature = errors.New("pkcs11: the token made a signature that its public key does not verify")
	// ErrAlgorithm says that the token has no such algorithm.
	ErrAlgorithm = errors.New("pkcs11: the token has no such algorithm")
	// ErrLimits says that the token was opened with other limits.
	ErrLimits = errors.New("pkcs11: the token is in use with other limits; give every URI of it the same x- attributes, or only the first")
	// ErrPIN says that the token refused the PIN, and that it is not tried again.
	ErrPIN = errors.New("pkcs11: the token refuses the PIN")
)

// Library is a PKCS#11 library. Its errors are a [Code], one of the sentinels
// here, or anything else, which is then final. Calls run concurrently, but for
// Initialize and Finalize, which nothing else runs beside.
type Library interface {
	Initialize() error
	Finalize() error
	// Find returns the slot of the one token that s selects, or [ErrNoToken].
	Find(s Selector) (slot uint, err error)
	// Open opens a session for reading and writing and logs in, unless the
	// program is; pin is not called then, and may return "" for a token that needs none.
	Open(slot uint, pin func() (string, error)) (Session, error)
}

// Session is one session with a token. One call runs at a time.
type Session interface {
	// Key finds a private key: [ErrNotFound] or [ErrAmbiguous] if not one matches.
	Key(o Object) (Handle, error)
	// Public returns the public half of a private key.
	Public(h Handle) (crypto.PublicKey, error)
	// Sign returns the token's raw signature: r and s side by side for ECDSA.
	Sign(h Handle, m Mechanism, data []byte) ([]byte, error)
	// Generate makes a key pair in the token and returns the private key: o.Label
	// and o.ID name it. [ErrAlgorithm] if the token cannot.
	Generate(a Algorithm, o Object) (Handle, error)
	Close() error
}

// Handle is an object's handle (CK_OBJECT_HANDLE), good while its session is.
type Handle uint

// Selector says which token: an empty string and a nil number leave it open.
type Selector struct {
	Token, Serial, Manufacturer, Model string
	Slot                               *uint
}

// Object names a private key by label and identifier (CKA_LABEL, CKA_ID); the
// empty string leaves it open.
type Object struct {
	Label, ID string
}

// Mechanism is how to sign.
type Mechanism struct {
	Kind Kind
	Hash crypto.Hash // of PSS, which names it to the token
	Salt int         // of PSS, in bytes
}

// Kind is a mechanism without its parameters.
type Kind int

// The mechanisms: CKM_ECDSA, CKM_EDDSA, CKM_RSA_PKCS and CKM_RSA_PKCS_PSS.
const (
	ECDSA Kind = iota + 1
	EdDSA
	RSAPKCS1
	RSAPSS
)

// Algorithm is a kind of key to make: p256, p384, p521, ed25519, or rsa and a number of bits.
type Algorithm string

// Limits bound what a module does. The zero value has sensible ones.
type Limits struct {
	Sessions int           // of one token at a time; default 16
	Deadline time.Duration // of one call, with all its tries; default 10 s
	Generate time.Duration // of one key's making; default 2 min
	Failures int           // in a row until calls fail at once; default 3
	Pause    time.Duration // of failing at once; default 2 s
}

func (l Limits) filled() Limits {
	return l.or(Limits{Sessions: 16, Deadline: 10 * time.Second, Generate: 2 * time.Minute, Failures: 3, Pause: 2 * time.Second})
}

// or takes from other what l leaves open.
func (l Limits) or(other Limits) Limits {
	fill := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	fill(&l.Deadline, other.Deadline)
	fill(&l.Generate, other.Generate)
	fill(&l.Pause, other.Pause)
	if l.Sessions <= 0 {
		l.Sessions = other.Sessions
	}
	if l.Failures <= 0 {
		l.Failures = other.Failures
	}
	return l
}

// Health is how a token is doing.
type Health struct {
	Usable   bool  // false while calls fail at once
	Failures int   // in a row
	Last     error // of them; nil when the last call was fine
	Sessions int   // open and idle
	Limit    int   // how many there may be: fewer than asked for where the token has fewer
	Busy     int   // calls under way, those that hang among them
	Hung     int   // calls of the whole module that passed their deadline and have not returned
}

// within bounds ctx.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, ErrHung)
}
