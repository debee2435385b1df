package estserver

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net/http"
	"slices"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// somebodyElse is a name that none of our clients has.
const somebodyElse = "briskest-somebody-else"

// reenrollment: renewing and rekeying (RFC 7030, Section 4.2.2).
func reenrollment() []check {
	return slices.Concat(in("RFC 7030, Section 4.2.2",
		check{
			ID: "RFC7030-4.2.2-1", Level: must, Text: "a re-enrollment for another subject than that of the client's certificate is refused",
			Requirements: rows("EST-7030-4.2.2-02", "EST-7030-4.2-04"), Run: runReenrollNames,
		},
		check{
			ID: "RFC7030-4.2.2-2", Level: must, Text: "a re-enrollment with the same key renews: the key stays, the serial number is new",
			Requirements: rows("EST-7030-4.2.2-05", "EST-7030-3.2.2-04", "EST-5280-4.1.2.2-01"), Run: runRenew,
		},
		check{
			ID: "RFC7030-4.2.2-3", Level: must, Text: "a re-enrollment with another key rekeys",
			Requirements: rows("EST-7030-4.2.2-06"), Run: runRekey,
		},
		check{
			ID: "RFC7030-4.2.2-4", Level: must, Text: "a re-enrollment with one more name in its SubjectAltName is refused",
			Requirements: rows("EST-7030-4.2.2-02"), Run: runAddedName,
		},
		check{
			ID: "RFC7030-4.2.2-5", Level: must, Text: "names are compared as names: another type of string is the same name",
			Requirements: rows("EST-7030-4.2.2-03"), Run: runOtherString,
		},
		check{
			ID: "RFC7030-4.2.2-6", Level: must, Text: "the certificate to be renewed has to be one of this CA's",
			Requirements: rows("EST-7030-4.2.2-07"), Run: impostor((*Target).selfSigned),
		},
		check{
			ID: "RFC7030-4.2.2-7", Level: must, Text: "a re-enrollment with a password alone does not renew somebody's certificate",
			Requirements: rows("EST-7030-4.2.2-07"), Run: runPasswordReenroll,
		},
	), in("RFC 6402, Section 2.8", nameChanges()...))
}

func runRenew(ctx context.Context, t *Target) error {
	id, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	a, err := t.reenroll(ctx, id, id.key, id.renewal())
	if err != nil {
		return err
	}
	if err := undecided(a); err != nil {
		return err
	}
	again, err := issued(ctx, a, id.key)
	if err != nil {
		return err
	}
	if again.certificate.SerialNumber.Cmp(id.certificate.SerialNumber) == 0 {
		return fmt.Errorf("%v with the certificate that was to be renewed, %x", a, id.certificate.SerialNumber)
	}
	return nil
}

func runRekey(ctx context.Context, t *Target) error {
	id, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	a, err := t.reenroll(ctx, id, key, id.renewal())
	if err != nil {
		return err
	}
	if err := undecided(a); err != nil {
		return err
	}
	_, err = issued(ctx, a, key)
	return err
}

func runAddedName(ctx context.Context, t *Target) error {
	id, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	template := id.renewal()
	template.ExtraExtensions = nil
	template.DNSNames = append(append([]string(nil), id.certificate.DNSNames...), "briskest-one-more.example")
	a, err := t.reenroll(ctx, id, id.key, template)
	if err != nil {
		return err
	}
	return refused(ctx, a, "a re-enrollment with one more dNSName")
}

// runOtherString spells each string of the subject in the other of the two
// types that RFC 5280, Section 4.1.2.4, allows.
func runOtherString(ctx context.Context, t *Target) error {
	id, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	f, err := id.forgeRenewal()
	if err != nil {
		return err
	}
	var names pkix.RDNSequence
	if _, err := asn1.Unmarshal(id.certificate.RawSubject, &names); err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	tag := byte(tagUTF8)
	if bytes.Contains(id.certificate.RawSubject, []byte{tagUTF8}) {
		tag = tagPrintable
	}
	var rdns [][]byte
	for _, rdn := range names {
		var parts [][]byte
		for _, atv := range rdn {
			parts = append(parts, tlv(tagSequence, oid(atv.Type), tlv(tag, fmt.Append(nil, atv.Value))))
		}
		rdns = append(rdns, tlv(tagSet, parts...))
	}
	f.subject = tlv(tagSequence, rdns...)
	der, err := f.der(id.key)
	if err != nil {
		return err
	}
	a, err := t.post(ctx, est.OpSimpleReenroll, with(id), encode(der))
	if err != nil {
		return err
	}
	if err := undecided(a); err != nil {
		return err
	}
	_, err = issued(ctx, a, id.key)
	return err
}

