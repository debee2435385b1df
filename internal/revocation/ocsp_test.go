package revocation_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/internal/testpki"
)

// answers signs what a template says of whatever certificate is asked for.
func (w *world) answersOCSP(issuer, by *testpki.Identity, template ocsp.Response) http.HandlerFunc {
	return func(out http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/ocsp-request" {
			w.t.Errorf("OCSP request: %s %s, %v", r.Method, r.Header.Get("Content-Type"), err)
		}
		request, err := ocsp.ParseRequest(body)
		if err != nil {
			w.t.Errorf("OCSP request: %v", err)
			return
		}
		answer := template
		answer.SerialNumber = request.SerialNumber
		der, err := ocsp.CreateResponse(issuer.Certificate, by.Certificate, answer, by.Key)
		if err != nil {
			w.t.Errorf("CreateResponse: %v", err)
		}
		_, _ = out.Write(der)
	}
}

func (w *world) status(status int) ocsp.Response {
	return ocsp.Response{Status: status, ThisUpdate: w.time().Add(-time.Minute), NextUpdate: w.time().Add(time.Hour)}
}

// responder is certified for OCSP by the issuer.
func (w *world) responder(usage []x509.ExtKeyUsage, points []string, extensions ...pkix.Extension) *testpki.Identity {
	w.t.Helper()
	return w.issuer.Issue(w.t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Responder"}, ExtKeyUsage: usage, CRLDistributionPoints: points, ExtraExtensions: extensions,
	}, testpki.NewKey(w.t))
}

// RFC 6960, Section 3.2.
func TestOCSPAnswersCount(t *testing.T) {
	w := newWorld(t)
	forOCSP := []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	noCheck := pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}}
	delegate := w.responder(forOCSP, []string{listURL}, noCheck)
	plain := w.responder(forOCSP, nil)
	with := func(r ocsp.Response, id *testpki.Identity) ocsp.Response { r.Certificate = id.Certificate; return r }
	good, revoked := w.status(ocsp.Good), w.status(ocsp.Revoked)
	revoked.RevokedAt, revoked.RevocationReason = w.time().Add(-time.Hour), 4
	open := good
	open.NextUpdate = time.Time{}
	for name, tt := range map[string]struct {
		answer  http.HandlerFunc
		revoked bool
	}{
		"good, by the issuer":                    {w.answersOCSP(w.issuer, w.issuer, good), false},
		"good, by the issuer, who comes along":   {w.answersOCSP(w.issuer, w.issuer, with(good, w.issuer)), false},
		"good, by a delegate":                    {w.answersOCSP(w.issuer, delegate, with(good, delegate)), false},
		"good, by one with nowhere to ask":       {w.answersOCSP(w.issuer, plain, with(good, plain)), false},
		"good, newer ones always there":          {w.answersOCSP(w.issuer, w.issuer, open), false},
		"revoked, by the issuer":                 {w.answersOCSP(w.issuer, w.issuer, revoked), true},
		"revoked, by a delegate of the issuer's": {w.answersOCSP(w.issuer, delegate, with(revoked, delegate)), true},
	} {
		w.says(ocspURL, tt.answer)
		chain := w.device(nil, []string{ocspURL})
		err := w.fetching(revocation.Require).Check(t.Context(), chain, w.time())
		var r *revocation.Revoked
		if errors.As(err, &r) != tt.revoked || !tt.revoked && err != nil {
			t.Errorf("%s: Check = %v", name, err)
		}
		if tt.revoked && (r.Reason != 4 || r.Source != ocspURL || !r.At.Equal(revoked.RevokedAt)) {
			t.Errorf("%s: Revoked = %+v", name, r)
		}
	}
}

