package est_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/est/esttest"
	"github.com/briskest/briskest/internal/httpauth"
)

// answered is a peer that answers a Digest challenge for uri with a request for target.
func answered(t *testing.T, method, target, uri string) *est.Peer {
	t.Helper()
	client := &httpauth.Client{User: "device", Password: canary}
	if _, err := client.Choose([]httpauth.Challenge{*httpauth.DigestChallenge(httpauth.SHA256, "est", "nonce", false)}); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Authorization", client.Authorization("POST", uri))
	return est.NewPeer(r)
}

// RFC 7616, Section 3.4.6: the answer is for this request. libest a464ba8 leaves the label out of its uri.
func TestADigestIsGoodForTheRequestItWasMadeFor(t *testing.T) {
	ha1 := est.DigestHA1(est.DigestSHA256, "device", "est", canary)
	const plain, labelled = "/.well-known/est/simpleenroll", "/.well-known/est/factory/simpleenroll"
	for _, c := range []struct {
		method, target, uri string
		good                bool
	}{
		{"POST", plain, plain, true},
		{"POST", labelled, labelled, true},
		{"POST", labelled, plain, true},
		{"POST", plain, labelled, false},
		{"POST", labelled, "/.well-known/est/other/simpleenroll", false},
		{"POST", labelled, "/.well-known/est/simplereenroll", false},
		{"POST", plain + "?a=b", plain + "?a=b", true},
		{"POST", plain + "?a=b", plain, false},
		{"GET", plain, plain, false},
		{"POST", plain, "", false},
	} {
		p := answered(t, c.method, c.target, c.uri)
		if got := p.Digest != nil && p.Digest.Matches(ha1); got != c.good {
			t.Errorf("%s %s with uri %q: Matches = %t", c.method, c.target, c.uri, got)
		}
	}
	p := answered(t, "POST", plain, plain)
	if p.User != "" || p.Secret != "" || p.Bearer != "" || p.Digest.User != "device" || p.Digest.Realm != "est" || p.Digest.Count != 1 {
		t.Errorf("peer = %+v", p)
	}
	for what, other := range map[string]est.Secret{
		"another password": est.DigestHA1(est.DigestSHA256, "device", "est", "x"), "none": "",
		"another user": est.DigestHA1(est.DigestSHA256, "x", "est", canary), "an unknown algorithm": est.DigestHA1("x", "device", "est", canary),
	} {
		if p.Digest.Matches(other) {
			t.Errorf("%s matches", what)
		}
	}
	if (&est.DigestAnswer{User: "device"}).Matches(ha1) {
		t.Error("an answer that nobody sent matches")
	}
}

// EST-7030-3.2.3-02: credentials that came without TLS get nothing, not even a challenge.
func TestCredentialsWithoutTLSAreNotTaken(t *testing.T) {
	b := esttest.New(t)
	for _, authorization := range []string{"", httpauth.Basic("device", "secret"), `Digest username="device"`, "Bearer a.b.c"} {
		r := httptest.NewRequest("POST", "/.well-known/est/simpleenroll", strings.NewReader("body"))
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		(&est.Handler{Backend: b}).ServeHTTP(w, r)
		if w.Code != 403 || challengesOf(w) != nil {
			t.Errorf("%q without TLS: %d, challenges %q", authorization, w.Code, challengesOf(w))
		}
	}
}

// RFC 6750, Section 2.1. RFC 9110, Section 11.6.2: there is one Authorization line.
func TestNewPeerReadsABearerTokenAndNoSecondAuthorization(t *testing.T) {
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Authorization", "Bearer a.b.c")
	if p := est.NewPeer(r); p.Bearer.Reveal() != "a.b.c" || p.User != "" || p.Digest != nil {
		t.Errorf("peer = %+v", p)
	}
	r.Header.Add("Authorization", httpauth.Basic("u", "p"))
	if p := est.NewPeer(r); p.Bearer != "" || p.User != "" || p.Secret != "" {
		t.Errorf("with two lines: %+v", p)
	}
}

// R15: no Authorization header in a log.
func TestNoCredentialOfAPeerIsPrinted(t *testing.T) {
	p := answered(t, "POST", "/.well-known/est/simpleenroll", "/.well-known/est/simpleenroll")
	p.Bearer = canary
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "peer", p, "value", *p, "digest", p.Digest)
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "peer", p, "digest", p.Digest)
	fmt.Fprintf(&log, "%v %+v %#v %s %v %#v %v", p, *p, p, p.Digest, p.Digest, *p, *p.Digest)
	for _, secret := range []string{canary, "cnonce", "response"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is in %s", secret, log.String())
		}
	}
	if !strings.Contains(log.String(), `"digest_user":"device"`) {
		t.Errorf("the user is not in %s", log.String())
	}
}

// est-clients, item 4: one challenge in a line, in the order that was given, in the spelling that libest compares.
func TestA401CarriesTheChallengesThatTheBackendWants(t *testing.T) {
	for _, c := range []struct{ challenges, want []string }{
		{nil, []string{`Basic realm="r"`}},
		{[]string{"", "Basic\r\nX: y"}, []string{`Basic realm="r"`}},
		{[]string{`Basic realm="a"`, `Digest realm="a", nonce="n"`}, []string{`Basic realm="a"`, `Digest realm="a", nonce="n"`}},
	} {
		w := httptest.NewRecorder()
		est.WriteError(w, httptest.NewRequest("POST", "/", strings.NewReader("body")), "r", &est.Error{Status: 401, Challenges: c.challenges})
		if got := challengesOf(w); !slices.Equal(got, c.want) || w.Body.Len() > 0 {
			t.Errorf("challenges %q: %q with a body of %d bytes", c.challenges, got, w.Body.Len())
		}
		w = httptest.NewRecorder()
		est.WriteError(w, httptest.NewRequest("POST", "/", nil), "r", &est.Error{Status: 403, Challenges: c.challenges})
		if got := challengesOf(w); got != nil {
			t.Errorf("a 403 has challenges %q", got)
		}
	}
}

// challengesOf returns the challenges of an answer, in the spelling that libest reads.
func challengesOf(w *httptest.ResponseRecorder) []string {
	//lint:ignore SA1008 the spelling is what is tested
	return w.Header()["WWW-Authenticate"]
}
