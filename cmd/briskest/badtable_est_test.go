package main_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

const estRoot = "/.well-known/est"

// pathRequests are paths that look like an operation and are none.
func (b *badBench) pathRequests() []badRequest {
	var table []badRequest
	for _, p := range []struct{ path, reason string }{
		{estRoot + "//cacerts", "path-slash"},
		{estRoot + "/cacerts/", "path-slash"},
		{estRoot + "/./cacerts", "path-dots"},
		{estRoot + "/x/../cacerts", "path-dots"},
		{estRoot + "/%2e%2e/cacerts", "path-encoding"},
		{estRoot + "/a%2Fb/cacerts", "path-encoding"},
		{estRoot + "/cacert%73", "path-encoding"},
		{estRoot + "/cacerts;x=1", "path-operation"},
		{estRoot + "/CACERTS", "path-operation"},
		{estRoot + "/csrattributes", "path-operation"},
		{estRoot + "/a/b/cacerts", "path-segments"},
		{estRoot + "/simpleenroll/cacerts", "path-label"},
		{estRoot + "/" + strings.Repeat("l", 300) + "/cacerts", "path-label"},
		{estRoot, "path-operation"},
	} {
		table = append(table, badRequest{name: "path " + p.path[:min(len(p.path), 60)], method: "GET", path: p.path, status: 404, reason: p.reason})
	}
	return append(table,
		badRequest{name: "label unknown", method: "GET", path: estRoot + "/nolabel/cacerts", status: 404, reason: "unknown-label"},
		badRequest{name: "serverkeygen without a media type", method: "POST", path: estRoot + "/serverkeygen", body: []byte("x"), status: 415, reason: "media-type"},
		badRequest{name: "serverkeygen GET", method: "GET", path: estRoot + "/serverkeygen", status: 405, reason: "method-not-allowed"},
		badRequest{name: "serverkeygen/return without a media type", method: "POST", path: estRoot + "/serverkeygen/return", status: 415, reason: "media-type"},
		badRequest{name: "fullcmc without its media type", method: "POST", path: estRoot + "/fullcmc", status: 415, reason: "media-type"},
	)
}

// readRequests are aimed at cacerts and csrattrs.
func (b *badBench) readRequests() []badRequest {
	var table []badRequest
	for _, op := range []string{"cacerts", "csrattrs"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"} {
			table = append(table, badRequest{name: op + " " + method, method: method, path: estRoot + "/" + op, status: 405, reason: "method-not-allowed"})
		}
	}
	return table
}

