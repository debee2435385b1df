package admin

import (
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/briskest/briskest/registrar"
)

func deviceOperations() []operation {
	return []operation{
		define(Operation{ID: "device-import", Method: "POST", Path: "/devices/import", Role: Operator, MaxBody: 32 << 20, Summary: "Bring devices into the inventory: all, or none when one has a problem."}, (*api).importDevices),
		define(Operation{ID: "device-list", Method: "GET", Path: "/devices", Role: Viewer, Summary: "List devices by what they have. A page may be short although more follow: next says so."}, (*api).listDevices),
		define(Operation{ID: "device-show", Method: "GET", Path: "/devices/{device}", Role: Viewer, Summary: "One device with all that is on record about it."}, (*api).showDevice),
		define(Operation{ID: "device-why", Method: "GET", Path: "/devices/{device}/why", Role: Viewer, Summary: "Why a device got what it got, on record or not."}, (*api).why),
	}
}

// ImportDevices brings devices into the inventory; see registrar.ImportRequest.
type ImportDevices struct {
	By
	Manufacturer string         `json:"manufacturer" required:"true"`
	Devices      []ImportDevice `json:"devices" max:"10000"`
	DryRun       bool           `json:"dry_run,omitempty"`
	Checked      []byte         `json:"checked,omitempty" doc:"what a dry run of the same devices returned: signatures are not verified twice"`
	Origin       *ImportOrigin  `json:"origin,omitempty"`
}

// ImportOrigin says which rows of which file these are, for the trail.
type ImportOrigin struct {
	File   string `json:"file" max:"255"`
	Format string `json:"format" max:"32"`
	SHA256 []byte `json:"sha256"`    // of the file
	Rows   []byte `json:"rows_root"` // of the Merkle tree over these rows
	First  int    `json:"row"`       // of the file, from 1
	Count  int    `json:"rows"`
	Signer string `json:"signer,omitempty" max:"64" doc:"refused: manifests are imported by device-import-manifest"`
}

// ImportDevice is one device of an import.
type ImportDevice struct {
	SerialNumber string `json:"serial_number,omitempty"`
	IDevID       []byte `json:"idevid,omitempty"` // DER

	Model          string            `json:"model,omitempty"`
	Firmware       string            `json:"firmware,omitempty"`
	Batch          string            `json:"batch,omitempty"`
	HardwareModule string            `json:"hardware_module,omitempty"`
	SecureElement  string            `json:"secure_element,omitempty"`
	TPM            string            `json:"tpm,omitempty"`
	Attributes     map[string]string `json:"attributes,omitempty"`

	// Owner is whose it is, at a cloud registrar; "" for nobody's. Absent: as it was.
	Owner *string `json:"owner,omitempty"`
}

// Imported says what an import did. With problems nothing was imported.
type Imported struct {
	Added    int       `json:"added"`
	Known    int       `json:"known"`
	Changed  int       `json:"changed"`           // of these, have an IDevID or details now that they had not
	Checked  []byte    `json:"checked,omitempty"` // of a dry run
	Given    int       `json:"given,omitempty"`   // that have another owner now, at a cloud registrar
	Room     *int      `json:"room,omitempty"`    // of a dry run: for how many further devices the domain's quota has room; absent: any number
	Problems []Problem `json:"problems,omitempty"`
}

// Problem is one device that cannot be imported.
type Problem struct {
	Index        int    `json:"index"`
	SerialNumber string `json:"serial_number"`
	Text         string `json:"text"`
}

func (a *api) importDevices(ctx context.Context, in *ImportDevices) (*Imported, error) {
	r := &registrar.ImportRequest{
		Domain: in.Domain, Actor: in.Actor, Manufacturer: in.Manufacturer, DryRun: in.DryRun, Checked: in.Checked,
		Devices: each(in.Devices, func(d ImportDevice) registrar.ImportDevice { return registrar.ImportDevice(d) }),
	}
	if o := in.Origin; o != nil {
		if o.Signer != "" || o.Format == "manifest" {
			return nil, fmt.Errorf("origin: a manifest is imported whole, by device-import-manifest, which looks who signed it: %w", registrar.ErrInvalid)
		}
		if len(o.SHA256) != sha256.Size || len(o.Rows) != sha256.Size {
			return nil, fmt.Errorf("origin: hashes of %d and %d bytes; want %d: %w", len(o.SHA256), len(o.Rows), sha256.Size, registrar.ErrInvalid)
		}
		r.Origin = &registrar.ImportOrigin{
			File: o.File, Format: o.Format, SHA256: [32]byte(o.SHA256), Rows: [32]byte(o.Rows), First: o.First, Count: o.Count,
		}
	}
	result, err := a.s.ImportDevices(ctx, r)
	if err != nil && (result == nil || len(result.Problems) == 0) {
		return nil, err
	}
	out := &Imported{Added: result.Added, Known: result.Known, Changed: result.Changed, Checked: result.Checked, Given: result.Given, Room: result.Room}
	for _, p := range result.Problems {
		out.Problems = append(out.Problems, Problem{p.Index, p.SerialNumber, p.Text})
	}
	return out, nil
}

