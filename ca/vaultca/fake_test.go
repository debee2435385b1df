package vaultca_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/ca/vaultca"
)

// fake is as much of Vault's HTTP API as vaultca uses, by its documentation:
// tokens with leases, the methods approle and cert, response wrapping, a mount
// pki with the role device, storage of certificates, seal. What the real one
// does beyond is in peer_test.go.
type fake struct {
	*catest.Foreign
	t      testing.TB
	server *httptest.Server

	mu         sync.Mutex
	now        time.Time            // guarded by mu, as everything below
	tokens     map[string]time.Time // ends
	lease      time.Duration
	renewable  bool
	logins     int
	renewals   int
	wrapped    map[string]bool // wrapping tokens
	secret     string
	csrNames   bool // use_csr_common_name and use_csr_sans
	noStore    bool
	sealed     bool
	down       bool
	mayList    bool
	lists      int
	stored     map[string][]byte // by serial number as Vault writes it
	revoked    map[string]bool
	bodies     []map[string]any // of sign
	namespaces []string
	role       string // that sign was asked for
}

const roleID = "registrar-role"

func newFake(t testing.TB) *fake {
	t.Helper()
	f := &fake{
		Foreign: catest.NewForeign(t), t: t, now: time.Now(), tokens: make(map[string]time.Time), lease: time.Hour, renewable: true,
		wrapped: make(map[string]bool), secret: "swordfish", mayList: true, stored: make(map[string][]byte), revoked: make(map[string]bool),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/auth/approle/login", f.appRole)
	mux.HandleFunc("POST /v1/auth/cert/login", f.certLogin)
	mux.HandleFunc("POST /v1/sys/wrapping/unwrap", f.unwrap)
	mux.HandleFunc("GET /v1/sys/health", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"initialized": true, "sealed": f.sealed})
	})
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /v1/auth/token/lookup-self": f.lookup, "POST /v1/auth/token/renew-self": f.renew,
		"POST /v1/pki/sign/{role}": f.sign, "POST /v1/pki/issuer/{issuer}/sign/{role}": f.sign,
		"POST /v1/pki/revoke": f.revoke, "GET /v1/pki/certs": f.list, "GET /v1/pki/cert/{serial}": f.cert,
		"GET /v1/pki/issuer/{issuer}/json": func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 200, data(map[string]any{"certificate": encode(f.Issuing.Raw)}))
		},
		"GET /v1/pki/roles/{role}": f.readRole,
	} {
		mux.HandleFunc(pattern, f.authenticated(h))
	}
	f.server = httptest.NewUnstartedServer(mux)
	f.server.TLS = &tls.Config{Certificates: []tls.Certificate{f.certificate()}, ClientAuth: tls.RequestClientCert}
	f.server.Listener = &gate{Listener: f.server.Listener, closed: f.isDown}
	f.server.StartTLS()
	t.Cleanup(f.server.Close)
	return f
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

func (f *fake) certificate() tls.Certificate {
	key := newKey(f.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(99), Subject: pkix.Name{CommonName: "vault"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, f.Issuing, key.Public(), f.Key)
	if err != nil {
		f.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, f.Issuing.Raw}, PrivateKey: key}
}

// config is one that fits the fake, with an AppRole.
func (f *fake) config() vaultca.Config {
	return vaultca.Config{
		URL: f.server.URL, Role: "device", Chain: f.Chain(), Anchors: []*x509.Certificate{f.Root}, Search: 100,
		Login:    vaultca.Login{RoleID: roleID, SecretID: func() (string, error) { return "swordfish", nil }},
		Profiles: map[string]*profile.Profile{"device": catest.DeviceProfile(f.t)},
	}
}

