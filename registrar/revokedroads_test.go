package registrar_test

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// withdrawals are the ways in which a certificate stops to authenticate.
func withdrawals() map[int]string {
	return map[int]string{1: registrar.ReasonRevoked, registrar.ReasonHold: registrar.ReasonOnHold}
}

// R1: a revoked certificate, and one on hold, gets no key that the server makes, on a new connection or a kept one.
func TestARevokedOrHeldCertificateGetsNoGeneratedKey(t *testing.T) {
	for reason, refusedAs := range withdrawals() {
		h, url := keyHouse(t, nil)
		cert, key := h.enrolled("sensor-7")
		connect := func() *est.Client {
			return h.client(url, func(c *est.Client) {
				c.Certificate = &tls.Certificate{Certificate: [][]byte{cert.Raw}, Leaf: cert, PrivateKey: key}
			})
		}
		ask := func() *est.KeyGenRequest {
			return &est.KeyGenRequest{Names: &x509.CertificateRequest{Subject: pkix.Name{CommonName: "sensor-7"}, DNSNames: cert.DNSNames}}
		}
		kept := connect()
		if _, err := kept.ServerKeyGen(t.Context(), ask()); err != nil {
			t.Fatalf("before: %v", err)
		}
		h.revokeFor(cert, reason)
		before := len(h.certificates(""))
		refusedWith(t, "on the kept connection", errorOf(kept.ServerKeyGen(t.Context(), ask())), 403, refusedAs)
		refusedWith(t, "on a new one", errorOf(connect().ServerKeyGen(t.Context(), ask())), 403, refusedAs)
		if n := len(h.certificates("")); n != before {
			t.Errorf("%d issuances for reason %d", n-before, reason)
		}
	}
}

// R1: on fullcmc neither the signer of a message nor the TLS client may be revoked or on hold, whatever they ask.
func TestARevokedOrHeldCertificateAuthenticatesNoFullCMC(t *testing.T) {
	for reason, refusedAs := range withdrawals() {
		h := newCMCHouse(t, nil)
		cert, key := h.enrolled("sensor-1")
		other, _ := h.enrolled("sensor-2")
		ra, raKey := h.raCertificate()
		mine := func(by *x509.Certificate, k crypto.Signer) *fullRequest {
			f := h.full().signed(by, k)
			f.renewal(1, cert, nil)
			return f
		}
		mine(cert, key).send().granted(1) // all that is cached is
		h.revokeFor(cert, reason)
		h.revokeFor(ra, reason)
		before := len(h.certificates(""))
		mine(cert, key).send().refused(refusedAs, cmc.FailBadIdentity, 1)
		byRA := h.full().signed(ra, raKey)
		byRA.named(1, "sensor-9")
		byRA.send().refused(refusedAs, cmc.FailBadIdentity, 1)
		h.full().signed(ra, raKey).with(h.revocation(other, "")).send().refused(refusedAs, cmc.FailBadIdentity, 104)
		own := testpki.NewKey(t)
		h.full().tls(cert).own(1, "sensor-1", own).send().refused(refusedAs, cmc.FailBadIdentity, 1)
		if n := len(h.certificates("")); n != before {
			t.Errorf("%d issuances for reason %d", n-before, reason)
		}
		if h.onCRL(other) {
			t.Error("a revoked RA revoked another certificate")
		}
	}
}

// R1: a certificate that is put on hold authenticates nothing on a resumed session of either TLS, nor on a kept connection.
func TestAHeldCertificateAuthenticatesNothingOnSessionsThereWere(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for reason, refusedAs := range withdrawals() {
			h := newHouse(t, nil)
			url := h.serve()
			key := testpki.NewKey(t)
			csr := testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "resumed"}}, key)
			cert, err := h.client(url, func(c *est.Client) { c.User, c.Password = group, h.passwords[group] }).SimpleEnroll(t.Context(), csr)
			check(t, err)
			config := &tls.Config{
				RootCAs: h.root.Pool(), MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1),
				Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
			}
			dial := func() *tls.Conn {
				conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), config)
				check(t, err)
				t.Cleanup(func() { _ = conn.Close() })
				return conn
			}
			renew := func(conn *tls.Conn) int {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/.well-known/est/simplereenroll", strings.NewReader(base64.StdEncoding.EncodeToString(csr)))
				check(t, err)
				r.Header.Set("Content-Type", "application/pkcs10")
				return roundTrip(t, conn, r)
			}
			kept := dial()
			if status := renew(kept); status != 200 {
				t.Fatalf("TLS %#x: before: %d", version, status)
			}
			h.revokeFor(cert, reason)
			if status := renew(kept); status != 403 {
				t.Errorf("TLS %#x, reason %d: on the kept connection %d, want 403", version, reason, status)
			}
			h.lastRefusedAs(refusedAs)
			resumed := dial()
			if status := renew(resumed); status != 403 || !resumed.ConnectionState().DidResume {
				t.Errorf("TLS %#x, reason %d: %d, resumed %t; want 403 on a resumed session", version, reason, status, resumed.ConnectionState().DidResume)
			}
			h.lastRefusedAs(refusedAs)
		}
	}
}
