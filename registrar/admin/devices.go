package admin

import (
	"context"
	"iter"

	"github.com/briskest/briskest/registrar"
)

func deviceOperations() []operation {
	return []operation{
		define(Operation{ID: "device-import", Method: "POST", Path: "/devices/import", Role: Operator, MaxBody: 32 << 20, Summary: "Bring devices into the inventory: all, or none when one has a problem."}, (*api).importDevices),
		define(Operation{ID: "device-list", Method: "GET", Path: "/devices", Role: Viewer, Summary: "List the inventory in order of ID."}, (*api).listDevices),
		define(Operation{ID: "device-show", Method: "GET", Path: "/devices/{device}", Role: Viewer, Summary: "One device with all that is on record about it."}, (*api).showDevice),
		define(Operation{ID: "device-why", Method: "GET", Path: "/devices/{device}/why", Role: Viewer, Summary: "Why a device got what it got, on record or not."}, (*api).why),
		define(Operation{ID: "device-state", Method: "PUT", Path: "/devices/{device}/state", Role: Operator, Of: "device-show", Summary: "Suspend, decommission or resume a device."}, (*api).setDeviceState),
	}
}

// ImportDevices brings devices into the inventory; see registrar.ImportRequest.
type ImportDevices struct {
	By
	Manufacturer string         `json:"manufacturer" required:"true"`
	Devices      []ImportDevice `json:"devices" max:"10000"`
	DryRun       bool           `json:"dry_run,omitempty"`
}

// ImportDevice is one device of an import.
type ImportDevice struct {
	SerialNumber string `json:"serial_number,omitempty"`
	IDevID       []byte `json:"idevid,omitempty"` // DER
	// Owner is whose it is, at a cloud registrar; "" for nobody's. Absent: as it was.
	Owner *string `json:"owner,omitempty"`
}

// Imported says what an import did. With problems nothing was imported.
type Imported struct {
	Added    int       `json:"added"`
	Known    int       `json:"known"`
	Given    int       `json:"given,omitempty"` // that have another owner now, at a cloud registrar
	Problems []Problem `json:"problems,omitempty"`
}

// Problem is one device that cannot be imported.
type Problem struct {
	Index        int    `json:"index"`
	SerialNumber string `json:"serial_number"`
	Text         string `json:"text"`
}

func (a *api) importDevices(ctx context.Context, in *ImportDevices) (*Imported, error) {
	r := &registrar.ImportRequest{Domain: in.Domain, Actor: in.Actor, Manufacturer: in.Manufacturer, DryRun: in.DryRun}
	for _, d := range in.Devices {
		r.Devices = append(r.Devices, registrar.ImportDevice{SerialNumber: d.SerialNumber, IDevID: d.IDevID, Owner: d.Owner})
	}
	result, err := a.s.ImportDevices(ctx, r)
	if err != nil && (result == nil || len(result.Problems) == 0) {
		return nil, err
	}
	out := &Imported{Added: result.Added, Known: result.Known, Given: result.Given}
	for _, p := range result.Problems {
		out.Problems = append(out.Problems, Problem{p.Index, p.SerialNumber, p.Text})
	}
	return out, nil
}

// Devices is a page of the inventory.
type Devices struct {
	Devices []Device `json:"devices"`
	Cursor
}

func (a *api) listDevices(ctx context.Context, in *Page) (*Devices, error) {
	list, next, err := paged(in, func(after string, limit int) ([]*registrar.Device, error) {
		return a.s.ListDevices(ctx, in.Domain, after, limit)
	}, func(d *registrar.Device) string { return d.ID })
	return &Devices{each(list, func(d *registrar.Device) Device { return deviceOut(d, false) }), next}, err
}

// Ref names a device by its ID or serial number.
type Ref struct {
	By
	Device string `path:"device" json:"-" doc:"ID or serial number"`
}

