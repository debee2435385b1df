package jws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// SignRequest says what to sign and how.
type SignRequest struct {
	Payload      []byte
	Key          crypto.Signer       // its type decides the algorithm, see [AlgorithmFor]
	Certificates []*x509.Certificate // for x5c, that of Key first; none leaves x5c out
	Type         string              // for typ; empty leaves it out
	KeyID        string              // for kid; empty leaves it out
}

type protectedHeader struct {
	Algorithm string   `json:"alg"`
	Type      string   `json:"typ,omitempty"`
	KeyID     string   `json:"kid,omitempty"`
	X5C       []string `json:"x5c,omitempty"`
}

type encodedSignature struct {
	Protected string `json:"protected"`
	Signature string `json:"signature"`
}

type encodedMessage struct {
	Payload    string             `json:"payload"`
	Signatures []encodedSignature `json:"signatures"`
}

// Sign returns a JWS with one signature, in JSON without white space. Errors
// wrap ErrKey for a key that is not known, or are the key's own.
func Sign(r *SignRequest) ([]byte, error) {
	payload, s, err := r.encode()
	if err != nil {
		return nil, err
	}
	return json.Marshal(encodedMessage{Payload: payload, Signatures: []encodedSignature{*s}})
}

// SignCompact is Sign in the compact serialization (RFC 7515, Section 7.1), as
// the tokens have it that other servers want from us. Nothing here reads it.
func SignCompact(r *SignRequest) (string, error) {
	payload, s, err := r.encode()
	if err != nil {
		return "", err
	}
	return s.Protected + "." + payload + "." + s.Signature, nil
}

// encode signs, and returns the payload and the signature in base64url.
func (r *SignRequest) encode() (payload string, s *encodedSignature, err error) {
	name, err := AlgorithmFor(r.Key.Public())
	if err != nil {
		return "", nil, err
	}
	header := protectedHeader{Algorithm: name, Type: r.Type, KeyID: r.KeyID}
	for _, cert := range r.Certificates {
		header.X5C = append(header.X5C, base64.StdEncoding.EncodeToString(cert.Raw))
	}
	text, err := json.Marshal(header)
	if err != nil {
		return "", nil, fmt.Errorf("protected header: %w", err)
	}
	payload = base64.RawURLEncoding.EncodeToString(r.Payload)
	s = &encodedSignature{Protected: base64.RawURLEncoding.EncodeToString(text)}
	value, err := sign(name, r.Key, []byte(s.Protected+"."+payload))
	if err != nil {
		return "", nil, err
	}
	s.Signature = base64.RawURLEncoding.EncodeToString(value)
	return payload, s, nil
}

// sign returns the signature in the form of the algorithm (RFC 7518, Sections 3.4 and 3.5; RFC 8037, Section 3.1).
func sign(name string, key crypto.Signer, input []byte) ([]byte, error) {
	a, _ := lookup(name)
	var options crypto.SignerOpts = a.hash
	if a.hash != 0 {
		input = digest(a.hash, input)
	}
	if _, isRSA := key.Public().(*rsa.PublicKey); isRSA {
		options = pss(a.hash)
	}
	value, err := key.Sign(rand.Reader, input, options)
	if err != nil {
		return nil, err
	}
	if _, isECDSA := key.Public().(*ecdsa.PublicKey); isECDSA {
		return fromDER(value, a.curve)
	}
	return value, nil
}
