package admin_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/admin"
	"github.com/briskest/briskest/registrar/baseline"
	"github.com/briskest/briskest/registrar/groups"
	"github.com/briskest/briskest/registrar/policy"
	"github.com/briskest/briskest/registrar/storetest"
)

// house is two domains over one store, and an API that is reached from elsewhere.
type house struct {
	store   *storetest.Memory
	domains map[string]*admin.Domain
	methods *admin.Methods
	remote  *admin.Handler
	root    *testpki.Identity
	now     time.Time
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{store: storetest.NewMemory(), domains: map[string]*admin.Domain{}, root: testpki.NewRoot(t, "root"), now: time.Now()}
	p, err := profile.New(profile.Device())
	check(t, err)
	for _, name := range []string{"north", "south"} {
		root := testpki.NewRoot(t, name)
		issuer, err := localca.New(localca.Config{Certificate: root.Certificate, Key: root.Key, Profiles: map[string]*profile.Profile{"device": p}})
		check(t, err)
		s, err := registrar.New(registrar.Config{
			Store: h.store, Issuer: issuer, Policy: policy.Decide, Now: func() time.Time { return h.now },
			CompileGroups: func(document []byte) (registrar.Grouping, error) { return groups.Compile(document) },
			Baselines:     baseline.Maker{}, Events: &eventsOf{name, h.store},
			Settings: &registrar.Settings{
				Version: "1", Domain: name, Labels: map[string]*registrar.Label{"": {Profile: policy.Profile(p), Basic: true, Codes: true, Renewal: true}},
			},
		})
		check(t, err)
		t.Cleanup(s.Close)
		h.domains[name] = &admin.Domain{Service: s}
	}
	h.methods = &admin.Methods{Now: func() time.Time { return h.now }}
	h.remote = admin.NewHandler(admin.Config{
		Domains:      func() map[string]*admin.Domain { return h.domains },
		Host:         func(name string) bool { return name == "api.example" },
		Authenticate: admin.Remote(func() map[string]*admin.Domain { return h.domains }, func() *admin.Methods { return h.methods }),
	})
	return h
}

// operator is a client in a domain, as on the machine itself.
func (h *house) operator(domain string) *admin.Client {
	c := admin.NewInProcess(admin.NewHandler(admin.Config{
		Domains: func() map[string]*admin.Domain { return h.domains }, Authenticate: admin.Local("cli:test"), TellCauses: true,
	}), "cli:test")
	c.Domain = domain
	return c
}

func (h *house) token(t *testing.T, domain string, role admin.Role) *admin.NewToken {
	t.Helper()
	made, err := h.operator(domain).CreateToken(t.Context(), admin.CreateToken{Name: string(role), Role: string(role)})
	check(t, err)
	return made
}

// ask sends a request to the API from elsewhere.
func (h *house) ask(t *testing.T, method, path, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "https://api.example"+path, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	}
	if method != http.MethodGet {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	h.remote.ServeHTTP(w, r)
	return w
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Add(name, value) }
}

func bearer(token string) func(*http.Request) { return header("Authorization", "Bearer "+token) }

func reason(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var e admin.Error
	if w.Code >= 400 {
		check(t, json.Unmarshal(w.Body.Bytes(), &e))
	}
	return e.Reason
}

// pathOf fills an operation's parameters in.
func pathOf(o *admin.Operation, domain string, objects map[string]string) string {
	parts := strings.Split(o.Path, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			value := objects[name]
			if value == "" {
				value = "some-" + name
			}
			parts[i] = value
		}
	}
	return "/api/v1/domains/" + domain + strings.Join(parts, "/")
}

