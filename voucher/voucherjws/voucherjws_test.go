package voucherjws_test

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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/voucherjws"
	"github.com/briskest/briskest/voucher/vouchertest"
)

func TestFormatKeepsTheContractOfAllFormats(t *testing.T) {
	vouchertest.TestFormat(t, voucherjws.Format{})
	vouchertest.TestFormat(t, voucherjws.Format{StrictRFC8366: true})
}

// envelope is an artifact for a test to look into or to spoil.
type envelope struct {
	Payload    string          `json:"payload"`
	Signatures []signatureText `json:"signatures"`
}

type signatureText struct {
	Protected string `json:"protected"`
	Signature string `json:"signature"`
}

// unwrap takes an artifact apart, unknown members refused.
func unwrap(t testing.TB, artifact []byte) envelope {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(artifact))
	decoder.DisallowUnknownFields()
	var e envelope
	if err := decoder.Decode(&e); err != nil || len(e.Signatures) != 1 {
		t.Fatalf("artifact %s: %v, %d signatures", artifact, err, len(e.Signatures))
	}
	return e
}

func (e envelope) bytes(t testing.TB) []byte {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func fromURL(t testing.TB, encoded string) []byte {
	t.Helper()
	value, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		t.Fatalf("base64url without padding %.40q: %v", encoded, err)
	}
	return value
}

func signed(t testing.TB, s *voucher.Signer) []byte {
	t.Helper()
	artifact, err := voucherjws.Format{}.SignVoucher(t.Context(), vouchertest.Voucher(t), s)
	if err != nil {
		t.Fatal(err)
	}
	return artifact
}

// byHand signs a protected header and a payload that the package would not
// make, with ES256.
func byHand(t testing.TB, header string, payload []byte, key crypto.Signer) signatureText {
	t.Helper()
	s := signatureText{Protected: base64.RawURLEncoding.EncodeToString([]byte(header))}
	sum := crypto.SHA256.New()
	sum.Write([]byte(s.Protected + "." + base64.RawURLEncoding.EncodeToString(payload)))
	r, v, err := ecdsa.Sign(rand.Reader, key.(*ecdsa.PrivateKey), sum.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	v.FillBytes(raw[32:])
	s.Signature = base64.RawURLEncoding.EncodeToString(raw)
	return s
}

// withHeader returns the artifact of a signer with its header rewritten and signed again.
func withHeader(t testing.TB, s *voucher.Signer, rewrite func(header string) string) []byte {
	t.Helper()
	e := unwrap(t, signed(t, s))
	header := rewrite(string(fromURL(t, e.Signatures[0].Protected)))
	e.Signatures[0] = byHand(t, header, fromURL(t, e.Payload), s.Key)
	return e.bytes(t)
}

// BRSKI-JWS-3-01, BRSKI-JWS-3-02: the artifact has the members payload and signatures, in base64url without padding, and UTF-8 JSON inside.
// BRSKI-JWS-3.1-01, BRSKI-JWS-3.2-01, BRSKI-JWS-3.2-02: the containers, alg and typ of what is signed.
// BRSKI-JWS-3.2-03: x5c has the chain, in standard base64.
func TestWhatIsSignedIsGeneralJSONWithTheHeadersOfTheDraft(t *testing.T) {
	root, s := vouchertest.NewSigner(t, "MASA")
	request, err := voucherjws.Format{}.SignRequest(t.Context(), vouchertest.Request(t), s)
	if err != nil {
		t.Fatal(err)
	}
	for container, artifact := range map[string][]byte{
		"ietf-voucher:voucher": signed(t, s), "ietf-voucher-request:voucher": request,
	} {
		e := unwrap(t, artifact)
		if bytes.ContainsAny(artifact, "=\n ") || len(fromURL(t, e.Signatures[0].Signature)) != 64 {
			t.Errorf("%s: padding or white space, or a signature of %d bytes", artifact, len(fromURL(t, e.Signatures[0].Signature)))
		}
		var content map[string]json.RawMessage
		if err := json.Unmarshal(fromURL(t, e.Payload), &content); err != nil || len(content) != 1 || content[container] == nil {
			t.Errorf("payload %s: %v, want the container %s", fromURL(t, e.Payload), err, container)
		}
		var header struct {
			Alg string   `json:"alg"`
			Typ string   `json:"typ"`
			X5C [][]byte `json:"x5c"` // encoding/json reads standard base64 with padding
		}
		if err := json.Unmarshal(fromURL(t, e.Signatures[0].Protected), &header); err != nil || header.Alg != "ES256" || header.Typ != "voucher-jws+json" {
			t.Errorf("header %+v, %v; want ES256 and voucher-jws+json", header, err)
		}
		if len(header.X5C) != 1+len(s.Chain) || !bytes.Equal(header.X5C[0], s.Certificate.Raw) || !bytes.Equal(header.X5C[1], s.Chain[0].Raw) {
			t.Errorf("x5c has %d certificates, want the signer's and its chain", len(header.X5C))
		}
	}
	_, a, err := voucherjws.Format{}.OpenVoucher(signed(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.VerifySigner(root.Pool(), s.Certificate.NotBefore.Add(time.Second)); err != nil {
		t.Errorf("VerifySigner() = %v, want a chain through x5c", err)
	}
}

// RFC 7518, Section 3.1; RFC 8037, Section 3.1.
func TestEachKindOfKeySignsWithItsAlgorithm(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	for _, c := range []struct {
		algorithm string
		key       func() (crypto.Signer, error)
	}{
		{"ES256", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }},
		{"ES384", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) }},
		{"ES512", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) }},
		{"PS256", func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }},
		{"EdDSA", func() (crypto.Signer, error) { _, k, err := ed25519.GenerateKey(rand.Reader); return k, err }},
	} {
		key, err := c.key()
		if err != nil {
			t.Fatal(err)
		}
		id := root.Issue(t, &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature}, key)
		artifact := signed(t, &voucher.Signer{Key: key, Certificate: id.Certificate})
		if header := fromURL(t, unwrap(t, artifact).Signatures[0].Protected); !bytes.Contains(header, []byte(`"alg":"`+c.algorithm+`"`)) {
			t.Errorf("header %s, want %s", header, c.algorithm)
		}
		if _, a, err := (voucherjws.Format{}).OpenVoucher(artifact); err != nil || !a.Signer.Equal(id.Certificate) {
			t.Errorf("%s: OpenVoucher() = %v", c.algorithm, err)
		}
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := root.Issue(t, &x509.Certificate{}, p224)
	if _, err := (voucherjws.Format{}).SignVoucher(t.Context(), vouchertest.Voucher(t), &voucher.Signer{Key: p224, Certificate: id.Certificate}); !errors.Is(err, voucherjws.ErrSigner) {
		t.Errorf("SignVoucher(P-224) = %v, want %v", err, voucherjws.ErrSigner)
	}
}

