// Package delegate holds what every issuer does that asks another CA: the
// checks before anything leaves, the intent, and the judgement of what comes
// back. The other CA is not trusted to have signed what it was asked for.
//
// An issuer calls [Rules.Begin], asks its CA, and gives the answer to
// [Order.Accept]; [Do] sends a request and says whether it may have arrived.
package delegate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
)

// Rules are an issuer's profiles and its CA. It does not change, and may be
// used by many at once.
type Rules struct {
	// Profiles by name.
	Profiles map[string]*profile.Profile
	// Chain is the other CA's: the issuing CA, then each CA above it, the
	// self-signed root last.
	Chain []*x509.Certificate
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Order is a request that has passed every check and is on record.
type Order struct {
	Request *ca.Request
	Profile *profile.Profile
	Intent  *ca.Intent
	// CSR is Request.CSR, parsed.
	CSR *x509.CertificateRequest

	rules *Rules
	spki  []byte
}

// Check says whether the chain can be one: each CA issued the one before, and
// the last itself.
func (r *Rules) Check() error {
	if len(r.Chain) == 0 {
		return errors.New("the chain of the CA that is asked is missing")
	}
	for i, lower := range r.Chain {
		upper := r.Chain[min(i+1, len(r.Chain)-1)]
		if err := lower.CheckSignatureFrom(upper); err != nil || !bytes.Equal(lower.RawIssuer, upper.RawSubject) {
			return fmt.Errorf("the CA %q was not issued by %q: the chain must hold the issuing CA and each CA above it, in order, the self-signed root last", lower.Subject, upper.Subject)
		}
	}
	return nil
}

// Begin checks a request and puts its intent on record, unless an earlier call
// did. Errors wrap ca.ErrUnknownProfile or ca.ErrRejected; those of Record
// come as they are.
func (r *Rules) Begin(ctx context.Context, request *ca.Request) (*Order, error) {
	if request.Record == nil {
		return nil, errors.New("delegate: the request has no Record: nothing is issued that is not on record")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o, err := r.check(request)
	if err != nil {
		return nil, err
	}
	if request.Asked != nil {
		if request.Asked.KeyHash != o.Intent.KeyHash || request.Asked.TBSHash != o.Intent.TBSHash {
			return nil, fmt.Errorf("%w: it is not the request that was recorded under the ID %s", ca.ErrRejected, request.ID)
		}
		o.Intent = request.Asked
		return o, nil
	}
	if err := request.Record(ctx, o.Intent); err != nil {
		return nil, fmt.Errorf("record the intent of %s: %w", request.ID, err)
	}
	return o, nil
}

// check judges profile, key, names, validity and CSR.
func (r *Rules) check(request *ca.Request) (*Order, error) {
	p := r.Profiles[request.Profile]
	if p == nil {
		return nil, fmt.Errorf("%w: %.80q", ca.ErrUnknownProfile, request.Profile)
	}
	if err := p.CheckKey(request.PublicKey); err != nil {
		return nil, err
	}
	spki, err := profile.MarshalPublicKey(request.PublicKey)
	if err != nil {
		return nil, err
	}
	if err := p.CheckNames(request.Subject, &request.Names); err != nil {
		return nil, err
	}
	start, end, err := p.Period(r.now(), request.NotBefore, request.NotAfter, r.Chain[0].NotAfter)
	if err != nil {
		return nil, err
	}
	csr, err := checkCSR(request.CSR, spki)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrRejected, err)
	}
	return &Order{
		Request: request, Profile: p, CSR: csr, rules: r, spki: spki,
		Intent: &ca.Intent{
			TBSHash: sha256.Sum256(request.CSR), KeyHash: sha256.Sum256(spki),
			Profile: p.Name(), Version: p.Version(), NotBefore: start, NotAfter: end,
		},
	}, nil
}

func checkCSR(der, spki []byte) (*x509.CertificateRequest, error) {
	if len(der) == 0 {
		return nil, errors.New("the CA behind this one wants a certification request, and there is none; keys that are made here are for issuers that sign here")
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("the certification request cannot be read: %w", err)
	}
	if !bytes.Equal(csr.RawSubjectPublicKeyInfo, spki) {
		return nil, errors.New("the certification request has another key than was decided on")
	}
	return csr, nil
}

// CSRHasNames says whether the CSR asks for exactly the names that were
// decided, for CAs that take them from there. The error wraps ca.ErrRejected.
func (o *Order) CSRHasNames() error { return csrHasNames(o.Request, o.CSR) }

// CheckCSRNames is [Order.CSRHasNames] before anything is recorded, for issuers
// that cannot do otherwise.
func CheckCSRNames(request *ca.Request) error {
	csr, err := x509.ParseCertificateRequest(request.CSR)
	if err != nil {
		return fmt.Errorf("%w: the certification request cannot be read: %w", ca.ErrRejected, err)
	}
	return csrHasNames(request, csr)
}

func csrHasNames(request *ca.Request, csr *x509.CertificateRequest) error {
	asked, err := profile.FromCSR(csr)
	if err == nil {
		err = sameSubject(asked.Subject, request.Subject)
	}
	if err == nil {
		err = sameNames(asked.SAN, &request.Names)
	}
	if err != nil {
		return fmt.Errorf("%w: the certification request is passed on whole and does not ask for what was decided: %w", ca.ErrRejected, err)
	}
	return nil
}

func (r *Rules) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}