// objects fills a domain with one of everything that paths name, and returns their names.
func (h *house) objects(t *testing.T, domain string) map[string]string {
	t.Helper()
	c := h.operator(domain)
	_, err := c.AddCredential(t.Context(), admin.AddCredential{User: domain + "-user"})
	check(t, err)
	code, err := c.AddCode(t.Context(), domain+"-code", time.Hour)
	check(t, err)
	device := &registrar.Device{ID: registrar.NewID(h.now), Domain: domain, SerialNumber: domain + "-device", State: registrar.Expected, Source: "import", CreatedAt: h.now}
	pending := &registrar.Pending{ID: registrar.NewID(h.now), Domain: domain, Kind: registrar.PendingVoucher, Key: domain, SerialNumber: device.SerialNumber, State: registrar.StateWaiting, FirstAt: h.now, LastAt: h.now}
	check(t, h.store.Commit(t.Context(), &registrar.Change{PutDevices: []*registrar.Device{device}, PutPending: []*registrar.Pending{pending}}))
	barred, err := c.PlaceQuarantine(t.Context(), admin.PlaceQuarantine{Kind: "batch", Value: domain + "-batch"})
	check(t, err)
	token := h.token(t, domain, admin.Viewer)
	return map[string]string{"user": domain + "-user", "serial_number": code.SerialNumber, "device": device.ID, "request": pending.ID, "token": token.ID, "quarantine": barred.Quarantine.ID}
}

// R8 and issue 6, point 3: every operation of the API on another domain's object, by every role of every kind of principal, is refused as
// if there were no such thing, and nothing changes. The table is that of the code: a new operation is in it by itself.
func TestNoOperationReachesAnotherDomain(t *testing.T) {
	h := newHouse(t)
	h.objects(t, "north")
	south := h.objects(t, "south")
	tokens := map[admin.Role]string{}
	for _, role := range admin.Roles() {
		tokens[role] = h.token(t, "north", role).Secret
	}
	before := h.trail(t, "south")
	tried := 0
	for _, o := range admin.Operations() {
		for role, token := range tokens {
			// The domain of the path is another's; and the domain is one's own, the object another's.
			w := h.ask(t, o.Method, pathOf(&o, "south", south), body(&o), bearer(token))
			if w.Code != http.StatusNotFound || reason(t, w) != "not-found" {
				t.Errorf("%s as %s of another domain: %d %s, want 404 not-found", o.ID, role, w.Code, w.Body)
			}
			tried++
			if !strings.Contains(o.Path, "{") {
				continue
			}
			w = h.ask(t, o.Method, pathOf(&o, "north", south), body(&o), bearer(token))
			if w.Code < 400 && !harmless(w.Body.String(), south) {
				t.Errorf("%s as %s on another domain's object: %d %s", o.ID, role, w.Code, w.Body)
			}
			tried++
		}
	}
	if after := h.trail(t, "south"); after != before {
		t.Errorf("the other domain's trail has %d entries more", after-before)
	}
	for _, role := range admin.Roles() {
		w := h.ask(t, http.MethodGet, "/api/v1/domains", "", bearer(tokens[role]))
		if strings.Contains(w.Body.String(), "south") {
			t.Errorf("%s sees another domain: %s", role, w.Body)
		}
	}
	t.Logf("%d operations, %d requests across domains", len(admin.Operations()), tried)
}

// harmless tells whether an answer says nothing of the objects: what is not on record has an empty history.
func harmless(answer string, objects map[string]string) bool {
	for what, name := range objects {
		if what != "device" && what != "serial_number" && strings.Contains(answer, name) {
			return false
		}
	}
	return !strings.Contains(answer, `"state":"expected"`)
}

// body is a request that would be taken, as far as that can be said without knowing the operation.
func body(o *admin.Operation) string {
	if o.Method == http.MethodGet {
		return ""
	}
	return `{}`
}

func (h *house) trail(t *testing.T, domain string) int {
	t.Helper()
	entries, err := h.operator(domain).Trail(t.Context(), "", 0, 10000)
	check(t, err)
	return len(entries)
}

// Issue 6, point 10: each operation by each role; what a role does not cover is refused before the request is read.
func TestEveryRoleDoesWhatItCoversAndNothingElse(t *testing.T) {
	covers := map[admin.Role][]admin.Role{
		admin.Viewer: {admin.Viewer}, admin.Operator: {admin.Viewer, admin.Operator}, admin.Auditor: {admin.Viewer, admin.Auditor},
		admin.Administrator: admin.Roles(),
	}
	h := newHouse(t)
	objects := h.objects(t, "north")
	for have, covered := range covers {
		token := h.token(t, "north", have).Secret
		for _, o := range admin.Operations() {
			w := h.ask(t, o.Method, pathOf(&o, "north", objects), "not read", bearer(token), header("Content-Type", "text/plain"))
			refused := w.Code == http.StatusForbidden && reason(t, w) == "role-required"
			if want := !slices.Contains(covered, o.Role); refused != want {
				t.Errorf("%s, which needs %s, as %s: %d %s", o.ID, o.Role, have, w.Code, w.Body)
			}
			if w.Code == http.StatusOK {
				t.Errorf("%s as %s took a body that is none", o.ID, have)
			}
		}
	}
}

