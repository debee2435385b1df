package cmpca_test

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/cmpca"
	"github.com/briskest/briskest/internal/testbed"
)

// mock is OpenSSL's mock server, whose every answer has the same certificate.
type mock struct {
	*house
	openssl, dir string
	asked        *ca.Request
	certificate  []byte // what it issues, DER
	port         int
}

// newMock keeps its files in dir: OpenSSL splits names at commas, which those of subtests have.
func newMock(t *testing.T, dir string) *mock {
	h := newHouse(t)
	h.settings.Client = nil
	m := &mock{house: h, openssl: testbed.Require(t, "openssl"), dir: dir, asked: h.request("one"), port: 8100}
	m.certificate = h.ca.Sign(&catest.Wish{
		PublicKey: m.asked.PublicKey, RawSubject: mustCSR(t, m.asked.CSR).RawSubject, DNS: m.asked.Names.DNS,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 1, 0),
	})
	return m
}

func (m *mock) file(name, kind string, ders ...[]byte) string {
	m.t.Helper()
	var text []byte
	for _, der := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	path := filepath.Join(m.dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		m.t.Fatal(err)
	}
	return path
}

func (m *mock) key(name string, key crypto.Signer) string {
	m.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.file(name, "PRIVATE KEY", der)
}

// start runs the server with further arguments until the test ends.
func (m *mock) start(t *testing.T, args []string) {
	t.Helper()
	m.port++
	m.settings.URL = fmt.Sprintf("http://127.0.0.1:%d/pkix/", m.port)
	process := testbed.Launch(t, m.openssl, append([]string{
		"cmp", "-config", "", "-verbosity", "7", "-port", fmt.Sprint(m.port), "-rsp_cert", m.file("device.pem", "CERTIFICATE", m.certificate),
	}, args...)...)
	process.Until(func() bool { return strings.Contains(process.Output(), "ACCEPT") })
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(process.Output())
		}
	})
}

// exchange is one row of the table: what the server was told, how we ask it, what comes of it.
type exchange struct {
	name   string
	server []string
	change func(m *mock)
	revoke bool
	want   []verdict // of each call, until one is no ca.Later
}

func exchanges() []exchange {
	ir := func(m *mock) { m.settings.Mode = cmpca.IR }
	cr := func(m *mock) { m.settings.Mode = cmpca.CR }
	implicit := func(m *mock) { m.settings.ImplicitConfirm = true }
	return []exchange{
		{name: "p10cr", want: []verdict{issued}},
		{name: "ir with raVerified", server: []string{"-accept_raverified"}, change: ir, want: []verdict{issued}},
		{name: "cr with raVerified", server: []string{"-accept_raverified"}, change: cr, want: []verdict{issued}},
		{name: "ir where raVerified is not taken", change: ir, want: []verdict{rejected}},
		{name: "rr", revoke: true, want: []verdict{issued}},
		{name: "implicit confirmation, granted", server: []string{"-grant_implicitconf"}, change: implicit, want: []verdict{issued}},
		{name: "implicit confirmation, not granted", change: implicit, want: []verdict{issued}},
		{name: "implicit confirmation, granted and not asked for", server: []string{"-grant_implicitconf"}, want: []verdict{issued}},
		{name: "polling", server: []string{"-poll_count", "3", "-check_after", "7"}, want: []verdict{pending, pending, issued}},
		{name: "an error", server: []string{"-send_error"}, want: []verdict{rejected}},
		{name: "a CA that is closed", server: []string{"-pkistatus", "2", "-failure", "24", "-statusstring", "closed today"}, want: []verdict{unavailable}},
		{name: "a rejection", server: []string{"-pkistatus", "2", "-failure", "19", "-statusstring", "no such names"}, want: []verdict{rejected}},
		{name: "a rejection without protection", server: []string{"-pkistatus", "2", "-failure", "19", "-send_unprot_err"}, want: []verdict{lost, lost}},
		{name: "an error without protection", server: []string{"-send_error", "-send_unprot_err"}, want: []verdict{lost, lost}},
		{name: "an error without protection, where they are taken", server: []string{"-send_error", "-send_unprot_err"},
			change: func(m *mock) { m.settings.AllowUnprotectedErrors = true }, want: []verdict{rejected}},
		{name: "no protection at all", server: []string{"-send_unprotected"}, want: []verdict{lost, lost}},
		{name: "grantedWithMods", server: []string{"-pkistatus", "1"}, want: []verdict{issued}},
		{name: "another device's certificate", change: func(m *mock) { m.asked = m.request("two") }, want: []verdict{revoke}},
	}
}

// What `openssl cmp` as a server and this issuer make of each other, with both protections. The server listens on every
// address, so it has a network of its own.
func TestOpenSSLsMockServerIsUnderstood(t *testing.T) {
	if !testbed.InNamespace(t) {
		return
	}
	dir := t.TempDir()
	for _, e := range exchanges() {
		t.Run("signature, "+e.name, func(t *testing.T) {
			m := newMock(t, dir)
			key := newKey(t)
			m.run(t, &e, []string{
				"-srv_cert", m.file("server.pem", "CERTIFICATE", m.ca.Certify("openssl", key, 27).Raw), "-srv_key", m.key("server.key", key),
				"-srv_trusted", m.file("root.pem", "CERTIFICATE", m.ca.Root.Raw), "-srv_untrusted", m.file("issuing.pem", "CERTIFICATE", m.ca.Issuing.Raw),
			})
		})
		t.Run("MAC, "+e.name, func(t *testing.T) {
			m := newMock(t, dir)
			m.byMAC(false)
			m.settings.MAC.AllowHMACSHA1 = true
			m.run(t, &e, []string{"-srv_secret", "pass:" + string(m.settings.MAC.Secret), "-srv_ref", m.settings.MAC.Reference})
		})
	}
}

func (m *mock) run(t *testing.T, e *exchange, protection []string) {
	t.Helper()
	if e.change != nil {
		e.change(m)
	}
	m.start(t, append(protection, e.server...))
	issuer := m.issuer()
	if e.revoke {
		for range 2 {
			if err := issuer.Revoke(t.Context(), &ca.Revoked{Raw: m.certificate, Reason: 1}); err != nil {
				t.Errorf("Revoke = %v", err)
			}
		}
		return
	}
	ask := m.asked
	for i, want := range e.want {
		c, err := issuer.Issue(t.Context(), ask)
		if got := verdictOf(c, err); got != want {
			t.Fatalf("call %d: Issue = %v, %v; that is %s, want %s", i+1, c, err, got, want)
		}
		t.Logf("call %d: %s: %v", i+1, want, err)
		var later *ca.Later
		if errors.As(err, &later) {
			ask = m.again(m.asked, later.State)
		}
		if want == pending && later.After != 7*time.Second {
			t.Errorf("come again in %s, want 7s", later.After)
		}
	}
}
