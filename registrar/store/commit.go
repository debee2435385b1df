package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/registrar"
)

// Commit implements registrar.Committer.
func (s *Store) Commit(ctx context.Context, c *registrar.Change) error {
	err := s.db.Commit(ctx, func(tx *sqlitedb.Tx) error {
		var kept []*registrar.Device
		w := writer{tx: tx, t: s.t, caches: s.caches, kept: &kept, added: make(tally)}
		if err := w.change(c); err != nil {
			return err
		}
		tx.Record(c.Trail...)
		tx.OnCommit(func() {
			s.caches.changed(c)
			s.caches.regrouped(c, kept)
			s.woken()
		})
		return nil
	})
	if err != nil { // which may leave open what is on record
		s.caches.forget(c)
	}
	return err
}

// writer applies one Change.
type writer struct {
	tx     *sqlitedb.Tx
	t      *tables
	caches *caches
	kept   *[]*registrar.Device // whose rows have another group than the change says
	added  tally
}

func (w writer) change(c *registrar.Change) error {
	for _, name := range c.Unclaimed {
		if err := w.nobody(name, "WHERE domain = ? AND serial_number = ?"); err != nil {
			return err
		}
	}
	for _, name := range c.NoIDevIDs {
		if err := w.nobody(name, whereIDevID); err != nil {
			return err
		}
	}
	if err := w.within(c.Quota, func() error { return w.devices(c) }); err != nil {
		return err
	}
	for _, r := range c.Regroup {
		if err := w.regroup(r); err != nil {
			return conflict(err, "group of device", r.DeviceID)
		}
	}
	for _, g := range c.PutGroups {
		if err := w.groups(g); err != nil {
			return conflict(err, "groups of domain", g.Domain)
		}
	}
	if err := w.baselines(c); err != nil {
		return err
	}
	for _, o := range c.PutOwners {
		if err := w.owner(o); err != nil {
			return conflict(err, "owner of device", o.DeviceID)
		}
	}
	if err := w.certificates(c); err != nil {
		return err
	}
	for _, v := range c.PutVouchers {
		if err := w.voucher(v); err != nil {
			return conflict(err, "voucher exchange", v.ID)
		}
	}
	for _, a := range c.PutAhead {
		if err := w.ahead(a); err != nil {
			return conflict(err, "voucher ahead", a.ID)
		}
	}
	for _, p := range c.PutPending {
		if err := w.pending(p); err != nil {
			return conflict(err, "pending request", p.Key)
		}
	}
	for _, k := range c.PutCredentials {
		if err := w.credential(k); err != nil {
			return conflict(err, "credential", k.User)
		}
	}
	for _, q := range c.PutQuarantines {
		if err := w.quarantine(q); err != nil {
			return conflict(err, "quarantine", q.ID)
		}
	}
	if err := w.codes(c); err != nil {
		return err
	}
	if err := w.api(c); err != nil {
		return err
	}
	if err := w.partitions(c.PutPartitions); err != nil {
		return err
	}
	if c.PutCRL != nil {
		return w.crl(c.PutCRL)
	}
	return nil
}

func (w writer) devices(c *registrar.Change) error {
	for _, d := range c.PutDevices {
		if err := w.device(d); err != nil {
			return conflict(err, "device", d.SerialNumber)
		}
	}
	return w.addDevices(c.AddDevices)
}

// conflict says which record it was, and turns a taken key into
// registrar.ErrConflict.
func conflict(err error, what, which string) error {
	if errors.Is(err, sqlitedb.ErrConstraint) {
		return fmt.Errorf("%s %q: %w: %w", what, which, registrar.ErrConflict, err)
	}
	return fmt.Errorf("%s %q: %w", what, which, err)
}

func (w writer) voucher(v *registrar.VoucherRecord) error {
	put := w.tx.Replace
	if v.State == "asked" {
		put = w.tx.Put // new, most likely
	}
	if v.State == "asked" && v.Nonce != "" {
		var other string
		err := w.tx.QueryRow("SELECT id FROM vouchers "+whereNonce+" AND id <> ? LIMIT 1", v.Domain, v.DeviceID, v.Nonce, v.ID).Scan(&other)
		switch {
		case err == nil:
			return fmt.Errorf("the nonce is that of exchange %s: %w", other, registrar.ErrConflict)
		case !errors.Is(err, sqlitedb.ErrNoRows):
			return err
		}
	}
	return put(w.t.vouchers, v.Domain, v.ID, v.DeviceID, v.Manufacturer, v.SerialNumber, v.Nonce, v.MediaType,
		v.RequestHash, v.State, v.Reason, v.At, v.PledgeRequest, v.RegistrarReq, v.Voucher, v.AuditLog,
		v.PledgeStatus, v.EnrollmentState)
}

func (w writer) pending(p *registrar.Pending) error {
	return w.tx.Put(w.t.pending, p.Domain, p.ID, p.Kind, p.Key, p.Manufacturer, p.SerialNumber, p.Subject, p.Address,
		p.State, p.Reason, p.Seen, p.FirstAt, p.LastAt, p.DecidedAt, p.DecidedBy, p.Evidence)
}

func (w writer) credential(k *registrar.Credential) error {
	err := w.tx.Put(w.t.credentials, k.Domain, k.User, k.Scheme, k.Salt, k.Digest, k.Group, k.Disabled, k.CreatedAt)
	if err != nil {
		return err
	}
	return w.tx.Put(w.t.digests, k.Domain, k.User, k.Realm, k.HA1.Reveal(), k.HA1MD5.Reveal())
}

// nobody checks that the condition finds no device of the name. The writer has the index at
// hand, so that this costs less than a reader's look.
func (w writer) nobody(name registrar.DeviceName, where string) error {
	var id string
	err := w.tx.QueryRow("SELECT id FROM devices "+where+" LIMIT 1", name.Domain, name.SerialNumber).Scan(&id)
	switch {
	case errors.Is(err, sqlitedb.ErrNoRows):
		return nil
	case err != nil:
		return err
	default:
		return fmt.Errorf("the name %q is that of device %s: %w", name.SerialNumber, id, registrar.ErrConflict)
	}
}
