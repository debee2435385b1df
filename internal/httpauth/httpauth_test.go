package httpauth_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/briskest/briskest/internal/httpauth"
)

// RFC 9110, Section 11.6.1.
func TestChallengesAreReadAsServersWriteThem(t *testing.T) {
	for _, c := range []struct {
		what  string
		lines []string
		want  string
	}{
		{"one in a line", []string{`Basic realm="est"`, `Digest realm="a, b", qop="auth", nonce="n"`}, `Basic[realm=est] Digest[realm=a, b qop=auth nonce=n]`},
		{"several in a line", []string{`Basic realm=est, Digest realm="x",nonce=n , Bearer`}, `Basic[realm=est] Digest[realm=x nonce=n] Bearer[]`},
		{"the example of RFC 9110", []string{`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`}, `Basic[realm=simple] Newauth[realm=apps type=1 title=Login to "apps"]`},
		{"spaces around =, letter case", []string{`DIGEST  Realm = "r" ,NONCE= n`}, `DIGEST[realm=r nonce=n]`},
		{"token68", []string{`Negotiate YWJj=, Basic realm="r"`}, `Negotiate(YWJj=) Basic[realm=r]`},
		{"empty elements", []string{`, ,Basic realm="r",,`}, `Basic[realm=r]`},
		{"an empty value", []string{`Bearer realm="r", error=, scope=x`}, `Bearer[realm=r error= scope=x]`},
		{"garbage before a challenge", []string{`"x;, Basic realm="r"`, `Digest nonce=n`}, `Digest[nonce=n]`},
		{"garbage between", []string{`Basic realm="r", ;;;, Digest nonce="n"`}, `Basic[realm=r] Digest[nonce=n]`},
		{"a quote that does not end", []string{`Basic realm="r`, `Bearer`}, `Basic[] Bearer[]`},
		{"a parameter twice", []string{`Basic realm=a, realm=b`}, `Basic[realm=a]`},
		{"a parameter without a scheme", []string{`realm="r"`, `Basic`}, `Basic[]`},
		{"nothing", nil, ``},
	} {
		if got := show(httpauth.ParseChallenges(c.lines)); got != c.want {
			t.Errorf("%s: ParseChallenges(%q) = %s, want %s", c.what, c.lines, got, c.want)
		}
	}
}

func show(challenges []httpauth.Challenge) string {
	var out []string
	for _, c := range challenges {
		if c.Token != "" {
			out = append(out, c.Scheme+"("+c.Token+")")
			continue
		}
		var params []string
		for _, p := range c.Params {
			params = append(params, p.Name+"="+p.Value)
		}
		out = append(out, c.Scheme+"["+strings.Join(params, " ")+"]")
	}
	return strings.Join(out, " ")
}

func TestChallengesBeyondTheBoundsAreLeftOut(t *testing.T) {
	if got := httpauth.ParseChallenges([]string{strings.Repeat("A,", 1000)}); len(got) != 16 {
		t.Errorf("%d challenges, want 16", len(got))
	}
	if got := httpauth.ParseChallenges([]string{`Basic realm="r"`, "Bearer realm=" + strings.Repeat("x", 9000)}); len(got) != 1 {
		t.Errorf("%d challenges, want the one that fits", len(got))
	}
	var many strings.Builder
	for i := range 200 {
		fmt.Fprintf(&many, ", p%d=1", i)
	}
	if got := httpauth.ParseChallenges([]string{"Basic a=b" + many.String()}); len(got) != 1 || len(got[0].Params) != 32 {
		t.Errorf("%d challenges with %d parameters", len(got), len(got[0].Params))
	}
}

// libest and Bouncy Castle 1.72.
func TestChallengesAreWrittenAsOldClientsReadThem(t *testing.T) {
	for want, c := range map[string]*httpauth.Challenge{
		`Basic realm="a \"b\" \\?"`:                           httpauth.BasicChallenge("a \"b\" \\\n"),
		`Digest realm="est", qop="auth", nonce="n"`:           httpauth.DigestChallenge(httpauth.MD5, "est", "n", false),
		`Bearer realm="est"`:                                  httpauth.BearerChallenge("est", ""),
		`Bearer realm="est", error="invalid_token"`:           httpauth.BearerChallenge("est", "invalid_token"),
		`Digest realm="e", qop="auth", nonce="n", stale=true`: httpauth.DigestChallenge(httpauth.MD5, "e", "n", true),
		// RFC 7616, Section 3.3: algorithm and stale stand without quotes.
		`Digest realm="e", qop="auth", nonce="n", algorithm=SHA-256, stale=true`: httpauth.DigestChallenge(httpauth.SHA256, "e", "n", true),
	} {
		if got := c.String(); got != want {
			t.Errorf("challenge = %s, want %s", got, want)
		}
	}
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	check := func(realm, nonce string) bool {
		clean := strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return '?'
			}
			return r
		}, realm)
		if len(realm)+len(nonce) > 1000 {
			return true
		}
		got := httpauth.ParseChallenges([]string{httpauth.DigestChallenge(httpauth.SHA256, realm, "n", true).String()})
		return len(got) == 1 && got[0].Param("realm") == clean && got[0].Stale() && got[0].Param("algorithm") == "SHA-256"
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

