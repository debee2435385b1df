// Package vouchercms is the CMS encoding of vouchers and voucher-requests:
// JSON inside SignedData (RFC 8366, Section 5.4; RFC 8995, Section 3).
//
// Start with the zero [Format]. What it signs is SignedData version 3 with
// content type id-ct-animaJSONVoucher, signed attributes and one signer, in
// DER, the signer's certificate and chain inside (rfc8366bis, Section 7.1).
// What it opens may also be version 1 with id-data, as every artifact
// published so far is.
//
// Opening says whose key signed and decides nothing about trust or time. The
// base64 that some peers put around an artifact is the transport's to remove.
package vouchercms

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/voucher"
)

// MediaType is the media type of RFC 8366, Section 8.3.
const MediaType = "application/voucher-cms+json"

// Format is the CMS encoding. The zero value is ready to use. Its methods may
// be called concurrently as long as nobody changes the fields.
type Format struct {
	// StrictRFC8366 refuses what is else taken and reported as a finding:
	// nonce with expires-on, id-data as content type, and the other
	// deviations of peers that voucher.StrictRFC8366 names.
	StrictRFC8366 bool
	// Secp256k1 opens artifacts whose signer has a key on secp256k1, as
	// minerva's registrar of 2017 had. No service needs it.
	Secp256k1 bool
	// Known are certificates of signers that leave theirs out of the message.
	// They are asked when no certificate inside is the signer's.
	Known []*x509.Certificate
	// Parsed returns the certificate with that DER if the caller has it already,
	// and else nil: the same registrar sends the same chain with every request.
	// It is not trusted for that. Nil for none.
	Parsed func(der []byte) *x509.Certificate
}

var _ voucher.Format = Format{}

// MediaType returns [MediaType].
func (f Format) MediaType() string { return MediaType }

// WithParsed returns f with that function as Parsed; see [voucher.WithParsed].
func (f Format) WithParsed(parsed func(der []byte) *x509.Certificate) voucher.Format {
	f.Parsed = parsed
	return f
}

// OpenVoucher opens one whole signed voucher: exactly one signer, whose
// signature over signed attributes and content holds, and content that
// [voucher.ParseVoucher] takes. Whether the signer is trusted is a second
// call, [voucher.Artifact.VerifySigner].
//
// Errors wrap the sentinels of this package for the envelope and those of
// package voucher for the content.
func (f Format) OpenVoucher(data []byte) (*voucher.Voucher, *voucher.Artifact, error) {
	artifact, err := f.open(data)
	if err != nil {
		return nil, nil, fmt.Errorf("voucher: %w", err)
	}
	v, findings, err := voucher.ParseVoucher(artifact.Payload, f.mode())
	if err != nil {
		return nil, nil, err
	}
	artifact.Findings = append(artifact.Findings, findings...)
	return v, artifact, nil
}

// OpenRequest opens one whole signed voucher-request like OpenVoucher, with
// content that [voucher.ParseRequest] takes.
func (f Format) OpenRequest(data []byte) (*voucher.Request, *voucher.Artifact, error) {
	artifact, err := f.open(data)
	if err != nil {
		return nil, nil, fmt.Errorf("voucher-request: %w", err)
	}
	r, findings, err := voucher.ParseRequest(artifact.Payload, f.mode())
	if err != nil {
		return nil, nil, err
	}
	artifact.Findings = append(artifact.Findings, findings...)
	return r, artifact, nil
}

// SignVoucher encodes v with [voucher.MarshalVoucher] and signs it. The
// signing-time attribute says what created-on says: openssl writes the
// attribute always, a pledge with a clock checks it (RFC 8995, Section
// 2.6.1), and so the two cannot differ.
func (f Format) SignVoucher(ctx context.Context, v *voucher.Voucher, s *voucher.Signer) ([]byte, error) {
	payload, err := voucher.MarshalVoucher(v)
	if err != nil {
		return nil, err
	}
	return f.SignPayload(ctx, payload, v.CreatedOn, s)
}

// SignRequest encodes r with [voucher.MarshalRequest] and signs it, with the
// signing-time attribute as in SignVoucher; without created-on there is none.
func (f Format) SignRequest(ctx context.Context, r *voucher.Request, s *voucher.Signer) ([]byte, error) {
	payload, err := voucher.MarshalRequest(r)
	if err != nil {
		return nil, err
	}
	return f.SignPayload(ctx, payload, r.CreatedOn, s)
}

// SignPayload signs payload as it is, whatever it says. It is for programs
// that test others; the other methods check what they sign. A zero
// signingTime leaves the attribute out.
func (f Format) SignPayload(ctx context.Context, payload []byte, signingTime time.Time, s *voucher.Signer) ([]byte, error) {
	if s == nil || s.Key == nil || s.Certificate == nil {
		return nil, fmt.Errorf("signing an artifact: %w: a key and its certificate are needed", ErrSigner)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("signing an artifact: %w", err)
	}
	der, err := cms.Sign(&cms.SignRequest{
		ContentType: cms.OIDAnimaJSONVoucher(),
		Content:     payload,
		Key:         s.Key,
		Certificate: s.Certificate,
		Chain:       s.Chain,
		SigningTime: signingTime,
	})
	if errors.Is(err, cms.ErrRequest) || errors.Is(err, cms.ErrUnsupportedAlgorithm) {
		return nil, fmt.Errorf("signing an artifact: %w: %w", ErrSigner, err)
	}
	if err != nil {
		return nil, fmt.Errorf("signing an artifact: %w", err)
	}
	return der, nil
}

func (f Format) mode() voucher.Mode {
	if f.StrictRFC8366 {
		return voucher.StrictRFC8366
	}
	return voucher.Tolerant
}