// BRSKI-JWS-3.3-01: what is verified is what was received, with its white space and its order.
// BRSKI-JWS-3.2-02: without typ it is taken.
// BRSKI-JWS-3.2-04: x5c with escaped slashes is read.
func TestHeadersAndContentAreVerifiedAsReceived(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "MASA")
	payload := []byte("\n{ \"ietf-voucher:voucher\" : {\t\"serial-number\":\"PEER-0001\", \"assertion\":\"logged\",\r\n" +
		"\"created-on\":\"2026-11-22T22:21:07Z\",\"pinned-domain-cert\":\"AQID\" } } ")
	x5c := base64.StdEncoding.EncodeToString(s.Certificate.Raw)
	if !strings.Contains(x5c, "/") {
		t.Logf("no slash to escape in this certificate")
	}
	header := " { \"x5c\" : [\n\"" + strings.ReplaceAll(x5c, "/", `\/`) + "\" ], \"x\": {\"y\":[1]}, \"alg\":\"ES256\" }"
	artifact := envelope{base64.RawURLEncoding.EncodeToString(payload), []signatureText{byHand(t, header, payload, s.Key)}}.bytes(t)
	var indented bytes.Buffer
	if err := json.Indent(&indented, artifact, "", "  "); err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{artifact, indented.Bytes()} {
		v, a, err := voucherjws.Format{}.OpenVoucher(text)
		if err != nil || v.SerialNumber != "PEER-0001" || !bytes.Equal(a.Payload, payload) || !a.Signer.Equal(s.Certificate) {
			t.Errorf("OpenVoucher(%s) = %+v, %v", text, v, err)
		}
	}
}

