// Package est implements Enrollment over Secure Transport, client and server:
//
//   - RFC 7030, with the corrections of RFC 8951
//   - cacerts, csrattrs, simpleenroll, simplereenroll and serverkeygen (with PKCS#12 and receipts of RFC 8295, Section 8)
//   - full CMC (RFC 7030, Section 4.3): transport only
//
// Most programs use [Client], or a [Handler] over their own [Backend].
// The package stores nothing and trusts nobody by default.
package est

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"sync/atomic"
	"time"
)

// Backend is what a [Handler] asks. Both methods may be called concurrently.
// An error that is an *Error reaches the client as it says; every other error
// becomes a bare 500. More abilities are further interfaces: [CSRAttrser],
// [FullCMCer], [Admitter], [Linker], [Observer].
type Backend interface {
	// CACerts returns the CA certificates to answer with, the issuing CA
	// first and the self-signed root included (RFC 7030, Section 4.1.3).
	CACerts(ctx context.Context, r *Request) ([]*x509.Certificate, error)
	// Enroll decides about r and returns the issued certificate as DER. It
	// returns only once the certificate is on record. The CSR's signature
	// has been verified, and its challengePassword checked (see [Linker]);
	// nothing else has been decided: who the peer is, and
	// whether a re-enrollment keeps its names (RFC 7030, Section 4.2.2, see
	// [SameNames]), is the backend's to check.
	Enroll(ctx context.Context, r *EnrollRequest) ([]byte, error)
}

// CSRAttrser is a Backend that says what a CSR should hold (RFC 7030, Section
// 4.5). It returns the DER of a CsrAttrs, or nil for none (the client gets 204).
type CSRAttrser interface {
	CSRAttrs(ctx context.Context, r *Request) ([]byte, error)
}

// Admitter is a Backend that looks at each request before its body is read:
// unknown labels, overload, blocked peers. A nil error admits.
type Admitter interface {
	Admit(ctx context.Context, r *Request) error
}

// Observer is a Backend that is told of every refusal the client got, once,
// with the error as it was sent. A 202 is none. It must not block.
type Observer interface {
	Refused(ctx context.Context, r *Request, e *Error)
}

// Request is what is known of a request before its body is read.
type Request struct {
	ID        string    // for logs; unique in this process
	Operation Operation // empty when the path names none (in [Observer] only)
	Label     string    // the additional path segment (RFC 7030, Section 3.2.2); empty for none
	Peer      *Peer
	At        time.Time // when the request arrived; read once, used for every decision
	// NoBody tells that the body is known to be empty. curl --digest, like everything on libcurl that expects to be
	// challenged, asks so first: an [Admitter] answers 401 where credentials would help.
	NoBody bool
}

// EnrollRequest is a simpleenroll or simplereenroll.
type EnrollRequest struct {
	Request
	CSR *CSR

	linked bool // it has used its connection's channel binding, see [LinkPolicy]
}

// Peer is who asks, as far as the transport knows. It is never nil; without
// TLS, a client certificate or credentials the fields are empty.
type Peer struct {
	Address netip.AddrPort // as seen by the server
	// Certificates is the chain the peer presented and proved possession of,
	// leaf first. Nothing in it is verified against any anchor: [Peer.Verify]
	// does that.
	Certificates []*x509.Certificate
	User         string // HTTP Basic user; empty when there are no credentials
	// Secret is the HTTP Basic password. It never appears in logs: Peer
	// prints without it.
	Secret Secret
	// Digest is the answer to a Digest challenge; nil for none.
	Digest *DigestAnswer
	// Bearer is an HTTP Bearer token; empty for none. It is redacted like Secret.
	Bearer Secret
	TLS    *tls.ConnectionState // nil without TLS

	bindingUsed *atomic.Bool // of the connection, see [ConnContext]; nil without
}

// Secret is a string that prints, logs and marshals as "[redacted]".
type Secret string

// Error is an answer meant for the peer.
type Error struct {
	Status  int    // HTTP status; 202 means "not yet" (RFC 7030, Section 4.2.3)
	Reason  string // stable reason id, such as "csr-signature"; lower-case, words joined by "-"
	Message string // one sentence or two for the person at the device: what happened, what to do; ASCII, at most 400 bytes
	Section string // what it rests on, such as "RFC 7030, Section 4.2.1"; may be empty
	// Challenges are what a 401 asks for, each the value of one WWW-Authenticate line, the one that old clients are
	// to answer first: libest reads no other. Empty: Basic for the handler's realm.
	Challenges []string
	// RetryAfter is sent in whole seconds, rounded up, with 202, 401, 429 and 503.
	RetryAfter time.Duration
	Err        error // the cause, for the log only
	// CMC is the DER of a Full PKI Response that says the same (RFC 7030, Section 4.3.2). It is sent in place of text, with
	// 202 and 401 as well. Nil for every other operation than fullcmc.
	CMC []byte
}
