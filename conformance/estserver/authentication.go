package estserver

import (
	"context"
	"fmt"
	"net/http"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/est"
)

// authentication: who is asked, and how (RFC 7030, Sections 3.2.3 and 3.3.2).
func authentication() []check {
	return in("RFC 7030, Section 3.2.3",
		check{
			ID: "RFC7030-3.2.3-1", Level: must,
			Text:         "an enrollment without credentials is answered 401 with a challenge where passwords are taken, and is refused anywhere",
			Requirements: rows("EST-7030-3.2.3-06", "EST-7030-4.2-03"), Run: runChallenge,
		},
	)
}

func runChallenge(ctx context.Context, t *Target) error {
	_, csr, err := t.plainCSR()
	if err != nil {
		return err
	}
	a, err := t.post(ctx, est.OpSimpleEnroll, nobody(), encode(csr))
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
