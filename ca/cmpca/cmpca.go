// Package cmpca is an issuer that asks a CA by CMP over HTTP, as the Lightweight
// CMP Profile has it (RFC 9483; transfer by RFC 9811):
//
//   - p10cr, which passes the request of the device on whole (RFC 9483, Section
//     4.1.4), or ir and cr, whose template says what was decided (Sections 4.1.1
//     and 4.1.2) with possession vouched for by this RA
//   - protection by signature (an RA's certificate) or by MAC (a shared secret)
//   - confirmation, explicit or implicit; delayed delivery (Section 4.4); errors
//   - revocation (Section 4.2)
//
// Start with [New]. Whose messages are taken is decided in trust.go, after they
// were parsed and verified by internal/cmp.
package cmpca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
	"github.com/briskest/briskest/internal/cmp"
)

// Mode is the message that asks for a certificate.
type Mode string

// The modes.
const (
	// P10CR passes the device's request on: its proof of possession survives, and
	// its names must be those of the decision.
	P10CR Mode = "p10cr"
	// IR asks for what was decided, as a first certificate.
	IR Mode = "ir"
	// CR is IR for CAs that tell first certificates from later ones.
	CR Mode = "cr"
)

// Settings are what an issuer is made of.
type Settings struct {
	// URL is where the CA takes CMP: http or https, the path included. http is
	// sound, because messages are protected themselves, and shows who enrolls.
	URL string
	// Client sends; nil stands for a client of its own. Redirections are not followed.
	Client *http.Client
	// Rules are the profiles and the chain of the CA. What the CA would have
	// trusted by sending it (caPubs, extraCerts) changes nothing about them.
	Rules delegate.Rules
	// Mode is how certificates are asked for; empty is P10CR.
	Mode Mode
	// Signature or MAC protect what is sent and say what protects answers: exactly one.
	Signature *SignatureSettings
	MAC       *MACSettings
	// Recipient is the Name in DER that messages are addressed to; nil: the issuing CA's.
	Recipient []byte
	// CertProfile names the CA's profile in each request (RFC 9480, Section 2.4); empty: none.
	CertProfile string
	// ImplicitConfirm asks the CA to do without a confirmation. One that is not
	// confirmed explicitly and whose answer is lost stays issued without an owner.
	ImplicitConfirm bool
	// AllowUnprotectedErrors takes errors that nobody signed for the CA's: whoever
	// is on the way to it can then refuse devices for good. Without, they are an
	// unusable answer, and the same is asked again.
	AllowUnprotectedErrors bool
	// Timeout bounds one exchange; 0 is 30 seconds.
	Timeout time.Duration
	// Skew is how far the CA's clock may be from ours; 0 is 5 minutes.
	Skew time.Duration
}

// SignatureSettings protect by signature (RFC 9483, Section 3.2).
type SignatureSettings struct {
	// Key and Certificate are the RA's, Above the CAs over it, sent along.
	Key         crypto.Signer
	Certificate *x509.Certificate
	Above       []*x509.Certificate
	PSS         bool // an RSA key signs by PSS
	// Signers, when there are any, are the only certificates that may sign answers.
	Signers []*x509.Certificate
	// Anchors are CAs that the signers of answers chain to; nil is the root of
	// Rules.Chain. A signer below them has id-kp-cmcCA or id-kp-cmcRA
	// (RFC 6402, Section 2.10); the issuing CA itself signs without.
	Anchors []*x509.Certificate
}

// MACSettings protect by a shared secret (RFC 9481, Section 6.1).
type MACSettings struct {
	// Secret is 8 bytes at least, and Reference what the CA knows it by.
	Secret    []byte
	Reference string
	// PBMAC1 sends PBMAC1 and not the password-based MAC. Either is taken.
	PBMAC1 bool
	// Iterations of making a key from the secret, in messages to the CA; 0 is 10,000.
	Iterations int
	// AllowHMACSHA1 takes answers of OpenSSL 3.0's server.
	AllowHMACSHA1 bool
}

// CA is the issuer. Its methods may be called by many at once.
type CA struct {
	s      Settings
	client *http.Client
	// sender and recipient are GeneralNames in DER.
	sender, recipient []byte
	senderKID         []byte
	extraCerts        [][]byte
	protection        cmp.Protection
	mac               *cmp.MAC
	secrets           *delegate.Secrets
}

var (
	_ ca.Issuer  = (*CA)(nil)
	_ ca.Revoker = (*CA)(nil)
)

