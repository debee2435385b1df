package main_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// canaries are secrets by the road that they went in by.
type canaries map[string][]byte

// forms are the ways a secret may be written: as it is, hex, URL, and base64 at each of the three places in a group that it can begin at.
func forms(secret []byte) map[string]string {
	out := map[string]string{"raw": string(secret), "hex": hex.EncodeToString(secret), "HEX": strings.ToUpper(hex.EncodeToString(secret)), "URL": url.QueryEscape(string(secret))}
	for at, name := range []string{"base64", "base64+1", "base64+2"} {
		begin, end := []int{0, 2, 3}[at], (at+len(secret))*8/6
		text := base64.StdEncoding.EncodeToString(append(make([]byte, at), secret...))[begin:end]
		out[name] = text
		out[name+"url"] = strings.NewReplacer("+", "-", "/", "_").Replace(text)
	}
	return out
}

// found lists what of the canaries a sink holds.
func (c canaries) found(sink []byte) (list []string) {
	for road, secret := range c {
		for form, text := range forms(secret) {
			if bytes.Contains(sink, []byte(text)) {
				list = append(list, road+" as "+form)
			}
		}
	}
	return list
}

// canaryBed is a registrar at work whose secrets are known.
type canaryBed struct {
	*testbed.Bed
	t        *testing.T
	process  *testbed.Process
	api      string
	config   string
	secrets  canaries
	visible  string // no secret: it has to be found, or a sink is none
	answers  bytes.Buffer
	mu       sync.Mutex
	received bytes.Buffer // guarded by mu
	asked    bytes.Buffer // of the webhook that decides; guarded by mu
	jwt      func(claims string) string
}

// file writes a secret for the configuration or the command line.
func (b *canaryBed) file(name, secret string) string {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), name)
	b.put(path, secret)
	return path
}

func (b *canaryBed) put(path, text string) {
	b.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *canaryBed) briskest(args ...string) string {
	b.t.Helper()
	out, errs, code := testbed.Run(b.t, b.Program, append(args, "--config", b.config)...)
	if code != 0 {
		b.t.Fatalf("briskest %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// newCanaryBed starts a registrar with secrets in every place of its configuration. Keys are its files with private keys.
func newCanaryBed(t *testing.T, bed *testbed.Bed, keys ...string) *canaryBed {
	t.Helper()
	b := &canaryBed{Bed: bed, t: t, api: testbed.FreeAddress(t), secrets: canaries{}, visible: "canary-visible-7"}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := httputil.DumpRequest(r, true)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.received.Write(raw)
	}))
	t.Cleanup(hook.Close)
	b.config = filepath.Join(b.Dir, "registrar.yaml")
	text := string(b.Read(t, "registrar.yaml"))
	text = strings.Replace(text, "  admin: registrar/admin.sock", "  api: "+b.api+"\n  admin: registrar/admin.sock", 1)
	text = strings.Replace(text, "level: info", "level: debug", 1)
	b.secrets["webhook that decides"] = []byte("ask:canary/0123456789abcdef~")
	text = strings.Replace(text, "    basic: true", "    codes: true\n    shared_secret: true\n    webhook: {url: \""+b.decider()+"\", secret: "+
		b.file("ask", string(b.secrets["webhook that decides"]))+"}\n    basic: true", 1)
	b.secrets["webhook HMAC"] = []byte("hmac:canary/0123456789abcdef?")
	b.secrets["CMC"] = []byte("cmc:canary/shared~secret+0123456789?")
	kek := bytes.Repeat([]byte("kek?canary/~+012"), 2)
	b.secrets["key-encryption key"] = kek
	b.put(b.config, text+"\nkey_encryption_keys:\n  - {id: kek-1, secret: "+b.file("kek", hex.EncodeToString(kek)+"\n")+", devices: ["+b.visible+"]}"+
		"\ncmc:\n  secrets:\n    - {name: cmc-1, file: "+b.file("cmc", string(b.secrets["CMC"]))+"}"+
		"\ntargets:\n  - {name: hook, webhook: {url: \""+hook.URL+"\", secret: "+b.file("hook", string(b.secrets["webhook HMAC"]))+"}, from: start}\n"+
		b.brokers()+b.issuer())
	for _, name := range keys {
		block, _ := pem.Decode(b.Read(t, name))
		if block == nil {
			t.Fatalf("%s is no PEM", name)
		}
		b.secrets["private key "+name] = block.Bytes[len(block.Bytes)-48:]
		if strings.HasPrefix(block.Type, "PRIVATE") && len(block.Bytes) < 60 { // Ed25519: the seed is all there is
			b.secrets["private key "+name] = block.Bytes[len(block.Bytes)-32:]
		}
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if ec, ok := key.(*ecdsa.PrivateKey); ok { // the end of its DER is its public key
				b.secrets["private key "+name], _ = ec.Bytes()
			}
		}
	}
	b.process = b.Registrar(t)
	return b
}

