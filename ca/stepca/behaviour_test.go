package stepca_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/ca/stepca"
)

func unbase64(t testing.TB, text string) []byte {
	t.Helper()
	value, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func hashOf(key crypto.Signer) crypto.Hash {
	if _, ok := key.Public().(ed25519.PublicKey); ok {
		return 0
	}
	return crypto.SHA256
}

// order is one good request, and its intent once it was recorded.
type order struct {
	ca.Request
	intent *ca.Intent
}

func newOrder(t testing.TB, csr *x509.CertificateRequest) *order {
	t.Helper()
	key := newKey(t)
	if csr == nil {
		csr = &x509.CertificateRequest{Subject: pkix.Name{CommonName: "device-1"}, DNSNames: []string{"device-1.example.com"}}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, csr, key)
	if err != nil {
		t.Fatal(err)
	}
	o := &order{Request: ca.Request{
		ID: "issuance 1", Profile: "device", PublicKey: key.Public(), Subject: pkix.Name{CommonName: "device-1"}.ToRDNSequence(),
		Names: ca.Names{DNS: []string{"device-1.example.com"}}, CSR: der,
	}}
	o.Record = func(_ context.Context, in *ca.Intent) error {
		o.intent = in
		return nil
	}
	return o
}

// again is the request as it is asked for again after a ca.Later.
func (o *order) again(t testing.TB, err error) *ca.Request {
	t.Helper()
	var later *ca.Later
	if !errors.As(err, &later) || !errors.Is(err, ca.ErrUnavailable) {
		t.Fatalf("Issue = %v, want a Later with ErrUnavailable", err)
	}
	next := o.Request
	next.Asked, next.State = o.intent, later.State
	return &next
}

// tokenIDs are the identifiers of the tokens that the server saw for sign.
func (f *fake) tokenIDs(t testing.TB) []string {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []string
	for _, body := range f.bodies {
		var b struct {
			Token string `json:"ott"`
		}
		var p struct {
			ID string `json:"jti"`
		}
		if json.Unmarshal([]byte(body), &b) != nil || json.Unmarshal(unbase64(t, strings.Split(b.Token, ".")[1]), &p) != nil {
			t.Fatalf("a token without an identifier in %s", body)
		}
		ids = append(ids, p.ID)
	}
	return ids
}

func TestAnIssuanceHasOneTokenUntilStepCATakesIt(t *testing.T) {
	f := newFake(t)
	o := newOrder(t, nil)
	f.Fail(catest.Overloaded)
	c := f.issuer()
	_, err := c.Issue(t.Context(), &o.Request)
	for range 2 {
		_, err = c.Issue(t.Context(), o.again(t, err))
	}
	f.Fail(catest.None)
	if _, err := f.issuer().Issue(t.Context(), o.again(t, err)); err != nil { // another process
		t.Fatal(err)
	}
	ids := f.tokenIDs(t)
	if len(ids) != 4 || ids[0] != ids[1] || ids[1] != ids[2] || ids[2] != ids[3] {
		t.Errorf("tokens of one issuance have the identifiers %q, want one", ids)
	}
}

func TestACertificateWhoseAnswerWasLostIsRevokedBeforeTheNextIsAskedFor(t *testing.T) {
	f := newFake(t)
	f.template = true
	o := newOrder(t, nil)
	f.Fail(catest.AnswerLost)
	_, err := f.issuer().Issue(t.Context(), &o.Request)
	again := o.again(t, err)
	// It is lost a second time.
	if _, err = f.issuer().Issue(t.Context(), again); err == nil {
		t.Fatal("Issue gave a certificate whose answer was lost")
	}
	f.Fail(catest.None)
	if _, err := f.issuer().Issue(t.Context(), o.again(t, err)); err != nil {
		t.Fatal(err)
	}
	ids := f.tokenIDs(t)
	live := 0
	for id, serial := range f.serials {
		number, ok := new(big.Int).SetString(serial, 0)
		if !ok || number.Sign() != 1 || number.BitLen() > 127 {
			t.Errorf("the token %s asks for the serial number %q", id, serial)
			continue
		}
		if _, revoked := f.revoked[number.String()]; !revoked {
			live++
			if id != ids[len(ids)-1] {
				t.Errorf("the certificate of the token %s is not revoked, and it is not the last", id)
			}
		}
	}
	if len(f.serials) != 3 || live != 1 {
		t.Errorf("%d certificates were signed and %d of them live, want 3 and 1", len(f.serials), live)
	}
}

func TestNothingIsAskedForAgainWhenTheLostCertificateCannotBeRevoked(t *testing.T) {
	f := newFake(t)
	f.template = true
	o := newOrder(t, nil)
	f.Fail(catest.AnswerLost)
	_, err := f.issuer().Issue(t.Context(), &o.Request)
	again := o.again(t, err)
	f.Fail(catest.Overloaded) // both
	_, err = f.issuer().Issue(t.Context(), again)
	o.again(t, err)
	if n := len(f.Signed()); n != 1 {
		t.Errorf("%d certificates were signed, want 1", n)
	}
}

// What was asked for once stays open while the server is down: nobody knows
// whether it was signed.
func TestAnOpenIssuanceStaysOpenWhileStepCAIsDown(t *testing.T) {
	f := newFake(t)
	o := newOrder(t, nil)
	f.Fail(catest.AnswerLost)
	_, err := f.issuer().Issue(t.Context(), &o.Request)
	again := o.again(t, err)
	for _, fault := range []catest.Fault{catest.Down, catest.RefusesUs} {
		f.Fail(fault)
		_, err = f.issuer().Issue(t.Context(), again)
		again = o.again(t, err)
	}
	f.Fail(catest.None)
	if _, err := f.issuer().Issue(t.Context(), again); err != nil {
		t.Error(err)
	}
}

func TestAnX5CProvisionerPresentsItsCertificates(t *testing.T) {
	f := newFake(t)
	key := newKey(t)
	raw := f.Other(&catest.Wish{NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)})
	other, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	config := f.config()
	config.Key, config.Certificates = key, []*x509.Certificate{other}
	if _, err := stepca.New(config); err == nil {
		t.Error("New takes a key that is not that of the certificate")
	}
	mine := f.Foreign.Sign(&catest.Wish{PublicKey: key.Public(), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)})
	certificate, err := x509.ParseCertificate(mine)
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates = []*x509.Certificate{certificate}
	c, err := stepca.New(config)
	if err != nil {
		t.Fatal(err)
	}
	o := newOrder(t, nil)
	issued, err := c.Issue(t.Context(), &o.Request)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Revoke(t.Context(), &ca.Revoked{Raw: issued.Raw, Reason: 1}); err != nil {
		t.Error(err)
	}
}

