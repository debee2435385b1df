package est_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

const canary = "canary-secret"

// R15 of the incidents that are kept as tests.
func TestASecretPrintsAsRedactedEverywhere(t *testing.T) {
	peer := &est.Peer{User: "device", Secret: canary}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "peer", peer, "secret", peer.Secret, "value", *peer)
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "peer", peer, "secret", peer.Secret)
	fmt.Fprintf(&log, "%v %+v %#v %s %q %v %+v %#v", peer.Secret, peer.Secret, peer.Secret, peer.Secret, peer.Secret, peer, *peer, peer)
	data, err := json.Marshal(map[string]any{"s": peer.Secret, "p": peer.Secret})
	if err != nil {
		t.Fatal(err)
	}
	log.Write(data)
	if strings.Contains(log.String(), canary) {
		t.Errorf("the secret is in %s", log.String())
	}
	if !strings.Contains(log.String(), "[redacted]") || peer.Secret.Reveal() != canary {
		t.Errorf("no [redacted] in %s, or Reveal() = %q", log.String(), peer.Secret.Reveal())
	}
}

// RFC 7617, Section 2; RFC 7030, Section 3.2.3: an empty user is one.
func TestNewPeerReadsCredentialsAndTheConnectionOnly(t *testing.T) {
	for header, want := range map[string][2]string{
		"Basic " + b64([]byte("device:secret")):  {"device", "secret"},
		"basic " + b64([]byte("device:a:b")):     {"device", "a:b"},
		"Basic " + b64([]byte(":secret")):        {"", "secret"},
		"Basic " + b64([]byte("device")):         {},
		"Basic !!!":                              {},
		"Bearer abc":                             {},
		"Digest username=\"device\"":             {},
		"Basic  " + b64([]byte("device:secret")): {"device", "secret"}, // RFC 9110, Section 11.4: 1*SP
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", header)
		r.Header.Set("X-Forwarded-For", "192.0.2.99")
		r.Header.Set("Forwarded", "for=192.0.2.99")
		r.RemoteAddr = "[2001:db8::1]:4711"
		p := est.NewPeer(r)
		if p.User != want[0] || p.Secret.Reveal() != want[1] {
			t.Errorf("NewPeer with %q: user %q, secret %q", header, p.User, p.Secret.Reveal())
		}
		if p.Address.String() != "[2001:db8::1]:4711" {
			t.Errorf("Address = %v", p.Address)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "@"
	if p := est.NewPeer(r); p.Address.IsValid() || p.TLS != nil || p.Certificates != nil {
		t.Errorf("NewPeer of a request over a unix socket: %+v", p)
	}
}

// est-clients: libest sends its leaf alone, strongSwan and globalsign their chain.
func TestVerifyBuildsAChainFromWhatWasSentAndWhatIsKnown(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	ca := root.NewIntermediate(t, "CA")
	leaf := ca.Client(t, "device")
	known := x509.NewCertPool()
	known.AddCert(ca.Certificate)
	alone, chain := []*x509.Certificate{leaf.Certificate}, []*x509.Certificate{leaf.Certificate, ca.Certificate}
	for what, c := range map[string]struct {
		sent []*x509.Certificate
		opts x509.VerifyOptions
		good bool
	}{
		"its chain":                      {chain, x509.VerifyOptions{Roots: root.Pool()}, true},
		"its leaf, the CA known":         {alone, x509.VerifyOptions{Roots: root.Pool(), Intermediates: known}, true},
		"its leaf, the CA an anchor":     {alone, x509.VerifyOptions{Roots: ca.Pool()}, true},
		"its leaf alone":                 {alone, x509.VerifyOptions{Roots: root.Pool()}, false},
		"a foreign root":                 {chain, x509.VerifyOptions{Roots: testpki.NewRoot(t, "root").Pool()}, false},
		"no roots":                       {chain, x509.VerifyOptions{}, false},
		"the wrong usage":                {chain, x509.VerifyOptions{Roots: root.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}, false},
		"a time before":                  {chain, x509.VerifyOptions{Roots: root.Pool(), CurrentTime: time.Unix(1, 0)}, false},
		"another CA of that name first":  {[]*x509.Certificate{leaf.Certificate, namesake(t), ca.Certificate}, x509.VerifyOptions{Roots: root.Pool()}, true},
		"two others of that name first":  {[]*x509.Certificate{leaf.Certificate, namesake(t), namesake(t), ca.Certificate}, x509.VerifyOptions{Roots: root.Pool()}, false},
		"its chain, and seven more":      {append(chain[:2:2], make([]*x509.Certificate, 7)...), x509.VerifyOptions{Roots: root.Pool()}, false},
		"a root of its own in the chain": {append(chain, root.Certificate), x509.VerifyOptions{}, false},
	} {
		p := &est.Peer{Certificates: c.sent}
		got, err := p.Verify(c.opts)
		if (err == nil) != c.good {
			t.Errorf("Verify with %s: %v, want success %v", what, err, c.good)
		}
		if c.good && (!got[0].Equal(leaf.Certificate) || len(got) < 2) {
			t.Errorf("Verify with %s: a chain of %d", what, len(got))
		}
	}
	if !known.Equal(ca.Pool()) {
		t.Error("Verify changed the caller's intermediates")
	}
	if _, err := new(est.Peer).Verify(x509.VerifyOptions{Roots: root.Pool()}); !errors.Is(err, est.ErrNoCertificate) {
		t.Errorf("Verify without a certificate: %v", err)
	}
}

// namesake is a CA that has nothing but its name in common with another.
func namesake(t *testing.T) *x509.Certificate {
	return testpki.NewRoot(t, "root").NewIntermediate(t, "CA").Certificate
}

func TestAPeerLogsWhoItIs(t *testing.T) {
	id := testpki.NewRoot(t, "root").Client(t, "device-7")
	r := httptest.NewRequest("GET", "https://a/", nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{id.Certificate}}
	r.SetBasicAuth("operator", canary)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "peer", est.NewPeer(r))
	for _, want := range []string{"peer.address=192.0.2.1:1234", "peer.user=operator", "CN=device-7", id.Certificate.SerialNumber.Text(16)} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, log.String())
		}
	}
}
