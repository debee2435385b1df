package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/internal/cmp"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/testpki"
)

// cmpPlant is a registrar whose label "plant" asks a CA by CMP.
type cmpPlant struct {
	*acmeRegistrar
	ca      *catest.CMP
	clients *testpki.Identity // whose certificates may enroll their names
	dir     string
}

func newCMPPlant(t *testing.T) *cmpPlant {
	t.Helper()
	p := &cmpPlant{acmeRegistrar: newAcmeRegistrar(t), ca: catest.NewCMP(t), clients: testpki.NewRoot(t, "clients")}
	// The CA's own profile is shorter than ours.
	p.ca.Wished = func(w *catest.Wish) { w.NotAfter = time.Now().Add(24 * time.Hour) }
	p.dir = filepath.Dir(p.config.file)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.ca.RA = p.ca.Certify("registrar", key, 28)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(p.dir, "ra.key"), pemText("PRIVATE KEY", pkcs8))
	write(t, filepath.Join(p.dir, "ra.pem"), string(pemfile.Encode(p.ca.RA.Raw, p.ca.Issuing.Raw)))
	write(t, filepath.Join(p.dir, "clients.pem"), string(p.clients.PEM()))
	write(t, filepath.Join(p.dir, "plant.pem"), string(pemfile.Encode(p.ca.Issuing.Raw, p.ca.Root.Raw)))
	data, err := os.ReadFile(p.config.file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), "\nissuers:\n", "\nissuers:\n  - name: plant\n    cmp: {url: \""+p.ca.URL()+"\", chain: plant.pem, certificate: ra.pem, key: \"file:ra.key\", timeout: 5s}\n", 1)
	text = strings.Replace(text, "\nlabels:\n", "\nlabels:\n  - {name: plant, profile: device, issuer: plant, client_anchors: clients.pem, allow_client_revocation_unknown: true}\n", 1)
	write(t, p.config.file, text)
	if p.config, err = loadRegistrarConfig(p.config.file); err != nil {
		t.Fatal(err)
	}
	return p
}

func pemText(kind string, der []byte) string {
	return "-----BEGIN " + kind + "-----\n" + base64.StdEncoding.EncodeToString(der) + "\n-----END " + kind + "-----\n"
}

// cmpDevice enrolls the name in a certificate that it has.
type cmpDevice struct {
	*testpki.Identity
	csr []byte
}

func (p *cmpPlant) device(name string) *cmpDevice {
	p.t.Helper()
	id := p.clients.Client(p.t, name)
	return &cmpDevice{Identity: id, csr: testpki.CSR(p.t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, testpki.NewKey(p.t))}
}

// enroll asks at the label and returns the status, Retry-After and the certificate.
func (p *cmpPlant) enroll(d *cmpDevice) (int, string, *x509.Certificate) {
	p.t.Helper()
	own := d.TLS()
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // the registrar is not what is tested
		Certificates:       []tls.Certificate{own},
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "https://"+p.at+"/.well-known/est/plant/simpleenroll",
		bytes.NewReader([]byte(base64.StdEncoding.EncodeToString(d.csr))))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/pkcs10")
	res, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		p.t.Logf("%d %q", res.StatusCode, body)
		return res.StatusCode, res.Header.Get("Retry-After"), nil
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(body)), ""))
	if err != nil {
		p.t.Fatal(err)
	}
	certs, err := cms.ParseCertsOnly(der)
	if err != nil || len(certs) == 0 {
		p.t.Fatalf("simpleenroll answered with %d certificates: %v", len(certs), err)
	}
	return res.StatusCode, "", certs[0]
}

// issued wants a certificate of the CA for the device.
func (p *cmpPlant) issued(d *cmpDevice) {
	p.t.Helper()
	status, _, cert := p.enroll(d)
	if status != http.StatusOK {
		p.t.Fatalf("simpleenroll = %d, want 200", status)
	}
	if err := cert.CheckSignatureFrom(p.ca.Issuing); err != nil || cert.Subject.CommonName != d.Certificate.Subject.CommonName {
		p.t.Errorf("the device got a certificate for %q: %v, want one of the CA behind", cert.Subject, err)
	}
}

