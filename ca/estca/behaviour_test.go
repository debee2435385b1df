package estca_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/estca"
	"github.com/briskest/briskest/est"
)

// RFC 7030, Section 3.7: the RA passes on what the device signed; a link to the
// device's own TLS session is in it, which the CA does not compare.
func TestTheCSRArrivesByteByByteWithItsLink(t *testing.T) {
	f := newFake(t)
	r, _ := f.request("1")
	key := newKey(t)
	csr, err := est.CreateCSR(key, &est.CSRRequest{
		Own:               &x509.CertificateRequest{Subject: pkix.Name{CommonName: "device-1"}, DNSNames: []string{"device-1.example.com"}},
		ChallengePassword: "bGlua2VkIHRvIGFub3RoZXIgc2Vzc2lvbg==",
	})
	if err != nil {
		t.Fatal(err)
	}
	r.CSR, r.PublicKey = csr, key.Public()
	if _, err := f.issuer().Issue(t.Context(), r); err != nil {
		t.Fatalf("Issue: %v", err)
	}
	if csrs, _ := f.requests(); len(csrs) != 1 || !bytes.Equal(csrs[0], csr) {
		t.Errorf("the server got %d requests, want the device's CSR as it is", len(csrs))
	}
}

func TestANameThatTheCSRDoesNotHaveIsRefusedBeforeAnythingIsAsked(t *testing.T) {
	f := newFake(t)
	r, intents := f.request("1")
	r.Names.DNS = []string{"device-2.example.com"}
	if _, err := f.issuer().Issue(t.Context(), r); !errors.Is(err, ca.ErrRejected) || len(*intents) != 0 {
		t.Errorf("Issue = %v with %d intents, want ErrRejected and none", err, len(*intents))
	}
	r, intents = f.request("2")
	r.CSR = nil
	if _, err := f.issuer().Issue(t.Context(), r); !errors.Is(err, ca.ErrRejected) || len(*intents) != 0 {
		t.Errorf("Issue without a CSR = %v with %d intents, want ErrRejected and none", err, len(*intents))
	}
	if csrs, _ := f.requests(); len(csrs) != 0 {
		t.Errorf("the server got %d requests, want none", len(csrs))
	}
}

func TestEachProfileIsAskedForAtItsLabel(t *testing.T) {
	f := newFake(t)
	config := f.config()
	config.Label, config.Labels = "things", map[string]string{"device": "sensors"}
	r, _ := f.request("1")
	if _, err := f.issuerAs(config).Issue(t.Context(), r); err != nil {
		t.Fatalf("Issue: %v", err)
	}
	config.Labels = nil
	r, _ = f.request("2")
	if _, err := f.issuerAs(config).Issue(t.Context(), r); err != nil {
		t.Fatalf("Issue: %v", err)
	}
	if _, labels := f.requests(); len(labels) != 2 || labels[0] != "sensors" || labels[1] != "things" {
		t.Errorf("labels = %q, want the profile's and then the issuer's", labels)
	}
	config.Labels = map[string]string{"nobody": "sensors"}
	if _, err := estca.New(config); err == nil {
		t.Error("New takes a label for a profile that there is not")
	}
}

func TestAUserWithAPasswordIsEnough(t *testing.T) {
	f := newFake(t)
	config := f.config()
	config.Server.Certificate, config.Server.User, config.Server.Password = nil, "registrar", "correct horse"
	r, _ := f.request("1")
	if _, err := f.issuerAs(config).Issue(t.Context(), r); err != nil {
		t.Errorf("Issue: %v", err)
	}
	config.Server.Password = "wrong"
	r, _ = f.request("2")
	_, err := f.issuerAs(config).Issue(t.Context(), r)
	if !errors.Is(err, ca.ErrUnavailable) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("Issue with another password = %v, want ErrUnavailable without it", err)
	}
}