// DeviceView is a device with all that is on record about it.
type DeviceView struct {
	Device       Device        `json:"device"`
	Owner        string        `json:"owner,omitempty"` // at a cloud registrar
	Certificates []Certificate `json:"certificates"`
	Vouchers     []Voucher     `json:"vouchers"`
	Reports      []Report      `json:"telemetry"`
}

func (a *api) showDevice(ctx context.Context, in *Ref) (*DeviceView, error) {
	view, err := a.s.Device(ctx, in.Domain, in.Device)
	if err != nil {
		return nil, err
	}
	return &DeviceView{
		deviceOut(view.Device, true), view.Owner,
		each(view.Certificates, func(c *registrar.Certificate) Certificate { return certificateOut(c, true) }),
		each(view.Vouchers, voucherOut), each(view.Reports, reportOut),
	}, nil
}

// Explanation is why a device got what it got.
type Explanation struct {
	SerialNumber string    `json:"serial_number"`
	Devices      []Device  `json:"devices"`
	Pending      []Pending `json:"requests"`
	// Outstanding are issuances that another CA has not finished.
	Outstanding []Certificate `json:"outstanding"`
	Entries     []Entry       `json:"entries"` // oldest first
	WaysOut     []WayOut      `json:"ways_out,omitempty"`
}

func (a *api) why(ctx context.Context, in *Ref) (*Explanation, error) {
	why, err := a.s.Why(ctx, in.Domain, in.Device)
	if err != nil {
		return nil, err
	}
	return &Explanation{
		why.SerialNumber, each(why.Devices, func(d *registrar.Device) Device { return deviceOut(d, false) }),
		each(why.Pending, pendingOut), each(why.Outstanding, func(c *registrar.Certificate) Certificate { return certificateOut(c, false) }),
		each(why.Entries, entryOut), waysOut(why),
	}, nil
}

// DeviceState changes a device's state: "suspended", "decommissioned", or back.
type DeviceState struct {
	By
	Device string `path:"device" json:"-" doc:"ID or serial number"`
	State  string `json:"state" required:"true"`
	Reason string `json:"reason,omitempty" max:"1024"`
}

func (a *api) setDeviceState(ctx context.Context, in *DeviceState) (*Device, error) {
	d, err := a.s.SetDeviceState(ctx, &registrar.StateChange{
		Domain: in.Domain, Actor: in.Actor, Device: in.Device, State: registrar.DeviceState(in.State), Reason: in.Reason,
	})
	if err != nil {
		return nil, err
	}
	out := deviceOut(d, false)
	return &out, nil
}

// ImportDevices imports devices of a manufacturer: all, or, when the answer
// has problems, none. At most 10000 a call.
func (c *Client) ImportDevices(ctx context.Context, manufacturer string, devices []ImportDevice, dryRun bool) (*Imported, error) {
	return call[Imported](ctx, c, "device-import", &ImportDevices{Manufacturer: manufacturer, Devices: devices, DryRun: dryRun})
}

// Devices lists the inventory in order of ID.
func (c *Client) Devices(ctx context.Context) iter.Seq2[Device, error] {
	return pages(func(p Page) ([]Device, Cursor, error) {
		out, err := call[Devices](ctx, c, "device-list", &p)
		if err != nil {
			return nil, Cursor{}, err
		}
		return out.Devices, out.Cursor, nil
	})
}

// Device returns a device, by ID or serial number, with all that is on record about it.
func (c *Client) Device(ctx context.Context, ref string) (*DeviceView, error) {
	return call[DeviceView](ctx, c, "device-show", &Ref{Device: ref})
}

// Why returns why a device got what it got, on record or not.
func (c *Client) Why(ctx context.Context, ref string) (*Explanation, error) {
	return call[Explanation](ctx, c, "device-why", &Ref{Device: ref})
}

// SetDeviceState suspends, decommissions or resumes a device.
func (c *Client) SetDeviceState(ctx context.Context, ref, state, reason string) (*Device, error) {
	return call[Device](ctx, c, "device-state", &DeviceState{Device: ref, State: state, Reason: reason})
}
