package stepca_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/ca/stepca"
	"github.com/briskest/briskest/internal/jws"
)

// fake is step-ca's API over catest.Foreign: tokens that are taken once, names
// from the token, the CSR held against them. The real one is in peer_test.go.
type fake struct {
	*catest.Foreign
	t        testing.TB
	server   *httptest.Server
	key      *ecdsa.PrivateKey // of the provisioner
	kid      string
	template bool // uses the claims of ours
	health   string

	mu      sync.Mutex
	used    map[string]bool   // token identifiers; guarded by mu
	revoked map[string]int    // reasons by serial number, decimal; guarded by mu
	down    bool              // guarded by mu
	bodies  []string          // of every request; guarded by mu
	own     []byte            // certificates signed here, not by Foreign
	serials map[string]string // serial numbers asked for, by token identifier; guarded by mu
}

func newFake(t testing.TB) *fake {
	t.Helper()
	f := &fake{
		Foreign: catest.NewForeign(t), t: t, key: newKey(t), health: "ok",
		used: make(map[string]bool), revoked: make(map[string]int), serials: make(map[string]string),
	}
	var err error
	if f.kid, err = stepca.Thumbprint(f.key.Public()); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /1.0/sign", f.sign)
	mux.HandleFunc("POST /1.0/revoke", f.revoke)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, map[string]string{"status": f.health}) })
	mux.HandleFunc("GET /1.0/roots", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 201, map[string][]string{"crts": {encode(f.Root.Raw)}})
	})
	mux.HandleFunc("GET /1.0/provisioners", f.provisioners)
	f.server = httptest.NewUnstartedServer(mux)
	f.server.TLS = &tls.Config{Certificates: []tls.Certificate{f.serverCertificate()}}
	f.server.Listener.Close()
	f.server.Listener = &gate{Listener: listen(t), closed: f.isDown}
	f.server.StartTLS()
	t.Cleanup(f.server.Close)
	return f
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// gate ends each connection at once while closed says so.
type gate struct {
	net.Listener
	closed func() bool
}

func (g *gate) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err == nil && g.closed() {
		c.Close()
	}
	return c, err
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (f *fake) serverCertificate() tls.Certificate {
	key := newKey(f.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(99), Subject: pkix.Name{CommonName: "step-ca"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, f.Issuing, key.Public(), f.Key)
	if err != nil {
		f.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, f.Issuing.Raw}, PrivateKey: key}
}

// config is one that fits the fake.
func (f *fake) config() stepca.Config {
	return stepca.Config{
		URL: f.server.URL, Chain: f.Chain(), Provisioner: "registrar", Key: f.key, Template: f.template,
		Profiles: map[string]*profile.Profile{"device": catest.DeviceProfile(f.t)},
	}
}

func (f *fake) issuer() *stepca.CA {
	f.t.Helper()
	c, err := stepca.New(f.config())
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// Fail implements catest.Upstream.
func (f *fake) Fail(fault catest.Fault) {
	f.Foreign.Fail(fault)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = fault == catest.Down
	if f.down {
		f.server.CloseClientConnections()
	}
}

func (f *fake) isDown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.down
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, status int, text string) {
	answer(w, status, map[string]any{"status": status, "message": text})
}

func encode(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// claims are what a token says.
type claims struct {
	Issuer, Subject, ID string
	Audience            string
	SANs                []string
	Root                string
	CSR                 string
	Expires             int64
	RawSubject          []byte
	Serial              string
}

// open verifies a token as step-ca does, and uses it up; false: refused.
func (f *fake) open(w http.ResponseWriter, token, path string) (*claims, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		refuse(w, 401, "the token has no three parts")
		return nil, false
	}
	general := `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`
	m, err := jws.Parse([]byte(general), jws.Limits{Bytes: 1 << 16, Signatures: 1, Certificates: 4})
	if err != nil {
		refuse(w, 401, err.Error())
		return nil, false
	}
	var key crypto.PublicKey = f.key.Public()
	signature := m.Signatures[0]
	fragment := ""
	if len(signature.Certificates) > 0 {
		fragment, key = "#x5c/registrar", signature.Certificates[0].PublicKey
		if signature.Certificates[0].CheckSignatureFrom(f.Issuing) != nil {
			refuse(w, 401, "x5c from another CA")
			return nil, false
		}
	} else if signature.KeyID != f.kid {
		refuse(w, 401, "provisioner not found")
		return nil, false
	}
	var p struct {
		Issuer   string   `json:"iss"`
		Audience string   `json:"aud"`
		Subject  string   `json:"sub"`
		ID       string   `json:"jti"`
		Expires  int64    `json:"exp"`
		Root     string   `json:"sha"`
		SANs     []string `json:"sans"`
		Bound    struct {
			CSR string `json:"x5rt#S256"`
		} `json:"cnf"`
		Ours struct {
			Subject []byte `json:"subject"`
			Serial  string `json:"serial"`
		} `json:"briskest"`
	}
	if err := json.Unmarshal(m.Payload, &p); err != nil {
		refuse(w, 401, err.Error())
		return nil, false
	}
	f.mu.Lock()
	used := f.used[p.ID]
	f.used[p.ID] = true
	f.mu.Unlock()
	switch {
	case used:
		refuse(w, 401, "token already used")
	case signature.Type != "JWT" || signature.Verify(key) != nil || p.Issuer != "registrar" || p.Audience != f.server.URL+path+fragment || p.Subject == "" ||
		p.Expires < time.Now().Unix():
		refuse(w, 401, "The request lacked necessary authorization to be completed.")
	default:
		return &claims{
			Issuer: p.Issuer, Subject: p.Subject, ID: p.ID, Audience: p.Audience, SANs: p.SANs, Root: p.Root, CSR: p.Bound.CSR, Expires: p.Expires,
			RawSubject: p.Ours.Subject, Serial: p.Ours.Serial,
		}, true
	}
	return nil, false
}

