package est

import (
	"crypto/x509"
	"math/bits"
	"net/http"
	"strconv"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Contents of the OBJECT IDENTIFIERs of the attributes that say how a generated key is to be encrypted.
const (
	oidDecryptKeyID     = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x25" // 1.2.840.113549.1.9.16.2.37 (RFC 4108, Section 2.2.5)
	oidAsymDecryptKeyID = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x36" // 1.2.840.113549.1.9.16.2.54 (RFC 7030, Section 4.4.1.2)
	oidCapabilities     = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0f"         // 1.2.840.113549.1.9.15 (RFC 8551, Section 2.5.2)
)

// Bounds on what a CSR says about encryption.
const (
	maxKeyID        = 128 // bytes
	maxCapabilities = 64
	maxCapability   = 256 // bytes of one
)

const (
	sectionKeyGen       = "RFC 7030, Section 4.4"
	sectionKeyGenCSR    = "RFC 7030, Section 4.4.1"
	sectionKeyGenAnswer = "RFC 7030, Section 4.4.2"
)

// capability is one of SMIMECapabilities: the content of its OBJECT IDENTIFIER, and its parameters as sent.
type capability struct {
	oid        string
	parameters string
}

// noKey is the SubjectPublicKeyInfo that stands in for the CSR's: an Ed25519 key of zeros (RFC 8410, Section 4).
const noKey = "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// parse reads the CSR of a serverkeygen: as ParseCSR, but that key and signature are ignored (RFC 7030, Section 4.4.1),
// whatever they are: nothing here can mistake the CSR's key for the generated one, because it is gone.
func (r *KeyRequest) parse(der []byte) *Error {
	if len(der) > maxCSR {
		return csrTooLarge()
	}
	scan, e := scanCSR(der)
	if e != nil {
		return e
	}
	keyless, spki, attributes, ok := withoutKey(der)
	if !ok {
		return notCSR(errDER)
	}
	parsed, err := x509.ParseCertificateRequest(keyless)
	if err != nil {
		return notCSR(err)
	}
	parsed.Raw, parsed.RawSubjectPublicKeyInfo = der, nil
	parsed.PublicKey, parsed.PublicKeyAlgorithm = nil, x509.UnknownPublicKeyAlgorithm
	if e := checkCSRNames(parsed); e != nil {
		return e
	}
	r.CSR = scan.csr(parsed)
	r.Wish = wishedKey(spki)
	return r.parseAttributes(attributes)
}

// withoutKey returns the CSR with noKey in place of its key, the key, and the attributes. The CSR has been scanned.
func withoutKey(der []byte) (keyless []byte, spki, attributes cryptobyte.String, ok bool) {
	input := cryptobyte.String(der)
	var outer, info, version, subject, list cryptobyte.String
	tag := asn1.Tag(0).ContextSpecific().Constructed()
	if !input.ReadASN1(&outer, asn1.SEQUENCE) || !outer.ReadASN1(&info, asn1.SEQUENCE) ||
		!info.ReadASN1Element(&version, asn1.INTEGER) || !info.ReadASN1Element(&subject, asn1.SEQUENCE) ||
		!info.ReadASN1(&spki, asn1.SEQUENCE) || !info.ReadASN1Element(&list, tag) || !info.Empty() {
		return nil, nil, nil, false
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(der)+len(noKey)))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(version)
			b.AddBytes(subject)
			b.AddBytes([]byte(noKey))
			b.AddBytes(list)
		})
		b.AddBytes(outer)
	})
	keyless, err := b.Bytes()
	if err != nil || !list.ReadASN1(&attributes, tag) {
		return nil, nil, nil, false
	}
	return keyless, spki, attributes, true
}

