package admin

import (
	"context"
	"encoding/json"
	"time"

	"github.com/briskest/briskest/registrar"
)

// GroupsChange is a groups document to plan or apply, or a version to go back to; see
// registrar.GroupsChange.
type GroupsChange struct {
	By
	Document json.RawMessage `json:"document,omitempty"`
	Rollback int64           `json:"rollback,omitempty"` // in place of a document
	Base     *int64          `json:"base,omitempty"`     // the version that it was planned on
	Note     string          `json:"note,omitempty"`
	DryRun   bool            `json:"dry_run,omitempty"` // plan only
}

// GroupsPlan is what applying a document does, or did.
type GroupsPlan struct {
	Base    int64       `json:"base"`
	Version int64       `json:"version"`
	Devices int         `json:"devices"`
	Pinned  int         `json:"pinned"`
	Moved   int         `json:"moved"`
	Digest  string      `json:"moves_sha256"` // equal plans do the same
	Moves   []GroupMove `json:"moves,omitempty"`
}

// GroupMove is how many devices go from one group to another.
type GroupMove struct {
	From     string   `json:"from"`
	To       string   `json:"to"`
	Devices  int      `json:"devices"`
	Examples []string `json:"examples"` // serial numbers
}

// GroupsRef names a version of the groups document; 0 for the newest.
type GroupsRef struct {
	By
	Version int64 `query:"version" json:"-"`
}

// GroupsVersion is one version of the groups document.
type GroupsVersion struct {
	Version  int64           `json:"version"`
	At       time.Time       `json:"at"`
	Actor    string          `json:"actor"`
	Note     string          `json:"note,omitempty"`
	Of       int64           `json:"rolled_back_to,omitempty"`
	Applied  bool            `json:"applied"` // every device has been moved
	Moved    int64           `json:"moved"`
	Document json.RawMessage `json:"document,omitempty"` // not in lists
}

// GroupsVersions is a page of them, the newest first.
type GroupsVersions struct {
	Versions []GroupsVersion `json:"versions"`
}

// GroupsList asks for a page of versions.
type GroupsList struct {
	By
	Before int64 `query:"before" json:"-" doc:"version; 0 for the newest"`
	Limit  int   `query:"limit" json:"-" max:"10000"`
}

// Group is a group in force.
type Group struct {
	Name          string                 `json:"name"`
	Priority      int                    `json:"priority"`
	Decision      string                 `json:"decision,omitempty"`
	Profile       string                 `json:"profile,omitempty"`
	Lifetime      string                 `json:"lifetime,omitempty"`
	RenewalWindow string                 `json:"renewal_window,omitempty"`
	Names         map[string]string      `json:"names,omitempty"`
	Applications  map[string]Application `json:"applications,omitempty"`
	Baseline      string                 `json:"baseline,omitempty"`
	ByName        bool                   `json:"by_name,omitempty"` // it has no rule
	Description   string                 `json:"description,omitempty"`
}

// Application is an entitlement of a group's devices.
type Application struct {
	Profile   string   `json:"profile,omitempty"`
	Names     []string `json:"names,omitempty"`
	Endpoints []string `json:"endpoints,omitempty"` // URLs
	Publish   []string `json:"publish,omitempty"`   // topics
	Subscribe []string `json:"subscribe,omitempty"`
}

// Groups are the groups in force in the order in which they are asked.
type Groups struct {
	Version int64   `json:"version"`
	Groups  []Group `json:"groups"`
}

// AssignGroup puts a device into a group by name.
type AssignGroup struct {
	By
	Device string `path:"device" json:"-" doc:"ID or serial number"`
	Group  string `json:"group"` // "" leaves it to the rules
	Reason string `json:"reason,omitempty"`
}

// GroupExplanation is why a device is in its group.
type GroupExplanation struct {
	SerialNumber string         `json:"serial_number"`
	Group        string         `json:"group"` // by the rules now, or by name
	Recorded     string         `json:"recorded_group"`
	ByName       bool           `json:"by_name"`
	Rule         string         `json:"rule"`
	Version      int64          `json:"version"`
	Problem      string         `json:"problem,omitempty"` // a reason id
	Unmet        string         `json:"unmet_requirement,omitempty"`
	UnmetMessage string         `json:"unmet_message,omitempty"`
	Verdicts     []GroupVerdict `json:"verdicts"`
}

// GroupVerdict is what one group's rule says about a device.
type GroupVerdict struct {
	Group   string `json:"group"`
	Matched bool   `json:"matched"`
	Rule    string `json:"rule"`
}

func groupOperations() []operation {
	return []operation{
		define(Operation{ID: "group-apply", Method: "POST", Path: "/groups/apply", Role: Administrator, MaxBody: 8 << 20, Summary: "Plan or apply a groups document, or go back to a version."}, (*api).applyGroups),
		define(Operation{ID: "group-list", Method: "GET", Path: "/groups", Role: Viewer, Summary: "The groups in force in the order in which they are asked."}, (*api).listGroups),
		define(Operation{ID: "group-show", Method: "GET", Path: "/groups/document", Role: Viewer, Summary: "A version of the groups document."}, (*api).showGroups),
		define(Operation{ID: "group-versions", Method: "GET", Path: "/groups/versions", Role: Viewer, Summary: "The versions of the groups document, the newest first."}, (*api).groupVersions),
		define(Operation{ID: "group-explain", Method: "GET", Path: "/devices/{device}/group", Role: Viewer, Summary: "Why a device is in its group."}, (*api).explainGroup),
		define(Operation{ID: "group-assign", Method: "PUT", Path: "/devices/{device}/group", Role: Operator, Of: "device-show", Summary: "Put a device into a group by name, or leave it to the rules."}, (*api).assignGroup),
	}
}

