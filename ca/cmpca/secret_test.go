package cmpca_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/internal/cmp"
)

// A CA that writes the shared secret into its answers brings it into no error. It is never sent,
// but the CA knows it.
func TestASharedSecretThatTheCAWritesIsSaidNowhere(t *testing.T) {
	const secret = "correct horse battery staple"
	for _, pad := range []int{0, 170, 185, 195} {
		text := strings.Repeat("x", pad) + secret + ` registrar-7:` + secret
		for _, kind := range []cmp.Kind{cmp.P10CR, cmp.RR} {
			for _, failure := range []cmp.Failure{cmp.BadRequest, cmp.SystemFailure, cmp.BadMessageCheck} {
				h := newHouse(t).byMAC(true)
				failing(kind, cmp.Rejection, failure, text)(h)
				said := ask(t, h)
				said.Hides(t, secret)
			}
		}
		h := newHouse(t).byMAC(false)
		h.ca.Fail(catest.Waits)
		h.ca.Reply = func(_ *cmp.Message, r *catest.CMPReply) {
			r.Body = cmp.NewPollRep(cmp.Poll{RequestID: -1, Reason: []string{text}})
		}
		ask(t, h).Hides(t, secret)
		for _, status := range []int{200, 400, 500} {
			h = newHouse(t).byMAC(true)
			server := httptest.NewServer(&catest.Echo{Status: status, Also: []string{text}, Shape: func(text string) (string, []byte) {
				return "text/" + strings.ReplaceAll(text, " ", "-"), []byte(text)
			}})
			h.settings.URL = server.URL
			ask(t, h).Hides(t, secret)
			server.Close()
		}
	}
}

// ask issues and revokes, and returns what was said.
func ask(t *testing.T, h *house) *catest.Overheard {
	t.Helper()
	said := new(catest.Overheard)
	issuer := h.issuer()
	_, err := issuer.Issue(t.Context(), h.request("one"))
	said.Error(err)
	said.Error(issuer.Revoke(t.Context(), &ca.Revoked{Raw: h.ca.RA.Raw}))
	return said
}
