package registrar

import "sync"

// exchanges are those under way.
type exchanges struct {
	mu   sync.Mutex
	used int                  // reserved, started ones included; guarded by mu
	byID map[string]*exchange // guarded by mu
	of   map[string]int       // used ones of a manufacturer, and of a device by deviceKey; guarded by mu
}

// perDevice is how many exchanges of one device are under way at most: one
// from before it was last switched on, and the present one.
const perDevice = 2

// reserve takes a place for a device's exchange; release gives it back. Of a
// manufacturer whose MASA is silent the exchanges take half of all places, and
// more than its equal share only while half are free.
func (e *exchanges) reserve(v *version, manufacturer, serial string) bool {
	limit, makers := v.Limits.Exchanges, max(1, len(v.Manufacturers))
	half := limit
	if makers > 1 {
		half = limit / 2
	}
	share := max(1, limit/makers)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.used >= limit, e.of[deviceKey(manufacturer, serial)] >= perDevice:
		return false
	case e.of[manufacturer] >= share && e.used >= half:
		return false
	}
	e.take(manufacturer, serial)
	return true
}

// reserveAny is reserve for an exchange that was let in before.
func (e *exchanges) reserveAny(limit int, manufacturer, serial string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.used >= limit {
		return false
	}
	e.take(manufacturer, serial)
	return true
}

// take and leave need mu. No manufacturer's name is a deviceKey, which has a NUL.
func (e *exchanges) take(manufacturer, serial string) {
	if e.of == nil {
		e.of = make(map[string]int)
	}
	e.used++
	e.of[manufacturer]++
	e.of[deviceKey(manufacturer, serial)]++
}

func (e *exchanges) leave(manufacturer, serial string) {
	e.used--
	for _, key := range []string{manufacturer, deviceKey(manufacturer, serial)} {
		if e.of[key]--; e.of[key] <= 0 {
			delete(e.of, key)
		}
	}
}

func (e *exchanges) release(manufacturer, serial string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leave(manufacturer, serial)
}

func (e *exchanges) find(id string) *exchange {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.byID[id]
}

func (e *exchanges) put(x *exchange) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.byID == nil {
		e.byID = make(map[string]*exchange)
	}
	e.byID[x.row.ID] = x
}

func (e *exchanges) remove(x *exchange) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.byID, x.row.ID)
	e.leave(x.row.Manufacturer, x.row.SerialNumber)
}