// RFC 7616, Section 3.9.1.
func TestTheExamplesOfRFC7616AreRight(t *testing.T) {
	const user, realm, password = "Mufasa", "http-auth@example.org", "Circle of Life"
	const common = `Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", `
	for algorithm, response := range map[httpauth.Algorithm]string{
		httpauth.MD5:    "8ca523f5e9506fed4657c9700eebdbec",
		httpauth.SHA256: "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		a, err := httpauth.ParseAuthorization(common + fmt.Sprintf(`response="%s", algorithm=%s`, response, algorithm))
		if err != nil {
			t.Fatal(err)
		}
		ha1 := httpauth.HA1(algorithm, user, realm, password)
		if !a.Digest.Matches(ha1, "GET") {
			t.Errorf("%s: the example does not match", algorithm)
		}
		if a.Digest.Matches(ha1, "POST") || a.Digest.Matches(httpauth.HA1(algorithm, user, realm, "Circle of life"), "GET") {
			t.Errorf("%s: another method or password matches", algorithm)
		}
	}
}

// Bouncy Castle 1.72 quotes nc and algorithm and
// sends an opaque that it made up.
func TestDigestsAreReadAsOldClientsWriteThem(t *testing.T) {
	const rest = `response="0123456789abcdef0123456789ABCDEF", cnonce="c", `
	a, err := httpauth.ParseAuthorization(`digest username="u", realm="r", nonce="n", uri="/x", ` + rest + `qop="auth", nc="0000000a", algorithm="MD5", opaque="mine"`)
	if err != nil || a.Digest.Count != 10 || a.Digest.Algorithm != httpauth.MD5 || a.Digest.User != "u" {
		t.Fatalf("ParseAuthorization = %+v, %v", a, err)
	}
}

func TestMalformedCredentialsAreRefusedWithoutShowingThem(t *testing.T) {
	const good = `username="canary", realm="r", nonce="n", uri="/x", response="0123456789abcdef0123456789abcdef", cnonce="c", qop=auth, nc=00000001`
	if _, err := httpauth.ParseAuthorization("Digest " + good); err != nil {
		t.Fatal(err)
	}
	for what, header := range map[string]string{
		"no scheme":              "",
		"another scheme":         "Negotiate canary",
		"Basic without base64":   "Basic canary%",
		"Basic without colon":    "Basic Y2FuYXJ5",
		"Basic of 5000 bytes":    "Basic " + strings.Repeat("YWI6", 1250),
		"Bearer without token":   "Bearer",
		"Bearer with spaces":     "Bearer canary canary",
		"Bearer of 17 KiB":       "Bearer " + strings.Repeat("x", 17<<10),
		"Digest of 5000 bytes":   "Digest " + good + `, x="` + strings.Repeat("x", 5000) + `"`,
		"a parameter twice":      "Digest " + good + `, username="canary2"`,
		"no qop":                 "Digest " + strings.Replace(good, "qop=auth, ", "", 1),
		"qop=auth-int":           "Digest " + strings.Replace(good, "qop=auth", "qop=auth-int", 1),
		"nc of 0":                "Digest " + strings.Replace(good, "nc=00000001", "nc=00000000", 1),
		"nc with a sign":         "Digest " + strings.Replace(good, "nc=00000001", "nc=+0000001", 1),
		"nc of 9 digits":         "Digest " + strings.Replace(good, "nc=00000001", "nc=000000001", 1),
		"no cnonce":              "Digest " + strings.Replace(good, `cnonce="c", `, "", 1),
		"a short response":       "Digest " + strings.Replace(good, "0123", "", 1),
		"a response too long":    "Digest " + strings.Replace(good, "0123", "01234567", 1),
		"an unknown algorithm":   "Digest " + good + ", algorithm=SHA-512-256",
		"a session algorithm":    "Digest " + good + ", algorithm=MD5-sess",
		"an unterminated string": "Digest " + good + `, x="canary`,
		"no list":                "Digest canary",
	} {
		a, err := httpauth.ParseAuthorization(header)
		if !errors.Is(err, httpauth.ErrMalformed) || a != nil {
			t.Errorf("%s: ParseAuthorization = %+v, %v", what, a, err)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error shows what was sent: %v", what, err)
		}
	}
}

