package bearer_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/bearer"
)

var now = time.Unix(1_900_000_000, 0)

const issuer = "https://login.example"

// key is one of an issuer's, with its JWK.
type key struct {
	alg, kid string
	sign     func(text string) []byte
	jwk      map[string]any
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func ecKey(t *testing.T, kid string) *key {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return &key{"ES256", kid, func(text string) []byte {
		sum := sha256.Sum256([]byte(text))
		r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}, map[string]any{"kty": "EC", "crv": "P-256", "kid": kid, "x": b64(point[1:33]), "y": b64(point[33:])}}
}

func rsaKey(t *testing.T, kid string) (*key, *rsa.PrivateKey) {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &key{"RS256", kid, func(text string) []byte {
		sum := sha256.Sum256([]byte(text))
		sig, err := rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}, map[string]any{"kty": "RSA", "kid": kid, "use": "sig", "n": b64(k.N.Bytes()), "e": "AQAB"}}, k
}

func edKey(t *testing.T, kid string) *key {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key{"EdDSA", kid, func(text string) []byte { return ed25519.Sign(private, []byte(text)) },
		map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(public)}}
}

func set(keys ...*key) []byte {
	var list []any
	for _, k := range keys {
		list = append(list, k.jwk)
	}
	data, err := json.Marshal(map[string]any{"keys": list})
	if err != nil {
		panic(err)
	}
	return data
}

// token signs header and payload as they are.
func (k *key) token(header, payload string) est.Secret {
	text := b64([]byte(header)) + "." + b64([]byte(payload))
	return est.Secret(text + "." + b64(k.sign(text)))
}

func (k *key) good(name string) est.Secret { return k.token(k.header(), claims(name)) }

func (k *key) header() string { return fmt.Sprintf(`{"alg":%q,"typ":"JWT","kid":%q}`, k.alg, k.kid) }

func claims(name string) string {
	return fmt.Sprintf(`{"iss":%q,"aud":["other","registrar"],"sub":%q,"jti":"j1","exp":%d,"nbf":%d,"iat":%d}`,
		issuer, name, now.Unix()+60, now.Unix()-5, now.Unix()-5)
}

