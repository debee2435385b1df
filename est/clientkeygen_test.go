package est_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

func deviceNames() *x509.CertificateRequest {
	return &x509.CertificateRequest{Subject: pkix.Name{CommonName: "device"}, DNSNames: []string{"device.example"}}
}

func (s *keySite) shared1() *est.SharedKey {
	return &est.SharedKey{ID: []byte("kek-0001"), Key: s.shared}
}

func tlsOf(id *testpki.Identity) *tls.Certificate {
	return &tls.Certificate{Leaf: id.Certificate, Certificate: [][]byte{id.Certificate.Raw}, PrivateKey: id.Key}
}

// RFC 7030, Section 4.4; RFC 8295, Section 8: the client names the key and lists its algorithms, and reads every form.
func TestClientGetsKeysInEveryForm(t *testing.T) {
	s := newKeySite(t)
	c := s.client(t)
	for what, r := range map[string]*est.KeyGenRequest{
		"cleartext":              {Names: deviceNames()},
		"linked":                 {Names: deviceNames(), Link: true},
		"linked and encrypted":   {Names: deviceNames(), Link: true, SharedKey: s.shared1()},
		"P-384 wished for":       {Names: deviceNames(), Type: est.P384},
		"Ed25519 wished for":     {Names: deviceNames(), Type: est.Ed25519},
		"shared key":             {Names: deviceNames(), SharedKey: s.shared1()},
		"RSA recipient":          {Names: deviceNames(), Recipient: tlsOf(s.rsa)},
		"EC recipient":           {Names: deviceNames(), Recipient: tlsOf(s.ec)},
		"PKCS#12":                {Names: deviceNames(), PKCS12: true},
		"PKCS#12, encrypted":     {Names: deviceNames(), PKCS12: true, SharedKey: s.shared1()},
		"recipient unrestricted": {Names: deviceNames(), Recipient: tlsOf(s.anything)},
	} {
		k, err := c.ServerKeyGen(t.Context(), r)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		public := k.Key.Public().(interface{ Equal(crypto.PublicKey) bool })
		if !public.Equal(k.Certificate.PublicKey) || k.Certificate.Subject.CommonName != "device" || k.Encrypted != (r.SharedKey != nil || r.Recipient != nil) {
			t.Errorf("%s: %v, encrypted %v", what, k.Certificate.Subject, k.Encrypted)
		}
	}
	for what, r := range map[string]*est.KeyGenRequest{
		"no names": {}, "two keys": {Names: deviceNames(), SharedKey: s.shared1(), Recipient: tlsOf(s.rsa)},
		"a short key":            {Names: deviceNames(), SharedKey: &est.SharedKey{ID: []byte("a"), Key: []byte("b")}},
		"PKCS#12 to a recipient": {Names: deviceNames(), PKCS12: true, Recipient: tlsOf(s.rsa)},
		"an unknown type":        {Names: deviceNames(), Type: "dsa"},
	} {
		if k, err := c.ServerKeyGen(t.Context(), r); err == nil {
			t.Errorf("%s: got a key %v", what, k.Certificate.Subject)
		}
	}
}

// RFC 7030, Section 4.2.3, for the operation of Section 4.4.
func TestClientIsToldToWaitForAKey(t *testing.T) {
	s := newKeySite(t)
	s.keys.FailBefore = &est.Error{Status: http.StatusAccepted, Reason: "waiting", Message: "Not yet.", RetryAfter: time.Hour}
	_, err := s.client(t).ServerKeyGen(t.Context(), &est.KeyGenRequest{Names: deviceNames()})
	var pending *est.PendingError
	if !errors.As(err, &pending) || pending.RetryAfter != time.Hour {
		t.Errorf("error = %v, want a PendingError of an hour", err)
	}
	s.keys.FailBefore = nil
	c := s.client(t)
	c.Password = "wrong"
	var status *est.StatusError
	if _, err := c.ServerKeyGen(t.Context(), &est.KeyGenRequest{Names: deviceNames()}); !errors.As(err, &status) || status.Status != 401 {
		t.Errorf("error = %v, want a StatusError of 401", err)
	}
}

