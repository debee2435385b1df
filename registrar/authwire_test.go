package registrar_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/httpauth"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// EST-7030-3.2.3-04, EST-7030-3.3.2-02: a certificate alone does: no cookies, no
// HTTP credentials, from the first enrollment by an IDevID to the renewal.
func TestACertificateAloneIsEnough(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.settings.Labels[""] = &registrar.Label{Profile: h.profile("device"), IDevID: registrar.IDevIDInventory, Renewal: true}
	})
	h.importSerials("SN-1")
	url := h.serve()
	idevid := h.idevidCA.IDevID(t, "SN-1", "")
	by := func(certificate tls.Certificate) *est.Client {
		return h.client(url, func(c *est.Client) { c.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}} })
	}
	key := testpki.NewKey(t)
	csr := testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{SerialNumber: "SN-1"}}, key)
	cert, err := by(idevid.TLS()).SimpleEnroll(t.Context(), csr)
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := by(tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}).SimpleReenroll(t.Context(), csr)
	if err != nil || renewed.Equal(cert) {
		t.Errorf("SimpleReenroll: %v", err)
	}
}

// raw posts a CSR with an Authorization line and returns the answer.
func (h *house) raw(client *http.Client, url, name, authorization string) *http.Response {
	h.t.Helper()
	csr := testpki.CSR(h.t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, testpki.NewKey(h.t))
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, url+"/.well-known/est/simpleenroll", strings.NewReader(base64.StdEncoding.EncodeToString(csr)))
	check(h.t, err)
	r.Header.Set("Content-Type", "application/pkcs10")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	res, err := client.Do(r)
	check(h.t, err)
	check(h.t, res.Body.Close())
	return res
}

func (h *house) plainClient() *http.Client {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	check(h.t, err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: h.root.Pool()}}
	h.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Jar: jar}
}

// EST-7030-3.3.2-09, EST-7030-4.2-04, RFC 7030, Section 3.7: who is known may
// still not do everything: 403 without a challenge, and nothing is issued.
func TestAKnownPeerIsRefusedTheNameOfAnother(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Labels[""].Digest = true })
	url, client := h.serve(), h.plainClient()
	res := h.raw(client, url, "dev-2", httpauth.Basic(alone, h.passwords[alone].Reveal()))
	if res.StatusCode != 403 || len(res.Header["Www-Authenticate"]) > 0 {
		t.Errorf("%d with challenges %q", res.StatusCode, res.Header["Www-Authenticate"])
	}
	cert, key := h.enrolled("sensor-7")
	device := h.client(url, func(c *est.Client) {
		c.TLSConfig = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
	})
	_, err := device.SimpleEnroll(t.Context(), testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "sensor-8"}}, key))
	if err == nil {
		t.Error("a device enrolled another one's name")
	}
	if n := len(h.certificates("")); n != 1 {
		t.Errorf("%d issuances, want 1", n)
	}
}

// EST-7616-5-01, EST-7030-3.2.3-06: the whole exchange over the wire: challenge,
// answer, a replay of the same line from another connection, a new answer.
func TestADigestOverTheWireIsGoodOnce(t *testing.T) {
	h := newHouse(t, func(h *house) {
		l := h.settings.Labels[""]
		l.Digest, l.DigestMD5 = true, true
	})
	url, client := h.serve(), h.plainClient()
	res := h.raw(client, url, "sensor-7", "")
	lines := res.Header["Www-Authenticate"]
	if res.StatusCode != 401 || res.ContentLength != 0 || len(lines) != 3 || !strings.HasPrefix(lines[0], "Basic ") ||
		strings.Contains(lines[1], "algorithm") || !strings.Contains(lines[2], "algorithm=SHA-256") {
		t.Fatalf("%d with %q", res.StatusCode, lines)
	}
	answers := &httpauth.Client{User: group, Password: h.passwords[group].Reveal(), RefuseBasic: true}
	if _, err := answers.Choose(httpauth.ParseChallenges(lines)); err != nil {
		t.Fatal(err)
	}
	captured := answers.Authorization("POST", "/.well-known/est/simpleenroll")
	if res := h.raw(client, url, "sensor-7", captured); res.StatusCode != 200 {
		t.Fatalf("the answer: %d", res.StatusCode)
	}
	res = h.raw(h.plainClient(), url, "evil", captured)
	stale := false
	for _, c := range httpauth.ParseChallenges(res.Header["Www-Authenticate"]) {
		stale = stale || c.Stale()
	}
	if res.StatusCode != 401 || !stale {
		t.Errorf("the replay: %d with %q", res.StatusCode, res.Header["Www-Authenticate"])
	}
	if n := len(h.certificates("")); n != 1 {
		t.Errorf("%d issuances, want 1", n)
	}
}

