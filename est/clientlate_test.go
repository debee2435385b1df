package est_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/briskest/briskest/est"
)

// RFC 7030, Section 4.1.3: net/http returns what comes while it closes the connection at
// the end of a context, such as the empty 200 of a server in Go to that closing. It says
// nothing about the server, and a 404 or 204 not that it has no attributes.
func TestAnAnswerAfterTheEndOfTheContextIsNoAnswer(t *testing.T) {
	for _, status := range []int{200, 202, 204, 302, 401, 404, 503} {
		ctx, cancel := context.WithCancel(t.Context())
		closing := roundTripper(func(r *http.Request) (*http.Response, error) {
			cancel()
			return reply{status: status}.RoundTrip(r)
		})
		c := &est.Client{URL: "https://est.example", HTTP: &http.Client{Transport: closing}}
		if _, err := c.CSRAttrs(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("CSRAttrs, answered %d: %v, want context.Canceled", status, err)
		}
	}
}