// wishedKey reads the kind of the CSR's key, and nothing of its value but an RSA modulus' length; empty where there is
// nothing to be wished for.
func wishedKey(spki cryptobyte.String) KeyType {
	var algorithm, oid, curve, key, sequence, modulus cryptobyte.String
	if !spki.ReadASN1(&algorithm, asn1.SEQUENCE) || !algorithm.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) {
		return ""
	}
	switch string(oid) {
	case "\x2b\x65\x70": // id-Ed25519 (RFC 8410, Section 3)
		return Ed25519
	case "\x2a\x86\x48\xce\x3d\x02\x01": // id-ecPublicKey (RFC 5480, Section 2.1.1)
		if !algorithm.ReadASN1(&curve, asn1.OBJECT_IDENTIFIER) {
			return ""
		}
		switch string(curve) {
		case "\x2a\x86\x48\xce\x3d\x03\x01\x07":
			return P256
		case "\x2b\x81\x04\x00\x22":
			return P384
		case "\x2b\x81\x04\x00\x23":
			return P521
		}
	case "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01": // rsaEncryption (RFC 3279, Section 2.3.1)
		if !spki.ReadASN1(&key, asn1.BIT_STRING) || len(key) == 0 || key[0] != 0 {
			return ""
		}
		key = key[1:]
		if !key.ReadASN1(&sequence, asn1.SEQUENCE) || !sequence.ReadASN1(&modulus, asn1.INTEGER) {
			return ""
		}
		for len(modulus) > 0 && modulus[0] == 0 {
			modulus = modulus[1:]
		}
		if len(modulus) == 0 || len(modulus) > maxRSABits/8 {
			return ""
		}
		return KeyType("rsa" + strconv.Itoa(8*(len(modulus)-1)+bits.Len8(modulus[0])))
	}
	return ""
}

// parseAttributes reads which key the answer is to be encrypted with, and how (RFC 7030, Sections 4.4.1.1 and 4.4.1.2).
func (r *KeyRequest) parseAttributes(attributes cryptobyte.String) *Error {
	listed := false
	for !attributes.Empty() {
		var attribute, oid, values cryptobyte.String
		if !attributes.ReadASN1(&attribute, asn1.SEQUENCE) || !attribute.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) ||
			!attribute.ReadASN1(&values, asn1.SET) {
			return notCSR(errDER)
		}
		ok := true
		switch string(oid) {
		case oidDecryptKeyID:
			ok = r.SharedKeyID == nil && readKeyID(values, &r.SharedKeyID)
		case oidAsymDecryptKeyID:
			ok = r.CertificateKeyID == nil && readKeyID(values, &r.CertificateKeyID)
		case oidCapabilities:
			ok = !listed && r.readCapabilities(values)
			listed = true
		}
		if !ok {
			return refuse(http.StatusBadRequest, ReasonKeyGenAttribute, sectionKeyGenCSR,
				"An attribute of the CSR that says how to encrypt the key cannot be read: one OCTET STRING of 1 to 128 bytes for a key identifier, one list of up to 64 algorithms for SMIMECapabilities, each attribute once.")
		}
	}
	named := r.SharedKeyID != nil || r.CertificateKeyID != nil
	switch {
	case r.SharedKeyID != nil && r.CertificateKeyID != nil:
		return refuse(http.StatusBadRequest, ReasonKeyGenAttribute, sectionKeyGenCSR,
			"The CSR names both a symmetric and an asymmetric key to encrypt with. Name one.")
	case named && !listed:
		return refuse(http.StatusBadRequest, ReasonKeyGenCapabilities, sectionKeyGenCSR,
			"The CSR names a key to encrypt with and lists no algorithms. Add the attribute SMIMECapabilities.")
	case r.PKCS12 && r.CertificateKeyID != nil:
		return refuse(http.StatusBadRequest, ReasonKeyGenPKCS12, "RFC 8295, Section 8",
			"A PKCS#12 file is encrypted with a shared key only. Name one with DecryptKeyIdentifier, or leave \"Accept: application/pkcs12\" out.")
	}
	return nil
}

func readKeyID(values cryptobyte.String, into *[]byte) bool {
	var id cryptobyte.String
	if !values.ReadASN1(&id, asn1.OCTET_STRING) || !values.Empty() || len(id) == 0 || len(id) > maxKeyID {
		return false
	}
	*into = []byte(string(id))
	return true
}

// readCapabilities reads SMIMECapabilities (RFC 8551, Section 2.5.2).
func (r *KeyRequest) readCapabilities(values cryptobyte.String) bool {
	var list cryptobyte.String
	if !values.ReadASN1(&list, asn1.SEQUENCE) || !values.Empty() {
		return false
	}
	for !list.Empty() {
		var one, oid cryptobyte.String
		if len(r.capabilities) == maxCapabilities || !list.ReadASN1(&one, asn1.SEQUENCE) || len(one) > maxCapability ||
			!one.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) {
			return false
		}
		r.capabilities = append(r.capabilities, capability{string(oid), string(one)})
	}
	return true
}
