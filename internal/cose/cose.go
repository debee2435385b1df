// Package cose opens and makes COSE_Sign1 (RFC 9052, Section 4.2) whose
// headers carry certificates (RFC 9360). It is the one door to go-cose and to
// the CBOR library, and stricter than they are: see [Parse].
//
// It verifies with the key of a certificate and says nothing about trust.
package cose

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"

	gocose "github.com/veraison/go-cose"
)

// MaxCertificates is how many certificates the headers may carry together.
const MaxCertificates = 16

// The header parameters that are understood (RFC 9052, Section 3.1; RFC 9360, Section 2).
const (
	labelAlgorithm = gocose.HeaderLabelAlgorithm
	labelCritical  = gocose.HeaderLabelCritical
	labelX5Bag     = gocose.HeaderLabelX5Bag
	labelX5Chain   = gocose.HeaderLabelX5Chain
)

const tagSign1 = 18

// Message is a COSE_Sign1 that has been read. Nothing is verified yet.
type Message struct {
	Payload []byte
	// Chain is x5chain, the signer's certificate first; Bag is x5bag, in no
	// order. Either may have been in either header.
	Chain, Bag []*x509.Certificate

	algorithm gocose.Algorithm
	sign1     gocose.Sign1Message
}

// Parse reads a tagged COSE_Sign1 of at most limit bytes. It refuses what is
// not one whole item as [Check] has it; a payload that is detached; an
// algorithm that is absent, only in the unprotected header, or none of ES256,
// ES384, ES512, EdDSA, PS256, PS384 and PS512; crit with anything that is not
// understood; a parameter in both headers; certificates that cannot be read or
// are more than MaxCertificates.
func Parse(data []byte, limit int) (*Message, error) {
	if len(data) > limit {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(data), limit)
	}
	if len(data) > 0 && data[0] != 0xc0|tagSign1 {
		return nil, fmt.Errorf("%w: a COSE_Sign1 begins with tag %d", ErrTag, tagSign1)
	}
	// Tags are looked for in the headers alone: of a payload that is no byte string nothing else is to be said.
	if err := (&scanner{data: data, anyTag: true}).whole(); err != nil {
		return nil, err
	}
	m := new(Message)
	if err := m.envelope(data); err != nil {
		return nil, err
	}
	if err := m.sign1.UnmarshalCBOR(data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	m.Payload = m.sign1.Payload
	headers := []map[any]any{m.sign1.Headers.Protected, m.sign1.Headers.Unprotected}
	for label := range headers[0] {
		if _, both := headers[1][label]; both {
			return nil, fmt.Errorf("%w: %.64v", ErrDuplicateHeader, label)
		}
	}
	if err := m.readAlgorithm(); err != nil {
		return nil, err
	}
	if err := checkCritical(headers[0]); err != nil {
		return nil, err
	}
	return m, m.readCertificates(headers)
}

// envelope checks the outer form for itself: go-cose's errors do not tell these apart.
func (m *Message) envelope(data []byte) error {
	s := &scanner{data: data[1:], anyTag: true}
	if major, n, err := s.head(); err != nil || major != majorArray || n != 4 {
		return fmt.Errorf("%w: an array of four was expected", ErrSyntax)
	}
	var parts [4][]byte
	for i := range parts {
		start := s.pos
		if err := s.item(1); err != nil {
			return err
		}
		parts[i] = s.data[start:s.pos]
	}
	if parts[2][0] == 0xf6 {
		return ErrDetached
	}
	if parts[2][0]>>5 != majorBytes {
		return ErrPayload
	}
	var protected []byte
	if parts[0][0]>>5 != majorBytes || Decode(parts[0], &protected) != nil {
		return fmt.Errorf("%w: the protected header is no byte string", ErrSyntax)
	}
	for _, header := range [][]byte{protected, parts[1]} {
		if len(header) == 0 {
			continue
		}
		if _, err := ReadMap(header); err != nil {
			return fmt.Errorf("header: %w", err)
		}
	}
	return nil
}

