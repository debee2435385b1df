package store

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"slices"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// Extracted is what the trail has of one device.
type Extracted struct {
	trail.Extract
	Device registrar.Device // ID, Domain, Manufacturer, SerialNumber and State
}

// maxExtracted is how many entries of a device's own are taken out, the newest.
const maxExtracted = 5000

// Extract takes out of a database, which may be in use, what the trail has of the
// device with that ID or serial number: its entries, and the rows that they cover,
// with proofs. Rows of secrets are not among them. A device that is not on record
// is registrar.ErrNotFound, several of one serial number registrar.ErrConflict.
func Extract(ctx context.Context, path string, key crypto.PublicKey, domain, ref string) (*Extracted, error) {
	s, err := sqlitedb.OpenSnapshot(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	h, err := s.LastHead()
	if err != nil {
		return nil, err
	}
	if h == nil {
		return nil, fmt.Errorf("the trail is empty: %w", registrar.ErrNotFound)
	}
	if err := h.Verify(Origin, key); err != nil {
		return nil, fmt.Errorf("%w: %w", sqlitedb.ErrTrail, err)
	}
	out := &Extracted{}
	if out.Device, err = oneDevice(ctx, s, domain, ref); err != nil {
		return nil, err
	}
	seqs, omitted, err := entriesOf(ctx, s, &out.Device)
	if err != nil {
		return nil, err
	}
	selected, secret, err := selectedOf(ctx, s, &out.Device)
	if err != nil {
		return nil, err
	}
	extract, err := s.Extract(ctx, h, seqs, selected)
	if err != nil {
		return nil, err
	}
	out.Extract = *extract
	if omitted > 0 {
		out.Omitted = append(out.Omitted, fmt.Sprintf("%d entries of the device's before entry %d: the newest %d are here", omitted, seqs[0], maxExtracted))
	}
	if secret > 0 {
		out.Omitted = append(out.Omitted, fmt.Sprintf("%d requests for approval whose CSR holds a password", secret))
	}
	return out, nil
}

func oneDevice(ctx context.Context, s *sqlitedb.Snapshot, domain, ref string) (d registrar.Device, err error) {
	rows, err := s.Query(ctx, "SELECT domain, id, manufacturer, serial_number, state FROM devices WHERE domain = ? AND (id = ? OR serial_number = ?) ORDER BY id LIMIT 2",
		domain, ref, ref)
	if err != nil {
		return d, err
	}
	defer func() { _ = rows.Close() }()
	n := 0
	for ; rows.Next(); n++ {
		var state string
		if err := rows.Scan(&d.Domain, &d.ID, &d.Manufacturer, &d.SerialNumber, &state); err != nil {
			return d, err
		}
		d.State = registrar.DeviceState(state)
	}
	switch {
	case rows.Err() != nil:
		return d, rows.Err()
	case n == 0:
		return d, fmt.Errorf("device %q: %w", ref, registrar.ErrNotFound)
	case n > 1:
		return d, fmt.Errorf("several devices have the serial number %q; name one by its ID: %w", ref, registrar.ErrConflict)
	}
	return d, nil
}

// entriesOf are those of the device, and of its serial number before it was on record.
func entriesOf(ctx context.Context, s *sqlitedb.Snapshot, d *registrar.Device) (seqs []int64, omitted int, err error) {
	for _, id := range []string{d.ID, registrar.StrangerID(d.Domain, "", d.SerialNumber), registrar.StrangerID(d.Domain, d.Manufacturer, d.SerialNumber)} {
		rows, err := s.Query(ctx, "SELECT seq FROM trail_entries WHERE device = ? AND device <> '' AND domain = ? ORDER BY seq", id, d.Domain)
		if err != nil {
			return nil, 0, err
		}
		for rows.Next() {
			var seq int64
			if err := rows.Scan(&seq); err != nil {
				return nil, 0, err
			}
			seqs = append(seqs, seq)
		}
		if err := rows.Close(); err != nil {
			return nil, 0, err
		}
	}
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	omitted = max(0, len(seqs)-maxExtracted)
	return seqs[omitted:], omitted, nil
}

const issuancesOf = "(SELECT id FROM issuances WHERE domain = ? AND device_id = ?)"

// selectedOf are the rows about the device, but for those that hold secrets: of
// tables without a device_id only what is named here.
func selectedOf(ctx context.Context, s *sqlitedb.Snapshot, d *registrar.Device) (out []sqlitedb.Selected, secret int, err error) {
	t := newTables()
	for _, table := range t.all() {
		sel := sqlitedb.Selected{Table: table}
		switch {
		case table == t.devices, table == t.details:
			sel.Where, sel.Args, sel.First = "domain = ? AND id = ?", []any{d.Domain, d.ID}, true
		case slices.Contains(table.Columns, "device_id"), slices.Contains(table.Key, "device_id"), table == t.outcomes:
			sel.Where, sel.Args = "domain = ? AND device_id = ?", []any{d.Domain, d.ID}
		case table == t.learned, table == t.untold:
			sel.Where, sel.Args = "domain = ? AND id IN "+issuancesOf, []any{d.Domain, d.Domain, d.ID}
		case table == t.revocations:
			sel.Where = "domain = ? AND (authority, serial) IN (SELECT authority, serial FROM certificates WHERE domain = ? AND device_id = ?)"
			sel.Args = []any{d.Domain, d.Domain, d.ID}
		case table == t.pending:
			if sel.Where, sel.Args, secret, err = pendingOf(ctx, s, d); err != nil {
				return nil, 0, err
			}
		default:
			continue
		}
		out = append(out, sel)
	}
	return out, secret, nil
}

// pendingOf selects requests for approval, but for those with a secret in them.
func pendingOf(ctx context.Context, s *sqlitedb.Snapshot, d *registrar.Device) (where string, args []any, secret int, err error) {
	rows, err := s.Query(ctx, "SELECT id, evidence FROM pending WHERE domain = ? AND manufacturer = ? AND serial_number = ?", d.Domain, d.Manufacturer, d.SerialNumber)
	if err != nil {
		return "", nil, 0, err
	}
	defer func() { _ = rows.Close() }()
	where, args = "domain = ? AND manufacturer = ? AND serial_number = ?", []any{d.Domain, d.Manufacturer, d.SerialNumber}
	for rows.Next() {
		var id string
		var evidence []byte
		if err := rows.Scan(&id, &evidence); err != nil {
			return "", nil, 0, err
		}
		if holdsPassword(evidence) {
			secret++
			where, args = where+" AND id <> ?", append(args, id)
		}
	}
	return where, args, secret, rows.Err()
}

// holdsPassword tells whether a request has an attribute that devices put
// passwords and codes into: challengePassword (RFC 2985, Section 5.4.1),
// otpChallenge and revocationChallenge (RFC 7894, Sections 3.1 and 3.2). Where the
// object identifier stands does not matter: better one left out too many.
func holdsPassword(request []byte) bool {
	pkcs9 := []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09}
	for _, rest := range [][]byte{{7}, {16, 2, 56}, {16, 2, 57}} {
		oid := append(slices.Clone(pkcs9), rest...)
		if bytes.Contains(request, append([]byte{6, byte(len(oid))}, oid...)) {
			return true
		}
	}
	return false
}

// Columns names the columns of a table that the trail covers, by its label: those
// of the key first, as in [trail.Record]. Nil: there is no such table.
func Columns(label string) (keys, columns []string) {
	for _, t := range newTables().all() {
		if t.Label == label {
			return t.Key, t.Columns
		}
	}
	return nil, nil
}
