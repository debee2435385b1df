package admin

import (
	"context"

	"github.com/briskest/briskest/registrar"
)

func requestOperations() []operation {
	return []operation{
		define(Operation{ID: "request-list", Method: "GET", Path: "/requests", Role: Viewer, Summary: "List requests for a decision, newest first."}, (*api).listRequests),
		define(Operation{ID: "request-approve", Method: "POST", Path: "/requests/{request}/approve", Role: Operator, Summary: "Let a request through when the device asks again."}, (*api).approve),
		define(Operation{ID: "request-deny", Method: "POST", Path: "/requests/{request}/deny", Role: Operator, Summary: "Refuse a request."}, (*api).deny),
	}
}

// RequestList filters requests by state: "waiting", "approved", "denied", or all.
type RequestList struct {
	By
	State string `query:"state" json:"-" doc:"waiting, approved or denied; empty for all"`
	Limit int    `query:"limit" json:"-" max:"10000"`
}

// Requests are requests, newest first.
type Requests struct {
	Requests []Pending `json:"requests"`
}

func (a *api) listRequests(ctx context.Context, in *RequestList) (*Requests, error) {
	list, err := a.s.ListPending(ctx, in.Domain, in.State, in.Limit)
	return &Requests{each(list, pendingOut)}, err
}

// Verdict decides about a request.
type Verdict struct {
	By
	ID     string `path:"request" json:"-" doc:"ID"`
	Reason string `json:"reason,omitempty" max:"1024" doc:"told to the device when denied"`
}

func (a *api) approve(ctx context.Context, in *Verdict) (*Pending, error) {
	return decided(a.s.Approve(ctx, &registrar.Verdicting{Domain: in.Domain, Actor: in.Actor, ID: in.ID, Reason: in.Reason}))
}

func (a *api) deny(ctx context.Context, in *Verdict) (*Pending, error) {
	return decided(a.s.Deny(ctx, &registrar.Verdicting{Domain: in.Domain, Actor: in.Actor, ID: in.ID, Reason: in.Reason}))
}

func decided(p *registrar.Pending, err error) (*Pending, error) {
	if err != nil {
		return nil, err
	}
	out := pendingOut(p)
	return &out, nil
}

// Requests lists requests in a state ("" for all), newest first.
func (c *Client) Requests(ctx context.Context, state string) ([]Pending, error) {
	out, err := call[Requests](ctx, c, "request-list", &RequestList{State: state, Limit: maxLimit})
	if err != nil {
		return nil, err
	}
	return out.Requests, nil
}

// Approve lets a request through when the device asks again.
func (c *Client) Approve(ctx context.Context, id, reason string) (*Pending, error) {
	return call[Pending](ctx, c, "request-approve", &Verdict{ID: id, Reason: reason})
}

// Deny refuses a request; the device is told the reason.
func (c *Client) Deny(ctx context.Context, id, reason string) (*Pending, error) {
	return call[Pending](ctx, c, "request-deny", &Verdict{ID: id, Reason: reason})
}