// R16, R17 and issue 6, point 10: the table of attacks on the API.
func TestAttacksOnTheAPI(t *testing.T) {
	h := newHouse(t)
	objects := h.objects(t, "north")
	admn, viewer := h.token(t, "north", admin.Administrator), h.token(t, "north", admin.Viewer)
	revoked, old := h.token(t, "north", admin.Administrator), h.token(t, "north", admin.Administrator)
	if _, err := h.operator("north").RevokeToken(t.Context(), revoked.ID); err != nil {
		t.Fatal(err)
	}
	const at = "/api/v1/domains/north"
	suspend := at + "/devices/" + objects["device"] + "/suspend"
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	rows := []struct {
		what, method, path, body string
		change                   []func(*http.Request)
		status                   int
		reason                   string
	}{
		{"no credentials", "GET", at + "/status", "", nil, 401, "not-authenticated"},
		{"no credentials, a path that is none", "GET", "/api/v1/domains/x/y", "", nil, 401, "not-authenticated"},
		{"no credentials for the document", "GET", "/api/v1/openapi.json", "", nil, 401, "not-authenticated"},
		{"an empty token", "GET", at + "/status", "", []func(*http.Request){header("Authorization", "Bearer ")}, 401, "not-authenticated"},
		{"a token with another last letter", "GET", at + "/status", "", []func(*http.Request){bearer(admn.Secret[:len(admn.Secret)-1] + "-")}, 401, "not-authenticated"},
		{"another token's ID before the secret", "GET", at + "/status", "", []func(*http.Request){bearer("bkt_" + viewer.ID + admn.Secret[20:])}, 401, "not-authenticated"},
		{"a revoked token", "GET", at + "/status", "", []func(*http.Request){bearer(revoked.Secret)}, 401, "not-authenticated"},
		{"Basic", "GET", at + "/status", "", []func(*http.Request){header("Authorization", "Basic "+admn.Secret)}, 401, "not-authenticated"},
		{"two Authorizations", "GET", at + "/status", "", []func(*http.Request){bearer(admn.Secret), bearer(viewer.Secret)}, 401, "not-authenticated"},
		{"a token in the query", "GET", at + "/status?access_token=" + admn.Secret, "", nil, 401, "not-authenticated"},
		{"a token in a cookie", "GET", at + "/status", "", []func(*http.Request){header("Cookie", "token="+admn.Secret)}, 401, "not-authenticated"},
		{"a viewer suspends", "POST", suspend, `{"reason":"lost"}`, []func(*http.Request){bearer(viewer.Secret)}, 403, "role-required"},
		{"a page of another site", "POST", suspend, `{"reason":"lost"}`, []func(*http.Request){bearer(admn.Secret), header("Origin", "https://evil.example")}, 403, "browser-origin"},
		{"a page without an origin", "POST", suspend, `{"reason":"lost"}`, []func(*http.Request){bearer(admn.Secret), header("Origin", "null")}, 403, "browser-origin"},
		{"a link of another site", "GET", at + "/status", "", []func(*http.Request){bearer(admn.Secret), header("Sec-Fetch-Site", "cross-site")}, 403, "browser-origin"},
		{"a form", "POST", suspend, `{"reason":"lost"}`, []func(*http.Request){bearer(admn.Secret), func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }}, 415, "media-type"},
		{"no media type", "POST", suspend, `{"reason":"lost"}`, []func(*http.Request){bearer(admn.Secret), func(r *http.Request) { r.Header.Del("Content-Type") }}, 415, "media-type"},
		{"a packed body", "POST", suspend, "x", []func(*http.Request){bearer(admn.Secret), header("Content-Encoding", "gzip")}, 415, "media-type"},
		{"a preflight", "OPTIONS", suspend, "", []func(*http.Request){bearer(admn.Secret), header("Origin", "https://evil.example")}, 403, "browser-origin"},
		{"DNS rebinding", "GET", at + "/status", "", []func(*http.Request){bearer(admn.Secret), host("evil.example")}, 421, "unknown-host"},
		{"a name that begins well", "GET", at + "/status", "", []func(*http.Request){bearer(admn.Secret), host("api.example.evil.example")}, 421, "unknown-host"},
		{"no name", "GET", at + "/status", "", []func(*http.Request){bearer(admn.Secret), host("")}, 421, "unknown-host"},
		{"another method", "DELETE", at + "/status", "", []func(*http.Request){bearer(admn.Secret)}, 405, "method-not-allowed"},
		{"a method by header", "GET", suspend, "", []func(*http.Request){bearer(admn.Secret), header("X-Http-Method-Override", "POST")}, 405, "method-not-allowed"},
		{"dots", "GET", "/api/v1/domains/south/../north/status", "", []func(*http.Request){bearer(admn.Secret)}, 404, "not-found"},
		{"encoded dots", "GET", "/api/v1/domains/south/%2e%2e/north/status", "", []func(*http.Request){bearer(admn.Secret)}, 404, "not-found"},
		{"an encoded slash", "GET", "/api/v1/domains/north%2Fstatus", "", []func(*http.Request){bearer(admn.Secret)}, 404, "not-found"},
		{"a doubled slash", "GET", at + "//status", "", []func(*http.Request){bearer(admn.Secret)}, 404, "not-found"},
		{"a slash at the end", "GET", at + "/status/", "", []func(*http.Request){bearer(admn.Secret)}, 404, "not-found"},
		{"another case", "GET", at + "/Status", "", []func(*http.Request){bearer(admn.Secret)}, 404, "not-found"},
		{"encoded letters", "GET", at + "/%73tatus", "", []func(*http.Request){bearer(admn.Secret)}, 404, "not-found"},
		{"a semicolon", "GET", at + "/status;x=y", "", []func(*http.Request){bearer(admn.Secret)}, 404, "not-found"},
		{"a NUL", "GET", at + "/devices/%00", "", []func(*http.Request){bearer(admn.Secret)}, 404, "not-found"},
		{"a domain in another case", "GET", "/api/v1/domains/North/status", "", []func(*http.Request){bearer(admn.Secret)}, 404, "not-found"},
		{"an actor in the body", "POST", suspend, `{"reason":"lost","actor":"cli:root"}`, []func(*http.Request){bearer(admn.Secret)}, 400, "invalid"},
		{"a domain in the body", "POST", suspend, `{"reason":"lost","domain":"south"}`, []func(*http.Request){bearer(admn.Secret)}, 400, "invalid"},
		{"an old ETag", "POST", suspend, `{"reason":"lost"}`, []func(*http.Request){bearer(admn.Secret), header("If-Match", `"x"`)}, 412, "changed"},
		{"an address before the token is known", "GET", at + "/status", "", []func(*http.Request){header("X-Forwarded-For", "127.0.0.1"), header("X-Remote-User", "root")}, 401, "not-authenticated"},
	}
	for _, r := range rows {
		w := h.ask(t, r.method, r.path, r.body, r.change...)
		verdict := "refused"
		if w.Code != r.status || reason(t, w) != r.reason {
			verdict = "WRONG"
			t.Errorf("%s: %d %s, want %d %s", r.what, w.Code, w.Body, r.status, r.reason)
		}
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") || name == "Set-Cookie" || name == "Location" {
				t.Errorf("%s: the answer has %s", r.what, name)
			}
		}
		if strings.Contains(w.Body.String(), admn.Secret[20:]) {
			t.Errorf("%s: the answer repeats the token", r.what)
		}
		t.Logf("%-40s %d %-20s %s", r.what, w.Code, r.reason, verdict)
	}
	h.now = h.now.Add(91 * 24 * time.Hour)
	if w := h.ask(t, "GET", at+"/status", "", bearer(old.Secret)); w.Code != http.StatusUnauthorized {
		t.Errorf("an expired token: %d", w.Code)
	}
}

