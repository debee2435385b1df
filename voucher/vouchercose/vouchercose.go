// Package vouchercose is the COSE encoding of vouchers and voucher-requests:
// CBOR with SIDs inside COSE_Sign1 (rfc8366bis, Sections 8 and 9; draft-ietf-
// anima-constrained-voucher, Sections 9 and 12).
//
// Start with the zero [Format]. What it signs is a tagged COSE_Sign1 with the
// algorithm protected, keys that are deltas to the container's SID, and the
// signer's certificate and chain as x5bag in the unprotected header. What it
// opens may also have names for keys, mixed with SIDs, the certificates as
// x5chain or x5bag in either header, or none, for a signer among Format.Known.
//
// Opening says whose key signed and decides nothing about trust or time.
package vouchercose

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/briskest/briskest/internal/cose"
	"github.com/briskest/briskest/voucher"
)

// MediaType is the media type of draft-ietf-anima-constrained-voucher, Section 15.2.
const MediaType = "application/voucher+cose"

// MaxArtifact is the most bytes an artifact may have: the largest payload, and as much again for certificates.
const MaxArtifact = 2 * voucher.MaxPayload

// Format is the COSE encoding. The zero value is ready to use. Its methods may
// be called concurrently as long as nobody changes the fields.
type Format struct {
	// Known are certificates of signers that leave theirs out of the message,
	// as draft-ietf-anima-constrained-voucher, Section 9.2.2 has pledges do.
	// They are asked when no certificate inside is the signer's.
	Known []*x509.Certificate
	// Bare leaves the certificates out of what is signed, for a constrained
	// pledge whose registrar has its certificate from the connection (the same Section).
	Bare bool
	// ExtensionSIDs gives the SIDs of extension modules by their names, to be
	// the keys of their data (rfc8366bis, Section 8.6). An extension that is
	// not here is written by name; of one that is read, the SID in decimal is
	// the name.
	ExtensionSIDs map[string]int64
}

var _ voucher.Format = Format{}

// MediaType returns [MediaType].
func (f Format) MediaType() string { return MediaType }

// WithKnown returns f with these certificates as Known; see [voucher.WithKnown].
func (f Format) WithKnown(certs []*x509.Certificate) voucher.Format {
	f.Known = certs
	return f
}

// OpenVoucher opens one whole signed voucher: a signature that holds and
// content that [voucher.ParseVoucher] takes once it is turned into JSON.
// Whether the signer is trusted is a second call,
// [voucher.Artifact.VerifySigner].
//
// Errors wrap the sentinels of this package for the envelope and CBOR and
// those of package voucher for the content.
func (f Format) OpenVoucher(data []byte) (*voucher.Voucher, *voucher.Artifact, error) {
	artifact, text, err := f.open(data)
	if err != nil {
		return nil, nil, fmt.Errorf("voucher: %w", err)
	}
	v, findings, err := voucher.ParseVoucher(text, voucher.Tolerant)
	if err != nil {
		return nil, nil, err
	}
	artifact.Findings = append(artifact.Findings, findings...)
	return v, artifact, nil
}

// OpenRequest opens one whole signed voucher-request like OpenVoucher, with
// content that [voucher.ParseRequest] takes.
func (f Format) OpenRequest(data []byte) (*voucher.Request, *voucher.Artifact, error) {
	artifact, text, err := f.open(data)
	if err != nil {
		return nil, nil, fmt.Errorf("voucher-request: %w", err)
	}
	r, findings, err := voucher.ParseRequest(text, voucher.Tolerant)
	if err != nil {
		return nil, nil, err
	}
	artifact.Findings = append(artifact.Findings, findings...)
	return r, artifact, nil
}

// open checks the envelope and turns the content into JSON.
func (f Format) open(data []byte) (*voucher.Artifact, []byte, error) {
	message, err := cose.Parse(data, MaxArtifact)
	if err != nil {
		return nil, nil, envelopeError(err)
	}
	signer, err := message.Signer(f.Known)
	if err != nil {
		return nil, nil, envelopeError(err)
	}
	a := &voucher.Artifact{
		Raw: data, MediaType: MediaType, Payload: message.Payload,
		Signer: signer, Certificates: message.Certificates(),
	}
	text, findings, err := f.toJSON(message.Payload)
	if err != nil {
		return nil, nil, err
	}
	a.Findings = findings
	return a, text, nil
}

// PayloadJSON returns the content of an artifact, such as
// voucher.Artifact.Payload, as the JSON text that means the same. It is for
// showing to people: extensions and unknown leaves lose what JSON cannot say.
func (f Format) PayloadJSON(payload []byte) ([]byte, error) {
	text, _, err := f.toJSON(payload)
	return text, err
}

// SignVoucher encodes v and signs it. It refuses what [voucher.MarshalVoucher]
// refuses. COSE has no signing time.
func (f Format) SignVoucher(ctx context.Context, v *voucher.Voucher, s *voucher.Signer) ([]byte, error) {
	text, err := voucher.MarshalVoucher(v)
	if err != nil {
		return nil, err
	}
	payload, err := f.fromJSON(text)
	if err != nil {
		return nil, fmt.Errorf("voucher: %w", err)
	}
	return f.SignPayload(ctx, payload, s)
}

// SignRequest encodes r and signs it like SignVoucher. It refuses what [voucher.MarshalRequest] refuses.
func (f Format) SignRequest(ctx context.Context, r *voucher.Request, s *voucher.Signer) ([]byte, error) {
	text, err := voucher.MarshalRequest(r)
	if err != nil {
		return nil, err
	}
	payload, err := f.fromJSON(text)
	if err != nil {
		return nil, fmt.Errorf("voucher-request: %w", err)
	}
	return f.SignPayload(ctx, payload, s)
}

// SignPayload signs payload as it is, whatever it says. It is for programs
// that test others; the other methods check what they sign.
func (f Format) SignPayload(ctx context.Context, payload []byte, s *voucher.Signer) ([]byte, error) {
	if s == nil {
		return nil, fmt.Errorf("signing an artifact: %w: a key and its certificate are needed", ErrSigner)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("signing an artifact: %w", err)
	}
	data, err := cose.Sign(&cose.SignRequest{Payload: payload, Key: s.Key, Certificate: s.Certificate, Chain: s.Chain, Bare: f.Bare})
	if errors.Is(err, cose.ErrSigner) {
		return nil, fmt.Errorf("signing an artifact: %w: %w", ErrSigner, err)
	}
	if err != nil {
		return nil, fmt.Errorf("signing an artifact: %w", err)
	}
	return data, nil
}
