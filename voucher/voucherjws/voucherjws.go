// Package voucherjws is the JWS encoding of vouchers and voucher-requests:
// JSON signed by a JSON Web Signature in the general JSON serialization (RFC
// 7515, Section 7.2.1), as draft-ietf-anima-jws-voucher has it.
//
// Start with the zero [Format]. What it signs has one signature, with alg, typ
// and x5c in the protected header: the signer's certificate and chain. What it
// opens may leave typ out; a voucher may have further signatures, such as the
// registrar's in BRSKI with pledge in responder mode.
//
// Opening says whose key signed and decides nothing about trust or time.
package voucherjws

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"

	"github.com/briskest/briskest/internal/jws"
	"github.com/briskest/briskest/voucher"
)

// MediaType is the media type of draft-ietf-anima-jws-voucher, Section 6.1.
const MediaType = "application/voucher-jws+json"

// headerType is the value of the header typ (draft-ietf-anima-jws-voucher, Section 3.2).
const headerType = "voucher-jws+json"

// Format is the JWS encoding. The zero value is ready to use. Its methods may
// be called concurrently as long as nobody changes the fields.
type Format struct {
	// StrictRFC8366 refuses what is else taken and reported as a finding: the
	// deviations of peers that voucher.StrictRFC8366 names.
	StrictRFC8366 bool
}

var _ voucher.Format = Format{}

// MediaType returns [MediaType].
func (f Format) MediaType() string { return MediaType }

// OpenVoucher opens one whole signed voucher: signatures that all hold over
// headers and content as received, and content that [voucher.ParseVoucher]
// takes. The first signature is the MASA's; the signers of others are
// Countersigners. Whether the signer is trusted is a second call,
// [voucher.Artifact.VerifySigner].
//
// Errors wrap the sentinels of this package for the envelope and those of
// package voucher for the content.
func (f Format) OpenVoucher(data []byte) (*voucher.Voucher, *voucher.Artifact, error) {
	artifact, err := open(data, maxSignatures)
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
// content that [voucher.ParseRequest] takes and exactly one signature: a
// request is one device's or one registrar's.
func (f Format) OpenRequest(data []byte) (*voucher.Request, *voucher.Artifact, error) {
	artifact, err := open(data, 1)
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

// SignVoucher encodes v with [voucher.MarshalVoucher] and signs it.
func (f Format) SignVoucher(ctx context.Context, v *voucher.Voucher, s *voucher.Signer) ([]byte, error) {
	payload, err := voucher.MarshalVoucher(v)
	if err != nil {
		return nil, err
	}
	return f.SignPayload(ctx, payload, s)
}

// SignRequest encodes r with [voucher.MarshalRequest] and signs it.
func (f Format) SignRequest(ctx context.Context, r *voucher.Request, s *voucher.Signer) ([]byte, error) {
	payload, err := voucher.MarshalRequest(r)
	if err != nil {
		return nil, err
	}
	return f.SignPayload(ctx, payload, s)
}

// SignPayload signs payload as it is, whatever it says. It is for programs
// that test others; the other methods check what they sign.
func (f Format) SignPayload(ctx context.Context, payload []byte, s *voucher.Signer) ([]byte, error) {
	const what = "signing an artifact"
	if s == nil || s.Key == nil || s.Certificate == nil {
		return nil, fmt.Errorf("%s: %w: a key and its certificate are needed", what, ErrSigner)
	}
	if key, ok := s.Key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !key.Equal(s.Certificate.PublicKey) {
		return nil, fmt.Errorf("%s: %w: the certificate is of another key", what, ErrSigner)
	}
	if n := 1 + len(s.Chain); n > voucher.MaxCertificates {
		return nil, fmt.Errorf("%s: %w: %d certificates, the limit is %d", what, ErrSigner, n, voucher.MaxCertificates)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if _, err := jws.AlgorithmFor(s.Key.Public()); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", what, ErrSigner, err)
	}
	text, err := jws.Sign(&jws.SignRequest{
		Payload: payload, Key: s.Key, Type: headerType,
		Certificates: append([]*x509.Certificate{s.Certificate}, s.Chain...),
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return text, nil
}

func (f Format) mode() voucher.Mode {
	if f.StrictRFC8366 {
		return voucher.StrictRFC8366
	}
	return voucher.Tolerant
}
