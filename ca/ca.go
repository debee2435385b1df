// Package ca is the port between whoever decides that a certificate is to be
// issued and whoever signs it. It holds no implementation: see ca/localca for
// one that signs here, ca/estca, ca/vaultca, ca/stepca and ca/cmpca for those
// that ask another CA, and ca/catest for the contract each must pass.
package ca

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"net/url"
	"time"
)

var (
	// ErrPending says that the issuer took the request and has not decided. It
	// comes inside a [Later].
	ErrPending = errors.New("ca: the issuer has not decided yet")
	// ErrUnavailable says that the issuer cannot be reached or cannot sign
	// now. Alone, nothing was issued; inside a [Later] another CA may have
	// issued a certificate whose way here was lost.
	ErrUnavailable = errors.New("ca: the issuer is unavailable")
	// ErrRejected says that the request breaks its profile or the issuer's
	// rules; asking again with the same request gives the same answer.
	ErrRejected = errors.New("ca: the request breaks the issuer's rules")
	// ErrUnknownProfile says that the request names a profile the issuer does
	// not have.
	ErrUnknownProfile = errors.New("ca: unknown profile")
	// ErrMismatch says that the issuer answered with something else than was
	// asked for. A certificate among it comes as a [Mismatch].
	ErrMismatch = errors.New("ca: the issuer answered with something else than was asked for")
)

// Later is an error of [Issuer.Issue] after which the intent stays open: the
// same issuance is asked for again, with the same Request.ID and with
// Request.Asked set, and ends as if it had been asked for once.
type Later struct {
	// Err wraps ErrPending or ErrUnavailable.
	Err error
	// After is how long to wait before asking again; zero leaves it to the caller.
	After time.Duration
	// State is handed back in Request.State; up to 64 KiB that only the issuer reads.
	State []byte
}

// Error is that of Err.
func (l *Later) Error() string { return l.Err.Error() }

// Unwrap returns Err.
func (l *Later) Unwrap() error { return l.Err }

// Mismatch is an error of [Issuer.Issue]: another CA signed a certificate that
// is not the one that was asked for. It exists, nobody is given it, and the
// caller puts it on record and has it revoked.
type Mismatch struct {
	// Raw is the certificate as it came, DER.
	Raw []byte
	// Problem says what is wrong with it; it holds no secrets.
	Problem error
}

// Error says what is wrong.
func (m *Mismatch) Error() string { return ErrMismatch.Error() + ": " + m.Problem.Error() }

// Unwrap returns ErrMismatch and the problem.
func (m *Mismatch) Unwrap() []error { return []error{ErrMismatch, m.Problem} }

// Issuer turns a decided request into a certificate.
//
// Issue must call r.Record exactly once, after every check has passed and
// before any signer (or other CA) is asked, and must not sign when Record
// fails. With r.Asked set that was done by an earlier call, and Record is not
// called again. It returns the certificate it signed, or an error that wraps
// one of this package's sentinels where one applies. After Record succeeded and
// Issue failed, the intent stays without a certificate, for good unless the
// error is a [Later]. What another CA answers is checked before it is returned:
// its key, its names, its validity and that the chain issued it; what is wrong
// is [ErrMismatch]. Issue may be called concurrently, and one that waits for
// another CA ends when ctx does, with a [Later] if the outcome is unknown.
type Issuer interface {
	Issue(ctx context.Context, r *Request) (*Certificate, error)
	// Chain returns the issuing CA's certificate first, then every CA above
	// it up to and including the self-signed root (RFC 7030, Section 4.1.3).
	// The caller does not change what it gets.
	Chain(ctx context.Context) ([]*x509.Certificate, error)
}

// Distributor is an Issuer whose clients need more CA certificates than its
// chain, such as those around a change of the root's key.
type Distributor interface {
	// CACerts returns all that cacerts is to hold beside the Chain: other roots,
	// OldWithNew and NewWithOld (RFC 7030, Section 4.1.3; RFC 4210, Section 4.4),
	// in any order. The caller does not change what it gets.
	CACerts(ctx context.Context) ([]*x509.Certificate, error)
}

