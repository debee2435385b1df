package vaultca_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/ca/vaultca"
	"github.com/briskest/briskest/internal/testbed"
)

// peer is the real Vault, whose mount pki signs with a CA below our root.
type peer struct {
	*testbed.Vault
	t      testing.TB
	config vaultca.Config // with an AppRole
	above  *localca.CA
	chain  []*x509.Certificate
}

func unrecorded(context.Context, *ca.Intent) error { return nil }

func newPeer(t testing.TB) *peer {
	t.Helper()
	testbed.Peer(t, "vault-pki") // before the work
	rootKey, key := newKey(t), newKey(t)
	root, err := localca.NewRoot(t.Context(), rootKey, &localca.Authority{Subject: pkix.Name{CommonName: "peer root"}, Lifetime: "7300d", PathLength: 1, Record: unrecorded})
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t}
	if p.above, err = localca.New(localca.Config{Certificate: root, Key: rootKey}); err != nil {
		t.Fatal(err)
	}
	issuing, err := localca.NewIntermediate(t.Context(), p.above, key.Public(), &localca.Authority{Subject: pkix.Name{CommonName: "peer issuing"}, Lifetime: "3650d", Record: unrecorded})
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p.chain = []*x509.Certificate{issuing, root}
	p.Vault = testbed.NewVault(t)
	bundle := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})) + encode(issuing.Raw) + encode(root.Raw)
	roleID, secretID := p.PKI(bundle)
	p.config = vaultca.Config{
		URL: p.URL, Role: "device", Chain: p.chain, Anchors: []*x509.Certificate{p.server()}, Search: 1000, IgnoresCSRNames: true,
		Login:    vaultca.Login{RoleID: roleID, SecretID: func() (string, error) { return secretID, nil }},
		Profiles: map[string]*profile.Profile{"device": catest.DeviceProfile(t), "wide": wideProfile(t)},
	}
	return p
}

func (p *peer) server() *x509.Certificate {
	p.t.Helper()
	data, err := os.ReadFile(p.Certificate())
	if err != nil {
		p.t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		p.t.Fatal(err)
	}
	return cert
}

func (p *peer) issuer(change func(c *vaultca.Config)) *vaultca.CA {
	p.t.Helper()
	config := p.config
	if change != nil {
		change(&config)
	}
	c, err := vaultca.New(config)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func TestThePeerVaultKeepsTheContractOfAnIssuer(t *testing.T) {
	catest.TestIssuer(t, func(t *testing.T) catest.Fixture {
		c := newPeer(t).issuer(nil)
		if err := c.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		return catest.Fixture{Issuer: c, Profile: "device", Break: catest.BreakDevice}
	})
}

// listed says whether Vault's CRL has a serial number.
func (p *peer) listed(serial []byte) bool {
	p.t.Helper()
	res, err := p.Client().Get(p.URL + "/v1/pki/crl")
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	der, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		p.t.Fatalf("GET crl: %d %v", res.StatusCode, err)
	}
	for _, entry := range list.RevokedCertificateEntries {
		if bytes.Equal(entry.SerialNumber.Bytes(), serial) {
			return true
		}
	}
	return false
}

func TestThePeerVaultIssuesRenewsAndRevokesWithEachLogin(t *testing.T) {
	p := newPeer(t)
	_, auth := p.Call("POST", "auth/token/create", map[string]any{"policies": []string{"registrar"}, "ttl": "1h"})
	token, _ := auth["client_token"].(string)
	own := selfMadeClient(t)
	p.Call("POST", "sys/auth/cert", map[string]any{"type": "cert"})
	p.Call("POST", "auth/cert/certs/registrar", map[string]any{"certificate": encode(own.Certificate[0]), "token_policies": []string{"registrar"}})
	for name, login := range map[string]vaultca.Login{
		"a token":       {Token: func() (string, error) { return token, nil }},
		"an AppRole":    p.config.Login,
		"a certificate": {Certificate: own, CertRole: "registrar"},
	} {
		c := p.issuer(func(c *vaultca.Config) { c.Login = login })
		if err := c.Check(t.Context()); err != nil {
			t.Errorf("%s: Check: %v", name, err)
		}
		o := newOrder(t, &x509.CertificateRequest{}) // proof of possession and no names
		first, err := c.Issue(t.Context(), &o.Request)
		if err != nil {
			t.Fatalf("%s: Issue: %v\n%s", name, err, p.Output())
		}
		if !first.NotAfter.Equal(o.intent.NotAfter) {
			t.Errorf("%s: valid until %s, want %s", name, first.NotAfter, o.intent.NotAfter)
		}
		second, err := c.Issue(t.Context(), &o.Request)
		if err != nil || bytes.Equal(first.Serial, second.Serial) {
			t.Fatalf("%s: a second Issue = %v, want another certificate", name, err)
		}
		for range 2 {
			if err := c.Revoke(t.Context(), &ca.Revoked{Raw: first.Raw, At: time.Now(), Reason: 1}); err != nil {
				t.Errorf("%s: Revoke: %v", name, err)
			}
		}
		if !p.listed(first.Serial) || p.listed(second.Serial) {
			t.Errorf("%s: the CRL does not list the first certificate alone", name)
		}
	}
}

