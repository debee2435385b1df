package voucherjws_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/voucherjws"
	"github.com/briskest/briskest/voucher/vouchertest"
)

// refusedAs checks that data is refused, as voucher and as request, for that reason.
func refusedAs(t *testing.T, name string, data []byte, want error) {
	t.Helper()
	if _, _, err := (voucherjws.Format{}).OpenVoucher(data); !errors.Is(err, want) {
		t.Errorf("%s: OpenVoucher() = %v, want %v", name, err, want)
	}
	if _, _, err := (voucherjws.Format{}).OpenRequest(data); !errors.Is(err, want) {
		t.Errorf("%s: OpenRequest() = %v, want %v", name, err, want)
	}
}

// BRSKI-JWS-3-01: the compact and the flattened serialization are refused.
func TestOtherSerializationsAreRefused(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "MASA")
	e := unwrap(t, signed(t, s))
	p, h, v := e.Payload, e.Signatures[0].Protected, e.Signatures[0].Signature
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"compact":            {h + "." + p + "." + v, voucherjws.ErrSyntax},
		"compact in quotes":  {`"` + h + "." + p + "." + v + `"`, voucherjws.ErrSyntax},
		"flattened":          {`{"payload":"` + p + `","protected":"` + h + `","signature":"` + v + `"}`, voucherjws.ErrSerialization},
		"both":               {`{"payload":"` + p + `","protected":"` + h + `","signature":"` + v + `","signatures":[{"protected":"` + h + `","signature":"` + v + `"}]}`, voucherjws.ErrSerialization},
		"a header outside":   {`{"payload":"` + p + `","header":{},"signatures":[{"protected":"` + h + `","signature":"` + v + `"}]}`, voucherjws.ErrSerialization},
		"without payload":    {`{"signatures":[{"protected":"` + h + `","signature":"` + v + `"}]}`, voucherjws.ErrSerialization},
		"without signatures": {`{"payload":"` + p + `"}`, voucherjws.ErrSerialization},
		"no signature":       {`{"payload":"` + p + `","signatures":[]}`, voucherjws.ErrNoSignatures},
		"an object":          {`{"payload":"` + p + `","signatures":{"protected":"` + h + `","signature":"` + v + `"}}`, voucherjws.ErrSyntax},
		"payload an object":  {`{"payload":{},"signatures":[{"protected":"` + h + `","signature":"` + v + `"}]}`, voucherjws.ErrSyntax},
		"payload null":       {`{"payload":null,"signatures":[{"protected":"` + h + `","signature":"` + v + `"}]}`, voucherjws.ErrSyntax},
		"unprotected header": {`{"payload":"` + p + `","signatures":[{"header":{"alg":"ES256"},"protected":"` + h + `","signature":"` + v + `"}]}`, voucherjws.ErrHeader},
		"nothing protected":  {`{"payload":"` + p + `","signatures":[{"signature":"` + v + `"}]}`, voucherjws.ErrSyntax},
		"signature null":     {`{"payload":"` + p + `","signatures":[null]}`, voucherjws.ErrSyntax},
		"payload twice":      {`{"payload":"` + p + `","payload":"` + p + `","signatures":[{"protected":"` + h + `","signature":"` + v + `"}]}`, voucherjws.ErrDuplicate},
		"signatures twice":   {`{"payload":"` + p + `","signatures":[],"signatures":[{"protected":"` + h + `","signature":"` + v + `"}]}`, voucherjws.ErrDuplicate},
		"payload in escapes": {`{"p\u0061yload":"e30","payload":"` + p + `","signatures":[{"protected":"` + h + `","signature":"` + v + `"}]}`, voucherjws.ErrDuplicate},
		"protected twice":    {`{"payload":"` + p + `","signatures":[{"protected":"` + h + `","protected":"` + h + `","signature":"` + v + `"}]}`, voucherjws.ErrDuplicate},
		"nothing":            {"", voucherjws.ErrSyntax},
		"two of them":        {`{"payload":"` + p + `","signatures":[]}{"payload":"` + p + `","signatures":[]}`, voucherjws.ErrTrailingData},
		"not UTF-8":          {"{\"payload\":\"\xff\",\"signatures\":[]}", voucherjws.ErrSyntax},
		"unsigned":           {`{"ietf-voucher:voucher":{"serial-number":"x"}}`, voucherjws.ErrSerialization},
	} {
		refusedAs(t, name, []byte(c.text), c.want)
	}
}

