// Package forge makes the artifacts that no library makes: those of actors that
// are wrong on purpose.
package forge

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"

	"github.com/briskest/briskest/voucher"
)

// Signer returns who signs vouchers and their requests with a certificate's key;
// the rest of its chain goes along. A leaf that does not parse leaves Certificate nil.
func Signer(c *tls.Certificate) *voucher.Signer {
	s := &voucher.Signer{Certificate: c.Leaf}
	if s.Certificate == nil {
		s.Certificate, _ = x509.ParseCertificate(c.Certificate[0])
	}
	s.Key, _ = c.PrivateKey.(crypto.Signer)
	for _, der := range c.Certificate[1:] {
		if cert, err := x509.ParseCertificate(der); err == nil {
			s.Chain = append(s.Chain, cert)
		}
	}
	return s
}

// RewriteJWS changes a signed JWS of the general serialization (RFC 7515,
// Section 7.2.1). f gets the protected header of the first signature, the payload
// as it is encoded, and the whole, which it changes. What is no JWS is returned
// as it is.
func RewriteJWS(b []byte, f func(header, payload string, m map[string]any)) []byte {
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		return b
	}
	protected, _ := FirstSignature(m)
	header, _ := base64.RawURLEncoding.DecodeString(protected) // of our own making
	text, _ := m["payload"].(string)
	f(string(header), text, m)
	changed, err := json.Marshal(m)
	if err != nil {
		return b
	}
	return changed
}

// FirstSignature returns the first signature of a JWS and its protected header, as
// it is encoded; nil and nothing where there is none.
func FirstSignature(m map[string]any) (protected string, first map[string]any) {
	if s, ok := m["signatures"].([]any); ok && len(s) > 0 {
		first, _ = s[0].(map[string]any)
		protected, _ = first["protected"].(string)
	}
	return protected, first
}

// SetHeader replaces the protected header of the first signature, which no longer
// holds then.
func SetHeader(m map[string]any, header string) {
	if _, first := FirstSignature(m); first != nil {
		first["protected"] = base64.RawURLEncoding.EncodeToString([]byte(header))
	}
}

// Compact returns the first signature in the compact serialization (RFC 7515,
// Section 7.1).
func Compact(b []byte) []byte {
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		return b
	}
	protected, first := FirstSignature(m)
	text, _ := m["payload"].(string)
	signature, _ := first["signature"].(string)
	return bytes.Join([][]byte{[]byte(protected), []byte(text), []byte(signature)}, []byte("."))
}
