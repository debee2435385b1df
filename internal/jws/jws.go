// Package jws reads and writes JSON Web Signatures in the general JSON
// serialization (RFC 7515, Section 7.2.1), as vouchers and the documents of
// BRSKI with pledge in responder mode have them. It knows signatures by
// asymmetric keys only; the certificates of the header x5c are reported, never
// trusted. It writes the compact serialization too, for tokens ([SignCompact]).
//
// Start with [Parse] and [Sign]. docs/decisions/0009-jws.md says why it is ours.
//
// Refused when read, besides what is malformed: the compact and the flattened
// serialization, unprotected headers, the headers crit and b64 (RFC 7797), the
// algorithm "none" and those with symmetric keys, names that occur twice.
package jws

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/briskest/briskest/internal/strictjson"
)

// Errors, to be told apart with errors.Is.
var (
	// ErrSyntax: not JSON, or not of the types of RFC 7515, Section 7.2.1.
	ErrSyntax = strictjson.ErrSyntax
	// ErrTrailingData: something follows the JSON object.
	ErrTrailingData = strictjson.ErrTrailingData
	// ErrTooLarge: more bytes, members, signatures or certificates than Limits allow.
	ErrTooLarge = strictjson.ErrTooLarge
	// ErrTooDeep: nested too deep.
	ErrTooDeep = strictjson.ErrTooDeep
	// ErrDuplicate: a name occurs twice in one object (RFC 7515, Section 4).
	ErrDuplicate = strictjson.ErrDuplicate
	// ErrSerialization: the compact or the flattened serialization, or a mixture.
	ErrSerialization = errors.New("not the general JWS JSON serialization")
	// ErrBase64: not base64url without padding (RFC 7515, Section 2); in x5c, not base64 with padding.
	ErrBase64 = errors.New("not base64 as JWS has it")
	// ErrHeader: an unprotected header, or a protected one that is not understood and must be.
	ErrHeader = errors.New("header not allowed")
	// ErrAlgorithm: no algorithm, "none", a symmetric one, or one that is not known.
	ErrAlgorithm = errors.New("signature algorithm not allowed")
	// ErrNoSignatures: there is no signature.
	ErrNoSignatures = errors.New("no signature")
	// ErrCertificate: an element of x5c that crypto/x509 does not read.
	ErrCertificate = errors.New("certificate in x5c not readable")
	// ErrKeySize: a certificate in x5c has an RSA key of more than 8192 bits.
	ErrKeySize = errors.New("key too large")
	// ErrTooManyCertificates: an x5c of more than Limits allow.
	ErrTooManyCertificates = errors.New("too many certificates in x5c")
	// ErrKey: a key that does not go with the algorithm, or an RSA key of a size that is not taken.
	ErrKey = errors.New("key does not go with the algorithm")
	// ErrSignature: the signature does not hold.
	ErrSignature = errors.New("signature does not hold")
)

// Limits bound what is read.
type Limits struct {
	Bytes        int // of the whole text
	Signatures   int
	Certificates int // of one signature's x5c
}

// headerLimits leave room for more certificates than are taken, so that the error says what is wrong.
func headerLimits(l Limits) strictjson.Limits {
	return strictjson.Limits{Bytes: l.Bytes, Depth: 8, Members: 2048}
}

// Message is a JWS. Nothing in it has been verified.
type Message struct {
	Payload    []byte // decoded
	Signatures []*Signature
}

// Signature is one signature over the payload, with its protected header.
type Signature struct {
	Algorithm    string
	Type         string              // header typ (RFC 7515, Section 4.1.9); may be empty
	HasType      bool                // typ is there
	KeyID        string              // header kid (RFC 7515, Section 4.1.4); may be empty
	Certificates []*x509.Certificate // header x5c (RFC 7515, Section 4.1.6), the signer's first; may be empty

	signed []byte // the signing input (RFC 7515, Section 5.2, step 8), of what was received
	value  []byte
}

// Parse reads one whole JWS. Members that RFC 7515 does not define are
// ignored (RFC 7515, Sections 4 and 7.2.1). At least one signature is there.
func Parse(data []byte, l Limits) (*Message, error) {
	limits := strictjson.Limits{Bytes: l.Bytes, Depth: 8, Members: 1024}
	members, err := strictjson.Object(data, limits)
	if err != nil {
		return nil, err
	}
	outer := toMap(members)
	for _, flattened := range []string{"protected", "signature", "header"} {
		if _, there := outer[flattened]; there {
			return nil, fmt.Errorf("%w: member %q beside the payload", ErrSerialization, flattened)
		}
	}
	if outer["payload"] == nil || outer["signatures"] == nil {
		return nil, fmt.Errorf("%w: the members payload and signatures were expected", ErrSerialization)
	}
	encoded, err := text(outer, "payload")
	if err != nil {
		return nil, err
	}
	m := new(Message)
	if m.Payload, err = decode(encoded); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	elements, err := strictjson.Array(outer["signatures"], limits)
	switch {
	case err != nil:
		return nil, fmt.Errorf("signatures: %w", err)
	case len(elements) == 0:
		return nil, ErrNoSignatures
	case len(elements) > l.Signatures:
		return nil, fmt.Errorf("%w: %d signatures, the limit is %d", ErrTooLarge, len(elements), l.Signatures)
	}
	for i, element := range elements {
		s, err := parseSignature(element, encoded, l)
		if err != nil {
			return nil, fmt.Errorf("signature %d: %w", i+1, err)
		}
		m.Signatures = append(m.Signatures, s)
	}
	return m, nil
}

