package vaultca_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/ca/vaultca"
)

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

func issue(t testing.TB, c *vaultca.CA) error {
	t.Helper()
	_, err := c.Issue(t.Context(), &newOrder(t, nil).Request)
	return err
}

func TestTheNamesOfTheDecisionAreSentAndNotThoseOfTheCSR(t *testing.T) {
	wide := wideProfile(t)
	f := newFake(t)
	c := f.issuer(func(c *vaultca.Config) { c.Profiles["wide"], c.IgnoresCSRNames, c.Namespace = wide, true, "plants/one" })
	o := newOrder(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "root"}, DNSNames: []string{"root.example.com"}})
	o.Profile = "wide"
	o.Subject = pkix.Name{Organization: []string{"Plant"}, CommonName: "pump", SerialNumber: "7"}.ToRDNSequence()
	u, err := url.Parse("urn:uuid:1")
	if err != nil {
		t.Fatal(err)
	}
	o.Names = ca.Names{
		DNS: []string{"pump.example.com"}, Email: []string{"pump@example.com"}, IP: []net.IP{net.IPv4(192, 0, 2, 1)}, URI: []*url.URL{u},
	}
	// The fake signs DNS names only, so that the answer is another certificate.
	if _, err := c.Issue(t.Context(), &o.Request); !errors.Is(err, ca.ErrMismatch) && !errors.Is(err, ca.ErrRejected) {
		t.Fatalf("Issue = %v", err)
	}
	body := f.bodies[0]
	for key, want := range map[string]string{
		"common_name": "pump", "serial_number": "7", "alt_names": "pump.example.com,pump@example.com",
		"ip_sans": "[192.0.2.1]", "uri_sans": "[urn:uuid:1]",
		"exclude_cn_from_sans": "true", "not_after": o.intent.NotAfter.UTC().Format(time.RFC3339),
	} {
		if got := show(body[key]); got != want {
			t.Errorf("%s = %s, want %s", key, got, want)
		}
	}
	if last := f.namespaces[len(f.namespaces)-1]; last != "plants/one" {
		t.Errorf("X-Vault-Namespace = %q", last)
	}
}