// A refusal is the request's, the credential's or the hour's: only the first is final.
func TestRefusalsAreOfTheRequestTheCredentialOrTheHour(t *testing.T) {
	for name, c := range map[string]struct {
		refuse *est.Error
		want   error
		open   bool
	}{
		"400":                       {&est.Error{Status: 400, Reason: "names-refused", Message: "not these names"}, ca.ErrRejected, false},
		"403":                       {&est.Error{Status: 403, Reason: "device-suspended", Message: "suspended"}, ca.ErrRejected, false},
		"403 about our certificate": {&est.Error{Status: 403, Reason: "certificate-revoked", Section: "RFC 5280", Message: "revoked"}, ca.ErrUnavailable, false},
		"401":                       {&est.Error{Status: 401, Reason: "who"}, ca.ErrUnavailable, false},
		"404":                       {&est.Error{Status: 404, Reason: "label-unknown", Message: "no such label"}, ca.ErrUnavailable, false},
		"413":                       {&est.Error{Status: 413, Reason: "large", Message: "too large"}, ca.ErrRejected, false},
		"429":                       {&est.Error{Status: 429, Reason: "often", RetryAfter: time.Minute}, ca.ErrUnavailable, true},
		"500":                       {&est.Error{Status: 500, Reason: "internal"}, ca.ErrUnavailable, true},
		"503":                       {&est.Error{Status: 503, Reason: "busy", RetryAfter: 90 * 24 * time.Hour}, ca.ErrUnavailable, true},
		"202":                       {&est.Error{Status: 202, Reason: "waiting", RetryAfter: 90 * 24 * time.Hour}, ca.ErrPending, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.refuse = c.refuse
			r, intents := f.request("1")
			_, err := f.issuer().Issue(t.Context(), r)
			var later *ca.Later
			if !errors.Is(err, c.want) || errors.As(err, &later) != c.open {
				t.Fatalf("Issue = %v, want %v, open %t", err, c.want, c.open)
			}
			if c.refuse.Message != "" && !strings.Contains(err.Error(), c.refuse.Message) {
				t.Errorf("Issue = %v, want it to have the server's sentence %q", err, c.refuse.Message)
			}
			if c.open && (later.After < 0 || later.After > 24*time.Hour) {
				t.Errorf("ask again in %s, want a day at most", later.After)
			}
			// Once asked, an issuance is not given up because the server is not to be had now.
			if !c.open && errors.Is(err, ca.ErrUnavailable) {
				r.Asked = (*intents)[0]
				if _, err := f.issuer().Issue(t.Context(), r); !errors.As(err, &later) {
					t.Errorf("Issue once more = %v, want a Later", err)
				}
			}
		})
	}
}

func TestWhatWaitsIsAskedForWithTheSameBytes(t *testing.T) {
	f := newFake(t)
	r, intents := f.request("1")
	f.Fail(catest.Waits)
	_, err := f.issuer().Issue(t.Context(), r)
	var later *ca.Later
	if !errors.As(err, &later) || later.After != 40*time.Second {
		t.Fatalf("Issue = %v, want a Later of the 40 s that the server named", err)
	}
	f.Fail(catest.None)
	r.Asked = (*intents)[0]
	if _, err := f.issuer().Issue(t.Context(), r); err != nil {
		t.Fatalf("Issue once the server has decided: %v", err)
	}
	csrs, _ := f.requests()
	if len(csrs) != 2 || !bytes.Equal(csrs[0], csrs[1]) || !bytes.Equal(csrs[0], r.CSR) {
		t.Errorf("%d requests arrived, want twice the same", len(csrs))
	}
	other, _ := f.request("1")
	other.Asked = (*intents)[0]
	if _, err := f.issuer().Issue(t.Context(), other); !errors.Is(err, ca.ErrRejected) {
		t.Errorf("Issue with another CSR for the same intent = %v, want ErrRejected", err)
	}
}

func TestOtherCertificatesOfAnAnswerOnlyHelpToBuildTheChain(t *testing.T) {
	f := newFake(t)
	// An issuing CA that nobody here knows, below the root that is configured, comes along with its certificate.
	newer := catest.NewForeign(t)
	f.extra = []*x509.Certificate{newer.Root}
	r, _ := f.request("1")
	c, err := f.issuer().Issue(t.Context(), r)
	if err != nil {
		t.Fatalf("Issue: %v", err)
	}
	if signed := f.Signed(); !bytes.Equal(c.Raw, signed[0]) {
		t.Error("the certificate is not the one that was signed")
	}
	// A root that comes along is trusted for nothing.
	f.signs, f.extra = newer.Sign, newer.Chain()
	r, _ = f.request("2")
	var wrong *ca.Mismatch
	if _, err := f.issuer().Issue(t.Context(), r); !errors.As(err, &wrong) {
		t.Errorf("Issue = %v for a certificate of another CA, want a Mismatch", err)
	}
}

