package est_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
	shared "github.com/briskest/briskest/internal/vectors"
)

// EST-7030-4.4-04: a key that is stronger than the connection is refused, unless it is encrypted as well as it is strong.
func TestConnectionsProtectAsWellAsTheKeyIsStrong(t *testing.T) {
	s := newKeySite(t)
	aes128 := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
	aes256 := func(curves ...tls.CurveID) *tls.Config {
		return &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}, CurvePreferences: curves}
	}
	plain := func() []byte { return goodCSR(t, "device") }
	shared := func() []byte {
		return keyCSR(t, testpki.NewKey(t), attr(sharedKeyID, octets("kek-0001")), listing(aes256wrap))
	}
	for _, c := range []struct {
		what string
		kind est.KeyType
		tls  *tls.Config
		csr  func() []byte
		want int
	}{
		{"P-256 over AES-128", est.P256, aes128, plain, 200},
		{"P-384 over AES-128", est.P384, aes128, plain, 403},
		{"P-521 over AES-128", est.P521, aes128, plain, 403},
		{"P-384 over AES-256 with P-256", est.P384, aes256(tls.CurveP256), plain, 403},
		{"P-384 over AES-256 with P-384", est.P384, aes256(tls.CurveP384), plain, 200},
		{"P-521 over AES-256 with P-384", est.P521, aes256(tls.CurveP384), plain, 403},
		{"P-521 over AES-256 with P-521", est.P521, aes256(tls.CurveP521), plain, 200},
		{"P-521 over AES-128, encrypted", est.P521, aes128, shared, 200},
	} {
		s.keys.Type = c.kind
		cfg := c.tls.Clone()
		w := s.rawTLS(t, cfg, post(keyGenPath, pkcs10+"BASIC\r\n", b64(c.csr())))
		if w.status != c.want || c.want == 403 && !strings.Contains(w.body, est.ReasonKeyGenStrength) {
			t.Errorf("%s: %d %s, want %d", c.what, w.status, w.body, c.want)
		}
	}
	for _, r := range []struct {
		kind est.KeyType
		want int
	}{{"rsa2048", 112}, {"rsa3072", 128}, {"rsa7680", 192}, {"rsa15360", 256}, {"p521", 256}, {"rsa", 0}, {"rsa-1", 0}, {"dsa", 0}} {
		if got := r.kind.Strength(); got != r.want {
			t.Errorf("%s has strength %d, want %d", r.kind, got, r.want)
		}
	}
}

// EST-7030-4.4-03: there is no connection without encryption. crypto/tls cannot offer a NULL suite, so that the
// ClientHello is written by hand.
func TestCipherSuitesWithoutEncryptionGetNoConnection(t *testing.T) {
	s := newKeySite(t)
	// TLS_RSA_WITH_NULL_MD5, _SHA, _SHA256; TLS_ECDHE_ECDSA_WITH_NULL_SHA, TLS_ECDHE_RSA_WITH_NULL_SHA;
	// TLS_SHA256_SHA256 (RFC 9150, Section 1).
	suites := "\x00\x01\x00\x02\x00\x3b\xc0\x06\xc0\x10\xc0\xb4"
	hello := "\x03\x03" + strings.Repeat("r", 32) + "\x00" + string([]byte{0, byte(len(suites))}) + suites + "\x01\x00"
	hello = string([]byte{1, 0, 0, byte(len(hello))}) + hello
	record := string([]byte{22, 3, 1, 0, byte(len(hello))}) + hello
	conn := plainConn(t, s.url)
	if _, err := io.WriteString(conn, record); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	// An alert, fatal, handshake_failure or another one; never a ServerHello.
	if err != nil || len(answer) < 7 || answer[0] != 21 || answer[5] != 2 {
		t.Errorf("the server answered %x, %v, want a fatal alert", answer, err)
	}
	if s.keys.Made() != 0 {
		t.Error("a key was made")
	}
	// And behind something that ends TLS nothing is known of the connection.
	s.handler.AllowPlaintext = true
	w := s.plain(t, post(keyGenPath, pkcs10+"BASIC\r\n", b64(goodCSR(t, "device"))))
	if w.status != 403 || !strings.Contains(w.body, est.ReasonKeyGenStrength) {
		t.Errorf("serverkeygen without TLS: %d %s", w.status, w.body)
	}
}