func TestADeviceEnrollsAtACAThatSpeaksCMP(t *testing.T) {
	p := newCMPPlant(t)
	p.start()
	p.issued(p.device("pump-1"))
	if n := p.ca.Unconfirmed(); n != 0 {
		t.Errorf("%d certificates are not confirmed", n)
	}
	p.ca.Fail(catest.RefusesUs)
	late := p.device("pump-2")
	if status, after, _ := p.enroll(late); status != http.StatusServiceUnavailable || after == "" {
		t.Errorf("while the CA does not know the registrar: %d, Retry-After %q, want 503 with one", status, after)
	}
	p.ca.Fail(catest.None)
	p.issued(late)
	p.ca.Fail(catest.Refuses)
	if status, _, _ := p.enroll(p.device("pump-3")); status < 400 || status == http.StatusServiceUnavailable || status >= 500 {
		t.Errorf("what the CA refuses: %d, want a refusal", status)
	}
}

// What the CA has not decided is 202, survives a restart of the registrar, and is asked for once.
func TestWhatACAThatSpeaksCMPHasNotDecidedSurvivesARestart(t *testing.T) {
	p := newCMPPlant(t)
	stop := p.start()
	p.ca.Reply = func(asked *cmp.Message, r *catest.CMPReply) {
		if asked.Kind == cmp.PollReq && p.ca.Fault() == catest.Waits {
			r.Body = cmp.NewPollRep(cmp.Poll{RequestID: -1}) // come again at once
		}
	}
	p.ca.Fail(catest.Waits)
	d := p.device("pump-1")
	for range 2 {
		if status, after, _ := p.enroll(d); status != http.StatusAccepted || after == "" {
			t.Fatalf("while the CA decides: %d, Retry-After %q, want 202 with one", status, after)
		}
	}
	stop()
	p.start()
	p.ca.Fail(catest.None)
	p.issued(d)
	if n, open := len(p.ca.Signed()), p.ca.Unconfirmed(); n != 1 || open != 0 {
		t.Errorf("the CA signed %d certificates, %d unconfirmed, want one and none", n, open)
	}
}

func TestTheExamplesOfCMPAreConfigurations(t *testing.T) {
	examples := exampleIssuers(t, "CMP")
	if len(examples) != 2 {
		t.Errorf("docs/issuers.md has %d examples of CMP, want 2", len(examples))
	}
	for _, example := range examples {
		var c struct {
			Issuers []issuerConfig `yaml:"issuers"`
		}
		err := config.Decode([]byte(example), &c)
		if err == nil && (len(c.Issuers) != 1 || c.Issuers[0].CMP == nil) {
			err = errors.New("it is not one of CMP")
		}
		if err == nil {
			err = c.Issuers[0].CMP.check()
		}
		if err != nil {
			t.Errorf("%v in\n%s", err, example)
		}
	}
}

func TestConfigurationsOfCMPThatAreNotWholeAreRefused(t *testing.T) {
	for text, says := range map[string]string{
		"{chain: c, certificate: c, key: k}":                                              "cmp.url",
		"{url: u, certificate: c, key: k}":                                                "cmp.chain",
		"{url: u, chain: c}":                                                              "protection",
		"{url: u, chain: c, certificate: c}":                                              "cmp.key",
		"{url: u, chain: c, certificate: c, key: k, secret: s, reference: r}":             "leave out one",
		"{url: u, chain: c, secret: s}":                                                   "cmp.reference",
		"{url: u, chain: c, secret: s, reference: r, mac: crc32}":                         "pbmac1",
		"{url: u, chain: c, certificate: c, key: k, mac: pbmac1}":                         "secret, which is missing",
		"{url: u, chain: c, secret: s, reference: r, mac: pbmac1, allow_hmac_sha1: true}": "",
		"{url: u, chain: c, certificate: c, key: k, signers: s, request: ir}":             "",
	} {
		var c cmpConfig
		if err := config.Decode([]byte(text), &c); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if err := c.check(); (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: check = %v, want an error with %q", text, err, says)
		}
	}
}