// cross makes a certificate for the key of subject under issuer.
func cross(t *testing.T, subject *x509.Certificate, issuer *x509.Certificate, f *catest.Foreign) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: subject.SerialNumber, RawSubject: subject.RawSubject, NotBefore: subject.NotBefore, NotAfter: subject.NotAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, subject.PublicKey, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAnIssuingCAThatChangedIsLookedUpInCACerts(t *testing.T) {
	f := newFake(t)
	newer := catest.NewForeign(t)
	f.signs = newer.Sign
	// The issuing CA of newer, certified below the known root.
	link := cross(t, newer.Issuing, f.Issuing, f.Foreign)
	f.cacerts = []*x509.Certificate{link, f.Issuing, f.Root}
	r, _ := f.request("1")
	if _, err := f.issuer().Issue(t.Context(), r); err != nil {
		t.Errorf("Issue = %v, want the certificate: its CA leads to the known root", err)
	}
}

func TestLearningFindsTheIssuingCAInAnyOrder(t *testing.T) {
	f := newFake(t)
	stranger := catest.NewForeign(t)
	for _, certs := range [][]*x509.Certificate{
		{f.Issuing, f.Root}, {f.Root, f.Issuing}, {stranger.Root, f.Root, stranger.Issuing, f.Issuing}, {f.Issuing},
	} {
		f.cacerts = certs
		s := f.config().Server
		known, err := estca.Learn(t.Context(), &s, "", []*x509.Certificate{f.Root})
		if err != nil {
			t.Fatalf("Learn: %v", err)
		}
		if len(known.Chain) != 2 || !known.Chain[0].Equal(f.Issuing) || !known.Chain[1].Equal(f.Root) || len(known.Others) != 0 {
			t.Errorf("Learn = %d in the chain and %d others, want issuing CA and root", len(known.Chain), len(known.Others))
		}
	}
}

// RFC 4210, Section 4.4: the old root vouches for the new one, and nobody else does.
func TestANewRootIsLearnedWithALinkOnly(t *testing.T) {
	f := newFake(t)
	next := catest.NewForeign(t)
	s := f.config().Server
	f.cacerts = []*x509.Certificate{next.Issuing, next.Root, f.Root}
	known, err := estca.Learn(t.Context(), &s, "", []*x509.Certificate{f.Root})
	if err == nil && (!known.Chain[len(known.Chain)-1].Equal(f.Root) || len(known.Others) > 0) {
		t.Error("Learn trusts a root that nothing links to the known one")
	}
	f.cacerts = []*x509.Certificate{next.Issuing, next.Root, f.Root, f.Issuing, cross(t, next.Root, f.Issuing, f.Foreign)}
	known, err = estca.Learn(t.Context(), &s, "", []*x509.Certificate{f.Root})
	if err != nil {
		t.Fatalf("Learn: %v", err)
	}
	if len(known.Chain) != 2 || !known.Chain[0].Equal(next.Issuing) || !known.Chain[1].Equal(next.Root) {
		t.Errorf("Learn = a chain of %d from %q, want the new root's", len(known.Chain), known.Chain[0].Subject)
	}
	if len(known.Others) != 3 {
		t.Errorf("Learn = %d others, want the old root, its issuing CA and the link", len(known.Others))
	}
	// What was learned then issues, and cacerts has it all.
	f.signs = next.Sign
	config := f.config()
	config.Chain, config.Others = known.Chain, known.Others
	issuer := f.issuerAs(config)
	r, _ := f.request("1")
	if _, err := issuer.Issue(t.Context(), r); err != nil {
		t.Errorf("Issue under the new root: %v", err)
	}
	if certs, err := issuer.CACerts(t.Context()); err != nil || len(certs) != 3 {
		t.Errorf("CACerts = %d certificates, %v, want the 3 others", len(certs), err)
	}
	// The configured root alone is not in the answer any more, but in the link.
	f.cacerts = []*x509.Certificate{next.Issuing, next.Root}
	if _, err := estca.Learn(t.Context(), &s, "", []*x509.Certificate{f.Root}); err == nil {
		t.Error("Learn takes a new root once the link is gone")
	}
	if _, err := estca.Learn(t.Context(), &s, "", append(known.Others, known.Chain...)); err != nil {
		t.Errorf("Learn with what was learned before: %v", err)
	}
}