// New makes an issuer. It sends nothing yet. An error says which setting to mend.
func New(s *Settings) (*CA, error) {
	c := &CA{s: *s, secrets: delegate.NewSecrets()}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("cmpca: %w", err)
	}
	if c.s.Mode == "" {
		c.s.Mode = P10CR
	}
	if c.s.Timeout == 0 {
		c.s.Timeout = 30 * time.Second
	}
	if c.s.Skew == 0 {
		c.s.Skew = 5 * time.Minute
	}
	recipient := c.s.Recipient
	if recipient == nil {
		recipient = c.s.Rules.Chain[0].RawSubject
	}
	c.recipient = cmp.DirectoryName(recipient)
	client := http.Client{}
	if c.s.Client != nil {
		client = *c.s.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.client = &client
	if c.s.MAC != nil {
		return c, c.protectByMAC()
	}
	c.protectBySignature()
	return c, nil
}

func (c *CA) check() error {
	if _, err := delegate.ParseURL(c.s.URL, []string{"https", "http"}, nil); err != nil {
		return err
	}
	if err := c.s.Rules.Check(); err != nil {
		return err
	}
	switch c.s.Mode {
	case "", P10CR, IR, CR:
	default:
		return fmt.Errorf("the mode is %q; it may be p10cr, ir or cr", c.s.Mode)
	}
	if (c.s.Signature == nil) == (c.s.MAC == nil) {
		return errors.New("messages are protected by a signature or by a MAC: exactly one is needed")
	}
	if c.s.MAC != nil {
		if c.s.MAC.Iterations < 0 || c.s.MAC.Iterations > cmp.MaxIterations {
			return fmt.Errorf("a MAC's iterations are at most %d", cmp.MaxIterations)
		}
		if len(c.s.MAC.Secret) < 8 || c.s.MAC.Reference == "" || len(c.s.MAC.Reference) > cmp.MaxOctets {
			return errors.New("a MAC needs the reference that the CA knows the secret by, and a secret of 8 bytes or more")
		}
		return nil
	}
	key, ok := c.s.Signature.Key, c.s.Signature.Certificate != nil
	if key == nil || !ok {
		return errors.New("a signature needs the key of the RA and its certificate")
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(c.s.Signature.Certificate.PublicKey) {
		return errors.New("the RA's certificate is not that of its key")
	}
	return nil
}

// protectBySignature: the sender is the subject of the certificate (RFC 9483, Section
// 3.1), and the certificate and the CAs above it go along, but no root (Section 3.3).
func (c *CA) protectBySignature() {
	own := c.s.Signature
	c.sender, c.senderKID = cmp.DirectoryName(own.Certificate.RawSubject), own.Certificate.SubjectKeyId
	c.extraCerts = [][]byte{own.Certificate.Raw}
	for _, above := range own.Above {
		if !bytes.Equal(above.RawSubject, above.RawIssuer) {
			c.extraCerts = append(c.extraCerts, above.Raw)
		}
	}
	if own.Anchors == nil {
		own = &SignatureSettings{}
		*own = *c.s.Signature
		own.Anchors = c.s.Rules.Chain[len(c.s.Rules.Chain)-1:]
		c.s.Signature = own
	}
	c.protection = &cmp.Signature{Key: own.Key, PSS: own.PSS}
}

// protectByMAC: the common name of the sender and senderKID are what the CA knows the
// secret by (RFC 9483, Section 3.1; RFC 9810, Section 5.1.1).
func (c *CA) protectByMAC() error {
	own := c.s.MAC
	c.secrets.Add(string(own.Secret))
	name, err := commonName(own.Reference)
	if err != nil {
		return fmt.Errorf("cmpca: the reference of the MAC: %w", err)
	}
	c.sender, c.senderKID = cmp.DirectoryName(name), []byte(own.Reference)
	c.mac = &cmp.MAC{Secret: own.Secret, PBMAC1: own.PBMAC1, Iterations: own.Iterations, AllowHMACSHA1: own.AllowHMACSHA1}
	c.protection = c.mac
	return nil
}

// Chain is the configured chain of the CA.
func (c *CA) Chain(context.Context) ([]*x509.Certificate, error) { return c.s.Rules.Chain, nil }

func (c *CA) now() time.Time {
	if c.s.Rules.Now == nil {
		return time.Now()
	}
	return c.s.Rules.Now()
}
