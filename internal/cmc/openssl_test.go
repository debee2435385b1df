package cmc_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cmstest"
	"github.com/briskest/briskest/internal/testbed"
)

func write(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// EST-5652-5.4-01: OpenSSL verifies requests and responses of ours, signed by a certificate and by the key that is to be
// certified.
func TestOpenSSLVerifiesWhatWeSign(t *testing.T) {
	openssl, dir, verified := testbed.Require(t, "openssl"), t.TempDir(), 0
	verify := func(der, want []byte, args ...string) {
		t.Helper()
		args = append([]string{"cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any", "-in", write(t, filepath.Join(dir, "m"), der)}, args...)
		out, errs, code := testbed.Run(t, openssl, args...)
		if code != 0 || out != string(want) {
			t.Errorf("openssl %s: exit code %d, %d bytes, want %d\n%s", strings.Join(args, " "), code, len(out), len(want), errs)
			return
		}
		verified++
	}
	for _, kind := range []string{"P-256", "P-384", "P-521", "RSA"} { // OpenSSL 3.0 knows no Ed25519 in CMS
		signer := cmstest.New(t, kind)
		cert, _ := signer.Files(t, dir, kind)
		tcr := pkcs10(t, signer.Key, "pledge")
		d := &cmc.PKIData{
			Controls: []cmc.Control{{ID: 7, Value: cmc.SenderNonce("nonce")}, {ID: 8, Value: &cmc.TransactionID{Number: big.NewInt(5)}}},
			Requests: []cmc.Request{tcr, crmf(t, signer.Key, tcr.PKCS10)},
		}
		content := marshal(t, d)
		verify(sign(t, d, signer), content, "-CAfile", cert)
		r := &cmc.PKIResponse{Controls: []cmc.Control{{ID: 1, Value: &cmc.StatusInfo{Bodies: []cmc.BodyPartPath{{1}}}}}}
		der, err := cmc.SignResponse(r, &cmc.Signing{Key: signer.Key, Certificate: signer.Certificate, CRLs: [][]byte{crl(t, signer)}})
		if err != nil {
			t.Fatal(err)
		}
		response, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		verify(der, response, "-CAfile", cert)

		// The key that is to be certified: OpenSSL needs a certificate to find it, so here is the one that would be issued.
		d.Requests = d.Requests[:1]
		if der, err = cmc.SignRequest(d, &cmc.Signing{Key: signer.Key, SubjectKeyID: keyID(signer.Key)}); err != nil {
			t.Fatal(err)
		}
		issued, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: tcr.PKCS10.Subject, SubjectKeyId: keyID(signer.Key),
			NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC),
		}, signer.Certificate, signer.Key.Public(), signer.Key)
		if err != nil {
			t.Fatal(err)
		}
		path := write(t, filepath.Join(dir, "issued.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issued}))
		verify(der, marshal(t, d), "-noverify", "-certfile", path)
	}
	t.Logf("figures: openssl verified %d messages of ours", verified)
}

// What OpenSSL signs over a PKIData opens here, by issuer and serial number, by subject key identifier, and streamed in BER.
func TestWhatOpenSSLSignsOpens(t *testing.T) {
	openssl, dir, opened := testbed.Require(t, "openssl"), t.TempDir(), 0
	for _, kind := range []string{"P-256", "P-384", "RSA"} {
		signer := cmstest.New(t, kind)
		cert, key := signer.Files(t, dir, kind)
		content := marshal(t, &cmc.PKIData{Requests: []cmc.Request{pkcs10(t, signer.Key, "pledge")}})
		in, out := write(t, filepath.Join(dir, "in"), content), filepath.Join(dir, "out")
		for _, extra := range [][]string{nil, {"-keyid"}, {"-stream"}} {
			args := append([]string{
				"cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-econtent_type", "1.3.6.1.5.5.7.12.2", "-md", "sha256",
				"-signer", cert, "-inkey", key, "-in", in, "-outform", "DER", "-out", out,
			}, extra...)
			if _, errs, code := testbed.Run(t, openssl, args...); code != 0 {
				t.Fatalf("openssl %s: %s", strings.Join(args, " "), errs)
			}
			der, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			f := open(t, der, nil)
			if len(f.Signers) != 1 || !f.Signers[0].Certificate.Equal(signer.Certificate) || f.Data.Requests[0].VerifyPOP() != nil {
				t.Errorf("what openssl signed with %s %v opens to %+v", kind, extra, f)
			}
			opened++
		}
	}
	t.Logf("figures: %d messages of openssl opened", opened)
}

func TestOpenSSLDecryptsWhatWeEnvelop(t *testing.T) {
	openssl, dir := testbed.Require(t, "openssl"), t.TempDir()
	signer := cmstest.New(t, "P-256")
	signed := sign(t, &cmc.PKIData{Controls: []cmc.Control{{ID: 7, Value: cmc.SenderNonce("nonce")}}}, signer)
	for _, kind := range []string{"P-256", "RSA"} {
		server := cmstest.New(t, kind)
		cert, key := server.Files(t, dir, kind)
		der, err := cmc.Envelop(signed, []*x509.Certificate{server.Certificate}, nil)
		if err != nil {
			t.Fatal(err)
		}
		out, errs, code := testbed.Run(t, openssl, "cms", "-decrypt", "-binary", "-inform", "DER", "-recip", cert, "-inkey", key,
			"-in", write(t, filepath.Join(dir, "m"), der))
		// What is inside is the SignedData without its ContentInfo (RFC 5272, Section 5).
		want := contentOf(t, signed)
		if code != 0 || out != string(want) {
			t.Errorf("openssl decrypts %d bytes with %s, want %d: %s", len(out), kind, len(want), errs)
		}
	}
}

// The witness is HMAC under the hash of the secret: OpenSSL computes the same.
func TestOpenSSLComputesTheSameWitness(t *testing.T) {
	openssl, dir := testbed.Require(t, "openssl"), t.TempDir()
	digest := func(path string, args ...string) string {
		out, errs, code := testbed.Run(t, openssl, append(append([]string{"dgst", "-sha256", "-r"}, args...), path)...)
		if code != 0 {
			t.Fatal(errs)
		}
		sum, _, _ := strings.Cut(out, " ")
		return sum
	}
	d := &cmc.PKIData{Requests: []cmc.Request{pkcs10(t, cmstest.New(t, "P-256").Key, "pledge")}}
	requests, err := d.MarshalRequests()
	if err != nil {
		t.Fatal(err)
	}
	p, err := cmc.NewIdentityProofV2(crypto256, requests, &cmc.Secret{Value: []byte("0123456789abcdef"), Identification: "who"})
	if err != nil {
		t.Fatal(err)
	}
	key := digest(write(t, filepath.Join(dir, "secret"), []byte("0123456789abcdefwho")))
	want := digest(write(t, filepath.Join(dir, "requests"), requests), "-mac", "HMAC", "-macopt", "hexkey:"+key)
	if got := hex.EncodeToString(p.Witness); got != want {
		t.Errorf("witness %s, openssl says %s", got, want)
	}
}
