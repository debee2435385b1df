package est_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
)

// EST-5272-4.2-01: a client reads both kinds of response. EST-5274-4-01: and a server gives them.
func TestAClientReadsSimpleAndFullResponses(t *testing.T) {
	b, s := newCMCServer(t)
	e := enrollment(t)
	got, err := s.client(t).EnrollCMC(t.Context(), e)
	if err != nil || got.Certificate.Subject.CommonName != "device" {
		t.Fatalf("Full: %v", err)
	}
	b.answer = func(f *cmc.FullRequest) (*est.CMCAnswer, error) {
		der, err := cms.CertsOnly(b.CA.Certificate.Raw, b.issue(f.Data.Requests[0].PKCS10).Raw)
		return &est.CMCAnswer{Message: der, Simple: true}, err
	}
	if got, err = s.client(t).EnrollCMC(t.Context(), e); err != nil || got.Certificate.Subject.CommonName != "device" {
		t.Fatalf("Simple: %v", err)
	}
}

// EST-5272-4.1-03: the certificate is found by its key wherever it is.
func TestAClientPicksItsCertificateInAnyOrder(t *testing.T) {
	b, s := newCMCServer(t)
	b.answer = func(f *cmc.FullRequest) (*est.CMCAnswer, error) {
		return b.grant(f, func(_ *cmc.PKIResponse, g *cmc.Signing) {
			other := b.CA.Client(t, "device")
			g.Chain = append([]*x509.Certificate{other.Certificate}, g.Chain...)
			slices.Reverse(g.Chain)
		}), nil
	}
	e := enrollment(t)
	got, err := s.client(t).EnrollCMC(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if !e.Key.Public().(*ecdsa.PublicKey).Equal(got.Certificate.PublicKey) {
		t.Error("the certificate is of another key")
	}
}

// EST-5272-4.1-02: a root that comes along vouches for nobody.
func TestAClientDoesNotTrustARootInTheBag(t *testing.T) {
	b, s := newCMCServer(t)
	foreign := testpki.NewRoot(t, "a foreign root")
	b.signer = foreign.Registrar(t, "their RA")
	if _, err := s.client(t).EnrollCMC(t.Context(), enrollment(t)); !errors.Is(err, est.ErrAnswer) {
		t.Errorf("an answer by a foreign RA with its root: %v", err)
	}
}

// RFC 5272, Section 6.6, and RFC 6402, Section 2.10: what does not answer the request, or is signed by somebody else,
// does not count.
func TestAClientBelievesTheAnswerToItsOwnRequestOnly(t *testing.T) {
	b, s := newCMCServer(t)
	find := func(r *cmc.PKIResponse, id cmc.BodyPartID) *cmc.Control {
		return &r.Controls[slices.IndexFunc(r.Controls, func(c cmc.Control) bool { return c.ID == id })]
	}
	for what, change := range map[string]func(r *cmc.PKIResponse, g *cmc.Signing){
		"another nonce":       func(r *cmc.PKIResponse, _ *cmc.Signing) { find(r, 3).Value = cmc.RecipientNonce("replayed nonce..") },
		"another transaction": func(r *cmc.PKIResponse, _ *cmc.Signing) { find(r, 2).Value = &cmc.TransactionID{Number: big.NewInt(7)} },
		"no echo":             func(r *cmc.PKIResponse, _ *cmc.Signing) { r.Controls = r.Controls[:1] },
		"no status":           func(r *cmc.PKIResponse, _ *cmc.Signing) { r.Controls = r.Controls[1:] },
		"a device signs": func(_ *cmc.PKIResponse, g *cmc.Signing) {
			id := b.CA.Client(t, "a device")
			g.Key, g.Certificate = id.Key, id.Certificate
		},
		"no certificate": func(_ *cmc.PKIResponse, g *cmc.Signing) { g.Chain = nil },
	} {
		b.answer = func(f *cmc.FullRequest) (*est.CMCAnswer, error) { return b.grant(f, change), nil }
		c := s.client(t)
		c.Roots.AddCert(b.CA.Certificate)
		if _, err := c.EnrollCMC(t.Context(), enrollment(t)); !errors.Is(err, est.ErrAnswer) {
			t.Errorf("%s: %v, want an answer that does not count", what, err)
		}
	}
	b.answer = func(f *cmc.FullRequest) (*est.CMCAnswer, error) {
		der, err := cmc.UnsignedResponse(b.response(f, &cmc.StatusInfo{Status: cmc.StatusSuccess, Bodies: []cmc.BodyPartPath{{1}}}))
		return &est.CMCAnswer{Message: der}, err
	}
	if _, err := s.client(t).EnrollCMC(t.Context(), enrollment(t)); !errors.Is(err, est.ErrAnswer) {
		t.Errorf("an unsigned answer: %v", err)
	}
}

// EST-5272-6.15-01: anchors are published by an authorized signature over hashes of what is there.
func TestAClientTakesPublishedAnchorsFromWhoMayPublishThem(t *testing.T) {
	b, s := newCMCServer(t)
	anchor := testpki.NewRoot(t, "next root")
	publish := func(hash []byte) func(r *cmc.PKIResponse, g *cmc.Signing) {
		return func(r *cmc.PKIResponse, g *cmc.Signing) {
			g.Chain = append(g.Chain, anchor.Certificate)
			r.Controls = append(r.Controls, cmc.Control{ID: 9, Value: &cmc.TrustAnchors{
				Sequence: big.NewInt(1), Hash: cms.AlgorithmIdentifier{OID: oidSHA256}, Hashes: [][]byte{hash},
			}})
		}
	}
	right := sum256(anchor.Certificate.Raw)
	answer := func(change func(r *cmc.PKIResponse, g *cmc.Signing)) {
		b.answer = func(f *cmc.FullRequest) (*est.CMCAnswer, error) { return b.grant(f, change), nil }
	}
	answer(publish(right))
	got, err := s.client(t).EnrollCMC(t.Context(), enrollment(t))
	if err != nil || len(got.TrustAnchors) != 1 || !got.TrustAnchors[0].Equal(anchor.Certificate) {
		t.Errorf("published by an RA: %v", err)
	}
	answer(publish(sum256([]byte("another certificate"))))
	if got, err := s.client(t).EnrollCMC(t.Context(), enrollment(t)); err == nil {
		t.Errorf("another hash: %d anchors", len(got.TrustAnchors))
	}
	answer(nil)
	if got, err := s.client(t).EnrollCMC(t.Context(), enrollment(t)); err != nil || got.TrustAnchors != nil {
		t.Errorf("nothing published: %v", err)
	}
	b.signer = b.CA.Client(t, "a device")
	answer(publish(right))
	if got, err := s.client(t).EnrollCMC(t.Context(), enrollment(t)); err == nil {
		t.Errorf("published by a device: %d anchors", len(got.TrustAnchors))
	}
}

// RFC 7030, Section 4.3.2: refusals, what waits, and a server without the
// operation (EST-7030-4.3.2-05).
func TestAClientTellsRefusalsApart(t *testing.T) {
	b, s := newCMCServer(t)
	reply := func(status int, info *cmc.StatusInfo) {
		b.answer = func(f *cmc.FullRequest) (*est.CMCAnswer, error) {
			info.Bodies = []cmc.BodyPartPath{{1}}
			der, err := cmc.SignResponse(b.response(f, info), &cmc.Signing{Key: b.signer.Key, Certificate: b.signer.Certificate, Chain: b.signer.Chain})
			return nil, errors.Join(err, &est.Error{Status: status, Reason: "r", RetryAfter: 7 * time.Second, CMC: der})
		}
	}
	bad := cmc.FailBadIdentity
	reply(403, &cmc.StatusInfo{Status: cmc.StatusFailed, FailInfo: &bad, Text: "who are you?"})
	_, err := s.client(t).EnrollCMC(t.Context(), enrollment(t))
	var refused *est.CMCError
	if !errors.As(err, &refused) || refused.FailInfo != "badIdentity" || refused.Status != 403 || refused.Message != "who are you?" {
		t.Errorf("refused: %v", err)
	}
	reply(202, &cmc.StatusInfo{Status: cmc.StatusPending, Pending: &cmc.Pending{Token: []byte("token"), Time: time.Now()}})
	e := enrollment(t)
	_, err = s.client(t).EnrollCMC(t.Context(), e)
	var pending *est.CMCPending
	if !errors.As(err, &pending) || string(pending.Token) != "token" || pending.RetryAfter != 7*time.Second || !errors.Is(err, est.ErrPending) {
		t.Errorf("waiting: %v", err)
	}
	plain := &site{Backend: s.Backend, handler: &est.Handler{Backend: s.Backend}}
	plain.url = s.Serve(plain.handler)
	if _, err := plain.client(t).EnrollCMC(t.Context(), enrollment(t)); !errors.Is(err, est.ErrNotOffered) {
		t.Errorf("not offered: %v", err)
	}
	key := testpki.NewKey(t)
	without := &est.CMCEnrollment{CSR: testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "device"}}, key), Key: key}
	if _, err := s.client(t).EnrollCMC(t.Context(), without); err == nil {
		t.Error("a CSR without a subject key identifier was signed by its key")
	}
}

var oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}

func sum256(b []byte) []byte { h := sha256.Sum256(b); return h[:] }
