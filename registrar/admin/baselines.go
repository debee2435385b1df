package admin

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"iter"
	"time"

	"github.com/briskest/briskest/registrar"
)

// BaselineChange is a baseline document to apply, or a version to go back to; see
// registrar.BaselineChange.
type BaselineChange struct {
	By
	Group    string          `json:"group" max:"64" doc:"empty: of the domain, for devices whose group has none"`
	Document json.RawMessage `json:"document,omitempty"`
	Rollback int64           `json:"rollback,omitempty"` // in place of a document
	Base     *int64          `json:"base,omitempty"`     // the version that it was made on
	Note     string          `json:"note,omitempty"`
}

// BaselineRef names a version of a group's baseline; 0 for the newest.
type BaselineRef struct {
	By
	Group   string `query:"group" json:"-" max:"64" doc:"empty: the domain's"`
	Version int64  `query:"version" json:"-"`
}

// BaselineVersion is one version of a group's baseline.
type BaselineVersion struct {
	Group    string          `json:"group"` // empty: the domain's
	Version  int64           `json:"version"`
	At       time.Time       `json:"at"`
	Actor    string          `json:"actor"`
	Note     string          `json:"note,omitempty"`
	Of       int64           `json:"rolled_back_to,omitempty"`
	Document json.RawMessage `json:"document,omitempty"` // not in lists
}

// BaselineVersions are versions of one group's baseline, or the newest of each group.
type BaselineVersions struct {
	Baselines []BaselineVersion `json:"baselines"`
}

// BaselineList asks for a page of a group's versions.
type BaselineList struct {
	By
	Group  string `query:"group" json:"-" max:"64" doc:"empty: the domain's"`
	Before int64  `query:"before" json:"-" doc:"version; 0 for the newest"`
	Limit  int    `query:"limit" json:"-" max:"10000"`
}

// BaselineCount is how many devices were given a version last, and said the same of it.
type BaselineCount struct {
	Group   string `json:"group"`
	Version int64  `json:"version"`
	Status  string `json:"status"` // empty: nothing yet
	Devices int    `json:"devices"`
}

// BaselineCounts are all of them.
type BaselineCounts struct {
	Counts []BaselineCount `json:"counts"`
}

// BaselineDevices asks which baseline devices are to have, and have.
type BaselineDevices struct {
	Page
	Group        string `query:"group" json:"-" max:"256" doc:"that the record has them in"`
	SerialPrefix string `query:"serial_prefix" json:"-" max:"256" doc:"how the serial number begins"`
}

// DeviceBaseline is which baseline a device is to have, and has.
type DeviceBaseline struct {
	ID             string     `json:"id"`
	SerialNumber   string     `json:"serial_number"`
	Manufacturer   string     `json:"manufacturer,omitempty"`
	Group          string     `json:"group"`
	State          string     `json:"state"` // none, never, outdated, unacknowledged, received, applied, failed
	WantedGroup    string     `json:"wanted_group"`
	WantedVersion  int64      `json:"wanted_version"` // 0: there is none for it
	HasGroup       string     `json:"has_group"`
	HasVersion     int64      `json:"has_version"`    // 0: it was never given any
	DeviceVersion  int64      `json:"device_version"` // its own number, in what it was given
	SHA256         string     `json:"sha256,omitempty"`
	DeliveredAt    *time.Time `json:"delivered_at,omitempty"`
	AcknowledgedAt *time.Time `json:"acknowledged_at,omitempty"`
	Message        string     `json:"message,omitempty"`
}

// DeviceBaselines is a page of them.
type DeviceBaselines struct {
	Devices []DeviceBaseline `json:"devices"`
	Cursor
}

func baselineOperations() []operation {
	return []operation{
		define(Operation{ID: "baseline-apply", Method: "POST", Path: "/baselines", Role: Administrator, Summary: "Make a document the newest baseline of a group, or go back to a version."}, (*api).applyBaseline),
		define(Operation{ID: "baseline-list", Method: "GET", Path: "/baselines", Role: Viewer, Summary: "The newest version of each group's baseline."}, (*api).listBaselines),
		define(Operation{ID: "baseline-show", Method: "GET", Path: "/baselines/document", Role: Viewer, Summary: "A version of a group's baseline."}, (*api).showBaseline),
		define(Operation{ID: "baseline-versions", Method: "GET", Path: "/baselines/versions", Role: Viewer, Summary: "The versions of a group's baseline, the newest first."}, (*api).baselineVersions),
		define(Operation{ID: "baseline-counts", Method: "GET", Path: "/baselines/counts", Role: Viewer, Summary: "How many devices were given which version last, and what they said of it."}, (*api).baselineCounts),
		define(Operation{ID: "baseline-devices", Method: "GET", Path: "/baselines/devices", Role: Viewer, Summary: "Which baseline devices are to have, and have. A page may be short although more follow: next says so."}, (*api).baselineDevices),
		define(Operation{ID: "baseline-device", Method: "GET", Path: "/devices/{device}/baseline", Role: Viewer, Summary: "Which baseline a device is to have, and has."}, (*api).baselineDevice),
	}
}

func baselineVersionOut(d *registrar.BaselineDocument) BaselineVersion {
	return BaselineVersion{d.Group, d.Version, d.At, d.Actor, d.Note, d.Of, document(d.Document)}
}