func (f *fake) issuer(change func(c *vaultca.Config)) *vaultca.CA {
	f.t.Helper()
	config := f.config()
	if change != nil {
		change(&config)
	}
	c, err := vaultca.New(config)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// Fail implements catest.Upstream.
func (f *fake) Fail(fault catest.Fault) {
	f.Foreign.Fail(fault)
	f.with(func() { f.down = fault == catest.Down })
	if fault == catest.Down {
		f.server.CloseClientConnections()
	}
}

func (f *fake) with(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *fake) isDown() (down bool) {
	f.with(func() { down = f.down })
	return down
}

func (f *fake) clock() (now time.Time) {
	f.with(func() { now = f.now })
	return now
}

// later moves the clock of the fake and of issuers that use it.
func (f *fake) later(d time.Duration) { f.with(func() { f.now = f.now.Add(d) }) }

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func data(d map[string]any) map[string]any {
	return map[string]any{"request_id": "x", "lease_id": "", "data": d, "warnings": nil, "auth": nil}
}

func refuse(w http.ResponseWriter, status int, text string) {
	answer(w, status, map[string]any{"errors": []string{text}})
}

func encode(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func read(r *http.Request) map[string]any {
	var body map[string]any
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || json.Unmarshal(text, &body) != nil {
		return map[string]any{}
	}
	return body
}

// authenticated lets tokens through that hold, of a server that is not sealed.
func (f *fake) authenticated(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var ok, sealed bool
		f.with(func() {
			end, known := f.tokens[r.Header.Get("X-Vault-Token")]
			ok, sealed = known && (end.IsZero() || f.now.Before(end)), f.sealed
			f.namespaces = append(f.namespaces, r.Header.Get("X-Vault-Namespace"))
		})
		switch {
		case r.Header.Get("X-Vault-Request") != "true":
			refuse(w, 412, "missing X-Vault-Request")
		case sealed:
			refuse(w, 503, "Vault is sealed")
		case !ok || f.Fault() == catest.RefusesUs && strings.Contains(r.URL.Path, "/sign/"):
			refuse(w, 403, "permission denied")
		default:
			next(w, r)
		}
	}
}

// newToken makes one that lasts a lease.
func (f *fake) newToken() (token string, lease int64) {
	f.with(func() {
		f.logins++
		token = fmt.Sprintf("hvs.token-%d", f.logins)
		if f.lease > 0 {
			f.tokens[token] = f.now.Add(f.lease)
		} else {
			f.tokens[token] = time.Time{}
		}
		lease = int64(f.lease / time.Second)
	})
	return token, lease
}

func (f *fake) giveToken(w http.ResponseWriter) {
	token, lease := f.newToken()
	answer(w, 200, map[string]any{"auth": map[string]any{"client_token": token, "accessor": "a", "policies": []string{"pki"}, "lease_duration": lease, "renewable": f.renewable}})
}

func (f *fake) appRole(w http.ResponseWriter, r *http.Request) {
	body := read(r)
	var secret string
	f.with(func() { secret = f.secret })
	if body["role_id"] != roleID || body["secret_id"] != secret {
		refuse(w, 400, "invalid role or secret ID")
		return
	}
	f.giveToken(w)
}

func (f *fake) certLogin(w http.ResponseWriter, r *http.Request) {
	if read(r)["name"] != "registrar" || len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].CheckSignatureFrom(f.Issuing) != nil {
		refuse(w, 400, "invalid certificate or no client certificate supplied")
		return
	}
	f.giveToken(w)
}

func (f *fake) unwrap(w http.ResponseWriter, r *http.Request) {
	var ok bool
	f.with(func() {
		ok = f.wrapped[r.Header.Get("X-Vault-Token")]
		delete(f.wrapped, r.Header.Get("X-Vault-Token"))
	})
	if !ok {
		refuse(w, 400, "wrapping token is not valid or does not exist")
		return
	}
	answer(w, 200, data(map[string]any{"secret_id": f.secret}))
}

func (f *fake) lookup(w http.ResponseWriter, r *http.Request) {
	var ttl int64
	f.with(func() {
		if end := f.tokens[r.Header.Get("X-Vault-Token")]; !end.IsZero() {
			ttl = int64(end.Sub(f.now) / time.Second)
		}
	})
	answer(w, 200, data(map[string]any{"ttl": ttl, "renewable": f.renewable}))
}

func (f *fake) renew(w http.ResponseWriter, r *http.Request) {
	token := r.Header.Get("X-Vault-Token")
	f.with(func() {
		f.renewals++
		f.tokens[token] = f.now.Add(f.lease)
	})
	answer(w, 200, map[string]any{"auth": map[string]any{"client_token": token, "lease_duration": int64(f.lease / time.Second), "renewable": true}})
}

func (f *fake) readRole(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("role") != "device" {
		refuse(w, 404, "")
		return
	}
	answer(w, 200, data(map[string]any{"use_csr_common_name": f.csrNames, "use_csr_sans": f.csrNames}))
}

