package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/registrar"
)

const (
	selectGroups = "SELECT domain, version, document, actor, note, of_version, at, applied, moved FROM group_documents "
	// listGroups leaves the documents out.
	listGroups = "SELECT domain, version, NULL, actor, note, of_version, at, applied, moved FROM group_documents "
)

func scanGroups(row scanner) (*registrar.GroupDocument, error) {
	var g registrar.GroupDocument
	err := row.Scan(&g.Domain, &g.Version, &g.Document, &g.Actor, &g.Note, &g.Of, &g.At, &g.Applied, &g.Moved)
	return &g, notFound(err)
}

// GroupDocument implements registrar.GroupDocuments.
func (s *Store) GroupDocument(ctx context.Context, domain string, version int64) (*registrar.GroupDocument, error) {
	row := s.db.QueryRow(ctx, selectGroups+"WHERE domain = ? AND (? = 0 OR version = ?) ORDER BY version DESC LIMIT 1", domain, version, version)
	g, err := scanGroups(row)
	if err != nil {
		return nil, err
	}
	return g, nil
}

// ListGroupDocuments implements registrar.GroupDocuments.
func (s *Store) ListGroupDocuments(ctx context.Context, domain string, before int64, limit int) ([]*registrar.GroupDocument, error) {
	return list(ctx, s, scanGroups, listGroups+"WHERE domain = ? AND (? = 0 OR version < ?) ORDER BY version DESC LIMIT ?", domain, before, before, limit)
}

// groups inserts the version after the newest, or notes how far that was applied.
func (w writer) groups(g *registrar.GroupDocument) error {
	var newest int64
	if err := w.tx.QueryRow("SELECT coalesce(max(version), 0) FROM group_documents WHERE domain = ?", g.Domain).Scan(&newest); err != nil {
		return err
	}
	put := w.tx.Insert
	switch {
	case g.Version == newest && newest > 0:
		put = w.tx.Put
		var document []byte
		if err := w.tx.QueryRow("SELECT document FROM group_documents WHERE domain = ? AND version = ?", g.Domain, newest).Scan(&document); err != nil {
			return err
		}
		if string(document) != string(g.Document) {
			return fmt.Errorf("version %d is another document: %w", newest, registrar.ErrConflict)
		}
	case g.Version != newest+1:
		return fmt.Errorf("the newest version is %d: %w", newest, registrar.ErrConflict)
	}
	return put(w.t.groups, g.Domain, g.Version, g.Document, g.Actor, g.Note, g.Of, g.At, g.Applied, g.Moved)
}

// regroup moves a device that is as the change says.
func (w writer) regroup(r *registrar.Regrouping) error {
	const where = " WHERE domain = ? AND id = ?"
	d, attributes, err := w.details(r.Domain, r.DeviceID)
	switch {
	case errors.Is(err, sqlitedb.ErrNoRows):
		return nil
	case err != nil:
		return err
	case d.Group != r.From || d.GroupPinned != r.FromPinned:
		return nil
	}
	d.Group, d.GroupPinned = r.Group, r.Pinned
	if _, err := w.tx.Exec("UPDATE devices SET group_name = ?, group_pinned = ?"+where, d.Group, d.GroupPinned, r.Domain, r.DeviceID); err != nil {
		return err
	}
	return w.coverDetails(d, attributes)
}

// details reads what coverDetails covers.
func (w writer) details(domain, id string) (*registrar.Device, string, error) {
	d := &registrar.Device{Domain: domain, ID: id}
	var attributes string
	err := w.tx.QueryRow(`SELECT model, firmware, batch, hardware_module, secure_element, tpm, attributes, group_name, group_pinned
		FROM devices WHERE domain = ? AND id = ?`, domain, id).
		Scan(&d.Model, &d.Firmware, &d.Batch, &d.HardwareModule, &d.SecureElement, &d.TPM, &attributes, &d.Group, &d.GroupPinned)
	return d, attributes, err
}
