package est

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net/http"
	"strings"

	"github.com/briskest/briskest/internal/cms"
)

// Contents of the OBJECT IDENTIFIERs of algorithms that a client may list.
const (
	oidAES256Wrap = "\x60\x86\x48\x01\x65\x03\x04\x01\x2d" // 2.16.840.1.101.3.4.1.45 (RFC 3565, Section 2.3.2)
	oidAES256CBC  = "\x60\x86\x48\x01\x65\x03\x04\x01\x2a" // 2.16.840.1.101.3.4.1.42 (RFC 3565, Section 4.1)
	oidAES256GCM  = "\x60\x86\x48\x01\x65\x03\x04\x01\x2e" // 2.16.840.1.101.3.4.1.46 (RFC 5084, Section 3.2)
	oidOAEP       = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07" // 1.2.840.113549.1.1.7 (RFC 3560, Section 3)
	oidStdDH      = "\x2b\x81\x04\x01\x0b"                 // 1.3.132.1.11, then 1 to 3 for SHA-256 to SHA-512 (RFC 5753, Section 7.1.4)

	// oaepSHA256 are RSAES-OAEP-params with SHA-256 everywhere (RFC 4055, Section 4.1).
	oaepSHA256 = "\x30\x2f\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00" +
		"\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00"
	aes256WrapIdentifier = "\x30\x0b\x06\x09" + oidAES256Wrap

	aesArc         = "\x60\x86\x48\x01\x65\x03\x04\x01"             // 2.16.840.1.101.3.4.1
	oidTripleDES   = "\x2a\x86\x48\x86\xf7\x0d\x03\x07"             // 1.2.840.113549.3.7
	oidChaCha20    = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x03\x12" // 1.2.840.113549.1.9.16.3.18 (RFC 8103, Section 3)
	nullParameters = "\x05\x00"
)

// ForSharedKey encrypts the key of the answer with a symmetric key of 32 bytes that server and client share: AES-256 key
// wrap, AES-256 content encryption (RFC 7030, Section 4.4.2); in a PKCS#12 file the password is the key's 64 lower-case
// hex digits. Which peer may name which key is the caller's to decide.
//
// Errors: an [*Error] with status 400 and [ReasonKeyGenCapabilities] where the client did not list these algorithms; a
// plain one for a key of another length.
func (r *KeyRequest) ForSharedKey(key []byte) (*KeyProtection, error) {
	if len(key) != 32 || len(r.SharedKeyID) == 0 {
		return nil, fmt.Errorf("a shared key of %d bytes for an identifier of %d", len(key), len(r.SharedKeyID))
	}
	p := &KeyProtection{sharedKey: &cms.SharedKey{ID: r.SharedKeyID, Key: key}, strength: 256}
	if r.PKCS12 {
		// PBES2 with AES-256-CBC; there is no key wrap.
		if !r.lists(oidAES256CBC) {
			return nil, noAlgorithm("A PKCS#12 file is encrypted with AES-256-CBC.")
		}
		return p, nil
	}
	if !r.lists(oidAES256Wrap) {
		return nil, noAlgorithm("Shared keys are used with AES-256 key wrap (2.16.840.1.101.3.4.1.45).")
	}
	return p, r.chooseContent(p)
}

// ForCertificate encrypts the key of the answer to a certificate: RSA from 2048 bits by RSAES-OAEP with SHA-256, P-256,
// P-384 and P-521 by ephemeral ECDH with the hash of the curve's size and AES-256 key wrap, with AES-256 content
// encryption (RFC 7030, Section 4.4.2). Its keyUsage has to allow that, or be absent (RFC 7030, Section 4.4.1.2). That
// the certificate is the peer's, valid and not revoked is the caller's to see to.
//
// Errors: an [*Error] with status 400 and [ReasonKeyGenKey] for a certificate that cannot be used, or
// [ReasonKeyGenCapabilities].
func (r *KeyRequest) ForCertificate(c *x509.Certificate) (*KeyProtection, error) {
	p := &KeyProtection{certificate: c, strength: KeyTypeOf(c.PublicKey).Strength()}
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if !mayUse(c, x509.KeyUsageKeyEncipherment) {
			return nil, badKey("Its keyUsage does not have keyEncipherment.")
		}
		if bits := key.N.BitLen(); bits < 2048 || bits > maxRSABits {
			return nil, badKey("Its RSA key has too few or too many bits.")
		}
		if !r.lists(oidOAEP, nullParameters, oaepSHA256) {
			return nil, noAlgorithm("RSA keys are used with RSAES-OAEP, SHA-256.")
		}
	case *ecdsa.PublicKey:
		if !mayUse(c, x509.KeyUsageKeyAgreement) {
			return nil, badKey("Its keyUsage does not have keyAgreement.")
		}
		scheme := agreementScheme(key.Curve)
		if scheme == "" {
			return nil, badKey("Its curve is none of P-256, P-384 and P-521.")
		}
		if !r.listsAgreement(scheme) {
			return nil, noAlgorithm("EC keys are used with ECDH by the KDF over the hash of the curve's size, and AES-256 key wrap.")
		}
	default:
		return nil, badKey("It is none of RSA and EC, and so does not encrypt.")
	}
	return p, r.chooseContent(p)
}