// RFC 7515, Section 2: base64url without padding; encoding/base64 would skip line breaks.
func TestBase64IsReadWithoutPaddingAndLineBreaks(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "MASA")
	good := unwrap(t, signed(t, s))
	for name, spoil := range map[string]func(string) string{
		"padding":        func(b string) string { return b + "=" },
		"line break":     func(b string) string { return b[:8] + "\n" + b[8:] },
		"line break end": func(b string) string { return b + "\r\n" },
		"standard":       func(b string) string { return "+/" + b[2:] },
		"space":          func(b string) string { return " " + b },
		"stray bits":     func(b string) string { return b[:len(b)-len(b)%4] + "AB" },
	} {
		e := envelope{spoil(good.Payload), good.Signatures}
		refusedAs(t, "payload with "+name, e.bytes(t), voucherjws.ErrBase64)
		e = envelope{good.Payload, []signatureText{{spoil(good.Signatures[0].Protected), good.Signatures[0].Signature}}}
		refusedAs(t, "protected with "+name, e.bytes(t), voucherjws.ErrBase64)
		e = envelope{good.Payload, []signatureText{{good.Signatures[0].Protected, spoil(good.Signatures[0].Signature)}}}
		refusedAs(t, "signature with "+name, e.bytes(t), voucherjws.ErrBase64)
	}
}