func TestBasicAndBearerAreReadAsSent(t *testing.T) {
	a, err := httpauth.ParseAuthorization(httpauth.Basic("", "p:w"))
	if err != nil || a.Scheme != httpauth.SchemeBasic || a.User != "" || a.Password != "p:w" {
		t.Errorf("Basic with an empty user: %+v, %v", a, err)
	}
	a, err = httpauth.ParseAuthorization("bearer  abc.def-_~+/==")
	if err != nil || a.Token != "abc.def-_~+/==" {
		t.Errorf("Bearer: %+v, %v", a, err)
	}
}

// RFC 7616, Section 5.5.
func TestANonceIsGoodForATimeAndEachCountOnce(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	n := httpauth.NewNonces(time.Minute, 10)
	nonce := n.New(at)
	for i, c := range []struct {
		count uint32
		after time.Duration
		good  bool
	}{
		{1, 0, true}, {1, 0, false}, {3, 0, true}, {2, 0, true}, {2, 0, false}, {0, 0, false},
		{100, 0, true}, {99, 0, true}, {37, 0, true}, {36, 0, false}, {100, 0, false},
		{1 << 31, 0, true}, {1<<32 - 1, 0, true}, {1<<32 - 1, 0, false}, {1<<32 - 64, 0, true}, {1<<32 - 65, 0, false},
		{1<<32 - 2, time.Minute, true}, {1<<32 - 3, time.Minute + 1, false},
	} {
		if got := n.Use(nonce, c.count, at.Add(c.after)); got != c.good {
			t.Errorf("use %d: Use(nc %d after %s) = %t", i, c.count, c.after, got)
		}
	}
	if other := httpauth.NewNonces(time.Minute, 10); other.Use(nonce, 1, at) {
		t.Error("a nonce of another process is good")
	}
	if n.Use(n.New(at.Add(2*time.Minute)), 1, at) {
		t.Error("a nonce from the future is good")
	}
}

func TestAForgedNonceIsNone(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	n := httpauth.NewNonces(time.Minute, 10)
	nonce := n.New(at)
	for i := range len(nonce) {
		for _, c := range []byte("A_") {
			if forged := nonce[:i] + string(c) + nonce[i+1:]; forged != nonce && n.Use(forged, 1, at) {
				t.Fatalf("a nonce with letter %d changed is good", i)
			}
		}
	}
	for _, forged := range []string{"", "x", nonce + "A", nonce[:len(nonce)-4], strings.Repeat("A", len(nonce))} {
		if n.Use(forged, 1, at) {
			t.Errorf("nonce %q is good", forged)
		}
	}
}

// Whatever is forgotten, no use of a nonce is good twice.
func TestForgettingNoncesForgetsNoUse(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	n := httpauth.NewNonces(time.Hour, 4)
	used := map[string]bool{}
	var nonces []string
	for i := range 100 {
		nonce := n.New(at.Add(time.Duration(i) * time.Second))
		nonces = append(nonces, nonce)
		for j := i; j >= 0 && j > i-20; j-- {
			if n.Use(nonces[j], 1, at.Add(time.Minute)) {
				if used[nonces[j]] {
					t.Fatalf("nonce %d was good twice", j)
				}
				used[nonces[j]] = true
			}
		}
		if !used[nonce] {
			t.Fatalf("nonce %d, the newest, is stale", i)
		}
	}
}