func TestNamesThatStepCACannotBeToldAreRefusedBeforeTheRecord(t *testing.T) {
	wide, err := profile.New(&profile.Document{
		Schema: profile.Schema, Name: "wide", Version: "1",
		Subject: profile.SubjectRules{Attributes: []profile.AttributeRule{
			{Type: "common_name", Pattern: `.*`}, {Type: "serial_number", Pattern: `.*`},
		}},
		SAN: profile.NameRules{
			DNS: &profile.NameRule{Request: true, Patterns: []string{`.*`}}, URI: &profile.NameRule{Request: true, Patterns: []string{`.*`}},
		},
		Keys:     []profile.KeyRule{{Type: "ecdsa", Curves: []string{"p256"}}},
		KeyUsage: []string{"digital_signature"}, ExtendedKeyUsage: []string{"client_auth"}, Validity: profile.Validity{Lifetime: "30d"},
	})
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(t)
	config := f.config()
	config.Profiles["wide"] = wide
	for name, change := range map[string]func(r *ca.Request){
		"no SAN":         func(r *ca.Request) { r.Names = ca.Names{} },
		"a longer Name":  func(r *ca.Request) { r.Subject = pkix.Name{CommonName: "device-1", SerialNumber: "7"}.ToRDNSequence() },
		"another type":   func(r *ca.Request) { r.Names.Other = [][]byte{{0x88, 1, 42}} },
		"a URI as a DNS": func(r *ca.Request) { r.Names.DNS = []string{"urn:x"} },
		"a bare URI":     func(r *ca.Request) { r.Names.URI = []*url.URL{{Path: "x"}} },
		"a CSR with another common name": func(r *ca.Request) {
			r.Subject = pkix.Name{CommonName: "device-2"}.ToRDNSequence()
		},
		"a CSR with other names": func(r *ca.Request) { r.Names.DNS = []string{"device-2.example.com"} },
	} {
		c, err := stepca.New(config)
		if err != nil {
			t.Fatal(err)
		}
		o := newOrder(t, nil)
		o.Profile = "wide"
		change(&o.Request)
		if _, err := c.Issue(t.Context(), &o.Request); !errors.Is(err, ca.ErrRejected) || o.intent != nil {
			t.Errorf("%s: Issue = %v, want ErrRejected before the record", name, err)
		}
	}
	if len(f.bodies) != 0 {
		t.Errorf("step-ca was asked %d times", len(f.bodies))
	}
}

