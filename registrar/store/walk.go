package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/briskest/briskest/registrar"
)

const (
	// walkers is how many pages of a walk are read at once: half of the readers.
	walkers = 2
	// walkPage is how many rows a page has at most.
	walkPage = 4096
)

// WalkDevices implements registrar.Walks. The devices come in the order of their rows, by
// none of the indexes: all that is read is beside each other.
func (s *Store) WalkDevices(ctx context.Context, w *registrar.DeviceWalk) error {
	query := walkQuery(w.Facts)
	for after := int64(0); ; {
		var last int64
		if err := s.db.QueryRow(ctx, "SELECT coalesce(max(row), 0) FROM devices").Scan(&last); err != nil || last <= after {
			return err
		}
		if err := s.walk(ctx, w, query, after, last); err != nil {
			return err
		}
		after = last
	}
}

// walked is a page that was read and looked at.
type walked struct {
	then func() error
	err  error
}

// walk goes through the rows after one up to another.
func (s *Store) walk(ctx context.Context, w *registrar.DeviceWalk, query string, after, last int64) error {
	pages := make(chan chan walked, walkers)
	begin := func() {
		if after >= last {
			return
		}
		page, from, to := make(chan walked, 1), after, min(after+walkPage, last)
		after = to
		pages <- page
		go func() {
			devices, err := s.walkRows(ctx, w, query, from, to)
			if err != nil || len(devices) == 0 {
				page <- walked{err: err}
				return
			}
			page <- walked{then: w.Look(devices)}
		}()
	}
	for range walkers {
		begin()
	}
	var failed error
	for len(pages) > 0 {
		page := <-<-pages
		if failed != nil {
			continue // the others end as well
		}
		if failed = page.err; failed == nil {
			begin()
			if page.then != nil {
				failed = page.then()
			}
		}
	}
	return failed
}

// walkFacts are the columns by the bits of registrar.DeviceFacts, but for FactIDevID.
func walkFacts() []string {
	return []string{"manufacturer", "model", "firmware", "batch", "hardware_module", "secure_element", "tpm", "source", "attributes"}
}

// walkQuery reads what is asked for. Its texts are as few as rules look at different things.
func walkQuery(facts registrar.DeviceFacts) string {
	var query strings.Builder
	query.WriteString("SELECT id, serial_number, group_name, group_pinned")
	if facts&registrar.FactIDevID != 0 {
		query.WriteString(", " + deviceIDevID)
	}
	for i, column := range walkFacts() {
		if facts&(registrar.FactManufacturer<<i) != 0 {
			query.WriteString(", " + column)
		}
	}
	query.WriteString(" FROM devices NOT INDEXED WHERE row > ? AND row <= ? AND domain = ? ORDER BY row")
	return query.String()
}

func (s *Store) walkRows(ctx context.Context, w *registrar.DeviceWalk, query string, after, last int64) ([]*registrar.Device, error) {
	rows, err := s.db.Query(ctx, query, after, last, w.Domain)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var d registrar.Device
	var attributes string
	dest := []any{&d.ID, &d.SerialNumber, &d.Group, &d.GroupPinned}
	if w.Facts&registrar.FactIDevID != 0 {
		dest = append(dest, &d.IDevID)
	}
	for i, to := range []*string{&d.Manufacturer, &d.Model, &d.Firmware, &d.Batch, &d.HardwareModule, &d.SecureElement, &d.TPM, &d.Source, &attributes} {
		if w.Facts&(registrar.FactManufacturer<<i) != 0 {
			dest = append(dest, to)
		}
	}
	page := make([]registrar.Device, 0, last-after)
	out := make([]*registrar.Device, 0, last-after)
	known := make(map[string]map[string]string) // attributes by their text: many devices have the same
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		d.Domain = w.Domain
		if d.Attributes, err = parsedOnce(known, attributes); err != nil {
			return nil, fmt.Errorf("attributes of device %s: %w", d.ID, err)
		}
		page = append(page, d)
		out = append(out, &page[len(page)-1])
	}
	return out, rows.Err()
}

func parsedOnce(known map[string]map[string]string, text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	attributes, ok := known[text]
	if !ok {
		if err := json.Unmarshal([]byte(text), &attributes); err != nil {
			return nil, err
		}
		known[text] = attributes
	}
	return attributes, nil
}
