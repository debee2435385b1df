package admin

import (
	"context"
	"io"
	"net/http"
)

func manifestOperations() []operation {
	return []operation{
		define(Operation{ID: "device-import-manifest", Method: "POST", Path: "/devices/manifest", Role: Operator, MaxBody: 257 << 20, Summary: "Import the devices of a signed manufacturing manifest: who signed it is looked at here, by the manufacturer's manifest_anchors."}, (*api).importManifest),
	}
}

// ImportManifest brings the devices of a manifest into the inventory.
type ImportManifest struct {
	By
	Manufacturer string `query:"manufacturer" json:"-" max:"256" required:"true"`
	File         string `query:"file" json:"-" max:"255" doc:"its name, for the trail"`
	DryRun       bool   `query:"dry_run" json:"-"`
	Owner        string `query:"owner" json:"-" max:"256" doc:"whose the devices are, at a cloud registrar"`
	Unowned      bool   `query:"unowned" json:"-" doc:"nobody owns the devices, at a cloud registrar"`
	Manifest     Upload `json:"-" body:"application/jose+json"`
}

// ImportReport says what an import of a file did, or would do. With bad rows nothing was imported.
type ImportReport struct {
	File     string       `json:"file"`
	SHA256   string       `json:"sha256"`
	Signer   string       `json:"signer"` // SHA-256 of the certificate
	Rows     int          `json:"rows"`
	Added    int          `json:"added"`
	Changed  int          `json:"changed"`
	Known    int          `json:"known"`
	Given    int          `json:"given,omitempty"` // that have another owner now
	Bad      int          `json:"bad,omitempty"`   // rows with problems
	Problems []RowProblem `json:"problems,omitempty"`
}

// RowProblem is what is wrong with a row.
type RowProblem struct {
	Line         int    `json:"line"` // from 1
	SerialNumber string `json:"serial_number,omitempty"`
	Text         string `json:"text"`
}

// ReasonManifest is the reason id of a manifest that is not taken.
const ReasonManifest = "manifest-refused"

// RefuseManifest is the error of a manifest that is not taken.
func RefuseManifest(err error) error {
	return refuse(http.StatusUnprocessableEntity, ReasonManifest, "%s; the manufacturer's manifest_anchors in registrar.yaml say who may sign", err)
}

// RefuseBusy is the error where as much is being done of a kind as may be.
func RefuseBusy(what string) error {
	return refuse(http.StatusServiceUnavailable, "busy", "%s; try again when that is done", what)
}

func (a *api) importManifest(ctx context.Context, in *ImportManifest) (*ImportReport, error) {
	if a.domain.Manifests == nil {
		return nil, refuse(http.StatusNotImplemented, "not-offered", "this registrar takes no manifests")
	}
	return a.domain.Manifests(ctx, in)
}

// ImportManifest has the registrar verify a manifest and import its devices; in's By and
// Manifest are filled in.
func (c *Client) ImportManifest(ctx context.Context, in *ImportManifest, manifest io.Reader) (*ImportReport, error) {
	in.Manifest = Upload{MediaType: "application/jose+json", Reader: manifest}
	return call[ImportReport](ctx, c, "device-import-manifest", in)
}
