package main

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/storetest"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// registrarWorld is a MASA with the registrar_revocation of a file, and a domain whose
// CA says over HTTP what it has revoked.
type registrarWorld struct {
	t         *testing.T
	vendor    *testpki.Identity
	root, ca  *testpki.Identity
	registrar *testpki.Identity
	server    *httptest.Server
	asked     atomic.Int64
	broken    atomic.Bool
	revoked   []*big.Int // not changed once asked for
}

func newRegistrarWorld(t *testing.T, names func(url string, template *x509.Certificate)) *registrarWorld {
	t.Helper()
	w := &registrarWorld{t: t, vendor: testpki.NewRoot(t, "vendor"), root: testpki.NewRoot(t, "domain")}
	w.ca = w.root.NewIntermediate(t, "domain CA")
	w.server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.server.Close)
	template := &x509.Certificate{
		Subject:            w.ca.Registrar(t, "registrar").Certificate.Subject,
		UnknownExtKeyUsage: w.ca.Registrar(t, "registrar").Certificate.UnknownExtKeyUsage, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	names(w.server.URL, template)
	w.registrar = w.ca.Issue(t, template, testpki.NewKey(t))
	return w
}

func (w *registrarWorld) serve(out http.ResponseWriter, r *http.Request) {
	w.asked.Add(1)
	status := ocsp.Good
	var entries []x509.RevocationListEntry
	for _, serial := range w.revoked {
		status = ocsp.Revoked
		entries = append(entries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: time.Now().Add(-time.Minute)})
	}
	var answer []byte
	var err error
	switch {
	case w.broken.Load():
		http.Error(out, "out of order", http.StatusInternalServerError)
		return
	case r.Method == http.MethodPost:
		out.Header().Set("Content-Type", "application/ocsp-response")
		answer, err = ocsp.CreateResponse(w.ca.Certificate, w.ca.Certificate, ocsp.Response{
			Status: status, SerialNumber: w.registrar.Certificate.SerialNumber, ThisUpdate: time.Now().Add(-time.Minute),
			NextUpdate: time.Now().Add(time.Hour), RevokedAt: time.Now().Add(-time.Minute),
		}, w.ca.Key)
	default:
		answer, err = x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
			RevokedCertificateEntries: entries,
		}, w.ca.Certificate, w.ca.Key)
	}
	if err != nil {
		w.t.Error(err)
	}
	_, _ = out.Write(answer)
}

// ask starts a MASA and returns the status and reason of its refusal, or 200.
// Bag are the certificates in the request besides the registrar's own.
func (w *registrarWorld) ask(c revocationConfig, bag []*x509.Certificate) (int, string) {
	w.t.Helper()
	config := &masaConfig{RegistrarRevocation: c, fetcher: revocation.NewFetcher(revocation.FetchConfig{})}
	defer config.fetcher.Close()
	signer := testpki.NewRoot(w.t, "vouchers")
	settings := &masa.Settings{Formats: []voucher.Format{vouchercms.Format{}}, Products: map[string]masa.Product{"widget": {
		IDevIDAnchors: w.vendor.Pool(), AllowUnlisted: true, Signer: &voucher.Signer{Key: signer.Key, Certificate: signer.Certificate},
	}}}
	if err := config.registrars(settings); err != nil {
		w.t.Fatal(err)
	}
	s, err := masa.New(w.t.Context(), masa.Config{Store: storetest.NewMemory(), Settings: settings})
	if err != nil {
		w.t.Fatal(err)
	}
	defer s.Close()
	sign := func(r *voucher.Request, by *testpki.Identity, chain []*x509.Certificate) []byte {
		raw, err := vouchercms.Format{}.SignRequest(w.t.Context(), r, &voucher.Signer{Key: by.Key, Certificate: by.Certificate, Chain: chain})
		if err != nil {
			w.t.Fatal(err)
		}
		return raw
	}
	idevid := w.vendor.IDevID(w.t, "SN-1", "")
	r := &voucher.Request{Assertion: voucher.Proximity, CreatedOn: time.Now(), SerialNumber: "SN-1", Nonce: "0123456789abcdef"}
	prior := *r
	prior.ProximityRegistrarCert = w.registrar.Certificate.Raw
	r.PriorSignedVoucherRequest = sign(&prior, idevid, idevid.Chain)
	_, err = s.RequestVoucher(w.t.Context(), &brski.MASARequest{MediaType: vouchercms.MediaType, Raw: sign(r, w.registrar, bag)})
	var e *est.Error
	switch {
	case err == nil:
		return http.StatusOK, ""
	case errors.As(err, &e):
		return e.Status, e.Reason
	default:
		w.t.Fatalf("RequestVoucher: %v", err)
		return 0, ""
	}
}

func byList(url string, template *x509.Certificate) {
	template.CRLDistributionPoints = []string{url + "/ca.crl"}
}

