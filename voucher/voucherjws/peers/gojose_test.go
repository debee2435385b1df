package peers_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/voucherjws"
	"github.com/briskest/briskest/voucher/vouchertest"
)

// signers are one for each algorithm, with their root.
func signers(t *testing.T) (*testpki.Identity, map[jose.SignatureAlgorithm]*voucher.Signer) {
	t.Helper()
	root := testpki.NewRoot(t, "MASA root")
	ca := root.NewIntermediate(t, "MASA CA")
	must := func(key crypto.Signer, err error) *voucher.Signer {
		if err != nil {
			t.Fatal(err)
		}
		id := ca.Issue(t, &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature}, key)
		return &voucher.Signer{Key: key, Certificate: id.Certificate, Chain: id.Chain}
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	p256, err256 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err384 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, err521 := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	r, errRSA := rsa.GenerateKey(rand.Reader, 2048)
	return root, map[jose.SignatureAlgorithm]*voucher.Signer{
		jose.ES256: must(p256, err256), jose.ES384: must(p384, err384), jose.ES512: must(p521, err521),
		jose.PS256: must(r, errRSA), jose.EdDSA: must(edwards, err),
	}
}

// What we sign verifies with go-jose, which builds the chain from x5c too.
func TestWhatWeSignVerifiesWithGoJose(t *testing.T) {
	root, all := signers(t)
	rounds := 0
	for algorithm, s := range all {
		for range 20 { // leading zeros in the numbers of a signature among them
			artifact, err := voucherjws.Format{}.SignVoucher(t.Context(), vouchertest.Voucher(t), s)
			if err != nil {
				t.Fatal(err)
			}
			message, err := jose.ParseSignedJSON(string(artifact), []jose.SignatureAlgorithm{algorithm})
			if err != nil || len(message.Signatures) != 1 {
				t.Fatalf("%s: ParseSignedJSON() = %v", algorithm, err)
			}
			header := message.Signatures[0].Protected
			chains, err := header.Certificates(x509.VerifyOptions{
				Roots: root.Pool(), CurrentTime: s.Certificate.NotBefore.Add(time.Second), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
			})
			if err != nil || !chains[0][0].Equal(s.Certificate) {
				t.Fatalf("%s: Certificates() = %v", algorithm, err)
			}
			payload, err := message.Verify(chains[0][0].PublicKey)
			_, a, openErr := voucherjws.Format{}.OpenVoucher(artifact)
			if err != nil || openErr != nil || !bytes.Equal(payload, a.Payload) {
				t.Fatalf("%s: Verify() = %s, %v; OpenVoucher() = %v", algorithm, payload, err, openErr)
			}
			if typ := header.ExtraHeaders["typ"]; typ != "voucher-jws+json" {
				t.Fatalf("%s: typ %v", algorithm, typ)
			}
			rounds++
		}
	}
	t.Logf("figures: %d vouchers of ours with 5 algorithms verified by go-jose v4", rounds)
}

// general turns the flattened serialization, which go-jose writes for one signature, into the general one.
func general(t *testing.T, flattened string) []byte {
	t.Helper()
	var f struct{ Payload, Protected, Signature string }
	if err := json.Unmarshal([]byte(flattened), &f); err != nil {
		t.Fatal(err)
	}
	return []byte(`{"payload":"` + f.Payload + `","signatures":[{"protected":"` + f.Protected + `","signature":"` + f.Signature + `"}]}`)
}

// What go-jose signs opens here; its flattened serialization does not.
func TestWhatGoJoseSignsOpensHere(t *testing.T) {
	_, all := signers(t)
	rounds := 0
	for algorithm, s := range all {
		payload, err := voucher.MarshalVoucher(vouchertest.Voucher(t))
		if err != nil {
			t.Fatal(err)
		}
		x5c := []string{base64.StdEncoding.EncodeToString(s.Certificate.Raw)}
		options := (&jose.SignerOptions{}).WithType("voucher-jws+json").WithHeader("x5c", x5c)
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: s.Key}, options)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			message, err := signer.Sign(payload)
			if err != nil {
				t.Fatal(err)
			}
			text := message.FullSerialize()
			if _, _, err := (voucherjws.Format{}).OpenVoucher([]byte(text)); !errors.Is(err, voucherjws.ErrSerialization) {
				t.Fatalf("%s: OpenVoucher(flattened) = %v, want %v", algorithm, err, voucherjws.ErrSerialization)
			}
			_, a, err := voucherjws.Format{}.OpenVoucher(general(t, text))
			if err != nil || !bytes.Equal(a.Payload, payload) || !a.Signer.Equal(s.Certificate) {
				t.Fatalf("%s: OpenVoucher() = %v", algorithm, err)
			}
			rounds++
		}
	}
	t.Logf("figures: %d vouchers of go-jose v4 with 5 algorithms verified by ours", rounds)
}