func TestOurCertificateThatIsOverIsNotShown(t *testing.T) {
	f := newFake(t)
	config := f.config()
	config.Server.Now = func() time.Time { return time.Now().Add(25 * time.Hour) }
	r, _ := f.request("1")
	if _, err := f.issuerAs(config).Issue(t.Context(), r); !errors.Is(err, ca.ErrUnavailable) || !strings.Contains(err.Error(), "renew it") {
		t.Errorf("Issue = %v, want ErrUnavailable that says what to renew", err)
	}
}

func TestAServerThatTheAnchorsDoNotVerifyGetsNothing(t *testing.T) {
	f := newFake(t)
	config := f.config()
	config.Server.Anchors = catest.NewForeign(t).Chain()[1:]
	r, _ := f.request("1")
	if _, err := f.issuerAs(config).Issue(t.Context(), r); !errors.Is(err, ca.ErrUnavailable) {
		t.Errorf("Issue = %v, want ErrUnavailable", err)
	}
	if csrs, _ := f.requests(); len(csrs) != 0 {
		t.Error("the server got the request")
	}
}

func TestIncompleteConfigurationsAreRefused(t *testing.T) {
	f := newFake(t)
	for name, change := range map[string]func(c *estca.Config){
		"http":                  func(c *estca.Config) { c.Server.URL = "http://ca.example" },
		"a password in the URL": func(c *estca.Config) { c.Server.URL = "https://user:horse@ca.example" },
		"no anchors":            func(c *estca.Config) { c.Server.Anchors = nil },
		"nobody":                func(c *estca.Config) { c.Server.Certificate = nil },
		"no chain":              func(c *estca.Config) { c.Chain = nil },
		"half a chain":          func(c *estca.Config) { c.Chain = c.Chain[:1] },
		"fullcmc without a key": func(c *estca.Config) { c.FullCMC, c.Server.Certificate, c.Server.User = true, nil, "registrar" },
		"another's key":         func(c *estca.Config) { own := f.ra; own.PrivateKey = newKey(t); c.Server.Certificate = &own },
		"a certificate of none": func(c *estca.Config) { own := f.ra; own.Certificate = nil; c.Server.Certificate = &own },
		"a certificate that is no certificate": func(c *estca.Config) {
			own := f.ra
			own.Certificate = [][]byte{{0x30, 0}}
			c.Server.Certificate = &own
		},
	} {
		config := f.config()
		change(&config)
		if _, err := estca.New(config); err == nil {
			t.Errorf("New takes a configuration with %s", name)
		}
	}
}

func TestRevocationNeedsFullCMC(t *testing.T) {
	f := newFake(t)
	r, _ := f.request("1")
	c, err := f.issuer().Issue(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.issuer().Revoke(t.Context(), &ca.Revoked{Raw: c.Raw, Reason: 1}); !errors.Is(err, ca.ErrRejected) {
		t.Errorf("Revoke = %v, want ErrRejected: EST cannot", err)
	}
	// The fake has no fullcmc, which a server says with 404 or 501.
	config := f.config()
	config.FullCMC = true
	if err := f.issuerAs(config).Revoke(t.Context(), &ca.Revoked{Raw: c.Raw, Reason: 1}); !errors.Is(err, ca.ErrRejected) {
		t.Errorf("Revoke at a server without fullcmc = %v, want ErrRejected", err)
	}
	f.Fail(catest.Down)
	if err := f.issuerAs(config).Revoke(t.Context(), &ca.Revoked{Raw: c.Raw, Reason: 1}); !errors.Is(err, ca.ErrUnavailable) {
		t.Errorf("Revoke at a server that is down = %v, want ErrUnavailable", err)
	}
}
