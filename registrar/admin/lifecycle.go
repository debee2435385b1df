package admin

import (
	"context"
	"encoding/json"

	"github.com/briskest/briskest/registrar"
)

func lifecycleOperations() []operation {
	return []operation{
		define(Operation{ID: "device-suspend", Method: "POST", Path: "/devices/{device}/suspend", Role: Operator, Of: "device-show", Summary: "Take a device out of service: it authenticates nothing until it is resumed."}, (*api).suspend),
		define(Operation{ID: "device-resume", Method: "POST", Path: "/devices/{device}/resume", Role: Operator, Of: "device-show", Summary: "Put a suspended device back into service, as what it was."}, (*api).resume),
		define(Operation{ID: "device-decommission", Method: "POST", Path: "/devices/{device}/decommission", Role: Operator, Of: "device-show", Summary: "Have a device leave: its certificates are revoked, and a signed receipt says so."}, (*api).decommission),
		define(Operation{ID: "device-readmit", Method: "POST", Path: "/devices/{device}/readmit", Role: Operator, Of: "device-show", Summary: "Let a decommissioned device onboard again, from the start."}, (*api).readmit),
	}
}

// DeviceChange changes a device's state.
type DeviceChange struct {
	By
	Device string `path:"device" json:"-" doc:"ID or serial number"`
	Reason string `json:"reason,omitempty" max:"512"`
}

func (in *DeviceChange) change() *registrar.StateChange {
	return &registrar.StateChange{Domain: in.Domain, Actor: in.Actor, Device: in.Device, Reason: in.Reason}
}

func (a *api) suspend(ctx context.Context, in *DeviceChange) (*Device, error) {
	return changed(a.s.Suspend(ctx, in.change()))
}

func (a *api) resume(ctx context.Context, in *DeviceChange) (*Device, error) {
	return changed(a.s.Resume(ctx, in.change()))
}

func (a *api) readmit(ctx context.Context, in *DeviceChange) (*Device, error) {
	return changed(a.s.Readmit(ctx, in.change()))
}

func changed(d *registrar.Device, err error) (*Device, error) {
	if err != nil {
		return nil, err
	}
	out := deviceOut(d, false)
	return &out, nil
}

// Decommission has a device leave.
type Decommission struct {
	By
	Device string `path:"device" json:"-" doc:"ID or serial number"`
	Reason string `json:"reason,omitempty" max:"512"`
	To     string `json:"to,omitempty" max:"512" doc:"who has the device from now on"`
}

// Decommissioned is a device that left, and the receipt for it.
type Decommissioned struct {
	Device Device `json:"device"`
	// Receipt is a JWS in JSON (RFC 7515, Section 7.2.1) by the registrar's key.
	Receipt json.RawMessage `json:"receipt"`
}

func (a *api) decommission(ctx context.Context, in *Decommission) (*Decommissioned, error) {
	out, err := a.s.Decommission(ctx, &registrar.Decommissioning{Domain: in.Domain, Actor: in.Actor, Device: in.Device, Reason: in.Reason, To: in.To})
	if err != nil {
		return nil, err
	}
	return &Decommissioned{deviceOut(out.Device, false), out.Signed}, nil
}

// Suspend takes a device out of service.
func (c *Client) Suspend(ctx context.Context, ref, reason string) (*Device, error) {
	return call[Device](ctx, c, "device-suspend", &DeviceChange{Device: ref, Reason: reason})
}

// Resume puts a suspended device back into service.
func (c *Client) Resume(ctx context.Context, ref, reason string) (*Device, error) {
	return call[Device](ctx, c, "device-resume", &DeviceChange{Device: ref, Reason: reason})
}

// Readmit lets a decommissioned device onboard again.
func (c *Client) Readmit(ctx context.Context, ref, reason string) (*Device, error) {
	return call[Device](ctx, c, "device-readmit", &DeviceChange{Device: ref, Reason: reason})
}

// Decommission has a device leave.
func (c *Client) Decommission(ctx context.Context, in Decommission) (*Decommissioned, error) {
	return call[Decommissioned](ctx, c, "device-decommission", &in)
}
