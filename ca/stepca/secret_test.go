package stepca_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/stepca"
)

// A step-ca that repeats what it is sent brings no token into a log or on record.
func TestATokenThatStepCARepeatsIsSaidNowhere(t *testing.T) {
	tokens := regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`)
	for _, status := range []int{200, 201, 302, 400, 401, 403, 404, 409, 500, 503} {
		for _, pad := range []int{0, 20, 190} {
			f := newFake(t)
			echo := &catest.Echo{Status: status, Pad: pad, Shape: func(text string) (string, []byte) {
				body, err := json.Marshal(map[string]string{"message": tokens.FindString(text) + " " + text, "status": text, "crt": text})
				if err != nil {
					t.Error(err)
				}
				return "application/json", body
			}}
			server := httptest.NewUnstartedServer(echo)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{f.serverCertificate()}}
			server.StartTLS()
			t.Cleanup(server.Close)
			var said catest.Overheard
			config := f.config()
			config.URL, config.Log = server.URL, said.Log()
			issuer, err := stepca.New(config)
			if err != nil {
				t.Fatal(err)
			}
			o := newOrder(t, nil)
			_, err = issuer.Issue(t.Context(), &o.Request)
			said.Error(err)
			said.Error(issuer.Revoke(t.Context(), &ca.Revoked{Raw: f.Sign(&catest.Wish{PublicKey: f.key.Public(), RawSubject: f.Root.RawSubject, NotAfter: f.Root.NotAfter})}))
			said.Error(issuer.Check(t.Context()))
			sent := tokens.FindAllString(echo.Sent(), -1)
			if len(sent) == 0 {
				t.Fatal("no token was sent")
			}
			said.Hides(t, sent...)
		}
	}
}