// R16: no answer has a link or name that follows the Host header, which is either one of the server's or refused.
func TestNoAnswerFollowsTheHostHeader(t *testing.T) {
	h := newHouse(t)
	objects := h.objects(t, "north")
	token := h.token(t, "north", admin.Administrator).Secret
	for _, o := range admin.Operations() {
		if o.Method != http.MethodGet {
			continue
		}
		w := h.ask(t, o.Method, pathOf(&o, "north", objects), "", bearer(token), header("X-Forwarded-Host", "evil.example"), header("Forwarded", "host=evil.example"),
			func(r *http.Request) { r.Host = "api.example:8443" })
		for name, values := range w.Header() {
			if strings.Contains(strings.Join(values, " "), "evil.example") || strings.Contains(strings.Join(values, " "), "8443") {
				t.Errorf("%s: %s: %v", o.ID, name, values)
			}
		}
		if text := w.Body.String(); strings.Contains(text, "evil.example") || strings.Contains(text, "8443") {
			t.Errorf("%s: %s", o.ID, text)
		}
	}
}

func TestAnIdempotencyKeyIsDoneOnceForItsPrincipalAndRequest(t *testing.T) {
	h := newHouse(t)
	objects := h.objects(t, "north")
	a, b := h.token(t, "north", admin.Administrator), h.token(t, "north", admin.Operator)
	key := header("Idempotency-Key", "k-1")
	deny := "/api/v1/domains/north/requests/" + objects["request"] + "/deny"
	first := h.ask(t, "POST", deny, `{"reason":"no"}`, bearer(a.Secret), key)
	if first.Code != http.StatusOK {
		t.Fatalf("first: %d %s", first.Code, first.Body)
	}
	before := h.trail(t, "north")
	again := h.ask(t, "POST", deny, `{"reason":"no"}`, bearer(a.Secret), key)
	if again.Code != http.StatusOK || again.Body.String() != first.Body.String() || again.Header().Get("Idempotent-Replayed") != "true" {
		t.Errorf("again: %d %s", again.Code, again.Body)
	}
	if n := h.trail(t, "north"); n != before {
		t.Errorf("the replay put %d entries on the trail", n-before)
	}
	if w := h.ask(t, "POST", deny, `{"reason":"yes"}`, bearer(a.Secret), key); reason(t, w) != "idempotency-key-reused" {
		t.Errorf("with another body: %d %s", w.Code, w.Body)
	}
	if w := h.ask(t, "POST", "/api/v1/domains/north/requests/"+objects["request"]+"/approve", `{"reason":"no"}`, bearer(a.Secret), key); reason(t, w) != "idempotency-key-reused" {
		t.Errorf("for another operation: %d %s", w.Code, w.Body)
	}
	if w := h.ask(t, "POST", deny, `{"reason":"no"}`, bearer(b.Secret), key); w.Header().Get("Idempotent-Replayed") != "" {
		t.Errorf("somebody else got the answer: %d %s", w.Code, w.Body)
	}
	add := func(user string) *httptest.ResponseRecorder {
		return h.ask(t, "POST", "/api/v1/domains/north/credentials", `{"user":"`+user+`"}`, bearer(a.Secret), header("Idempotency-Key", "k-2"))
	}
	secret := add("once")
	var made admin.NewCredential
	check(t, json.Unmarshal(secret.Body.Bytes(), &made))
	if w := add("once"); reason(t, w) != "idempotency-key-spent" || strings.Contains(w.Body.String(), made.Secret) {
		t.Errorf("a secret again: %d %s", w.Code, w.Body)
	}
	if w := add("twice"); w.Code < 400 {
		t.Errorf("another user under the same key: %d", w.Code)
	}
	// A refusal is not kept: the key is good for the next try.
	if w := h.ask(t, "POST", "/api/v1/domains/north/requests/none/deny", `{}`, bearer(a.Secret), header("Idempotency-Key", "k-3")); w.Code != http.StatusNotFound {
		t.Errorf("a refusal: %d", w.Code)
	}
	if w := h.ask(t, "POST", deny, `{}`, bearer(a.Secret), header("Idempotency-Key", "k-3")); w.Code != http.StatusOK {
		t.Errorf("after a refusal: %d %s", w.Code, w.Body)
	}
}

