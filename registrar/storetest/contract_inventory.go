package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/registrar"
)

// fleet is on record in the order of its names, half of it with details.
func fleet(t *testing.T, s registrar.Store) {
	t.Helper()
	c := &registrar.Change{}
	for n := range 100 {
		d := device(1000 + n)
		d.SerialNumber, d.SeenAt = fmt.Sprintf("SN-%03d", n), time.Time{}
		if n%2 == 0 {
			d.State, d.SeenAt = registrar.Enrolled, at(n)
			d.Model, d.Firmware, d.Batch, d.Group = "m-1", fmt.Sprint(n%4), fmt.Sprintf("b-%d", n/10), "pumps"
			d.HardwareModule, d.SecureElement, d.TPM = fmt.Sprintf("1.2.3:%02x", n), fmt.Sprint("se-", n), fmt.Sprintf("%064x", n)
			d.Attributes = map[string]string{"site": fmt.Sprint("s", n%10), "floor": "1"}
		}
		if n%10 == 9 {
			d.Manufacturer = "other"
		}
		c.AddDevices = append(c.AddDevices, d)
	}
	theirs := detailed(7)
	theirs.Domain, theirs.SerialNumber = "other", "SN-000"
	theirs.Attributes = map[string]string{"site": "s0"}
	c.AddDevices = append(c.AddDevices, theirs)
	commit(t, s, c)
}

// found goes through all pages.
func found(t *testing.T, s registrar.Store, q registrar.DeviceQuery) []string {
	t.Helper()
	q.Domain = registrar.DefaultDomain
	var names []string
	for range 1000 {
		page, err := s.QueryDevices(t.Context(), &q)
		if err != nil {
			t.Fatalf("QueryDevices(%+v): %v", q, err)
		}
		if len(page.Devices) > q.Limit {
			t.Fatalf("QueryDevices(%+v): %d devices", q, len(page.Devices))
		}
		for _, d := range page.Devices {
			names = append(names, d.SerialNumber)
		}
		if q.After = page.Next; q.After == "" {
			return names
		}
	}
	t.Fatalf("QueryDevices(%+v) has no end", q)
	return nil
}

func testQueryDevices(t *testing.T, s registrar.Store) {
	fleet(t, s)
	for what, c := range map[string]struct {
		q    registrar.DeviceQuery
		want int
	}{
		"all":                 {registrar.DeviceQuery{}, 100},
		"state":               {registrar.DeviceQuery{State: registrar.Expected}, 50},
		"no such state":       {registrar.DeviceQuery{State: registrar.Suspended}, 0},
		"manufacturer":        {registrar.DeviceQuery{Manufacturer: "other"}, 10},
		"group":               {registrar.DeviceQuery{Group: "pumps"}, 50},
		"model":               {registrar.DeviceQuery{Model: "m-1"}, 50},
		"firmware":            {registrar.DeviceQuery{Firmware: "2"}, 25},
		"batch":               {registrar.DeviceQuery{Batch: "b-3"}, 5},
		"hardware module":     {registrar.DeviceQuery{HardwareModule: "1.2.3:04"}, 1},
		"secure element":      {registrar.DeviceQuery{SecureElement: "se-8"}, 1},
		"TPM":                 {registrar.DeviceQuery{TPM: fmt.Sprintf("%064x", 10)}, 1},
		"attribute":           {registrar.DeviceQuery{Attributes: map[string]string{"site": "s4"}}, 10},
		"two attributes":      {registrar.DeviceQuery{Attributes: map[string]string{"floor": "1", "site": "s4"}}, 10},
		"no such attribute":   {registrar.DeviceQuery{Attributes: map[string]string{"floor": "2"}}, 0},
		"seen after":          {registrar.DeviceQuery{SeenAfter: at(90)}, 5},
		"seen before":         {registrar.DeviceQuery{SeenBefore: at(10)}, 5},
		"seen between":        {registrar.DeviceQuery{SeenAfter: at(10), SeenBefore: at(20)}, 5},
		"never seen":          {registrar.DeviceQuery{NeverSeen: true}, 50},
		"prefix":              {registrar.DeviceQuery{SerialPrefix: "SN-01"}, 10},
		"prefix of nothing":   {registrar.DeviceQuery{SerialPrefix: "sn"}, 0},
		"prefix with a sign":  {registrar.DeviceQuery{SerialPrefix: "SN-%"}, 0},
		"prefix and state":    {registrar.DeviceQuery{SerialPrefix: "SN-01", State: registrar.Enrolled}, 5},
		"batch and firmware":  {registrar.DeviceQuery{Batch: "b-3", Firmware: "0"}, 2},
		"model and seen":      {registrar.DeviceQuery{Model: "m-1", SeenAfter: at(90)}, 5},
		"state and no seeing": {registrar.DeviceQuery{State: registrar.Enrolled, NeverSeen: true}, 0},
	} {
		for _, limit := range []int{1, 7, 10000} {
			c.q.Limit = limit
			got := found(t, s, c.q)
			if len(got) != c.want || !slices.IsSorted(got) || len(slices.Compact(got)) != c.want {
				t.Errorf("%s, by %d: %d devices %v, want %d in order, each once", what, limit, len(got), got, c.want)
			}
		}
	}
	d, err := s.Device(t.Context(), registrar.DefaultDomain, id(1000))
	if err != nil {
		t.Fatal(err)
	}
	changed := *d
	changed.Attributes, changed.State = map[string]string{"site": "s9"}, registrar.Suspended
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{&changed}})
	for what, c := range map[string]struct {
		q    registrar.DeviceQuery
		want int
	}{
		"attribute that it had": {registrar.DeviceQuery{Attributes: map[string]string{"site": "s0"}}, 9},
		"attribute that it has": {registrar.DeviceQuery{Attributes: map[string]string{"site": "s9"}}, 1},
		"state":                 {registrar.DeviceQuery{State: registrar.Suspended}, 1},
	} {
		c.q.Limit = 100
		if got := found(t, s, c.q); len(got) != c.want {
			t.Errorf("%s, after a change: %d devices, want %d", what, len(got), c.want)
		}
	}
}

