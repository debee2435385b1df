// Package pledge is a device that joins a domain (RFC 8995, Section 2): it asks for a
// voucher over a connection it does not trust yet, checks the voucher, learns
// from it whom to trust, and enrolls (RFC 7030, Section 4).
//
// Start with [New] and [Pledge.Onboard]. What is learned is stored as it is
// learned, so that a power cut at any step resumes where it was; [Dir] stores it
// in a directory. Registrars are named, found by a [Discoverer], or a cloud registrar
// of the manufacturer's leads to them (draft-ietf-anima-brski-cloud-20).
// [Pledge.Join] goes on until one has let the device in, Onboard asks each once.
// Renewing is [Pledge.Renew].
package pledge

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/briskest/briskest/voucher"
)

// Defaults of a Config.
const (
	defaultTimeout = 90 * time.Second
	defaultMaxWait = 96 * time.Hour // RFC 8995, Section 5.6: up to 4 days
	maxClockSkew   = 5 * time.Minute

	defaultMaxRedirects = 48
)

// Config is what a pledge is made of.
type Config struct {
	// IDevID is the manufacturer's certificate, its intermediates after it, and
	// the key as a crypto.Signer. Required.
	IDevID tls.Certificate
	// RegistrarURL is where the registrar or a join proxy answers, such as
	// "https://192.0.2.1:8443"; nothing in it is trusted. Registrars are further
	// ones, Discoverer finds more and may be nil. A device that was onboarded needs
	// none of them: it knows where.
	RegistrarURL string
	Registrars   []string
	Discoverer   Discoverer
	// CloudURL is the manufacturer's cloud registrar, asked when no other one is
	// found, or those that are do not let the device in, or have not decided; empty
	// for none (RFC 8995, Section 2.7).
	CloudURL string
	// CloudAnchors authenticate it, by name, and cloud registrars that it
	// redirects to; no public ones are added. Required with CloudURL.
	CloudAnchors *x509.CertPool
	// Anchors are what the signer of a voucher has to chain to: the
	// manufacturer's (RFC 8995, Section 5.6.1). Required.
	Anchors *x509.CertPool
	State   Storage        // required; see Dir
	Format  voucher.Format // of request and voucher. Required

	// Proximity is how the voucher-request names the registrar, and so what is
	// taken of a voucher that pins in several ways. Zero is by certificate, as RFC
	// 8995, Section 5.2, says.
	Proximity Proximity
	// RefuseNonceless refuses a voucher without a nonce, which may be an old one
	// played again. By default it is taken, if it has not expired: a registrar
	// without a way to its MASA has no other (RFC 8995, Section 7.2).
	RefuseNonceless bool
	// Assertions are those of the MASA that are enough; nil for all of them (RFC
	// 8366, Section 5.3). A list of Proximity alone wants the MASA to have seen
	// that this device asked this registrar.
	Assertions []voucher.Assertion
	// Revocation tells whether the registrar's certificate, or one above it, is
	// revoked: nil where none is, [ErrRevocationUnknown] in it where nobody says. It
	// is asked before the voucher is believed, when that leaves
	// domain-cert-revocation-checks out or sets it; it is not asked when that is
	// false. Nil refuses vouchers that set it (RFC 8366, Section 5.3).
	Revocation func(ctx context.Context, q *RevocationQuestion) error
	// NoClock says that Now is not to be relied upon: no date in vouchers or
	// certificates is checked (RFC 8995, Section 2.6.1). The nonce is what keeps old
	// vouchers out then. See Status.NotEarlier for what such a device knows of the
	// time once it is onboarded.
	NoClock bool

	// Key is the LDevID key where it lives elsewhere, as in a TPM. It is never
	// stored and stays the same when renewing. It must not be the IDevID's.
	Key crypto.Signer
	// NewKey makes an LDevID key that can be encoded as PKCS #8, for storing.
	// Nil for one of the kind that the registrar names in its CSR attributes, P-256
	// where it names none, and when renewing of the kind of the one before. Not used
	// with Key.
	NewKey func() (crypto.Signer, error)
	// CSR makes the certificate request's content out of the IDevID and the CSR
	// attributes that the registrar names (DER of a CsrAttrs, RFC 7030, Section
	// 4.5.2; nil for none). Nil for what these say (RFC 9908, Section 3), filled in
	// with the IDevID's serial number, and where they say nothing of the subject for
	// one of that serial number alone.
	CSR func(idevid *x509.Certificate, attrs []byte) (*x509.CertificateRequest, error)

	// Report, unless nil, is told of each step as it is done, one at a time.
	Report func(Step)
	// Wait sleeps for d or until ctx ends; its error ends the run, where a
	// registrar has not decided as pending. It may be called by several goroutines
	// at a time. Nil for a timer.
	Wait func(ctx context.Context, d time.Duration) error
	// NoWait reports pending where a registrar has not decided yet, instead of
	// asking again.
	NoWait bool
	// Parallel is how many registrars are asked at a time; zero for 4. Those that
	// have said "not yet" do not count.
	Parallel int
	// MaxRedirects is how many redirects of authenticated cloud registrars are
	// followed in one attempt; zero for 48 (draft-ietf-anima-brski-cloud-20,
	// Section 3.3.1: dozens). A registrar may redirect once.
	MaxRedirects int
	// Timeout bounds one request and its answer; zero for 90 s.
	Timeout time.Duration
	// MaxWait bounds how long a registrar may say "not yet"; zero for 4 days
	// (RFC 8995, Section 5.6).
	MaxWait time.Duration
	// Dial opens connections; nil for TCP with a timeout of 10 s.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  *slog.Logger     // nil for none
	Now  func() time.Time // may be called concurrently; nil for time.Now
}

