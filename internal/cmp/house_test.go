package cmp_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cmp"
	"github.com/briskest/briskest/internal/testpki"
)

// world is a CA with one device, and a header between RA and CA.
type world struct {
	ca, ra, device *testpki.Identity
	csr            []byte
	header         cmp.Header
}

func newWorld(t testing.TB) *world {
	t.Helper()
	root := testpki.NewRoot(t, "CMP CA")
	w := &world{ca: root, ra: root.Registrar(t, "RA"), device: root.Client(t, "device")}
	w.csr = testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "device"}}, w.device.Key)
	w.header = cmp.Header{
		Sender: cmp.DirectoryName(w.ra.Certificate.RawSubject), Recipient: cmp.DirectoryName(w.ca.Certificate.RawSubject),
		Time: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC), SenderKID: []byte("kid"), TransactionID: []byte("transaction 0001"),
		SenderNonce: []byte("nonce of sender1"), RecipientNonce: []byte("nonce of recipi1"), FreeText: []string{"hello"},
		Infos: []cmp.Info{cmp.ImplicitConfirm(), cmp.CertProfile("device")},
	}
	return w
}

// bodies are one of each kind.
func (w *world) bodies(t testing.TB) map[string]cmp.Body {
	t.Helper()
	return map[string]cmp.Body{
		"p10cr": cmp.NewP10CR(w.csr),
		"ir": cmp.NewCertReq(cmp.IR, cmc.CertTemplate{
			RawSubject: w.device.Certificate.RawSubject, RawSubjectPublicKeyInfo: w.device.Certificate.RawSubjectPublicKeyInfo,
			NotBefore: w.header.Time, NotAfter: w.header.Time.AddDate(30, 0, 0), Extensions: w.device.Certificate.Extensions,
		}),
		"ip": cmp.NewCertRep(cmp.IP, &cmp.CertRep{CAPubs: [][]byte{w.ca.Certificate.Raw}, Responses: []cmp.CertResponse{
			{StatusInfo: cmp.StatusInfo{Status: cmp.GrantedWithMods, Text: []string{"changed"}}, Certificate: w.device.Certificate.Raw},
		}}),
		"cp refused": cmp.NewCertRep(cmp.CP, &cmp.CertRep{Responses: []cmp.CertResponse{
			{RequestID: -1, StatusInfo: cmp.StatusInfo{Status: cmp.Rejection, Failure: cmp.BadPOP | cmp.DuplicateCertReq}},
		}}),
		"certConf": cmp.NewCertConf(&cmp.CertConfirmation{Hash: cmp.HashCertificate(w.device.Certificate), StatusInfo: &cmp.StatusInfo{Status: cmp.Rejection}}),
		"pkiconf":  cmp.NewPKIConf(),
		"pollReq":  cmp.NewPollReq(-1),
		"pollRep":  cmp.NewPollRep(cmp.Poll{RequestID: 0, After: time.Minute, Reason: []string{"an operator decides"}}),
		"rr":       cmp.NewRevReq(&cmp.Revocation{Issuer: w.ca.Certificate.RawSubject, Serial: big.NewInt(1 << 40), Reason: 4}),
		"rp":       cmp.NewRevRep(cmp.StatusInfo{Status: cmp.Accepted}),
		"error": cmp.NewError(&cmp.ErrorContent{
			StatusInfo: cmp.StatusInfo{Status: cmp.Rejection, Text: []string{"no"}, Failure: cmp.SystemFailure}, Code: 7, Details: []string{"because"},
		}),
	}
}

func marshal(t testing.TB, h *cmp.Header, b cmp.Body, p cmp.Protection, extra ...[]byte) []byte {
	t.Helper()
	der, err := cmp.Marshal(h, b, p, extra)
	if err != nil {
		t.Fatalf("Marshal(%s): %v", b.Kind(), err)
	}
	return der
}

func parse(t testing.TB, der []byte) *cmp.Message {
	t.Helper()
	m, err := cmp.Parse(der)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return m
}
