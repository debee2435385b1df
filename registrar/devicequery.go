package registrar

import (
	"context"
	"time"
)

// DeviceQuery filters the inventory: what is listed has all that it names. Zero
// fields do not filter.
type DeviceQuery struct {
	Domain         string // required of a Store; the Service's own when empty
	State          DeviceState
	Manufacturer   string
	Group          string
	Model          string
	Firmware       string
	Batch          string
	HardwareModule string // as in Device
	SecureElement  string
	TPM            string
	Attributes     map[string]string // all of them; at most MaxAttributes
	SerialPrefix   string            // how the serial number begins, letter case as it is
	SeenAfter      time.Time         // seen at that time or later
	SeenBefore     time.Time         // seen, and before that time
	NeverSeen      bool              // contradicts the two before

	WithIDevID bool // return them; they are left out otherwise

	After string // DevicePage.Next of the page before; "" for the start
	Limit int    // 1 to 10000
}

// DevicePage is a part of what a query lists: in the order of serial numbers
// where it names a prefix, of the times where it names times and nothing that
// is rarer, and else in the order in which the devices came on record.
type DevicePage struct {
	Devices []*Device
	Next    string // for DeviceQuery.After; "" when nothing follows
}

// Matches tells whether a device is among those that the query is about; its
// domain, cursor and limit are not looked at.
func (q *DeviceQuery) Matches(d *Device) bool {
	same := func(want, has string) bool { return want == "" || want == has }
	for name, value := range q.Attributes {
		if has, ok := d.Attributes[name]; !ok || has != value {
			return false
		}
	}
	prefix := len(d.SerialNumber) >= len(q.SerialPrefix) && d.SerialNumber[:len(q.SerialPrefix)] == q.SerialPrefix
	return prefix && q.seen(d.SeenAt) && same(string(q.State), string(d.State)) && same(q.Manufacturer, d.Manufacturer) &&
		same(q.Group, d.Group) && same(q.Model, d.Model) && same(q.Firmware, d.Firmware) && same(q.Batch, d.Batch) &&
		same(q.HardwareModule, d.HardwareModule) && same(q.SecureElement, d.SecureElement) && same(q.TPM, d.TPM)
}

func (q *DeviceQuery) seen(at time.Time) bool {
	switch {
	case q.NeverSeen:
		return at.IsZero()
	case q.SeenAfter.IsZero() && q.SeenBefore.IsZero():
		return true
	default:
		return !at.IsZero() && !at.Before(q.SeenAfter) && (q.SeenBefore.IsZero() || at.Before(q.SeenBefore))
	}
}

// Check says what makes no sense in a query; an error wraps [ErrInvalid].
func (q *DeviceQuery) Check() error {
	switch q.State {
	case "", Expected, Vouched, Enrolled, Suspended, Decommissioned:
	default:
		return invalid("state %q; want expected, vouched, enrolled, suspended or decommissioned", q.State)
	}
	switch {
	case q.NeverSeen && (!q.SeenAfter.IsZero() || !q.SeenBefore.IsZero()):
		return invalid("devices that were never seen have no time of it; ask for one or the other")
	case len(q.Attributes) > MaxAttributes:
		return invalid("%d attributes; a device has at most %d", len(q.Attributes), MaxAttributes)
	default:
		return nil
	}
}

// QueryDevices lists devices by what they have; a limit of anything but 1 to
// 10000 is 10000. A page may be short although more follow: see DevicePage.Next.
func (s *Service) QueryDevices(ctx context.Context, q *DeviceQuery) (*DevicePage, error) {
	v, err := s.inDomain(q.Domain)
	if err != nil {
		return nil, err
	}
	if err := q.Check(); err != nil {
		return nil, err
	}
	asked := *q
	asked.Domain, asked.Limit = v.Domain, listLimit(q.Limit)
	return s.store.QueryDevices(ctx, &asked)
}
