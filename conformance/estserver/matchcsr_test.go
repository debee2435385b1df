package estserver_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"

	"github.com/briskest/briskest/conformance/estserver"
	"github.com/briskest/briskest/est"
)

// rawCSR reads a CSR's parts without looking at them.
type rawCSR struct {
	Info      asn1.RawValue
	Algorithm asn1.RawValue
	Signature asn1.BitString
}

// trailing is how many bytes follow the first element of der.
func trailing(der []byte) int {
	var raw asn1.RawValue
	rest, err := asn1.Unmarshal(der, &raw)
	if err != nil {
		return 0
	}
	return len(rest)
}

// infoOf is the elements of the CertificationRequestInfo.
func infoOf(der []byte) []asn1.RawValue {
	var csr rawCSR
	if _, err := asn1.Unmarshal(der, &csr); err != nil {
		return nil
	}
	var parts []asn1.RawValue
	for rest := csr.Info.Bytes; len(rest) > 0; {
		var raw asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &raw); err != nil {
			return nil
		}
		parts = append(parts, raw)
	}
	return parts
}

func versionOf(der []byte) int {
	if parts := infoOf(der); len(parts) > 2 && len(parts[0].Bytes) == 1 {
		return int(parts[0].Bytes[0])
	}
	return -1
}

func noAttributes(der []byte) bool { return len(infoOf(der)) == 3 }

// wellSigned reports whether the signature, with its last bit the other way, is the
// own key's.
func wellSigned(body []byte) bool {
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(body)), ""))
	if err != nil {
		return false
	}
	var csr rawCSR
	if _, err := asn1.Unmarshal(raw, &csr); err != nil {
		return false
	}
	parsed, err := x509.ParseCertificateRequest(raw)
	if err != nil {
		return false
	}
	key, ok := parsed.PublicKey.(*ecdsa.PublicKey)
	signature := bytes.Clone(csr.Signature.Bytes)
	signature[len(signature)-1] ^= 1
	digest := sha256.Sum256(csr.Info.FullBytes)
	return ok && ecdsa.VerifyASN1(key, digest[:], signature)
}

// reissues answers those enrollments with a certificate of that template.
func reissues(m match, template *x509.Certificate) fault {
	return rewrites(enroll().and(m), func(a *reply) {
		copied := *template
		copied.RawSubject = a.csr.RawSubject
		a.certificate(&copied, a.csr.PublicKey)
	})
}

// reissuesNUL copies the name with the NUL byte.
func reissuesNUL(h *house) {
	san := append([]byte{0x30, 0x23, 0x82, 0x21}, "conformance.example\x00.evil.example"...)
	reissues(holdsAny([]byte("conformance.example\x00")), &x509.Certificate{
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: san}},
	})(h)
}

// fallsOver answers nothing but errors once it was sent five bodies in PEM.
func fallsOver(h *house) {
	var mu sync.Mutex
	n := 0
	wrap(func(_ *house, next http.Handler, w http.ResponseWriter, r *http.Request) {
		body := take(r)
		mu.Lock()
		if strings.Contains(string(body), "BEGIN X") {
			n++
		}
		down := n >= 5 && on(est.OpCACerts)(r, nil) && n < 6
		if down {
			n++
		}
		mu.Unlock()
		if down {
			http.Error(w, "down", http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, r)
	})(h)
}

// once answers the first of those requests as ever, and each other one with a status.
func once(m match, code int) fault {
	var mu sync.Mutex
	seen := false
	return wrap(func(_ *house, next http.Handler, w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		again := seen && m(r, nil)
		seen = seen || m(r, nil)
		mu.Unlock()
		if again {
			http.Error(w, "again?", code)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// certsOf reads the certificates of an answer.
func certsOf(body []byte) ([]*x509.Certificate, error) { return estserver.DecodeCertsOnly(body) }

// leaf is the client's certificate; nil for none.
func leaf(r *http.Request) *x509.Certificate {
	if len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	return r.TLS.PeerCertificates[0]
}

func selfSigned(r *http.Request, _ []byte) bool {
	c := leaf(r)
	return c != nil && bytes.Equal(c.RawIssuer, c.RawSubject) && len(r.TLS.PeerCertificates) == 1
}

func isAuthority(r *http.Request, _ []byte) bool {
	c := leaf(r)
	return c != nil && isRA(c) && c.Issuer.CommonName == "EST test CA"
}

func issuerNamed(name string) match {
	return func(r *http.Request, _ []byte) bool { c := leaf(r); return c != nil && c.Issuer.CommonName == name }
}

// withIssuer picks clients that sent the issuer along, a CA or not.
func withIssuer(ca bool) match {
	return func(r *http.Request, _ []byte) bool {
		return len(r.TLS.PeerCertificates) == 2 && r.TLS.PeerCertificates[1].IsCA == ca
	}
}
