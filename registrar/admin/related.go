package admin

import (
	"context"

	"github.com/briskest/briskest/registrar"
)

func relatedOperations() []operation {
	return []operation{
		define(Operation{ID: "device-related", Method: "GET", Path: "/devices/{device}/related", Role: Viewer, Summary: "What a device has in common with others, and who they are."}, (*api).related),
	}
}

// Commonality is something that a device has in common with others.
type Commonality struct {
	Of      string   `json:"of"` // key, credential, issuer, group, manufacturer, model, batch, firmware, secure-element, tpm or hardware-module
	Value   string   `json:"value"`
	Devices int      `json:"devices"` // that have it, this one included; 100000 may be more
	Serials []string `json:"others"`  // serial numbers of the first others
}

// Related is all that a device has in common with others.
type Related struct {
	Common []Commonality `json:"common"`
}

func (a *api) related(ctx context.Context, in *Ref) (*Related, error) {
	list, err := a.s.Related(ctx, in.Domain, in.Device)
	return &Related{each(list, func(c *registrar.Commonality) Commonality { return Commonality{c.Of, c.Value, c.Devices, c.Serials} })}, err
}

// Related returns what a device has in common with others.
func (c *Client) Related(ctx context.Context, ref string) ([]Commonality, error) {
	out, err := call[Related](ctx, c, "device-related", &Ref{Device: ref})
	if err != nil {
		return nil, err
	}
	return out.Common, nil
}
