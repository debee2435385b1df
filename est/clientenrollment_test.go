package est_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

// seen is a site that keeps the CSRs it gets, below another handler for csrattrs.
type seen struct {
	*world
	server *server
	links  []linkedCSR
	attrs  reply // the answer to csrattrs
}

func newSeen(t testing.TB) *seen {
	t.Helper()
	s := &seen{world: newWorld(t), attrs: reply{status: 204}}
	s.server = s.net.serve(t, "est.example", named(t, s.site.CA, "est.example"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", s.attrs.contentType)
			w.WriteHeader(s.attrs.status)
			_, _ = w.Write([]byte(s.attrs.body))
			return
		}
		link := readLinked(t, r)
		s.links = append(s.links, link)
		s.site.handler.ServeHTTP(w, r)
	}))
	s.site.Users["device"] = "secret"
	return s
}

// wants has csrattrs answer with der.
func (s *seen) wants(der []byte) {
	s.attrs = reply{status: 200, contentType: "application/csrattrs", body: b64(der)}
}

func (s *seen) client(t testing.TB) *est.Client {
	c := s.net.client(t, s.server, s.site.Root())
	c.User, c.Password = "device", "secret"
	return c
}

func someNames() *x509.CertificateRequest {
	return &x509.CertificateRequest{Subject: pkix.Name{CommonName: "device", SerialNumber: "7"}, DNSNames: []string{"device.example"}}
}

// EST-7030-3.1-01, EST-7030-4.2.1-01, EST-7030-4.2.1-02, EST-7030-4.5.2-03: no wishes, in each form, make a plain CSR
// that the certified key has signed.
func TestEnrollWithoutWishesSendsAPlainCSR(t *testing.T) {
	s := newSeen(t)
	for what, a := range map[string]reply{
		"204": {status: 204}, "404": {status: 404, contentType: "text/plain", body: "none"}, "501": {status: 501},
		"an empty list": {status: 200, contentType: "application/csrattrs", body: "MAA=\n"},
	} {
		s.attrs, s.links = a, nil
		got, err := s.client(t).Enroll(t.Context(), &est.Enrollment{Names: someNames()})
		if err != nil {
			t.Errorf("Enroll with %s: %v", what, err)
			continue
		}
		csr := s.links[len(s.links)-1]
		if csr.csr.CheckSignature() != nil || csr.password != "" || csr.csr.Subject.CommonName != "device" || len(csr.csr.DNSNames) != 1 {
			t.Errorf("Enroll with %s sent %+v", what, csr.csr)
		}
		spki, err := x509.MarshalPKIXPublicKey(got.Key.Public())
		if err != nil || !bytes.Equal(spki, got.Certificate.RawSubjectPublicKeyInfo) {
			t.Errorf("Enroll with %s: the certificate is not for the key, %v", what, err)
		}
	}
}

// EST-9908-3.2-09, EST-7030-4.5.2-06: published lists, old and new, with what nobody knows in them, are followed.
func TestEnrollFollowsThePublishedLists(t *testing.T) {
	dir := vectors(t)
	for file, c := range map[string]struct {
		curve elliptic.Curve
		link  bool
	}{
		"rfc7030/a2-csrattrs-response.b64": {nil, true}, "rfc8951/4-csrattrs-example.b64": {elliptic.P384(), true},
		"rfc9908/5.2-rfc7030-corrected.b64": {elliptic.P384(), true},
	} {
		body, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		s := newSeen(t)
		s.attrs = reply{status: 200, contentType: "application/csrattrs", body: string(body)}
		if _, err := s.client(t).Enroll(t.Context(), &est.Enrollment{Names: someNames()}); err != nil {
			t.Errorf("Enroll with %s: %v", file, err)
			continue
		}
		csr := s.links[len(s.links)-1]
		if key, ok := csr.csr.PublicKey.(*ecdsa.PublicKey); !ok || (c.curve != nil && key.Curve != c.curve) {
			t.Errorf("Enroll with %s made a key %T", file, csr.csr.PublicKey)
		}
		if c.link != csr.bound() {
			t.Errorf("Enroll with %s: challengePassword %q", file, csr.password)
		}
	}
}

// EST-9908-3.4-05, EST-9908-3.4-08, EST-9908-4-02: a template is filled in and followed, and nothing beside it is.
func TestEnrollFillsInATemplateAndIgnoresTheListBesideIt(t *testing.T) {
	s := newSeen(t)
	plan := &est.CSRPlan{
		Key: &est.KeyPlan{Algorithm: x509.RSA, Bits: 3072},
		Subject: [][]est.SubjectAttribute{
			{{Type: oidCommonName}},
			{{Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: []byte("\x0c\x03One")}},
			{{Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: []byte("\x0c\x03Two")}},
		},
	}
	attrs, err := plan.CSRAttrs()
	if err != nil {
		t.Fatal(err)
	}
	// A list that says something else.
	attrs.Items = append(slices.DeleteFunc(attrs.Items, func(a est.Attribute) bool {
		return a.OID.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1})
	}), est.Attribute{OID: asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, Values: [][]byte{[]byte("\x06\x05\x2b\x81\x04\x00\x22")}})
	der, err := attrs.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s.wants(der)
	var asked *est.KeyPlan
	got, err := s.client(t).Enroll(t.Context(), &est.Enrollment{Names: someNames(), Key: func(kind *est.KeyPlan) (crypto.Signer, error) {
		asked = kind
		return kind.Generate()
	}})
	if err != nil {
		t.Fatal(err)
	}
	csr := s.links[len(s.links)-1].csr
	if asked == nil || asked.Name() != "rsa3072" || csr.PublicKeyAlgorithm != x509.RSA {
		t.Errorf("the key asked for is %s, the CSR has %v", asked.Name(), csr.PublicKeyAlgorithm)
	}
	if csr.Subject.CommonName != "device" || !slices.Equal(csr.Subject.OrganizationalUnit, []string{"One", "Two"}) || csr.Subject.SerialNumber != "" {
		t.Errorf("subject %v", csr.Subject)
	}
	if bytes.Contains(der, csr.RawSubjectPublicKeyInfo) || got.Key == nil {
		t.Error("the placeholder key was used")
	}
}

