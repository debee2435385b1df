package registrar

import (
	"context"
	"errors"
	"time"

	"github.com/briskest/briskest/est"
)

// ErrToken is what the error of a [VerifyToken] wraps when the token is at
// fault. Every other error says that it cannot be told now, and refuses too.
var ErrToken = errors.New("registrar: the token is not good")

// VerifyToken verifies a Bearer token (RFC 6750) at the given time; registrar/bearer
// has one for JSON Web Tokens. Its errors hold nothing of the token. Safe for
// concurrent use.
type VerifyToken func(ctx context.Context, token est.Secret, at time.Time) (*Token, error)

// Token is what a verified Bearer token says.
type Token struct {
	Name    string // what it may enroll, and nothing else
	Issuer  string
	Subject string
	ID      string // empty where the issuer gives none
}

// identifyBearer verifies a Bearer token.
func (s *Service) identifyBearer(ctx context.Context, c *Case, p *est.Peer) (*Identity, *Decision) {
	const rule = "bearer"
	t, err := c.Label.Tokens(ctx, p.Bearer, c.At)
	switch {
	case errors.Is(err, ErrToken):
		return nil, denyErr(ReasonBadToken, rule, err)
	case err != nil:
		return nil, &Decision{Reason: ReasonTokenUnknown, Rule: rule, RetryAfter: jitter(10 * time.Second), Err: err}
	case t == nil || t.Name == "" || len(t.Name) > maxUser:
		return nil, denyErr(ReasonBadToken, rule, errors.New("the token names no device"))
	}
	return &Identity{Kind: Bearer, Credential: "bearer:" + t.Name, User: t.Name, token: t}, nil
}
