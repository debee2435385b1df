package admin

import (
	"context"
	"iter"
	"time"

	"github.com/briskest/briskest/registrar"
)

func tokenOperations() []operation {
	return []operation{
		define(Operation{ID: "token-create", Method: "POST", Path: "/tokens", Role: Administrator, Secret: true, Summary: "Make a token for this API; it is shown this once."}, (*api).createToken),
		define(Operation{ID: "token-list", Method: "GET", Path: "/tokens", Role: Administrator, Summary: "List the tokens without what would let anybody use them."}, (*api).listTokens),
		define(Operation{ID: "token-revoke", Method: "POST", Path: "/tokens/{token}/revoke", Role: Administrator, Summary: "End a token's use at once."}, (*api).revokeToken),
	}
}

// CreateToken makes a token of one domain and role.
type CreateToken struct {
	By
	Name    string `json:"name" required:"true" max:"64"`
	Role    string `json:"role" required:"true" enum:"viewer,operator,auditor,administrator"`
	Seconds int64  `json:"seconds,omitempty" max:"31622400" doc:"how long it is good; 0 for 90 days"`
}

// NewToken is a token, shown this once.
type NewToken struct {
	Token
	Secret string `json:"secret"`
}

// Token is a token without its secret.
type Token struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	State     string    `json:"state"` // "good", "revoked" or "expired"
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	ExpiresAt time.Time `json:"expires_at"`
}

func tokenOut(t *registrar.APIToken, at time.Time) Token {
	out := Token{t.ID, t.Name, t.Role, "good", t.CreatedAt, t.CreatedBy, t.ExpiresAt}
	switch {
	case t.Revoked:
		out.State = "revoked"
	case !at.Before(t.ExpiresAt):
		out.State = "expired"
	}
	return out
}

func (a *api) createToken(ctx context.Context, in *CreateToken) (*NewToken, error) {
	secret, t, err := a.s.AddAPIToken(ctx, &registrar.NewAPIToken{
		Domain: in.Domain, Actor: in.Actor, Name: in.Name, Role: in.Role, Expires: time.Duration(in.Seconds) * time.Second,
	})
	if err != nil {
		return nil, err
	}
	return &NewToken{tokenOut(t, a.s.Now()), secret.Reveal()}, nil
}

// TokenList is a page of tokens in order of ID.
type TokenList struct {
	Tokens []Token `json:"tokens"`
	Cursor
}

func (a *api) listTokens(ctx context.Context, in *Page) (*TokenList, error) {
	list, next, err := paged(in, func(after string, limit int) ([]*registrar.APIToken, error) {
		return a.s.ListAPITokens(ctx, in.Domain, after, limit)
	}, func(t *registrar.APIToken) string { return t.ID })
	return &TokenList{each(list, func(t *registrar.APIToken) Token { return tokenOut(t, a.s.Now()) }), next}, err
}

// TokenRef names a token.
type TokenRef struct {
	By
	ID string `path:"token" json:"-"`
}

func (a *api) revokeToken(ctx context.Context, in *TokenRef) (*Token, error) {
	t, err := a.s.RevokeAPIToken(ctx, in.Domain, in.Actor, in.ID)
	if err != nil {
		return nil, err
	}
	out := tokenOut(t, a.s.Now())
	return &out, nil
}

// CreateToken makes a token.
func (c *Client) CreateToken(ctx context.Context, in CreateToken) (*NewToken, error) {
	return call[NewToken](ctx, c, "token-create", &in)
}

// Tokens lists the tokens in order of ID.
func (c *Client) Tokens(ctx context.Context) iter.Seq2[Token, error] {
	return pages(func(p Page) ([]Token, Cursor, error) {
		out, err := call[TokenList](ctx, c, "token-list", &p)
		if err != nil {
			return nil, Cursor{}, err
		}
		return out.Tokens, out.Cursor, nil
	})
}

// RevokeToken ends a token's use at once.
func (c *Client) RevokeToken(ctx context.Context, id string) (*Token, error) {
	return call[Token](ctx, c, "token-revoke", &TokenRef{ID: id})
}
