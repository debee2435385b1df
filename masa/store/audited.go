package store

import (
	"context"
	"errors"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/masa"
)

// auditedDiffers gives rows where what was derived from the vouchers, for
// devices with several, is not what they say.
const auditedDiffers = `WITH several AS (
	SELECT domain, device_id FROM vouchers JOIN outcomes USING (seq) WHERE state = 'issued' GROUP BY 1, 2 HAVING count(*) > 1
), vouched AS (
	SELECT domain, device_id, pinned_key, coalesce(domain_id, x''), nonce = '', max(id), count(*)
	FROM vouchers JOIN outcomes USING (seq) JOIN several USING (domain, device_id) WHERE state = 'issued' GROUP BY 1, 2, 3, 4, 5
) SELECT * FROM (SELECT * FROM vouched EXCEPT SELECT * FROM audited)
UNION ALL SELECT * FROM (SELECT * FROM audited EXCEPT SELECT * FROM vouched) LIMIT 1`

// intendedDiffers gives a row if intended is not the vouchers that are.
const intendedDiffers = `WITH waiting AS (
	SELECT seq FROM vouchers LEFT JOIN outcomes USING (seq) WHERE coalesce(state, 'intended') = 'intended'
) SELECT * FROM (SELECT seq FROM waiting EXCEPT SELECT seq FROM intended)
UNION ALL SELECT * FROM (SELECT seq FROM intended EXCEPT SELECT seq FROM waiting) LIMIT 1`

// audit takes up an issued voucher of a device with several into audited; where
// it is the second, that of before too. One that is alone needs no row.
func (w *writer) audit(seq int64) error {
	for _, statement := range []string{auditBefore, auditThis} {
		if _, err := w.tx.Exec(statement, seq); err != nil {
			return err
		}
	}
	return nil
}

const auditBefore = `INSERT INTO audited SELECT b.domain, b.device_id, b.pinned_key, coalesce(b.domain_id, x''), b.nonce = '', b.id, 1
	FROM vouchers v JOIN vouchers b ON b.domain = v.domain AND b.device_id = v.device_id AND b.seq <> v.seq
	JOIN outcomes o ON o.seq = b.seq AND o.state = 'issued'
	WHERE v.seq = ? AND NOT EXISTS (SELECT 1 FROM audited a WHERE a.domain = v.domain AND a.device_id = v.device_id) LIMIT 1`

const auditThis = `INSERT INTO audited SELECT domain, device_id, pinned_key, coalesce(domain_id, x''), nonce = '', id, 1
	FROM vouchers v WHERE seq = ? AND EXISTS (SELECT 1 FROM audited a WHERE a.domain = v.domain AND a.device_id = v.device_id)
	ON CONFLICT DO UPDATE SET issued = issued + 1, newest = max(newest, excluded.newest)`

// differences are the queries that give no row while what is derived is right.
func differences() []string { return []string{auditedDiffers, intendedDiffers} }

// hadVoucher looks at the vouchers themselves only where there is one at most.
const hadVoucher = `SELECT 1 FROM audited WHERE domain = ? AND device_id = ? AND pinned_key = ?
UNION ALL SELECT 1 FROM vouchers v JOIN outcomes o ON o.seq = v.seq
	WHERE NOT EXISTS (SELECT 1 FROM audited WHERE domain = ? AND device_id = ?)
	AND v.domain = ? AND v.device_id = ? AND v.pinned_key = ? AND o.state = 'issued' LIMIT 1`

// HadVoucher implements masa.Audited.
func (s *Store) HadVoucher(ctx context.Context, domain, deviceID string, domainKey [32]byte) (bool, error) {
	var one int
	err := s.db.QueryRow(ctx, hadVoucher, domain, deviceID, domainKey, domain, deviceID, domain, deviceID, domainKey).Scan(&one)
	if errors.Is(err, sqlitedb.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

const newestPerDomain = `SELECT v.domain, v.id, v.device_id, v.product, v.serial_number, v.assertion, v.nonce, v.domain_id,
	v.pinned, v.pinned_key, v.request_hash, v.media_type, v.address, v.version, v.at, v.expires_on, o.state, o.reason, a.issued
	FROM audited a JOIN vouchers v ON v.domain = a.domain AND v.id = a.newest JOIN outcomes o ON o.seq = v.seq
	WHERE a.domain = ? AND a.device_id = ? ORDER BY a.newest DESC LIMIT ?`

const restPerDomain = `SELECT coalesce(sum(issued), 0) FROM (
	SELECT issued FROM audited WHERE domain = ? AND device_id = ? ORDER BY newest DESC LIMIT 1024 OFFSET ?)`

// NewestVouchers implements masa.Audited.
func (s *Store) NewestVouchers(ctx context.Context, domain, deviceID string, limit int) ([]*masa.DomainVouchers, int, error) {
	newest, err := list(ctx, s, func(row scanner) (*masa.DomainVouchers, error) {
		var d masa.DomainVouchers
		var err error
		d.Newest, err = scanVoucher(row, &d.Issued)
		return &d, err
	}, newestPerDomain, domain, deviceID, limit)
	if err == nil && len(newest) == 0 {
		newest, err = s.onlyVoucher(ctx, domain, deviceID, limit)
	}
	if err != nil || len(newest) < limit {
		return newest, 0, err
	}
	var rest int
	err = s.db.QueryRow(ctx, restPerDomain, domain, deviceID, limit).Scan(&rest)
	return newest, rest, err
}

// onlyVoucher returns the voucher of a device that has no second one.
func (s *Store) onlyVoucher(ctx context.Context, domain, deviceID string, limit int) ([]*masa.DomainVouchers, error) {
	vouchers, err := s.DeviceVouchers(ctx, domain, deviceID, min(limit, 1))
	var only []*masa.DomainVouchers
	for _, v := range vouchers {
		only = append(only, &masa.DomainVouchers{Newest: v, Issued: 1})
	}
	return only, err
}
