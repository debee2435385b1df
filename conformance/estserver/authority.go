package estserver

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"net/http"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// authorities: registration authorities, and who is none (RFC 7030, Section 3.7).
func authorities() []check {
	return in("RFC 7030, Section 3.7",
		check{
			ID: "RFC7030-3.7-1", Level: should, Text: "a registration authority of this CA's enrolls others",
			Requirements: rows("EST-7030-3.7-01"), Run: runRAEnrolls,
		},
		check{
			ID: "RFC7030-3.7-2", Level: must, Text: "the holder of an ordinary certificate does not enroll others",
			Requirements: rows("EST-7030-4.2-04", "EST-7030-3.7-01", "EST-7030-3.3.2-09"), Run: runDeviceEnrollsOther,
		},
		check{
			ID: "RFC7030-3.7-3", Level: may, Text: "a registration authority passes on a CSR that is linked to its own client's connection",
			Requirements: rows("EST-7030-3.7-02"), Run: runRAForwards,
		},
		check{
			ID: "RFC7030-3.7-4", Level: must, Text: "who has a certificate and a wrong password is not taken for the holder of the certificate alone with anybody's name",
			Requirements: rows("EST-7030-3.7-03"), Run: runMixedCredentials,
		},
		check{
			ID: "RFC7030-3.7-5", Level: must, Text: "who is known and not allowed is told so, and not asked who he is",
			Requirements: rows("EST-9110-11.6.1-01"), Run: runForbidden,
		},
	)
}

// byRA enrolls a subject of its own with the registration authority's certificate.
func (t *Target) byRA(ctx context.Context, attributes [][]byte) error {
	ra, err := t.registrationAuthority()
	if err != nil {
		return err
	}
	if _, err := t.enrolled(ctx); err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	r, err := forged(func(f *forgedCSR) { f.attributes = attributes })(t, key)
	if err != nil {
		return err
	}
	a, err := t.do(ctx, ra, r)
	if err != nil {
		return err
	}
	if err := undecided(a); err != nil {
		return err
	}
	_, err = issued(ctx, a, key)
	return err
}

func runRAEnrolls(ctx context.Context, t *Target) error { return t.byRA(ctx, nil) }

func runRAForwards(ctx context.Context, t *Target) error {
	if err := t.byRA(ctx, nil); err != nil {
		return conformance.Skip("%v (see RFC7030-3.7-1)", err)
	}
	err := t.byRA(ctx, [][]byte{password(tagPrintable, base64.StdEncoding.EncodeToString([]byte("twelve bytes")))})
	if err != nil {
		return fmt.Errorf("a CSR that is linked to the connection of a client of the registration authority's: %w", err)
	}
	return nil
}

// otherName is a CSR of the holder's for somebody else's name.
func (t *Target) otherName(id *identity, op est.Operation) (wire.Request, error) {
	csr, err := newCSR(id.key, &x509.CertificateRequest{Subject: pkix.Name{CommonName: somebodyElse}})
	return t.request(op, encode(csr)), err
}

func runDeviceEnrollsOther(ctx context.Context, t *Target) error {
	id, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	r, err := t.otherName(id, est.OpSimpleEnroll)
	if err != nil {
		return err
	}
	a, err := t.do(ctx, with(id), r)
	if err != nil {
		return err
	}
	return refused(ctx, a, "the holder of a certificate for another name")
}

func runMixedCredentials(ctx context.Context, t *Target) error {
	id, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	r, err := t.otherName(id, est.OpSimpleEnroll)
	if err != nil {
		return err
	}
	a, err := t.do(ctx, with(id), r.With("Authorization", wire.Basic("briskest-nobody", "no-such-secret")))
	if err != nil {
		return err
	}
	return refused(ctx, a, "a certificate for another name with a wrong password")
}

func runForbidden(ctx context.Context, t *Target) error {
	id, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	r, err := t.otherName(id, est.OpSimpleReenroll)
	if err != nil {
		return err
	}
	a, err := t.do(ctx, with(id), r)
	if err != nil {
		return err
	}
	if a.Status == http.StatusUnauthorized {
		return fmt.Errorf("%v to a client that is known by its certificate, want 403 or 400: no credentials would help", a)
	}
	return nil
}
