package admin

import (
	"context"
	"iter"
	"time"

	"github.com/briskest/briskest/registrar"
)

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
	SerialNumber string `json:"serial_number"`
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
}

func (a *api) listCodes(ctx context.Context, in *Page) (*Codes, error) {
	list, err := a.s.ListCodes(ctx, in.Domain, in.After, in.Limit)
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
	})}, err
}

// CodeRef names a code by its serial number.
type CodeRef struct {
	By
	SerialNumber string `json:"serial_number"`
}

func (a *api) revokeCode(ctx context.Context, in *CodeRef) (*Nothing, error) {
	return &Nothing{}, a.s.RevokeCode(ctx, in.Domain, in.Actor, in.SerialNumber)
}

// AddCode makes a code that is good for that long; it replaces the one that the
// serial number had.
func (c *Client) AddCode(ctx context.Context, serialNumber string, expires time.Duration) (*NewCode, error) {
	return post[NewCode](ctx, c, "code-add", &AddCode{c.by(), serialNumber, int64(expires / time.Second)})
}

// Codes lists the codes in order of serial number.
func (c *Client) Codes(ctx context.Context) iter.Seq2[Code, error] {
	return pages(func(after string, limit int) ([]Code, error) {
		out, err := post[Codes](ctx, c, "code-list", &Page{c.by(), after, limit})
		if err != nil {
			return nil, err
		}
		return out.Codes, nil
	}, func(k *Code) string { return k.SerialNumber })
}

// RevokeCode ends the use of a serial number's code.
func (c *Client) RevokeCode(ctx context.Context, serialNumber string) error {
	_, err := post[Nothing](ctx, c, "code-revoke", &CodeRef{c.by(), serialNumber})
	return err
}