func (f *fake) sign(w http.ResponseWriter, r *http.Request) {
	body := read(r)
	f.with(func() {
		f.bodies = append(f.bodies, body)
		f.role = r.PathValue("issuer") + "/" + r.PathValue("role")
	})
	fault := f.Fault()
	switch fault {
	case catest.Overloaded:
		w.Header().Set("Retry-After", "7")
		refuse(w, 429, "request path \"pki/sign/device\": rate limit quota exceeded")
		return
	case catest.Slow:
		<-r.Context().Done()
		return
	case catest.Garbage:
		_, _ = io.WriteString(w, "<html>welcome</html>")
		return
	case catest.Huge:
		for range 1 << 12 {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
		return
	}
	block, _ := pem.Decode([]byte(fmt.Sprint(body["csr"])))
	var csr *x509.CertificateRequest
	var err error
	if block != nil {
		csr, err = x509.ParseCertificateRequest(block.Bytes)
	}
	notAfter, timeErr := time.Parse(time.RFC3339, fmt.Sprint(body["not_after"]))
	if csr == nil || err != nil || timeErr != nil {
		refuse(w, 400, "certificate request could not be parsed")
		return
	}
	cn, names := text(body["common_name"]), strings.FieldsFunc(text(body["alt_names"]), func(r rune) bool { return r == ',' })
	if f.csrNames {
		names = csr.DNSNames
		if csr.Subject.CommonName != "" {
			cn = csr.Subject.CommonName
		}
	}
	if exclude, _ := body["exclude_cn_from_sans"].(bool); !exclude {
		names = append(names, cn)
	}
	for _, name := range names {
		if fault == catest.Refuses || !strings.HasSuffix(name, ".example.com") {
			refuse(w, 400, "subject alternate name "+name+" not allowed by this role")
			return
		}
	}
	subject, err := asn1.Marshal(pkix.Name{CommonName: cn, SerialNumber: text(body["serial_number"])}.ToRDNSequence())
	if err != nil {
		f.t.Error(err)
	}
	wish := &catest.Wish{PublicKey: csr.PublicKey, RawSubject: subject, DNS: names, NotBefore: time.Now().Add(-30 * time.Second), NotAfter: notAfter}
	raw := f.Sign(wish)
	if !f.noStore {
		f.store(raw)
	}
	out := map[string]any{"certificate": encode(raw), "issuing_ca": encode(f.Issuing.Raw), "ca_chain": []string{encode(f.Issuing.Raw)}}
	switch fault {
	case catest.AnswerLost:
		panic(http.ErrAbortHandler)
	case catest.Truncated:
		text, _ := json.Marshal(data(out))
		w.Header().Set("Content-Length", "100000")
		w.WriteHeader(200)
		_, _ = w.Write(text[:len(text)/2])
		panic(http.ErrAbortHandler)
	case catest.AnswersTwice:
		out["certificate"] = encode(raw) + encode(f.Other(wish))
	}
	answer(w, 200, data(out))
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// colons writes a serial number as Vault does.
func colons(raw []byte) string {
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		return ""
	}
	var parts []string
	for _, b := range c.SerialNumber.Bytes() {
		parts = append(parts, fmt.Sprintf("%02x", b))
	}
	return strings.Join(parts, ":")
}

func (f *fake) store(raw []byte) { f.with(func() { f.stored[colons(raw)] = raw }) }

func (f *fake) revoke(w http.ResponseWriter, r *http.Request) {
	if f.Fault() == catest.Overloaded {
		refuse(w, 429, "rate limit quota exceeded")
		return
	}
	block, _ := pem.Decode([]byte(fmt.Sprint(read(r)["certificate"])))
	var cert *x509.Certificate
	var err error
	if block != nil {
		cert, err = x509.ParseCertificate(block.Bytes)
	}
	if cert == nil || err != nil || cert.CheckSignatureFrom(f.Issuing) != nil {
		refuse(w, 400, "unable to verify signature on presented cert from any present issuer in this mount")
		return
	}
	f.with(func() { f.revoked[colons(cert.Raw)] = true })
	answer(w, 200, data(map[string]any{"revocation_time": 1, "state": "revoked"}))
}

func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	var keys []string
	var may bool
	f.with(func() {
		f.lists++
		for serial := range f.stored {
			keys = append(keys, serial)
		}
		may = f.mayList
	})
	switch {
	case r.FormValue("list") != "true" || !may:
		refuse(w, 403, "permission denied")
	case len(keys) == 0:
		answer(w, 404, map[string]any{"errors": []string{}})
	default:
		answer(w, 200, data(map[string]any{"keys": keys}))
	}
}

func (f *fake) cert(w http.ResponseWriter, r *http.Request) {
	var raw []byte
	at := 0
	f.with(func() {
		raw = f.stored[r.PathValue("serial")]
		if f.revoked[r.PathValue("serial")] {
			at = 1
		}
	})
	if raw == nil {
		refuse(w, 404, "")
		return
	}
	answer(w, 200, data(map[string]any{"certificate": encode(raw), "revocation_time": at}))
}

// keep runs KeepAlive until the function that it returns is called.
func keep(ctx context.Context, c *vaultca.CA) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		c.KeepAlive(ctx)
		close(done)
	}()
	return func() {
		cancel()
		<-done
	}
}