func TestIfMatchHoldsAChangeToWhatTheClientSaw(t *testing.T) {
	h := newHouse(t)
	objects := h.objects(t, "north")
	token := h.token(t, "north", admin.Operator).Secret
	at := "/api/v1/domains/north/devices/" + objects["device"]
	tag := h.ask(t, "GET", at, "", bearer(token)).Header().Get("ETag")
	if w := h.ask(t, "GET", at, "", bearer(token), header("If-None-Match", tag)); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
		t.Errorf("If-None-Match: %d %s", w.Code, w.Body)
	}
	set := func() int {
		return h.ask(t, "POST", at+"/suspend", `{"reason":"lost"}`, bearer(token), header("If-Match", tag)).Code
	}
	if code := set(); code != http.StatusOK {
		t.Errorf("the first change: %d", code)
	}
	if code := set(); code != http.StatusPreconditionFailed {
		t.Errorf("the second change, which saw what was before the first: %d, want 412", code)
	}
}

func TestACertificateIsGoodByItsWholeKeyUnderTheAnchors(t *testing.T) {
	h := newHouse(t)
	good := h.root.Client(t, "good")
	server := h.root.Server(t, "server")
	unlisted := h.root.Client(t, "unlisted")
	foreign := testpki.NewRoot(t, "root").Client(t, "foreign")
	h.methods.Anchors, h.methods.Certificates = h.root.Pool(), map[string]admin.Grant{}
	for _, c := range []*x509.Certificate{good.Certificate, server.Certificate, foreign.Certificate} {
		sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
		h.methods.Certificates[hex.EncodeToString(sum[:])] = admin.Grant{Name: "ann", Roles: map[string]admin.Role{"north": admin.Viewer}}
	}
	show := func(c *x509.Certificate) func(*http.Request) {
		return func(r *http.Request) { r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}} }
	}
	for what, row := range map[string]struct {
		cert   *x509.Certificate
		status int
	}{"good": {good.Certificate, 200}, "a server's": {server.Certificate, 401}, "not listed": {unlisted.Certificate, 401}, "another CA's": {foreign.Certificate, 401}} {
		if w := h.ask(t, "GET", "/api/v1/domains/north/status", "", show(row.cert)); w.Code != row.status {
			t.Errorf("%s: %d %s, want %d", what, w.Code, w.Body, row.status)
		}
	}
	if w := h.ask(t, "GET", "/api/v1/domains/north/status", "", show(good.Certificate), bearer("bkt_0000000000000000_x")); w.Code != 401 {
		t.Errorf("a good certificate with a bad token: %d, want 401", w.Code)
	}
}