func (m *Message) readAlgorithm() error {
	if _, ok := m.sign1.Headers.Protected[labelAlgorithm]; !ok {
		return ErrNoAlgorithm
	}
	alg, err := m.sign1.Headers.Protected.Algorithm()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupportedAlgorithm, err)
	}
	if !supported(alg) {
		return fmt.Errorf("%w: %d", ErrUnsupportedAlgorithm, int64(alg))
	}
	m.algorithm = alg
	return nil
}

func checkCritical(protected map[any]any) error {
	value, ok := protected[labelCritical]
	if !ok {
		return nil
	}
	labels, ok := value.([]any)
	if !ok {
		return fmt.Errorf("%w: crit is no array", ErrSyntax)
	}
	for _, label := range labels {
		if !slices.Contains([]any{labelAlgorithm, labelX5Bag, labelX5Chain}, label) {
			return fmt.Errorf("%w: %.64v", ErrCritical, label)
		}
	}
	return nil
}

// readCertificates reads x5chain and x5bag, each a byte string or an array of them (RFC 9360, Section 2).
func (m *Message) readCertificates(headers []map[any]any) error {
	for _, header := range headers {
		if err := m.readLabel(header, labelX5Chain, &m.Chain); err != nil {
			return err
		}
		if err := m.readLabel(header, labelX5Bag, &m.Bag); err != nil {
			return err
		}
	}
	return nil
}

func (m *Message) readLabel(header map[any]any, label int64, into *[]*x509.Certificate) error {
	value, ok := header[label]
	if !ok {
		return nil
	}
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	if len(list) == 0 {
		return fmt.Errorf("%w: none in header parameter %d", ErrCertificate, label)
	}
	if n := len(m.Chain) + len(m.Bag) + len(list); n > MaxCertificates {
		return fmt.Errorf("%w: %d inside, the limit is %d", ErrTooManyCertificates, n, MaxCertificates)
	}
	for _, entry := range list {
		der, ok := entry.([]byte)
		if !ok {
			return fmt.Errorf("%w: header parameter %d holds no byte string", ErrCertificate, label)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCertificate, err)
		}
		*into = append(*into, cert)
	}
	return nil
}

// Certificates returns those of both header parameters, each once, those of the chain first.
func (m *Message) Certificates() []*x509.Certificate {
	var out []*x509.Certificate
	for _, c := range slices.Concat(m.Chain, m.Bag) {
		if !slices.ContainsFunc(out, c.Equal) {
			out = append(out, c)
		}
	}
	return out
}

// Verify returns nil when the signature holds with the key of cert.
func (m *Message) Verify(cert *x509.Certificate) error {
	if err := checkKey(m.algorithm, cert.PublicKey); err != nil {
		return err
	}
	verifier, err := gocose.NewVerifier(m.algorithm, cert.PublicKey)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	if err := m.sign1.Verify(nil, verifier); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}

// Signer verifies the signature and returns the certificate whose key made
// it: the first of x5chain, else the one of x5bag, else the first of known.
// A certificate of x5chain that did not sign is an error, whatever else is
// inside; two different ones of x5bag with the key that did are one too.
func (m *Message) Signer(known []*x509.Certificate) (*x509.Certificate, error) {
	if len(m.Chain) > 0 {
		if err := m.Verify(m.Chain[0]); err != nil {
			return nil, err
		}
		return m.Chain[0], nil
	}
	var signer *x509.Certificate
	for _, c := range m.Bag {
		switch {
		case signer != nil && bytes.Equal(c.Raw, signer.Raw):
		case signer != nil && bytes.Equal(c.RawSubjectPublicKeyInfo, signer.RawSubjectPublicKeyInfo):
			return nil, ErrAmbiguousSigner
		case signer == nil && m.Verify(c) == nil:
			signer = c
		}
	}
	if signer != nil {
		return signer, nil
	}
	for _, c := range known {
		if m.Verify(c) == nil {
			return c, nil
		}
	}
	switch {
	case len(m.Bag) == 1:
		return nil, m.Verify(m.Bag[0])
	case len(m.Bag) > 0:
		return nil, fmt.Errorf("%w with any of the %d certificates inside", ErrSignature, len(m.Bag))
	case len(known) == 1:
		return nil, m.Verify(known[0])
	}
	return nil, ErrNoSignerCertificate
}