// A key in the clear, of somebody else, or in an answer that is another one, is refused.
func TestClientRefusesKeysThatAreNotWhatItAskedFor(t *testing.T) {
	s := newKeySite(t)
	plain := s.generate(t, goodCSR(t, "device"), "")
	other := s.generate(t, goodCSR(t, "device"), "")
	cut := func(w wire, n int) string { return strings.SplitN(w.body, "--briskest-server-key-generation", 4)[n] }
	const edge = "--briskest-server-key-generation"
	body := func(parts ...string) string { return edge + strings.Join(parts, edge) + edge + "--\r\n" }
	stranger := testpki.NewRoot(t, "stranger").Registrar(t, "stranger")
	s.keys.Signer = stranger
	forged := s.generate(t, keyCSR(t, testpki.NewKey(t), attr(sharedKeyID, octets("kek-0001")), listing(aes256wrap)), "")
	s.keys.Signer = s.CA.Client(t, "another device")
	byDevice := s.generate(t, keyCSR(t, testpki.NewKey(t), attr(sharedKeyID, octets("kek-0001")), listing(aes256wrap)), "")
	mixed := plain.header.Get("Content-Type")
	for _, c := range []struct {
		what, contentType, body string
		shared                  *est.SharedKey
	}{
		{"a key of another certificate", mixed, body(cut(plain, 1), cut(other, 2)), nil},
		{"one part", mixed, body(cut(plain, 1)), nil},
		{"three parts", mixed, body(cut(plain, 1), cut(plain, 2), cut(plain, 2)), nil},
		{"two certificates", mixed, body(cut(plain, 2), cut(plain, 2)), nil},
		{"a truncated answer", mixed, plain.body[:len(plain.body)-40], nil},
		{"another media type", "application/json", plain.body, nil},
		{"no boundary", "multipart/mixed", plain.body, nil},
		{"a key in the clear where encryption was asked for", mixed, plain.body, s.shared1()},
		{"an encrypted key where none was asked for", mixed, forged.body, nil},
		{"a key package signed by a stranger", mixed, forged.body, s.shared1()},
		{"a key package signed by another device", mixed, byDevice.body, s.shared1()},
		{"a key package for another key", mixed, forged.body, &est.SharedKey{ID: []byte("kek-0002"), Key: s.shared}},
		{"nothing", mixed, "", nil},
	} {
		url := s.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.contentType)
			_, _ = w.Write([]byte(c.body))
		}))
		client := &est.Client{URL: url, Roots: s.Root()}
		k, err := client.ServerKeyGen(t.Context(), &est.KeyGenRequest{Names: deviceNames(), SharedKey: c.shared})
		client.CloseIdleConnections()
		if !errors.Is(err, est.ErrAnswer) {
			t.Errorf("%s: %v, %v, want ErrAnswer", c.what, k, err)
		}
		if err != nil && strings.Contains(err.Error(), "MIG") {
			t.Errorf("%s: the error quotes a key: %v", c.what, err)
		}
	}
}

// EST-7030-4.4-01: nothing is sent to a server with another name.
func TestClientAsksNoOtherServerForAKey(t *testing.T) {
	s := newKeySite(t)
	asked := false
	server := s.CA.Issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "other"}, DNSNames: []string{"other.example"}}, testpki.NewKey(t)).TLS()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{server}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }), ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); _ = h.Serve(l) }()
	_, err = (&est.Client{URL: "https://" + l.Addr().String(), Roots: s.Root()}).ServerKeyGen(context.Background(), &est.KeyGenRequest{Names: deviceNames()})
	_ = h.Close()
	<-done
	if err == nil || asked {
		t.Errorf("asked = %v, error = %v", asked, err)
	}
}

// EST-7030-4.4.1-04, EST-7030-4.4.1-05, EST-7030-4.4.1.1-01, EST-7030-4.4.1.2-01: what the client sends.
func TestClientNamesTheKeyAndListsItsAlgorithms(t *testing.T) {
	s := newKeySite(t)
	var sent []byte
	url := s.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 8<<10)
		n, _ := r.Body.Read(buf)
		sent, _ = est.DecodeBase64(buf[:n])
		w.WriteHeader(http.StatusForbidden)
	}))
	client := &est.Client{URL: url, Roots: s.Root()}
	t.Cleanup(client.CloseIdleConnections)
	for what, r := range map[string]*est.KeyGenRequest{"shared": {Names: deviceNames(), SharedKey: s.shared1()}, "recipient": {Names: deviceNames(), Recipient: tlsOf(s.ec)}} {
		_, _ = client.ServerKeyGen(t.Context(), r)
		csr, err := x509.ParseCertificateRequest(sent)
		if err != nil || csr.CheckSignature() != nil {
			t.Fatalf("%s: the CSR does not verify: %v", what, err)
		}
		got, err := est.ParseKeyGenCSR(sent)
		if err != nil {
			t.Fatal(err)
		}
		if r.SharedKey != nil {
			_, err = got.ForSharedKey(s.shared)
		} else {
			_, err = got.ForCertificate(s.ec.Certificate)
		}
		if err != nil || string(got.SharedKeyID) == "" && string(got.CertificateKeyID) != string(s.ec.Certificate.SubjectKeyId) {
			t.Errorf("%s: %+v %v", what, got, err)
		}
	}
}