func TestATemplateOfOursTakesTheWholeSubject(t *testing.T) {
	f := newFake(t)
	f.template = true
	config := f.config()
	p, err := profile.New(&profile.Document{
		Schema: profile.Schema, Name: "plate", Version: "1",
		Subject:  profile.SubjectRules{Attributes: []profile.AttributeRule{{Type: "serial_number", Pattern: `.*`}}},
		Keys:     []profile.KeyRule{{Type: "ecdsa", Curves: []string{"p256"}}},
		KeyUsage: []string{"digital_signature"}, ExtendedKeyUsage: []string{"client_auth"}, Validity: profile.Validity{Lifetime: "30d"},
	})
	if err != nil {
		t.Fatal(err)
	}
	config.Profiles["plate"] = p
	c, err := stepca.New(config)
	if err != nil {
		t.Fatal(err)
	}
	o := newOrder(t, &x509.CertificateRequest{Subject: pkix.Name{SerialNumber: "7"}})
	o.Profile, o.Subject, o.Names = "plate", pkix.Name{SerialNumber: "7"}.ToRDNSequence(), ca.Names{}
	if _, err := c.Issue(t.Context(), &o.Request); err != nil {
		t.Error(err)
	}
}

func TestRevocationsAreToldOnceOrMoreOften(t *testing.T) {
	f := newFake(t)
	c := f.issuer()
	o := newOrder(t, nil)
	issued, err := c.Issue(t.Context(), &o.Request)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Revoke(t.Context(), &ca.Revoked{Raw: issued.Raw, At: time.Now(), Reason: 1}); err != nil {
			t.Errorf("Revoke: %v", err)
		}
	}
	if reason, ok := f.revoked[new(big.Int).SetBytes(issued.Serial).String()]; !ok || reason != 1 {
		t.Errorf("step-ca has the reason %d, %t, want 1", reason, ok)
	}
	for _, reason := range []int{6, 8} {
		if err := c.Revoke(t.Context(), &ca.Revoked{Raw: issued.Raw, Reason: reason}); !errors.Is(err, ca.ErrRejected) {
			t.Errorf("Revoke with reason %d = %v, want ErrRejected", reason, err)
		}
	}
	f.Fail(catest.Overloaded)
	if err := c.Revoke(t.Context(), &ca.Revoked{Raw: issued.Raw, Reason: 1}); !errors.Is(err, ca.ErrUnavailable) {
		t.Errorf("Revoke while it is overloaded = %v, want ErrUnavailable", err)
	}
	if err := c.Revoke(t.Context(), &ca.Revoked{Raw: []byte("30"), Reason: 1}); err == nil || errors.Is(err, ca.ErrUnavailable) {
		t.Errorf("Revoke of garbage = %v, want a final error", err)
	}
}

