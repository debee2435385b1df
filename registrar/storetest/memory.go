// Package storetest is the contract that every registrar.Store passes
// ([TestStore]), and a Store in memory for tests ([Memory]).
package storetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// Memory is a registrar.Store that forgets everything when the process ends.
// It answers as the SQLite store does, and fails when a test tells it to.
type Memory struct {
	mu     sync.Mutex
	state  *state                        // replaced as a whole by Commit; guarded by mu
	before func(*registrar.Change) error // guarded by mu
	after  func(*registrar.Change) error // guarded by mu
}

var _ registrar.Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{state: newState()} }

// FailBefore has every Commit call f first and, when it returns an error,
// return that with nothing stored. Nil ends it.
func (m *Memory) FailBefore(f func(*registrar.Change) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = f
}

// FailAfter has every Commit call f after the change is stored and return its
// error, as if the answer had been lost. Nil ends it.
func (m *Memory) FailAfter(f func(*registrar.Change) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.after = f
}

// Commit implements registrar.Committer.
func (m *Memory) Commit(ctx context.Context, c *registrar.Change) error {
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
	}
	m.state = next
	if m.after != nil {
		return m.after(c)
	}
	return nil
}

// name is a key within a domain.
type name struct{ domain, id string }

// issuance is a certificate with the order in which it came.
type issuance struct {
	registrar.Certificate
	order int
}

// state holds copies that are never changed, only replaced.
type state struct {
	devices      map[name]*registrar.Device
	certificates map[name]*issuance
	outstanding  map[name]*registrar.Outstanding
	untold       map[name]*registrar.Untold
	vouchers     map[name]*registrar.VoucherRecord
	ahead        map[name]*registrar.AheadVoucher
	pending      map[name]*registrar.Pending
	credentials  map[name]*registrar.Credential // by user
	apiTokens    map[name]*registrar.APIToken
	replies      map[replyKey]*registrar.Reply
	codes        map[name]*registrar.Code // by serial number
	owners       map[name]*registrar.DeviceOwner
	groups       map[string][]*registrar.GroupDocument // by domain, in order of version
	lists        map[scope]*registrar.CRL              // the latest
	quarantines  map[name]*registrar.Quarantine
	baselines    map[name][]*registrar.BaselineDocument // by group, in order of version
	deliveries   map[name]*registrar.BaselineDelivery   // by device
	revocations  map[place][]*registrar.Revocation
	partitions   map[place][]int
	trail        []*trail.Entry
}

func newState() *state {
	return &state{
		devices:      map[name]*registrar.Device{},
		certificates: map[name]*issuance{},
		outstanding:  map[name]*registrar.Outstanding{},
		untold:       map[name]*registrar.Untold{},
		vouchers:     map[name]*registrar.VoucherRecord{},
		ahead:        map[name]*registrar.AheadVoucher{},
		pending:      map[name]*registrar.Pending{},
		credentials:  map[name]*registrar.Credential{},
		codes:        map[name]*registrar.Code{},
		apiTokens:    map[name]*registrar.APIToken{},
		replies:      map[replyKey]*registrar.Reply{},
		owners:       map[name]*registrar.DeviceOwner{},
		groups:       map[string][]*registrar.GroupDocument{},
		quarantines:  map[name]*registrar.Quarantine{},
		baselines:    map[name][]*registrar.BaselineDocument{},
		deliveries:   map[name]*registrar.BaselineDelivery{},
		lists:        map[scope]*registrar.CRL{},
		revocations:  map[place][]*registrar.Revocation{},
		partitions:   map[place][]int{},
	}
}

func (s *state) clone() *state {
	return &state{
		devices:      maps.Clone(s.devices),
		certificates: maps.Clone(s.certificates),
		outstanding:  maps.Clone(s.outstanding),
		untold:       maps.Clone(s.untold),
		vouchers:     maps.Clone(s.vouchers),
		ahead:        maps.Clone(s.ahead),
		pending:      maps.Clone(s.pending),
		credentials:  maps.Clone(s.credentials),
		codes:        maps.Clone(s.codes),
		apiTokens:    maps.Clone(s.apiTokens),
		replies:      maps.Clone(s.replies),
		owners:       maps.Clone(s.owners),
		groups:       maps.Clone(s.groups),
		quarantines:  maps.Clone(s.quarantines),
		baselines:    maps.Clone(s.baselines),
		deliveries:   maps.Clone(s.deliveries),
		lists:        maps.Clone(s.lists),
		revocations:  maps.Clone(s.revocations),
		partitions:   maps.Clone(s.partitions),
		trail:        slices.Clone(s.trail),
	}
}

func conflict(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), registrar.ErrConflict)
}

