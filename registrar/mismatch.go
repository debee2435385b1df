package registrar

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"

	"github.com/briskest/briskest/ca"
)

// mismatch deals with a certificate that nobody asked for: it is put on record
// and revoked, here and at the CA that signed it. One that is on record already
// was somebody's before, and stays his.
func (i *issuance) mismatch(ctx context.Context, m *ca.Mismatch) *Decision {
	cert, err := x509.ParseCertificate(m.Raw)
	if err != nil || !i.row.Elsewhere {
		return i.explain(ctx, ReasonIssuerDisagrees, fmt.Errorf("it signed what cannot be put on record: %w", errors.Join(m, err)))
	}
	if d := i.again(ctx, cert.SerialNumber.Bytes(), m.Raw); d != nil {
		return d
	}
	row := *i.row
	row.Raw, row.IssuedAt, row.Status, row.Serial = m.Raw, i.s.now().UTC(), Issued, cert.SerialNumber.Bytes()
	if by := i.by.signer(cert); by != nil {
		row.Authority = AuthorityOf(by)
	}
	return i.disown(ctx, &Change{Issued: []*Certificate{&row}}, &row, m)
}

// again ends an issuance that is answered with a certificate that is on record
// already: it was somebody's before, and stays his.
func (i *issuance) again(ctx context.Context, serial, raw []byte) *Decision {
	other, err := found(i.s.store.CertificateOf(ctx, i.v.Domain, serial, raw))
	switch {
	case err != nil:
		i.begin()
		return storeFailed("issuer", err)
	case other != nil && other.ID != i.id:
		return i.explain(ctx, ReasonIssuerDisagrees, fmt.Errorf("%w: it answered with the certificate of issuance %s", ca.ErrMismatch, other.ID))
	}
	return nil
}

// explain ends an intent that has no certificate.
func (i *issuance) explain(ctx context.Context, reason string, err error) *Decision {
	i.s.abandon(ctx, i.row, i.c.actor(), i.s.now(), "the issuer was asked and gave no certificate: "+ascii(err.Error()))
	if reason == ReasonIssuerDisagrees {
		i.s.log.ErrorContext(ctx, "the issuer disagrees", slog.String("issuer", i.by.name), slog.String("id", i.id), slog.Any("error", err))
	}
	return denyErr(reason, "issuer", err)
}