// R3: every other thing that an authorization rests on made to fail in turn:
// the token issuer's keys, the codes on record, a password that cannot be
// hashed, the other system that is asked, the revocation lists of a third
// party, and a policy that says nothing. Nothing is issued, and nothing is an answer
// other than a refusal.
func TestNothingIssuesWhenAnAuthorizationCannotBeHad(t *testing.T) {
	third := testpki.NewRoot(t, "third party")
	down := &tokens{down: true}
	h := newHouse(t, func(h *house) {
		add := func(name string, l registrar.Label) {
			l.Profile = h.profile("device")
			h.settings.Labels[name] = &l
		}
		add("tokens", registrar.Label{Tokens: down.verify})
		add("silent", registrar.Label{Tokens: func(context.Context, est.Secret, time.Time) (*registrar.Token, error) { return nil, nil }})
		add("codes", registrar.Label{Codes: true})
		add("hook", registrar.Label{Basic: true, Ask: func(context.Context, *registrar.Case) (*registrar.Decision, error) { return nil, errors.New("down") }})
		add("mute", registrar.Label{Basic: true, Ask: func(context.Context, *registrar.Case) (*registrar.Decision, error) { return nil, nil }})
		add("clients", registrar.Label{ClientAnchors: third.Pool()})
	})
	person := &registrar.Credential{Domain: registrar.DefaultDomain, User: "person", Scheme: "scrypt-from-the-future", Salt: []byte{1}, Digest: []byte{2}}
	check(t, h.store.Commit(t.Context(), &registrar.Change{PutCredentials: []*registrar.Credential{person}}))
	code := h.code("dev-9")
	hashing := h.enroll("person")
	hashing.peer.User, hashing.peer.Secret = "person", "secret"
	for what, c := range map[string]struct {
		r      *request
		fails  string
		status int
	}{
		"the keys of tokens":       {h.enroll("a").label("tokens").authorized("Bearer good.a"), "", 503},
		"a verifier without words": {h.enroll("a").label("silent").authorized("Bearer good.a"), "", 401},
		"the codes":                {h.coded("dev-9", "dev-9", code, false), "Code", 503},
		"the codes of CSRs":        {h.coded("dev-9", "", code, true), "Code", 503},
		"password hashing":         {hashing, "", 503},
		"the webhook":              {h.enroll("a").basic(group).label("hook"), "", 503},
		"a webhook without words":  {h.enroll("a").basic(group).label("mute"), "", 503},
		"revocation":               {h.enroll("machine-1").label("clients").cert(h.clientOf(third, nil)), "", 403},
	} {
		h.reads.failing(c.fails)
		_, err := c.r.send()
		h.reads.failing("")
		var e *est.Error
		if !errors.As(err, &e) || e.Status != c.status {
			t.Errorf("%s: %v, want status %d", what, err, c.status)
		}
	}
	for what, nothing := range map[string]registrar.Policy{
		"an empty decision":   func(*registrar.Settings, *registrar.Case) *registrar.Decision { return &registrar.Decision{} },
		"an unknown decision": func(*registrar.Settings, *registrar.Case) *registrar.Decision { return &registrar.Decision{Verdict: 9} },
	} {
		s, err := registrar.New(registrar.Config{Store: h.store, Issuer: h.issuer, Policy: nothing, Settings: h.settings, Now: h.now})
		check(t, err)
		old := h.service
		h.service = s
		if _, err := h.enroll("a").basic(group).send(); err == nil {
			t.Errorf("%s of the policy issued", what)
		}
		h.service = old
		s.Close()
	}
	if n := len(h.certificates("")); n != 0 {
		t.Errorf("%d issuances", n)
	}
}

// R25: a fresh registrar, and a device of a manufacturer that nobody has added:
// a refusal that is on the trail, and nothing else, whatever it asks for.
func TestAFreshRegistrarRefusesAnUnknownIDevIDAndLogsIt(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.settings.Manufacturers = nil
		h.settings.Labels = map[string]*registrar.Label{"": {Profile: h.profile("device"), IDevID: registrar.IDevIDVouched, Renewal: true, RA: true}}
	})
	idevid := h.idevidCA.IDevID(t, "SN-1", "")
	url := h.serve()
	client := h.client(url, func(c *est.Client) { c.TLSConfig = &tls.Config{Certificates: []tls.Certificate{idevid.TLS()}} })
	for _, name := range []pkix.Name{{SerialNumber: "SN-1"}, {CommonName: "anybody"}, {CommonName: "registrar"}} {
		csr := testpki.CSR(t, &x509.CertificateRequest{Subject: name}, testpki.NewKey(t))
		_, err := client.SimpleEnroll(t.Context(), csr)
		var refused *est.StatusError
		if !errors.As(err, &refused) || refused.Status != 403 {
			t.Errorf("%s: %v, want 403", name, err)
		}
	}
	h.service.Close() // the entries of strangers are written in the background
	refused := h.entries(registrar.KindRefused)
	if len(refused) != 1 || refused[0].Reason != registrar.ReasonUntrusted || !strings.Contains(string(refused[0].Body), "127.0.0.1") {
		t.Errorf("trail = %v", refused)
	}
	devices, err := h.store.ListDevices(t.Context(), registrar.DefaultDomain, "", 10)
	if n := len(h.certificates("")); err != nil || n != 0 || len(devices) != 0 {
		t.Errorf("%d issuances, %d devices, %v", n, len(devices), err)
	}
}
