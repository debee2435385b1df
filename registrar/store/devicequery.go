package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/briskest/briskest/registrar"
)

// maxLooks is how many devices one page looks at, where the index that it goes
// by has others too. It bounds the time that a page takes.
const maxLooks = 512

// road is how a query goes through the devices: by one index, in its order. Its
// texts are few, whatever is asked for, since each is prepared once.
type road struct {
	kind  byte // of its cursors
	from  string
	where string
	args  []any
	order []string
	whole bool // the index has no other devices
}

// QueryDevices implements registrar.Inventory.
func (s *Store) QueryDevices(ctx context.Context, q *registrar.DeviceQuery) (*registrar.DevicePage, error) {
	r := roadOf(q)
	where, args := r.where, r.args
	if q.After != "" {
		at, err := r.place(q.After)
		if err != nil {
			return nil, err
		}
		marks := strings.TrimSuffix(strings.Repeat("?, ", len(at)), ", ")
		where, args = where+" AND ("+strings.Join(r.order, ", ")+") > ("+marks+")", append(args, at...)
	}
	looks := q.Limit
	if !r.whole {
		looks = max(looks, maxLooks)
	}
	idevid := "NULL"
	if q.WithIDevID {
		idevid = deviceIDevID
	}
	query := "SELECT devices.row, " + deviceBefore + idevid + deviceAfter + r.from + where + " ORDER BY " + strings.Join(r.order, ", ") + " LIMIT ?"
	return s.page(ctx, q, r, looks, query, append(args, looks)...)
}

// page goes through the rows until there are enough.
func (s *Store) page(ctx context.Context, q *registrar.DeviceQuery, r *road, looks int, query string, args ...any) (*registrar.DevicePage, error) {
	rows, err := s.db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	page := &registrar.DevicePage{}
	for looked := 1; rows.Next(); looked++ {
		var row int64
		d, err := scanDevice(scanAfter{rows, &row})
		if err != nil {
			return nil, err
		}
		if q.Matches(d) {
			page.Devices = append(page.Devices, d)
		}
		if len(page.Devices) == q.Limit || looked == looks {
			page.Next = r.cursor(row, d)
			return page, nil
		}
	}
	return page, rows.Err()
}

// scanAfter is a scanner of rows with one number before the others.
type scanAfter struct {
	scanner
	row *int64
}

// Scan implements scanner.
func (s scanAfter) Scan(dest ...any) error {
	return s.scanner.Scan(append([]any{s.row}, dest...)...)
}

// roadOf chooses the index that is likely to have the fewest devices beside
// those that are asked for.
func roadOf(q *registrar.DeviceQuery) *road {
	filters := 0
	for _, v := range []string{
		q.HardwareModule, q.TPM, q.SecureElement, q.Batch, q.Group, q.Firmware, q.Model, q.Manufacturer, string(q.State), q.SerialPrefix,
	} {
		if v != "" {
			filters++
		}
	}
	seen := q.NeverSeen || !q.SeenAfter.IsZero() || !q.SeenBefore.IsZero()
	if seen {
		filters++
	}
	filters += len(q.Attributes)
	r := chooseRoad(q)
	r.whole = filters == 0 || filters == 1 && !q.NeverSeen
	return r
}

func chooseRoad(q *registrar.DeviceQuery) *road {
	rare := q.State == registrar.Suspended || q.State == registrar.Decommissioned
	switch {
	case q.HardwareModule != "":
		return byValue(q.Domain, "hardware_module", q.HardwareModule)
	case q.TPM != "":
		return byValue(q.Domain, "tpm", q.TPM)
	case q.SecureElement != "":
		return byValue(q.Domain, "secure_element", q.SecureElement)
	case rare:
		return byValue(q.Domain, "state", string(q.State))
	case len(q.Attributes) > 0:
		return byAttribute(q)
	case q.SerialPrefix != "":
		return byPrefix(q.Domain, q.SerialPrefix)
	case q.Batch != "":
		return byValue(q.Domain, "batch", q.Batch)
	case q.Group != "":
		return byValue(q.Domain, "group_name", q.Group)
	case q.Firmware != "":
		return byValue(q.Domain, "firmware", q.Firmware)
	case !q.SeenAfter.IsZero() || !q.SeenBefore.IsZero():
		return bySeen(q)
	case q.Model != "":
		return byValue(q.Domain, "model", q.Model)
	case q.State != "":
		return byValue(q.Domain, "state", string(q.State))
	case q.Manufacturer != "":
		return byValue(q.Domain, "manufacturer", q.Manufacturer)
	default:
		return &road{kind: 'i', from: " FROM devices INDEXED BY devices_id", where: " WHERE domain = ?", args: []any{q.Domain}, order: []string{"id"}}
	}
}

