package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/masa"
)

// Commit implements masa.Committer.
func (s *Store) Commit(ctx context.Context, c *masa.Change) error {
	err := s.db.Commit(ctx, func(tx *sqlitedb.Tx) error {
		w := writer{tx: tx, t: s.t}
		if err := w.change(c); err != nil {
			return err
		}
		tx.Record(c.Trail...)
		tx.OnCommit(func() { s.caches.changed(c, w.first) })
		return nil
	})
	if err != nil { // which may leave open what is on record
		s.caches.forget(c)
	}
	return err
}

// writer applies one Change.
type writer struct {
	tx    *sqlitedb.Tx
	t     *tables
	first bool // the voucher of the last outcome is the only one of its device
}

func (w *writer) change(c *masa.Change) error {
	for _, d := range c.PutDevices {
		if err := w.device(d); err != nil {
			return conflict(err, "device", d.SerialNumber)
		}
	}
	for _, o := range c.PutOwners {
		if err := w.owner(o); err != nil {
			return conflict(err, "owner", o.ID)
		}
	}
	for _, l := range c.PutClaims {
		if err := w.claim(l); err != nil {
			return conflict(err, "claim", l.ID)
		}
	}
	for _, r := range c.PutRestores {
		if err := w.tx.Put(w.t.restores, r.Domain, r.ID, r.MadeAt, r.RestoredAt, r.By, r.ConfirmedAt, r.ConfirmedBy); err != nil {
			return conflict(err, "restore", r.ID)
		}
	}
	for _, v := range c.Intents {
		if err := w.intent(v); err != nil {
			return conflict(err, "voucher", v.ID)
		}
	}
	for _, v := range c.Issued {
		if err := w.outcome(v, masa.Issued, "", v.Voucher); err != nil {
			return conflict(err, "voucher", v.ID)
		}
	}
	for _, v := range c.Failed {
		if err := w.outcome(v, masa.Failed, v.Reason, nil); err != nil {
			return conflict(err, "voucher", v.ID)
		}
	}
	return nil
}

const (
	setMade = "UPDATE devices SET key_hash = ?, built_at = ? WHERE domain = ? AND id = ?"
	noMade  = "UPDATE devices SET key_hash = NULL, built_at = 0 WHERE domain = ? AND id = ? AND (key_hash IS NOT NULL OR built_at <> 0)"
)

const setSigned = "UPDATE devices SET idevid_signed = ? WHERE domain = ? AND id = ? AND idevid_signed IS NOT ?"

// device writes all parts of the row. Those that came later are covered only
// where there is something in them, or was.
func (w writer) device(d *masa.Device) error {
	err := w.tx.Put(w.t.devices, d.Domain, d.ID, d.Product, d.SerialNumber, string(d.State), d.Reason, d.IDevID,
		d.Batch, d.Source, d.CreatedAt, d.BlockedAt)
	if err != nil {
		return err
	}
	var changed int64
	if len(d.KeyHash) == 0 && d.BuiltAt.IsZero() {
		changed, err = w.tx.Exec(noMade, d.Domain, d.ID)
	} else {
		changed, err = w.tx.Exec(setMade, d.KeyHash, d.BuiltAt, d.Domain, d.ID)
	}
	if err == nil && changed > 0 {
		err = w.tx.Cover(w.t.made, d.Domain, d.ID, d.KeyHash, d.BuiltAt)
	}
	if err != nil {
		return err
	}
	if changed, err = w.tx.Exec(setSigned, d.IDevIDSigned, d.Domain, d.ID, d.IDevIDSigned); err != nil || changed == 0 {
		return err
	}
	return w.tx.Cover(w.t.signed, d.Domain, d.ID, d.IDevIDSigned)
}

const (
	setReached = "UPDATE owners SET source = ?, registrar_url = ?, est_domain = ? WHERE domain = ? AND id = ?"
	noReached  = "UPDATE owners SET source = '', registrar_url = '', est_domain = '' WHERE domain = ? AND id = ? AND source || registrar_url || est_domain <> ''"
)

func (w writer) owner(o *masa.Owner) error {
	err := w.tx.Put(w.t.owners, o.Domain, o.ID, o.DeviceID, o.Name, o.KeyHash, o.Fingerprint, o.DomainID, o.Since, o.Until)
	if err != nil {
		return err
	}
	var changed int64
	if o.Source == "" && o.RegistrarURL == "" && o.ESTDomain == "" {
		changed, err = w.tx.Exec(noReached, o.Domain, o.ID)
	} else {
		changed, err = w.tx.Exec(setReached, o.Source, o.RegistrarURL, o.ESTDomain, o.Domain, o.ID)
	}
	if err != nil || changed == 0 {
		return err
	}
	return w.tx.Cover(w.t.reached, o.Domain, o.ID, o.Source, o.RegistrarURL, o.ESTDomain)
}

// claim refuses to touch a code that is done with.
func (w writer) claim(l *masa.Claim) error {
	var done bool
	err := w.tx.QueryRow("SELECT redeemed_at <> 0 OR ended_at <> 0 FROM claims WHERE domain = ? AND id = ?", l.Domain, l.ID).Scan(&done)
	switch {
	case errors.Is(err, sqlitedb.ErrNoRows):
	case err != nil:
		return err
	case done:
		return fmt.Errorf("%w: it was redeemed or has ended", masa.ErrConflict)
	}
	return w.tx.Put(w.t.claims, l.Domain, l.ID, l.CodeHash, l.DeviceID, l.Resale, l.CreatedAt, l.ExpiresAt, l.RedeemedAt,
		l.EndedAt, l.OwnerID)
}