func (a *api) applyGroups(ctx context.Context, in *GroupsChange) (*GroupsPlan, error) {
	change := &registrar.GroupsChange{Domain: in.Domain, Actor: in.Actor, Document: in.Document, Note: in.Note, Base: in.Base}
	var plan *registrar.GroupsPlan
	var err error
	switch {
	case in.Rollback != 0:
		plan, err = a.s.RollbackGroups(ctx, change, in.Rollback, in.DryRun)
	case in.DryRun:
		plan, err = a.s.PlanGroups(ctx, change)
	default:
		plan, err = a.s.ApplyGroups(ctx, change)
	}
	if err != nil {
		return nil, err
	}
	out := &GroupsPlan{Base: plan.Base, Version: plan.Version, Devices: plan.Devices, Pinned: plan.Pinned, Moved: plan.Moved, Digest: plan.Digest}
	out.Moves = each(plan.Moves, func(m registrar.GroupMove) GroupMove { return GroupMove{m.From, m.To, m.Devices, m.Examples} })
	return out, nil
}

func (a *api) listGroups(_ context.Context, in *By) (*Groups, error) {
	groups, version, err := a.s.Groups(in.Domain)
	if err != nil {
		return nil, err
	}
	return &Groups{version, each(groups, groupOut)}, nil
}

func groupOut(g *registrar.Group) Group {
	out := Group{
		Name: g.Name, Priority: g.Priority, Decision: string(g.Decision), Profile: g.Profile, Names: g.Names, Applications: make(map[string]Application, len(g.Applications)),
		Baseline: g.Baseline, ByName: g.Pinned, Description: g.Description,
	}
	for name, app := range g.Applications {
		out.Applications[name] = Application{app.Profile, app.Names, app.Endpoints, app.Publish, app.Subscribe}
	}
	if g.Lifetime > 0 {
		out.Lifetime = g.Lifetime.String()
	}
	if g.RenewalWindow > 0 {
		out.RenewalWindow = g.RenewalWindow.String()
	}
	return out
}

func groupsVersionOut(d *registrar.GroupDocument) GroupsVersion {
	return GroupsVersion{d.Version, d.At, d.Actor, d.Note, d.Of, d.Applied, d.Moved, document(d.Document)}
}

func (a *api) showGroups(ctx context.Context, in *GroupsRef) (*GroupsVersion, error) {
	d, err := a.s.GroupDocument(ctx, in.Domain, in.Version)
	if err != nil {
		return nil, err
	}
	out := groupsVersionOut(d)
	return &out, nil
}

func (a *api) groupVersions(ctx context.Context, in *GroupsList) (*GroupsVersions, error) {
	list, err := a.s.GroupVersions(ctx, in.Domain, in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	return &GroupsVersions{each(list, groupsVersionOut)}, nil
}

func (a *api) explainGroup(ctx context.Context, in *Ref) (*GroupExplanation, error) {
	e, err := a.s.ExplainGroup(ctx, in.Domain, in.Device)
	if err != nil {
		return nil, err
	}
	p := e.Placement
	out := &GroupExplanation{
		SerialNumber: e.Device.SerialNumber, Group: p.Name, Recorded: e.Device.Group, ByName: p.Pinned, Rule: p.Rule, Version: p.Version, Problem: p.Problem,
		Verdicts: each(e.Verdicts, func(v registrar.GroupVerdict) GroupVerdict { return GroupVerdict{v.Group, v.Matched, v.Text} }),
	}
	if e.Unmet != nil {
		out.Unmet, out.UnmetMessage = e.Unmet.Name, e.Unmet.Message
	}
	return out, nil
}

func (a *api) assignGroup(ctx context.Context, in *AssignGroup) (*Device, error) {
	d, err := a.s.AssignGroup(ctx, &registrar.GroupAssignment{Domain: in.Domain, Actor: in.Actor, Device: in.Device, Group: in.Group, Reason: in.Reason})
	if err != nil {
		return nil, err
	}
	out := deviceOut(d, false)
	return &out, nil
}

// ApplyGroups plans or applies a groups document, or goes back to a version.
func (c *Client) ApplyGroups(ctx context.Context, in GroupsChange) (*GroupsPlan, error) {
	return call[GroupsPlan](ctx, c, "group-apply", &in)
}

// Groups lists the groups in force.
func (c *Client) Groups(ctx context.Context) (*Groups, error) {
	return call[Groups](ctx, c, "group-list", &By{})
}

// GroupsVersion returns a version of the groups document; the newest for 0.
func (c *Client) GroupsVersion(ctx context.Context, version int64) (*GroupsVersion, error) {
	return call[GroupsVersion](ctx, c, "group-show", &GroupsRef{Version: version})
}

// GroupsVersions lists versions before one, 0 for the newest, the newest first.
func (c *Client) GroupsVersions(ctx context.Context, before int64, limit int) (*GroupsVersions, error) {
	return call[GroupsVersions](ctx, c, "group-versions", &GroupsList{Before: before, Limit: limit})
}

// ExplainGroup says why a device is in its group.
func (c *Client) ExplainGroup(ctx context.Context, ref string) (*GroupExplanation, error) {
	return call[GroupExplanation](ctx, c, "group-explain", &Ref{Device: ref})
}

// AssignGroup puts a device into a group by name, or with "" leaves it to the rules.
func (c *Client) AssignGroup(ctx context.Context, ref, group, reason string) (*Device, error) {
	return call[Device](ctx, c, "group-assign", &AssignGroup{Device: ref, Group: group, Reason: reason})
}
