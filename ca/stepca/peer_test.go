package stepca_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/ca/stepca"
	"github.com/briskest/briskest/internal/testbed"
)

// template is that of docs/issuers.md.
const template = `{
  "rawSubject": {{ toJson .Token.briskest.subject }},
  "serialNumber": {{ toJson .Token.briskest.serial }},
  {{- if .Token.sans }}
  "sans": {{ toJson .SANs }},
  {{- end }}
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["clientAuth"]
}`

// peer is the real step-ca with three provisioners: registrar (JWK),
// templated (JWK with our template) and factory (X5C).
type peer struct {
	*testbed.StepCA
	t       testing.TB
	config  stepca.Config // of the provisioner registrar
	factory stepca.Config
}

func newPeer(t testing.TB) *peer {
	t.Helper()
	testbed.Peer(t, "step-ca") // before the work
	rootKey, key := newKey(t), newKey(t)
	root, err := localca.NewRoot(t.Context(), rootKey, &localca.Authority{
		Subject: pkix.Name{CommonName: "peer root"}, Lifetime: "7300d", PathLength: 1, Record: unrecorded,
	})
	if err != nil {
		t.Fatal(err)
	}
	above, err := localca.New(localca.Config{Certificate: root, Key: rootKey})
	if err != nil {
		t.Fatal(err)
	}
	issuing, err := localca.NewIntermediate(t.Context(), above, key.Public(), &localca.Authority{
		Subject: pkix.Name{CommonName: "peer issuing"}, Lifetime: "3650d", Record: unrecorded,
	})
	if err != nil {
		t.Fatal(err)
	}
	own := newKey(t)
	kid, err := stepca.Thumbprint(own.Public())
	if err != nil {
		t.Fatal(err)
	}
	point, err := own.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"minTLSCertDuration": "1m", "maxTLSCertDuration": "9000h", "defaultTLSCertDuration": "24h"}
	jwk := map[string]any{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": point[1:33], "y": point[33:]}
	jwk["x"], jwk["y"] = base64url(point[1:33]), base64url(point[33:])
	p := &peer{t: t}
	chain := []*x509.Certificate{issuing, root}
	p.StepCA = testbed.NewStepCA(t, &testbed.StepCAConfig{
		Chain: chain, Key: key, Deny: []string{"*.elsewhere.test"},
		Provisioners: []any{
			map[string]any{"type": "JWK", "name": "registrar", "key": jwk, "claims": claims},
			map[string]any{"type": "JWK", "name": "templated", "key": jwk, "claims": claims, "options": map[string]any{"x509": map[string]any{"template": template}}},
			map[string]any{"type": "X5C", "name": "factory", "roots": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), "claims": claims},
		},
	})
	p.config = stepca.Config{
		URL: p.URL, Chain: chain, Provisioner: "registrar", Key: own,
		Profiles: map[string]*profile.Profile{"device": catest.DeviceProfile(t)},
	}
	p.factory = p.config
	p.factory.Provisioner, p.factory.Key = "factory", newKey(t)
	p.factory.Certificates = []*x509.Certificate{p.officer(above, p.factory)}
	return p
}