func TestAClientAnswersTheBestChallengeItMay(t *testing.T) {
	lines := []string{
		httpauth.BasicChallenge("r").String(), httpauth.DigestChallenge(httpauth.MD5, "r", "n1", false).String(),
		httpauth.DigestChallenge(httpauth.SHA256, "r", "n2", false).String(), httpauth.BearerChallenge("r", "").String(),
	}
	for _, c := range []struct {
		what   string
		client *httpauth.Client
		lines  []string
		want   string // begins with
	}{
		{"everything", &httpauth.Client{User: "u", Password: "p", Token: "t"}, lines, "Bearer t"},
		{"a password", &httpauth.Client{User: "u", Password: "p", AllowMD5: true}, lines, `Digest username="u", realm="r", nonce="n2"`},
		{"no SHA-256", &httpauth.Client{User: "u", Password: "p", AllowMD5: true}, lines[:2], `Digest username="u", realm="r", nonce="n1"`},
		{"MD5 not allowed", &httpauth.Client{User: "u", Password: "p"}, lines[:2], "Basic dTpw"},
		{"neither MD5 nor Basic", &httpauth.Client{User: "u", Password: "p", RefuseBasic: true}, lines[:2], ""},
		{"nothing", &httpauth.Client{}, lines, ""},
		{"an algorithm it does not know", &httpauth.Client{User: "u", AllowMD5: true}, []string{`Digest realm=r, nonce=n, qop=auth, algorithm=SHA-512-256`}, ""},
		{"no qop", &httpauth.Client{User: "u", AllowMD5: true}, []string{`Digest realm=r, nonce=n`}, ""},
		{"auth among others", &httpauth.Client{User: "u", AllowMD5: true}, []string{`Digest realm=r, nonce=n, qop="auth-int, auth"`}, "Digest"},
	} {
		chosen, err := c.client.Choose(httpauth.ParseChallenges(c.lines))
		if (err == nil) != (c.want != "") || err != nil && !errors.Is(err, httpauth.ErrNoChallenge) || (chosen == nil) != (err != nil) {
			t.Errorf("%s: Choose = %v, %v", c.what, chosen, err)
		}
		got := c.client.Authorization("POST", "/x")
		if !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: Authorization = %q, want %q", c.what, got, c.want)
		}
	}
}

func TestBothEndsUnderstandEachOther(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	for _, algorithm := range []httpauth.Algorithm{httpauth.MD5, httpauth.SHA256} {
		n := httpauth.NewNonces(time.Minute, 10)
		client := &httpauth.Client{User: `o"brien\`, Password: "p", AllowMD5: true}
		challenge := httpauth.DigestChallenge(algorithm, `the "realm"`, n.New(at), false)
		if _, err := client.Choose(httpauth.ParseChallenges([]string{challenge.String()})); err != nil {
			t.Fatal(err)
		}
		ha1 := httpauth.HA1(algorithm, client.User, `the "realm"`, "p")
		for use := uint32(1); use < 4; use++ {
			a, err := httpauth.ParseAuthorization(client.Authorization("POST", "/.well-known/est/simpleenroll"))
			if err != nil {
				t.Fatal(err)
			}
			d := a.Digest
			if d.Count != use || d.Algorithm != algorithm || !d.Matches(ha1, "POST") || !n.Use(d.Nonce, d.Count, at) {
				t.Errorf("%s, use %d: %+v is not right", algorithm, use, d)
			}
		}
	}
}

func FuzzParseChallenges(f *testing.F) {
	for _, s := range []string{
		`Basic realm="est"`, `Digest realm="x", qop="auth", nonce=n, algorithm=MD5`, `Negotiate abc==, Basic`, `a="`, `,,=,"\`, `Basic realm = "a\"b" , x`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got := httpauth.ParseChallenges([]string{line, line})
		if len(got) > 16 {
			t.Fatalf("%d challenges", len(got))
		}
		c := &httpauth.Client{User: "u", Password: "p", Token: "t", AllowMD5: true}
		if _, err := c.Choose(got); err == nil && strings.ContainsAny(c.Authorization("GET", "/"), "\r\n\x00") {
			t.Fatal("the answer breaks a line")
		}
	})
}

func FuzzParseAuthorization(f *testing.F) {
	f.Add(`Digest username="u", realm="r", nonce="n", uri="/", response="0123456789abcdef0123456789abcdef", cnonce="c", qop=auth, nc=00000001`)
	f.Add("Basic dTpw")
	f.Add("Bearer a.b.c")
	f.Fuzz(func(t *testing.T, header string) {
		a, err := httpauth.ParseAuthorization(header)
		if (a == nil) != (err != nil) {
			t.Fatalf("ParseAuthorization = %v, %v", a, err)
		}
		if a != nil && a.Digest != nil && (a.Digest.Count == 0 || a.Digest.Matches("x", "GET")) {
			t.Fatal("a Digest that nobody made matches")
		}
	})
}