func byOCSP(url string, template *x509.Certificate) { template.OCSPServer = []string{url} }

// BRSKI-8995-5.5.3-02: what the registrar's certificate names is asked, and a
// certificate that is revoked, or of which nobody says that it is not, gets no voucher.
func TestMASAAsksWhetherTheRegistrarIsRevoked(t *testing.T) {
	here := []string{"127.0.0.1"}
	for _, c := range []struct {
		name            string
		names           func(string, *x509.Certificate)
		config          revocationConfig
		revoked, broken bool
		status          int
		reason          string
		asked           bool
	}{
		{"GoodByList", byList, revocationConfig{AllowedHosts: here}, false, false, 200, "", true},
		{"RevokedByList", byList, revocationConfig{AllowedHosts: here}, true, false, 403, masa.ReasonRegistrarGone, true},
		{"GoodByOCSP", byOCSP, revocationConfig{AllowedHosts: here}, false, false, 200, "", true},
		{"RevokedByOCSP", byOCSP, revocationConfig{AllowedHosts: here}, true, false, 403, masa.ReasonRegistrarGone, true},
		{"NoAnswer", byList, revocationConfig{AllowedHosts: here}, false, true, 503, masa.ReasonRegistrarAsk, true},
		{"NoAnswerAllowed", byList, revocationConfig{Mode: "check", AllowedHosts: here}, false, true, 200, "", true},
		{"RevokedWhereNoAnswerIsAllowed", byList, revocationConfig{Mode: "check", AllowedHosts: here}, true, false, 403, masa.ReasonRegistrarGone, true},
		{"Off", byList, revocationConfig{Mode: "off", AllowedHosts: here}, true, false, 200, "", false},
		// A registrar's certificate does not have the MASA knock at its own network's doors.
		{"PrivateAddress", byList, revocationConfig{}, false, false, 503, masa.ReasonRegistrarAsk, false},
		{"PrivateAddressAllowed", byOCSP, revocationConfig{Mode: "check"}, true, false, 200, "", false},
		{"NowhereToAsk", func(string, *x509.Certificate) {}, revocationConfig{}, false, false, 200, "", false},
		{"NowhereToAskRequired", func(string, *x509.Certificate) {}, revocationConfig{Mode: "require-all"}, false, false, 503, masa.ReasonRegistrarAsk, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newRegistrarWorld(t, c.names)
			w.broken.Store(c.broken)
			if c.revoked {
				w.revoked = []*big.Int{w.registrar.Certificate.SerialNumber}
			}
			status, reason := w.ask(c.config, w.registrar.Chain)
			if status != c.status || reason != c.reason || w.asked.Load() > 0 != c.asked {
				t.Errorf("%d %s, asked %d times; want %d %s, and that it asks: %t", status, reason, w.asked.Load(), c.status, c.reason, c.asked)
			}
		})
	}
}

// Who stole a registrar's key and saw it revoked leaves the CA out that says so.
func TestARevokedRegistrarDoesNotPassWithoutItsCA(t *testing.T) {
	w := newRegistrarWorld(t, byList)
	w.revoked = []*big.Int{w.registrar.Certificate.SerialNumber}
	for mode, want := range map[string]int{"require": 403, "require-all": 403, "check": 200} {
		status, reason := w.ask(revocationConfig{Mode: mode, AllowedHosts: []string{"127.0.0.1"}}, nil)
		if status != want || want == 403 && reason != masa.ReasonRegistrarChain {
			t.Errorf("mode %s: %d %s, want %d", mode, status, reason, want)
		}
	}
}

func TestRegistrarsOfTheFileGetTheirBudgets(t *testing.T) {
	root := testpki.NewRoot(t, "plant")
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "plant.pem"), root.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &masaConfig{
		source: source{file: filepath.Join(folder, "masa.yaml")}, RegistrarRequestsPerMinute: 7,
		Registrars: []knownRegistrarConfig{{Name: "plant", Certificate: "plant.pem", RequestsPerMinute: 6000}},
	}
	var s masa.Settings
	if err := c.registrars(&s); err != nil {
		t.Fatal(err)
	}
	if r := s.Registrars; s.RegistrarRequestsPerMinute != 7 || len(r) != 1 || r[0].Name != "plant" || r[0].RequestsPerMinute != 6000 ||
		!bytes.Equal(r[0].Certificates[0].Raw, root.Certificate.Raw) {
		t.Errorf("settings %+v, want the budgets of the file", s)
	}
	c.Registrars[0].Certificate = "missing.pem"
	if err := c.registrars(&s); err == nil {
		t.Error("a registrar without a file was taken")
	}
	c.Registrars, c.RegistrarRevocation.Mode = nil, "maybe"
	if err := c.registrars(&s); err == nil {
		t.Error("a mode that does not exist was taken")
	}
}