// ask sends a request, whatever its answer, and keeps what refusals say.
func (b *canaryBed) ask(method, where, mediaType, body string, change func(*http.Request)) int {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, where, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", mediaType)
	change(r)
	res, err := b.Client(b.t, nil).Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.answers.Write(text)
	return res.StatusCode
}

func authorization(value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", value) }
}

// enroll posts a CSR whose challengePassword is what is given, if anything.
func (b *canaryBed) enroll(name, challenge string, change func(*http.Request)) int {
	b.t.Helper()
	return b.ask("POST", b.EST+"/simpleenroll", "application/pkcs10", canaryCSR(b.t, name, challenge), change)
}

func canaryCSR(t *testing.T, name, challenge string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	type attribute struct {
		Type   asn1.ObjectIdentifier
		Values []string `asn1:"set"`
	}
	var attributes []attribute
	if challenge != "" {
		attributes = []attribute{{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}, []string{challenge}}}
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	info, err := asn1.Marshal(struct {
		Version    int
		Subject    pkix.RDNSequence
		PublicKey  asn1.RawValue
		Attributes []attribute `asn1:"tag:0,set"`
	}{0, pkix.Name{CommonName: name}.ToRDNSequence(), asn1.RawValue{FullBytes: spki}, attributes})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(info)
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	whole, err := asn1.Marshal(struct {
		Info      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: info}, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(whole)
}

// secondOf is the second field of the one row of a table in CSV.
func secondOf(t *testing.T, table string) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(table), "\n")
	fields := strings.Split(lines[len(lines)-1], ",")
	if len(lines) != 2 || len(fields) < 2 {
		t.Fatalf("no table of one row: %q", table)
	}
	return fields[1]
}

