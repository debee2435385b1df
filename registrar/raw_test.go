package registrar_test

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/briskest/briskest/ca"
)

// base64CSR makes a CSR by hand whose challengePassword is the base64 of link:
// crypto/x509 cannot write that attribute (RFC 2985, Section 5.4.1).
func base64CSR(t testing.TB, link []byte) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	return base64CSRFor(t, key, link)
}

// base64CSRFor is base64CSR for a key.
func base64CSRFor(t testing.TB, key *ecdsa.PrivateKey, link []byte) string {
	t.Helper()
	plain, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "linked"}}, key)
	check(t, err)
	parsed, err := x509.ParseCertificateRequest(plain)
	check(t, err)
	type attribute struct {
		Type   asn1.ObjectIdentifier
		Values []string `asn1:"set"`
	}
	info, err := asn1.Marshal(struct {
		Version    int
		Subject    asn1.RawValue
		PublicKey  asn1.RawValue
		Attributes []attribute `asn1:"tag:0,set"`
	}{
		Subject: asn1.RawValue{FullBytes: parsed.RawSubject}, PublicKey: asn1.RawValue{FullBytes: parsed.RawSubjectPublicKeyInfo},
		Attributes: []attribute{{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}, []string{base64.StdEncoding.EncodeToString(link)}}},
	})
	check(t, err)
	digest := sha256Sum(info)
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest)
	check(t, err)
	whole, err := asn1.Marshal(struct {
		Info      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{
		asn1.RawValue{FullBytes: info}, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
		asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)},
	})
	check(t, err)
	return base64.StdEncoding.EncodeToString(whole)
}

// roundTrip sends a request on the connection and returns the status.
func roundTrip(t testing.TB, conn *tls.Conn, r *http.Request) int {
	t.Helper()
	check(t, r.Write(conn))
	response, err := http.ReadResponse(bufio.NewReader(conn), r)
	check(t, err)
	defer response.Body.Close()
	return response.StatusCode
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sha256Sum(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

// publicOnly is a key of which a CA only needs the public half.
type publicOnly struct{ r *ca.Request }

func (p *publicOnly) Public() crypto.PublicKey { return p.r.PublicKey }
func (*publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("not ours to sign with")
}
