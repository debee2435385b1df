package estca_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/estca"
)

// A server that repeats what it is sent does not bring a password into a log or on record.
func TestAPasswordThatTheServerRepeatsIsSaidNowhere(t *testing.T) {
	const password = `canary"4711\horse`
	for _, status := range []int{200, 202, 302, 400, 401, 403, 404, 409, 500, 503} {
		for _, pad := range []int{0, 170, 185, 385} {
			f := newFake(t)
			echo := &catest.Echo{Status: status, Pad: pad, Also: []string{password}}
			server := httptest.NewUnstartedServer(echo)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{f.certify("EST server", nil)}, ClientAuth: tls.RequestClientCert}
			server.StartTLS()
			t.Cleanup(server.Close)
			var said catest.Overheard
			config := f.config()
			config.Server.URL, config.Server.User, config.Server.Password = server.URL, "registrar", password
			config.FullCMC, config.Log = true, said.Log()
			issuer := f.issuerAs(config)
			r, _ := f.request("one")
			_, err := issuer.Issue(t.Context(), r)
			said.Error(err)
			said.Error(issuer.Revoke(t.Context(), &ca.Revoked{Raw: f.ra.Certificate[0]}))
			_, err = estca.Learn(t.Context(), &config.Server, "", []*x509.Certificate{f.Root})
			said.Error(err)
			said.Hides(t, password, "registrar:"+password)
		}
	}
}
