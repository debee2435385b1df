package registrar_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/briskest/briskest/registrar"
)

// R24, RFC 9110, Section 11.6.1: curl 7.88 --digest, and all that libcurl expects to be challenged for, asks with an
// empty body first. It is challenged where HTTP credentials are taken, and told of the body otherwise.
func TestAnEmptyRequestWithoutCredentialsIsChallenged(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.settings.Labels["certs"] = &registrar.Label{Profile: h.profile("device"), Renewal: true}
		h.settings.Labels["digest"] = &registrar.Label{Profile: h.profile("device"), Digest: true}
	})
	url := h.serve()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: h.root.Pool()}}}
	t.Cleanup(client.CloseIdleConnections)
	for _, tt := range []struct {
		path, user string
		status     int
		challenge  string
	}{
		{"/simpleenroll", "", 401, "Basic "},
		{"/serverkeygen", "", 401, "Basic "},
		{"/digest/simpleenroll", "", 401, "Digest "},
		{"/certs/simpleenroll", "", 400, ""},
		{"/simplereenroll", "", 400, ""},
		{"/simpleenroll", group, 400, ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/.well-known/est"+tt.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/pkcs10")
		if tt.user != "" {
			r.SetBasicAuth(tt.user, h.passwords[tt.user].Reveal())
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if got := res.Header.Get("WWW-Authenticate"); res.StatusCode != tt.status || !strings.HasPrefix(got, tt.challenge) || tt.challenge == "" && got != "" {
			t.Errorf("POST %s as %q without a body: %d %q, want %d %q", tt.path, tt.user, res.StatusCode, got, tt.status, tt.challenge)
		}
	}
}
