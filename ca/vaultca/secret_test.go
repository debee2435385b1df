package vaultca_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/vaultca"
)

// A Vault that repeats what it is sent brings no token and no secret ID into a log or on record.
func TestWhatVaultRepeatsOfASecretIsSaidNowhere(t *testing.T) {
	const wrapping, secretID, token = "hvs.canary-wrapping-0815", "canary-secret-id-4711", "hvs.canary-token-3141592"
	give := func(text string) func() (string, error) { return func() (string, error) { return text, nil } }
	granted := func(w http.ResponseWriter) {
		answer(w, 200, map[string]any{"auth": map[string]any{"client_token": token, "lease_duration": 3600, "renewable": true}, "data": map[string]any{"ttl": 3600, "secret_id": secretID}})
	}
	for name, c := range map[string]struct {
		login vaultca.Login
		good  string // end of the paths that go well
		sent  []string
	}{
		"a token":                 {vaultca.Login{Token: give(token)}, "lookup-self", []string{token}},
		"a refused token":         {vaultca.Login{Token: give(token)}, "none", []string{token}},
		"an AppRole":              {vaultca.Login{RoleID: roleID, SecretID: give(secretID)}, "login", []string{secretID, token}},
		"a refused AppRole":       {vaultca.Login{RoleID: roleID, SecretID: give(secretID)}, "none", []string{secretID}},
		"a wrapped secret ID":     {vaultca.Login{RoleID: roleID, SecretID: give(wrapping), Wrapped: true}, "unwrap", []string{wrapping, secretID}},
		"a refused wrapped token": {vaultca.Login{RoleID: roleID, SecretID: give(wrapping), Wrapped: true}, "none", []string{wrapping}},
	} {
		for _, status := range []int{200, 302, 400, 401, 403, 404, 412, 429, 500, 503} {
			for _, pad := range []int{0, 180, 190} {
				f := newFake(t)
				echo := &catest.Echo{Status: status, Pad: pad, Also: c.sent}
				echo.Shape = func(text string) (string, []byte) {
					body, err := json.Marshal(map[string]any{"errors": []string{text}, "data": text})
					if err != nil {
						t.Error(err)
					}
					return "application/json", body
				}
				echo.Except = func(w http.ResponseWriter, r *http.Request) bool {
					good := strings.HasSuffix(r.URL.Path, c.good)
					if good {
						granted(w)
					}
					return good
				}
				server := httptest.NewUnstartedServer(echo)
				server.TLS = &tls.Config{Certificates: []tls.Certificate{f.certificate()}}
				server.StartTLS()
				t.Cleanup(server.Close)
				var said catest.Overheard
				issuer := f.issuer(func(conf *vaultca.Config) { conf.URL, conf.Login, conf.Log = server.URL, c.login, said.Log() })
				said.Error(issue(t, issuer))
				said.Error(issuer.Revoke(t.Context(), &ca.Revoked{Raw: f.certificate().Certificate[0]}))
				said.Error(issuer.Check(t.Context()))
				if text := echo.Sent(); !strings.Contains(text, c.sent[0]) {
					t.Fatalf("%s: the secret was not sent in %s", name, text)
				}
				said.Hides(t, c.sent...)
			}
		}
	}
}
