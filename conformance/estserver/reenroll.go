package estserver

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net/http"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// reenrollment: renewing and rekeying (RFC 7030, Section 4.2.2).
func reenrollment() []check {
	return in("RFC 7030, Section 4.2.2",
		check{
			ID: "RFC7030-4.2.2-1", Level: must, Text: "a re-enrollment for another subject than that of the client's certificate is refused",
			Requirements: rows("EST-7030-4.2.2-02"), Run: runReenrollNames,
		},
	)
}

// The other subject is asked for first, with a certificate just issued; then
// the same is asked for the certificate's own names. Only a server that says no
// to the first and yes to the second has compared them. Some refuse every
// renewal with the old key, so both are asked with a new one where need be.
func runReenrollNames(ctx context.Context, t *Target) error {
	id, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	fresh, err := newKey()
	if err != nil {
		return err
	}
	var control *wire.Answer
	for _, key := range []crypto.Signer{id.key, fresh} {
		other := pkix.Name{CommonName: "briskest-somebody-else"}
		a, err := t.reenroll(ctx, id, key, &x509.CertificateRequest{Subject: other})
		switch {
		case err != nil:
			return err
		case a.Status == http.StatusAccepted:
			return turnedAway(a)
		case !a.Refused():
			return fmt.Errorf("%v to a CSR for %q from the holder of %q, want 403 or another 4xx", a, other, id.certificate.Subject)
		}
		if control, err = t.reenroll(ctx, id, key, id.renewal()); err != nil {
			return err
		}
		if _, err := issued(ctx, control, key); err == nil {
			return nil
		}
	}
	return conformance.Skip("%v to an unchanged subject too: its refusal of another one says nothing", control)
}

// renewal asks for the names of the certificate: subject and SubjectAltName
// byte for byte (RFC 7030, Section 4.2.2).
func (id *identity) renewal() *x509.CertificateRequest {
	template := &x509.CertificateRequest{RawSubject: id.certificate.RawSubject}
	subjectAltName := asn1.ObjectIdentifier{2, 5, 29, 17}
	for _, e := range id.certificate.Extensions {
		if e.Id.Equal(subjectAltName) {
			template.ExtraExtensions = append(template.ExtraExtensions, e)
		}
	}
	return template
}

// reenroll asks simplereenroll for a certificate for key over a connection
// authenticated with the client's certificate.
func (t *Target) reenroll(ctx context.Context, id *identity, key crypto.Signer, template *x509.CertificateRequest) (*wire.Answer, error) {
	csr, err := newCSR(key, template)
	if err != nil {
		return nil, err
	}
	return t.post(ctx, est.OpSimpleReenroll, with(id), encode(csr))
}