func (s *state) apply(c *registrar.Change) error {
	for _, name := range c.Unclaimed {
		for _, d := range s.devices {
			if d.Domain == name.Domain && d.SerialNumber == name.SerialNumber {
				return conflict("the name %q is that of device %s", name.SerialNumber, d.ID)
			}
		}
	}
	for _, name := range c.NoIDevIDs {
		for _, d := range s.devices {
			if isIDevID(d, name.Domain, name.SerialNumber) {
				return conflict("the name %q is that of device %s", name.SerialNumber, d.ID)
			}
		}
	}
	if err := s.within(c.Quota, func() error { return s.putDevices(c) }); err != nil {
		return err
	}
	for _, r := range c.Regroup {
		s.regroup(r)
	}
	for _, g := range c.PutGroups {
		if err := s.putGroups(g); err != nil {
			return err
		}
	}
	for _, q := range c.PutQuarantines {
		s.putQuarantine(q)
	}
	for _, d := range c.PutBaselines {
		if err := s.putBaseline(d); err != nil {
			return err
		}
	}
	for _, d := range c.PutDeliveries {
		s.putDelivery(d)
	}
	for _, o := range c.PutOwners {
		s.putOwner(o)
	}
	if err := s.applyCertificates(c); err != nil {
		return err
	}
	for _, v := range c.PutVouchers {
		if err := s.putVoucher(v); err != nil {
			return err
		}
	}
	for _, a := range c.PutAhead {
		s.ahead[name{a.Domain, a.ID}] = copyAhead(a)
	}
	for _, p := range c.PutPending {
		if err := s.putPending(p); err != nil {
			return err
		}
	}
	for _, k := range c.PutCredentials {
		s.credentials[name{k.Domain, k.User}] = copyCredential(k)
	}
	if err := s.applyAPI(c); err != nil {
		return err
	}
	if err := s.applyCodes(c); err != nil {
		return err
	}
	for _, p := range c.PutPartitions {
		s.putPartitions(p)
	}
	if c.PutCRL != nil {
		if err := s.putCRL(c.PutCRL); err != nil {
			return err
		}
	}
	for _, e := range c.Trail {
		e = copyEntry(e)
		e.Seq = int64(len(s.trail))
		s.trail = append(s.trail, e)
	}
	return nil
}

func (s *state) putDevices(c *registrar.Change) error {
	for _, d := range c.PutDevices {
		if err := s.putDevice(d); err != nil {
			return err
		}
	}
	for _, d := range c.AddDevices {
		if _, ok := s.devices[name{d.Domain, d.ID}]; ok {
			return conflict("the device %s is on record", d.ID)
		}
		if err := s.putDevice(d); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) putDevice(d *registrar.Device) error {
	for k, o := range s.devices {
		if o.Domain == d.Domain && o.Manufacturer == d.Manufacturer && o.SerialNumber == d.SerialNumber && k.id != d.ID {
			return conflict("device %s", d.SerialNumber)
		}
	}
	row := copyDevice(d)
	if old := s.devices[name{d.Domain, d.ID}]; old != nil {
		row.Group, row.GroupPinned = old.Group, old.GroupPinned
	}
	s.devices[name{d.Domain, d.ID}] = row
	return nil
}

func (s *state) putVoucher(v *registrar.VoucherRecord) error {
	for k, o := range s.vouchers {
		if o.Domain == v.Domain && o.RequestHash == v.RequestHash && k.id != v.ID {
			return conflict("voucher-request of %s", v.SerialNumber)
		}
		if v.State == "asked" && v.Nonce != "" && o.Domain == v.Domain && o.DeviceID == v.DeviceID && o.Nonce == v.Nonce && k.id != v.ID {
			return conflict("nonce of %s", v.SerialNumber)
		}
	}
	s.vouchers[name{v.Domain, v.ID}] = copyVoucher(v)
	return nil
}

func (s *state) putPending(p *registrar.Pending) error {
	for k, o := range s.pending {
		if o.Domain == p.Domain && o.Kind == p.Kind && o.Key == p.Key && k.id != p.ID {
			return conflict("request %s", p.Key)
		}
	}
	s.pending[name{p.Domain, p.ID}] = copyPending(p)
	return nil
}

// read calls f with a state that does not change.
func (m *Memory) read(ctx context.Context) (*state, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, ctx.Err()
}

// pick returns copies of the values that keep holds of, in the given order,
// up to limit (0 for all).
func pick[K comparable, V any](from map[K]*V, limit int, keep func(*V) bool, order func(a, b *V) int, dup func(*V) *V) []*V {
	var out []*V
	for _, v := range from {
		if keep(v) {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, order)
	if limit > 0 && len(out) > limit {
		out = out[:limit]
	}
	for i := range out {
		out[i] = dup(out[i])
	}
	return out
}

func first[V any](all []*V, err error) (*V, error) {
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, registrar.ErrNotFound
	}
	return all[0], nil
}

func byID(a, b *registrar.Device) int { return cmp.Compare(a.ID, b.ID) }

func newestVoucher(a, b *registrar.VoucherRecord) int { return cmp.Compare(b.ID, a.ID) }

func moment(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

func blob(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return slices.Clone(b)
}
