package main_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/testbed"
)

// R22: a year after root, issuing CA and the registrar's own certificate have
// ended the registrar starts, says what has ended and what to do, refuses to
// issue with 503 and the reason, and is repaired from the command line while it
// runs, with the keys there are.
func TestARegistrarWhoseCertificatesHaveEndedStartsAndCanBeRepaired(t *testing.T) {
	bed := testbed.Once(t)
	program := bed.Program
	config, folder := filepath.Join(bed.Dir, "registrar.yaml"), filepath.Join(bed.Dir, "registrar", "ca")
	endAYearAgo(t, bed)

	registrar := testbed.Launch(t, bed.Program, "registrar", "--config", config)
	for _, want := range []string{`"msg":"serving"`, `"certificate":"registrar"`, `"certificate":"issuing CA"`, `"certificate":"root"`, "briskest ca renew", "briskest registrar renew"} {
		registrar.Until(func() bool { return strings.Contains(registrar.Output(), want) })
	}
	out, errs, code := testbed.Run(t, program, "ca", "status", "--config", config)
	if code != 1 || strings.Count(out, "ended") != 3 || !strings.Contains(errs, "hint:") {
		t.Errorf("ca status: exit %d\n%s%s", code, out, errs)
	}
	var refused *est.StatusError
	_, err := enrollAt(t, bed, time.Now().Add(-18*30*24*time.Hour))
	if !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable || !strings.Contains(refused.Message, "CA's own certificate has expired") {
		t.Fatalf("SimpleEnroll from a CA that has ended: %v, want 503 with the reason", err)
	}
	if out, errs, code := testbed.Run(t, program, "registrar", "renew", "--config", config); code == 0 {
		t.Errorf("a CA that has ended renewed the registrar's certificate\n%s%s", out, errs)
	}

	for _, args := range [][]string{{"ca", "renew", "--dir", folder}, {"registrar", "renew", "--config", config}} {
		if out, errs, code := testbed.Run(t, program, args...); code != 0 {
			t.Fatalf("%v: exit %d\n%s%s", args, code, out, errs)
		}
		before := strings.Count(registrar.Output(), "configuration loaded")
		registrar.Signal(syscall.SIGHUP)
		registrar.Until(func() bool { return strings.Count(registrar.Output(), "configuration loaded") > before })
	}
	cert, err := enrollAt(t, bed, time.Now())
	if err != nil {
		t.Fatalf("SimpleEnroll after the repair: %v\n%s", err, registrar.Output())
	}
	if left := time.Until(cert.NotAfter); left < 300*24*time.Hour {
		t.Errorf("the certificate is good for %v", left)
	}
	if out, errs, code := testbed.Run(t, program, "ca", "status", "--config", config); code != 0 || strings.Contains(out, "ended") {
		t.Errorf("ca status after the repair: exit %d\n%s%s", code, out, errs)
	}
	if out, errs, code := testbed.Run(t, program, "trail", "verify", "--config", config); code != 0 {
		t.Errorf("trail verify: exit %d\n%s%s", code, out, errs)
	}
	registrar.Stop()
}

// enrollAt enrolls with a client whose clock says at.
func enrollAt(t *testing.T, bed *testbed.Bed, at time.Time) (*x509.Certificate, error) {
	t.Helper()
	user, password := bed.User(t)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: bed.Roots(t), Time: func() time.Time { return at }}}
	defer transport.CloseIdleConnections()
	csr, err := newRequest()
	if err != nil {
		t.Fatal(err)
	}
	c := &est.Client{URL: bed.EST, HTTP: &http.Client{Transport: transport}, User: user, Password: est.Secret(password)}
	return c.SimpleEnroll(t.Context(), csr)
}

// endAYearAgo gives the CAs and the registrar certificates of two years ago that
// were good for one.
func endAYearAgo(t *testing.T, bed *testbed.Bed) {
	t.Helper()
	then := func() time.Time { return time.Now().Add(-2 * 365 * 24 * time.Hour) }
	old, err := pemfile.Certificates(filepath.Join(bed.Dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := pemfile.Certificates(filepath.Join(bed.Dir, "registrar", "registrar.pem"))
	if err != nil {
		t.Fatal(err)
	}
	unrecorded := func(context.Context, *ca.Intent) error { return nil }
	rootKey, err := keystore.Open(t.Context(), "file:"+filepath.Join(bed.Dir, "registrar", "ca", "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := keystore.Open(t.Context(), "file:"+filepath.Join(bed.Dir, "registrar", "ca", "issuing.key"))
	if err != nil {
		t.Fatal(err)
	}
	authority := func(name pkix.Name) *localca.Authority {
		return &localca.Authority{Subject: name, Lifetime: "365d", PathLength: 1, Record: unrecorded, Now: then}
	}
	root, err := localca.NewRoot(t.Context(), rootKey, authority(old[1].Subject))
	if err != nil {
		t.Fatal(err)
	}
	above, err := localca.New(localca.Config{Certificate: root, Key: rootKey, Now: then})
	if err != nil {
		t.Fatal(err)
	}
	below := authority(old[0].Subject)
	below.PathLength = 0
	issuing, err := localca.NewIntermediate(t.Context(), above, key.Public(), below)
	if err != nil {
		t.Fatal(err)
	}
	p, err := profile.New(profile.Registrar())
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := localca.New(localca.Config{
		Certificate: issuing, Chain: []*x509.Certificate{root}, Key: key, Now: then, Profiles: map[string]*profile.Profile{p.Name(): p},
	})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := issuer.Certify(t.Context(), &ca.Request{
		Profile: p.Name(), PublicKey: own[0].PublicKey, Subject: own[0].Subject.ToRDNSequence(), Names: ca.Names{DNS: own[0].DNSNames, IP: own[0].IPAddresses}, Record: unrecorded,
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, certs := range map[string][]*x509.Certificate{"ca.pem": {issuing, root}, "registrar/registrar.pem": {cert, issuing}} {
		var data []byte
		for _, c := range certs {
			data = append(data, pemfile.Encode(c.Raw)...)
		}
		if err := pemfile.Write(filepath.Join(bed.Dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