func verifier(t *testing.T, keys []byte, change func(c *bearer.Config)) *bearer.Verifier {
	t.Helper()
	c := bearer.Config{Issuer: issuer, Audience: "registrar", Keys: keys}
	if change != nil {
		change(&c)
	}
	v, err := bearer.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// RFC 7519, Section 7.2.
func TestATokenOfTheIssuerIsGood(t *testing.T) {
	ec, ed := ecKey(t, "ec"), edKey(t, "ed")
	rs, _ := rsaKey(t, "rs")
	v := verifier(t, set(ec, ed, rs), nil)
	for _, k := range []*key{ec, ed, rs} {
		got, err := v.Verify(t.Context(), k.good("sensor-7"), now)
		if err != nil || *got != (registrar.Token{Name: "sensor-7", Issuer: issuer, Subject: "sensor-7", ID: "j1"}) {
			t.Errorf("%s: Verify = %+v, %v", k.alg, got, err)
		}
	}
	if _, err := v.Verify(t.Context(), ec.token(`{"alg":"ES256"}`, claims("a")), now); err != nil {
		t.Errorf("without a key ID: %v", err)
	}
	named := verifier(t, set(ec), func(c *bearer.Config) { c.NameClaim = "device_serial" })
	payload := strings.Replace(claims("a"), `"jti"`, `"device_serial":"SN-1","jti"`, 1)
	if got, err := named.Verify(t.Context(), ec.token(ec.header(), payload), now); err != nil || got.Name != "SN-1" || got.Subject != "a" {
		t.Errorf("with another claim: %+v, %v", got, err)
	}
	if _, err := named.Verify(t.Context(), ec.good("a"), now); !errors.Is(err, registrar.ErrToken) {
		t.Errorf("without that claim: %v", err)
	}
}

// Attacks: alg=none, an RSA key taken for a shared secret, key IDs that are paths,
// keys and addresses in the header, huge tokens, members twice, and claims
// that are not for here. None is good, and no error shows what was sent.
func TestATokenThatIsNotForHereIsNone(t *testing.T) {
	ec := ecKey(t, "ec")
	rs, private := rsaKey(t, "rs")
	v := verifier(t, set(ec, rs), nil)
	good := claims("canary")
	swap := func(old, new string) string {
		out := strings.Replace(good, old, new, 1)
		if out == good {
			t.Fatalf("%q is not in %s", old, good)
		}
		return out
	}
	shared := func(secret []byte) est.Secret {
		text := b64([]byte(`{"alg":"HS256","kid":"rs"}`)) + "." + b64([]byte(good))
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(text))
		return est.Secret(text + "." + b64(m.Sum(nil)))
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	whole := ec.good("canary").Reveal()
	exp := fmt.Sprintf(`"exp":%d`, now.Unix()+60)
	for what, token := range map[string]est.Secret{
		"alg none":                     est.Secret(b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(good)) + "."),
		"alg None":                     est.Secret(b64([]byte(`{"alg":"None","kid":"ec"}`)) + "." + b64([]byte(good)) + "."),
		"no alg":                       ec.token(`{"kid":"ec"}`, good),
		"HS256 with the RSA key (PEM)": shared(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"HS256 with the RSA key (DER)": shared(der),
		"HS256 with the modulus":       shared(private.N.Bytes()),
		"another key's ID":             ec.token(`{"alg":"ES256","kid":"rs"}`, good),
		"a key ID that is a path":      ec.token(`{"alg":"ES256","kid":"../../../../dev/null"}`, good),
		"a key ID that is SQL":         ec.token(`{"alg":"ES256","kid":"x' UNION SELECT 'key"}`, good),
		"a key ID that is an address":  ec.token(`{"alg":"ES256","kid":"https://evil.example/key"}`, good),
		"a key ID that is no string":   ec.token(`{"alg":"ES256","kid":["ec"]}`, good),
		"a long key ID":                ec.token(`{"alg":"ES256","kid":"`+strings.Repeat("x", 300)+`"}`, good),
		"a critical extension":         ec.token(`{"alg":"ES256","kid":"ec","crit":["b64"],"b64":false}`, good),
		"a header member twice":        ec.token(`{"alg":"none","alg":"ES256","kid":"ec"}`, good),
		"a stranger's key":             ecKey(t, "ec").good("canary"),
		"its own key in the header": func() est.Secret {
			own := ecKey(t, "new")
			jwk, _ := json.Marshal(own.jwk)
			return own.token(`{"alg":"ES256","jwk":`+string(jwk)+`}`, good)
		}(),
		"a cut signature":        est.Secret(whole[:len(whole)-2]),
		"no signature":           est.Secret(whole[:strings.LastIndex(whole, ".")+1]),
		"two parts":              est.Secret(whole[:strings.LastIndex(whole, ".")]),
		"five parts":             est.Secret(whole + ".a.b"),
		"JSON serialization":     est.Secret(`{"payload":"` + b64([]byte(good)) + `"}`),
		"other claims":           est.Secret(strings.Split(whole, ".")[0] + "." + b64([]byte(swap("canary", "x"))) + "." + strings.Split(whole, ".")[2]),
		"9 KiB":                  ec.token(ec.header(), swap(`"jti"`, `"x":"`+strings.Repeat("x", 7000)+`","jti"`)),
		"another issuer":         ec.token(ec.header(), swap(issuer, issuer+"/")),
		"another audience":       ec.token(ec.header(), swap(`"registrar"`, `"registrar2"`)),
		"an audience of another": ec.token(ec.header(), swap(`["other","registrar"]`, `{"registrar":1}`)),
		"no end":                 ec.token(ec.header(), swap(exp+",", "")),
		"an end that is text":    ec.token(ec.header(), swap(exp, fmt.Sprintf(`"exp":"%d"`, now.Unix()+60))),
		"an end past all years":  ec.token(ec.header(), swap(exp, `"exp":1e300`)),
		"expired":                ec.token(ec.header(), swap(exp, fmt.Sprintf(`"exp":%d`, now.Unix()))),
		"not yet valid":          ec.token(ec.header(), swap(fmt.Sprintf(`"nbf":%d`, now.Unix()-5), fmt.Sprintf(`"nbf":%d`, now.Unix()+61))),
		"issued in the future":   ec.token(ec.header(), swap(fmt.Sprintf(`"iat":%d`, now.Unix()-5), fmt.Sprintf(`"iat":%d`, now.Unix()+61))),
		"a claim twice":          ec.token(ec.header(), swap(`"sub"`, `"sub":"other","sub"`)),
		"no name":                ec.token(ec.header(), swap(`"canary"`, `""`)),
		"a name that is a list":  ec.token(ec.header(), swap(`"canary"`, `["canary"]`)),
		"no object":              ec.token(ec.header(), `["canary"]`),
		"something after it":     ec.token(ec.header(), good+"{}"),
		"nothing":                "",
	} {
		got, err := v.Verify(t.Context(), token, now)
		if !errors.Is(err, registrar.ErrToken) || got != nil {
			t.Errorf("%s: Verify = %+v, %v", what, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error shows the token: %v", what, err)
		}
	}
	if _, err := v.Verify(t.Context(), ec.good("canary"), now); err != nil {
		t.Errorf("the good token: %v", err)
	}
	narrow := verifier(t, set(ec, rs), func(c *bearer.Config) { c.Algorithms = []string{"RS256"} })
	if _, err := narrow.Verify(t.Context(), ec.good("x"), now); !errors.Is(err, registrar.ErrToken) {
		t.Errorf("an algorithm that the operator did not list: %v", err)
	}
}

func TestConfigurationsThatAreNotSafeAreRefused(t *testing.T) {
	ec := ecKey(t, "ec")
	private := map[string]any{"d": "AQAB"}
	for k, v := range ec.jwk {
		private[k] = v
	}
	for what, c := range map[string]bearer.Config{
		"no issuer":                     {Audience: "a", Keys: set(ec)},
		"no audience":                   {Issuer: issuer, Keys: set(ec)},
		"alg none":                      {Issuer: issuer, Audience: "a", Keys: set(ec), Algorithms: []string{"none"}},
		"a shared key":                  {Issuer: issuer, Audience: "a", Keys: set(ec), Algorithms: []string{"HS256"}},
		"plain HTTP":                    {Issuer: "http://login.example", Audience: "a"},
		"keys over plain HTTP":          {Issuer: issuer, Audience: "a", KeysURL: "http://login.example/keys"},
		"two sources of keys":           {Issuer: issuer, Audience: "a", Keys: set(ec), KeysURL: issuer + "/keys"},
		"a set without keys":            {Issuer: issuer, Audience: "a", Keys: []byte(`{"keys":[]}`)},
		"a set with a shared key only":  {Issuer: issuer, Audience: "a", Keys: []byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`)},
		"a set with a private key only": {Issuer: issuer, Audience: "a", Keys: set(&key{jwk: private})},
		"no set":                        {Issuer: issuer, Audience: "a", Keys: []byte(`[]`)},
	} {
		if _, err := bearer.New(c); err == nil {
			t.Errorf("New took %s", what)
		}
	}
}

// issuing is an issuer with discovery.
type issuing struct {
	*httptest.Server
	config bearer.Config
	asked  atomic.Int32 // for the set
	keys   atomic.Pointer[[]byte]
	uri    string // of the set; empty for its own
	broken atomic.Bool
	hook   func() // when the issuer is asked for anything
}

func newIssuing(t *testing.T, keys ...*key) *issuing {
	t.Helper()
	i := &issuing{hook: func() {}}
	i.use(keys...)
	i.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.hook()
		switch {
		case i.broken.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/.well-known/openid-configuration":
			uri := i.uri
			if uri == "" {
				uri = i.URL + "/keys"
			}
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, i.URL, uri)
		case r.URL.Path == "/keys":
			i.asked.Add(1)
			_, _ = w.Write(*i.keys.Load())
		case r.URL.Path == "/elsewhere":
			http.Redirect(w, r, "/keys", http.StatusFound)
		}
	}))
	t.Cleanup(i.Close)
	roots := x509.NewCertPool()
	roots.AddCert(i.Certificate())
	i.config = bearer.Config{Issuer: i.URL, Audience: "registrar", Roots: roots}
	return i
}

func (i *issuing) use(keys ...*key) { data := set(keys...); i.keys.Store(&data) }

func (i *issuing) verifier(t *testing.T) *bearer.Verifier {
	t.Helper()
	v, err := bearer.New(i.config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (i *issuing) token(k *key) est.Secret {
	return k.token(k.header(), fmt.Sprintf(`{"iss":%q,"aud":"registrar","sub":"a","exp":%d}`, i.URL, now.Unix()+7200))
}

// A stranger who hangs up in time, again and again, does not keep the issuer's keys from those who have tokens.
func TestWhoHangsUpDoesNotEndTheFetchingOfKeys(t *testing.T) {
	ec := ecKey(t, "ec")
	i := newIssuing(t, ec)
	v := i.verifier(t)
	ctx, cancel := context.WithCancel(t.Context())
	i.hook = cancel
	_, _ = v.Verify(ctx, i.token(ecKey(t, "ec")), now)
	if _, err := v.Verify(t.Context(), i.token(ec), now.Add(time.Second)); err != nil {
		t.Errorf("a good token after somebody hung up: %v", err)
	}
}

// The issuer is asked when its keys are needed, and not for every token.
func TestKeysAreFetchedAndKept(t *testing.T) {
	old, next := ecKey(t, "old"), ecKey(t, "next")
	i := newIssuing(t, old)
	v := i.verifier(t)
	good := func(what string, k *key, at time.Time) {
		t.Helper()
		if _, err := v.Verify(t.Context(), i.token(k), at); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for range 5 {
		good("the first", old, now)
	}
	// Unknown key IDs: one more fetch a minute, whoever makes them up.
	for n := range 20 {
		if _, err := v.Verify(t.Context(), i.token(ecKey(t, fmt.Sprint("made up ", n))), now.Add(61*time.Second)); !errors.Is(err, registrar.ErrToken) {
			t.Errorf("a made-up key: %v", err)
		}
	}
	if n := i.asked.Load(); n != 2 {
		t.Errorf("the issuer was asked %d times, want 2", n)
	}
	i.use(old, next)
	good("a new key", next, now.Add(3*time.Minute))
	// An issuer that is down: its keys are good for an hour, and then nothing is.
	i.broken.Store(true)
	good("while the issuer is down", old, now.Add(30*time.Minute))
	_, err := v.Verify(t.Context(), i.token(old), now.Add(64*time.Minute))
	if err == nil || errors.Is(err, registrar.ErrToken) {
		t.Errorf("an hour after the last answer: %v", err)
	}
	i.broken.Store(false)
	i.use(next)
	good("when it is back", next, now.Add(65*time.Minute))
	if _, err := v.Verify(t.Context(), i.token(old), now.Add(65*time.Minute)); !errors.Is(err, registrar.ErrToken) {
		t.Errorf("a key that was taken away: %v", err)
	}
}

// Keys come from the issuer that was configured and from nowhere else.
func TestKeysComeFromNowhereElse(t *testing.T) {
	ec := ecKey(t, "ec")
	other := newIssuing(t, ec)
	for what, change := range map[string]func(i *issuing){
		"keys at another host":         func(i *issuing) { i.uri = other.URL + "/keys" },
		"keys over plain HTTP":         func(i *issuing) { i.uri = "http://127.0.0.1/keys" },
		"a file":                       func(i *issuing) { i.uri = "file:///etc/passwd" },
		"a redirect":                   func(i *issuing) { i.uri = i.URL + "/elsewhere" },
		"another issuer's description": func(i *issuing) { i.config.Issuer += "/" },
		"no trust in its certificate":  func(i *issuing) { i.config.Roots = x509.NewCertPool() },
		"too much":                     func(i *issuing) { big := []byte(strings.Repeat(" ", 300<<10)); i.keys.Store(&big) },
		"no set":                       func(i *issuing) { none := []byte("{}"); i.keys.Store(&none) },
	} {
		i := newIssuing(t, ec)
		change(i)
		_, err := i.verifier(t).Verify(t.Context(), i.token(ec), now)
		if err == nil || errors.Is(err, registrar.ErrToken) {
			t.Errorf("%s: %v, want that it cannot be told", what, err)
		}
	}
	if n := other.asked.Load(); n != 0 {
		t.Errorf("somebody else was asked %d times", n)
	}
}

func FuzzVerify(f *testing.F) {
	v, err := bearer.New(bearer.Config{Issuer: issuer, Audience: "registrar", Keys: []byte(
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b64([]byte(`{"alg":"EdDSA","kid":"a"}`)) + "." + b64([]byte(claims("x"))) + "." + b64(make([]byte, 64)))
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		if got, err := v.Verify(t.Context(), est.Secret(token), now); err == nil {
			t.Fatalf("a token that nobody signed is good: %+v", got)
		}
	})
}

// FuzzKeys reads JWK sets (RFC 7517, Section 5): none makes a token good that
// nobody signed.
func FuzzKeys(f *testing.F) {
	token := b64([]byte(`{"alg":"EdDSA","kid":"a"}`)) + "." + b64([]byte(claims("x"))) + "." + b64(make([]byte, 64))
	for _, set := range []string{
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AA","y":"AA"}]}`, `{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB","use":"enc"}]}`,
		`{"keys":[{"kty":"oct","k":"AA"},[],7,null]}`, `{"keys":{}}`, `[[[[`, "\x1f\x80",
	} {
		f.Add([]byte(set))
	}
	f.Fuzz(func(t *testing.T, set []byte) {
		v, err := bearer.New(bearer.Config{Issuer: issuer, Audience: "registrar", Keys: set})
		if err != nil {
			return
		}
		if got, err := v.Verify(t.Context(), est.Secret(token), now); err == nil {
			t.Fatalf("with the keys %q a token that nobody signed is good: %+v", set, got)
		}
	})
}
