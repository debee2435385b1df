package est

import (
	"net/http"

	"github.com/briskest/briskest/internal/httpauth"
)

// newAuth answers the challenges of one origin; nil when there is nothing to answer with.
func (c *Client) newAuth() *httpauth.Client {
	if c.User == "" && c.Password == "" && c.Token == "" {
		return nil
	}
	return &httpauth.Client{User: c.User, Password: c.Password.Reveal(), Token: c.Token.Reveal(), AllowMD5: c.AllowMD5}
}

// authenticate adds credentials in the way that the server asked for before; none before it did.
func (a *asking) authenticate(r *http.Request) {
	a.answered = false
	if a.auth == nil {
		return
	}
	if v := a.auth.Authorization(r.Method, r.URL.RequestURI()); v != "" {
		r.Header.Set("Authorization", v)
		a.answered = true
	}
}

// challenged reports whether to send the request once more, with the answer to res's challenges. Credentials that were
// refused are not sent again, unless all that was wrong is the age of a nonce (RFC 7616, Section 3.3).
func (a *asking) challenged(res *http.Response) bool {
	if a.auth == nil {
		return false
	}
	answered := a.answered
	chosen, err := a.auth.Choose(httpauth.ParseChallenges(res.Header.Values("WWW-Authenticate")))
	if err != nil {
		return false
	}
	if answered && (a.stale || !chosen.Stale()) {
		return false
	}
	a.stale = answered
	return true
}