func selfMadeClient(t testing.TB) *tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: serialNumber(), Subject: pkix.Name{CommonName: "registrar"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestThePeerVaultSignsTheNamesOfTheDecision(t *testing.T) {
	p := newPeer(t)
	p.Call("POST", "pki/roles/device", map[string]any{
		"allow_any_name": true, "enforce_hostnames": false, "cn_validations": []string{"disabled"}, "allowed_uri_sans": []string{"*"}, "allow_ip_sans": true,
		"use_csr_common_name": false, "use_csr_sans": false, "key_type": "any", "organization": []string{"Plant"}, "allowed_serial_numbers": []string{"*"},
		"server_flag": false, "client_flag": true, "key_usage": []string{"DigitalSignature"},
	})
	o := newOrder(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "root"}, DNSNames: []string{"root.example.com"}})
	o.Profile = "wide"
	o.Subject = pkix.Name{Organization: []string{"Plant"}, CommonName: "pump", SerialNumber: "7"}.ToRDNSequence()
	u, err := url.Parse("urn:uuid:1")
	if err != nil {
		t.Fatal(err)
	}
	o.Names = ca.Names{DNS: []string{"pump.example.com"}, Email: []string{"pump@example.com"}, IP: []net.IP{net.IPv4(192, 0, 2, 1)}, URI: []*url.URL{u}}
	if _, err := p.issuer(nil).Issue(t.Context(), &o.Request); err != nil {
		t.Errorf("Issue: %v", err)
	}
}

func TestThePeerVaultRefusesWhatItsRoleForbids(t *testing.T) {
	p := newPeer(t)
	for name, c := range map[string]struct {
		config func(c *vaultca.Config)
		order  func(r *ca.Request)
		want   error
	}{
		"a name outside its role":  {nil, func(r *ca.Request) { r.Profile, r.Names.DNS = "wide", []string{"device.elsewhere.test"} }, ca.ErrRejected},
		"a role that is not there": {func(c *vaultca.Config) { c.Role = "nobody" }, func(*ca.Request) {}, ca.ErrUnavailable}, // no policy lets us
		"a wrong secret ID": {func(c *vaultca.Config) {
			c.Login.SecretID = func() (string, error) { return "0db4d6cc-0000-0000-0000-000000000000", nil }
		}, func(*ca.Request) {}, ca.ErrUnavailable},
		"a wrong token": {func(c *vaultca.Config) {
			c.Login = vaultca.Login{Token: func() (string, error) { return "hvs.wrong", nil }}
		}, func(*ca.Request) {}, ca.ErrUnavailable},
	} {
		o := newOrder(t, nil)
		c.order(&o.Request)
		_, err := p.issuer(c.config).Issue(t.Context(), &o.Request)
		var later *ca.Later
		if !errors.Is(err, c.want) || errors.As(err, &later) {
			t.Errorf("%s: Issue = %v, want %v and no Later", name, err, c.want)
		}
		t.Logf("%s: %v", name, err)
	}
}

func TestThePeerVaultTakesAWrappedSecretIDOnceAndRenewsTokens(t *testing.T) {
	p := newPeer(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/v1/auth/approle/role/registrar/secret-id", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Vault-Token", p.Token)
	request.Header.Set("X-Vault-Wrap-TTL", "5m")
	res, err := p.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	wrapping := member(t, res.Body, "wrap_info", "token")
	now := time.Now()
	c := p.issuer(func(c *vaultca.Config) {
		c.Login.Wrapped, c.Login.SecretID = true, func() (string, error) { return wrapping, nil }
		c.Now = func() time.Time { return now }
	})
	for range 3 {
		if err := issue(t, c); err != nil {
			t.Fatal(err)
		}
		now = now.Add(50 * time.Minute) // two thirds of an hour are over: it is renewed
	}
}

// The server signs, is killed before its answer leaves, and is started again.
func TestThePeerVaultKilledInMidRequestGivesTheCertificateThatItSigned(t *testing.T) {
	p := newPeer(t)
	kill := true
	var signed []byte
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := http.NewRequestWithContext(r.Context(), r.Method, p.URL+r.URL.RequestURI(), r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		request.Header = r.Header.Clone()
		res, err := p.Client().Do(request)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Error(err)
		}
		if kill && strings.Contains(r.URL.Path, "/sign/") {
			signed = body
			p.Kill()
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(res.StatusCode)
		_, _ = w.Write(body)
	}))
	defer front.Close()
	c := p.issuer(func(c *vaultca.Config) { c.URL, c.Anchors = front.URL, []*x509.Certificate{front.Certificate()} })
	o := newOrder(t, nil)
	_, err := c.Issue(t.Context(), &o.Request)
	again := o.again(t, err)
	if _, err = c.Issue(t.Context(), again); err == nil { // it is down
		t.Fatal("Issue worked without a Vault")
	}
	again = o.again(t, err)
	kill = false
	p.Start()
	issued, err := c.Issue(t.Context(), again)
	if err != nil {
		t.Fatalf("after the restart, Issue = %v\n%s", err, p.Output())
	}
	block, _ := pem.Decode([]byte(member(t, bytes.NewReader(signed), "data", "certificate")))
	if block == nil || !bytes.Equal(block.Bytes, issued.Raw) {
		t.Error("the certificate is not the one that Vault signed before it was killed")
	}
}

func TestThePeerVaultSealedIsUnavailable(t *testing.T) {
	p := newPeer(t)
	c := p.issuer(nil)
	if err := issue(t, c); err != nil {
		t.Fatal(err)
	}
	p.Call("POST", "sys/seal", nil)
	o := newOrder(t, nil)
	_, err := c.Issue(t.Context(), &o.Request)
	if !errors.Is(err, ca.ErrUnavailable) {
		t.Errorf("Issue = %v, want ErrUnavailable", err)
	}
	if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "sealed") {
		t.Errorf("Check = %v, want it to say that it is sealed", err)
	}
}
