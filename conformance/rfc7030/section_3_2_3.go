package rfc7030

import (
	"context"
	"fmt"
	"net/http"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/est"
)

func checkChallenge() conformance.Check {
	return conformance.Check{
		ID:       "RFC7030-3.2.3-1",
		Citation: "RFC 7030, Section 3.2.3",
		Text:     "an enrollment without credentials is answered 401 with a challenge where passwords are taken, and is refused anywhere",
		Role:     conformance.RoleESTServer,
		Level:    conformance.Must,
		Run:      runChallenge,
	}
}

func runChallenge(ctx context.Context, t *conformance.Target) error {
	c, err := newCandidate(t)
	if err != nil {
		return err
	}
	a, err := c.enroll(ctx, t, conformance.Nobody)
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusUnauthorized && a.Header.Get("WWW-Authenticate") == "":
		// RFC 9110, Section 15.5.2: a 401 names at least one challenge.
		return fmt.Errorf("%v without a WWW-Authenticate header, so that clients cannot know how to authenticate", a)
	case a.Status == http.StatusUnauthorized:
		return nil
	case !a.Refused():
		return fmt.Errorf("%v to a client that is nobody, want 401", a)
	case t.Password == "":
		return conformance.Skip("%v: a server that takes no passwords may; give a user and password if this one does", a)
	default:
		return fmt.Errorf("%v, want 401: clients send their password when they are asked to", a)
	}
}

// enroll sends the candidate's CSR to simpleenroll.
func (c *candidate) enroll(ctx context.Context, t *conformance.Target, as conformance.Credentials) (*conformance.Answer, error) {
	return t.Do(ctx, &conformance.Request{
		Method: http.MethodPost, Path: path(t, est.OpSimpleEnroll), ContentType: typePKCS10, Body: c.body(), As: as,
	})
}
