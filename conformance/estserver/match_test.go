package estserver_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/briskest/briskest/est"
)

// enroll picks enrollments, of a client with its password or certificate.
func enroll() match { return on(est.OpSimpleEnroll).and(known) }

func reenroll() match { return on(est.OpSimpleReenroll) }

// known is a request with credentials.
func known(r *http.Request, _ []byte) bool {
	return r.Header.Get("Authorization") != "" || len(r.TLS.PeerCertificates) > 0
}

func not(m match) match { return func(r *http.Request, body []byte) bool { return !m(r, body) } }

func method(name string) match {
	return func(r *http.Request, _ []byte) bool { return r.Method == name }
}

// path picks requests whose path, as it was sent, is one of these below the prefix.
func path(paths ...string) match {
	return func(r *http.Request, _ []byte) bool {
		for _, p := range paths {
			if r.URL.EscapedPath() == est.PathPrefix+p {
				return true
			}
		}
		return false
	}
}

func field(name, value string) match {
	return func(r *http.Request, _ []byte) bool { return r.Header.Get(name) == value }
}

func mediaType(name string) match { return field("Content-Type", name) }

// written picks bodies by their text.
func written(f func(text string) bool) match {
	return func(_ *http.Request, body []byte) bool { return f(string(body)) }
}

func contains(part string) match {
	return written(func(text string) bool { return strings.Contains(text, part) })
}

// holds picks bodies by their DER, as far as they are base64.
func holds(f func(der []byte) bool) match {
	return func(_ *http.Request, body []byte) bool {
		raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(body)), ""))
		return err == nil && f(raw)
	}
}

// times picks bodies whose DER has these bytes that often.
func times(n int, part []byte) match {
	return holds(func(der []byte) bool { return bytes.Count(der, part) == n })
}

// asked picks well-formed CSRs.
func asked(f func(*x509.CertificateRequest) bool) match {
	return func(_ *http.Request, body []byte) bool {
		csr := readCSR(body)
		return csr != nil && f(csr)
	}
}

func subject(commonName string) match {
	return asked(func(csr *x509.CertificateRequest) bool { return csr.Subject.CommonName == commonName })
}

// somebodyElse picks CSRs for a name that none of the clients has.
func somebodyElse() match { return subject("briskest-somebody-else") }

// garbage is what holds no CSR.
func garbage(r *http.Request, body []byte) bool {
	return r.Method == http.MethodPost && readCSR(body) == nil
}

// der is the DER of an object identifier.
func oid(numbers ...int) []byte {
	b, err := asn1.Marshal(asn1.ObjectIdentifier(numbers))
	if err != nil {
		panic(err)
	}
	return b
}

var (
	passwordOID  = oid(1, 2, 840, 113549, 1, 9, 7)
	linkOID      = oid(1, 2, 840, 113549, 1, 9, 16, 2, 58)
	requestOID   = oid(1, 2, 840, 113549, 1, 9, 14)
	changeOID    = oid(1, 3, 6, 1, 5, 5, 7, 7, 36)
	keyUsageOID  = oid(2, 5, 29, 15)
	sharedKeyOID = oid(1, 2, 840, 113549, 1, 9, 16, 2, 37)
	asymKeyOID   = oid(1, 2, 840, 113549, 1, 9, 16, 2, 54)
	capsOID      = oid(1, 2, 840, 113549, 1, 9, 15)
)

// link is the first value of challengePassword in a CSR; "" for none.
func link(der []byte, id []byte) string {
	_, rest, found := bytes.Cut(der, id)
	if !found || len(rest) < 4 {
		return ""
	}
	for _, tag := range []byte{0x13, 0x0c} { // PrintableString, UTF8String
		if at := bytes.IndexByte(rest[:8], tag); at > 0 {
			n, text := int(rest[at+1]), rest[at+2:]
			if n == 0x82 {
				n, text = int(rest[at+2])<<8|int(rest[at+3]), rest[at+4:]
			}
			if n <= len(text) {
				return string(text[:n])
			}
		}
	}
	return ""
}

// linked picks CSRs by their challengePassword, or estIdentityLinking.
func linked(id []byte, f func(text string, r *http.Request) bool) match {
	return func(r *http.Request, body []byte) bool {
		raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(body)), ""))
		if err != nil {
			return false
		}
		text := link(raw, id)
		return text != "" && f(text, r)
	}
}

// refusing answers 400 to those requests.
func refusing(m match) fault { return replies(m, http.StatusBadRequest, "text/plain", "No.") }
