package registrar_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/httpauth"
	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// digestHouse takes Digest at the label "", and nothing else of HTTP.
func digestHouse(t *testing.T, md5 bool) *house {
	return newHouse(t, func(h *house) {
		l := h.settings.Labels[""]
		l.Basic, l.Digest, l.DigestMD5 = false, true, md5
	})
}

// challenged sends a request without credentials and returns what it is challenged for.
func (r *request) challenged() []httpauth.Challenge {
	r.h.t.Helper()
	_, err := r.send()
	var e *est.Error
	if !errors.As(err, &e) || e.Status != 401 || len(e.Challenges) == 0 {
		r.h.t.Fatalf("error = %v, want a 401 with challenges", err)
	}
	return httpauth.ParseChallenges(e.Challenges)
}

// authorized gives the request the credentials of an Authorization line.
func (r *request) authorized(line string) *request {
	q := httptest.NewRequest("POST", "/.well-known/est/"+string(r.op), nil)
	q.Header.Set("Authorization", line)
	p := est.NewPeer(q)
	r.peer.User, r.peer.Secret, r.peer.Digest, r.peer.Bearer = p.User, p.Secret, p.Digest, p.Bearer
	return r
}

func (r *request) digest(c *httpauth.Client) *request {
	return r.authorized(c.Authorization("POST", "/.well-known/est/"+string(r.op)))
}

func (h *house) digestClient(user string) *httpauth.Client {
	return &httpauth.Client{User: user, Password: h.passwords[user].Reveal(), AllowMD5: true}
}

// RFC 7616, Section 3.
func TestADigestEnrollsWhatItsCredentialMay(t *testing.T) {
	for _, md5 := range []bool{false, true} {
		h := digestHouse(t, md5)
		client := h.digestClient(alone)
		challenges := h.enroll(alone).challenged()
		if md5 { // of both the first: libest and Bouncy Castle 1.72 know no other
			challenges = challenges[:1]
		}
		if chosen, err := client.Choose(challenges); err != nil || (chosen.Param("algorithm") == "") != md5 {
			t.Fatalf("Choose(%v) = %v, %v", challenges, chosen, err)
		}
		h.enroll(alone).digest(client).mustSend()
		h.enroll("dev-2").digest(client).refusedAs(registrar.ReasonForeignName, 403)
		issued := h.entries(registrar.KindCertificateIssued)
		if len(issued) != 1 || !strings.Contains(string(issued[0].Body), `"credential":"digest:dev-1"`) {
			t.Errorf("trail = %s", issued[0].Body)
		}
	}
}

// EST-7616-5-01, RFC 7616, Section 5.5: nonces expire, and what was sent is good once.
func TestADigestIsGoodOnceAndForAWhile(t *testing.T) {
	h := digestHouse(t, false)
	client := h.digestClient(group)
	if _, err := client.Choose(h.enroll("a").challenged()); err != nil {
		t.Fatal(err)
	}
	first := h.enroll("a").digest(client)
	first.mustSend()
	e := first.refusedAs(registrar.ReasonStaleDigest, 401)
	if c := httpauth.ParseChallenges(e.Challenges); len(c) != 1 || !c[0].Stale() {
		t.Errorf("the challenge after a replay is %q, want stale=true", e.Challenges)
	}
	h.enroll("b").digest(client).mustSend()
	h.advance(6 * time.Minute)
	h.enroll("c").digest(client).refusedAs(registrar.ReasonStaleDigest, 401)
	forged := h.digestClient(group)
	if _, err := forged.Choose([]httpauth.Challenge{*httpauth.DigestChallenge(httpauth.SHA256, "est", "bm9uY2U", false)}); err != nil {
		t.Fatal(err)
	}
	h.enroll("c").digest(forged).refusedAs(registrar.ReasonStaleDigest, 401)
	if n := len(h.certificates("")); n != 2 {
		t.Errorf("%d issuances, want 2", n)
	}
}

