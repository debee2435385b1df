package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"testing"
)

// decider is a system that decides about every case: it may. What it is asked is kept.
func (b *canaryBed) decider() (url string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := httputil.DumpRequest(r, true)
		b.mu.Lock()
		b.asked.Write(raw)
		b.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"decision":"allow"}`)
	}))
	b.t.Cleanup(s.Close)
	return s.URL + "/"
}

// The seed of a NATS user's key, as nsc writes it; the canary is in what it encodes.
const natsSeed = "SUAGGYLOMFZHSLLOMF2HGLLTMVSWILJQGEZDGNBVGY3TQOLBMJRWIZIBOE"

// brokers are targets that let nobody in, so that credentials get into errors, if they do.
func (b *canaryBed) brokers() string {
	b.secrets["MQTT password"] = []byte("mqtt?canary/password~+299792458")
	b.secrets["NATS password"] = []byte("nats?canary/password~+662607015")
	b.secrets["NATS seed"] = []byte(natsSeed)
	b.secrets["NATS token"] = []byte("eyJhbGciOiJlZDI1NTE5In0.canary-nats-jwt-1380649")
	mqtt := refusing(b.t, "", "\x20\x03\x00\x86\x00") // CONNACK, bad user name or password (MQTT 5.0, Section 3.2.2.2)
	nats := refusing(b.t, `INFO {"server_id":"x","version":"2.10.0","proto":1,"max_payload":1048576,"headers":true,"auth_required":true,"nonce":"bm9uY2U"}`+"\r\n",
		"-ERR 'Authorization Violation'\r\n")
	creds := "-----BEGIN NATS USER JWT-----\n" + string(b.secrets["NATS token"]) + "\n------END NATS USER JWT------\n\n" +
		"-----BEGIN USER NKEY SEED-----\n" + natsSeed + "\n------END USER NKEY SEED------\n"
	return "  - {name: broker, mqtt: {url: \"mqtt://" + mqtt + "\", user: registrar, password: " + b.file("mqtt", string(b.secrets["MQTT password"])) + "}, from: start}\n" +
		"  - {name: bus, nats: {urls: [\"nats://" + nats + "\"], user: registrar, password: " + b.file("nats", string(b.secrets["NATS password"])) + "}, from: start}\n" +
		"  - {name: cluster, nats: {urls: [\"nats://" + nats + "\"], credentials: " + b.file("creds", creds) + "}, from: start}\n"
}

// refusing is a server that greets, hears who it is, refuses and hangs up.
func refusing(t *testing.T, greeting, answer string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, greeting)
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, answer)
			}()
		}
	}()
	return l.Addr().String()
}

// issuer is an OpenID Connect issuer whose tokens the API takes. A client secret the registrar has none of: it only
// verifies tokens.
func (b *canaryBed) issuer() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	point, err := key.PublicKey.Bytes()
	if err != nil {
		b.t.Fatal(err)
	}
	b.jwt = func(claims string) string {
		signed := text([]byte(`{"alg":"ES256","kid":"k1","typ":"JWT"}`)) + "." + text([]byte(claims))
		sum := sha256.Sum256([]byte(signed))
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			b.t.Fatal(err)
		}
		return signed + "." + text(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
	}
	keys := b.file("jwks", `{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","alg":"ES256","use":"sig","x":"`+text(point[1:33])+`","y":"`+text(point[33:])+`"}]}`)
	return "api:\n  oidc:\n    - {issuer: \"https://idp.example\", audience: briskest, jwks: " + keys + ", roles: {ops: {\"*\": viewer}}}\n"
}