// enrollRequests are aimed at simpleenroll and simplereenroll.
func (b *badBench) enrollRequests() []badRequest {
	t := b.t
	good := csr(t, "bad-table")
	key := p256(t)
	basic := map[string]string{"Content-Type": "application/pkcs10", "Authorization": b.basic}
	plain := map[string]string{"Content-Type": "application/pkcs10"}
	with := func(name, value string) map[string]string {
		return map[string]string{"Content-Type": "application/pkcs10", "Authorization": b.basic, name: value}
	}
	der, err := base64.StdEncoding.DecodeString(string(good))
	if err != nil {
		t.Fatal(err)
	}
	var table []badRequest
	for _, op := range []string{"simpleenroll", "simplereenroll"} {
		path := estRoot + "/" + op
		post := func(name string, header map[string]string, body []byte, cert *tls.Certificate, status int, reason string) {
			table = append(table, badRequest{op + " " + name, "POST", path, header, body, cert, status, reason})
		}
		table = append(table,
			badRequest{name: op + " GET", method: "GET", path: path, status: 405, reason: "method-not-allowed"},
			badRequest{name: op + " PUT", method: "PUT", path: path, header: basic, body: good, status: 405, reason: "method-not-allowed"})
		post("without Content-Type", map[string]string{"Authorization": b.basic}, good, nil, 415, "media-type")
		post("as JSON", with("Content-Type", "application/json"), good, nil, 415, "media-type")
		post("compressed", with("Content-Encoding", "gzip"), good, nil, 415, "content-encoding")
		post("empty", basic, nil, nil, 400, "body-empty")
		post("of blanks", basic, []byte(" \r\n\t\n"), nil, 400, "body-empty")
		post("PEM", basic, pemOf(t, good), nil, 400, "body-pem")
		post("raw DER", basic, der, nil, 400, "body-der")
		post("not base64", basic, []byte("!!!!"+string(good)), nil, 400, "body-base64")
		post("of 300 kB", basic, bytes.Repeat([]byte("QUJD"), 75000), nil, 413, "body-too-large")
		post("truncated", basic, good[:len(good)/2/4*4], nil, 400, "csr-syntax")
		post("with trailing bytes", basic, base64.StdEncoding.AppendEncode(nil, append(bytes.Clone(der), 5, 0)), nil, 400, "csr-trailing-bytes")
		post("with a broken signature", basic, broken(t, good), nil, 400, "csr-signature")
		post("with a NUL in the name", basic, csrOf(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "a\x00b"}}, key), nil, 400, "csr-name")
		nothing := badRequest{status: 401, reason: "no-credentials"}
		wrong := badRequest{status: 401, reason: "bad-credentials"}
		untrusted, expired := badRequest{status: 401, reason: "no-credentials"}, "no-credentials"
		if op == "simplereenroll" {
			// Only the certificate to be renewed helps here.
			wrong = badRequest{status: 403, reason: "no-client-certificate"}
			nothing = wrong
			untrusted, expired = badRequest{status: 403, reason: "certificate-untrusted"}, "certificate-expired"
		}
		post("without credentials", plain, good, nil, nothing.status, nothing.reason)
		post("with a wrong password", map[string]string{"Content-Type": "application/pkcs10", "Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("nobody:wrong"))}, good, nil, wrong.status, wrong.reason)
		post("with Bearer", map[string]string{"Content-Type": "application/pkcs10", "Authorization": "Bearer abc"}, good, nil, nothing.status, nothing.reason)
		post("by a foreign CA's certificate", plain, good, b.foreign, untrusted.status, untrusted.reason)
		post("by an expired certificate of a foreign CA", plain, good, b.expired, untrusted.status, expired)
	}
	enroll := func(name string, header map[string]string, body []byte, cert *tls.Certificate, status int, reason string) {
		table = append(table, badRequest{"simpleenroll " + name, "POST", estRoot + "/simpleenroll", header, body, cert, status, reason})
	}
	enroll("with an RSA key of 1024 bits", basic, csrOf(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "weak"}}, smallRSA(t)), nil, 400, "key-refused")
	enroll("for a country", basic, csrOf(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "x", Country: []string{"XX"}}}, key), nil, 400, "names-refused")
	enroll("for an e-mail address", basic, csrOf(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "x"}, EmailAddresses: []string{"a@example.com"}}, key), nil, 400, "names-refused")
	enroll("for a wildcard", basic, csrOf(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "x"}, DNSNames: []string{"*.example.com"}}, key), nil, 400, "names-refused")
	enroll("for no name", basic, csrOf(t, &x509.CertificateRequest{}, key), nil, 400, "names-refused")
	enroll("by an IDevID for another serial number", plain, csrOf(t, &x509.CertificateRequest{Subject: pkix.Name{SerialNumber: "SOMEBODY-ELSE"}}, key), b.idevid, 403, "serial-number-mismatch")
	enroll("by an LDevID for another name", plain, csr(t, "somebody-else"), b.ldevid, 403, "reenroll-subject")
	table = append(table, badRequest{
		"simplereenroll by an LDevID for another name", "POST", estRoot + "/simplereenroll", plain, csr(t, "somebody-else"), b.ldevid, 403, "reenroll-subject",
	})
	return table
}

// foreignCertificates are client certificates of a CA nobody here knows: one
// valid, one expired.
func foreignCertificates(t *testing.T) (valid, expired *tls.Certificate) {
	t.Helper()
	caKey := p256(t)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Foreign CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	issue := func(serial int64, notAfter time.Time) *tls.Certificate {
		key := p256(t)
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("foreign-", serial)},
			NotBefore: ca.NotBefore, NotAfter: notAfter, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv6loopback},
		}
		return sign(t, leaf, ca, key, caKey)
	}
	return issue(2, ca.NotAfter), issue(3, time.Now().Add(-24*time.Hour))
}

func sign(t *testing.T, leaf, ca *x509.Certificate, key, caKey *ecdsa.PrivateKey) *tls.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
