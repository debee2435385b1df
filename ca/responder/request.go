package responder

import (
	"crypto"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Bounds on a request.
const (
	maxRequest = 16 << 10 // bytes, with a signature and its certificates
	maxCertIDs = 16
	maxNonce   = 128 // bytes (RFC 9654, Section 2.1)
	maxSerial  = 64  // bytes of a serial number that is looked at; certificates have 20 at most
	maxOthers  = 16  // extensions
)

var (
	errMalformed    = errors.New("malformed request")
	errUnauthorized = errors.New("unauthorized")
)

// question is an OCSPRequest (RFC 6960, Section 4.1.1).
type question struct {
	ids   []certID
	nonce []byte // the extension's value; nil for none
}

// certID names a certificate.
type certID struct {
	raw    []byte // as it came, to be copied into the answer
	issuer string // both hashes; empty when the algorithm is none of ours
	serial []byte // big-endian, minimal; nil when it is negative, zero or longer than can be
}

// The DER of object identifiers, without tag and length.
const (
	oidSHA1   = "\x2b\x0e\x03\x02\x1a"
	oidSHA256 = "\x60\x86\x48\x01\x65\x03\x04\x02\x01"
	oidNonce  = "\x2b\x06\x01\x05\x05\x07\x30\x01\x02" // id-pkix-ocsp-nonce (RFC 9654, Section 2.1)
)

// parseRequest reads a request; every error wraps errMalformed.
func parseRequest(der []byte) (*question, error) {
	if len(der) > maxRequest {
		return nil, malformed("longer than %d bytes", maxRequest)
	}
	in := cryptobyte.String(der)
	var request, tbs cryptobyte.String
	if !in.ReadASN1(&request, cbasn1.SEQUENCE) || !in.Empty() || !request.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		return nil, malformed("no OCSPRequest")
	}
	// The signature is anybody's, and changes no answer (RFC 6960, Section 4.1.2).
	if !request.SkipOptionalASN1(explicit(0)) || !request.Empty() {
		return nil, malformed("something follows the TBSRequest")
	}
	var version int
	if !tbs.ReadOptionalASN1Integer(&version, explicit(0), 0) || version != 0 {
		return nil, malformed("not version 1")
	}
	var list cryptobyte.String
	if !tbs.SkipOptionalASN1(explicit(1)) || !tbs.ReadASN1(&list, cbasn1.SEQUENCE) {
		return nil, malformed("no list of certificates")
	}
	q := &question{}
	for !list.Empty() {
		if len(q.ids) == maxCertIDs {
			return nil, malformed("more than %d certificates", maxCertIDs)
		}
		id, err := parseSingle(&list)
		if err != nil {
			return nil, err
		}
		q.ids = append(q.ids, *id)
	}
	if len(q.ids) == 0 {
		return nil, malformed("no certificate is asked about")
	}
	nonce, err := parseExtensions(&tbs, 2)
	if err != nil {
		return nil, err
	}
	q.nonce = nonce
	if !tbs.Empty() {
		return nil, malformed("something follows the extensions")
	}
	return q, nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
}

func explicit(tag uint8) cbasn1.Tag { return cbasn1.Tag(tag).ContextSpecific().Constructed() }

