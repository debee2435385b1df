package bearer

import (
	"context"
	"time"

	"github.com/briskest/briskest/est"
)

// maxValues bounds the values of a claim that are looked at.
const maxValues = 256

// Values verifies a token as Verify does, and returns whom it names and the values of one claim, which is a string or
// a list of strings; none where it is something else.
func (v *Verifier) Values(ctx context.Context, token est.Secret, claim string, at time.Time) (name string, values []string, err error) {
	good, err := v.Verify(ctx, token, at)
	if err != nil {
		return "", nil, err
	}
	t, err := v.open(token.Reveal())
	if err != nil {
		return "", nil, err
	}
	c, err := object(t.payload)
	if err != nil {
		return "", nil, bad("its payload is no JSON object with each member once")
	}
	values = c.texts(claim)
	return good.Name, values[:min(len(values), maxValues)], nil
}
