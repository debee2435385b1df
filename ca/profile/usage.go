package profile

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"math/bits"
	"strings"
)

// keyUsage holds the bits of the KeyUsage extension: 1<<n is bit n of RFC
// 5280, Section 4.2.1.3.
type keyUsage uint16

const (
	usageKeyEncipherment keyUsage = 1 << 2
	usageKeyAgreement    keyUsage = 1 << 4
	usageKeyCertSign     keyUsage = 1 << 5
	usageEncipherOnly    keyUsage = 1 << 7
	usageDecipherOnly    keyUsage = 1 << 8
	usageDataEncipher    keyUsage = 1 << 3
)

// keyUsageWords are in the order of the bits.
func keyUsageWords() []string {
	return []string{
		"digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
		"key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
	}
}

func keyUsageByWord(word string) (keyUsage, bool) {
	for i, w := range keyUsageWords() {
		if w == word {
			return 1 << i, true
		}
	}
	return 0, false
}

// bitString returns the BIT STRING's content: the number of unused bits, then
// the bits, trailing zeros dropped (X.690, Section 11.2.2).
func (u keyUsage) bitString() []byte {
	reversed := bits.Reverse16(uint16(u))
	unused := bits.TrailingZeros16(reversed)
	content := []byte{byte(unused % 8), byte(reversed >> 8)}
	if unused < 8 {
		content = append(content, byte(reversed))
	}
	return content
}

// parseKeyUsage reverses bitString for bits in DER.
func parseKeyUsage(b asn1.BitString) (keyUsage, bool) {
	if b.BitLength == 0 || b.BitLength > 9 || b.At(b.BitLength-1) == 0 {
		return 0, false
	}
	var u keyUsage
	for i := range b.BitLength {
		u |= keyUsage(b.At(i)) << i
	}
	return u, true
}

// extendedKeyUsageByWord knows the words; everything else must be an OID.
func extendedKeyUsageByWord(word string) (asn1.ObjectIdentifier, bool) {
	switch word {
	case "server_auth":
		return oidKP(1), true
	case "client_auth":
		return oidKP(2), true
	case "code_signing":
		return oidKP(3), true
	case "email_protection":
		return oidKP(4), true
	case "time_stamping":
		return oidKP(8), true
	case "ocsp_signing":
		return oidKP(9), true
	case "cmc_ca":
		return oidKP(27), true
	case "cmc_ra":
		return oidKP(28), true
	case "any":
		return asn1.ObjectIdentifier{2, 5, 29, 37, 0}, true
	default:
		return parseOID(word)
	}
}

// CheckUsage refuses a CSR that asks for key usages of which the certificate
// would get none: who asks for keyAgreement is not served with
// digitalSignature (RFC 5272, Section 3.1). Those that it asks for in vain
// beside others, and those that it gets unasked, are no reason. The error wraps
// [ErrKeyUsage] and [ca.ErrRejected].
func (p *Profile) CheckUsage(csr *x509.CertificateRequest) error {
	rule := p.kindRule(csr.PublicKey)
	for _, e := range csr.Extensions {
		if !e.Id.Equal(oidCE(15)) || rule == nil {
			continue
		}
		var b asn1.BitString
		if rest, err := asn1.Unmarshal(e.Value, &b); err != nil || len(rest) > 0 {
			return rejected(ErrKeyUsage, "keyUsage of the request cannot be read")
		}
		var asked keyUsage
		for i := range min(b.BitLength, 9) {
			asked |= keyUsage(b.At(i)) << i
		}
		if asked&rule.usage == 0 {
			return rejected(ErrKeyUsage, "certificates for such a key are for %s, and for nothing that the request asks for", rule.usage.words())
		}
	}
	return nil
}

// words lists the usages as the document writes them.
func (u keyUsage) words() string {
	var words []string
	for i, word := range keyUsageWords() {
		if u&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}

// Usages returns what certificates of the profile for such a key are for: the
// key usage, and the extended ones in the profile's order. A key of a kind that
// the profile does not take has no key usage.
func (p *Profile) Usages(pub crypto.PublicKey) (usage x509.KeyUsage, extended []asn1.ObjectIdentifier) {
	if rule := p.kindRule(pub); rule != nil {
		usage = x509.KeyUsage(rule.usage) // the same bits
	}
	for _, word := range p.doc.ExtendedKeyUsage {
		if id, ok := extendedKeyUsageByWord(word); ok {
			extended = append(extended, id)
		}
	}
	return usage, extended
}
