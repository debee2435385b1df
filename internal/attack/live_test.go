package attack_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testbed"
	"github.com/briskest/briskest/internal/testpki"
)

// live is the running program and what an attacker on its network can do.
type live struct {
	*testbed.Bed
	t              *testing.T
	user, password string
}

// The running program against those who reach its port and those who have an
// account on its machine. It is started once: each part leaves it as it was.
func TestTheRunningProgramHoldsAgainst(t *testing.T) {
	l := &live{Bed: testbed.Start(t), t: t}
	l.user, l.password = l.User(t)
	t.Run("a connection that changes its mind", l.connectionReuse)
	t.Run("a session resumed after revocation", l.resumption)
	t.Run("passwords in every place", l.canaries)
	t.Run("text that forges lines", l.forgedLines)
	t.Run("other users of the machine", l.otherUsers)
}

// enroll posts a CSR for name and returns the status and the certificate.
func (l *live) enroll(t *testing.T, client *http.Client, op string, name pkix.Name, auth func(r *http.Request)) (int, *tls.Certificate) {
	t.Helper()
	key := testpki.NewKey(t)
	body := base64.StdEncoding.EncodeToString(testpki.CSR(t, &x509.CertificateRequest{Subject: name}, key))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.EST+op, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/pkcs10")
	if auth != nil {
		auth(r)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		return res.StatusCode, nil
	}
	return res.StatusCode, &tls.Certificate{Certificate: [][]byte{leafOf(t, text)}, PrivateKey: key}
}

func (l *live) basic(r *http.Request) { r.SetBasicAuth(l.user, l.password) }

// connectionReuse: who asks is decided for each request, whatever was decided
// on the same connection before (HTTP/1.1 and HTTP/2).
func (l *live) connectionReuse(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		client := l.Client(t, nil)
		client.Transport.(*http.Transport).ForceAttemptHTTP2 = http2
		if status, _ := l.enroll(t, client, "/simpleenroll", pkix.Name{CommonName: "reuse"}, l.basic); status != http.StatusOK {
			t.Fatalf("HTTP/2 %v: with credentials %d", http2, status)
		}
		for what, auth := range map[string]func(r *http.Request){
			"none":              nil,
			"a wrong password":  func(r *http.Request) { r.SetBasicAuth(l.user, l.password+"x") },
			"half a password":   func(r *http.Request) { r.SetBasicAuth(l.user, l.password[:len(l.password)/2]) },
			"an empty user":     func(r *http.Request) { r.SetBasicAuth("", l.password) },
			"the user in caps":  func(r *http.Request) { r.SetBasicAuth(strings.ToUpper(l.user), l.password) },
			"a forwarded user":  func(r *http.Request) { r.Header.Set("X-Remote-User", l.user) },
			"a forwarded proof": func(r *http.Request) { r.Header.Set("X-SSL-Client-Verify", "SUCCESS") },
		} {
			if status, _ := l.enroll(t, client, "/simpleenroll", pkix.Name{CommonName: "reuse"}, auth); status != http.StatusUnauthorized {
				t.Errorf("HTTP/2 %v: on the same connection with %s: %d, want 401", http2, what, status)
			}
		}
	}
}

// resumption: RFC 8446, Section 2.2 lets a client skip its certificate; what
// became of it since is looked up all the same (R1).
func (l *live) resumption(t *testing.T) {
	_, id := l.enroll(t, l.Client(t, nil), "/simpleenroll", pkix.Name{CommonName: "resumer"}, l.basic)
	leaf, err := x509.ParseCertificate(id.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cache := tls.NewLRUClientSessionCache(4)
		connect := func() (*http.Client, *bool) {
			client, resumed := l.Client(t, id), false
			cfg := client.Transport.(*http.Transport).TLSClientConfig
			cfg.ClientSessionCache, cfg.MaxVersion = cache, version
			cfg.VerifyConnection = func(cs tls.ConnectionState) error { resumed = cs.DidResume; return nil }
			return client, &resumed
		}
		client, _ := connect()
		before, _ := l.enroll(t, client, "/simplereenroll", leaf.Subject, nil)
		again, resumed := connect()
		if version == tls.VersionTLS13 {
			if _, stderr, code := testbed.Run(t, l.Program, "ca", "revoke", fmt.Sprintf("%x", leaf.SerialNumber), "--config", filepath.Join(l.Dir, "registrar.yaml")); code != 0 {
				t.Fatal(stderr)
			}
		}
		after, _ := l.enroll(t, again, "/simplereenroll", leaf.Subject, nil)
		if !*resumed {
			t.Errorf("TLS %x: the session was not resumed, the test shows nothing", version)
		}
		if want := map[bool]int{false: http.StatusOK, true: http.StatusForbidden}[version == tls.VersionTLS13]; before != http.StatusOK || after != want {
			t.Errorf("TLS %x: %d, and on the resumed session %d, want %d", version, before, after, want)
		}
	}
}