// EST-7030-4.4-05: 1000 keys, all distinct; RSA moduli share no factors.
func TestGeneratedKeysShareNothing(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		key, err := est.P256.New()
		if err != nil {
			t.Fatal(err)
		}
		point, err := key.Public().(*ecdsa.PublicKey).Bytes()
		if err != nil || seen[string(point)] {
			t.Fatalf("a point came twice, or %v", err)
		}
		seen[string(point)] = true
	}
	one, moduli := big.NewInt(1), []*big.Int(nil)
	for range 6 {
		key, err := est.RSA2048.New()
		if err != nil {
			t.Fatal(err)
		}
		n := key.Public().(*rsa.PublicKey).N
		for _, other := range moduli {
			if new(big.Int).GCD(nil, nil, n, other).Cmp(one) != 0 {
				t.Error("two RSA moduli share a factor")
			}
		}
		moduli = append(moduli, n)
	}
	t.Logf("figures: %d EC keys and %d RSA keys generated, all distinct", len(seen), len(moduli))
}

// EST-7030-4.4.1-02, EST-7030-4.4.1-06, EST-7030-4.4.1.1-02, EST-7030-4.4.1.2-02: the published and constructed requests.
func TestVectorsOfServerKeyGen(t *testing.T) {
	s := newKeySite(t)
	n := 0
	for file, want := range map[string]int{
		"rfc7030/a4-serverkeygen-request.b64":   400, // its challengePassword is another connection's
		"constructed/neg-csr-bad-signature.b64": 200, "constructed/csr-p256-plain.b64": 200,
		"constructed/csr-skg-symmetric-request.b64": 200, "constructed/csr-skg-asymmetric-request.b64": 400,
		"constructed/csr-skg-decryptkeyid-without-smimecaps.b64": 400,
		"constructed/neg-csr-rsa2048-md5.b64":                    200, "constructed/neg-csr-trailing-byte.b64": 400,
		"constructed/neg-csr-truncated.b64": 400, "constructed/neg-csr-version-1.b64": 400, "constructed/neg-csr-duplicate-extension.b64": 400,
	} {
		w := s.raw(t, post(keyGenPath, pkcs10+"BASIC\r\n", string(shared.Read(t, "est/"+file))))
		if w.status != want || want == 200 && !strings.HasPrefix(w.header.Get("Content-Type"), "multipart/mixed") {
			t.Errorf("%s: %d %s, want %d", file, w.status, w.body, want)
		}
		n++
	}
	delete(s.keys.SharedKeys, "kek-0001")
	if w := s.raw(t, post(keyGenPath, pkcs10+"BASIC\r\n", string(shared.Read(t, "est/constructed/csr-skg-symmetric-request.b64")))); w.status != 400 || strings.Contains(w.body, "pkcs8") {
		t.Errorf("csr-skg-symmetric-request with an unknown id: %d %s", w.status, w.body)
	}
	t.Logf("figures: %d CSR vectors sent to serverkeygen", n+1)
}

// EST-8295-8-02: receipts and errors are taken, and nothing else.
func TestReceiptsForKeysAreTaken(t *testing.T) {
	s := newKeySite(t)
	path := keyGenPath + "/return"
	receipt, failure := "\x60\x86\x48\x01\x65\x02\x01\x02\x4e\x03", "\x60\x86\x48\x01\x65\x02\x01\x02\x4e\x06"
	bare := func(oid, content string) []byte { return tlv(0x30, string(tlv(6, oid))+string(tlv(0xa0, content))) }
	device := s.CA.Client(t, "device")
	signed, err := cms.Sign(&cms.SignRequest{ContentType: []int{2, 16, 840, 1, 101, 2, 1, 2, 78, 3}, Content: tlv(0x30, ""), Key: device.Key, Certificate: device.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(signed)
	forged[len(forged)-1] ^= 1
	data, err := cms.Sign(&cms.SignRequest{Content: []byte("hello"), Key: device.Key, Certificate: device.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		der  []byte
		want int
	}{
		{"a receipt", bare(receipt, "\x30\x00"), 204},
		{"an error", bare(failure, "\x30\x00"), 204},
		{"a signed receipt", signed, 204},
		{"a forged receipt", forged, 400},
		{"something else, signed", data, 400},
		{"something else", bare(unknownOID, "\x30\x00"), 400},
		{"a receipt that is no SEQUENCE", bare(receipt, "\x04\x00"), 400},
		{"a CSR", goodCSR(t, "device"), 400},
	} {
		w := s.raw(t, post(path, "Content-Type: application/cms\r\nBASIC\r\n", b64(c.der)))
		if w.status != c.want || c.want == 204 && w.body != "" {
			t.Errorf("%s: %d %s, want %d", c.what, w.status, w.body, c.want)
		}
	}
	got := s.keys.Receipts()
	if len(got) != 3 || got[0].Failed || !got[1].Failed || got[2].Signer == nil || !got[2].Signer.Equal(device.Certificate) {
		t.Errorf("the backend got %+v", got)
	}
	if w := s.raw(t, post(path, pkcs10+"BASIC\r\n", "MAA=")); w.status != 415 {
		t.Errorf("another media type: %d", w.status)
	}
	if w := s.raw(t, get(path)); w.status != 405 {
		t.Errorf("GET: %d", w.status)
	}
}