func (a *api) applyBaseline(ctx context.Context, in *BaselineChange) (*BaselineVersion, error) {
	d, err := a.s.ApplyBaseline(ctx, &registrar.BaselineChange{
		Domain: in.Domain, Actor: in.Actor, Group: in.Group, Document: in.Document, Rollback: in.Rollback, Note: in.Note, Base: in.Base,
	})
	if err != nil {
		return nil, err
	}
	out := baselineVersionOut(d)
	return &out, nil
}

func (a *api) listBaselines(ctx context.Context, in *By) (*BaselineVersions, error) {
	list, err := a.s.Baselines(ctx, in.Domain)
	return &BaselineVersions{each(list, baselineVersionOut)}, err
}

func (a *api) showBaseline(ctx context.Context, in *BaselineRef) (*BaselineVersion, error) {
	d, err := a.s.BaselineDocument(ctx, in.Domain, in.Group, in.Version)
	if err != nil {
		return nil, err
	}
	out := baselineVersionOut(d)
	return &out, nil
}

func (a *api) baselineVersions(ctx context.Context, in *BaselineList) (*BaselineVersions, error) {
	list, err := a.s.BaselineVersions(ctx, in.Domain, in.Group, in.Before, in.Limit)
	return &BaselineVersions{each(list, baselineVersionOut)}, err
}

func (a *api) baselineCounts(ctx context.Context, in *By) (*BaselineCounts, error) {
	list, err := a.s.BaselineCounts(ctx, in.Domain)
	return &BaselineCounts{each(list, func(n *registrar.BaselineCount) BaselineCount {
		return BaselineCount{n.Group, n.DocumentVersion, string(n.Status), n.Devices}
	})}, err
}

func (a *api) baselineDevices(ctx context.Context, in *BaselineDevices) (*DeviceBaselines, error) {
	after, err := in.after()
	if err != nil {
		return nil, err
	}
	list, next, err := a.s.BaselinesOf(ctx, &registrar.DeviceQuery{Domain: in.Domain, Group: in.Group, SerialPrefix: in.SerialPrefix, After: after, Limit: in.size()})
	if err != nil {
		return nil, err
	}
	return &DeviceBaselines{each(list, deviceBaselineOut), Cursor{next}}, nil
}

func (a *api) baselineDevice(ctx context.Context, in *Ref) (*DeviceBaseline, error) {
	d, err := a.s.BaselineOf(ctx, in.Domain, in.Device)
	if err != nil {
		return nil, err
	}
	out := deviceBaselineOut(d)
	return &out, nil
}

func deviceBaselineOut(d *registrar.DeviceBaseline) DeviceBaseline {
	out := DeviceBaseline{ID: d.Device.ID, SerialNumber: d.Device.SerialNumber, Manufacturer: d.Device.Manufacturer, Group: d.Group, State: d.State()}
	if d.Wanted != nil {
		out.WantedGroup, out.WantedVersion = d.Wanted.Group, d.Wanted.Version
	}
	if has := d.Has; has != nil {
		out.HasGroup, out.HasVersion, out.DeviceVersion, out.SHA256, out.Message = has.Group, has.DocumentVersion, has.Version, hex.EncodeToString(has.SHA256[:]), has.Message
		out.DeliveredAt = &has.At
		if !has.AcknowledgedAt.IsZero() {
			out.AcknowledgedAt = &has.AcknowledgedAt
		}
	}
	return out
}

// ApplyBaseline makes a document a group's newest baseline, or goes back to a version.
func (c *Client) ApplyBaseline(ctx context.Context, in BaselineChange) (*BaselineVersion, error) {
	return call[BaselineVersion](ctx, c, "baseline-apply", &in)
}

// Baselines lists the newest version of each group's baseline.
func (c *Client) Baselines(ctx context.Context) (*BaselineVersions, error) {
	return call[BaselineVersions](ctx, c, "baseline-list", &By{})
}

// Baseline returns a version of a group's baseline; the newest for 0.
func (c *Client) Baseline(ctx context.Context, group string, version int64) (*BaselineVersion, error) {
	return call[BaselineVersion](ctx, c, "baseline-show", &BaselineRef{Group: group, Version: version})
}

// BaselineVersions lists versions before one, 0 for the newest, the newest first.
func (c *Client) BaselineVersions(ctx context.Context, group string, before int64, limit int) (*BaselineVersions, error) {
	return call[BaselineVersions](ctx, c, "baseline-versions", &BaselineList{Group: group, Before: before, Limit: limit})
}

// BaselineCounts counts devices by what they were given last and said of it.
func (c *Client) BaselineCounts(ctx context.Context) (*BaselineCounts, error) {
	return call[BaselineCounts](ctx, c, "baseline-counts", &By{})
}

// BaselinesOf lists which baseline devices are to have, and have; in's By and Page are filled in.
func (c *Client) BaselinesOf(ctx context.Context, in BaselineDevices) iter.Seq2[DeviceBaseline, error] {
	return pages(func(p Page) ([]DeviceBaseline, Cursor, error) {
		in.Page = p
		out, err := call[DeviceBaselines](ctx, c, "baseline-devices", &in)
		if err != nil {
			return nil, Cursor{}, err
		}
		return out.Devices, out.Cursor, nil
	})
}

// BaselineOf says which baseline a device is to have, and has.
func (c *Client) BaselineOf(ctx context.Context, ref string) (*DeviceBaseline, error) {
	return call[DeviceBaseline](ctx, c, "baseline-device", &Ref{Device: ref})
}
