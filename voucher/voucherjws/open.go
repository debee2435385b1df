package voucherjws

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/briskest/briskest/internal/jws"
	"github.com/briskest/briskest/voucher"
)

// MaxArtifact is the most bytes an artifact may have: the largest payload in base64, and as much for headers.
const MaxArtifact = 3 * voucher.MaxPayload

// maxSignatures is how many signatures a voucher may have: the MASA's, the
// registrar's, and two to spare.
const maxSignatures = 4

// The findings of the envelope, besides those of package voucher.
const (
	// FindingCountersigned: a voucher with more than one signature; a registrar signs it too in BRSKI with pledge in
	// responder mode (draft-ietf-anima-brski-prm, Section 7.3.6).
	FindingCountersigned = "jws-countersigned"
)

// open checks the envelope, in the order parse, form, signature.
func open(data []byte, signatures int) (*voucher.Artifact, error) {
	m, err := parse(data)
	if err != nil {
		return nil, err
	}
	a := &voucher.Artifact{Raw: data, MediaType: MediaType, Payload: m.Payload}
	if n := len(m.Signatures); n > signatures {
		return nil, signed(fmt.Errorf("%w: %d", ErrSigners, n))
	} else if n > 1 {
		a.Findings = append(a.Findings, voucher.Finding{ID: FindingCountersigned, Text: fmt.Sprintf("the voucher has %d signatures", n)})
	}
	for _, s := range m.Signatures {
		if err := checkHeader(s); err != nil {
			return nil, err
		}
	}
	for i, s := range m.Signatures {
		signer := s.Certificates[0]
		if err := s.Verify(signer.PublicKey); err != nil {
			return nil, signed(err)
		}
		if i == 0 {
			a.Signer = signer
		} else {
			a.Countersigners = append(a.Countersigners, signer)
		}
		addCertificates(a, s.Certificates)
	}
	if n := len(a.Certificates); n > voucher.MaxCertificates {
		return nil, fmt.Errorf("%w: %d inside, the limit is %d", ErrTooManyCertificates, n, voucher.MaxCertificates)
	}
	return a, nil
}

func parse(data []byte) (*jws.Message, error) {
	m, err := jws.Parse(data, jws.Limits{Bytes: MaxArtifact, Signatures: maxSignatures, Certificates: voucher.MaxCertificates})
	if errors.Is(err, jws.ErrAlgorithm) || errors.Is(err, jws.ErrNoSignatures) {
		return nil, signed(err)
	}
	if errors.Is(err, jws.ErrTooManyCertificates) {
		return nil, fmt.Errorf("%w: %w", ErrTooManyCertificates, err)
	}
	return m, err
}

// checkHeader refuses what a voucher's protected header must not be
// (draft-ietf-anima-jws-voucher, Section 3.2).
func checkHeader(s *jws.Signature) error {
	if s.HasType && s.Type != headerType {
		return fmt.Errorf("%w: %.40q, not %q", ErrType, s.Type, headerType)
	}
	if len(s.Certificates) == 0 {
		return signed(ErrNoSignerCertificate)
	}
	return nil
}

// addCertificates adds those that are not there yet.
func addCertificates(a *voucher.Artifact, certs []*x509.Certificate) {
	for _, c := range certs {
		if !slices.ContainsFunc(a.Certificates, c.Equal) {
			a.Certificates = append(a.Certificates, c)
		}
	}
}

// signed marks an error as one of an artifact that is not signed as it must be.
func signed(err error) error { return fmt.Errorf("%w: %w", voucher.ErrSigned, err) }

// OpenAgentSignedData opens the leaf agent-signed-data of a voucher-request: a
// JWS by a registrar-agent over created-on and serial-number
// (draft-ietf-anima-brski-prm, Section 7.1). It names its signer by the
// header kid, the base64 of a subject key identifier; the certificate is one of
// agents, which come from the leaf agent-sign-cert or from a configuration.
// Whether that agent is trusted is [voucher.Artifact.VerifySigner].
//
// Errors wrap the sentinels of this package for the envelope and those of
// package voucher for the content.
func OpenAgentSignedData(data []byte, agents []*x509.Certificate) (*voucher.AgentSignedData, *voucher.Artifact, error) {
	const what = "agent-signed-data"
	m, err := parse(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, err)
	}
	if n := len(m.Signatures); n != 1 {
		return nil, nil, fmt.Errorf("%s: %w", what, signed(fmt.Errorf("%w: %d", ErrSigners, n)))
	}
	s := m.Signatures[0]
	keyID, err := base64.StdEncoding.Strict().DecodeString(s.KeyID)
	if err != nil || len(keyID) == 0 {
		return nil, nil, fmt.Errorf("%s: %w: kid is not the base64 of a key identifier", what, signed(ErrNoSignerCertificate))
	}
	at := slices.IndexFunc(agents, func(c *x509.Certificate) bool { return bytes.Equal(c.SubjectKeyId, keyID) })
	if at < 0 {
		return nil, nil, fmt.Errorf("%s: %w", what, signed(ErrNoSignerCertificate))
	}
	if err := s.Verify(agents[at].PublicKey); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, signed(err))
	}
	content, findings, err := voucher.ParseAgentSignedData(m.Payload)
	if err != nil {
		return nil, nil, err
	}
	return content, &voucher.Artifact{
		Raw: data, MediaType: "application/jose+json", Payload: m.Payload,
		Signer: agents[at], Certificates: agents, Findings: findings,
	}, nil
}