func byValue(domain, column, value string) *road {
	where := " WHERE domain = ? AND " + column + " = ?"
	if column != "state" && column != "manufacturer" {
		where += " AND " + column + " <> ''" // as the index says
	}
	return &road{
		kind: 'r', from: " FROM devices INDEXED BY devices_" + strings.TrimSuffix(column, "_name"), where: where,
		args: []any{domain, value}, order: []string{"devices.row"},
	}
}

func byAttribute(q *registrar.DeviceQuery) *road {
	names := make([]string, 0, len(q.Attributes))
	for name := range q.Attributes {
		names = append(names, name)
	}
	slices.Sort(names)
	return &road{
		kind: 'r', from: " FROM device_attributes AS a CROSS JOIN devices ON devices.row = a.row",
		where: " WHERE a.domain = ? AND a.name = ? AND a.value = ?",
		args:  []any{q.Domain, names[0], q.Attributes[names[0]]}, order: []string{"a.row"},
	}
}

// byPrefix ends before the first text that is greater than all with the prefix:
// texts are compared byte by byte, and no byte of UTF-8 is 0xff.
func byPrefix(domain, prefix string) *road {
	return &road{
		kind: 's', from: " FROM devices INDEXED BY devices_serial_number",
		where: " WHERE domain = ? AND serial_number >= ? AND serial_number < ? || CAST(x'ff' AS TEXT)",
		args:  []any{domain, prefix, prefix}, order: []string{"serial_number", "manufacturer"},
	}
}

func bySeen(q *registrar.DeviceQuery) *road {
	r := &road{
		kind: 't', from: " FROM devices INDEXED BY devices_seen", where: " WHERE domain = ? AND seen_at <> 0 AND seen_at >= ?",
		args: []any{q.Domain, q.SeenAfter}, order: []string{"seen_at", "devices.row"},
	}
	if !q.SeenBefore.IsZero() {
		r.where, r.args = r.where+" AND seen_at < ?", append(r.args, q.SeenBefore)
	}
	return r
}

// cursor is a place on the road: text that nobody else needs to understand.
func (r *road) cursor(row int64, d *registrar.Device) string {
	var place any
	switch r.kind {
	case 'i':
		place = []string{d.ID}
	case 's':
		place = []string{d.SerialNumber, d.Manufacturer}
	case 't':
		place = []int64{d.SeenAt.UnixMicro(), row}
	default:
		place = []int64{row}
	}
	text, _ := json.Marshal(place) // never fails
	return string(r.kind) + base64.RawURLEncoding.EncodeToString(text)
}

// place reads a cursor.
func (r *road) place(cursor string) ([]any, error) {
	var texts []string
	var numbers []int64
	text, err := base64.RawURLEncoding.DecodeString(cursor[1:])
	if err == nil && cursor[0] == r.kind {
		if r.kind == 'i' || r.kind == 's' {
			err = json.Unmarshal(text, &texts)
		} else {
			err = json.Unmarshal(text, &numbers)
		}
	}
	if err != nil || cursor[0] != r.kind || len(texts)+len(numbers) != len(r.order) {
		return nil, fmt.Errorf("the cursor %.40q is of another query; begin at the start: %w", cursor, registrar.ErrInvalid)
	}
	place := make([]any, 0, len(r.order))
	for _, t := range texts {
		place = append(place, t)
	}
	for _, n := range numbers {
		place = append(place, n)
	}
	return place, nil
}

// DevicesNamed implements registrar.Inventory. Most who ask do so about names
// that are all new, and sorted: then one look is enough.
func (s *Store) DevicesNamed(ctx context.Context, domain, manufacturer string, serialNumbers []string) ([]*registrar.Device, error) {
	if len(serialNumbers) == 0 {
		return nil, nil
	}
	var any bool
	err := s.db.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM devices INDEXED BY devices_serial_number WHERE domain = ? AND serial_number >= ? AND serial_number <= ?)",
		domain, slices.Min(serialNumbers), slices.Max(serialNumbers)).Scan(&any)
	if err != nil || !any {
		return nil, err
	}
	names, err := json.Marshal(serialNumbers)
	if err != nil {
		return nil, err
	}
	return list(ctx, s, scanDevice, "SELECT "+deviceColumns+
		" FROM json_each(?) AS j CROSS JOIN devices INDEXED BY devices_serial_number ON domain = ? AND serial_number = j.value AND manufacturer = ?",
		string(names), domain, manufacturer)
}
