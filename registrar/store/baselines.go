package store

import (
	"context"
	"fmt"

	"github.com/briskest/briskest/registrar"
)

const (
	selectBaseline = "SELECT domain, group_name, version, document, actor, note, of_version, at FROM baseline_documents "
	// listBaselines leaves the documents out.
	listBaselines = "SELECT domain, group_name, version, NULL, actor, note, of_version, at FROM baseline_documents AS b "
)

func scanBaseline(row scanner) (*registrar.BaselineDocument, error) {
	var d registrar.BaselineDocument
	if err := row.Scan(&d.Domain, &d.Group, &d.Version, &d.Document, &d.Actor, &d.Note, &d.Of, &d.At); err != nil {
		return nil, notFound(err)
	}
	return &d, nil
}

// BaselineDocument implements registrar.BaselineRecords.
func (s *Store) BaselineDocument(ctx context.Context, domain, group string, version int64) (*registrar.BaselineDocument, error) {
	return scanBaseline(s.db.QueryRow(ctx, selectBaseline+"WHERE domain = ? AND group_name = ? AND (? = 0 OR version = ?) ORDER BY version DESC LIMIT 1",
		domain, group, version, version))
}

// ListBaselines implements registrar.BaselineRecords.
func (s *Store) ListBaselines(ctx context.Context, domain string) ([]*registrar.BaselineDocument, error) {
	return list(ctx, s, scanBaseline, listBaselines+`WHERE domain = ? AND version = (
		SELECT max(version) FROM baseline_documents WHERE domain = b.domain AND group_name = b.group_name) ORDER BY group_name`, domain)
}

// BaselineVersions implements registrar.BaselineRecords.
func (s *Store) BaselineVersions(ctx context.Context, domain, group string, before int64, limit int) ([]*registrar.BaselineDocument, error) {
	return list(ctx, s, scanBaseline, listBaselines+"WHERE domain = ? AND group_name = ? AND (? = 0 OR version < ?) ORDER BY version DESC LIMIT ?",
		domain, group, before, before, limit)
}

// BaselineDelivery implements registrar.BaselineRecords.
func (s *Store) BaselineDelivery(ctx context.Context, domain, deviceID string) (*registrar.BaselineDelivery, error) {
	var d registrar.BaselineDelivery
	var status string
	err := s.db.QueryRow(ctx, `SELECT domain, device_id, version, group_name, document_version, content, sha256, at, status, message, acknowledged_at
		FROM baseline_deliveries WHERE domain = ? AND device_id = ?`, domain, deviceID).
		Scan(&d.Domain, &d.DeviceID, &d.Version, &d.Group, &d.DocumentVersion, &d.Content, &d.SHA256, &d.At, &status, &d.Message, &d.AcknowledgedAt)
	if err != nil {
		return nil, notFound(err)
	}
	d.Status = registrar.BaselineStatus(status)
	return &d, nil
}

// CountBaselines implements registrar.BaselineRecords.
func (s *Store) CountBaselines(ctx context.Context, domain string) ([]*registrar.BaselineCount, error) {
	scan := func(row scanner) (*registrar.BaselineCount, error) {
		var n registrar.BaselineCount
		var status string
		err := row.Scan(&n.Group, &n.DocumentVersion, &status, &n.Devices)
		n.Status = registrar.BaselineStatus(status)
		return &n, err
	}
	return list(ctx, s, scan, `SELECT group_name, document_version, status, count(*) FROM baseline_deliveries WHERE domain = ?
		GROUP BY group_name, document_version, status ORDER BY group_name, document_version, status`, domain)
}

func (w writer) baselines(c *registrar.Change) error {
	for _, d := range c.PutBaselines {
		if err := w.baseline(d); err != nil {
			return conflict(err, "baseline of group", d.Group)
		}
	}
	for _, d := range c.PutDeliveries {
		err := w.tx.Replace(w.t.deliveries, d.Domain, d.DeviceID, d.Version, d.Group, d.DocumentVersion, d.Content, d.SHA256, d.At,
			string(d.Status), d.Message, d.AcknowledgedAt)
		if err != nil {
			return conflict(err, "baseline of device", d.DeviceID)
		}
	}
	return nil
}

// baseline inserts the version after the newest.
func (w writer) baseline(d *registrar.BaselineDocument) error {
	var newest int64
	err := w.tx.QueryRow("SELECT coalesce(max(version), 0) FROM baseline_documents WHERE domain = ? AND group_name = ?", d.Domain, d.Group).Scan(&newest)
	switch {
	case err != nil:
		return err
	case d.Version != newest+1:
		return fmt.Errorf("the newest version is %d: %w", newest, registrar.ErrConflict)
	}
	return w.tx.Insert(w.t.baselines, d.Domain, d.Group, d.Version, d.Document, d.Actor, d.Note, d.Of, d.At)
}
