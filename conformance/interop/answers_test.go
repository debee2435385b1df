package interop_test

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// isChallenge checks a 401. est-clients 2.3: libest compares the name's letters. 2.4: a line for each challenge, Basic
// first, parameters quoted. 2.5: no body.
func (r *reply) isChallenge(t *testing.T) {
	t.Helper()
	challenges := r.values("WWW-Authenticate")
	if r.status != 401 || len(challenges) == 0 {
		t.Errorf("status %d, WWW-Authenticate %q, want 401 and a challenge", r.status, challenges)
	}
	if basic := slices.IndexFunc(challenges, func(c string) bool { return strings.HasPrefix(c, "Basic ") }); basic > 0 {
		t.Errorf("Basic is not first: %q", challenges)
	}
	for _, c := range challenges {
		if strings.Count(c, "realm=") != 1 {
			t.Errorf("a line with more than one challenge: %q", c)
		}
		if strings.HasPrefix(c, "Digest") && strings.Contains(c, "algorithm=MD5") {
			t.Errorf("Bouncy Castle fails on %q", c)
		}
	}
	if r.value("Content-Length") != "0" {
		t.Errorf("Content-Length = %q: Bouncy Castle fails on a 401 with a body", r.value("Content-Length"))
	}
}

// est-clients 2.3, 2.4, 2.5, 2.6, 2.8, 2.9, 2.11 and 2.13, as the running program answers, header by header.
func TestAnswersAreFormedForEachClientThatIsKnown(t *testing.T) {
	s := newSite(t)
	csr := func(name string) string {
		x := opensslTools(t)
		return string(lines(x.request("key", name).der))
	}
	const typed = "Content-Type: application/pkcs10\r\n"
	basic := "Authorization: Basic " + s.basicToken() + "\r\n"

	t.Run("2.3, 2.4, 2.5: a challenge", func(t *testing.T) {
		for label, want := range map[string][]string{
			"": {"Basic "}, "/digest": {"Digest "}, "/md5": {"Digest "}, "/any": {"Basic ", "Digest ", "Digest "}, "/bearer": {"Bearer "},
		} {
			r := s.ask(t, nil, "POST /.well-known/est"+label+"/simpleenroll", typed, csr("nobody"))
			r.isChallenge(t)
			challenges := r.values("WWW-Authenticate")
			if !slices.EqualFunc(challenges, want, strings.HasPrefix) {
				t.Errorf("challenges of label %q are %q, want %q", label, challenges, want)
			}
			if label == "/md5" && strings.Contains(challenges[0], "algorithm") {
				t.Errorf("Bouncy Castle fails on the algorithm in %q", challenges[0])
			}
		}
	})
	t.Run("2.5: 202 has no body and whole seconds", func(t *testing.T) {
		r := s.ask(t, nil, "POST /.well-known/est/approve/simpleenroll", typed+basic, csr("waits"))
		seconds, err := strconv.Atoi(r.value("Retry-After"))
		if r.status != 202 || err != nil || seconds < 1 || r.value("Content-Length") != "0" {
			t.Errorf("status %d, header %q, want 202, Retry-After in seconds and no body", r.status, r.header)
		}
	})
	t.Run("2.6: an answer is one record", func(t *testing.T) {
		for range 20 {
			w := s.dial(t, nil).send("GET /.well-known/est/cacerts HTTP/1.1\r\nHost: x\r\n\r\n")
			if r := w.read(); r.status != 200 || w.records.Load() != 1 {
				t.Fatalf("status %d in %d records; strongSwan reads two at most", r.status, w.records.Load())
			}
		}
	})
	t.Run("2.8: cacerts has the chain with the self-signed root", func(t *testing.T) {
		certs := s.ask(t, nil, "GET /.well-known/est/cacerts", "", "").certificates(t, 200)
		roots, others := x509.NewCertPool(), x509.NewCertPool()
		for _, cert := range certs {
			if cert.CheckSignatureFrom(cert) == nil {
				roots.AddCert(cert)
			} else {
				others.AddCert(cert)
			}
		}
		for _, cert := range certs {
			if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: others}); err != nil {
				t.Errorf("%s does not verify within cacerts, as libest wants: %v", cert.Subject, err)
			}
		}
	})
	t.Run("2.9: a refusal has a short text", func(t *testing.T) {
		for request, want := range map[string]int{
			"PUT /.well-known/est/simpleenroll": 405, "POST /.well-known/est/cacerts": 405, "POST /.well-known/est/nothing": 404,
			"POST /.well-known/est/simpleenroll": 415, "GET /elsewhere": 404,
		} {
			r := s.ask(t, nil, request, basic, "text")
			if r.status != want || r.body == "" || len(r.body) > 1000 || !strings.HasPrefix(r.value("Content-Type"), "text/plain") {
				t.Errorf("%s: status %d, %s, %q; want %d and a short text", request, r.status, r.value("Content-Type"), r.body, want)
			}
		}
	})
	t.Run("2.11: csrattrs is never an empty list", func(t *testing.T) {
		for _, label := range []string{"", "/ca:1", "/linked", "/approve"} {
			r := s.ask(t, nil, "GET /.well-known/est"+label+"/csrattrs", "", "")
			if r.status != 204 && (r.status != 200 || strings.TrimSpace(r.body) == "MAA=") {
				t.Errorf("csrattrs of label %q: status %d, %q", label, r.status, r.body)
			}
		}
	})
	t.Run("2.13: a client that sends its leaf alone is known", func(t *testing.T) { s.leafAlone(t) })
}

// leafAlone has a client present its leaf, and another one a certificate that nobody knows, where none is needed.
func (s *site) leafAlone(t *testing.T) {
	x := opensslTools(t)
	r := x.request("key", "leaf alone")
	basic := "Authorization: Basic " + s.basicToken() + "\r\nContent-Type: application/pkcs10\r\n"
	certs := s.ask(t, nil, "POST /.well-known/est/simpleenroll", basic, string(lines(r.der))).certificates(t, 200)
	x.save("key", certs)
	own, err := tls.LoadX509KeyPair(x.path("key.pem"), x.path("key.key"))
	if err != nil {
		t.Fatal(err)
	}
	x.run(nil, "openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", "other.key", "-out", "other.pem", "-subj", "/CN=stranger")
	stranger, err := tls.LoadX509KeyPair(x.path("other.pem"), x.path("other.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		next := x.request("next", "leaf alone")
		config := &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: version, MaxVersion: version}
		answer := s.ask(t, config, "POST /.well-known/est/simplereenroll", "Content-Type: application/pkcs10\r\n", string(lines(next.der)))
		s.issued(t, answer.certificates(t, 200), next.csr)
		config = &tls.Config{Certificates: []tls.Certificate{stranger}, MinVersion: version, MaxVersion: version}
		s.ask(t, config, "GET /.well-known/est/cacerts", "", "").certificates(t, 200)
	}
}