// CRLIssuer is an Issuer that signs certificate revocation lists.
type CRLIssuer interface {
	// CRL signs one list (RFC 5280, Section 5) of the given entries.
	CRL(ctx context.Context, list *RevocationList) ([]byte, error)
}

// Revoker is an Issuer that has to be told of revocations, because another CA
// answers for its certificates.
type Revoker interface {
	// Revoke tells it. Telling it again is no error. An error that wraps
	// ErrUnavailable is tried again; every other is final, and ErrRejected says
	// that the CA does not do this (such as a hold).
	Revoke(ctx context.Context, c *Revoked) error
}

// Revoked is a certificate that was revoked, put on hold or released.
type Revoked struct {
	Raw    []byte // DER
	At     time.Time
	Reason int // CRLReason (RFC 5280, Section 5.3.1); 8, removeFromCRL, releases a hold
}

// Request is one decided issuance. The names are those the decision allows,
// never simply those of a CSR.
type Request struct {
	ID        string           // unique for each issuance, the same when it is asked for again
	Profile   string           // name of a profile the issuer knows
	PublicKey crypto.PublicKey // the subject's key, proof of possession already checked
	Subject   pkix.RDNSequence // in order; may be empty when there is a SAN (RFC 5280, Section 4.1.2.6)
	Names     Names            // the SubjectAltName
	CSR       []byte           // DER, for issuers that pass it on; nil when there is none
	NotBefore time.Time        // zero: now, less the profile's backdate
	NotAfter  time.Time        // zero: as the profile says; never later than the profile allows
	// Record is told what is about to be signed, and returns once that is
	// durable. It must not be nil.
	Record func(ctx context.Context, in *Intent) error
	// Asked is the intent that an earlier call with this ID recorded, when that
	// ended with a [Later]. Nil: this is the first call.
	Asked *Intent
	// State is that of the [Later].
	State []byte
}

// Names are the SubjectAltName entries (RFC 5280, Section 4.2.1.6) by type.
type Names struct {
	DNS   []string
	IP    []net.IP
	Email []string
	URI   []*url.URL
	// Other holds further GeneralNames whole, each as DER with its context
	// tag, such as an otherName with a HardwareModuleName (RFC 4108, Section 5).
	Other [][]byte
}

// Intent is what is put on record before a signer is asked.
type Intent struct {
	Serial    []byte    // big-endian, minimal, at most 20 bytes; nil when another CA chooses it
	TBSHash   [32]byte  // SHA-256 of the to-be-signed certificate; of the CSR when another CA builds it
	KeyHash   [32]byte  // SHA-256 of the SubjectPublicKeyInfo
	Profile   string    // name
	Version   string    // of the profile
	NotBefore time.Time // UTC, whole seconds
	NotAfter  time.Time
}

// Certificate is one issued certificate.
type Certificate struct {
	Raw       []byte // DER
	Serial    []byte // big-endian, minimal
	NotBefore time.Time
	NotAfter  time.Time
	Profile   string
	Version   string // of the profile it was issued under
}

// RevocationList is what a CRLIssuer signs.
type RevocationList struct {
	Number     int64 // greater than that of each list of its scope before (RFC 5280, Section 5.2.3)
	ThisUpdate time.Time
	NextUpdate time.Time
	Revoked    []Revocation
	// Base is the number of the full list that this one is a delta to
	// (RFC 5280, Section 5.2.4); zero for a full list.
	Base int64
	// DistributionPoint is the URL under which certificates of this scope name
	// the list, when it does not hold all of the CA's (RFC 5280, Section 5.2.5);
	// empty for all.
	DistributionPoint string
	// Freshest are the URLs of the deltas to this list (RFC 5280, Section 5.2.6).
	Freshest []string
}

// Revocation is one entry of a list.
type Revocation struct {
	Serial []byte // big-endian, minimal
	At     time.Time
	Reason int // CRLReason (RFC 5280, Section 5.3.1)
}