// officer has the root issue the certificate of the X5C provisioner.
func (p *peer) officer(above *localca.CA, c stepca.Config) *x509.Certificate {
	p.t.Helper()
	officer, err := profile.New(&profile.Document{
		Schema: profile.Schema, Name: "officer", Version: "1",
		Subject:  profile.SubjectRules{Attributes: []profile.AttributeRule{{Type: "common_name", Pattern: `.*`}}},
		Keys:     []profile.KeyRule{{Type: "ecdsa", Curves: []string{"p256"}}},
		KeyUsage: []string{"digital_signature"}, ExtendedKeyUsage: []string{"client_auth"}, Validity: profile.Validity{Lifetime: "800d"},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	above, err = above.WithProfiles(map[string]*profile.Profile{"officer": officer})
	if err != nil {
		p.t.Fatal(err)
	}
	o := newOrder(p.t, nil)
	o.Profile, o.Subject, o.Names, o.PublicKey = "officer", pkix.Name{CommonName: "registrar"}.ToRDNSequence(), ca.Names{}, c.Key.Public()
	issued, err := above.Issue(p.t.Context(), &o.Request)
	if err != nil {
		p.t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(issued.Raw)
	if err != nil {
		p.t.Fatal(err)
	}
	return parsed
}

func (p *peer) issuer(change func(c *stepca.Config)) *stepca.CA {
	p.t.Helper()
	config := p.config
	change(&config)
	c, err := stepca.New(config)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func unrecorded(context.Context, *ca.Intent) error { return nil }

func unchanged(*stepca.Config) {}

func templated(c *stepca.Config) { c.Provisioner, c.Template = "templated", true }

func TestThePeerStepCAKeepsTheContractOfAnIssuer(t *testing.T) {
	catest.TestIssuer(t, func(t *testing.T) catest.Fixture {
		p := newPeer(t)
		if err := p.issuer(unchanged).Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		return catest.Fixture{Issuer: p.issuer(unchanged), Profile: "device", Break: catest.BreakDevice}
	})
}

func TestThePeerStepCAIssuesRenewsAndRevokes(t *testing.T) {
	p := newPeer(t)
	for name, c := range map[string]*stepca.CA{
		"a JWK provisioner": p.issuer(unchanged), "one with our template": p.issuer(templated), "an X5C provisioner": p.issuer(func(c *stepca.Config) { *c = p.factory }),
	} {
		if err := c.Check(t.Context()); err != nil {
			t.Errorf("%s: Check: %v", name, err)
		}
		o := newOrder(t, &x509.CertificateRequest{}) // proof of possession and no names
		o.ID = name
		first, err := c.Issue(t.Context(), &o.Request)
		if err != nil {
			t.Fatalf("%s: Issue: %v\n%s", name, err, p.Output())
		}
		if first.NotBefore != o.intent.NotBefore || first.NotAfter != o.intent.NotAfter {
			t.Errorf("%s: valid from %s to %s, want %s to %s", name, first.NotBefore, first.NotAfter, o.intent.NotBefore, o.intent.NotAfter)
		}
		o.ID += " renewed"
		second, err := c.Issue(t.Context(), &o.Request)
		if err != nil || bytes.Equal(first.Serial, second.Serial) {
			t.Fatalf("%s: a second Issue = %v, want another certificate", name, err)
		}
		for range 2 {
			if err := c.Revoke(t.Context(), &ca.Revoked{Raw: first.Raw, At: time.Now(), Reason: 1}); err != nil {
				t.Errorf("%s: Revoke: %v\n%s", name, err, p.Output())
			}
		}
		if !p.listed(first.Serial) || p.listed(second.Serial) {
			t.Errorf("%s: the CRL does not list the first certificate alone", name)
		}
	}
}

// listed says whether step-ca's own CRL has a serial number.
func (p *peer) listed(serial []byte) bool {
	p.t.Helper()
	res, err := p.Client(nil).Get(p.URL + "/1.0/crl")
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
		p.t.Fatalf("GET /1.0/crl: %d %v", res.StatusCode, err)
	}
	for _, entry := range list.RevokedCertificateEntries {
		if bytes.Equal(entry.SerialNumber.Bytes(), serial) {
			return true
		}
	}
	return false
}

func TestThePeerStepCARefusesWhatItsRulesForbid(t *testing.T) {
	p := newPeer(t)
	outside, err := profile.New(&profile.Document{
		Schema: profile.Schema, Name: "outside", Version: "1",
		Subject:  profile.SubjectRules{Attributes: []profile.AttributeRule{{Type: "common_name", Pattern: `.*`}}},
		SAN:      profile.NameRules{DNS: &profile.NameRule{Request: true, Patterns: []string{`.*`}}},
		Keys:     []profile.KeyRule{{Type: "ecdsa", Curves: []string{"p256"}}},
		KeyUsage: []string{"digital_signature"}, ExtendedKeyUsage: []string{"client_auth"}, Validity: profile.Validity{Lifetime: "30d", Max: "1000d"},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.config.Profiles["outside"] = outside
	for name, c := range map[string]struct {
		config func(c *stepca.Config)
		order  func(r *ca.Request)
		want   error
	}{
		"a name outside its policy": {unchanged, func(r *ca.Request) { r.Names.DNS = []string{"device.elsewhere.test"} }, ca.ErrRejected},
		"too long a validity":       {unchanged, func(r *ca.Request) { r.NotAfter = time.Now().AddDate(0, 0, 900) }, ca.ErrRejected},
		"a wrong provisioner":       {func(c *stepca.Config) { c.Provisioner = "nobody" }, func(*ca.Request) {}, ca.ErrUnavailable},
		"a wrong key":               {func(c *stepca.Config) { c.KeyID, _ = stepca.Thumbprint(c.Key.Public()); c.Key = newKey(t) }, func(*ca.Request) {}, ca.ErrUnavailable},
	} {
		o := newOrder(t, &x509.CertificateRequest{})
		o.ID, o.Profile = name, "outside"
		c.order(&o.Request)
		_, err := p.issuer(c.config).Issue(t.Context(), &o.Request)
		var later *ca.Later
		if !errors.Is(err, c.want) || errors.As(err, &later) {
			t.Errorf("%s: Issue = %v, want %v and no Later", name, err, c.want)
		}
		t.Logf("%s: %v", name, err)
	}
}

// The server signs, is killed before its answer leaves, and is started again.
func TestThePeerStepCAKilledInMidRequestLeavesOneLiveCertificate(t *testing.T) {
	p := newPeer(t)
	var lost []byte
	kill := true
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := http.NewRequestWithContext(r.Context(), r.Method, p.URL+r.URL.Path, r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		res, err := p.Client(nil).Do(request)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Error(err)
		}
		if kill {
			lost = body
			p.Kill()
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(res.StatusCode)
		_, _ = w.Write(body)
	}))
	front.StartTLS()
	defer front.Close()
	c := p.issuer(func(c *stepca.Config) {
		templated(c)
		c.URL, c.Anchors = front.URL, []*x509.Certificate{front.Certificate()}
	})
	o := newOrder(t, nil)
	_, err := c.Issue(t.Context(), &o.Request)
	again := o.again(t, err)
	var answer struct {
		Certificate string `json:"crt"`
	}
	if err := json.Unmarshal(lost, &answer); err != nil || answer.Certificate == "" {
		t.Fatalf("step-ca did not sign before it was killed: %s", lost)
	}
	if _, err = c.Issue(t.Context(), again); err == nil { // it is down
		t.Fatal("Issue worked without a step-ca")
	}
	again = o.again(t, err)
	kill = false
	p.Start()
	issued, err := c.Issue(t.Context(), again)
	if err != nil {
		t.Fatalf("after the restart, Issue = %v\n%s", err, p.Output())
	}
	block, _ := pem.Decode([]byte(answer.Certificate))
	ghost, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !p.listed(ghost.SerialNumber.Bytes()) || p.listed(issued.Serial) {
		t.Error("step-ca's CRL does not list the lost certificate alone")
	}
}

func TestThePeerStepCARenewsNoRevokedCertificate(t *testing.T) {
	p := newPeer(t)
	c := p.issuer(unchanged)
	o := newOrder(t, nil)
	key := newKey(t)
	der, err := x509.CreateCertificateRequest(randReader(), &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	o.CSR, o.PublicKey = der, key.Public()
	issued, err := c.Issue(t.Context(), &o.Request)
	if err != nil {
		t.Fatal(err)
	}
	renew := func() int {
		res, err := p.Client(&tls.Certificate{Certificate: [][]byte{issued.Raw}, PrivateKey: key}).Post(p.URL+"/1.0/renew", "application/json", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	if status := renew(); status != http.StatusCreated {
		t.Errorf("renew = %d, want 201", status)
	}
	if err := c.Revoke(t.Context(), &ca.Revoked{Raw: issued.Raw, Reason: 0}); err != nil {
		t.Fatal(err)
	}
	if status := renew(); status != http.StatusUnauthorized {
		t.Errorf("renew of a revoked certificate = %d, want 401", status)
	}
}

// The whole subject of a decision, in its order, comes by the template.
func TestThePeerStepCASignsTheSubjectOfTheDecisionByOurTemplate(t *testing.T) {
	p := newPeer(t)
	plate, err := profile.New(&profile.Document{
		Schema: profile.Schema, Name: "plate", Version: "1",
		Subject: profile.SubjectRules{Attributes: []profile.AttributeRule{
			{Type: "serial_number", Pattern: `.*`}, {Type: "common_name", Pattern: `.*`}, {Type: "organization", Pattern: `.*`},
		}},
		Keys:     []profile.KeyRule{{Type: "ecdsa", Curves: []string{"p256"}}},
		KeyUsage: []string{"digital_signature"}, ExtendedKeyUsage: []string{"client_auth"}, Validity: profile.Validity{Lifetime: "30d"},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.config.Profiles["plate"] = plate
	o := newOrder(t, &x509.CertificateRequest{})
	o.Profile, o.Names = "plate", ca.Names{}
	o.Subject = pkix.RDNSequence{
		{{Type: asn1.ObjectIdentifier{2, 5, 4, 5}, Value: "7"}}, {{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "pump"}},
		{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "Plant"}},
	}
	issued, err := p.issuer(templated).Issue(t.Context(), &o.Request)
	if err != nil {
		t.Fatalf("Issue: %v\n%s", err, p.Output())
	}
	if n := new(big.Int).SetBytes(issued.Serial); n.BitLen() != 127 {
		t.Errorf("serial number %x, want the one of the token", n)
	}
	if strings.Contains(p.Output(), "panic") {
		t.Error(p.Output())
	}
}
