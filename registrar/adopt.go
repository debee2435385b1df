package registrar

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"

	"github.com/briskest/briskest/internal/trail"
)

// adopt finds out which issuer's CA has signed the certificates from before
// there were several issuers: once, after the upgrade, and for none afterwards.
// Until it comes to them they authenticate as before, and are the default
// issuer's in its CRL.
func (s *Service) adopt() {
	const page = 256
	ctx, v := s.life, s.current.Load()
	adopted, strange := 0, 0
	for q := (&CertificateQuery{Domain: v.Domain, Unadopted: true, Limit: page}); ; {
		rows, err := s.store.ListCertificates(ctx, q)
		if err == nil {
			var n int
			n, err = s.adoptRows(ctx, v, rows)
			adopted, strange = adopted+n, strange+len(rows)-n
		}
		if err != nil {
			if ctx.Err() == nil {
				s.log.ErrorContext(ctx, "certificates from before there were several issuers not adopted", slog.Any("error", err))
			}
			return
		}
		if len(rows) < page {
			break
		}
		q.After = rows[len(rows)-1].ID
	}
	if strange > 0 {
		s.log.WarnContext(ctx, "certificates that no configured issuer has signed", slog.Int("certificates", strange))
	}
	if adopted > 0 {
		s.log.InfoContext(ctx, "certificates adopted", slog.Int("certificates", adopted))
	}
}

// adoptRows puts on record what is known about a page of rows, and returns how many that are.
func (s *Service) adoptRows(ctx context.Context, v *version, rows []*Certificate) (int, error) {
	change := &Change{}
	for _, row := range rows {
		if by, authority := v.signed(row.Raw); by != nil {
			row.Issuer, row.Authority = by.name, authority
			change.Adopted = append(change.Adopted, row)
		}
	}
	if len(change.Adopted) == 0 {
		return 0, nil
	}
	b := newBody().num("certificates", len(change.Adopted)).str("first", change.Adopted[0].ID)
	change.Trail = []*trail.Entry{s.act(v, "start-up", KindCertificatesAdopted, "", b)}
	err := s.store.Commit(ctx, change)
	if errors.Is(err, ErrConflict) { // somebody else was first
		return len(change.Adopted), nil
	}
	return len(change.Adopted), err
}

// signed finds the issuer whose CA has signed a certificate, by its key; nil for none.
func (v *version) signed(raw []byte) (*issuer, string) {
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, ""
	}
	for _, i := range v.issuers {
		if by := i.signer(cert); by != nil {
			return i, AuthorityOf(by)
		}
	}
	return nil, ""
}

// signer is the CA, of those in cacerts, that has signed a certificate; nil for none.
func (i *issuer) signer(cert *x509.Certificate) *x509.Certificate {
	for _, by := range i.distributed {
		if bytes.Equal(by.RawSubject, cert.RawIssuer) && cert.CheckSignatureFrom(by) == nil {
			return by
		}
	}
	return nil
}

// adoptRevoked adopts what was revoked before there were several issuers, so
// that no list is signed without it. It looks again until there is nothing to
// adopt, because adopt may be at the same rows.
func (s *Service) adoptRevoked(ctx context.Context, v *version) error {
	const page = 256
	found := 0
	for q := (&CertificateQuery{Domain: v.Domain, Unadopted: true, Status: Revoked, Limit: page}); !s.adopted.Load(); {
		rows, err := s.store.ListCertificates(ctx, q)
		if err != nil {
			return err
		}
		n, err := s.adoptRows(ctx, v, rows)
		if err != nil {
			return err
		}
		found += n
		switch {
		case len(rows) == page:
			q.After = rows[len(rows)-1].ID
		case found > 0:
			found, q.After = 0, ""
		default:
			s.adopted.Store(true)
		}
	}
	return nil
}