// BRSKI-JWS-3.2-05: what x5c carries is never an anchor.
func TestARootInX5CIsNotTrusted(t *testing.T) {
	root, s := vouchertest.NewSigner(t, "impostor")
	_, a, err := voucherjws.Format{}.OpenVoucher(signed(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(a.Certificates, root.Certificate.Equal) {
		t.Error("the impostor's root is not inside")
	}
	at := s.Certificate.NotBefore.Add(time.Second)
	if _, err := a.VerifySigner(testpki.NewRoot(t, "manufacturer").Pool(), at); !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("VerifySigner() = %v, want an unknown authority", err)
	}
}

// BRSKI-JWS-3-03: a voucher with the registrar's signature beside the MASA's opens, and says who else signed.
// draft-ietf-anima-brski-prm, Section 7.3.6.
func TestAVoucherMayBeCountersignedAndEverySignatureMustHold(t *testing.T) {
	_, masa := vouchertest.NewSigner(t, "MASA")
	_, registrar := vouchertest.NewSigner(t, "Registrar")
	e := unwrap(t, signed(t, masa))
	payload := fromURL(t, e.Payload)
	own := fromURL(t, unwrap(t, signed(t, registrar)).Signatures[0].Protected)
	e.Signatures = append(e.Signatures, byHand(t, string(own), payload, registrar.Key))
	v, a, err := voucherjws.Format{}.OpenVoucher(e.bytes(t))
	if err != nil || v.SerialNumber != "PEER-0001" {
		t.Fatalf("OpenVoucher(countersigned) = %+v, %v", v, err)
	}
	if !a.Signer.Equal(masa.Certificate) || len(a.Countersigners) != 1 || !a.Countersigners[0].Equal(registrar.Certificate) || len(a.Certificates) != 6 {
		t.Errorf("signer %v, countersigners %v, %d certificates; want MASA, registrar, 6", a.Signer.Subject, a.Countersigners, len(a.Certificates))
	}
	if len(a.Findings) != 1 || a.Findings[0].ID != voucherjws.FindingCountersigned {
		t.Errorf("findings %v, want %s", a.Findings, voucherjws.FindingCountersigned)
	}
	// A second signature by a key that its x5c is not of.
	spoiled := e
	spoiled.Signatures = []signatureText{e.Signatures[0], byHand(t, string(own), payload, masa.Key)}
	if _, _, err := (voucherjws.Format{}).OpenVoucher(spoiled.bytes(t)); !errors.Is(err, voucherjws.ErrSignature) || !errors.Is(err, voucher.ErrSigned) {
		t.Errorf("OpenVoucher(second signature wrong) = %v, want %v", err, voucherjws.ErrSignature)
	}
	spoiled.Signatures = []signatureText{e.Signatures[0], e.Signatures[0], e.Signatures[0], e.Signatures[0], e.Signatures[0]}
	if _, _, err := (voucherjws.Format{}).OpenVoucher(spoiled.bytes(t)); !errors.Is(err, voucherjws.ErrTooLarge) {
		t.Errorf("OpenVoucher(five signatures) = %v, want %v", err, voucherjws.ErrTooLarge)
	}
}

func TestARequestHasOneSignature(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "pledge")
	request, err := voucherjws.Format{}.SignRequest(t.Context(), vouchertest.Request(t), s)
	if err != nil {
		t.Fatal(err)
	}
	e := unwrap(t, request)
	e.Signatures = append(e.Signatures, e.Signatures[0])
	if _, _, err := (voucherjws.Format{}).OpenRequest(e.bytes(t)); !errors.Is(err, voucherjws.ErrSigners) || !errors.Is(err, voucher.ErrSigned) {
		t.Errorf("OpenRequest(two signatures) = %v, want %v", err, voucherjws.ErrSigners)
	}
}

// BRSKI-JWS-4-01: the media type is application/voucher-jws+json.
// BRSKI-JWS-3.1-01: a request is no voucher, and the container of another document is neither.
func TestTheContainerDecidesWhatItIs(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "MASA")
	payload := []byte(`{"ietf-voucher:revocation":{"serial-number":"x"}}`)
	artifact, err := voucherjws.Format{}.SignPayload(t.Context(), payload, s)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := (voucherjws.Format{}).OpenVoucher(artifact); !errors.Is(err, voucher.ErrRoot) {
		t.Errorf("OpenVoucher() = %v, want %v", err, voucher.ErrRoot)
	}
	if _, _, err := (voucherjws.Format{}).OpenRequest(artifact); !errors.Is(err, voucher.ErrRoot) {
		t.Errorf("OpenRequest() = %v, want %v", err, voucher.ErrRoot)
	}
	if (voucherjws.Format{}).MediaType() != "application/voucher-jws+json" {
		t.Errorf("MediaType() = %q", voucherjws.Format{}.MediaType())
	}
}