// DeviceList filters the inventory: devices that have all that is named.
type DeviceList struct {
	Page
	State          string    `query:"state" json:"-" enum:"expected,vouched,enrolled,suspended,decommissioned"`
	Manufacturer   string    `query:"manufacturer" json:"-" max:"256"`
	Group          string    `query:"group" json:"-" max:"256"`
	Model          string    `query:"model" json:"-" max:"128"`
	Firmware       string    `query:"firmware" json:"-" max:"128"`
	Batch          string    `query:"batch" json:"-" max:"128"`
	HardwareModule string    `query:"hardware_module" json:"-" max:"128" doc:"hwType, a colon and hwSerialNum in hex (RFC 4108, Section 5)"`
	SecureElement  string    `query:"secure_element" json:"-" max:"128"`
	TPM            string    `query:"tpm" json:"-" max:"128"`
	Attributes     []string  `query:"attribute" json:"-" max:"64" doc:"name=value; may be there several times"`
	SerialPrefix   string    `query:"serial_prefix" json:"-" max:"256" doc:"how the serial number begins"`
	SeenAfter      time.Time `query:"seen_after" json:"-"`
	SeenBefore     time.Time `query:"seen_before" json:"-" doc:"devices that were never seen are left out"`
	NeverSeen      bool      `query:"never_seen" json:"-"`
	WithIDevID     bool      `query:"idevid" json:"-" doc:"with the IDevIDs"`
}

// Devices is a page of the inventory.
type Devices struct {
	Devices []Device `json:"devices"`
	Cursor
}

func (in *DeviceList) query() (*registrar.DeviceQuery, error) {
	q := &registrar.DeviceQuery{
		Domain: in.Domain, State: registrar.DeviceState(in.State), Manufacturer: in.Manufacturer, Group: in.Group, Model: in.Model, Firmware: in.Firmware,
		Batch: in.Batch, HardwareModule: in.HardwareModule, SecureElement: in.SecureElement, TPM: in.TPM, SerialPrefix: in.SerialPrefix,
		SeenAfter: in.SeenAfter, SeenBefore: in.SeenBefore, NeverSeen: in.NeverSeen, WithIDevID: in.WithIDevID, After: in.Cursor, Limit: in.size(),
	}
	for _, text := range in.Attributes {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("attribute %.100q; want name=value: %w", text, registrar.ErrInvalid)
		}
		if q.Attributes == nil {
			q.Attributes = make(map[string]string)
		}
		q.Attributes[name] = value
	}
	return q, nil
}

func (a *api) listDevices(ctx context.Context, in *DeviceList) (*Devices, error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	page, err := a.s.QueryDevices(ctx, q)
	if err != nil {
		return nil, err
	}
	return &Devices{each(page.Devices, func(d *registrar.Device) Device { return deviceOut(d, in.WithIDevID) }), Cursor{page.Next}}, nil
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
	Slots        []Slot        `json:"slots"` // the certificates again, by what they are for
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
		each(view.Slots, slotOut), each(view.Vouchers, voucherOut), each(view.Reports, reportOut),
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

// ImportDevices imports devices of a manufacturer: all, or, when the answer
// has problems, none. At most 10000 a call.
func (c *Client) ImportDevices(ctx context.Context, manufacturer string, devices []ImportDevice, dryRun bool) (*Imported, error) {
	return c.Import(ctx, &ImportDevices{Manufacturer: manufacturer, Devices: devices, DryRun: dryRun})
}

// Import is ImportDevices with all that can be said of it; in's By is filled in.
func (c *Client) Import(ctx context.Context, in *ImportDevices) (*Imported, error) {
	return call[Imported](ctx, c, "device-import", in)
}

// ImportRequest is [registrar.Service.ImportDevices] over the API.
func (c *Client) ImportRequest(ctx context.Context, r *registrar.ImportRequest) (*registrar.ImportResult, error) {
	in := &ImportDevices{
		Manufacturer: r.Manufacturer, DryRun: r.DryRun, Checked: r.Checked,
		Devices: each(r.Devices, func(d registrar.ImportDevice) ImportDevice { return ImportDevice(d) }),
	}
	if o := r.Origin; o != nil {
		in.Origin = &ImportOrigin{File: o.File, Format: o.Format, SHA256: o.SHA256[:], Rows: o.Rows[:], First: o.First, Count: o.Count, Signer: o.Signer}
	}
	out, err := c.Import(ctx, in)
	if err != nil {
		return nil, err
	}
	result := &registrar.ImportResult{Added: out.Added, Known: out.Known, Changed: out.Changed, Given: out.Given, Checked: out.Checked, Room: out.Room}
	for _, p := range out.Problems {
		result.Problems = append(result.Problems, registrar.ImportProblem(p))
	}
	return result, nil
}

// Devices lists the whole inventory.
func (c *Client) Devices(ctx context.Context) iter.Seq2[Device, error] {
	return c.QueryDevices(ctx, DeviceList{})
}

// QueryDevices lists devices by what they have; in's By and Page are filled in.
func (c *Client) QueryDevices(ctx context.Context, in DeviceList) iter.Seq2[Device, error] {
	return pages(func(p Page) ([]Device, Cursor, error) {
		in.Page = p
		out, err := call[Devices](ctx, c, "device-list", &in)
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