// R23, EST-6960-4.2.2.2-01: an answer that somebody else signed, or a delegate of another CA, or a certificate that
// is not for OCSP, is refused.
func TestOCSPAnswersThatProveNothingAreNotTaken(t *testing.T) {
	w := newWorld(t)
	with := func(r ocsp.Response, id *testpki.Identity) ocsp.Response { r.Certificate = id.Certificate; return r }
	good := w.status(ocsp.Good)
	ended, early := good, good
	ended.NextUpdate = w.time()
	early.ThisUpdate = w.time().Add(time.Hour)
	stranger := testpki.NewRoot(t, "Example Devices Issuing")
	anyone := w.responder([]x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, nil)
	elsewhere := stranger.Issue(t, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}}, testpki.NewKey(t))
	revoked := w.responder([]x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, []string{listURL})
	w.says(listURL, serves(w.sign(w.list(revoked.Certificate.SerialNumber), w.issuer)))
	old := w.issuer.Issue(t, &x509.Certificate{
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, NotBefore: w.time().Add(-time.Hour), NotAfter: w.time().Add(-time.Minute),
	}, testpki.NewKey(t))
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"unknown":                   {w.answersOCSP(w.issuer, w.issuer, w.status(ocsp.Unknown)), "does not know"},
		"ended":                     {w.answersOCSP(w.issuer, w.issuer, ended), "ended at"},
		"of tomorrow":               {w.answersOCSP(w.issuer, w.issuer, early), "still to come"},
		"about another issuer":      {w.answersOCSP(w.root, w.issuer, good), "another issuer's certificate"},
		"signed by a stranger":      {w.answersOCSP(w.issuer, stranger, good), "verification"},
		"a stranger's delegate":     {w.answersOCSP(w.issuer, elsewhere, with(good, elsewhere)), "responder's certificate"},
		"a device as the responder": {w.answersOCSP(w.issuer, anyone, with(good, anyone)), "OCSPSigning"},
		"a responder that ended":    {w.answersOCSP(w.issuer, old, with(good, old)), "expired"},
		"a revoked responder":       {w.answersOCSP(w.issuer, revoked, with(good, revoked)), "was revoked"},
		"try later":                 {serves(ocsp.TryLaterErrorResponse), "try later"},
		"unauthorized":              {serves(ocsp.UnauthorizedErrorResponse), "unauthorized"},
		"no answer at all":          {serves(nil), ocspURL},
		"something long":            {serves(make([]byte, 1<<17)), "65536"},
	} {
		w.says(ocspURL, tt.answer)
		err := w.fetching(revocation.Require).Check(t.Context(), w.device(nil, []string{ocspURL}), w.time())
		if !errors.Is(err, revocation.ErrUnavailable) || errors.As(err, new(*revocation.Revoked)) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Check = %v, want ErrUnavailable with %q", name, err, tt.want)
		}
	}
}

func TestOCSPIsAskedWhenThereIsNoList(t *testing.T) {
	w := newWorld(t)
	w.says(ocspURL, w.answersOCSP(w.issuer, w.issuer, w.status(ocsp.Good)))
	k := w.fetching(revocation.Require)
	if err := k.Check(t.Context(), w.device([]string{listURL}, []string{ocspURL}), w.time()); err != nil || w.timesAsked(listURL) != 1 {
		t.Errorf("Check = %v", err)
	}
}

// That a device is still good changes nothing for the others.
func TestAnOCSPAnswerThatSaysTheSameKeepsEarlierAnswers(t *testing.T) {
	w := newWorld(t)
	f := w.fetcher(nil)
	k := w.checker(revocation.Config{Fetcher: f})
	one, other := w.device(nil, []string{ocspURL}), w.device(nil, []string{ocspURL})
	w.says(ocspURL, w.answersOCSP(w.issuer, w.issuer, w.status(ocsp.Good)))
	a, err := k.Status(t.Context(), one, w.time())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(at time.Time) {
		if err := k.Check(t.Context(), other, at); err != nil {
			t.Fatal(err)
		}
		f.Idle()
	}
	ask(w.time())
	w.advance(50 * time.Minute)
	w.says(ocspURL, w.answersOCSP(w.issuer, w.issuer, w.status(ocsp.Good)))
	ask(w.time())
	if w.timesAsked(ocspURL) != 3 || !k.Still(a, w.time().Add(-40*time.Minute)) {
		t.Errorf("asked %d times, and a good answer about one certificate ends that about another", w.timesAsked(ocspURL))
	}
}

func FuzzOCSPAnswer(f *testing.F) {
	w := newWorld(f)
	delegate := w.responder([]x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, nil)
	cert := w.device(nil, []string{ocspURL})[0]
	for _, status := range []int{ocsp.Good, ocsp.Revoked, ocsp.Unknown} {
		answer := w.status(status)
		answer.SerialNumber = cert.SerialNumber
		for _, by := range []*testpki.Identity{w.issuer, delegate} {
			if by == delegate {
				answer.Certificate = by.Certificate
			}
			der, err := ocsp.CreateResponse(w.issuer.Certificate, by.Certificate, answer, by.Key)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(der)
		}
	}
	f.Add(ocsp.TryLaterErrorResponse)
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := revocation.ParseOCSP(data, cert, w.issuer.Certificate); err == nil && r.SerialNumber.Cmp(cert.SerialNumber) != 0 {
			t.Errorf("an answer about %d was taken", r.SerialNumber)
		}
	})
}
