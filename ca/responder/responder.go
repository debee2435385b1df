// Package responder tells anybody who asks whether a CA's certificates are
// revoked: it answers OCSP (RFC 6960; RFC 5019, Section 5) and serves revocation
// lists (RFC 5280, Section 5) and CA certificates over plain HTTP. Start with
// [New]; the result is an http.Handler.
//
// It decides nothing: what is on record comes from [Records], at each request,
// so that a revocation is in the very next answer. Answers are signed by a
// responder that the CA delegates to (RFC 6960, Section 4.2.2.2), with a key that
// lives in this process only. Requests may be signed; their signatures are not
// looked at, because everybody gets the same answers.
package responder

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha1" //nolint:gosec // finds an issuer (RFC 5019, Section 2.1.1) and protects nothing
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// ErrUnknown is what [Records] returns about an authority or a list that it
// does not know.
var ErrUnknown = errors.New("responder: not on record")

// Records is what is known of certificates. It is used concurrently.
type Records interface {
	// Status says what is on record of a certificate of an authority, as of now.
	// One that was never issued is the zero Status and no error.
	Status(ctx context.Context, authority string, serial []byte) (Status, error)
	// List returns a list that is current; ErrUnknown when there is none of that scope.
	List(ctx context.Context, scope Scope) (*List, error)
	// Certify has the authority certify the key of its responder: with the
	// extended key usage OCSPSigning and id-pkix-ocsp-nocheck (RFC 6960, Sections
	// 4.2.2.2 and 4.2.2.2.1), on record like every other certificate. It returns DER.
	Certify(ctx context.Context, authority string, key crypto.PublicKey) ([]byte, error)
}

// Status is what is on record of one certificate.
type Status struct {
	Issued  bool
	Revoked bool
	At      time.Time // of the revocation
	Reason  int       // CRLReason (RFC 5280, Section 5.3.1)
}

// Scope names one series of lists. Of the SHA-256 of a serial number (big-endian,
// minimal) the first bits say which of Count partitions, a power of two, has it.
type Scope struct {
	Authority string
	Count     int // 1: one list of all
	Index     int // below Count
	Delta     bool
}

// List is one signed list.
type List struct {
	Raw        []byte // DER
	ThisUpdate time.Time
	NextUpdate time.Time
}

// Config is what a Responder is made of.
type Config struct {
	Records Records
	// Lifetime is how long an answer is good; zero is an hour. It is used again
	// for half of that, while the status stays.
	Lifetime time.Duration
	// ListAge is how long others may keep a list before they look for a newer one,
	// its end aside; zero is an hour.
	ListAge time.Duration
	// Answers is how many signed answers are kept; zero is 32768, of about 1 KB each.
	Answers int
	// Signing bounds how many answers are being made at once; zero is 64. More wait
	// for two seconds at most, and are then told to try later.
	Signing int
	Now     func() time.Time // nil is time.Now
	Log     *slog.Logger     // nil for none
}

// Responder answers. Its authorities are those of [Responder.Serve].
type Responder struct {
	config  Config
	answers *answers
	signing chan struct{}
	world   atomic.Pointer[world]
	tasks   sync.WaitGroup // all goroutines of the responder
	told    complaints

	mu         sync.Mutex
	identities map[string]*identity // by authority; guarded by mu
}

var _ http.Handler = (*Responder)(nil)

// Authority is a CA that is answered for, by its certificate and the
// certificates above it.
type Authority struct {
	// Name is what URLs and Records call it: lower-case hex of its key identifier.
	Name string
	// Certificate is the CA's.
	Certificate *x509.Certificate
}

// world is what is served now.
type world struct {
	authorities map[string]*Authority // by name
	issuers     map[string]*Authority // by the hashes of a CertID
	certificate map[string][]byte     // DER, by name
}

// New returns a responder that answers for nobody yet.
func New(c Config) *Responder {
	if c.Lifetime == 0 {
		c.Lifetime = time.Hour
	}
	if c.ListAge == 0 {
		c.ListAge = time.Hour
	}
	if c.Answers == 0 {
		c.Answers = 1 << 15
	}
	if c.Signing == 0 {
		c.Signing = 64
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	r := &Responder{config: c, answers: newAnswers(c.Answers), signing: make(chan struct{}, c.Signing), identities: map[string]*identity{}}
	r.world.Store(&world{})
	return r
}

// Close waits for what the responder does in the background. Nobody asks it any more.
func (r *Responder) Close() { r.tasks.Wait() }

// Serve answers for these authorities from now on, and hands out their
// certificates and those of others, such as the CAs above.
func (r *Responder) Serve(authorities []*Authority, others []*x509.Certificate) error {
	w := &world{authorities: map[string]*Authority{}, issuers: map[string]*Authority{}, certificate: map[string][]byte{}}
	for _, c := range others {
		w.certificate[hex.EncodeToString(c.SubjectKeyId)] = c.Raw
	}
	for _, a := range authorities {
		if w.authorities[a.Name] != nil {
			continue // the same key under another certificate: answers are the same
		}
		w.authorities[a.Name], w.certificate[a.Name] = a, a.Certificate.Raw
		for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
			id, err := issuerID(hash, a.Certificate)
			if err != nil {
				return fmt.Errorf("the CA %q: %w", a.Certificate.Subject, err)
			}
			w.issuers[id] = a
		}
	}
	r.world.Store(w)
	return nil
}

// issuerID is what a CertID says of the issuer (RFC 6960, Section 4.1.1).
func issuerID(hash crypto.Hash, issuer *x509.Certificate) (string, error) {
	key, err := keyBits(issuer.RawSubjectPublicKeyInfo)
	if err != nil {
		return "", err
	}
	return string(digest(hash, issuer.RawSubject)) + string(digest(hash, key)), nil
}

func digest(hash crypto.Hash, data []byte) []byte {
	if hash == crypto.SHA1 {
		sum := sha1.Sum(data) //nolint:gosec // as above
		return sum[:]
	}
	sum := sha256.Sum256(data)
	return sum[:]
}

// keyBits is the BIT STRING of a SubjectPublicKeyInfo without its padding.
func keyBits(spki []byte) ([]byte, error) {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	rest, err := asn1.Unmarshal(spki, &info)
	if err != nil || len(rest) > 0 {
		return nil, errors.Join(errors.New("its public key cannot be read"), err)
	}
	return bytes.Clone(info.Key.RightAlign()), nil
}
