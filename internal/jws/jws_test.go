package jws_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/jws"
)

func limits() jws.Limits { return jws.Limits{Bytes: 1 << 16, Signatures: 2, Certificates: 4} }

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// RFC 7515, Appendix A.3: the signature by ES256 that is printed there.
func TestTheExampleOfTheRFCVerifies(t *testing.T) {
	coordinate := func(text string) []byte {
		value, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	point := append([]byte{4}, coordinate("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")...)
	point = append(point, coordinate("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")...)
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	const text = `{"payload":"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",` +
		`"signatures":[{"protected":"eyJhbGciOiJFUzI1NiJ9","signature":"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"}]}`
	m, err := jws.Parse([]byte(text), limits())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Signatures[0].Verify(key); err != nil {
		t.Errorf("Verify() = %v", err)
	}
	if err := m.Signatures[0].Verify(newKey(t).Public()); !errors.Is(err, jws.ErrSignature) {
		t.Errorf("Verify(another key) = %v, want %v", err, jws.ErrSignature)
	}
}

func TestWhatIsSignedParsesWithItsHeaders(t *testing.T) {
	key := newKey(t)
	text, err := jws.Sign(&jws.SignRequest{Payload: []byte("content"), Key: key, Type: "t", KeyID: "k"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := jws.Parse(text, limits())
	if err != nil || !bytes.Equal(m.Payload, []byte("content")) {
		t.Fatalf("Parse(%s) = %+v, %v", text, m, err)
	}
	s := m.Signatures[0]
	if s.Algorithm != "ES256" || s.Type != "t" || !s.HasType || s.KeyID != "k" || len(s.Certificates) != 0 {
		t.Errorf("signature %+v, want ES256 and the headers that were asked for", s)
	}
	if err := s.Verify(key.Public()); err != nil {
		t.Errorf("Verify() = %v", err)
	}
}

// oddSigner is a key that returns something else than a signature, as a broken token might.
type oddSigner struct {
	crypto.Signer
	value []byte
	err   error
}

func (s oddSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return s.value, s.err }

func TestAKeyThatReturnsNoSignatureIsAnError(t *testing.T) {
	key := newKey(t)
	for name, value := range map[string][]byte{
		"nothing": nil, "noise": []byte("noise"), "negative": {0x30, 6, 2, 1, 0xff, 2, 1, 1},
		"too long": append([]byte{0x30, 38, 2, 33, 1}, append(make([]byte, 32), 2, 1, 1)...), "trailing": {0x30, 6, 2, 1, 1, 2, 1, 1, 0},
	} {
		if _, err := jws.Sign(&jws.SignRequest{Key: oddSigner{key, value, nil}}); !errors.Is(err, jws.ErrKey) {
			t.Errorf("Sign(%s) = %v, want %v", name, err, jws.ErrKey)
		}
	}
	if _, err := jws.Sign(&jws.SignRequest{Key: oddSigner{key, nil, io.ErrClosedPipe}}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Sign(a key that fails) = %v, want its error", err)
	}
}

func FuzzParse(f *testing.F) {
	key := newKey(f)
	text, err := jws.Sign(&jws.SignRequest{Payload: []byte("content"), Key: key, Type: "t"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"payload":"","signatures":[{"protected":"eyJhbGciOiJFZERTQSJ9","signature":"AA"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := jws.Parse(data, limits())
		if err != nil {
			return
		}
		for _, s := range m.Signatures {
			if s.Verify(key.Public()) == nil && !bytes.Equal(m.Payload, []byte("content")) {
				t.Errorf("a signature holds over %q", m.Payload)
			}
		}
	})
}

// FuzzHeader reaches the protected header, which base64url keeps from fuzzers:
// what is taken says one algorithm, and no other key verifies it.
func FuzzHeader(f *testing.F) {
	key := newKey(f)
	for _, header := range []string{
		`{"alg":"ES256"}`, `{"alg":"none"}`, `{"alg":"ES256","x5c":["MAA="]}`, `{"alg":"ES256","crit":["b64"],"b64":false}`,
		`{"alg":"ES256","typ":"t","kid":"k"}`, `{"alg":"ES256","alg":"none"}`, `{"alg":["ES256"]}`, `[[[[[[[[[[]]]]]]]]]]`,
	} {
		f.Add([]byte(header), []byte("content"), make([]byte, 64))
	}
	f.Fuzz(func(t *testing.T, header, payload, signature []byte) {
		b64 := base64.RawURLEncoding.EncodeToString
		text := `{"payload":"` + b64(payload) + `","signatures":[{"protected":"` + b64(header) + `","signature":"` + b64(signature) + `"}]}`
		m, err := jws.Parse([]byte(text), limits())
		if err != nil {
			return
		}
		s := m.Signatures[0]
		if !bytes.Equal(m.Payload, payload) || s.Algorithm == "" || s.Algorithm == "none" || len(s.Certificates) > limits().Certificates {
			t.Errorf("%q: payload %q, %+v", header, m.Payload, s)
		}
		if s.Verify(key.Public()) == nil {
			t.Errorf("%q: a signature that nobody made holds", header)
		}
	})
}

// RFC 7515, Section 7.1.
func TestTheCompactSerializationHasTheThreePartsOfTheGeneralOne(t *testing.T) {
	key := newKey(t)
	text, err := jws.SignCompact(&jws.SignRequest{Payload: []byte("content"), Key: key, Type: "JWT", KeyID: "k"})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		t.Fatalf("SignCompact = %q, want three parts", text)
	}
	general := `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`
	m, err := jws.Parse([]byte(general), limits())
	if err != nil || string(m.Payload) != "content" || m.Signatures[0].Type != "JWT" || m.Signatures[0].KeyID != "k" {
		t.Fatalf("Parse(%s) = %+v, %v", general, m, err)
	}
	if err := m.Signatures[0].Verify(key.Public()); err != nil {
		t.Errorf("Verify() = %v", err)
	}
	broken := errors.New("token gone")
	if _, err := jws.SignCompact(&jws.SignRequest{Key: oddSigner{Signer: key, err: broken}}); !errors.Is(err, broken) {
		t.Errorf("SignCompact with a broken key = %v, want the key's error", err)
	}
}
