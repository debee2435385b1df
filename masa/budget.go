package masa

import (
	"context"
	"encoding/hex"
	"maps"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/trail"
)

const (
	budgetWindow = time.Minute
	// maxBudgetKeys bounds the memory that addresses and keys can take. When
	// more are in use, the minute is over early: who has that many addresses
	// escapes a budget of one anyway, and is not to use up everybody else's.
	maxBudgetKeys = 1 << 14
)

// budget counts uses of a key within a minute, in bounded memory.
type budget struct {
	mu    sync.Mutex
	start time.Time      // of the present minute; guarded by mu
	used  map[string]int // guarded by mu
}

// take counts one use of key and tells how long to wait, zero when it is within limit.
func (b *budget) take(key string, limit int, at time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if age := at.Sub(b.start); b.used == nil || age < 0 || age >= budgetWindow {
		b.start, b.used = at, make(map[string]int)
	}
	if _, there := b.used[key]; !there && len(b.used) >= maxBudgetKeys {
		b.start, b.used = at, make(map[string]int)
	}
	if b.used[key] >= limit {
		return max(time.Second, budgetWindow-at.Sub(b.start))
	}
	b.used[key]++
	return 0
}

// giveBack takes back a use of key that came to nothing.
func (b *budget) giveBack(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used[key] > 0 {
		b.used[key]--
	}
}

// withinBudget refuses an address that asks too much, before anything of the
// request is read. In process there is no address. A registrar that the settings
// name has its own budget wherever its TLS connection comes from.
func (s *Service) withinBudget(x *exchange, peer *est.Peer) error {
	if x.address == "" {
		return nil
	}
	if k := x.settings.knownClient(peer, x.at); k != nil {
		return spend(&s.registrars, "connection of "+k.Name, k.RequestsPerMinute, x.at)
	}
	return spend(&s.addresses, addressKey(x.address), x.settings.RequestsPerMinute, x.at)
}

// withinRegistrarBudget refuses a registrar that asks too much from many
// addresses. It counts requests for a device of ours alone, once they have been
// checked: certificates that travel along, and what a registrar signed for another
// manufacturer's devices, can be sent by anybody and use up nobody's budget.
func (s *Service) withinRegistrarBudget(x *exchange) error {
	if x.counted {
		return nil
	}
	x.counted = true
	for key := range x.domainKeys() {
		if k := x.settings.registrarKeys[key]; k != nil {
			return spend(&s.registrars, "requests of "+k.Name, k.RequestsPerMinute, x.at)
		}
	}
	key := keyHash(x.artifact.Signer)
	return spend(&s.registrars, "key "+hex.EncodeToString(key[:]), x.settings.RegistrarRequestsPerMinute, x.at)
}

// withinDeviceBudget refuses a domain that gets voucher after voucher for one
// device. It does not count those that are on record already.
func (s *Service) withinDeviceBudget(x *exchange) error {
	return spend(&s.devices, x.deviceBudgetKey(), x.settings.VouchersPerMinute, x.at)
}

func (x *exchange) deviceBudgetKey() string {
	key := keyHash(x.domain)
	return x.device.ID + " " + hex.EncodeToString(key[:])
}

func spend(b *budget, key string, limit int, at time.Time) error {
	wait := b.take(key, limit, at)
	if wait == 0 {
		return nil
	}
	e := refuse(http.StatusTooManyRequests, ReasonBudget, "RFC 6585, Section 4",
		"Too many requests within a minute. Try again later.")
	e.RetryAfter = wait
	return e
}

// addressKey groups what one peer can easily have many of: the addresses of an IPv6 /64.
func addressKey(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if a = a.WithZone(""); a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// served thins out the entries about audit-logs: one for each registrar and
// device a minute, the rest counted.
type served struct {
	mu    sync.Mutex
	last  map[servedKey]*servedNote // guarded by mu
	swept time.Time                 // when old ones were looked for; guarded by mu
}

type servedKey struct {
	registrar [32]byte // keyHash
	device    string
}

type servedNote struct {
	at   time.Time // of the last entry
	rest int       // logs served since, without one
}

// note tells whether one more log needs an entry, and how many went without
// one since the last.
func (n *served) note(key servedKey, at time.Time) (rest int, needed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last == nil {
		n.last = make(map[servedKey]*servedNote)
	}
	last := n.last[key]
	if last == nil {
		if len(n.last) >= maxBudgetKeys && dueForSweep(&n.swept, at) {
			maps.DeleteFunc(n.last, func(_ servedKey, l *servedNote) bool { return at.Sub(l.at) >= budgetWindow })
		}
		if len(n.last) < maxBudgetKeys {
			n.last[key] = &servedNote{at: at}
		}
		return 0, true // of more than there is room for, each has one: they are within the budget
	}
	if age := at.Sub(last.at); age >= 0 && age < budgetWindow {
		last.rest++
		return 0, false
	}
	rest = last.rest
	last.at, last.rest = at, 0
	return rest, true
}

// dueForSweep tells whether it is time to look at all of a full table, and notes
// it: not for each of those who fill it.
func dueForSweep(last *time.Time, at time.Time) bool {
	if age := at.Sub(*last); age >= 0 && age < time.Second {
		return false
	}
	*last = at
	return true
}

// forget takes back a note whose entry could not be written.
func (n *served) forget(key servedKey) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.last, key)
}

// servedKey is whom the audit-log is served to, and of what.
func (x *exchange) servedKey() servedKey { return servedKey{keyHash(x.artifact.Signer), x.device.ID} }

// noteServed puts an audit-log that is about to be served on the trail. A
// registrar asks for it with each voucher (RFC 8995, Section 5.8): within a
// minute the entry about the voucher stands for the log too.
func (s *Service) noteServed(ctx context.Context, x *exchange, events int) error {
	key := x.servedKey()
	rest, needed := s.served.note(key, x.at)
	if !needed {
		return nil
	}
	b := body{
		"registrar": x.registrarName(), "address": x.address, "events": events, "settings": x.settings.Version,
	}
	if rest > 0 {
		b["served_since_last_entry"] = rest
	}
	err := s.store.Commit(ctx, &Change{Trail: []*trail.Entry{{
		At: x.at, Domain: x.settings.Domain, Kind: KindAuditLogServed, Device: x.device.ID, Actor: "brski", Body: b.json(),
	}}})
	if err != nil {
		s.served.forget(key)
	}
	return err
}