func TestADigestIsRefused(t *testing.T) {
	h := digestHouse(t, false)
	nonce := h.enroll("a").challenged()[0].Param("nonce")
	wrong := h.passwords[group] + "x"
	for _, c := range []struct {
		what, user string
		password   est.Secret
		algorithm  httpauth.Algorithm
		realm      string
	}{
		{"a wrong password", group, wrong, httpauth.SHA256, "est"},
		{"a user that does not exist", "nobody", wrong, httpauth.SHA256, "est"},
		{"MD5 where it is not allowed", group, h.passwords[group], httpauth.MD5, "est"},
		{"another realm", group, h.passwords[group], httpauth.SHA256, "elsewhere"},
	} {
		client := &httpauth.Client{User: c.user, Password: c.password.Reveal(), AllowMD5: true}
		if _, err := client.Choose([]httpauth.Challenge{*httpauth.DigestChallenge(c.algorithm, c.realm, nonce, false)}); err != nil {
			t.Fatal(err)
		}
		_, err := h.enroll("a").digest(client).send()
		var e *est.Error
		if !errors.As(err, &e) || e.Reason != registrar.ReasonBadCredentials || e.Status != 401 || httpauth.ParseChallenges(e.Challenges)[0].Stale() {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	check(t, h.service.DisableCredential(t.Context(), "", "test", group))
	client := h.digestClient(group)
	if _, err := client.Choose(h.enroll("a").challenged()); err != nil {
		t.Fatal(err)
	}
	h.enroll("a").digest(client).refusedAs(registrar.ReasonBadCredentials, 401)
	h.enroll("a").basic(group).refusedAs(registrar.ReasonNoCredentials, 401) // Digest would help
}

// HA1 is as good as the password: it is there where a label takes Digest, and not elsewhere.
func TestWhatDigestNeedsIsKeptWhereItIsTakenOnly(t *testing.T) {
	for _, c := range []struct{ digest, md5 bool }{{}, {digest: true}, {md5: true}, {true, true}} {
		h := newHouse(t, func(h *house) {
			h.settings.Labels[""].Digest, h.settings.Labels[""].DigestMD5 = c.digest, c.md5
		})
		k, err := h.store.Credential(t.Context(), registrar.DefaultDomain, group)
		if err != nil || (k.HA1 != "") != c.digest || (k.HA1MD5 != "") != c.md5 || (k.Realm != "") != (c.digest || c.md5) {
			t.Errorf("%+v: realm %q, HA1 %t, MD5 %t, %v", c, k.Realm, k.HA1 != "", k.HA1MD5 != "", err)
		}
		listed, err := h.service.ListCredentials(t.Context(), "")
		if err != nil || listed[0].HA1 != "" || listed[0].HA1MD5 != "" {
			t.Errorf("ListCredentials shows what Digest needs: %v", err)
		}
	}
}

// tokens is a VerifyToken of tests: "good NAME", anything else is bad, and it can fail.
type tokens struct{ down bool }

func (k *tokens) verify(_ context.Context, token est.Secret, _ time.Time) (*registrar.Token, error) {
	if k.down {
		return nil, errDown
	}
	name, ok := strings.CutPrefix(token.Reveal(), "good.")
	if !ok {
		return nil, registrar.ErrToken
	}
	return &registrar.Token{Name: name, Issuer: "https://issuer.example", Subject: "u-1", ID: "j-1"}, nil
}

// RFC 6750, Section 3.
func TestABearerTokenEnrollsTheDeviceThatItNames(t *testing.T) {
	issuer := &tokens{}
	h := newHouse(t, func(h *house) {
		h.settings.Labels["tokens"] = &registrar.Label{Profile: h.profile("device"), Tokens: issuer.verify}
	})
	c := h.enroll("sensor-7").label("tokens").challenged()
	if len(c) != 1 || !c[0].Is("Bearer") || c[0].Param("error") != "" {
		t.Errorf("challenges = %v", c)
	}
	h.enroll("sensor-7").label("tokens").authorized("Bearer good.sensor-7").mustSend()
	if body := string(h.entries(registrar.KindCertificateIssued)[0].Body); !strings.Contains(body, `"credential":"bearer:sensor-7","token_issuer":"https://issuer.example","token_subject":"u-1","token_id":"j-1"`) {
		t.Errorf("trail = %s", body)
	}
	h.enroll("sensor-8").label("tokens").authorized("Bearer good.sensor-7").refusedAs(registrar.ReasonForeignName, 403)
	h.enroll("x").label("tokens").authorized("Bearer good.").refusedAs(registrar.ReasonBadToken, 401)
	e := h.enroll("x").label("tokens").authorized("Bearer forged").refusedAs(registrar.ReasonBadToken, 401)
	if c := httpauth.ParseChallenges(e.Challenges); c[0].Param("error") != "invalid_token" {
		t.Errorf("challenges = %v", c)
	}
	h.enroll("sensor-7").authorized("Bearer good.sensor-7").refusedAs(registrar.ReasonNoCredentials, 401) // not at this label
	issuer.down = true
	if e := h.enroll("sensor-9").label("tokens").authorized("Bearer good.sensor-9").refusedAs(registrar.ReasonTokenUnknown, 503); e.RetryAfter <= 0 {
		t.Error("no Retry-After")
	}
	if n := len(h.certificates("")); n != 1 {
		t.Errorf("%d issuances, want 1", n)
	}
}

// clients is a third party's CA, with its revocation list.
type clients struct {
	*testpki.Identity
	revoked []x509.RevocationListEntry
}

func clientHouse(t *testing.T, change func(l *registrar.Label, k *clients)) (*house, *clients) {
	k := &clients{Identity: testpki.NewRoot(t, "third party")}
	h := newHouse(t, func(h *house) {
		l := &registrar.Label{Profile: h.profile("device"), ClientAnchors: k.Pool(), ClientRevocation: checker(t, revocation.Check)}
		if change != nil {
			change(l, k)
		}
		h.settings.Labels["clients"] = l
	})
	return h, k
}

func (h *house) clientOf(ca *testpki.Identity, change func(c *x509.Certificate)) *x509.Certificate {
	h.t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "machine-1", Organization: []string{"Third"}}, DNSNames: []string{"machine-1.example.net"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	return ca.Issue(h.t, template, testpki.NewKey(h.t)).Certificate
}

func TestAThirdPartysCertificateEnrollsTheNamesItHas(t *testing.T) {
	h, third := clientHouse(t, nil)
	cert := h.clientOf(third.Identity, nil)
	from := func(name string) *request { return h.enroll(name).cert(cert).label("clients") }
	from("machine-1").dns("machine-1.example.net").mustSend()
	from("machine-2").refusedAs(registrar.ReasonForeignName, 403)
	from("machine-1").dns("machine-2.example.net").refusedAs(registrar.ReasonForeignName, 403)
	from("machine-1").ip([]byte{192, 0, 2, 1}).refusedAs(registrar.ReasonForeignName, 403)
	from("machine-1").renewing().refusedAs(registrar.ReasonRenewalNotAllowed, 403)
	h.enroll("machine-1").cert(cert).refusedAs(registrar.ReasonNoCredentials, 401) // other labels do not know the CA
	h.importSerials("machine-9")
	imported := h.clientOf(third.Identity, func(c *x509.Certificate) { c.Subject.CommonName = "machine-9" })
	h.enroll("machine-9").cert(imported).label("clients").refusedAs(registrar.ReasonForeignName, 403)
}

// EST-7030-3.3.2-08: id-kp-cmcRA counts in certificates of our own CA only.
func TestAThirdPartysRAHasNoRightsOfAnRA(t *testing.T) {
	h, third := clientHouse(t, func(l *registrar.Label, _ *clients) { l.RA = true })
	foreign := third.Registrar(t, "factory RA").Certificate
	h.enroll("sensor-7").cert(foreign).label("clients").refusedAs(registrar.ReasonForeignName, 403)
	ra, _ := h.raCertificate()
	h.enroll("sensor-7").cert(ra).label("clients").mustSend()
	if n := len(h.certificates("")); n != 2 {
		t.Errorf("%d issuances, want the RA's own and one", n)
	}
}

// EST-7030-3.3.2-07, RFC 5280, Section 6.1.3: expired, not yet valid, of another
// CA, not for clients, revoked: each is refused, of our CA and of others.
func TestAClientCertificateThatIsNotGoodAuthenticatesNobody(t *testing.T) {
	h, third := clientHouse(t, nil)
	for what, c := range map[string]struct {
		cert   *x509.Certificate
		reason string
	}{
		"expired":        {h.clientOf(third.Identity, func(c *x509.Certificate) { c.NotAfter = h.now().Add(-time.Minute) }), registrar.ReasonExpired},
		"not valid yet":  {h.clientOf(third.Identity, func(c *x509.Certificate) { c.NotBefore = h.now().Add(time.Hour) }), registrar.ReasonExpired},
		"another CA's":   {h.clientOf(testpki.NewRoot(t, "third party"), nil), registrar.ReasonUntrusted},
		"for servers":    {h.clientOf(third.Identity, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), registrar.ReasonUntrusted},
		"ours, unissued": {h.ca.Client(t, "machine-1").Certificate, registrar.ReasonNotOnRecord},
	} {
		for range 2 { // the second time from what is remembered
			_, err := h.enroll("machine-1").cert(c.cert).label("clients").send()
			var e *est.Error
			if !errors.As(err, &e) || e.Reason != c.reason || e.Status != 403 {
				t.Errorf("%s: %v, want 403 %s", what, err, c.reason)
			}
		}
	}
	own, _ := h.enrolled("sensor-7")
	_, err := h.service.Revoke(t.Context(), &registrar.RevokeRequest{Actor: "test", CertificateRef: registrar.CertificateRef{Serial: own.SerialNumber.Bytes()}, Reason: 4})
	check(t, err)
	before := len(h.certificates(""))
	h.renew(own).refusedAs(registrar.ReasonSuperseded, 403)
	h.enroll("sensor-7").cert(own).refusedAs(registrar.ReasonSuperseded, 403)
	if n := len(h.certificates("")); n != before {
		t.Errorf("%d issuances, want %d", n, before)
	}
}

// crl signs a list of revoked serial numbers.
func (k *clients) crl(t *testing.T, at time.Time) []byte {
	t.Helper()
	der, err := x509.CreateRevocationList(nil, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: at.Add(-time.Hour), NextUpdate: at.Add(time.Hour), RevokedCertificateEntries: k.revoked,
	}, k.Certificate, k.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// checker has these lists, in DER.
func checker(t testing.TB, mode revocation.Mode, ders ...[]byte) *revocation.Checker {
	t.Helper()
	c := revocation.Config{Mode: mode}
	for _, der := range ders {
		lists, err := revocation.ParseLists("test.crl", der)
		if err != nil {
			t.Fatal(err)
		}
		c.Lists = append(c.Lists, lists...)
	}
	k, err := revocation.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Promise 3 of the design: without an answer about revocation nobody gets in.
func TestAThirdPartysRevocationListCounts(t *testing.T) {
	h, third := clientHouse(t, func(l *registrar.Label, _ *clients) { l.ClientRevocation = nil })
	good, bad := h.clientOf(third.Identity, nil), h.clientOf(third.Identity, nil)
	h.enroll("machine-1").cert(good).label("clients").refusedAs(registrar.ReasonRevocationUnknown, 403)
	third.revoked = []x509.RevocationListEntry{{SerialNumber: bad.SerialNumber, RevocationTime: h.now()}}
	stranger := &clients{Identity: testpki.NewRoot(t, "third party")}
	set := *h.settings
	set.Labels = map[string]*registrar.Label{"clients": {
		Profile: h.profile("device"), ClientAnchors: third.Pool(),
		ClientRevocation: checker(t, revocation.RequireAll, stranger.crl(t, h.now()), third.crl(t, h.now())),
	}}
	check(t, h.service.Reload(&set))
	h.enroll("machine-1").cert(bad).label("clients").refusedAs(registrar.ReasonRevoked, 403)
	h.enroll("machine-1").cert(good).label("clients").mustSend()
	h.advance(2 * time.Hour)
	h.enroll("machine-1").cert(good).label("clients").refusedAs(registrar.ReasonRevocationUnknown, 403)
	h.enroll("machine-1").cert(bad).label("clients").refusedAs(registrar.ReasonRevoked, 403) // an old list still says that
}

// EST-9110-11.6.1-01, RFC 9110, Section 15.5.2: 401 where credentials would
// help, with what would; else 403.
// EST-7030-3.2.3-06: the refusal of a request without credentials challenges.
// EST-7030-4.2-03: a request with nothing to authenticate it is refused.
func TestA401SaysWhatWouldHelp(t *testing.T) {
	issuer := &tokens{}
	h := newHouse(t, func(h *house) {
		add := func(name string, l registrar.Label) {
			l.Profile = h.profile("device")
			h.settings.Labels[name] = &l
		}
		add("certs", registrar.Label{Renewal: true})
		add("all", registrar.Label{Basic: true, Digest: true, DigestMD5: true, Tokens: issuer.verify})
		add("codes", registrar.Label{Codes: true})
		add("both", registrar.Label{IDevID: registrar.IDevIDInventory, Basic: true, Digest: true, Require: []registrar.Method{registrar.ByCertificate, registrar.ByDigest}})
	})
	for label, want := range map[string]string{
		"": "Basic", "certs": "", "all": "Basic Digest Digest/SHA-256 Bearer", "codes": "Basic", "both": "Digest/SHA-256",
	} {
		r := h.enroll("a").label(label)
		if label == "both" {
			h.importSerials("SN-1")
			idevid := h.idevidCA.IDevID(t, "SN-1", "")
			r.cert(idevid.Certificate, h.idevidCA.Certificate)
		}
		_, err := r.send()
		var e *est.Error
		if !errors.As(err, &e) {
			t.Fatalf("label %q: %v", label, err)
		}
		var got []string
		for _, c := range httpauth.ParseChallenges(e.Challenges) {
			name := c.Scheme
			if a := c.Param("algorithm"); a != "" {
				name += "/" + a
			}
			got = append(got, name)
		}
		status := 401
		if want == "" {
			status = 403
		}
		if strings.Join(got, " ") != want || e.Status != status {
			t.Errorf("label %q: %d with %q, want %d with %s", label, e.Status, e.Challenges, status, want)
		}
	}
	h.enroll("b").basic(alone).refusedAs(registrar.ReasonForeignName, 403) // authenticated: a password would not help
	if n := len(h.certificates("")); n != 0 {
		t.Errorf("%d issuances", n)
	}
}

func TestSettingsThatNobodyCouldFulfilAreRefused(t *testing.T) {
	h := newHouse(t, nil)
	for what, l := range map[string]*registrar.Label{
		"a method that is not taken":      {Require: []registrar.Method{registrar.ByBasic}},
		"an unknown method":               {Require: []registrar.Method{"operator"}},
		"a method twice":                  {Basic: true, Require: []registrar.Method{registrar.ByBasic, registrar.ByBasic}},
		"codes beside Digest":             {Codes: true, Digest: true},
		"two HTTP schemes":                {Basic: true, Digest: true, Require: []registrar.Method{registrar.ByBasic, registrar.ByDigest}},
		"certificates and none is taken":  {Basic: true, Require: []registrar.Method{registrar.ByCertificate}},
		"revocation rules and no anchors": {ClientRevocation: checker(t, revocation.Check)},
	} {
		l.Profile = h.profile("device")
		s := *h.settings
		s.Labels = map[string]*registrar.Label{"": l}
		if err := h.service.Reload(&s); err == nil {
			t.Errorf("Reload took %s", what)
		}
	}
}
