// Package storetest is the contract that every masa.Store passes
// ([TestStore]), and a Store in memory for tests ([Memory]).
package storetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/masa"
)

// Memory is a masa.Store that forgets everything when the process ends. It
// answers as the SQLite store does, and fails when a test tells it to.
type Memory struct {
	mu     sync.Mutex
	state  *state                   // replaced as a whole by Commit; guarded by mu
	before func(*masa.Change) error // guarded by mu
	after  func(*masa.Change) error // guarded by mu
}

var _ masa.Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{state: &state{}} }

// FailBefore has every Commit call f first and, when it returns an error,
// return that with nothing stored. Nil ends it.
func (m *Memory) FailBefore(f func(*masa.Change) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = f
}

// FailAfter has every Commit call f after the change is stored and return its
// error, as if the answer had been lost. Nil ends it.
func (m *Memory) FailAfter(f func(*masa.Change) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.after = f
}

// Commit implements masa.Committer.
func (m *Memory) Commit(ctx context.Context, c *masa.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.before != nil {
		if err := m.before(c); err != nil {
			return err
		}
	}
	next := m.state.clone()
	if err := next.apply(c); err != nil {
		return err
	}
	for i, e := range c.Trail {
		e.Seq = int64(len(m.state.trail) + i)
		kept := *e
		next.trail = append(next.trail, &kept)
	}
	m.state = next
	if m.after != nil {
		return m.after(c)
	}
	return nil
}

// name is a key within a domain.
type name struct{ domain, id string }

// state holds rows by value, so that nobody else's pointer leads into it.
type state struct {
	devices  map[name]masa.Device
	owners   map[name]masa.Owner
	claims   map[name]masa.Claim
	vouchers map[name]masa.VoucherRecord
	restores map[name]masa.Restore
	trail    []*trail.Entry
}

func (s *state) clone() *state {
	c := &state{
		devices: maps.Clone(s.devices), owners: maps.Clone(s.owners), claims: maps.Clone(s.claims), vouchers: maps.Clone(s.vouchers), restores: maps.Clone(s.restores),
		trail: slices.Clone(s.trail),
	}
	if c.devices == nil {
		c.devices, c.owners = map[name]masa.Device{}, map[name]masa.Owner{}
		c.claims, c.vouchers = map[name]masa.Claim{}, map[name]masa.VoucherRecord{}
		c.restores = map[name]masa.Restore{}
	}
	return c
}

func conflict(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), masa.ErrConflict)
}

