package admin

import (
	"context"
	"time"

	"github.com/briskest/briskest/registrar"
)

func quarantineOperations() []operation {
	return []operation{
		define(Operation{ID: "quarantine-list", Method: "GET", Path: "/quarantines", Role: Viewer, Summary: "List what is in quarantine, oldest first."}, (*api).listQuarantines),
		define(Operation{ID: "quarantine-place", Method: "POST", Path: "/quarantines", Role: Operator, Summary: "Bar devices by what they have in common, from the next request of any kind on."}, (*api).quarantine),
		define(Operation{ID: "quarantine-lift", Method: "POST", Path: "/quarantines/{quarantine}/lift", Role: Operator, Summary: "End a quarantine."}, (*api).lift),
	}
}

// Quarantine bars devices that have something in common.
type Quarantine struct {
	ID           string     `json:"id"`
	Kind         string     `json:"kind"`
	Manufacturer string     `json:"manufacturer,omitempty"`
	Value        string     `json:"value"`
	Reason       string     `json:"reason,omitempty"`
	By           string     `json:"by"`
	At           time.Time  `json:"at"`
	LiftedAt     *time.Time `json:"lifted_at,omitempty"`
	LiftedBy     string     `json:"lifted_by,omitempty"`
}

func quarantineOut(q *registrar.Quarantine) Quarantine {
	return Quarantine{q.ID, string(q.Kind), q.Manufacturer, q.Value, q.Reason, q.By, q.At, moment(q.LiftedAt), q.LiftedBy}
}

// QuarantineList asks for quarantines.
type QuarantineList struct {
	By
	All bool `query:"all" json:"-" doc:"those that were lifted, too"`
}

// Quarantines are those there are, oldest first.
type Quarantines struct {
	Quarantines []Quarantine `json:"quarantines"`
}

func (a *api) listQuarantines(ctx context.Context, in *QuarantineList) (*Quarantines, error) {
	list, err := a.s.Quarantines(ctx, in.Domain, in.All)
	return &Quarantines{each(list, quarantineOut)}, err
}

// PlaceQuarantine says what to bar.
type PlaceQuarantine struct {
	By
	Kind         string `json:"kind" required:"true" enum:"device,group,manufacturer,model,batch,firmware"`
	Manufacturer string `json:"manufacturer,omitempty" max:"512" doc:"of a model, batch or firmware; empty for any"`
	Value        string `json:"value" required:"true" max:"512" doc:"of a device its ID or serial number"`
	Reason       string `json:"reason,omitempty" max:"512"`
	DryRun       bool   `json:"dry_run,omitempty" doc:"only count the devices"`
}

// PlacedQuarantine is what a quarantine does.
type PlacedQuarantine struct {
	Quarantine Quarantine `json:"quarantine"`
	Devices    int        `json:"devices"` // on record now that it is about
}

func (a *api) quarantine(ctx context.Context, in *PlaceQuarantine) (*PlacedQuarantine, error) {
	out, err := a.s.Quarantine(ctx, &registrar.QuarantineRequest{
		Domain: in.Domain, Actor: in.Actor, Kind: registrar.QuarantineKind(in.Kind), Manufacturer: in.Manufacturer, Value: in.Value, Reason: in.Reason, DryRun: in.DryRun,
	})
	if err != nil {
		return nil, err
	}
	return &PlacedQuarantine{quarantineOut(out.Quarantine), out.Devices}, nil
}

// LiftQuarantine ends one.
type LiftQuarantine struct {
	By
	ID     string `path:"quarantine" json:"-" doc:"ID"`
	Reason string `json:"reason,omitempty" max:"512"`
}

func (a *api) lift(ctx context.Context, in *LiftQuarantine) (*Quarantine, error) {
	q, err := a.s.LiftQuarantine(ctx, &registrar.Lifting{Domain: in.Domain, Actor: in.Actor, ID: in.ID, Reason: in.Reason})
	if err != nil {
		return nil, err
	}
	out := quarantineOut(q)
	return &out, nil
}

// Quarantines lists what is in quarantine; with all what was, too.
func (c *Client) Quarantines(ctx context.Context, all bool) ([]Quarantine, error) {
	out, err := call[Quarantines](ctx, c, "quarantine-list", &QuarantineList{All: all})
	if err != nil {
		return nil, err
	}
	return out.Quarantines, nil
}

// PlaceQuarantine bars devices by what they have in common.
func (c *Client) PlaceQuarantine(ctx context.Context, in PlaceQuarantine) (*PlacedQuarantine, error) {
	return call[PlacedQuarantine](ctx, c, "quarantine-place", &in)
}

// LiftQuarantine ends a quarantine.
func (c *Client) LiftQuarantine(ctx context.Context, id, reason string) (*Quarantine, error) {
	return call[Quarantine](ctx, c, "quarantine-lift", &LiftQuarantine{ID: id, Reason: reason})
}
