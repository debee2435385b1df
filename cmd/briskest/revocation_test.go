package main_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testbed"
)

// revocationBed is a quickstart's registrar that serves lists and OCSP, and OpenSSL to ask it.
type revocationBed struct {
	*testbed.Bed
	t    *testing.T
	port string // address of lists and OCSP
}

// freeAddress is one that nobody listens at now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (b *revocationBed) briskest(args ...string) string {
	b.t.Helper()
	out, errs, code := testbed.Run(b.t, b.Program, args...)
	if code != 0 {
		b.t.Fatalf("briskest %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// openssl returns all that it prints, and whether it succeeded.
func (b *revocationBed) openssl(args ...string) (string, bool) {
	b.t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = b.Dir
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// enroll gets a certificate, or renews that of another name.
func (b *revocationBed) enroll(name, renews string) {
	b.t.Helper()
	at := func(file string) string { return filepath.Join(b.Dir, file) }
	args := []string{"est", "enroll", "--url", b.EST, "--ca", at("first.pem"), "--user-file", at("est-user.txt"), "--cn", name, "--new-key", at(name + ".key"), "--out", at(name + ".pem")}
	if renews != "" {
		args = []string{
			"est", "reenroll", "--url", b.EST, "--ca", at("first.pem"), "--cert", at(renews + ".pem"), "--key", at(renews + ".key"),
			"--new-key", at(name + ".key"), "--out", at(name + ".pem"),
		}
	}
	b.briskest(args...)
}

func (b *revocationBed) certificate(file string) *x509.Certificate {
	b.t.Helper()
	block, _ := pem.Decode(b.Read(b.t, file))
	if block == nil {
		b.t.Fatalf("%s is no PEM", file)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		b.t.Fatal(err)
	}
	return cert
}

func (b *revocationBed) serial(name string) string {
	return fmt.Sprintf("%x", b.certificate(name+".pem").SerialNumber.Bytes())
}

func (b *revocationBed) ca(verb string, args ...string) {
	b.t.Helper()
	b.briskest(append([]string{"ca", verb, "--config", filepath.Join(b.Dir, "registrar.yaml")}, args...)...)
}

// fetch stores what a certificate names as PEM.
func (b *revocationBed) fetch(url, kind, file string) {
	b.t.Helper()
	res, err := http.Get(url) //nolint:noctx // ends with the test
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	der, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		b.t.Fatalf("GET %s: %s, %v", url, res.Status, err)
	}
	if err := os.WriteFile(filepath.Join(b.Dir, file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// agree has OpenSSL look at the list that the certificate names, with and without
// its delta, and ask the responder that it names; all have to say the same.
// status is good, revoked or unknown.
func (b *revocationBed) agree(when, name, status, reason string) {
	b.t.Helper()
	cert := b.certificate(name + ".pem")
	b.fetch(cert.IssuingCertificateURL[0], "CERTIFICATE", "issuer.pem")
	ocsp := []string{"ocsp", "-issuer", "issuer.pem", "-cert", name + ".pem", "-url", cert.OCSPServer[0], "-CAfile", "anchors.pem"}
	for _, more := range [][]string{nil, {"-no_nonce"}, {"-sha256"}} {
		// The digest stands before the certificate that it is for.
		args := append(append([]string{ocsp[0]}, more...), ocsp[1:]...)
		out, ok := b.openssl(args...)
		if !ok || !strings.Contains(out, "Response verify OK") || !strings.Contains(out, name+".pem: "+status) || reason != "" && !strings.Contains(out, "Reason: "+reason) {
			b.t.Errorf("%s: openssl ocsp %v of %s: %s, want %s %s", when, more, name, out, status, reason)
		}
	}
	full := cert.CRLDistributionPoints[0]
	b.fetch(full, "X509 CRL", "full.pem")
	if out, ok := b.openssl("crl", "-in", "full.pem", "-CAfile", "issuer.pem", "-noout"); !ok || !strings.Contains(out, "verify OK") {
		b.t.Errorf("%s: openssl crl: %s", when, out)
	}
	b.fetch(strings.TrimSuffix(full, ".crl")+"-delta.crl", "X509 CRL", "delta.pem")
	both := append(bytes.Clone(b.Read(b.t, "full.pem")), b.Read(b.t, "delta.pem")...)
	if err := os.WriteFile(filepath.Join(b.Dir, "both.pem"), both, 0o600); err != nil {
		b.t.Fatal(err)
	}
	for _, lists := range [][]string{{"-CRLfile", "full.pem"}, {"-extended_crl", "-use_deltas", "-CRLfile", "both.pem"}} {
		args := append([]string{"verify", "-crl_check", "-CAfile", "anchors.pem"}, lists...)
		out, ok := b.openssl(append(args, name+".pem")...)
		if ok != (status == "good") || !ok && !strings.Contains(out, "certificate revoked") {
			b.t.Errorf("%s: openssl verify %v of %s: %s, want %s", when, lists, name, out, status)
		}
	}
}

// EST-5280-5.1-01, EST-5280-5.3.1-01, EST-6960-2.2-01, EST-6960-4.2.2.2-01, EST-5019-5-01: over a run of issue, renew,
// revoke, hold, release and rollover, openssl ocsp, openssl crl and openssl verify -crl_check say what is on record, at the
// moment that the command has returned: for certificates of the CA before a rollover too.
func TestOpenSSLAgreesAboutRevocation(t *testing.T) {
	testbed.Require(t, "openssl")
	t.Setenv("BRISKEST_REGISTRAR_REVOCATION_PARTITIONS", "4")
	t.Setenv("BRISKEST_REGISTRAR_REVOCATION_DELTAS", "true")
	t.Setenv("BRISKEST_REGISTRAR_REVOCATION_SOON", "1ms")
	b := &revocationBed{Bed: &testbed.Bed{Program: testbed.Build(t, "briskest"), Dir: filepath.Join(t.TempDir(), "q")}, t: t, port: freeAddress(t)}
	b.briskest("quickstart", "--once", "--dir", b.Dir, "--revocation", b.port)
	b.Addresses = testbed.ReadAddresses(t, b.Dir)
	first := b.Read(t, "ca.pem") // the CAs that the registrar's own certificate is below
	write := func(file string) {
		if err := os.WriteFile(filepath.Join(b.Dir, file), first, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first.pem")
	running := b.Registrar(t)
	anchors := func() { // all that cacerts holds
		b.briskest("est", "cacerts", "--url", b.EST, "--ca", filepath.Join(b.Dir, "first.pem"), "--out", filepath.Join(b.Dir, "anchors.pem"))
	}
	anchors()

	b.enroll("one", "")
	b.enroll("two", "")
	b.agree("when issued", "one", "good", "")
	b.enroll("three", "two")
	b.agree("when renewed", "three", "good", "")
	b.ca("revoke", b.serial("one"), "--reason", "keyCompromise")
	b.agree("when revoked", "one", "revoked", "keyCompromise")
	b.agree("when another was revoked", "three", "good", "")
	b.ca("revoke", b.serial("three"), "--reason", "certificateHold")
	b.agree("on hold", "three", "revoked", "certificateHold")
	b.ca("release", b.serial("three"))
	b.agree("when released", "three", "good", "")
	b.ca("revoke", b.serial("three"), "--reason", "certificateHold")
	b.ca("revoke", b.serial("three"), "--reason", "superseded")
	b.agree("revoked for good", "three", "revoked", "superseded")

	before := b.certificate("one.pem")
	b.enroll("four", "")
	b.briskest("ca", "rollover", "--dir", filepath.Join(b.Dir, "registrar", "ca"))
	running.Signal(syscall.SIGHUP)
	deadline := time.Now().Add(time.Minute)
	for n := 0; ; n++ {
		name := fmt.Sprint("new-", n)
		b.enroll(name, "")
		if !bytes.Equal(b.certificate(name+".pem").AuthorityKeyId, before.AuthorityKeyId) {
			anchors()
			b.agree("after the rollover", name, "good", "")
			b.ca("revoke", b.serial(name))
			b.agree("revoked after the rollover", name, "revoked", "")
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the new CA issues nothing")
		}
	}
	b.agree("of the CA before", "one", "revoked", "keyCompromise")
	b.agree("of the CA before", "four", "good", "")
	b.ca("revoke", b.serial("four"), "--reason", "cessationOfOperation")
	b.agree("of the CA before, revoked now", "four", "revoked", "cessationOfOperation")
	running.Stop()
	write("ca.pem") // for the bed's client
	b.Registrar(t)
	b.agree("after a restart", "four", "revoked", "cessationOfOperation")
	b.agree("after a restart", "one", "revoked", "keyCompromise")
}