// canaries: R15, promise 8 of the design.
func (l *live) canaries(t *testing.T) {
	const canary = "kanarienvogel-7f3a"
	client := l.Client(t, nil)
	for i, auth := range []func(r *http.Request){
		func(r *http.Request) { r.SetBasicAuth("nobody", canary) },
		func(r *http.Request) { r.SetBasicAuth(l.user, canary) },
		func(r *http.Request) { r.Header.Set("Authorization", "Basic "+canary) },
		func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+canary) },
		func(r *http.Request) { r.Header.Set("Authorization", "Digest response="+canary) },
		func(r *http.Request) { r.Header.Set("Cookie", "session="+canary) },
		func(r *http.Request) { r.Header.Set("Proxy-Authorization", "Basic "+canary) },
		func(r *http.Request) { r.URL.RawQuery = "password=" + canary },
	} {
		if status, _ := l.enroll(t, client, "/simpleenroll", pkix.Name{CommonName: "c"}, auth); status == http.StatusOK {
			t.Errorf("canary %d enrolled", i)
		}
	}
	secrets := [][]byte{[]byte(canary), []byte(l.password), []byte(base64.StdEncoding.EncodeToString([]byte(l.user + ":" + l.password)))}
	l.eachFile(t, func(name string, data []byte) {
		if name == "est-user.txt" {
			return
		}
		for i, secret := range secrets {
			if bytes.Contains(data, secret) {
				t.Errorf("secret %d is in %s", i, name)
			}
		}
	})
}

// forgedLines: every line of a log is one object, and what an operator's list
// shows of a stranger is on its own line and moves no cursor.
func (l *live) forgedLines(t *testing.T) {
	evil := testpki.NewRoot(t, "evil\x1b]0;owned\x07\n{\"msg\":\"certificate issued\"}\r\nx").IDevID(t, "E-1", "").TLS()
	client := l.Client(t, &evil)
	for _, path := range []string{l.EST + "/simpleenroll", l.BRSKI + "/requestvoucher", l.EST + "/%0a%1b[2J/cacerts"} {
		res, err := client.Post(path, "application/pkcs10", strings.NewReader("\n\x1b[2J"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	for line := range bytes.Lines(l.Read(t, "registrar/registrar.log")) {
		var entry struct{ Level, Msg string }
		if err := json.Unmarshal(line, &entry); err != nil || entry.Level == "" || entry.Msg == "" || entry.Msg == "certificate issued" {
			t.Errorf("a line of the log that is none of ours: %q (%v)", line, err)
		}
	}
	for _, command := range [][]string{{"request", "list", "--state", "all"}, {"device", "list"}, {"ca", "list"}} {
		out, stderr, code := testbed.Run(t, l.Program, append(command, "--config", filepath.Join(l.Dir, "registrar.yaml"))...)
		if code != 0 {
			t.Errorf("%v: %s", command, stderr)
		}
		if strings.ContainsAny(out, "\x1b\x07\r\x00") {
			t.Errorf("%v prints control characters: %q", command, out)
		}
	}
}

// otherUsers: keys, credentials, databases, logs and the operators' sockets are
// this user's alone, and so are the folders that hold them.
func (l *live) otherUsers(t *testing.T) {
	for _, folder := range []string{".", "masa", "registrar", "registrar/ca", "pledge"} {
		if st, err := os.Stat(filepath.Join(l.Dir, folder)); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v; want it closed to others", folder, st.Mode(), err)
		}
	}
	sockets := 0
	err := filepath.WalkDir(l.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		secret := strings.HasSuffix(path, ".key") || strings.HasSuffix(path, ".log") || strings.HasSuffix(path, "est-user.txt") || strings.Contains(path, ".db")
		if d.Type()&fs.ModeSocket != 0 {
			sockets, secret = sockets+1, true
		}
		if secret && st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, st.Mode())
		}
		return nil
	})
	if err != nil || sockets != 2 {
		t.Errorf("%d sockets, %v; want the registrar's and the MASA's", sockets, err)
	}
}

// leafOf reads the certificate of an enrollment's answer.
func leafOf(t *testing.T, text []byte) []byte {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	certs, err := cms.ParseCertsOnly(der)
	if err != nil {
		t.Fatal(err)
	}
	return certs[0].Raw
}

// eachFile reads every regular file of the quickstart.
func (l *live) eachFile(t *testing.T, see func(name string, data []byte)) {
	t.Helper()
	err := filepath.WalkDir(l.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(l.Dir, path)
		see(name, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
