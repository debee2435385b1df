package stepca_test

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca/stepca"
)

// keyID is the kid of the keys in testdata.
const keyID = "a5DddtqLaWhXxPUIZr88V9F6W6KypxDAG-YkLMfwqOM"

func readTestKey(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTheKeyFilesOfStepAreRead(t *testing.T) {
	for _, name := range []string{"key.jwk", "key.jwe", "key.jwe.json"} {
		key, err := stepca.ReadKey(readTestKey(t, name), []byte("correct horse"))
		if err != nil {
			t.Errorf("ReadKey(%s): %v", name, err)
			continue
		}
		thumbprint, err := stepca.Thumbprint(key.Public())
		if err != nil || key.ID != keyID || thumbprint != keyID {
			t.Errorf("%s: kid = %q, thumbprint %q, %v, want %q", name, key.ID, thumbprint, err, keyID)
		}
	}
}

// RFC 7638, Section 3.1: the example.
func TestTheThumbprintOfAnRSAKeyIsThatOfTheRFC(t *testing.T) {
	const n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs" +
		"tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI" +
		"SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(unbase64(t, n)), E: 65537}
	if got, err := stepca.Thumbprint(key); err != nil || got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("Thumbprint = %q, %v", got, err)
	}
}

func TestAKeyFileThatIsNoneIsRefusedWithoutShowingIt(t *testing.T) {
	jwk, jwe := string(readTestKey(t, "key.jwk")), string(readTestKey(t, "key.jwe"))
	for name, text := range map[string]string{
		"nothing": "", "text": "hello", "an empty object": "{}", "not JSON": "{",
		"no private part": strings.Replace(jwk, `"d"`, `"e"`, 1),
		"another point":   strings.Replace(jwk, `"x":"Z`, `"x":"Y`, 1),
		"another curve":   strings.Replace(jwk, "P-256", "P-384", 1),
		"a symmetric key": strings.Replace(jwk, `"EC"`, `"oct"`, 1),
		"no base64":       strings.Replace(jwk, `"d":"x`, `"d":"%`, 1),
		"too long":        jwk + strings.Repeat(" ", 64<<10),
		"four parts":      jwe[:strings.LastIndex(jwe, ".")],
		"a changed tag":   strings.Replace(jwe, ".9i8m", ".9i8n", 1),
		// {"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":999999999,"p2s":"AAAA"}: it would take minutes.
		"too many rounds": "eyJhbGciOiJQQkVTMi1IUzI1NitBMTI4S1ciLCJlbmMiOiJBMjU2R0NNIiwicDJjIjo5OTk5OTk5OTksInAycyI6IkFBQUEifQ.AAAA.AAAA.AAAA.AAAA",
		// {"alg":"dir","enc":"A256GCM"}
		"no password": "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0.AAAA.AAAA.AAAA.AAAA",
	} {
		_, err := stepca.ReadKey([]byte(text), []byte("correct horse"))
		if !errors.Is(err, stepca.ErrKey) {
			t.Errorf("%s: ReadKey = %v, want ErrKey", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "AG_gUk8K") {
			t.Errorf("%s: the error shows the private key: %v", name, err)
		}
	}
	if _, err := stepca.ReadKey([]byte(jwe), []byte("wrong horse")); !errors.Is(err, stepca.ErrKey) || strings.Contains(err.Error(), "horse") {
		t.Errorf("ReadKey with a wrong password = %v, want ErrKey", err)
	}
}

func FuzzReadKey(f *testing.F) {
	f.Add(readTestKey(f, "key.jwk"))
	f.Add([]byte(`{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
	// One round: PBKDF2 is not what is fuzzed.
	f.Add([]byte("eyJhbGciOiJQQkVTMi1IUzI1NitBMTI4S1ciLCJlbmMiOiJBMjU2R0NNIiwicDJjIjoxMDAwLCJwMnMiOiJBQUFBIn0.AAAA.AAAA.AAAA.AAAA"))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := stepca.ReadKey(data, []byte("x"))
		if err != nil {
			return
		}
		if _, err := stepca.Thumbprint(key.Public()); err != nil {
			t.Errorf("a key that was read has no thumbprint: %v", err)
		}
		if _, err := key.Sign(rand.Reader, make([]byte, 32), hashOf(key)); err != nil {
			t.Errorf("a key that was read does not sign: %v", err)
		}
	})
}
