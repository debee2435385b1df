package estserver

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
)

// newCSR makes the DER of a CSR.
func newCSR(key crypto.Signer, template *x509.CertificateRequest) ([]byte, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, fmt.Errorf("CSR: %w", err)
	}
	return csr, nil
}

// plainCSR is a CSR for the target's name with the key of the run.
func (t *Target) plainCSR() (crypto.Signer, []byte, error) {
	key, err := t.key()
	if err != nil {
		return nil, nil, err
	}
	csr, err := newCSR(key, &x509.CertificateRequest{Subject: t.subject()})
	return key, csr, err
}

// encode returns base64 in one line with a final newline (RFC 8951, Section 3.1).
func encode(der []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(nil, der), '\n')
}

// Object identifiers in DER.
var (
	oidChallengePassword = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}         // RFC 2985, Section 5.4.1
	oidExtensionRequest  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14}        // RFC 2985, Section 5.4.2
	oidIdentityLinking   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 58} // RFC 7894, Section 2.3
	oidTemplate          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 61} // RFC 9908, Section 3.4
	oidExtensionTemplate = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 62} // RFC 9908, Section 3.4
	oidSMIMECapabilities = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 15}        // RFC 8551, Section 2.5.2
	oidDecryptKeyID      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 37} // RFC 7030, Section 4.4.1.1
	oidAsymDecryptKeyID  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 54} // RFC 7030, Section 4.4.1.2
	oidChangeSubjectName = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 7, 36}         // RFC 6402, Section 2.8
	oidUnstructuredName  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 2}         // RFC 2985, Section 5.4.3
	oidSubjectAltName    = asn1.ObjectIdentifier{2, 5, 29, 17}                       // RFC 5280, Section 4.2.1.6
	oidKeyUsage          = asn1.ObjectIdentifier{2, 5, 29, 15}                       // RFC 5280, Section 4.2.1.3
	oidBasicConstraints  = asn1.ObjectIdentifier{2, 5, 29, 19}                       // RFC 5280, Section 4.2.1.9
	oidExtendedKeyUsage  = asn1.ObjectIdentifier{2, 5, 29, 37}                       // RFC 5280, Section 4.2.1.12
	oidCMCRA             = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28}         // RFC 6402, Section 2.10
	oidECDSAWithSHA256   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}          // RFC 5758, Section 3.2
	oidAES256Wrap        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 45}    // RFC 3565, Section 2.3.2
)

// Tags of ASN.1.
const (
	tagSequence  = 0x30
	tagSet       = 0x31
	tagOctets    = 0x04
	tagBits      = 0x03
	tagUTF8      = 0x0c
	tagPrintable = 0x13
)

// heading is tag and length.
func heading(tag byte, n int) []byte {
	switch {
	case n < 0x80:
		return []byte{tag, byte(n)}
	case n < 0x100:
		return []byte{tag, 0x81, byte(n)}
	case n < 0x10000:
		return []byte{tag, 0x82, byte(n >> 8), byte(n)}
	default:
		return []byte{tag, 0x83, byte(n >> 16), byte(n >> 8), byte(n)}
	}
}

// tlv is the DER of a value with its parts.
func tlv(tag byte, parts ...[]byte) []byte {
	value := bytes.Join(parts, nil)
	return append(heading(tag, len(value)), value...)
}

// oid is the DER of an object identifier.
func oid(id asn1.ObjectIdentifier) []byte {
	der, err := asn1.Marshal(id)
	if err != nil {
		panic("conformance: internal error: " + err.Error()) // the identifiers are constants
	}
	return der
}

// attribute is one of a CSR (RFC 2986, Section 4.1).
func attribute(id asn1.ObjectIdentifier, values ...[]byte) []byte {
	return tlv(tagSequence, oid(id), tlv(tagSet, values...))
}

// extension is one that is asked for (RFC 5280, Section 4.1).
func extension(id asn1.ObjectIdentifier, critical bool, value []byte) []byte {
	if critical {
		return tlv(tagSequence, oid(id), []byte{1, 1, 0xff}, tlv(tagOctets, value))
	}
	return tlv(tagSequence, oid(id), tlv(tagOctets, value))
}

// extensionRequest is the attribute for extensions (RFC 2985, Section 5.4.2).
func extensionRequest(extensions ...[]byte) []byte {
	return attribute(oidExtensionRequest, tlv(tagSequence, extensions...))
}

// dnsNames is the value of a SubjectAltName.
func dnsNames(names ...string) []byte {
	var parts [][]byte
	for _, n := range names {
		parts = append(parts, tlv(0x82, []byte(n)))
	}
	return tlv(tagSequence, parts...)
}

// forgedCSR is a CSR made field by field, as no library would, under a
// signature that verifies.
type forgedCSR struct {
	version      byte
	subject      []byte   // DER of a Name
	spki         []byte   // DER of a SubjectPublicKeyInfo
	attributes   [][]byte // in this order
	noAttributes bool     // leave the field out
	badSignature bool
	signer       crypto.Signer // signs in place of the key
	after        []byte        // follows the CSR
}

// forge begins a good CSR for the target's name.
func (t *Target) forge(key crypto.Signer) (*forgedCSR, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("CSR: %w", err)
	}
	subject, err := nameOf(t.subject())
	return &forgedCSR{subject: subject, spki: spki}, err
}

func nameOf(n pkix.Name) ([]byte, error) {
	der, err := asn1.Marshal(n.ToRDNSequence())
	if err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	return der, nil
}

// der signs the CSR with ECDSA and SHA-256.
func (f *forgedCSR) der(key crypto.Signer) ([]byte, error) {
	if f.signer != nil {
		key = f.signer
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("CSR: the key is %T, want ECDSA", key)
	}
	parts := [][]byte{{2, 1, f.version}, f.subject, f.spki}
	if !f.noAttributes {
		parts = append(parts, tlv(0xa0, f.attributes...))
	}
	info := tlv(tagSequence, parts...)
	digest := sha256.Sum256(info)
	signature, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
	if err != nil {
		return nil, fmt.Errorf("CSR: %w", err)
	}
	if f.badSignature {
		signature[len(signature)-1] ^= 1
	}
	algorithm := tlv(tagSequence, oid(oidECDSAWithSHA256))
	csr := tlv(tagSequence, info, algorithm, tlv(tagBits, []byte{0}, signature))
	return append(csr, f.after...), nil
}
