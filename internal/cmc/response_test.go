package cmc_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

const crypto256 = crypto.SHA256

func crl(t testing.TB, ca *cmstest.Identity) []byte {
	t.Helper()
	issuer := *ca.Certificate
	issuer.KeyUsage |= x509.KeyUsageCRLSign
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Unix(1e9, 0), NextUpdate: time.Unix(2e9, 0),
	}, &issuer, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// EST-5272-4.2-01: Full Responses are opened, with their certificates and CRLs, and what they say.
// EST-5272-4.1-03: the own certificate is found by its key, wherever it is.
func TestFullResponseIsOpenedAndVerified(t *testing.T) {
	ca, pledge, foreign := cmstest.New(t, "P-256"), cmstest.New(t, "P-256"), cmstest.New(t, "P-256")
	lists := [][]byte{crl(t, ca)}
	r := &cmc.PKIResponse{Controls: []cmc.Control{
		{ID: 1, Value: &cmc.StatusInfo{Status: cmc.StatusSuccess, Bodies: []cmc.BodyPartPath{{1}}}}, {ID: 2, Value: cmc.RecipientNonce("n")},
	}}
	for _, chain := range [][]*x509.Certificate{{pledge.Certificate, foreign.Certificate}, {foreign.Certificate, pledge.Certificate}} {
		der, err := cmc.SignResponse(r, &cmc.Signing{Key: ca.Key, Certificate: ca.Certificate, Chain: chain, CRLs: lists})
		if err != nil {
			t.Fatal(err)
		}
		got, err := cmc.OpenResponse(der, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Signers) != 1 || !got.Signers[0].Certificate.Equal(ca.Certificate) || got.Simple || len(got.Data.Statuses()) != 1 {
			t.Errorf("response %+v", got)
		}
		if c := got.CertificateFor(pledge.Key.Public()); c == nil || !c.Equal(pledge.Certificate) {
			t.Error("the pledge's certificate is not found")
		}
		if got.CertificateFor(cmstest.New(t, "P-256").Key.Public()) != nil || got.CertificateFor("no key") != nil {
			t.Error("a certificate is found for a key that has none")
		}
		if len(got.CRLs) != 1 || !bytes.Equal(got.CRLs[0], lists[0]) || len(got.Certificates) != 3 {
			t.Errorf("%d CRLs and %d certificates, want 1 and 3", len(got.CRLs), len(got.Certificates))
		}
		der[len(der)-1] ^= 1
		_, err = cmc.OpenResponse(der, nil)
		failure(t, err, cmc.FailBadMessageCheck)
	}
	der, err := cmc.SignResponse(r, &cmc.Signing{Key: ca.Key, Certificate: ca.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	for _, outer := range []*cmc.Signing{nil, {Key: ca.Key, Certificate: ca.Certificate}} {
		secret, err := cmc.Envelop(der, []*x509.Certificate{pledge.Certificate}, outer)
		if err != nil {
			t.Fatal(err)
		}
		got, err := cmc.OpenResponse(secret, &cmc.OpenOptions{Keys: []*cms.RecipientKey{{Certificate: pledge.Certificate, Key: pledge.Key}}})
		if err != nil || !got.Encrypted || (len(got.OuterSigners) == 1) != (outer != nil) {
			t.Errorf("an enveloped response: %+v, %v", got, err)
		}
	}
}

// EST-5272-4.2-01: Simple Responses are opened too.
func TestSimpleResponseIsABagWithoutSigners(t *testing.T) {
	ca := cmstest.New(t, "P-256")
	certs, err := cms.CertsOnly(ca.Certificate.Raw)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := cms.CRLsOnly(crl(t, ca))
	if err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{"certificates": certs, "CRLs": lists} {
		r, err := cmc.OpenResponse(der, nil)
		if err != nil || !r.Simple || r.Data != nil || len(r.Signers) != 0 || len(r.Certificates)+len(r.CRLs) != 1 {
			t.Errorf("a bag of %s: %+v, %v", name, r, err)
		}
	}
	signed, err := cms.Sign(&cms.SignRequest{Key: ca.Key, Certificate: ca.Certificate, Content: []byte("text")})
	if err != nil {
		t.Fatal(err)
	}
	for title, der := range map[string][]byte{
		"a Full PKI Request":              sign(t, &cmc.PKIData{}, ca),
		"an empty bag":                    (&cmstest.Message{ContentType: cms.OIDData()}).Bytes(t),
		"a response without content (R5)": (&cmstest.Message{ContentType: cms.OIDPKIResponse(), Version: 3}).Bytes(t),
		"signed text":                     signed,
		"a bag with a broken certificate": (&cmstest.Message{ContentType: cms.OIDData(), Certificates: [][]byte{seq(), ca.Certificate.Raw}}).Bytes(t),
		"a CSR":                           csr(t, ca.Key, "x"),
	} {
		_, err := cmc.OpenResponse(der, nil)
		if e := failure(t, err, cmc.FailBadRequest); !errors.Is(e, cmc.ErrNotResponse) {
			t.Errorf("%s: %v, want ErrNotResponse", title, err)
		}
	}
}

// EST-5272-3.2.1.3.4-02: without a signature the response says internalCAError about body part 0, and a client sees that
// nobody signed.
func TestUnsignedResponseSaysInternalCAError(t *testing.T) {
	id := &cmc.TransactionID{Number: big.NewInt(5)}
	der, err := cmc.UnsignedResponse(cmc.UnsignedFailure(id, cmc.RecipientNonce("n")))
	if err != nil {
		t.Fatal(err)
	}
	r, err := cmc.OpenResponse(der, nil)
	if err != nil || r.Simple || len(r.Signers) != 0 || len(r.Certificates) != 0 {
		t.Fatalf("OpenResponse = %+v, %v", r, err)
	}
	s := r.Data.Statuses()
	if len(s) != 1 || s[0].Status != cmc.StatusFailed || s[0].FailInfo == nil || *s[0].FailInfo != cmc.FailInternalCAError ||
		len(s[0].Bodies) != 1 || s[0].Bodies[0][0] != 0 {
		t.Errorf("status %+v", s)
	}
	if got, at, ok := cmc.Find[*cmc.TransactionID](r.Data.Controls); !ok || at != 2 || got.Number.Cmp(id.Number) != 0 {
		t.Errorf("transaction %v with bodyPartID %d", got, at)
	}
}

func TestErrorsBecomeStatusControls(t *testing.T) {
	_, err := cmc.ParsePKIData(pkiData(append(control(0, 6, []byte{4, 0}), control(5, 5, []byte{5, 0})...), nil))
	e := failure(t, err, cmc.FailBadRequest)
	r := &cmc.PKIResponse{Controls: []cmc.Control{{ID: 1, Value: e.StatusInfo()}}}
	der, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := cmc.ParsePKIResponse(der)
	if err != nil {
		t.Fatal(err)
	}
	if s := back.Statuses()[0]; s.Status != cmc.StatusFailed || *s.FailInfo != cmc.FailBadRequest || len(s.Bodies) != 2 || s.Bodies[1][0] != 5 {
		t.Errorf("status %+v", s)
	}
}

func TestStatusesAndFailuresHaveTheNamesOfTheRFC(t *testing.T) {
	for got, want := range map[string]string{
		cmc.StatusSuccess.String(): "success", cmc.StatusFailed.String(): "failed", cmc.StatusPending.String(): "pending", cmc.StatusNoSupport.String(): "noSupport",
		cmc.StatusConfirmRequired.String(): "confirmRequired", cmc.StatusPOPRequired.String(): "popRequired", cmc.StatusPartial.String(): "partial",
		cmc.Status(1).String(): "status(1)", cmc.FailBadAlg.String(): "badAlg",
		cmc.FailAuthDataFail.String(): "authDataFail", cmc.FailInfo(14).String(): "failInfo(14)",
		cmc.FailInfo(-1).String(): "failInfo(-1)", cmc.FailPOPFailed.String(): "popFailed",
	} {
		if got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}

// EST-5273-5-02: the media type names the kind of message, whatever the case of the letters.
func TestMediaTypeNamesTheKindOfMessage(t *testing.T) {
	for contentType, want := range map[string]cmc.Kind{
		cmc.MediaTypeSimpleRequest: cmc.KindSimpleRequest, cmc.MediaTypeFullRequest: cmc.KindFullRequest, cmc.MediaTypeSimpleResponse: cmc.KindSimpleResponse,
		cmc.MediaTypeFullResponse: cmc.KindFullResponse, "APPLICATION/PKCS7-MIME;SMIME-TYPE=\"cmc-REQUEST\"; name=x.p7m": cmc.KindFullRequest,
		"application/pkcs7-mime": cmc.KindUnlabelled,
	} {
		if got, err := cmc.KindOf(contentType); err != nil || got != want {
			t.Errorf("KindOf(%q) = %v, %v, want %v", contentType, got, err, want)
		}
	}
	for _, contentType := range []string{
		"", "text/plain", "application/pkcs7-mime; smime-type=enveloped-data", "application/pkcs7-mime; smime-type=",
		"application/pkcs7-mime; smime-type=a; smime-type=b",
	} {
		if _, err := cmc.KindOf(contentType); !errors.Is(err, cmc.ErrMediaType) {
			t.Errorf("KindOf(%q) = %v, want ErrMediaType", contentType, err)
		}
	}
}
