package storetest

import (
	"cmp"
	"context"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// Device implements registrar.Devices.
func (m *Memory) Device(ctx context.Context, domain, id string) (*registrar.Device, error) {
	s, err := m.read(ctx)
	return first(pick(s.devices, 1, func(d *registrar.Device) bool {
		return d.Domain == domain && d.ID == id
	}, byID, copyDevice), err)
}

// DeviceBySerialNumber implements registrar.Devices.
func (m *Memory) DeviceBySerialNumber(ctx context.Context, domain, manufacturer, serialNumber string) (*registrar.Device, error) {
	s, err := m.read(ctx)
	return first(pick(s.devices, 1, func(d *registrar.Device) bool {
		return d.Domain == domain && d.Manufacturer == manufacturer && d.SerialNumber == serialNumber
	}, byID, copyDevice), err)
}

// FindDevices implements registrar.Devices.
func (m *Memory) FindDevices(ctx context.Context, domain, serialNumber string) ([]*registrar.Device, error) {
	s, err := m.read(ctx)
	return pick(s.devices, 0, func(d *registrar.Device) bool {
		return d.Domain == domain && d.SerialNumber == serialNumber
	}, func(a, b *registrar.Device) int { return cmp.Compare(a.Manufacturer, b.Manufacturer) }, copyDevice), err
}

// FindIDevIDs implements registrar.Devices.
func (m *Memory) FindIDevIDs(ctx context.Context, domain, serialNumber string) ([]*registrar.Device, error) {
	s, err := m.read(ctx)
	return pick(s.devices, 0, func(d *registrar.Device) bool { return isIDevID(d, domain, serialNumber) },
		func(a, b *registrar.Device) int {
			return cmp.Or(cmp.Compare(a.Manufacturer, b.Manufacturer), cmp.Compare(a.SerialNumber, b.SerialNumber))
		}, copyDevice), err
}

func isIDevID(d *registrar.Device, domain, serialNumber string) bool {
	return d.Manufacturer != "" && d.Domain == domain && asciiLower(d.SerialNumber) == asciiLower(serialNumber)
}

func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// ListDevices implements registrar.Devices.
func (m *Memory) ListDevices(ctx context.Context, domain, after string, limit int) ([]*registrar.Device, error) {
	s, err := m.read(ctx)
	return pick(s.devices, limit, func(d *registrar.Device) bool {
		return d.Domain == domain && d.ID > after
	}, byID, copyDevice), err
}

// VoucherByRequest implements registrar.Vouchers.
func (m *Memory) VoucherByRequest(ctx context.Context, domain string, requestHash [32]byte) (*registrar.VoucherRecord, error) {
	s, err := m.read(ctx)
	return first(pick(s.vouchers, 1, func(v *registrar.VoucherRecord) bool {
		return v.Domain == domain && v.RequestHash == requestHash
	}, newestVoucher, copyVoucher), err)
}

// VoucherByNonce implements registrar.Vouchers.
func (m *Memory) VoucherByNonce(ctx context.Context, domain, deviceID, nonce string) (*registrar.VoucherRecord, error) {
	s, err := m.read(ctx)
	return first(pick(s.vouchers, 1, func(v *registrar.VoucherRecord) bool {
		return v.Domain == domain && v.DeviceID == deviceID && v.Nonce == nonce && nonce != ""
	}, newestVoucher, copyVoucher), err)
}

// LatestVoucher implements registrar.Vouchers.
func (m *Memory) LatestVoucher(ctx context.Context, domain, deviceID string) (*registrar.VoucherRecord, error) {
	s, err := m.read(ctx)
	return first(pick(s.vouchers, 1, func(v *registrar.VoucherRecord) bool {
		return v.Domain == domain && v.DeviceID == deviceID
	}, newestVoucher, copyVoucher), err)
}

// ListVouchers implements registrar.Vouchers.
func (m *Memory) ListVouchers(ctx context.Context, domain, deviceID string) ([]*registrar.VoucherRecord, error) {
	s, err := m.read(ctx)
	return pick(s.vouchers, 0, func(v *registrar.VoucherRecord) bool {
		return v.Domain == domain && v.DeviceID == deviceID
	}, func(a, b *registrar.VoucherRecord) int { return newestVoucher(b, a) }, copyVoucher), err
}

// UnansweredVouchers implements registrar.Vouchers.
func (m *Memory) UnansweredVouchers(ctx context.Context) ([]*registrar.VoucherRecord, error) {
	s, err := m.read(ctx)
	return pick(s.vouchers, 0, func(v *registrar.VoucherRecord) bool { return v.State == "asked" },
		func(a, b *registrar.VoucherRecord) int { return newestVoucher(b, a) }, copyVoucher), err
}

func newestPending(a, b *registrar.Pending) int { return cmp.Compare(b.ID, a.ID) }

// Pending implements registrar.Requests.
func (m *Memory) Pending(ctx context.Context, domain, id string) (*registrar.Pending, error) {
	s, err := m.read(ctx)
	return first(pick(s.pending, 1, func(p *registrar.Pending) bool {
		return p.Domain == domain && p.ID == id
	}, newestPending, copyPending), err)
}

// PendingByKey implements registrar.Requests.
func (m *Memory) PendingByKey(ctx context.Context, domain, kind, key string) (*registrar.Pending, error) {
	s, err := m.read(ctx)
	return first(pick(s.pending, 1, func(p *registrar.Pending) bool {
		return p.Domain == domain && p.Kind == kind && p.Key == key
	}, newestPending, copyPending), err)
}

// ListPending implements registrar.Requests.
func (m *Memory) ListPending(ctx context.Context, domain, state string, limit int) ([]*registrar.Pending, error) {
	s, err := m.read(ctx)
	return pick(s.pending, limit, func(p *registrar.Pending) bool {
		return p.Domain == domain && (state == "" || p.State == state)
	}, newestPending, copyPending), err
}

// CountPending implements registrar.Requests: it counts what is waiting.
func (m *Memory) CountPending(ctx context.Context, domain string) (int, error) {
	waiting, err := m.ListPending(ctx, domain, "waiting", 0)
	return len(waiting), err
}

// Credential implements registrar.Credentials.
func (m *Memory) Credential(ctx context.Context, domain, user string) (*registrar.Credential, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	k := s.credentials[name{domain, user}]
	if k == nil {
		return nil, registrar.ErrNotFound
	}
	return copyCredential(k), nil
}

// ListCredentials implements registrar.Credentials.
func (m *Memory) ListCredentials(ctx context.Context, domain string) ([]*registrar.Credential, error) {
	s, err := m.read(ctx)
	return pick(s.credentials, 0, func(k *registrar.Credential) bool { return k.Domain == domain },
		func(a, b *registrar.Credential) int { return cmp.Compare(a.User, b.User) }, copyCredential), err
}

// TrailEntries implements registrar.Trail.
func (m *Memory) TrailEntries(ctx context.Context, domain, device string, from int64, limit int) ([]*trail.Entry, error) {
	s, err := m.read(ctx)
	var out []*trail.Entry
	for _, e := range s.trail {
		if len(out) < limit && e.Seq >= from && e.Domain == domain && (device == "" || e.Device == device) {
			c := copyEntry(e)
			c.Seq = e.Seq
			out = append(out, c)
		}
	}
	return out, err
}