func parseSignature(element []byte, payload string, l Limits) (*Signature, error) {
	members, err := strictjson.Object(element, strictjson.Limits{Bytes: l.Bytes, Depth: 8, Members: 1024})
	if err != nil {
		return nil, err
	}
	object := toMap(members)
	if object["header"] != nil {
		return nil, fmt.Errorf("%w: an unprotected header", ErrHeader)
	}
	protected, err := text(object, "protected")
	if err != nil {
		return nil, err
	}
	value, err := text(object, "signature")
	if err != nil {
		return nil, err
	}
	header, err := decode(protected)
	if err != nil {
		return nil, fmt.Errorf("protected: %w", err)
	}
	s := &Signature{signed: []byte(protected + "." + payload)}
	if err := s.readHeader(header, l); err != nil {
		return nil, fmt.Errorf("protected header: %w", err)
	}
	if s.value, err = decode(value); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	return s, nil
}

// readHeader takes the headers that mean something here. jku, x5u and jwk,
// with which the peer would choose what is fetched or trusted, mean nothing.
func (s *Signature) readHeader(header []byte, l Limits) error {
	members, err := strictjson.Object(header, headerLimits(l))
	if err != nil {
		return err
	}
	object := toMap(members)
	// No extension is understood, so none may be critical (RFC 7515, Section
	// 4.1.11); b64 must be listed there (RFC 7797, Section 6), so is refused too
	// where it is not.
	for _, name := range []string{"crit", "b64"} {
		if object[name] != nil {
			return fmt.Errorf("%w: %s", ErrHeader, name)
		}
	}
	if s.Algorithm, err = text(object, "alg"); err != nil {
		return fmt.Errorf("%w: %w", ErrAlgorithm, err)
	}
	if !known(s.Algorithm) {
		return fmt.Errorf("%w: %q", ErrAlgorithm, clip(s.Algorithm))
	}
	if object["typ"] != nil {
		s.HasType = true
		if s.Type, err = text(object, "typ"); err != nil {
			return err
		}
	}
	if object["kid"] != nil {
		if s.KeyID, err = text(object, "kid"); err != nil {
			return err
		}
	}
	if object["x5c"] != nil {
		s.Certificates, err = certificates(object["x5c"], l)
	}
	return err
}

// certificates reads x5c: an array of base64, with padding, of DER (RFC 7515, Section 4.1.6).
func certificates(array []byte, l Limits) ([]*x509.Certificate, error) {
	elements, err := strictjson.Array(array, headerLimits(l))
	switch {
	case err != nil:
		return nil, fmt.Errorf("x5c: %w", err)
	case len(elements) == 0:
		return nil, fmt.Errorf("x5c: %w: empty", ErrSyntax)
	case len(elements) > l.Certificates:
		return nil, fmt.Errorf("%w: %d, the limit is %d", ErrTooManyCertificates, len(elements), l.Certificates)
	}
	var certs []*x509.Certificate
	for i, element := range elements {
		encoded, err := strictjson.Text(element)
		if err != nil {
			return nil, fmt.Errorf("x5c: %w", err)
		}
		der, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil || strings.ContainsAny(encoded, "\r\n") { // which encoding/base64 skips
			return nil, fmt.Errorf("x5c: element %d: %w: the standard alphabet with padding was expected", i+1, ErrBase64)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("x5c: element %d: %w: %w", i+1, ErrCertificate, err)
		}
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSA {
			return nil, fmt.Errorf("x5c: element %d: %w: RSA with %d bits", i+1, ErrKeySize, key.N.BitLen())
		}
		certs = append(certs, cert)
	}
	return certs, nil
}

func toMap(members []strictjson.Member) map[string][]byte {
	m := make(map[string][]byte, len(members))
	for _, member := range members {
		m[member.Name] = member.Value
	}
	return m
}

func text(object map[string][]byte, name string) (string, error) {
	value, err := strictjson.Text(object[name])
	if err != nil {
		return "", fmt.Errorf("member %q: %w", name, err)
	}
	return value, nil
}

// decode decodes base64url without padding, and without the leniency of
// encoding/base64, which skips line breaks and lets stray bits pass.
func decode(encoded string) ([]byte, error) {
	value, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return nil, fmt.Errorf("%w: base64url without padding was expected", ErrBase64)
	}
	return value, nil
}

// clip shortens a peer's text for an error.
func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "..."
	}
	return s
}