func (f *fake) sign(w http.ResponseWriter, r *http.Request) {
	var body struct {
		CSR       string    `json:"csr"`
		Token     string    `json:"ott"`
		NotBefore time.Time `json:"notBefore"`
		NotAfter  time.Time `json:"notAfter"`
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || json.Unmarshal(text, &body) != nil {
		refuse(w, 400, "error reading request body")
		return
	}
	f.mu.Lock()
	f.bodies = append(f.bodies, string(text))
	f.mu.Unlock()
	fault := f.Fault()
	switch fault {
	case catest.Overloaded:
		w.Header().Set("Retry-After", "7")
		refuse(w, 503, "busy")
		return
	case catest.RefusesUs:
		refuse(w, 401, "provisioner not found or invalid audience")
		return
	case catest.Slow:
		<-r.Context().Done()
		return
	case catest.Garbage:
		w.WriteHeader(201)
		_, _ = io.WriteString(w, "<html>welcome</html>")
		return
	case catest.Huge:
		w.WriteHeader(201)
		for range 1 << 12 {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
		return
	}
	c, ok := f.open(w, body.Token, "/1.0/sign")
	if !ok {
		return
	}
	block, _ := pem.Decode([]byte(body.CSR))
	if block == nil {
		refuse(w, 400, "missing csr")
		return
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		refuse(w, 400, "invalid csr")
		return
	}
	if sum := sha256.Sum256(block.Bytes); c.CSR != base64.RawURLEncoding.EncodeToString(sum[:]) {
		refuse(w, 403, "certificate request fingerprint does not match")
		return
	}
	if fault == catest.Refuses || csr.Subject.CommonName != "" && csr.Subject.CommonName != c.Subject || len(csr.DNSNames) > 0 && !slices.Equal(csr.DNSNames, c.SANs) {
		refuse(w, 403, "The request was forbidden by the certificate authority: not on a Wednesday")
		return
	}
	subject, err := asn1.Marshal(pkix.Name{CommonName: c.Subject}.ToRDNSequence())
	if err != nil {
		f.t.Error(err)
	}
	if f.template {
		subject = c.RawSubject
		f.mu.Lock()
		f.serials[c.ID] = c.Serial
		f.mu.Unlock()
	}
	raw := f.Sign(&catest.Wish{PublicKey: csr.PublicKey, RawSubject: subject, DNS: c.SANs, NotBefore: body.NotBefore, NotAfter: body.NotAfter})
	out := map[string]any{"crt": encode(raw), "ca": encode(f.Issuing.Raw), "certChain": []string{encode(raw), encode(f.Issuing.Raw)}}
	switch fault {
	case catest.AnswerLost:
		panic(http.ErrAbortHandler)
	case catest.Truncated:
		text, _ := json.Marshal(out)
		w.Header().Set("Content-Length", "100000")
		w.WriteHeader(201)
		_, _ = w.Write(text[:len(text)/2])
		panic(http.ErrAbortHandler)
	case catest.AnswersTwice:
		other := f.Other(&catest.Wish{RawSubject: subject, DNS: c.SANs, NotBefore: body.NotBefore, NotAfter: body.NotAfter})
		out["crt"] = encode(raw) + encode(other)
	}
	answer(w, 201, out)
}

func (f *fake) revoke(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Serial  string `json:"serial"`
		Token   string `json:"ott"`
		Reason  int    `json:"reasonCode"`
		Passive bool   `json:"passive"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || !body.Passive {
		refuse(w, 400, "malformed")
		return
	}
	if f.Fault() == catest.Overloaded {
		refuse(w, 503, "busy")
		return
	}
	c, ok := f.open(w, body.Token, "/1.0/revoke")
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, again := f.revoked[body.Serial]
	switch {
	case c.Subject != body.Serial:
		refuse(w, 403, "serial and subject do not match")
	case again:
		refuse(w, 400, "certificate with serial number '"+body.Serial+"' is already revoked")
	default:
		f.revoked[body.Serial] = body.Reason
		answer(w, 200, map[string]string{"status": "ok"})
	}
}

func (f *fake) provisioners(w http.ResponseWriter, r *http.Request) {
	page := map[string]any{"provisioners": []any{map[string]any{"type": "ACME", "name": "registrar"}}, "nextCursor": "2"}
	if r.FormValue("cursor") == "2" {
		page = map[string]any{"provisioners": []any{map[string]any{"type": "JWK", "name": "registrar", "key": map[string]string{"kid": f.kid}}}}
	}
	answer(w, 200, page)
}

func (f *fake) check(ctx context.Context, change func(c *stepca.Config)) error {
	f.t.Helper()
	config := f.config()
	change(&config)
	c, err := stepca.New(config)
	if err != nil {
		f.t.Fatal(err)
	}
	return c.Check(ctx)
}