func wideProfile(t testing.TB) *profile.Profile {
	t.Helper()
	all := &profile.NameRule{Request: true, Patterns: []string{`.*`}}
	p, err := profile.New(&profile.Document{
		Schema: profile.Schema, Name: "wide", Version: "1",
		Subject: profile.SubjectRules{Attributes: []profile.AttributeRule{
			{Type: "organization", Pattern: `.*`}, {Type: "common_name", Pattern: `.*`}, {Type: "serial_number", Pattern: `.*`},
		}},
		SAN: profile.NameRules{
			DNS: all, URI: all, Email: all, IP: &profile.IPRule{Request: true},
		},
		Keys:     []profile.KeyRule{{Type: "ecdsa", Curves: []string{"p256"}}},
		KeyUsage: []string{"digital_signature"}, ExtendedKeyUsage: []string{"client_auth"}, Validity: profile.Validity{Lifetime: "30d"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNamesThatVaultCannotBeToldAreRefusedBeforeTheRecord(t *testing.T) {
	f := newFake(t)
	cn := pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "device-1"}
	org := pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "Plant"}
	for name, change := range map[string]func(r *ca.Request){
		"an order that it does not write": func(r *ca.Request) { r.Subject = pkix.RDNSequence{{cn}, {org}} },
		"two in one":                      func(r *ca.Request) { r.Subject = pkix.RDNSequence{{cn, org}} },
		"twice":                           func(r *ca.Request) { r.Subject = pkix.RDNSequence{{cn}, {cn}} },
		"an attribute that it has not":    func(r *ca.Request) { r.Subject[0][0].Type = asn1.ObjectIdentifier{2, 5, 4, 12} },
		"a comma":                         func(r *ca.Request) { r.Names.DNS = []string{"a.example.com,b.example.com"} },
		"an email address as a DNS name":  func(r *ca.Request) { r.Names.DNS = []string{"a@b.example.com"} },
		"another type of name":            func(r *ca.Request) { r.Names.Other = [][]byte{{0x88, 1, 42}} },
		"a CSR with another common name":  func(r *ca.Request) { r.Subject = pkix.RDNSequence{{{Type: cn.Type, Value: "device-2"}}} },
		"a CSR with other names":          func(r *ca.Request) { r.Names.DNS = []string{"device-2.example.com"} },
	} {
		o := newOrder(t, nil)
		change(&o.Request)
		if _, err := f.issuer(nil).Issue(t.Context(), &o.Request); !errors.Is(err, ca.ErrRejected) || o.intent != nil {
			t.Errorf("%s: Issue = %v, want ErrRejected before the record", name, err)
		}
	}
	if len(f.bodies) != 0 {
		t.Errorf("Vault was asked %d times", len(f.bodies))
	}
}

func TestEachLoginGetsATokenOnce(t *testing.T) {
	f := newFake(t)
	token, _ := f.newToken()
	f.wrapped["hvs.wrapping"] = true
	own := f.certificate()
	for name, login := range map[string]vaultca.Login{
		"a token":              {Token: func() (string, error) { return token, nil }},
		"an AppRole":           f.config().Login,
		"a wrapped secret ID":  {RoleID: roleID, SecretID: func() (string, error) { return "hvs.wrapping", nil }, Wrapped: true},
		"a client certificate": {Certificate: &own, CertRole: "registrar"},
	} {
		token, _ = f.newToken() // the cases before have ended theirs
		c := f.issuer(func(c *vaultca.Config) { c.Login = login })
		before := f.logins
		for range 3 {
			if err := issue(t, c); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		want := 1
		if login.Token != nil {
			want = 0
		}
		if got := f.logins - before; got != want {
			t.Errorf("%s: %d logins for 3 certificates, want %d", name, got, want)
		}
		// A token that was revoked is replaced, but for one that is another's.
		f.with(func() { clear(f.tokens) })
		err := issue(t, c)
		if login.Token == nil && err != nil {
			t.Errorf("%s: after its token was revoked, Issue = %v", name, err)
		}
		if login.Token != nil {
			if !errors.Is(err, ca.ErrUnavailable) {
				t.Errorf("%s: after it was revoked, Issue = %v, want ErrUnavailable", name, err)
			}
			token, _ = f.newToken() // the operator's
			if err := issue(t, c); err != nil {
				t.Errorf("%s: after it was replaced, Issue = %v", name, err)
			}
		}
	}
}

func TestATokenIsRenewedBeforeItsLeaseEndsAndReplacedAfter(t *testing.T) {
	f := newFake(t)
	c := f.issuer(func(c *vaultca.Config) { c.Now = f.clock })
	steps := []struct {
		pass             time.Duration
		logins, renewals int
	}{{0, 1, 0}, {30 * time.Minute, 1, 0}, {15 * time.Minute, 1, 1}, {41 * time.Minute, 1, 2}, {2 * time.Hour, 2, 2}}
	for i, s := range steps {
		f.later(s.pass)
		if err := issue(t, c); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if f.logins != s.logins || f.renewals != s.renewals {
			t.Errorf("step %d: %d logins and %d renewals, want %d and %d", i, f.logins, f.renewals, s.logins, s.renewals)
		}
	}
	f.renewable = false
	f.later(2 * time.Hour)
	for range 2 {
		if err := issue(t, c); err != nil {
			t.Fatal(err)
		}
		f.later(50 * time.Minute) // due, and it cannot be renewed
	}
	if f.logins != 4 || f.renewals != 2 {
		t.Errorf("%d logins and %d renewals of tokens that cannot be renewed, want 4 and 2", f.logins, f.renewals)
	}
}

// The old token holds until its end, whatever the renewal says.
func TestAFailedRenewalStopsNothingWhileTheTokenHolds(t *testing.T) {
	f := newFake(t)
	c := f.issuer(func(c *vaultca.Config) { c.Now = f.clock })
	if err := issue(t, c); err != nil {
		t.Fatal(err)
	}
	f.renewable, f.secret = false, "changed"
	c2 := f.issuer(func(c *vaultca.Config) { c.Now = f.clock })
	f.later(50 * time.Minute)
	if err := issue(t, c); err != nil {
		t.Errorf("with a token that still holds, Issue = %v", err)
	}
	if err := issue(t, c2); !errors.Is(err, ca.ErrUnavailable) {
		t.Errorf("with a wrong secret ID, Issue = %v, want ErrUnavailable", err)
	}
}

func TestOneLoginServesAllWhoAskAtOnce(t *testing.T) {
	f := newFake(t)
	c := f.issuer(nil)
	done := make(chan error)
	for range 16 {
		o := newOrder(t, nil)
		go func() {
			_, err := c.Issue(context.Background(), &o.Request)
			done <- err
		}()
	}
	for range 16 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if f.logins != 1 {
		t.Errorf("%d logins, want 1", f.logins)
	}
}

func TestASealedVaultIsUnavailableAndSearchesNothing(t *testing.T) {
	f := newFake(t)
	c := f.issuer(nil)
	if err := issue(t, c); err != nil {
		t.Fatal(err)
	}
	f.with(func() { f.sealed = true })
	o := newOrder(t, nil)
	_, err := c.Issue(t.Context(), &o.Request)
	again := o.again(t, err)
	f.with(func() { f.sealed = false })
	if _, err := c.Issue(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if f.lists != 0 {
		t.Errorf("certificates were listed %d times for a request that a sealed server refused", f.lists)
	}
}

func TestTheCertificateWhoseAnswerWasLostIsTheOneThatIsGiven(t *testing.T) {
	f := newFake(t)
	c := f.issuer(nil)
	o := newOrder(t, nil)
	// An earlier certificate for the same key and names, of another order.
	early := f.Foreign.Sign(&catest.Wish{
		PublicKey: o.PublicKey, RawSubject: mustSubject(t, o), DNS: o.Names.DNS,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	})
	f.store(early)
	f.Fail(catest.AnswerLost)
	_, err := c.Issue(t.Context(), &o.Request)
	again := o.again(t, err)
	f.Fail(catest.Down)
	_, err = c.Issue(t.Context(), again)
	again = o.again(t, err)
	f.Fail(catest.None)
	got, err := c.Issue(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	signed := f.Signed()
	if len(signed) != 2 || !bytes.Equal(got.Raw, signed[1]) {
		t.Errorf("%d certificates were signed, want the earlier one and the lost one, which is given", len(signed))
	}
}

func mustSubject(t testing.TB, o *order) []byte {
	t.Helper()
	der, err := asn1.Marshal(o.Subject)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Where nobody can look, the operator is told, and the device gets another one.
func TestALostCertificateThatCannotBeFoundIsLogged(t *testing.T) {
	for name, change := range map[string]func(f *fake, c *vaultca.Config){
		"no search":             func(_ *fake, c *vaultca.Config) { c.Search = 0 },
		"too many certificates": func(_ *fake, c *vaultca.Config) { c.Search = 1 },
		"no permission":         func(f *fake, _ *vaultca.Config) { f.mayList = false },
	} {
		f := newFake(t)
		for range 2 {
			f.store(f.Other(&catest.Wish{NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}))
		}
		var log bytes.Buffer
		c := f.issuer(func(c *vaultca.Config) {
			change(f, c)
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
		})
		o := newOrder(t, nil)
		f.Fail(catest.AnswerLost)
		_, err := c.Issue(t.Context(), &o.Request)
		f.Fail(catest.None)
		if _, err := c.Issue(t.Context(), o.again(t, err)); err != nil {
			t.Errorf("%s: Issue = %v", name, err)
		}
		if !strings.Contains(log.String(), "a certificate that nobody has may stay valid") {
			t.Errorf("%s: the operator is not told:\n%s", name, &log)
		}
	}
}

func TestRevocationsAreToldByTheCertificateItself(t *testing.T) {
	f := newFake(t)
	f.noStore = true
	c := f.issuer(nil)
	o := newOrder(t, nil)
	issued, err := c.Issue(t.Context(), &o.Request)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Revoke(t.Context(), &ca.Revoked{Raw: issued.Raw, At: time.Now(), Reason: 1}); err != nil {
			t.Error(err)
		}
	}
	if !f.revoked[colons(issued.Raw)] {
		t.Error("Vault was not told")
	}
	for _, reason := range []int{6, 8} {
		if err := c.Revoke(t.Context(), &ca.Revoked{Raw: issued.Raw, Reason: reason}); !errors.Is(err, ca.ErrRejected) {
			t.Errorf("Revoke with reason %d = %v, want ErrRejected", reason, err)
		}
	}
	foreign := catest.NewForeign(t).Other(&catest.Wish{NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)})
	if err := c.Revoke(t.Context(), &ca.Revoked{Raw: foreign, Reason: 1}); !errors.Is(err, ca.ErrRejected) {
		t.Errorf("Revoke of another CA's = %v, want ErrRejected", err)
	}
	f.Fail(catest.Overloaded)
	if err := c.Revoke(t.Context(), &ca.Revoked{Raw: issued.Raw, Reason: 1}); !errors.Is(err, ca.ErrUnavailable) {
		t.Errorf("Revoke while it is overloaded = %v, want ErrUnavailable", err)
	}
}

func TestNoSecretIsLoggedOrInAnError(t *testing.T) {
	f := newFake(t)
	var log bytes.Buffer
	all := func(c *vaultca.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) }
	c := f.issuer(all)
	for _, fault := range []catest.Fault{catest.RefusesUs, catest.Refuses, catest.AnswerLost, catest.Garbage, catest.Down} {
		f.Fail(fault)
		if err := issue(t, c); err != nil {
			log.WriteString(err.Error())
		}
	}
	f.Fail(catest.None)
	f.with(func() { f.secret = "changed" })
	if err := issue(t, f.issuer(all)); err != nil {
		log.WriteString(err.Error())
	}
	f.with(func() { clear(f.tokens) })
	err := issue(t, f.issuer(func(c *vaultca.Config) {
		all(c)
		c.Login = vaultca.Login{Token: func() (string, error) { return "hvs.stolen", nil }}
	}))
	log.WriteString(err.Error())
	for _, secret := range []string{"swordfish", "hvs."} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is in a log or an error:\n%s", secret, &log)
		}
	}
	for _, want := range []string{"Vault refuses the registrar's token", "Vault does not log the registrar in", "Vault does not take the registrar's token"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the operator is not told %q", want)
		}
	}
}