// BRSKI-JWS-3.2-01: alg none, HS256, missing, or one that does not go with the key.
// BRSKI-JWS-3.2-02: another typ is refused.
// BRSKI-JWS-3.2-03: x5c in base64url, or not an array of certificates, is refused.
func TestHeadersThatMustNotBeAreRefused(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "MASA")
	x5c := base64.StdEncoding.EncodeToString(s.Certificate.Raw)
	replaced := func(old, new string) func(string) string {
		return func(header string) string {
			if !strings.Contains(header, old) {
				t.Fatalf("header %s has no %s", header, old)
			}
			return strings.Replace(header, old, new, 1)
		}
	}
	alg := func(new string) func(string) string { return replaced(`"alg":"ES256"`, new) }
	whole := func(header string) func(string) string { return func(string) string { return header } }
	for name, c := range map[string]struct {
		rewrite func(string) string
		want    error
	}{
		"alg none":             {alg(`"alg":"none"`), voucherjws.ErrAlgorithm},
		"alg None":             {alg(`"alg":"None"`), voucherjws.ErrAlgorithm},
		"alg empty":            {alg(`"alg":""`), voucherjws.ErrAlgorithm},
		"alg null":             {alg(`"alg":null`), voucherjws.ErrAlgorithm},
		"alg missing":          {alg(`"x":1`), voucherjws.ErrAlgorithm},
		"alg a list":           {alg(`"alg":["ES256"]`), voucherjws.ErrAlgorithm},
		"alg twice":            {alg(`"alg":"ES256","alg":"none"`), voucherjws.ErrDuplicate},
		"alg HS256":            {alg(`"alg":"HS256"`), voucherjws.ErrAlgorithm},
		"alg RS256":            {alg(`"alg":"RS256"`), voucherjws.ErrAlgorithm},
		"alg ES256K":           {alg(`"alg":"ES256K"`), voucherjws.ErrAlgorithm},
		"alg ES384 with P-256": {alg(`"alg":"ES384"`), voucherjws.ErrKey},
		"alg PS256 with P-256": {alg(`"alg":"PS256"`), voucherjws.ErrKey},
		"alg EdDSA with P-256": {alg(`"alg":"EdDSA"`), voucherjws.ErrKey},
		"crit":                 {alg(`"alg":"ES256","crit":["exp"],"exp":1`), voucherjws.ErrHeader},
		"crit empty":           {alg(`"alg":"ES256","crit":[]`), voucherjws.ErrHeader},
		"crit b64":             {alg(`"alg":"ES256","crit":["b64"],"b64":false`), voucherjws.ErrHeader},
		"b64 alone":            {alg(`"alg":"ES256","b64":false`), voucherjws.ErrHeader},
		"typ JOSE":             {replaced("voucher-jws+json", "JOSE"), voucherjws.ErrType},
		"typ empty":            {replaced("voucher-jws+json", ""), voucherjws.ErrType},
		"typ a number":         {replaced(`"voucher-jws+json"`, "7"), voucherjws.ErrSyntax},
		"typ of a token":       {replaced("voucher-jws+json", "JWT"), voucherjws.ErrType},
		"kid a number":         {alg(`"alg":"ES256","kid":7`), voucherjws.ErrSyntax},
		"no x5c":               {whole(`{"alg":"ES256"}`), voucherjws.ErrNoSignerCertificate},
		"jwk instead of x5c":   {whole(`{"alg":"ES256","jwk":{"kty":"EC"},"jku":"https://127.0.0.1/"}`), voucherjws.ErrNoSignerCertificate},
		"x5c empty":            {whole(`{"alg":"ES256","x5c":[]}`), voucherjws.ErrSyntax},
		"x5c a string":         {whole(`{"alg":"ES256","x5c":"` + x5c + `"}`), voucherjws.ErrSyntax},
		"x5c of numbers":       {whole(`{"alg":"ES256","x5c":[1]}`), voucherjws.ErrSyntax},
		"x5c in base64url":     {whole(`{"alg":"ES256","x5c":["` + base64.URLEncoding.EncodeToString(append([]byte{0xfb, 0xff, 0xfe}, s.Certificate.Raw...)) + `"]}`), voucherjws.ErrBase64},
		"x5c without padding":  {whole(`{"alg":"ES256","x5c":["` + base64.RawStdEncoding.EncodeToString([]byte{1}) + `"]}`), voucherjws.ErrBase64},
		"x5c with line breaks": {whole(`{"alg":"ES256","x5c":["` + x5c[:64] + `\n` + x5c[64:] + `"]}`), voucherjws.ErrBase64},
		"x5c of nonsense":      {whole(`{"alg":"ES256","x5c":["AAAA"]}`), voucherjws.ErrCertificate},
		"x5c of 1000":          {whole(`{"alg":"ES256","x5c":["` + strings.Repeat(`AAAA","`, 999) + `AAAA"]}`), voucher.ErrTooManyCertificates},
		"x5c of 17":            {whole(`{"alg":"ES256","x5c":["` + strings.Repeat(x5c+`","`, 16) + x5c + `"]}`), voucher.ErrTooManyCertificates},
		"deep":                 {alg(`"alg":"ES256","x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000)), voucherjws.ErrTooDeep},
		"wide":                 {alg(`"alg":"ES256","x":[` + strings.Repeat("1,", 5000) + "1]"), voucherjws.ErrTooLarge},
		"header an array":      {whole(`[]`), voucherjws.ErrSyntax},
		"header empty":         {whole(``), voucherjws.ErrSyntax},
		"header and more":      {whole(`{"alg":"ES256"}{}`), voucherjws.ErrTrailingData},
	} {
		refusedAs(t, name, withHeader(t, s, c.rewrite), c.want)
	}
	refusedAs(t, "x5c of another", withHeader(t, s, replaced(x5c, base64.StdEncoding.EncodeToString(s.Chain[0].Raw))), voucherjws.ErrSignature)
}

// The attack on libraries that let the header choose the kind of key: an HMAC keyed with the public key.
func TestAnHMACKeyedWithThePublicKeyIsNoSignature(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "MASA")
	e := unwrap(t, signed(t, s))
	header := strings.Replace(string(fromURL(t, e.Signatures[0].Protected)), "ES256", "HS256", 1)
	e.Signatures[0].Protected = base64.RawURLEncoding.EncodeToString([]byte(header))
	mac := hmac.New(sha256.New, s.Certificate.RawSubjectPublicKeyInfo)
	mac.Write([]byte(e.Signatures[0].Protected + "." + e.Payload))
	e.Signatures[0].Signature = base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	refusedAs(t, "HS256", e.bytes(t), voucherjws.ErrAlgorithm)
	refusedAs(t, "HS256", e.bytes(t), voucher.ErrSigned)
}

// RFC 7518, Section 3.4: two numbers of 32 bytes each, never DER.
func TestSignaturesOfAnotherFormAreRefused(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "MASA")
	good := unwrap(t, signed(t, s))
	raw := fromURL(t, good.Signatures[0].Signature)
	input := sha256.Sum256([]byte(good.Signatures[0].Protected + "." + good.Payload))
	der, err := ecdsa.SignASN1(rand.Reader, s.Key.(*ecdsa.PrivateKey), input[:])
	if err != nil {
		t.Fatal(err)
	}
	n := elliptic.P256().Params().N.FillBytes(make([]byte, 32))
	for name, value := range map[string][]byte{
		"DER":            der,
		"empty":          {},
		"short":          raw[:63],
		"long":           append(bytes.Clone(raw), 0),
		"zeros":          make([]byte, 64),
		"r of n":         append(bytes.Clone(n), raw[32:]...),
		"s plus nothing": append(bytes.Clone(raw[:32]), make([]byte, 32)...),
		"swapped":        append(bytes.Clone(raw[32:]), raw[:32]...),
	} {
		e := envelope{good.Payload, []signatureText{{good.Signatures[0].Protected, base64.RawURLEncoding.EncodeToString(value)}}}
		refusedAs(t, name, e.bytes(t), voucherjws.ErrSignature)
		refusedAs(t, name, e.bytes(t), voucher.ErrSigned)
	}
}

func TestWhatIsTooLargeIsRefusedBeforeItIsRead(t *testing.T) {
	_, s := vouchertest.NewSigner(t, "MASA")
	refusedAs(t, "2 MB", bytes.Repeat([]byte("{"), 2<<20), voucherjws.ErrTooLarge)
	refusedAs(t, "2 MB of white space", append(bytes.Repeat([]byte(" "), 2<<20), signed(t, s)...), voucherjws.ErrTooLarge)
	refusedAs(t, "deep", bytes.Repeat([]byte("["), voucherjws.MaxArtifact), voucherjws.ErrSyntax)
	refusedAs(t, "deep member", []byte(`{"payload":`+strings.Repeat("[", 1<<16)), voucherjws.ErrTooDeep)
	refusedAs(t, "wide", []byte(`{"payload":"e30","signatures":[`+strings.Repeat("1,", 5000)+`1]}`), voucherjws.ErrTooLarge)
	payload := []byte(`{"ietf-voucher:voucher":{"serial-number":"x","u":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}}`)
	deep, err := voucherjws.Format{}.SignPayload(t.Context(), payload, s)
	if err != nil {
		t.Fatal(err)
	}
	refusedAs(t, "deep payload", deep, voucher.ErrTooDeep)
	twice, err := voucherjws.Format{}.SignPayload(t.Context(), []byte(`{"ietf-voucher:voucher":{"nonce":"a","nonce":"b"}}`), s)
	if err != nil {
		t.Fatal(err)
	}
	refusedAs(t, "a leaf twice", twice, voucher.ErrDuplicateLeaf)
	allocated := testing.AllocsPerRun(3, func() {
		refusedAs(t, "many signatures", []byte(`{"payload":"e30","signatures":[`+strings.Repeat("{},", 200)+`{}]}`), voucherjws.ErrTooLarge)
	})
	if allocated > 5000 {
		t.Errorf("refusing 200 signatures takes %v allocations", allocated)
	}
}

// Keys that are too small to trust or too large to check.
func TestRSAKeysOfOtherSizesAreRefused(t *testing.T) {
	root := testpki.NewRoot(t, "root")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skipf("no RSA key of 1024 bits to test with: %v", err)
	}
	id := root.Issue(t, &x509.Certificate{}, small)
	if _, err := (voucherjws.Format{}).SignVoucher(t.Context(), vouchertest.Voucher(t), &voucher.Signer{Key: small, Certificate: id.Certificate}); !errors.Is(err, voucherjws.ErrSigner) {
		t.Errorf("SignVoucher(RSA-1024) = %v, want %v", err, voucherjws.ErrSigner)
	}
	_, s := vouchertest.NewSigner(t, "MASA")
	rewrite := func(cert *x509.Certificate, alg string) func(string) string {
		return func(string) string {
			return fmt.Sprintf(`{"alg":%q,"x5c":[%q]}`, alg, base64.StdEncoding.EncodeToString(cert.Raw))
		}
	}
	refusedAs(t, "RSA-1024", withHeader(t, s, rewrite(id.Certificate, "PS256")), voucherjws.ErrKey)
	refusedAs(t, "RSA-16384", withHeader(t, s, rewrite(hugeKey(t, root), "PS256")), voucherjws.ErrKeySize)
}

// hugeKey returns a certificate over a number of 16384 bits; nobody has its key.
func hugeKey(t *testing.T, root *testpki.Identity) *x509.Certificate {
	t.Helper()
	n := new(big.Int).Lsh(big.NewInt(1), 16383)
	n.SetBit(n, 0, 1)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: root.Certificate.NotBefore, NotAfter: root.Certificate.NotAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, root.Certificate, &rsa.PublicKey{N: n, E: 65537}, root.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func FuzzOpen(f *testing.F) {
	_, s := vouchertest.NewSigner(f, "MASA")
	f.Add(signed(f, s))
	e := unwrap(f, signed(f, s))
	f.Add(envelope{"e30", append(e.Signatures, e.Signatures...)}.bytes(f))
	f.Add(withHeader(f, s, func(string) string { return `{"alg":"EdDSA","kid":"AA==","x5c":["AAAA"],"crit":["b64"]}` }))
	f.Add([]byte(`{"payload":"eyJhIjoxfQ","signatures":[{"protected":"eyJhbGciOiJub25lIn0","signature":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, a, err := voucherjws.Format{}.OpenVoucher(data)
		if err == nil && (!json.Valid(data) || a.Signer == nil || v.SerialNumber == "") {
			t.Errorf("OpenVoucher(%q) = %+v, %+v", data, v, a)
		}
		r, a, err := voucherjws.Format{}.OpenRequest(data)
		if err == nil && (!json.Valid(data) || a.Signer == nil || r.SerialNumber == "" || len(a.Countersigners) > 0) {
			t.Errorf("OpenRequest(%q) = %+v, %+v", data, r, a)
		}
		if _, _, err := voucherjws.OpenAgentSignedData(data, []*x509.Certificate{s.Certificate}); err == nil && !json.Valid(data) {
			t.Errorf("OpenAgentSignedData(%q) takes what is not JSON", data)
		}
	})
}
