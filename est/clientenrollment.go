package est

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Enrollment is a certificate to get, with a CSR that is made as the server wishes.
type Enrollment struct {
	// Names is what the client has to say of itself, as for x509.CreateCertificateRequest: Subject or RawSubject, the
	// alternative names, and ExtraExtensions. [Client.Reenroll] takes the certificate's names instead.
	Names *x509.CertificateRequest
	// Key returns the key to certify. It is told what kind the server wants, nil for any, and may be asked once. Nil: a
	// new key, in memory; for a re-enrollment the certificate's own, which makes it a renewal.
	Key func(kind *KeyPlan) (crypto.Signer, error)
	// Link links the CSR to the TLS session even where the server's CSR attributes do not ask for it.
	Link bool
	// Attributes go into the CSR: those that the server may list and the client has a value for, such as an
	// otpChallenge (RFC 7894, Section 2.1).
	Attributes []Attribute
	// MaxWait is as in [CertRequest].
	MaxWait time.Duration
}

// Enrolled is a certificate and its key.
type Enrolled struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// Enroll asks what a CSR should hold (RFC 7030, Section 4.5), makes the key and the CSR so, and gets the certificate.
//
// Errors: as [Client.Request]; those that match [ErrCSRPlan] when the server's wishes cannot be met.
func (c *Client) Enroll(ctx context.Context, e *Enrollment) (*Enrolled, error) {
	return c.enrollAs(ctx, e, OpSimpleEnroll)
}

// Reenroll replaces the certificate that the client authenticates with (RFC 7030, Section 4.2.2): the CSR has its
// subject and subjectAltName. With its own key it is a renewal, with another one a rekey. Otherwise as Enroll.
func (c *Client) Reenroll(ctx context.Context, e *Enrollment) (*Enrolled, error) {
	old, own, err := c.own()
	if err != nil {
		return nil, err
	}
	renewal := *e
	renewal.Names = &x509.CertificateRequest{RawSubject: old.RawSubject}
	for _, ext := range old.Extensions {
		// Whole, so that kinds of names that Go does not know are kept; and its place in the CSR says nothing of criticality.
		if ext.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			renewal.Names.ExtraExtensions = append(renewal.Names.ExtraExtensions, ext)
		}
	}
	if renewal.Key == nil {
		renewal.Key = func(*KeyPlan) (crypto.Signer, error) { return own, nil }
	}
	return c.enrollAs(ctx, &renewal, OpSimpleReenroll)
}

// own is the certificate to replace, with its key.
func (c *Client) own() (*x509.Certificate, crypto.Signer, error) {
	if c.Certificate == nil || len(c.Certificate.Certificate) == 0 {
		return nil, nil, errors.New("a re-enrollment needs the certificate to replace, as Client.Certificate")
	}
	cert := c.Certificate.Leaf
	if cert == nil {
		var err error
		if cert, err = x509.ParseCertificate(c.Certificate.Certificate[0]); err != nil {
			return nil, nil, fmt.Errorf("the certificate to replace: %w", err)
		}
	}
	key, ok := c.Certificate.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, nil, errors.New("the key of the certificate to replace does not sign")
	}
	return cert, key, nil
}

func (c *Client) enrollAs(ctx context.Context, e *Enrollment, op Operation) (*Enrolled, error) {
	start := time.Now()
	plan, err := c.plan(ctx, e.MaxWait)
	if err != nil {
		return nil, err
	}
	makeKey := e.Key
	if makeKey == nil {
		makeKey = (*KeyPlan).Generate
	}
	key, err := makeKey(plan.Key)
	if err != nil {
		return nil, fmt.Errorf("the key: %w", err)
	}
	identity := slices.ContainsFunc(plan.Wanted, linkingOID().Equal)
	r := &CertRequest{Operation: op, Link: e.Link || plan.Link || identity, MaxWait: max(0, e.MaxWait-time.Since(start))}
	r.CSR = func(binding []byte) ([]byte, error) {
		csr := &CSRRequest{Own: e.Names, Plan: plan, KeepNames: op == OpSimpleReenroll, Attributes: slices.Clone(e.Attributes)}
		link := base64.StdEncoding.EncodeToString(binding)
		if identity {
			csr.Attributes = append(csr.Attributes, Attribute{OID: linkingOID(), Values: [][]byte{utf8String(link)}})
		}
		if plan.Link || !identity {
			csr.ChallengePassword = link
		}
		return CreateCSR(key, csr)
	}
	cert, err := c.Request(ctx, r)
	if err != nil {
		return nil, err
	}
	return &Enrolled{Certificate: cert, Key: key}, nil
}

// plan gets the server's wishes. A server that does not know csrattrs has none, whichever way it says so.
func (c *Client) plan(ctx context.Context, maxWait time.Duration) (*CSRPlan, error) {
	a, err := c.callPatiently(ctx, get(OpCSRAttrs), maxWait)
	if err != nil {
		return nil, err
	}
	der, err := a.csrAttrs()
	var status *StatusError
	if errors.As(err, &status) && (status.Status == http.StatusMethodNotAllowed || status.Status == http.StatusNotImplemented) {
		return new(CSRPlan), nil
	}
	if err != nil || der == nil {
		return new(CSRPlan), err
	}
	plan, err := ParseCSRPlan(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", OpCSRAttrs, err)
	}
	return plan, nil
}

// linkingOID is estIdentityLinking (RFC 7894, Section 2.3).
func linkingOID() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 58}
}

// utf8String makes an UTF8String of up to 127 bytes, a DirectoryString.
func utf8String(s string) []byte {
	return append([]byte{0x0c, byte(len(s))}, s...) //nolint:gosec // 44 bytes: the base64 of a binding
}