func (s *state) apply(c *masa.Change) error {
	for _, d := range c.PutDevices {
		for k, other := range s.devices {
			if k.domain == d.Domain && k.id != d.ID && other.Product == d.Product && other.SerialNumber == d.SerialNumber {
				return conflict("device %q", d.SerialNumber)
			}
		}
		s.devices[name{d.Domain, d.ID}] = *d
	}
	for _, o := range c.PutOwners {
		s.owners[name{o.Domain, o.ID}] = *o
	}
	for _, l := range c.PutClaims {
		if old := s.claims[name{l.Domain, l.ID}]; !old.RedeemedAt.IsZero() || !old.EndedAt.IsZero() {
			return conflict("claim %s is done with", l.ID)
		}
		s.claims[name{l.Domain, l.ID}] = *l
	}
	for _, r := range c.PutRestores {
		s.restores[name{r.Domain, r.ID}] = *r
	}
	for _, v := range c.Intents {
		if err := s.intent(*v); err != nil {
			return err
		}
	}
	for _, v := range c.Issued {
		if err := s.outcome(v, masa.Issued, "", v.Voucher); err != nil {
			return err
		}
	}
	for _, v := range c.Failed {
		if err := s.outcome(v, masa.Failed, v.Reason, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) intent(v masa.VoucherRecord) error {
	key := name{v.Domain, v.ID}
	if s.vouchers[key].State == masa.Issued {
		return conflict("voucher %s is issued", v.ID)
	}
	for k, other := range s.vouchers {
		if k.domain == v.Domain && k.id != v.ID && v.Nonce != "" && other.DeviceID == v.DeviceID && other.Nonce == v.Nonce {
			return conflict("nonce of voucher %s", v.ID)
		}
	}
	v.State, v.Reason, v.Voucher = masa.Intended, "", nil
	s.vouchers[key] = v
	return nil
}

func (s *state) outcome(v *masa.VoucherRecord, to masa.VoucherState, reason string, raw []byte) error {
	row, ok := s.vouchers[name{v.Domain, v.ID}]
	same := row.RequestHash == v.RequestHash && row.MediaType == v.MediaType && row.At.Equal(v.At)
	if !ok || row.State != masa.Intended || !same {
		return conflict("voucher %s is not intended, or for another request", v.ID)
	}
	row.State, row.Reason, row.Voucher = to, reason, slices.Clone(raw)
	s.vouchers[name{v.Domain, v.ID}] = row
	return nil
}

// rows returns copies of the rows of a domain ("" for all) that are wanted, in order of ID.
func rows[T any](m *Memory, table func(*state) map[name]T, domain string, wanted func(id string, row *T) bool) []*T {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := table(m.state)
	keys := slices.SortedFunc(maps.Keys(all), func(a, b name) int { return cmp.Compare(a.id, b.id) })
	var out []*T
	for _, k := range keys {
		row := all[k]
		if (domain == "" || k.domain == domain) && wanted(k.id, &row) {
			out = append(out, &row)
		}
	}
	return out
}

func devices(s *state) map[name]masa.Device         { return s.devices }
func owners(s *state) map[name]masa.Owner           { return s.owners }
func claims(s *state) map[name]masa.Claim           { return s.claims }
func vouchers(s *state) map[name]masa.VoucherRecord { return s.vouchers }

func restores(s *state) map[name]masa.Restore { return s.restores }

func one[T any](found []*T) (*T, error) {
	if len(found) == 0 {
		return nil, masa.ErrNotFound
	}
	return found[0], nil
}

func first[T any](found []*T, limit int) []*T { return found[:min(limit, len(found))] }

// Device implements masa.Devices.
func (m *Memory) Device(_ context.Context, domain, id string) (*masa.Device, error) {
	return one(rows(m, devices, domain, func(row string, _ *masa.Device) bool { return row == id }))
}

// DeviceBySerialNumber implements masa.Devices.
func (m *Memory) DeviceBySerialNumber(_ context.Context, domain, product, serialNumber string) (*masa.Device, error) {
	return one(rows(m, devices, domain, func(_ string, d *masa.Device) bool {
		return d.Product == product && d.SerialNumber == serialNumber
	}))
}

// FindDevices implements masa.Devices.
func (m *Memory) FindDevices(_ context.Context, domain, serialNumber string) ([]*masa.Device, error) {
	return rows(m, devices, domain, func(_ string, d *masa.Device) bool { return d.SerialNumber == serialNumber }), nil
}

// ListDevices implements masa.Devices.
func (m *Memory) ListDevices(_ context.Context, domain, after string, limit int) ([]*masa.Device, error) {
	return first(rows(m, devices, domain, func(id string, _ *masa.Device) bool { return id > after }), limit), nil
}

// Owners implements masa.Owners.
func (m *Memory) Owners(_ context.Context, domain, deviceID string) ([]*masa.Owner, error) {
	return rows(m, owners, domain, func(_ string, o *masa.Owner) bool { return o.DeviceID == deviceID }), nil
}

// Claims implements masa.Owners.
func (m *Memory) Claims(_ context.Context, domain, deviceID string) ([]*masa.Claim, error) {
	return rows(m, claims, domain, func(_ string, c *masa.Claim) bool { return c.DeviceID == deviceID }), nil
}

// ClaimsByCode implements masa.Owners.
func (m *Memory) ClaimsByCode(_ context.Context, domain string, codeHash [32]byte) ([]*masa.Claim, error) {
	return rows(m, claims, domain, func(_ string, c *masa.Claim) bool { return bytes.Equal(c.CodeHash, codeHash[:]) }), nil
}

// Restores implements masa.Restores.
func (m *Memory) Restores(context.Context) ([]*masa.Restore, error) {
	return rows(m, restores, "", func(string, *masa.Restore) bool { return true }), nil
}

// VoucherByNonce implements masa.Vouchers.
func (m *Memory) VoucherByNonce(_ context.Context, domain, deviceID, nonce string) (*masa.VoucherRecord, error) {
	return one(rows(m, vouchers, domain, func(_ string, v *masa.VoucherRecord) bool {
		return nonce != "" && v.DeviceID == deviceID && v.Nonce == nonce
	}))
}

// NoncelessByRequest implements masa.Vouchers.
func (m *Memory) NoncelessByRequest(_ context.Context, domain string, requestHash [32]byte) (*masa.VoucherRecord, error) {
	found := rows(m, vouchers, domain, func(_ string, v *masa.VoucherRecord) bool {
		return v.Nonce == "" && v.RequestHash == requestHash
	})
	slices.Reverse(found)
	return one(found)
}

func listed(found []*masa.VoucherRecord) []*masa.VoucherRecord {
	for _, v := range found {
		v.Request, v.Voucher = nil, nil
	}
	return found
}

// DeviceVouchers implements masa.Vouchers.
func (m *Memory) DeviceVouchers(_ context.Context, domain, deviceID string, limit int) ([]*masa.VoucherRecord, error) {
	found := listed(rows(m, vouchers, domain, func(_ string, v *masa.VoucherRecord) bool {
		return v.DeviceID == deviceID && v.State == masa.Issued
	}))
	slices.Reverse(found)
	if limit > 0 {
		found = first(found, limit)
	}
	return found, nil
}

// HadVoucher implements masa.Audited.
func (m *Memory) HadVoucher(_ context.Context, domain, deviceID string, domainKey [32]byte) (bool, error) {
	return len(rows(m, vouchers, domain, func(_ string, v *masa.VoucherRecord) bool {
		return v.DeviceID == deviceID && v.State == masa.Issued && v.PinnedKey == domainKey
	})) > 0, nil
}

// NewestVouchers implements masa.Audited.
func (m *Memory) NewestVouchers(ctx context.Context, domain, deviceID string, limit int) (newest []*masa.DomainVouchers, rest int, err error) {
	all, err := m.DeviceVouchers(ctx, domain, deviceID, 0)
	if err != nil {
		return nil, 0, err
	}
	type kind struct {
		key       [32]byte
		id        string
		nonceless bool
	}
	index := make(map[kind]*masa.DomainVouchers)
	for _, v := range all {
		k := kind{v.PinnedKey, string(v.DomainID), v.Nonce == ""}
		if index[k] == nil {
			index[k] = &masa.DomainVouchers{Newest: v}
			newest = append(newest, index[k])
		}
		index[k].Issued++
	}
	for _, d := range first(newest[min(limit, len(newest)):], 1024) {
		rest += d.Issued
	}
	return first(newest, limit), rest, nil
}

// ListVouchers implements masa.Vouchers.
func (m *Memory) ListVouchers(_ context.Context, domain, after string, limit int) ([]*masa.VoucherRecord, error) {
	return first(listed(rows(m, vouchers, domain, func(id string, _ *masa.VoucherRecord) bool { return id > after })), limit), nil
}

// OpenIntents implements masa.Vouchers.
func (m *Memory) OpenIntents(context.Context) ([]*masa.VoucherRecord, error) {
	return rows(m, vouchers, "", func(_ string, v *masa.VoucherRecord) bool { return v.State == masa.Intended }), nil
}

// TrailEntries implements masa.Trail.
func (m *Memory) TrailEntries(_ context.Context, domain, device string, from int64, limit int) ([]*trail.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*trail.Entry
	for _, e := range m.state.trail {
		if e.Seq >= from && e.Domain == domain && (device == "" || e.Device == device) && len(out) < limit {
			kept := *e
			out = append(out, &kept)
		}
	}
	return out, nil
}