func testDevicePages(t *testing.T, s registrar.Store) {
	fleet(t, s)
	q := &registrar.DeviceQuery{Domain: registrar.DefaultDomain, Model: "m-1", Limit: 2}
	page, err := s.QueryDevices(t.Context(), q)
	if err != nil || len(page.Devices) != 2 || page.Next == "" {
		t.Fatalf("QueryDevices = %+v, %v", page, err)
	}
	d := device(1000)
	d.State = registrar.Suspended // while somebody lists
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{d}})
	if page.Devices[0].IDevID != nil {
		t.Error("an IDevID is in a list that was not to have any")
	}
	q.WithIDevID = true
	if page, err = s.QueryDevices(t.Context(), q); err != nil || len(page.Devices) != 2 || page.Devices[0].IDevID == nil {
		t.Errorf("QueryDevices with IDevIDs = %+v, %v", page, err)
	}
	for _, cursor := range []string{"x", "\xff", "r", "rWzFd=", "nonsense"} {
		q.After = cursor
		if _, err := s.QueryDevices(t.Context(), q); !errors.Is(err, registrar.ErrInvalid) {
			t.Errorf("QueryDevices after %q: %v, want ErrInvalid", cursor, err)
		}
	}
}

func testAddDevices(t *testing.T, s registrar.Store) {
	ctx, domain := t.Context(), registrar.DefaultDomain
	c := &registrar.Change{}
	var all []*registrar.Device
	for n := range 3*32 + 5 {
		d := device(n)
		switch n % 3 {
		case 1:
			d = detailed(n)
		case 2:
			d.IDevID = nil
		}
		d.SerialNumber = fmt.Sprintf("SN-%03d", n)
		all, c.AddDevices = append(all, d), append(c.AddDevices, d)
	}
	commit(t, s, c)
	got, err := s.ListDevices(ctx, domain, "", 1000)
	want(t, "what was added", got, err, all)
	for _, n := range []int{0, 40, 100} {
		same := device(500)
		same.SerialNumber = all[n].SerialNumber
		many := make([]*registrar.Device, 0, 60)
		for i := range 59 {
			many = append(many, device(1000+i))
		}
		wantConflict(t, s, "a name that is on record", &registrar.Change{AddDevices: append(many, same)})
		again := device(n)
		again.SerialNumber = "another"
		wantConflict(t, s, "an ID that is on record", &registrar.Change{AddDevices: []*registrar.Device{again}})
	}
	got, err = s.ListDevices(ctx, domain, "", 1000)
	want(t, "what was added, after conflicts", got, err, all)
}

func testDevicesNamed(t *testing.T, s registrar.Store) {
	fleet(t, s)
	for what, c := range map[string]struct {
		names []string
		want  int
	}{
		"none": {nil, 0}, "new ones": {[]string{"A", "B"}, 0}, "some": {[]string{"Z", "SN-001", "SN-050", "A"}, 2},
		"another manufacturer's": {[]string{"SN-009"}, 0}, "odd ones": {[]string{"\"", "'", "\x00", "\\", "SN-002"}, 1},
	} {
		got, err := s.DevicesNamed(t.Context(), registrar.DefaultDomain, "acme", c.names)
		if err != nil || len(got) != c.want {
			t.Errorf("DevicesNamed of %s: %d, %v; want %d", what, len(got), err, c.want)
		}
		for _, d := range got {
			if !slices.Contains(c.names, d.SerialNumber) || d.IDevID == nil {
				t.Errorf("DevicesNamed of %s: %+v", what, d)
			}
		}
	}
}
