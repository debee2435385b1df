package brskimasa

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/briskest/briskest/internal/cms"
)

// signedData reads the first voucher as CMS; what is no SignedData is for others.
func signedData(judge func(x *exchange, sd *cms.SignedData) error) run {
	return first(func(x *exchange) error {
		sd, err := cms.ParseSignedData(x.answer.Body)
		if err != nil {
			return skipf("the voucher is no SignedData (see RFC8366-5.4-MASA-1): %v", err)
		}
		return judge(x, sd)
	})
}

// envelopes: how vouchers are signed (RFC 8366, Section 5.4).
func envelopes() []check {
	return slices.Concat(
		in("RFC 8366, Section 5.4",
			check{
				ID: "RFC8366-5.4-MASA-1", Level: must, Text: "the voucher is CMS SignedData with JSON of a voucher in it, and its signature holds",
				Requirements: rows("BRSKI-8366-5.4-01"), Run: first(func(x *exchange) error { return x.openErr }),
			},
			check{
				ID: "RFC8366-5.4-MASA-2", Level: should, Text: "the CMS carries the certificates of its signer up to the anchor",
				Requirements: rows("BRSKI-8366-5.4-03"), Run: runWholeChain,
			},
		),
		in("RFC 8995, Section 5.6.1", check{
			ID: "RFC8995-5.6.1-MASA-1", Level: must, Text: "the voucher's signer is below the anchor that the pledge has",
			Requirements: rows("BRSKI-8366-5.4-01"), Run: runAnchored,
		}),
		in("draft-ietf-anima-rfc8366bis, Section 7.1",
			check{
				ID: "RFC8366bis-7.1-MASA-1", Level: must, Text: "the SignedData of a voucher is of version 3",
				Requirements: rows("BRSKI-8366BIS-7.1-01"), Run: signedData(func(_ *exchange, sd *cms.SignedData) error {
					if sd.Version != 3 {
						return fmt.Errorf("its version is %d", sd.Version)
					}
					return nil
				}),
			},
			check{
				ID: "RFC8366bis-7.1-MASA-2", Level: must, Text: "the content type is id-ct-animaJSONVoucher",
				Requirements: rows("BRSKI-8366BIS-7.1-01"), Run: signedData(func(_ *exchange, sd *cms.SignedData) error {
					if !sd.ContentType.Equal(cms.OIDAnimaJSONVoucher()) {
						return fmt.Errorf("it is %v", sd.ContentType)
					}
					return nil
				}),
			},
			check{
				ID: "RFC8366bis-7.1-MASA-3", Level: must, Text: "the CMS is in DER",
				Requirements: rows("BRSKI-8366BIS-7.1-01"), Run: first(func(x *exchange) error {
					der, err := cms.ToDER(x.answer.Body)
					if err != nil {
						return skipf("the voucher is no SignedData (see RFC8366-5.4-MASA-1): %v", err)
					}
					if !bytes.Equal(der, x.answer.Body) {
						return errors.New("it is BER that is no DER")
					}
					return nil
				}),
			},
			check{
				ID: "RFC8366bis-7.1-MASA-4", Level: must, Text: "there are signed attributes",
				Requirements: rows("BRSKI-8366BIS-7.1-02"), Run: signedData(func(_ *exchange, sd *cms.SignedData) error {
					if len(sd.Signers) == 0 || !sd.Signers[0].HasSignedAttributes {
						return errors.New("there are none")
					}
					return nil
				}),
			},
		),
	)
}

// runWholeChain wants every certificate from the signer's to the anchor's.
func runWholeChain(ctx context.Context, t *Target) error {
	x, err := t.read(ctx)
	if err != nil {
		return err
	}
	at := x.artifact.Signer
	for range x.artifact.Certificates {
		chains, err := at.Verify(x509.VerifyOptions{Roots: t.Anchors, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err == nil && len(chains[0]) == 1 {
			return nil
		}
		above := slices.IndexFunc(x.artifact.Certificates, func(c *x509.Certificate) bool {
			return !bytes.Equal(c.Raw, at.Raw) && bytes.Equal(c.RawSubject, at.RawIssuer) && at.CheckSignatureFrom(c) == nil
		})
		if above < 0 {
			break
		}
		at = x.artifact.Certificates[above]
	}
	return fmt.Errorf("the certificates end at %q, below the anchor", at.Subject)
}

func runAnchored(ctx context.Context, t *Target) error {
	x, err := t.read(ctx)
	if err != nil {
		return err
	}
	if _, err := x.artifact.VerifySigner(t.Anchors, time.Now()); err != nil {
		return fmt.Errorf("%q signed: %w", x.artifact.Signer.Subject, err)
	}
	return nil
}