// putIn sends secrets in by every road, good ones and bad ones.
func (b *canaryBed) putIn() {
	b.t.Helper()
	want := func(what string, got, status int) {
		b.t.Helper()
		if got != status {
			b.t.Errorf("%s: status %d, want %d\n%s", what, got, status, b.process.Output())
		}
	}
	s := b.secrets
	s["password by CLI"] = []byte("password?canary/by~cli+314159")
	b.briskest("credential", "add", "line", "--group", "--password-file", b.file("password", string(s["password by CLI"])))
	s["password made"] = []byte(secondOf(b.t, b.briskest("credential", "add", "made", "-o", "csv")))
	s["code"] = []byte(secondOf(b.t, b.briskest("credential", "code", "sensor-code", "-o", "csv")))
	token := strings.TrimSpace(b.briskest("token", "create", "ops", "--role", "administrator"))
	s["API token"] = []byte(token[strings.LastIndex(token, "_")+1:])

	const api = "/api/v1/domains/default"
	bearer := authorization("Bearer " + token)
	s["password by API"] = []byte("password?canary/by~api+271828")
	body := `{"user":"by-api","password":"` + string(s["password by API"]) + `"`
	want("a password by the API", b.ask("POST", "https://"+b.api+api+"/credentials", "application/json", body+"}", bearer), 200)
	want("a body that is none", b.ask("POST", "https://"+b.api+api+"/credentials", "application/json", body+`,"nope":1}`, bearer), 400)
	s["OIDC token"] = []byte(b.jwt(`{"iss":"https://idp.example","aud":"briskest","sub":"ann","groups":["ops"],"exp":4102444800,"iat":1700000000}`))
	want("an OIDC token", b.ask("GET", "https://"+b.api+api+"/status", "application/json", "", authorization("Bearer "+string(s["OIDC token"]))), 200)
	s["bad OIDC token"] = []byte(b.jwt(`{"iss":"https://idp.example","aud":"another","sub":"canary-eve","groups":["ops"],"exp":4102444800}`))
	want("an OIDC token for somebody else", b.ask("GET", "https://"+b.api+api+"/status", "application/json", "", authorization("Bearer "+string(s["bad OIDC token"]))), 401)
	s["forged OIDC token"] = []byte(b.jwt(`{"iss":"https://idp.example","aud":"briskest","sub":"canary-mallory","groups":["ops"],"exp":4102444800}`) + "AA")
	want("a forged OIDC token", b.ask("GET", "https://"+b.api+api+"/status", "application/json", "", authorization("Bearer "+string(s["forged OIDC token"]))), 401)
	s["bad API token"] = []byte("bkt_0123456789abcdef_canary~token+1618")
	want("a bad token", b.ask("GET", "https://"+b.api+api+"/status", "application/json", "", authorization("Bearer "+string(s["bad API token"]))), 401)
	s["token in a query"] = []byte("bkt_query?canary/token~1414213")
	want("a token in the query", b.ask("GET", "https://"+b.api+api+"/status?access_token="+url.QueryEscape(string(s["token in a query"])), "application/json", "", func(*http.Request) {}), 401)

	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	want("Basic", b.enroll(b.visible, "", basic("line", string(s["password by CLI"]))), 200)
	s["bad password"] = []byte("wrong?canary/password~+173205")
	want("bad Basic", b.enroll("sensor-2", "", basic("line", string(s["bad password"]))), 401)
	want("a code", b.enroll("sensor-code", "", basic("sensor-code", string(s["code"]))), 200)
	s["Digest response"] = []byte("cafe0123canary0123456789abcdef00")
	want("bad Digest", b.enroll("sensor-3", "", authorization(`Digest username="line", realm="est", nonce="x", uri="/", response="`+string(s["Digest response"])+`"`)), 401)
	s["bearer"] = []byte("eyJ.canary~bearer-223606797749979")
	if got := b.enroll("sensor-4", "", authorization("Bearer "+string(s["bearer"]))); got != 401 && got != 403 {
		b.t.Errorf("a bearer token: status %d", got)
	}
	s["challengePassword"] = []byte("Challenge canary 264575131106")
	want("challengePassword", b.enroll("sensor-5", string(s["challengePassword"]), basic("line", string(s["password by CLI"]))), 400)
}

// sinks are all places that secrets must not come to.
func (b *canaryBed) sinks() map[string][]byte {
	b.t.Helper()
	out := map[string][]byte{}
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return testbed.DialSocket(filepath.Join(b.Dir, "registrar/admin.sock"))
	}}}
	b.t.Cleanup(client.CloseIdleConnections)
	res, err := client.Get("http://localhost/metrics")
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	if out["metrics"], err = io.ReadAll(res.Body); err != nil {
		b.t.Fatal(err)
	}
	out["trail export"] = []byte(b.briskest("trail", "export"))
	archive := filepath.Join(b.t.TempDir(), "evidence.tar")
	b.briskest("device", "evidence", b.visible, "-o", archive)
	if out["evidence archive"], err = os.ReadFile(archive); err != nil {
		b.t.Fatal(err)
	}
	for _, list := range [][]string{{"credential", "list"}, {"token", "list"}, {"device", "list"}, {"device", "why", b.visible}, {"event", "list"}, {"event", "targets"}} {
		out["lists of the API"] = append(out["lists of the API"], b.briskest(append(list, "-o", "json")...)...)
	}
	backup := filepath.Join(b.t.TempDir(), "backup")
	b.briskest("backup", backup)
	out["backup"] = tree(b.t, backup, "")
	locked := filepath.Join(b.t.TempDir(), "locked")
	b.briskest("backup", locked, "--keys-for", filepath.Join(b.Dir, "ra.pem"))
	out["backup with its keys encrypted"] = tree(b.t, locked, "")
	b.process.Until(func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return bytes.Contains(b.received.Bytes(), []byte(b.visible))
	})
	b.mu.Lock()
	out["event deliveries"] = bytes.Clone(b.received.Bytes())
	out["webhook questions"] = bytes.Clone(b.asked.Bytes())
	b.mu.Unlock()
	out["database and WAL"] = tree(b.t, filepath.Join(b.Dir, "registrar"), "registrar.db")
	out["log"] = []byte(b.process.Output())
	out["refusals"] = b.answers.Bytes()
	return out
}

