package masa

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/voucher"
)

// CheckSigners signs a test voucher with every key of every product, in every
// format, and opens it again: a key that does not answer, or cannot make a
// format, is found before a device waits for it (RFC 8995, Section 9.1.1).
// The vouchers are of no use to anybody: they expired when they were made. The
// error names each product and key that failed.
func (s *Settings) CheckSigners(ctx context.Context, at time.Time) error {
	checked, err := s.checked()
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range checked.productNames() {
		p := checked.Products[name]
		seen := make(map[*voucher.Signer]bool)
		for _, signer := range p.signers() {
			if seen[signer] {
				continue
			}
			seen[signer] = true
			for _, format := range checked.Formats {
				if err := testSigner(ctx, signer, format, at); err != nil {
					failed = append(failed, fmt.Errorf("product %q: voucher key of %q, %s: %w", name, signer.Certificate.Subject, format.MediaType(), err))
				}
			}
		}
	}
	return errors.Join(failed...)
}

func testSigner(ctx context.Context, signer *voucher.Signer, format voucher.Format, at time.Time) error {
	if at.Before(signer.Certificate.NotBefore) || at.After(signer.Certificate.NotAfter) {
		return fmt.Errorf("its certificate is valid from %s to %s", signer.Certificate.NotBefore.Format(time.DateOnly),
			signer.Certificate.NotAfter.Format(time.DateOnly))
	}
	created := at.Add(-time.Hour).UTC().Truncate(time.Second)
	raw, err := format.SignVoucher(ctx, &voucher.Voucher{
		Assertion: voucher.Logged, CreatedOn: created, ExpiresOn: created, SerialNumber: "self-test",
		PinnedDomainCert: signer.Certificate.Raw,
	}, signer)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	_, artifact, err := format.OpenVoucher(raw)
	if err != nil {
		return fmt.Errorf("open what was signed: %w", err)
	}
	if !bytes.Equal(artifact.Signer.Raw, signer.Certificate.Raw) {
		return errors.New("another certificate travels with the voucher")
	}
	return nil
}
