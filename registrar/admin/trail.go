package admin

import (
	"context"
)

func trailOperations() []operation {
	return []operation{
		define(Operation{ID: "trail-list", Method: "GET", Path: "/trail", Role: Auditor, Summary: "Entries of the trail, from a sequence number on."}, (*api).listTrail),
		define(Operation{ID: "status", Method: "GET", Path: "/status", Role: Viewer, Summary: "How the registrar is doing."}, (*api).status),
	}
}

// TrailList asks for entries of the trail.
type TrailList struct {
	By
	Device string `query:"device" json:"-" doc:"ID"`
	From   int64  `query:"from" json:"-" doc:"sequence number"`
	Limit  int    `query:"limit" json:"-" max:"10000"`
}

// Entries is a part of the trail.
type Entries struct {
	Entries []Entry `json:"entries"`
}

func (a *api) listTrail(ctx context.Context, in *TrailList) (*Entries, error) {
	list, err := a.s.TrailEntries(ctx, in.Domain, in.Device, in.From, in.Limit)
	return &Entries{each(list, entryOut)}, err
}

// Status is how the registrar is doing.
type Status struct {
	Domain    string           `json:"domain"`
	Settings  string           `json:"settings"`
	Labels    []string         `json:"labels"`
	Waiting   int              `json:"waiting"`
	Exchanges int              `json:"exchanges"`
	Refused   map[string]int64 `json:"refused"`
	Dropped   int64            `json:"dropped"`

	Devices           int `json:"devices"`                       // decommissioned ones apart
	MaxDevices        int `json:"max_devices,omitempty"`         // limits.devices
	RequestsPerMinute int `json:"requests_per_minute,omitempty"` // limits.requests_per_minute
}

func (a *api) status(ctx context.Context, in *By) (*Status, error) {
	s, err := a.s.Status(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	return &Status{
		Domain: s.Domain, Settings: s.Settings, Labels: s.Labels, Waiting: s.Waiting, Exchanges: s.Exchanges, Refused: s.Refused, Dropped: s.Dropped,
		Devices: s.Devices, MaxDevices: s.MaxDevices, RequestsPerMinute: s.RequestsPerMinute,
	}, nil
}

// Trail returns up to limit entries from a sequence number on; device "" does not filter.
func (c *Client) Trail(ctx context.Context, device string, from int64, limit int) ([]Entry, error) {
	out, err := call[Entries](ctx, c, "trail-list", &TrailList{Device: device, From: from, Limit: limit})
	if err != nil {
		return nil, err
	}
	return out.Entries, nil
}

// Status returns how the registrar is doing.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return call[Status](ctx, c, "status", &By{})
}
