package revocation

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"
)

// ocspStatus is what a responder says of one certificate.
type ocspStatus struct {
	thisUpdate, nextUpdate time.Time
	revoked                bool
	at                     time.Time
	reason                 int
}

func (s *ocspStatus) made() time.Time  { return s.thisUpdate }
func (s *ocspStatus) until() time.Time { return s.nextUpdate }
func (s *ocspStatus) size() int        { return 256 }

// same tells whether another answer says the same; a younger good is one.
func (s *ocspStatus) same(other evidence) bool {
	o, ok := other.(*ocspStatus)
	return ok && s.revoked == o.revoked && s.reason == o.reason
}

// certID is how OCSP names a certificate (RFC 6960, Section 4.1.1).
type certID struct {
	request       []byte // the whole OCSPRequest
	nameHash, key []byte
	serial        []byte // DER of an INTEGER
}

// newCertID makes the request. It goes by SHA-1, which is the one every
// responder knows (RFC 5019, Section 2.1.1): the hash finds an issuer and
// protects nothing.
func newCertID(cert, issuer *x509.Certificate) (*certID, error) {
	request, err := ocsp.CreateRequest(cert, issuer, nil)
	if err != nil {
		return nil, err
	}
	r, err := ocsp.ParseRequest(request)
	if err != nil {
		return nil, err
	}
	serial, err := asn1.Marshal(cert.SerialNumber)
	return &certID{request, r.IssuerNameHash, r.IssuerKeyHash, serial}, err
}

// withoutNext is for how long an answer counts that does not say when the next
// one comes: newer ones are there all the time (RFC 6960, Section 4.2.2.1).
const withoutNext = time.Hour

// askOCSP asks one responder.
func (q *question) askOCSP(ctx context.Context, u *url.URL, id *certID) (evidence, error) {
	body, err := q.fetcher.post(ctx, u, q.permits(u), id.request)
	if err != nil {
		return nil, err
	}
	r, err := parseOCSP(body, q.cert, q.issuer, id)
	if err != nil {
		return nil, err
	}
	if r.Certificate != nil && !bytes.Equal(r.Certificate.Raw, q.issuer.Raw) {
		if err := q.responder(ctx, r.Certificate); err != nil {
			return nil, err
		}
	}
	s := &ocspStatus{thisUpdate: r.ThisUpdate, nextUpdate: r.NextUpdate, revoked: r.Status == ocsp.Revoked, at: r.RevokedAt, reason: r.RevocationReason}
	if s.nextUpdate.IsZero() {
		s.nextUpdate = s.thisUpdate.Add(withoutNext)
	}
	return s, nil
}

// parseOCSP reads an answer, and checks that it is about the certificate and
// signed by its issuer or by one the issuer has certified for that
// (RFC 6960, Section 4.2.2.2).
func parseOCSP(body []byte, cert, issuer *x509.Certificate, id *certID) (*ocsp.Response, error) {
	r, err := ocsp.ParseResponseForCert(body, cert, nil)
	switch {
	case err != nil:
		return nil, err
	case !id.leads(r.TBSResponseData):
		return nil, errors.New("the answer is about another issuer's certificate")
	case r.Status != ocsp.Good && r.Status != ocsp.Revoked:
		return nil, errors.New("the responder does not know the certificate")
	}
	if r.Certificate == nil {
		return r, r.CheckSignatureFrom(issuer)
	}
	if bytes.Equal(r.Certificate.Raw, issuer.Raw) {
		return r, nil // ParseResponseForCert has checked the signature by it
	}
	switch {
	case !bytes.Equal(r.Certificate.RawIssuer, issuer.RawSubject):
		return nil, errors.New("the responder's certificate is of another issuer")
	case !slices.Contains(r.Certificate.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return nil, errors.New("the responder's certificate is not for OCSP: its extended key usage lacks OCSPSigning")
	}
	if err := r.Certificate.CheckSignatureFrom(issuer); err != nil {
		return nil, fmt.Errorf("the responder's certificate: %w", err)
	}
	return r, nil
}

// responder looks at a responder's own certificate: its time, and unless its
// issuer says that there is no need (RFC 6960, Section 4.2.2.2.1), whether a
// list has it. One with nowhere to ask passes.
func (q *question) responder(ctx context.Context, cert *x509.Certificate) error {
	if q.at.Before(cert.NotBefore) || q.at.After(cert.NotAfter) {
		return errors.New("the responder's certificate has expired, or is not valid yet")
	}
	if has(cert, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}) { // id-pkix-ocsp-nocheck
		return nil
	}
	checker := *q.Checker
	checker.mode = Require
	own := &question{
		Checker: &checker, cert: cert, issuer: q.issuer, at: q.at, answer: &Answer{},
		deadline: time.Now().Add(2 * q.fetcher.config.Timeout),
	}
	if err := own.ask(ctx); err != nil {
		return fmt.Errorf("the responder's certificate: %v", err)
	}
	return nil
}

// leads tells whether the first answer with the serial number, which is the
// one that counts, has the hashes of the issuer too.
func (id *certID) leads(tbs []byte) bool {
	input, data := cryptobyte.String(tbs), cryptobyte.String(nil)
	var responder, producedAt, responses cryptobyte.String
	var tag cbasn1.Tag
	if !input.ReadASN1(&data, cbasn1.SEQUENCE) || !data.SkipOptionalASN1(cbasn1.Tag(0).Constructed().ContextSpecific()) ||
		!data.ReadAnyASN1(&responder, &tag) || !data.ReadASN1(&producedAt, cbasn1.GeneralizedTime) ||
		!data.ReadASN1(&responses, cbasn1.SEQUENCE) {
		return false
	}
	for !responses.Empty() {
		var single, of, algorithm, name, key, serial cryptobyte.String
		if !responses.ReadASN1(&single, cbasn1.SEQUENCE) || !single.ReadASN1(&of, cbasn1.SEQUENCE) ||
			!of.ReadASN1(&algorithm, cbasn1.SEQUENCE) || !of.ReadASN1(&name, cbasn1.OCTET_STRING) ||
			!of.ReadASN1(&key, cbasn1.OCTET_STRING) || !of.ReadASN1Element(&serial, cbasn1.INTEGER) {
			return false
		}
		if bytes.Equal(serial, id.serial) {
			return bytes.Equal(name, id.nameHash) && bytes.Equal(key, id.key)
		}
	}
	return false
}