func TestAServerThatOurAnchorsDoNotKnowGetsNoToken(t *testing.T) {
	f := newFake(t)
	config := f.config()
	config.Anchors = []*x509.Certificate{catest.NewForeign(t).Root}
	c, err := stepca.New(config)
	if err != nil {
		t.Fatal(err)
	}
	o := newOrder(t, nil)
	_, err = c.Issue(t.Context(), &o.Request)
	var later *ca.Later
	if !errors.Is(err, ca.ErrUnavailable) || errors.As(err, &later) || len(f.bodies) != 0 {
		t.Errorf("Issue = %v, want ErrUnavailable and nothing sent", err)
	}
}

func TestNoTokenIsLoggedOrInAnError(t *testing.T) {
	f := newFake(t)
	var log bytes.Buffer
	config := f.config()
	config.Log = slog.New(slog.NewTextHandler(&log, nil))
	c, err := stepca.New(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range []catest.Fault{catest.RefusesUs, catest.Refuses, catest.AnswerLost, catest.Garbage} {
		f.Fail(fault)
		o := newOrder(t, nil)
		o.ID = string(fault)
		_, err := c.Issue(t.Context(), &o.Request)
		if err == nil {
			t.Fatalf("%s: Issue worked", fault)
		}
		log.WriteString(err.Error())
	}
	if !strings.Contains(log.String(), "step-ca refuses the provisioner's token") {
		t.Errorf("the operator is not told of a refused token:\n%s", &log)
	}
	if strings.Contains(log.String(), "eyJ") {
		t.Errorf("a token is in a log or an error:\n%s", &log)
	}
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	f := newFake(t)
	for _, c := range []struct {
		change func(c *stepca.Config)
		want   string
	}{
		{func(*stepca.Config) {}, ""},
		{func(c *stepca.Config) { c.Provisioner = "nobody" }, `no JWK provisioner "nobody"`},
		{func(c *stepca.Config) { c.KeyID = "other" }, `no JWK provisioner "registrar"`},
		{func(c *stepca.Config) { c.Anchors = c.Chain[1:]; c.Chain = catest.NewForeign(t).Chain() }, "another root"},
	} {
		err := f.check(t.Context(), c.change)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("Check = %v, want %q", err, c.want)
		}
	}
	f.health = "sick"
	if err := f.check(t.Context(), func(*stepca.Config) {}); err == nil || !strings.Contains(err.Error(), "sick") {
		t.Errorf("Check of a sick server = %v", err)
	}
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	f := newFake(t)
	for name, change := range map[string]func(c *stepca.Config){
		"no TLS":              func(c *stepca.Config) { c.URL = strings.Replace(c.URL, "https", "http", 1) },
		"a password":          func(c *stepca.Config) { c.URL = strings.Replace(c.URL, "://", "://u:p@", 1) },
		"a path":              func(c *stepca.Config) { c.URL += "/x" },
		"no provisioner":      func(c *stepca.Config) { c.Provisioner = "" },
		"no key":              func(c *stepca.Config) { c.Key = nil },
		"no chain":            func(c *stepca.Config) { c.Chain = nil },
		"a chain upside down": func(c *stepca.Config) { c.Chain = []*x509.Certificate{c.Chain[1], c.Chain[0]} },
		"half a chain":        func(c *stepca.Config) { c.Chain = c.Chain[:1] },
	} {
		config := f.config()
		change(&config)
		if _, err := stepca.New(config); err == nil {
			t.Errorf("%s: New takes it", name)
		}
	}
}
