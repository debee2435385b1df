// Package ca is the port between whoever decides that a certificate is to be
// issued and whoever signs it. It holds no implementation: see ca/localca for
// one that signs here, and ca/catest for the contract each must pass.
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
	// ErrPending says that the issuer took the request and has not decided;
	// the caller asks again later with the same Request.ID.
	ErrPending = errors.New("ca: the issuer has not decided yet")
	// ErrUnavailable says that the issuer cannot be reached or cannot sign
	// now; nothing was issued and the caller may try again.
	ErrUnavailable = errors.New("ca: the issuer is unavailable")
	// ErrRejected says that the request breaks its profile or the issuer's
	// rules; asking again with the same request gives the same answer.
	ErrRejected = errors.New("ca: the request breaks the issuer's rules")
	// ErrUnknownProfile says that the request names a profile the issuer does
	// not have.
	ErrUnknownProfile = errors.New("ca: unknown profile")
)

// Issuer turns a decided request into a certificate.
//
// Issue must call r.Record exactly once, after every check has passed and
// before any signer (or other CA) is asked, and must not sign when Record
// fails. It returns the certificate it signed, or an error that wraps one of
// this package's sentinels where one applies. After Record succeeded and Issue
// failed, the intent stays without a certificate. Issue may be called
// concurrently.
type Issuer interface {
	Issue(ctx context.Context, r *Request) (*Certificate, error)
	// Chain returns the issuing CA's certificate first, then every CA above
	// it up to and including the self-signed root (RFC 7030, Section 4.1.3).
	// The caller does not change what it gets.
	Chain(ctx context.Context) ([]*x509.Certificate, error)
}

// CRLIssuer is an Issuer that signs certificate revocation lists.
type CRLIssuer interface {
	// CRL signs one full list (RFC 5280, Section 5) of the given entries.
	CRL(ctx context.Context, list *RevocationList) ([]byte, error)
}

// Request is one decided issuance. The names are those the decision allows,
// never simply those of a CSR.
type Request struct {
	ID        string           // unique for each issuance; for issuers that answer later
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
	Number     int64 // greater than that of each list before (RFC 5280, Section 5.2.3)
	ThisUpdate time.Time
	NextUpdate time.Time
	Revoked    []Revocation
}

// Revocation is one entry of a list.
type Revocation struct {
	Serial []byte // big-endian, minimal
	At     time.Time
	Reason int // CRLReason (RFC 5280, Section 5.3.1)
}