// Pledge joins a domain. Its methods may be called concurrently; they take
// turns. Two pledges must not share a Storage.
type Pledge struct {
	c      Config
	given  []origin // RegistrarURL and Registrars
	cloud  *origin  // CloudURL; nil for none
	idevid *x509.Certificate
	serial string

	mu        sync.Mutex // held by each method
	reporting sync.Mutex // held while Report is called
}

// New checks the configuration. It neither reads the storage nor connects.
func New(c Config) (*Pledge, error) {
	p := &Pledge{c: c}
	if err := p.parsePlaces(); err != nil {
		return nil, configError(err)
	}
	if err := p.parseIDevID(); err != nil {
		return nil, configError(err)
	}
	if c.Anchors == nil || c.State == nil || c.Format == nil {
		return nil, configError(errors.New("voucher anchors, storage and format are all needed"))
	}
	if !c.Proximity.known() {
		return nil, configError(fmt.Errorf("proximity %q is not known", string(c.Proximity)))
	}
	if c.Key != nil && samePublicKey(c.Key.Public(), p.idevid.PublicKey) {
		return nil, configError(errors.New("the LDevID key must not be the IDevID's"))
	}
	p.defaults()
	return p, nil
}

func (p *Pledge) parseIDevID() error {
	if len(p.c.IDevID.Certificate) == 0 {
		return errors.New("no IDevID certificate")
	}
	var err error
	if p.idevid, err = x509.ParseCertificate(p.c.IDevID.Certificate[0]); err != nil {
		return fmt.Errorf("IDevID: %w", err)
	}
	key, ok := p.c.IDevID.PrivateKey.(crypto.Signer)
	if !ok || !samePublicKey(key.Public(), p.idevid.PublicKey) {
		return errors.New("the IDevID's key is missing or another certificate's")
	}
	if p.serial, err = voucher.SerialNumber(p.idevid); err != nil {
		return fmt.Errorf("IDevID: %w", err)
	}
	return nil
}

func (p *Pledge) defaults() {
	if p.c.Now == nil {
		p.c.Now = time.Now
	}
	if p.c.Log == nil {
		p.c.Log = slog.New(slog.DiscardHandler)
	}
	if p.c.Report == nil {
		p.c.Report = func(Step) {}
	}
	if p.c.Wait == nil {
		p.c.Wait = wait
	}
	if p.c.Timeout <= 0 {
		p.c.Timeout = defaultTimeout
	}
	if p.c.MaxWait <= 0 {
		p.c.MaxWait = defaultMaxWait
	}
	if p.c.Parallel <= 0 {
		p.c.Parallel = defaultParallel
	}
	if p.c.MaxRedirects <= 0 {
		p.c.MaxRedirects = defaultMaxRedirects
	}
	if p.c.Dial == nil {
		p.c.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
}

// Result is what a device holds when it is a member of the domain.
type Result struct {
	Certificate *x509.Certificate   // the LDevID
	CACerts     []*x509.Certificate // of the domain, as the registrar gave them
	Pinned      *x509.Certificate   // what the voucher pinned; nil where that is a key alone
	// PinnedKeySHA256 is of the SubjectPublicKeyInfo that the voucher pinned, in a
	// certificate or alone; nil where the voucher was lost since.
	PinnedKeySHA256 []byte
	// Reported tells whether the registrar was told of the enrollment; if not,
	// the next Onboard tells it. A plain EST server that a cloud registrar has named
	// is not told.
	Reported bool
}

// Reset forgets all that was learned, for a device that changes hands (RFC
// 8995, Section 7.2). The artifacts stay where they are until they are replaced.
func (p *Pledge) Reset() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return (&run{Pledge: p, st: p.fresh()}).save()
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// samePublicKey compares by encoding: not every key type has Equal.
func samePublicKey(a, b crypto.PublicKey) bool {
	x, err1 := x509.MarshalPKIXPublicKey(a)
	y, err2 := x509.MarshalPKIXPublicKey(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}
