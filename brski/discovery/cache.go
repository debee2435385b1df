package discovery

import (
	"net/netip"
	"time"
)

// Bounds on what one link can make us remember.
const (
	maxInstances    = 64
	maxPerSource    = 8 // instances first heard of from one address
	maxAddresses    = 8 // of one host
	maxTTL          = 75 * time.Minute
	goodbyeTime     = time.Second // RFC 6762, Sections 10.1 and 10.2
	firstInterval   = time.Second // RFC 6762, Section 5.2
	longestInterval = time.Hour   // RFC 6762, Section 5.2
	quietTime       = 100 * time.Millisecond
)

// lease is how long a record counts, and when it is asked for again.
type lease struct {
	received time.Time
	ttl      time.Duration
	expires  time.Time
	asked    int // for a refresh
}

func newLease(now time.Time, ttl uint32) lease {
	l := lease{received: now, ttl: min(time.Duration(ttl)*time.Second, maxTTL)}
	if ttl == 0 { // a goodbye
		l.ttl = goodbyeTime
		l.asked = len(refreshAt)
	}
	l.expires = now.Add(l.ttl)
	return l
}

// refreshAt are the parts of a record's lifetime, in percent, after which it is
// asked for again (RFC 6762, Section 5.2).
var refreshAt = [...]time.Duration{80, 85, 90, 95}

// refresh is when to ask next; never, if zero.
func (l *lease) refresh() time.Time {
	if l.asked == len(refreshAt) {
		return time.Time{}
	}
	return l.received.Add(l.ttl * refreshAt[l.asked] / 100)
}

// due says whether to ask again now, and counts that as asked.
func (l *lease) due(now time.Time) bool {
	asked := l.asked
	for l.asked < len(refreshAt) && !l.refresh().After(now) {
		l.asked++
	}
	return l.asked > asked
}

// shorten lets the record go within a second, as another one takes its place
// (RFC 6762, Section 10.2).
func (l *lease) shorten(now time.Time) {
	if l.received.Add(goodbyeTime).Before(now) && l.expires.After(now.Add(goodbyeTime)) {
		l.expires, l.asked = now.Add(goodbyeTime), len(refreshAt)
	}
}

// backoff spaces the questions for something that is missing.
type backoff struct {
	next     time.Time
	interval time.Duration
}

// due says whether to ask now, and sets the next time: after twice as long each time.
func (b *backoff) due(now time.Time) bool {
	if b.next.After(now) {
		return false
	}
	b.interval = min(max(2*b.interval, firstInterval), longestInterval)
	b.next = now.Add(b.interval)
	return true
}

// instance is what is known of one offer on one link.
type instance struct {
	name      name
	source    netip.Addr // who said so first
	pointer   lease
	host      name // where; empty: not known
	port      uint16
	service   lease
	addresses map[netip.Addr]*lease
	search    backoff // for what is missing
}

// cache is what is known on one link.
type cache struct {
	link      *Link
	service   name
	instances map[name]*instance // by folded name
	browse    backoff
	quiet     time.Time // nothing is asked before, whatever was heard
}

// take remembers what of a message is about the service, in the order in which
// records refer to each other. It reports whether candidates may have changed.
func (c *cache) take(now time.Time, from netip.Addr, m *message) bool {
	records := make([]*record, 0, len(m.answers)+len(m.additional))
	for _, section := range [][]record{m.answers, m.additional} {
		for i := range section {
			records = append(records, &section[i])
		}
	}
	changed := false
	for _, r := range records {
		if r.kind == typePTR && r.name.fold() == c.service.fold() {
			changed = c.takePointer(now, from, r) || changed
		}
	}
	for _, r := range records {
		if r.kind == typeSRV {
			changed = c.takeService(now, r) || changed
		}
	}
	prefixes := c.link.Prefixes()
	for _, r := range records {
		if (r.kind == typeA || r.kind == typeAAAA) && c.link.onLink(r.addr, prefixes) {
			changed = c.takeAddress(now, r) || changed
		}
	}
	return changed
}

// takePointer takes an offer of the service.
func (c *cache) takePointer(now time.Time, from netip.Addr, r *record) bool {
	if _, below := r.target.first(); below.fold() != c.service.fold() {
		return false
	}
	key := r.target.fold()
	i, known := c.instances[key]
	if !known {
		if r.ttl == 0 || !c.room(from) {
			return false
		}
		i = &instance{name: r.target, source: from, addresses: make(map[netip.Addr]*lease)}
		c.instances[key] = i
	}
	i.pointer = newLease(now, r.ttl)
	return true
}

// room makes room for another offer by from, if it can: no address has more
// than its share, and when all is full one of the address that has most goes.
func (c *cache) room(from netip.Addr) bool {
	count := make(map[netip.Addr]int)
	var victim name
	for key, i := range c.instances {
		count[i.source]++
		if victim == "" || count[i.source] > count[c.instances[victim].source] {
			victim = key
		}
	}
	if count[from] >= maxPerSource {
		return false
	}
	if len(c.instances) >= maxInstances {
		if count[c.instances[victim].source] <= count[from] {
			return false
		}
		delete(c.instances, victim)
	}
	return true
}

// takeService takes host and port of an offer. The last one heard counts.
func (c *cache) takeService(now time.Time, r *record) bool {
	i, known := c.instances[r.name.fold()]
	if !known {
		return false
	}
	if r.ttl == 0 && (r.target.fold() != i.host || r.port != i.port) {
		return false // a goodbye to what was replaced already
	}
	if r.target.fold() != i.host {
		clear(i.addresses)
	}
	i.host, i.port, i.service = r.target.fold(), r.port, newLease(now, r.ttl)
	i.search = backoff{}
	return true
}

// takeAddress takes an address of each offer's host that has the name.
func (c *cache) takeAddress(now time.Time, r *record) bool {
	host, a, changed := r.name.fold(), c.link.zoned(r.addr), false
	for _, i := range c.instances {
		if i.host != host {
			continue
		}
		if r.flush {
			for other, l := range i.addresses {
				if other.Is4() == a.Is4() {
					l.shorten(now)
				}
			}
		}
		if _, known := i.addresses[a]; !known && (r.ttl == 0 || len(i.addresses) >= maxAddresses) {
			continue
		}
		l := newLease(now, r.ttl)
		i.addresses[a] = &l
		i.search = backoff{}
		changed = true
	}
	return changed
}

// expire forgets what is too old, and reports whether there was any.
func (c *cache) expire(now time.Time) bool {
	gone := func(l *lease) bool { return !l.expires.After(now) }
	changed := false
	for key, i := range c.instances {
		if gone(&i.pointer) {
			delete(c.instances, key)
			changed = true
			continue
		}
		if i.host != "" && gone(&i.service) {
			i.host, i.port = "", 0
			clear(i.addresses)
			changed = true
		}
		for a, l := range i.addresses {
			if gone(l) {
				delete(i.addresses, a)
				changed = true
			}
		}
	}
	return changed
}
