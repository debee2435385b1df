package admin

import (
	"context"
	"iter"
	"time"

	"github.com/briskest/briskest/registrar"
)

func codeOperations() []operation {
	return []operation{
		define(Operation{ID: "code-add", Method: "POST", Path: "/codes", Role: Operator, Secret: true, Summary: "Make a one-time code for a serial number; it is shown this once."}, (*api).addCode),
		define(Operation{ID: "code-list", Method: "GET", Path: "/codes", Role: Viewer, Summary: "List the codes, without what would let anybody use them, in order of serial number."}, (*api).listCodes),
		define(Operation{ID: "code-revoke", Method: "POST", Path: "/codes/{serial_number}/revoke", Role: Operator, Summary: "End the use of a serial number's code."}, (*api).revokeCode),
	}
}

// Code is a one-time enrollment code, without what would let anybody use it.
type Code struct {
	SerialNumber string     `json:"serial_number"`
	State        string     `json:"state"` // "good", "spent", "revoked" or "expired"
	CreatedAt    time.Time  `json:"created_at"`
	ExpiresAt    time.Time  `json:"expires_at"`
	SpentAt      *time.Time `json:"spent_at,omitempty"`
}

// AddCode makes a code for a serial number.
type AddCode struct {
	By
	SerialNumber string `json:"serial_number" required:"true"`
	Seconds      int64  `json:"seconds,omitempty"` // how long it is good; 0 for seven days
}

// NewCode is a code, shown this once.
type NewCode struct {
	SerialNumber string    `json:"serial_number"`
	Code         string    `json:"code"`
	ExpiresAt    time.Time `json:"expires_at"`
}

func (a *api) addCode(ctx context.Context, in *AddCode) (*NewCode, error) {
	const most = int64(1<<63-1) / int64(time.Second)
	r := &registrar.NewCode{Domain: in.Domain, Actor: in.Actor, SerialNumber: in.SerialNumber}
	r.Expires = time.Duration(min(max(in.Seconds, -1), most)) * time.Second
	secret, k, err := a.s.AddCode(ctx, r)
	if err != nil {
		return nil, err
	}
	return &NewCode{k.SerialNumber, secret.Reveal(), k.ExpiresAt}, nil
}

// Codes is a page of codes in order of serial number.
type Codes struct {
	Codes []Code `json:"codes"`
	Cursor
}

func (a *api) listCodes(ctx context.Context, in *Page) (*Codes, error) {
	list, next, err := paged(in, func(after string, limit int) ([]*registrar.Code, error) {
		return a.s.ListCodes(ctx, in.Domain, after, limit)
	}, func(k *registrar.Code) string { return k.SerialNumber })
	at := a.s.Now()
	return &Codes{each(list, func(k *registrar.Code) Code {
		out := Code{SerialNumber: k.SerialNumber, State: "good", CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt}
		switch {
		case k.Revoked:
			out.State = "revoked"
		case k.Spent():
			out.State, out.SpentAt = "spent", &k.SpentAt
		case !at.Before(k.ExpiresAt):
			out.State = "expired"
		}
		return out
	}), next}, err
}

// CodeRef names a code by its serial number.
type CodeRef struct {
	By
	SerialNumber string `path:"serial_number" json:"-"`
}

func (a *api) revokeCode(ctx context.Context, in *CodeRef) (*Nothing, error) {
	return &Nothing{}, a.s.RevokeCode(ctx, in.Domain, in.Actor, in.SerialNumber)
}

// AddCode makes a code that is good for that long; it replaces the one that the
// serial number had.
func (c *Client) AddCode(ctx context.Context, serialNumber string, expires time.Duration) (*NewCode, error) {
	return call[NewCode](ctx, c, "code-add", &AddCode{SerialNumber: serialNumber, Seconds: int64(expires / time.Second)})
}

// Codes lists the codes in order of serial number.
func (c *Client) Codes(ctx context.Context) iter.Seq2[Code, error] {
	return pages(func(p Page) ([]Code, Cursor, error) {
		out, err := call[Codes](ctx, c, "code-list", &p)
		if err != nil {
			return nil, Cursor{}, err
		}
		return out.Codes, out.Cursor, nil
	})
}

// RevokeCode ends the use of a serial number's code.
func (c *Client) RevokeCode(ctx context.Context, serialNumber string) error {
	_, err := call[Nothing](ctx, c, "code-revoke", &CodeRef{SerialNumber: serialNumber})
	return err
}