// intent puts an issuance on record, or replaces one that has not been issued.
func (w *writer) intent(v *masa.VoucherRecord) error {
	values := []any{
		v.Domain, v.ID, v.DeviceID, v.Product, v.SerialNumber, string(v.Assertion), v.Nonce,
		v.DomainID, v.Pinned, v.PinnedKey, v.Request, v.RequestHash, v.MediaType, v.Address, v.Version, v.At, v.ExpiresOn,
	}
	err := w.tx.Insert(w.t.intents, values...)
	switch {
	case err == nil:
		_, err = w.tx.Exec(intendNew)
		return err
	case !errors.Is(err, sqlitedb.ErrConstraint):
		return err
	}
	state, stateErr := w.state(v)
	switch {
	case stateErr != nil:
		return stateErr
	case state == "": // it is the nonce that is taken
		return err
	case state == masa.Issued:
		return fmt.Errorf("%w: it is issued", masa.ErrConflict)
	}
	if err := w.tx.Put(w.t.intents, values...); err != nil {
		return err
	}
	return w.reopen(v)
}

const reopen = "UPDATE outcomes SET state = 'intended', reason = '', voucher = NULL WHERE seq = (" + seqOf + ")"

const intendAgain = "INSERT INTO intended " + seqOf + " ON CONFLICT DO NOTHING"

const seqOf = "SELECT seq FROM vouchers WHERE domain = ? AND id = ?"

// reopen takes back the outcome of an issuance, where it has one.
func (w writer) reopen(v *masa.VoucherRecord) error {
	changed, err := w.tx.Exec(reopen, v.Domain, v.ID)
	if err != nil || changed == 0 {
		return err
	}
	if _, err := w.tx.Exec(intendAgain, v.Domain, v.ID); err != nil {
		return err
	}
	return w.tx.Cover(w.t.outcomes, v.Domain, v.ID, string(masa.Intended), "", nil)
}

// intendNew notes that the row of before, which is in vouchers, is intended. It
// is no trigger: those cost a copy of every page that the statement touches.
const intendNew = "INSERT INTO intended VALUES (last_insert_rowid())"

const (
	// intendedRow finds the row that an outcome is for, and how many its device
	// has: the count ends at two.
	intendedRow = "SELECT seq, (SELECT count(*) FROM (SELECT 1 FROM vouchers d WHERE d.domain = v.domain AND d.device_id = v.device_id LIMIT 2))" +
		" FROM vouchers v WHERE domain = ? AND id = ? AND request_hash = ? AND media_type = ? AND at = ?"
	firstOutcome = "INSERT INTO outcomes VALUES (?, ?, ?, ?)"
	nextOutcome  = "UPDATE outcomes SET state = ?, reason = ?, voucher = ? WHERE seq = ? AND state = 'intended'"
	noLonger     = "DELETE FROM intended WHERE seq = ?"
)

// outcome moves an issuance on from intended, if it is the one that v is about.
func (w *writer) outcome(v *masa.VoucherRecord, to masa.VoucherState, reason string, voucher []byte) error {
	var seq, ofDevice int64
	err := w.tx.QueryRow(intendedRow, v.Domain, v.ID, v.RequestHash, v.MediaType, v.At).Scan(&seq, &ofDevice)
	if err == nil {
		err = w.setOutcome(seq, string(to), reason, voucher)
	}
	switch {
	case errors.Is(err, sqlitedb.ErrNoRows):
		return fmt.Errorf("%w: it is not intended, or for another request", masa.ErrConflict)
	case err != nil:
		return err
	}
	if w.first = ofDevice == 1; to == masa.Issued && !w.first {
		if err := w.audit(seq); err != nil {
			return err
		}
	}
	return w.tx.Cover(w.t.outcomes, v.Domain, v.ID, string(to), reason, voucher)
}

// setOutcome writes the outcome where there is none yet. [sqlitedb.ErrNoRows]
// says that there is one.
func (w *writer) setOutcome(seq int64, to, reason string, voucher []byte) error {
	changed, err := w.tx.Exec(firstOutcome, seq, to, reason, voucher)
	if errors.Is(err, sqlitedb.ErrConstraint) {
		changed, err = w.tx.Exec(nextOutcome, to, reason, voucher, seq)
	}
	if err == nil && changed == 0 {
		err = sqlitedb.ErrNoRows
	}
	if err != nil {
		return err
	}
	_, err = w.tx.Exec(noLonger, seq)
	return err
}

const stateOf = "SELECT coalesce(o.state, 'intended') FROM vouchers v LEFT JOIN outcomes o ON o.seq = v.seq WHERE v.domain = ? AND v.id = ?"

// state returns the state of the row of v, "" if there is none.
func (w writer) state(v *masa.VoucherRecord) (masa.VoucherState, error) {
	var state string
	err := w.tx.QueryRow(stateOf, v.Domain, v.ID).Scan(&state)
	if errors.Is(err, sqlitedb.ErrNoRows) {
		return "", nil
	}
	return masa.VoucherState(state), err
}

func conflict(err error, what, which string) error {
	if errors.Is(err, sqlitedb.ErrConstraint) {
		return fmt.Errorf("%s %q: %w: %w", what, which, masa.ErrConflict, err)
	}
	return fmt.Errorf("%s %q: %w", what, which, err)
}
