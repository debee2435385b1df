package brski_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/brski"
)

// late is a MASA that answers when the client has given up, and the connection
// is about to be closed: net/http returns such answers.
type late struct {
	status      int
	contentType string
	body        string
	inTime      bool // all but the end of the body
}

// RoundTrip implements http.RoundTripper.
func (l late) RoundTrip(r *http.Request) (*http.Response, error) {
	body := io.MultiReader(strings.NewReader(l.body), endOf{r.Context()})
	if !l.inTime {
		<-r.Context().Done()
	}
	return &http.Response{
		StatusCode: l.status, Header: http.Header{"Content-Type": {l.contentType}, "Location": {"https://masa.example/log"}},
		Body: io.NopCloser(body), ContentLength: -1, Request: r,
	}, nil
}

// endOf is the end of a body that comes when the context ends, and no error.
type endOf struct{ ctx context.Context }

func (e endOf) Read([]byte) (int, error) {
	<-e.ctx.Done()
	return 0, io.EOF
}

// R27; RFC 8995, Section 5.6: a MASA that said nothing in time has not answered. What a
// server says to the closing of the connection (net/http: 200 with nothing) is not held
// against the MASA, and the registrar asks again.
func TestAnAnswerAfterTheTimeIsNoAnswer(t *testing.T) {
	for what, l := range map[string]late{
		"200 with nothing": {status: 200}, "400": {status: 400}, "403": {status: 403, body: "no"}, "404": {status: 404}, "302": {status: 302},
		"201":     {status: 201},
		"2 MB":    {status: 200, contentType: cmsType, body: strings.Repeat("x", 2<<20)},
		"its end": {status: 200, contentType: cmsType, body: "half of a vouch", inTime: true},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &brski.MASAClient{URL: "https://masa.example", HTTP: &http.Client{Transport: l}, Timeout: 20 * time.Second}
				asks := map[string]func(context.Context) error{
					"RequestVoucher":  func(ctx context.Context) error { _, err := c.RequestVoucher(ctx, ask()); return err },
					"RequestAuditLog": func(ctx context.Context) error { _, err := c.RequestAuditLog(ctx, ask()); return err },
				}
				for name, do := range asks {
					if l.inTime && name == "RequestAuditLog" {
						continue // of another media type, which was seen in time
					}
					began := time.Now()
					err := do(t.Context())
					var e *brski.MASAError
					if !errors.As(err, &e) || e.Status != 0 || !errors.Is(err, brski.ErrMASAUnavailable) || time.Since(began) != c.Timeout {
						t.Errorf("%s = %v after %s, want ErrMASAUnavailable without a status", name, err, time.Since(began))
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) {
						t.Errorf("%s = %v, want the end of the caller's context", name, err)
					}
					cancel()
				}
			})
		})
	}
}
