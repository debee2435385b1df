package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/briskest/briskest/internal/manifest"
	"github.com/briskest/briskest/registrar"
	registraradmin "github.com/briskest/briskest/registrar/admin"
	"github.com/briskest/briskest/registrar/inventory"
)

// manifestImporter has a service take manifests, one at a time of all that have the same busy:
// each is in memory as a whole while it is verified.
func manifestImporter(service *registrar.Service, busy *sync.Mutex) func(context.Context, *registraradmin.ImportManifest) (*registraradmin.ImportReport, error) {
	return func(ctx context.Context, in *registraradmin.ImportManifest) (*registraradmin.ImportReport, error) {
		if !busy.TryLock() {
			return nil, registraradmin.RefuseBusy("another manifest is being imported")
		}
		defer busy.Unlock()
		data, err := io.ReadAll(in.Manifest)
		if err != nil {
			return nil, err
		}
		if !manifest.Is(data) {
			return nil, registraradmin.RefuseManifest(errors.New("it is no JWS in JSON (RFC 7515, Section 7.2)"))
		}
		im := &inventory.Importer{
			Import: service.ImportDevices, Domain: in.Domain, Actor: in.Actor, Manufacturer: in.Manufacturer, DryRun: in.DryRun,
			Anchors: service.ManifestAnchors(in.Manufacturer),
		}
		if in.Unowned || in.Owner != "" {
			im.Owner = &in.Owner
		}
		report, err := im.Run(ctx, bytes.NewReader(data), in.File)
		switch {
		case errors.Is(err, inventory.ErrManifest):
			return nil, registraradmin.RefuseManifest(err)
		case err != nil && !errors.Is(err, inventory.ErrProblems):
			return nil, err
		}
		return reportOut(report), nil
	}
}

func reportOut(r *inventory.Report) *registraradmin.ImportReport {
	out := &registraradmin.ImportReport{
		File: r.File, SHA256: r.SHA256, Signer: r.Signer, Rows: r.Rows, Added: r.Added, Changed: r.Changed, Known: r.Known, Given: r.Given, Bad: r.Bad,
	}
	for _, p := range r.Problems {
		out.Problems = append(out.Problems, registraradmin.RowProblem(p))
	}
	return out
}
