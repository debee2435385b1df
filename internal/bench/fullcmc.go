package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strconv"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
)

// fullCMC enrolls by Full PKI Requests, each signed with the key to be certified.
func fullCMC() *Op {
	return &Op{
		Name: "fullcmc", Kept: true, mediaType: "application/pkcs7-mime; smime-type=CMC-request",
		FloorIs: "TLS as the registrar's, base64, CMC parse, the message's signature and the CSR's checked, crypto/x509.CreateCertificate with P-256, " +
			"a signed Full PKI Response; no policy, no database, no disk",
		prepare: func(_ context.Context, _ *Target, n int) ([]request, error) { return fullRequests(n) },
		answers: func(f *floor) http.HandlerFunc { return f.fullCMC },
	}
}

func fullRequests(n int) ([]request, error) {
	var random [6]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	requests := make([]request, n)
	for i := range requests {
		der, err := fullRequest(fmt.Sprintf("bench-%x-%06d", random, i))
		if err != nil {
			return nil, err
		}
		requests[i].body = base64.StdEncoding.AppendEncode(nil, der)
	}
	return requests, nil
}

func fullRequest(name string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	id, err := est.SubjectKeyID(key.Public())
	if err != nil {
		return nil, err
	}
	value, err := asn1.Marshal(id)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: name}, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 14}, Value: value}},
	}, key)
	if err != nil {
		return nil, err
	}
	q, err := cmc.NewPKCS10(1, csr)
	if err != nil {
		return nil, err
	}
	return cmc.SignRequest(&cmc.PKIData{
		Controls: []cmc.Control{{ID: 2, Value: &cmc.TransactionID{Number: big.NewInt(1)}}, {ID: 3, Value: cmc.SenderNonce("0123456789abcdef")}},
		Requests: []cmc.Request{q},
	}, &cmc.Signing{Key: key, SubjectKeyID: id})
}

// fullCMC is fullcmc with everything left out that can be left out.
func (f *floor) fullCMC(w http.ResponseWriter, r *http.Request) {
	der, err := f.answerCMC(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	text := base64.StdEncoding.AppendEncode(nil, der)
	w.Header().Set("Content-Type", "application/pkcs7-mime; smime-type=CMC-response")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text)
}

func (f *floor) answerCMC(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	n, err := base64.StdEncoding.Decode(body, body)
	if err != nil {
		return nil, err
	}
	full, err := cmc.OpenRequest(body[:n], nil)
	if err != nil {
		return nil, err
	}
	csr := full.Data.Requests[0].PKCS10
	if err := csr.CheckSignature(); err != nil {
		return nil, err
	}
	der, err := f.sign(csr, csr.PublicKey)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	nonce, _, _ := cmc.Find[cmc.SenderNonce](full.Data.Controls)
	return cmc.SignResponse(&cmc.PKIResponse{Controls: []cmc.Control{
		{ID: 1, Value: &cmc.StatusInfo{Status: cmc.StatusSuccess, Bodies: []cmc.BodyPartPath{{1}}}}, {ID: 2, Value: cmc.RecipientNonce(nonce)},
	}}, &cmc.Signing{Key: f.key, Certificate: f.ca, Chain: []*x509.Certificate{cert}})
}