// parseSingle reads one Request.
func parseSingle(list *cryptobyte.String) (*certID, error) {
	var single, raw, id, algorithm, name, key, serial cryptobyte.String
	var oid cryptobyte.String
	if !list.ReadASN1(&single, cbasn1.SEQUENCE) || !single.ReadASN1Element(&raw, cbasn1.SEQUENCE) {
		return nil, malformed("a Request has no CertID")
	}
	element := raw
	if !element.ReadASN1(&id, cbasn1.SEQUENCE) || !id.ReadASN1(&algorithm, cbasn1.SEQUENCE) ||
		!id.ReadASN1(&name, cbasn1.OCTET_STRING) || !id.ReadASN1(&key, cbasn1.OCTET_STRING) ||
		!id.ReadASN1(&serial, cbasn1.INTEGER) || !id.Empty() || !algorithm.ReadASN1(&oid, cbasn1.OBJECT_IDENTIFIER) {
		return nil, malformed("a CertID cannot be read")
	}
	if !algorithm.Empty() && string(algorithm) != "\x05\x00" { // absent, or NULL
		return nil, malformed("a hash algorithm has parameters")
	}
	if _, err := parseExtensions(&single, 0); err != nil {
		return nil, err
	}
	if !single.Empty() {
		return nil, malformed("something follows a CertID")
	}
	if len(serial) > maxSerial || !minimal(serial) {
		return nil, malformed("a serial number is no INTEGER of up to %d bytes", maxSerial)
	}
	out := &certID{raw: raw, serial: natural(serial)}
	hashes := map[string]crypto.Hash{oidSHA1: crypto.SHA1, oidSHA256: crypto.SHA256}
	if h, ok := hashes[string(oid)]; ok && len(name) == h.Size() && len(key) == h.Size() {
		out.issuer = string(name) + string(key)
	}
	return out, nil
}

// minimal tells whether the INTEGER has no needless byte.
func minimal(n []byte) bool {
	return len(n) == 1 || len(n) > 1 && (n[0] != 0 || n[1] >= 0x80) && (n[0] != 0xff || n[1] < 0x80)
}

// natural is the positive INTEGER as certificates on record have it: no sign,
// at most 20 bytes (RFC 5280, Section 4.1.2.2); nil for others.
func natural(n []byte) []byte {
	if n[0] >= 0x80 || len(n) == 1 && n[0] == 0 || len(n) > 20 {
		return nil
	}
	if n[0] == 0 {
		return n[1:]
	}
	return n
}

// parseExtensions reads the extensions under the tag, if they are there, and
// returns the value of a nonce. One that is critical and not known is refused
// (RFC 6960, Section 4.4).
func parseExtensions(in *cryptobyte.String, tag uint8) (nonce []byte, err error) {
	var wrapped, list cryptobyte.String
	var there bool
	if !in.ReadOptionalASN1(&wrapped, &there, explicit(tag)) {
		return nil, malformed("extensions cannot be read")
	}
	if !there {
		return nil, nil
	}
	if !wrapped.ReadASN1(&list, cbasn1.SEQUENCE) || !wrapped.Empty() {
		return nil, malformed("extensions cannot be read")
	}
	for n := 0; !list.Empty(); n++ {
		var one, oid, value cryptobyte.String
		var critical bool
		if n == maxOthers || !list.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1(&oid, cbasn1.OBJECT_IDENTIFIER) ||
			!readCritical(&one, &critical) || !one.ReadASN1(&value, cbasn1.OCTET_STRING) || !one.Empty() {
			return nil, malformed("an extension cannot be read")
		}
		switch {
		case string(oid) == oidNonce && tag == 2:
			if nonce != nil {
				return nil, malformed("two nonces")
			}
			if nonce, err = parseNonce(value); err != nil {
				return nil, err
			}
		case critical:
			return nil, malformed("a critical extension is not known")
		}
	}
	return nonce, nil
}

func readCritical(in *cryptobyte.String, out *bool) bool {
	if !in.PeekASN1Tag(cbasn1.BOOLEAN) {
		return true
	}
	return in.ReadASN1Boolean(out)
}

// parseNonce checks the length, 1 to 128, and returns the extension's value
// whole (RFC 9654, Section 2.1).
func parseNonce(value cryptobyte.String) ([]byte, error) {
	whole := value
	var nonce cryptobyte.String
	if !value.ReadASN1(&nonce, cbasn1.OCTET_STRING) || !value.Empty() {
		return nil, malformed("the nonce is no OCTET STRING")
	}
	if len(nonce) == 0 || len(nonce) > maxNonce {
		return nil, malformed("the nonce has %d bytes; 1 to %d are taken", len(nonce), maxNonce)
	}
	return whole, nil
}