// UnknownKey is the error for every key identifier that the peer may not name, whether it exists or not
// (RFC 7030, Sections 4.4.1.1 and 4.4.1.2): status 400, [ReasonKeyGenKey].
func (r *KeyRequest) UnknownKey() error {
	return refuse(http.StatusBadRequest, ReasonKeyGenKey, sectionKeyGenCSR,
		"The CSR names a key to encrypt with that is not known here for this client. Correct the identifier, or leave the attribute out if the key may travel under TLS alone.")
}

// CheckStrength says whether a key of a kind may go over the peer's connection, encrypted as p says (nil: not): the
// cipher suite and the key exchange have to protect at least as well as the key does (RFC 7030, Section 4.4), or the
// encryption under them has to.
//
// Errors: an [*Error] with status 403 and [ReasonKeyGenStrength].
func (r *KeyRequest) CheckStrength(t KeyType, p *KeyProtection) error {
	connection := connectionStrength(r.Peer.TLS)
	strength := connection
	if p != nil {
		strength = max(strength, p.strength)
	}
	if need := t.Strength(); need > 0 && strength >= need {
		return nil
	}
	return refuse(http.StatusForbidden, ReasonKeyGenStrength, sectionKeyGen, fmt.Sprintf(
		"This connection protects with %d bits, and a %s key has a strength of %d. Connect with AES-256 or ChaCha20 and a stronger key exchange, name a key to encrypt with, or ask for another kind of key.",
		connection, t, t.Strength()))
}

// connectionStrength is that of the cipher suite or of the key exchange, whichever is weaker, in bits; 0 without TLS and
// for what is unknown, suites without encryption among them.
func connectionStrength(cs *tls.ConnectionState) int {
	if cs == nil {
		return 0
	}
	cipher := 0
	switch name := tls.CipherSuiteName(cs.CipherSuite); {
	case strings.Contains(name, "AES_256_GCM"), strings.Contains(name, "CHACHA20_POLY1305"):
		cipher = 256
	case strings.Contains(name, "AES_128_GCM"):
		cipher = 128
	case strings.Contains(name, "AES_256_CBC"):
		cipher = 256
	case strings.Contains(name, "AES_128_CBC"):
		cipher = 128
	}
	exchange := 0
	switch cs.CurveID {
	case tls.X25519, tls.CurveP256:
		exchange = 128
	case tls.CurveP384, tls.X25519MLKEM768, tls.SecP256r1MLKEM768:
		exchange = 192
	case tls.CurveP521, tls.SecP384r1MLKEM1024:
		exchange = 256
	}
	return min(cipher, exchange)
}

// chooseContent takes AES-256 in CBC, which EnvelopedData is made with (RFC 7030, Section 4.4.2), else in GCM, which
// makes AuthEnvelopedData. A client that lists no content encryption at all gets the former.
func (r *KeyRequest) chooseContent(p *KeyProtection) error {
	switch {
	case r.lists(oidAES256CBC) || !r.listsContent():
	case r.lists(oidAES256GCM):
		p.authenticated = true
	default:
		return noAlgorithm("The key is encrypted with AES-256-CBC or AES-256-GCM.")
	}
	return nil
}

// lists tells whether the client listed an algorithm without parameters or with some of those given.
func (r *KeyRequest) lists(oid string, parameters ...string) bool {
	for _, c := range r.capabilities {
		if c.oid != oid {
			continue
		}
		// Parameters of a content encryption are an IV or left out; they choose nothing.
		if c.parameters == "" || len(parameters) == 0 {
			return true
		}
		for _, p := range parameters {
			if c.parameters == p {
				return true
			}
		}
	}
	return false
}

// listsContent tells whether the client listed any content encryption, known or not.
func (r *KeyRequest) listsContent() bool {
	for _, c := range r.capabilities {
		if c.oid == oidTripleDES || c.oid == oidChaCha20 {
			return true
		}
		// Of the AES arc, key wraps end in 5 and 8 modulo 20; the rest are modes of content encryption.
		if last, ok := strings.CutPrefix(c.oid, aesArc); ok && len(last) == 1 && last[0]%20 != 5 && last[0]%20 != 8 {
			return true
		}
	}
	return false
}

// listsAgreement tells whether the client listed the key agreement, with AES-256 key wrap or none as its parameter; or
// listed no key agreement, and that key wrap.
func (r *KeyRequest) listsAgreement(scheme string) bool {
	for _, c := range r.capabilities {
		if strings.HasPrefix(c.oid, oidStdDH) {
			return r.lists(scheme, aes256WrapIdentifier)
		}
	}
	return r.lists(oidAES256Wrap)
}

func agreementScheme(c elliptic.Curve) string {
	switch c {
	case elliptic.P256():
		return oidStdDH + "\x01"
	case elliptic.P384():
		return oidStdDH + "\x02"
	case elliptic.P521():
		return oidStdDH + "\x03"
	}
	return ""
}

// mayUse tells whether the certificate has no keyUsage, or one with the given bit (RFC 7030, Section 4.4.1.2).
func mayUse(c *x509.Certificate, usage x509.KeyUsage) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 15}) {
			return c.KeyUsage&usage != 0
		}
	}
	return true
}

func badKey(why string) *Error {
	return refuse(http.StatusBadRequest, ReasonKeyGenKey, "RFC 7030, Section 4.4.1.2",
		"The certificate that the CSR names cannot be encrypted to. "+why+" Name another one.")
}

func noAlgorithm(what string) *Error {
	return refuse(http.StatusBadRequest, ReasonKeyGenCapabilities, sectionKeyGenAnswer,
		what+" The client's SMIMECapabilities do not list that. Add it if the client has it.")
}