func runPasswordReenroll(ctx context.Context, t *Target) error {
	id, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	if t.Password == "" {
		return conformance.Skip("no user and password were given")
	}
	csr, err := newCSR(id.key, &x509.CertificateRequest{Subject: pkix.Name{CommonName: somebodyElse}})
	if err != nil {
		return err
	}
	a, err := t.post(ctx, est.OpSimpleReenroll, as{password: true}, encode(csr))
	if err != nil {
		return err
	}
	return refused(ctx, a, "a re-enrollment for a name without the certificate of that name")
}

// nameChanges: a new name in an attribute, beside the old one
// (RFC 6402, Section 2.8).
func nameChanges() []check {
	wrong := func(what string, change func(f *forgedCSR)) func(context.Context, *Target) error {
		return func(ctx context.Context, t *Target) error {
			id, err := t.enrolled(ctx)
			if err != nil {
				return err
			}
			f, err := id.forgeRenewal()
			if err != nil {
				return err
			}
			change(f)
			der, err := f.der(id.key)
			if err != nil {
				return err
			}
			a, err := t.post(ctx, est.OpSimpleReenroll, with(id), encode(der))
			if err != nil {
				return err
			}
			return refused(ctx, a, what)
		}
	}
	other := tlv(tagSequence, tlv(tagSet, tlv(tagSequence, oid(asn1.ObjectIdentifier{2, 5, 4, 3}), tlv(tagUTF8, []byte(somebodyElse)))))
	return []check{
		{
			ID: "RFC6402-2.8-1", Level: must, Text: "a ChangeSubjectName beside a subject that is changed already is refused",
			Requirements: rows("EST-6402-2.8-01"), Run: wrong("a changed subject with ChangeSubjectName", func(f *forgedCSR) {
				f.subject = other
				f.attributes = append(f.attributes, attribute(oidChangeSubjectName, tlv(tagSequence, other)))
			}),
		},
		{
			ID: "RFC6402-2.8-2", Level: must, Text: "a ChangeSubjectName without any name is refused",
			Requirements: rows("EST-6402-2.8-02"), Run: wrong("an empty ChangeSubjectName", func(f *forgedCSR) {
				f.attributes = append(f.attributes, attribute(oidChangeSubjectName, tlv(tagSequence)))
			}),
		},
		{
			ID: "RFC6402-2.8-3", Level: must, Text: "a ChangeSubjectName that cannot be read is refused, and not passed over",
			Requirements: rows("EST-6402-2.8-04"), Run: wrong("a ChangeSubjectName of three SEQUENCEs", func(f *forgedCSR) {
				f.attributes = append(f.attributes, attribute(oidChangeSubjectName, tlv(tagSequence, other, other, other)))
			}),
		},
	}
}

// forgeRenewal is a CSR for the names and the key of the certificate.
func (id *identity) forgeRenewal() (*forgedCSR, error) {
	spki, err := x509.MarshalPKIXPublicKey(id.key.Public())
	if err != nil {
		return nil, fmt.Errorf("CSR: %w", err)
	}
	f := &forgedCSR{subject: id.certificate.RawSubject, spki: spki}
	for _, e := range id.certificate.Extensions {
		if e.Id.Equal(oidSubjectAltName) {
			f.attributes = append(f.attributes, extensionRequest(extension(e.Id, e.Critical, e.Value)))
		}
	}
	return f, nil
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
		other := pkix.Name{CommonName: somebodyElse}
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
	for _, e := range id.certificate.Extensions {
		if e.Id.Equal(oidSubjectAltName) {
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
