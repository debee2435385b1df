package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"strconv"

	"github.com/briskest/briskest/internal/cms"
)

// serverKeyGen has the server make a P-256 key, which is sent under TLS alone.
func serverKeyGen() *Op {
	return &Op{
		Name: "serverkeygen", Kept: true, mediaType: "application/pkcs10",
		FloorIs: "TLS as the registrar's, base64, CSR parse (its signature is ignored), ecdsa.GenerateKey with P-256, crypto/x509.CreateCertificate with P-256, " +
			"PKCS#8 and certs-only in a multipart answer; no policy, no database, no disk",
		prepare: func(_ context.Context, _ *Target, n int) ([]request, error) {
			made, _, err := namedRequests(n)
			requests := make([]request, n)
			for i := range made {
				requests[i].body = made[i].body
			}
			return requests, err
		},
		answers: func(f *floor) http.HandlerFunc { return f.generate },
	}
}

// generate is serverkeygen with everything left out that can be left out.
func (f *floor) generate(w http.ResponseWriter, r *http.Request) {
	body, err := f.generated(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "multipart/mixed; boundary=floor")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

func (f *floor) generated(r *http.Request) ([]byte, error) {
	csr, err := readCSR(r)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := f.sign(csr, key.Public())
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	certs, err := cms.CertsOnly(der)
	if err != nil {
		return nil, err
	}
	body := []byte("--floor\r\nContent-Type: application/pkcs8\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	body = base64.StdEncoding.AppendEncode(body, pkcs8)
	body = append(body, "\r\n--floor\r\nContent-Type: application/pkcs7-mime; smime-type=certs-only\r\nContent-Transfer-Encoding: base64\r\n\r\n"...)
	body = base64.StdEncoding.AppendEncode(body, certs)
	return append(body, "\r\n--floor--\r\n"...), nil
}
