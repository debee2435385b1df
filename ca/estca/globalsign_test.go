package estca_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/estca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
)

// startGlobalSign runs globalsign's estserver 1.0.6, whose CA is f's, and
// returns its URL. It takes clients with a certificate below f's root; its label
// "triggererrors" refuses or defers by common name.
func startGlobalSign(t *testing.T, f *catest.Foreign, server *fake) string {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "estserver")
	build := exec.Command("go", "build", "-o", program, "github.com/globalsign/est/cmd/estserver")
	build.Dir = filepath.Join("..", "..", "conformance", "interop", "globalsign")
	if out, err := build.CombinedOutput(); err != nil {
		if os.Getenv("BRISKEST_REQUIRE") != "" {
			t.Fatalf("build globalsign's estserver: %v\n%s", err, out)
		}
		t.Skipf("globalsign's estserver cannot be built here: %v\n%s", err, out)
	}
	write := func(name, kind string, ders ...[]byte) string {
		var text []byte
		for _, der := range ders {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	key := func(name string, key *ecdsa.PrivateKey) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return write(name, "PRIVATE KEY", der)
	}
	own := server.certify("globalsign", nil)
	ownKey, ok := own.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatal("the server's key is no ECDSA key")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	conf, err := json.Marshal(map[string]any{
		"mock_ca": map[string]any{"certificates": write("ca.pem", "CERTIFICATE", f.Issuing.Raw, f.Root.Raw), "private_key": key("ca.key", f.Key)},
		"tls": map[string]any{
			"listen_address": address, "certificates": write("tls.pem", "CERTIFICATE", own.Certificate...), "private_key": key("tls.key", ownKey),
			"client_cas": []string{write("root.pem", "CERTIFICATE", f.Root.Raw)},
		},
		"allowed_hosts": []string{"127.0.0.1"}, "rate_limit": 1000, "timeout": 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, conf, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-config", file)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("estserver: %s", said.String())
		}
	})
	return "https://" + address
}

// Globalsign's server: another implementation, which signs each request anew.
func TestGlobalSignsServerIssuesToUs(t *testing.T) {
	f := newFake(t) // for its CA and the RA's certificate
	config := f.config()
	config.Server.URL, config.Server.Dial = startGlobalSign(t, f.Foreign, f), nil
	known := learnWhenUp(t, &config.Server, f.Root)
	if len(known.Chain) != 2 || !known.Chain[0].Equal(f.Issuing) || len(known.Others) != 0 {
		t.Fatalf("Learn = %d in the chain, %d others", len(known.Chain), len(known.Others))
	}
	config.Chain = known.Chain
	issuer := f.issuerAs(config)
	r, intents := f.request("1")
	c, err := issuer.Issue(t.Context(), r)
	if err != nil || len(*intents) != 1 {
		t.Fatalf("Issue = %v with %d intents", err, len(*intents))
	}
	cert, err := x509.ParseCertificate(c.Raw)
	if err != nil || cert.Subject.CommonName != "device-1" || cert.DNSNames[0] != "device-1.example.com" || cert.CheckSignatureFrom(f.Issuing) != nil {
		t.Errorf("the certificate is %v, %v", cert.Subject, err)
	}
	t.Run("a link to the device's own session is left alone", func(t *testing.T) {
		r, _ := f.request("2")
		key := newKey(t)
		r.PublicKey = key.Public()
		r.CSR, err = est.CreateCSR(key, &est.CSRRequest{
			Own:               &x509.CertificateRequest{Subject: pkix.Name{CommonName: "device-1"}, DNSNames: []string{"device-1.example.com"}},
			ChallengePassword: "bGlua2VkIHRvIGFub3RoZXIgc2Vzc2lvbg==",
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := issuer.Issue(t.Context(), r); err != nil {
			t.Errorf("Issue: %v", err)
		}
	})
	t.Run("its refusals and its waiting", func(t *testing.T) {
		config.Label = "triggererrors"
		config.Profiles = map[string]*profile.Profile{"any": anyName(t)}
		issuer := f.issuerAs(config)
		for name, want := range map[string]error{
			"Trigger Error Forbidden": ca.ErrRejected, "Trigger Error Deferred": ca.ErrPending, "Trigger Error Unknown": ca.ErrUnavailable,
		} {
			_, err := issuer.Issue(t.Context(), requestFor(t, name))
			if !errors.Is(err, want) {
				t.Errorf("Issue(%s) = %v, want %v", name, err, want)
			}
			var later *ca.Later
			if errors.As(err, &later) && want == ca.ErrPending && later.After != 10*time.Minute {
				t.Errorf("Issue(%s): ask again in %s, want the 600 s that the server names", name, later.After)
			}
			if want == ca.ErrRejected && !strings.Contains(err.Error(), "triggered forbidden") {
				t.Errorf("Issue(%s) = %v, want the server's sentence", name, err)
			}
		}
	})
}

// learnWhenUp waits for the program to listen.
func learnWhenUp(t *testing.T, s *estca.Server, root *x509.Certificate) *estca.Known {
	t.Helper()
	var known *estca.Known
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if known, err = estca.Learn(t.Context(), s, "", []*x509.Certificate{root}); err == nil {
			return known
		}
		var refused *net.OpError
		if !errors.As(err, &refused) {
			break
		}
	}
	t.Fatalf("Learn: %v", err)
	return nil
}

func anyName(t *testing.T) *profile.Profile {
	t.Helper()
	p, err := profile.New(&profile.Document{
		Schema: profile.Schema, Name: "any", Version: "1",
		Subject:  profile.SubjectRules{Attributes: []profile.AttributeRule{{Type: "common_name", Pattern: `[A-Za-z ]+`}}},
		Keys:     []profile.KeyRule{{Type: "ecdsa", Curves: []string{"p256"}}},
		KeyUsage: []string{"digital_signature"}, ExtendedKeyUsage: []string{"client_auth"},
		Validity: profile.Validity{Lifetime: "365d"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func requestFor(t *testing.T, name string) *ca.Request {
	t.Helper()
	key := newKey(t)
	subject := pkix.Name{CommonName: name}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key)
	if err != nil {
		t.Fatal(err)
	}
	return &ca.Request{
		ID: name, Profile: "any", PublicKey: key.Public(), Subject: subject.ToRDNSequence(), CSR: csr,
		Record: func(context.Context, *ca.Intent) error { return nil },
	}
}