func TestAServerThatOurAnchorsDoNotKnowGetsNoSecret(t *testing.T) {
	f := newFake(t)
	c := f.issuer(func(c *vaultca.Config) { c.Anchors = []*x509.Certificate{catest.NewForeign(t).Root} })
	err := issue(t, c)
	var later *ca.Later
	if !errors.Is(err, ca.ErrUnavailable) || errors.As(err, &later) || f.logins != 0 {
		t.Errorf("Issue = %v, want ErrUnavailable and no login", err)
	}
}

func TestKeepAliveRenewsWhileNothingIsIssued(t *testing.T) {
	f := newFake(t)
	f.lease = 3 * time.Second // due after 2
	c := f.issuer(nil)
	stop := keep(t.Context(), c)
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for renewed := false; !renewed; {
		select {
		case <-tick.C:
			f.with(func() { renewed = f.renewals > 0 })
		case <-deadline:
			t.Fatal("the token was not renewed")
		}
	}
	stop()
	if f.logins != 1 {
		t.Errorf("%d logins, want 1", f.logins)
	}
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		change func(f *fake, c *vaultca.Config)
		want   string
	}{
		"nothing":             {func(*fake, *vaultca.Config) {}, ""},
		"a sealed server":     {func(f *fake, _ *vaultca.Config) { f.sealed = true }, "is sealed"},
		"another issuer":      {func(f *fake, c *vaultca.Config) { c.Chain = catest.NewForeign(t).Chain() }, "mend the chain"},
		"no such role":        {func(_ *fake, c *vaultca.Config) { c.Role = "nobody" }, `has no role "nobody"`},
		"names from the CSR":  {func(f *fake, _ *vaultca.Config) { f.csrNames = true }, "use_csr_sans=false"},
		"a wrong secret":      {func(f *fake, _ *vaultca.Config) { f.secret = "changed" }, "invalid role or secret ID"},
		"a certificate's end": {func(_ *fake, c *vaultca.Config) { c.Login = vaultca.Login{Certificate: selfMade(t)} }, "invalid certificate"},
	} {
		f := newFake(t)
		config := f.config()
		c.change(f, &config)
		v, err := vaultca.New(config)
		if err != nil {
			t.Fatal(err)
		}
		err = v.Check(t.Context())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: Check = %v, want %q", name, err, c.want)
		}
	}
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	f := newFake(t)
	for name, change := range map[string]func(c *vaultca.Config){
		"no TLS":          func(c *vaultca.Config) { c.URL = strings.Replace(c.URL, "https", "http", 1) },
		"a path":          func(c *vaultca.Config) { c.URL += "/v1" },
		"no role":         func(c *vaultca.Config) { c.Role = "" },
		"a role upstairs": func(c *vaultca.Config) { c.Role = "../sys/seal" },
		"a query":         func(c *vaultca.Config) { c.Mount = "pki?x" },
		"no chain":        func(c *vaultca.Config) { c.Chain = nil },
		"no anchors":      func(c *vaultca.Config) { c.Anchors = nil },
		"no login":        func(c *vaultca.Config) { c.Login = vaultca.Login{} },
		"two logins":      func(c *vaultca.Config) { c.Login.Token = func() (string, error) { return "x", nil } },
		"wrapped nothing": func(c *vaultca.Config) { c.Login.SecretID, c.Login.Wrapped = nil, true },
	} {
		config := f.config()
		change(&config)
		if _, err := vaultca.New(config); err == nil {
			t.Errorf("%s: New takes it", name)
		}
	}
}

// The state of another issuer, or of none, is no reason to sign twice.
func TestAStateThatIsNotOursIsTakenForTheWorst(t *testing.T) {
	f := newFake(t)
	c := f.issuer(nil)
	o := newOrder(t, nil)
	f.Fail(catest.AnswerLost)
	_, err := c.Issue(t.Context(), &o.Request)
	again := o.again(t, err)
	f.Fail(catest.None)
	again.State = []byte("queue 7")
	if _, err := c.Issue(t.Context(), again); !errors.Is(err, ca.ErrRejected) {
		t.Errorf("Issue with another's state = %v, want ErrRejected", err)
	}
	again.State = nil
	if _, err := c.Issue(t.Context(), again); err != nil || len(f.Signed()) != 1 {
		t.Errorf("Issue without the state = %v, %d signed; want the lost certificate", err, len(f.Signed()))
	}
}
