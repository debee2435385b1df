package testbed

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// StepCA is a real step-ca in a folder of the test.
type StepCA struct {
	URL     string
	Dir     string
	t       testing.TB
	program string
	root    *x509.Certificate
	process *Process
}

// StepCAConfig is what one is made of.
type StepCAConfig struct {
	// Chain is the issuing CA and its root, Key that of the issuing CA.
	Chain []*x509.Certificate
	Key   crypto.Signer
	// Provisioners are as step-ca's ca.json has them.
	Provisioners []any
	// Deny are the patterns of DNS names that it does not sign.
	Deny []string
}

// NewStepCA runs one until the test ends. It skips without the peer step-ca.
func NewStepCA(t testing.TB, c *StepCAConfig) *StepCA {
	t.Helper()
	s := &StepCA{t: t, program: Peer(t, "step-ca"), Dir: t.TempDir(), root: c.Chain[1]}
	address := FreePort(t)
	s.URL = "https://" + address
	key, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{
		"root": s.path("root.pem"), "crt": s.path("issuing.pem"), "key": s.path("issuing.key"),
		"address": address, "dnsNames": []string{"127.0.0.1"},
		"logger": map[string]any{"format": "text"},
		"db":     map[string]any{"type": "badgerv2", "dataSource": s.path("db")},
		"crl":    map[string]any{"enabled": true, "generateOnRevoke": true},
		"authority": map[string]any{
			"provisioners": c.Provisioners,
			"policy":       map[string]any{"x509": map[string]any{"deny": map[string]any{"dns": c.Deny}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"root.pem":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Chain[1].Raw}),
		"issuing.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Chain[0].Raw}),
		"issuing.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"ca.json":     config,
	} {
		if err := os.WriteFile(s.path(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.Start()
	return s
}

func (s *StepCA) path(name string) string { return filepath.Join(s.Dir, name) }

// Client is an HTTP client that trusts the server's root, with own as its
// certificate when that is not nil.
func (s *StepCA) Client(own *tls.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(s.root)
	conf := &tls.Config{RootCAs: pool}
	if own != nil {
		conf.Certificates = []tls.Certificate{*own}
	}
	transport := &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}
	return &http.Client{Transport: transport, Timeout: patience}
}

// Start runs the server, again after Kill, and returns when it answers.
func (s *StepCA) Start() {
	s.t.Helper()
	s.process = Launch(s.t, s.program, s.path("ca.json"))
	client := s.Client(nil)
	s.process.Until(func() bool {
		res, err := client.Get(s.URL + "/health")
		if err != nil {
			return false
		}
		return res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})
}

// Kill ends the server at once.
func (s *StepCA) Kill() { s.process.Kill() }

// Output is what the server has printed since it was started last.
func (s *StepCA) Output() string { return s.process.Output() }
