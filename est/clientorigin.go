package est

import (
	"fmt"
	"net/http"
	"strings"
)

// Origin is scheme, host and port of the configured server, such as "https://est.example.com:8443".
func (c *Client) Origin() (string, error) {
	c.once.Do(c.prepare)
	if c.err != nil {
		return "", c.err
	}
	return strings.TrimSuffix(c.base[:strings.Index(c.base, PathPrefix)], "/"), nil
}

// Do sends a request of another protocol to the configured server, over the client's connections: the server is
// authenticated and authorized as for every operation, and the client shows Certificate. Another origin is
// [ErrRedirect], redirects and challenges are for the caller, and HTTP credentials are not sent. The caller bounds and
// closes the body.
func (c *Client) Do(r *http.Request) (*http.Response, error) {
	origin, err := c.Origin()
	if err != nil {
		return nil, err
	}
	if r.URL.Scheme+"://"+r.URL.Host != origin {
		return nil, fmt.Errorf("%w: %s is not at %s", ErrRedirect, r.URL.Redacted(), origin)
	}
	r.Header.Set("User-Agent", c.userAgent())
	response, err := c.do(r)
	if err != nil {
		return nil, withoutURL(err)
	}
	return response, nil
}