// EST-7894-3-03: attributes that the server lists and the client has a value for are sent; the link goes where the
// server wants it.
func TestEnrollSendsTheListedAttributesThatItHasValuesFor(t *testing.T) {
	otp := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 56}
	revoke := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 57}
	linking := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 58}
	s := newSeen(t)
	for what, link := range map[string]bool{"with estIdentityLinking": true, "without": false} {
		attrs := &est.CSRAttrs{Items: []est.Attribute{{OID: otp, Bare: true}, {OID: revoke, Bare: true}}}
		if link {
			attrs.Items = append(attrs.Items, est.Attribute{OID: linking, Bare: true})
		}
		der, err := attrs.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		s.wants(der)
		_, err = s.client(t).Enroll(t.Context(), &est.Enrollment{Names: someNames(), Attributes: []est.Attribute{
			{OID: otp, Values: [][]byte{[]byte("\x0c\x06123456")}}, {OID: revoke, Values: [][]byte{[]byte("\x0c\x04stop")}},
		}})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		l := s.links[len(s.links)-1]
		if l.csr.OTPChallenge != "123456" || l.csr.RevocationChallenge != "stop" || l.password != "" {
			t.Errorf("%s: the CSR has %q, %q, %q", what, l.csr.OTPChallenge, l.csr.RevocationChallenge, l.password)
		}
		want := ""
		if link {
			want = base64.StdEncoding.EncodeToString(l.binding)
		}
		if l.csr.IdentityLinking != want {
			t.Errorf("%s: estIdentityLinking %q, want %q", what, l.csr.IdentityLinking, want)
		}
	}
}

// EST-7030-3.3.2-04, EST-7030-4.2.2-01: a re-enrollment repeats the names of the certificate, byte by byte, and presents
// it in the handshake; the key may be the same or another one.
func TestReenrollRepeatsTheNamesOfTheCertificateItPresents(t *testing.T) {
	s := newSeen(t)
	uri, err := url.Parse("urn:device:7")
	if err != nil {
		t.Fatal(err)
	}
	key := testpki.NewKey(t)
	old := s.site.CA.Issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "device", Organization: []string{"Gerät"}}, DNSNames: []string{"b.example", "a.example"}, URIs: []*url.URL{uri},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key)
	// Wishes about names are for enrollments.
	der, err := (&est.CSRPlan{Subject: [][]est.SubjectAttribute{{{Type: oidCommonName}}}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s.wants(der)
	for what, e := range map[string]*est.Enrollment{
		"the same key": {}, "a new key": {Key: (*est.KeyPlan).Generate}, "the same key, linked": {Link: true},
		"other names given": {Names: someNames()},
	} {
		c := s.net.client(t, s.server, s.site.Root())
		id := old.TLS()
		id.Leaf = nil
		c.Certificate = &id
		got, err := c.Reenroll(t.Context(), e)
		if err != nil {
			t.Errorf("Reenroll with %s: %v", what, err)
			continue
		}
		csr := s.links[len(s.links)-1].csr
		if !bytes.Equal(csr.RawSubject, old.Certificate.RawSubject) || !bytes.Equal(sanOf(csr.Extensions), sanOf(old.Certificate.Extensions)) {
			t.Errorf("Reenroll with %s: names %v %v", what, csr.Subject, csr.DNSNames)
		}
		if same := bytes.Equal(got.Certificate.RawSubjectPublicKeyInfo, old.Certificate.RawSubjectPublicKeyInfo); same != (e.Key == nil) {
			t.Errorf("Reenroll with %s: the same key %v", what, same)
		}
		if peer := s.server.peers[len(s.server.peers)-1]; peer == nil || !peer.Equal(old.Certificate) {
			t.Errorf("Reenroll with %s: the handshake had %v", what, peer)
		}
	}
	c := s.client(t)
	if _, err := c.Reenroll(t.Context(), &est.Enrollment{}); err == nil {
		t.Error("Reenroll without a certificate succeeded")
	}
	c.Certificate = &tls.Certificate{Certificate: [][]byte{{1, 2, 3}}}
	if _, err := c.Reenroll(t.Context(), &est.Enrollment{}); err == nil {
		t.Error("Reenroll with a certificate that is none succeeded")
	}
}

func sanOf(extensions []pkix.Extension) []byte {
	for _, e := range extensions {
		if e.Id.Equal(oidSAN) {
			return e.Value
		}
	}
	return nil
}