// tree is all files below a folder whose names begin so.
func tree(t *testing.T, dir, prefix string) []byte {
	t.Helper()
	var out []byte
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.HasPrefix(d.Name(), prefix) {
			return err
		}
		data, err := os.ReadFile(path)
		out = append(out, data...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// R15 and issue 6, point 5: secrets that went in by every road are in no log, metric, refusal, trail, export, evidence archive, event,
// backup or database, in whatever encoding. A name that is no secret, put in by the same roads, is found in each, and so is a secret that is put there.
func TestNoSecretComesOutAnywhere(t *testing.T) {
	newCanaryBed(t, testbed.Once(t), "registrar/registrar.key", "registrar/trail.key").comesOutNowhere()
}

// R15 and issue 6, point 5: the same where the keys are in a token: neither its PIN nor a wrong one comes out anywhere.
func TestNoPINOfATokenComesOutAnywhere(t *testing.T) {
	const pin = "pin?canary/of~token+602214076"
	program := testbed.BuildForTokens(t, "briskest")
	token := testbed.NewSoftHSMWithPIN(t, pin)
	bed := &testbed.Bed{Program: program, Dir: filepath.Join(t.TempDir(), "q")}
	out, errs, code := testbed.Run(t, program, "quickstart", "--once", "--dir", bed.Dir, "--keys", token.URI(""))
	if code != 0 {
		t.Fatalf("quickstart: exit %d\n%s%s", code, out, errs)
	}
	bed.Addresses = testbed.ReadAddresses(t, bed.Dir)
	b := newCanaryBed(t, bed)
	b.secrets["PIN"] = []byte(pin)
	b.answers.WriteString(out + errs)
	for _, args := range [][]string{{"registrar", "--check"}, {"doctor"}, {"ca", "status"}} {
		out, errs, _ := testbed.Run(t, program, append(args, "--config", b.config)...)
		b.answers.WriteString(out + errs)
	}
	b.comesOutNowhere()
	wrong := "pin?canary/wrong~+137035999"
	b.put(token.PIN, wrong+"\n")
	out, errs, code = testbed.Run(t, program, "registrar", "--check", "--config", b.config)
	if code == 0 {
		t.Error("a wrong PIN opens the token")
	}
	for _, text := range []string{wrong, pin} {
		if list := (canaries{"PIN": []byte(text)}).found([]byte(out + errs)); len(list) > 0 {
			t.Errorf("what a wrong PIN gets has %v:\n%s%s", list, out, errs)
		}
	}
}

// comesOutNowhere puts the secrets in, and looks for them everywhere.
func (b *canaryBed) comesOutNowhere() {
	t := b.t
	t.Helper()
	b.putIn()
	sinks := b.sinks()
	for name, sink := range sinks {
		if list := b.secrets.found(sink); len(list) > 0 {
			t.Errorf("%s has %s", name, strings.Join(list, ", "))
		}
		visible := b.visible
		if name == "log" { // which has refusals
			visible = "bad-credentials"
		}
		if name != "metrics" && name != "refusals" && !bytes.Contains(sink, []byte(visible)) {
			t.Errorf("%s does not even have what is no secret: it is no sink", name)
		}
		for road, secret := range b.secrets {
			for form, text := range forms(secret) {
				if planted := append(bytes.Clone(sink), text...); len(canaries{road: secret}.found(planted)) == 0 {
					t.Errorf("%s as %s is not found where it was put: %s", road, form, name)
				}
			}
		}
		t.Logf("%-18s %8d bytes", name, len(sink))
	}
	if len(sinks["metrics"]) == 0 || len(sinks["refusals"]) == 0 {
		t.Error("there are no metrics, or no refusals")
	}
	t.Logf("%d secrets in %d places", len(b.secrets), len(sinks))
	b.process.Stop()
}