func TestTheClaimsOfATokenGiveTheRolesByDomain(t *testing.T) {
	h := newHouse(t)
	h.methods.Tokens = []admin.TokenGrants{{
		Roles: map[string]map[string]admin.Role{"ops": {"north": admin.Operator}, "staff": {"north": admin.Viewer, "south": admin.Viewer}},
		Verify: func(_ context.Context, token est.Secret, _ time.Time) (string, []string, error) {
			if name, groups, ok := strings.Cut(token.Reveal(), "|"); ok {
				return name, strings.Split(groups, "+"), nil
			}
			return "", nil, errors.New("bad")
		},
	}}
	for token, want := range map[string]map[string]admin.Role{
		"ann|ops+staff": {"north": admin.Operator, "south": admin.Viewer}, "bob|staff": {"north": admin.Viewer, "south": admin.Viewer}, "eve|other": {},
	} {
		w := h.ask(t, "GET", "/api/v1/domains", "", bearer(token))
		var list admin.DomainList
		check(t, json.Unmarshal(w.Body.Bytes(), &list))
		got := map[string]admin.Role{}
		for _, d := range list.Domains {
			got[d.Name] = d.Role
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", token, got, want)
		}
	}
	if w := h.ask(t, "GET", "/api/v1/domains", "", bearer("forged")); w.Code != 401 {
		t.Errorf("a token that is none: %d", w.Code)
	}
}
