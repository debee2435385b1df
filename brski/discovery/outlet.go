package discovery

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

const (
	repeatTime   = time.Second            // RFC 6762, Section 6
	defendTime   = 250 * time.Millisecond // RFC 6762, Section 6
	unicastRate  = 20                     // answers to single machines in a second
	ttlLegacy    = 10                     // RFC 6762, Section 6.7
	maxAnnounced = 16                     // addresses
)

// outlet is what a responder says on one link.
type outlet struct {
	link      *Link
	addresses []netip.Addr         // as last announced
	sent      map[string]time.Time // when records were last multicast, by identity
	pending   []record             // to be multicast when due
	due       time.Time            // zero: nothing is pending
	// unicasts were sent since second.
	unicasts int
	second   time.Time
}

// current are the link's own addresses that are announced, in order.
func (o *outlet) current(r *responding) []netip.Addr {
	var list []netip.Addr
	for _, p := range o.link.Prefixes() {
		a := p.Addr().Unmap().WithZone("")
		if r.responder.Announced == nil || r.responder.Announced(o.link.zoned(a)) {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, compareAddresses)
	list = slices.Compact(list)
	return list[:min(len(list), maxAnnounced)]
}

func (o *outlet) send(r *responding, m *message, to netip.AddrPort) {
	if err := o.link.send(m, to); err != nil {
		r.log.Debug("mDNS: a message could not be sent", slog.String("interface", o.link.Interface), slog.String("error", err.Error()))
	}
}

// probe asks whether anybody has the names, and says what they are for
// (RFC 6762, Section 8.1).
func (o *outlet) probe(r *responding) {
	m := &message{authority: r.zone.unique(o.current(r))}
	for i := range m.authority {
		m.authority[i].flush = false
		n := m.authority[i].name
		if !slices.ContainsFunc(m.questions, func(q question) bool { return q.name == n }) {
			m.questions = append(m.questions, question{name: n, kind: typeANY})
		}
	}
	o.send(r, m, o.link.Group)
}

// announce multicasts all records, or takes them back.
func (o *outlet) announce(now time.Time, r *responding, goodbye bool) {
	addresses := o.current(r)
	m := &message{response: true, answers: append(r.zone.shared(), r.zone.unique(addresses)...)}
	for i := range m.answers {
		o.sent[m.answers[i].identity()] = now
		if goodbye {
			m.answers[i].ttl = 0
		}
	}
	o.addresses = addresses
	o.send(r, m, o.link.Group)
}

// identity tells records apart; ours are few.
func (r *record) identity() string {
	identified := *r
	identified.ttl = 0
	return string(identified.append(nil, nil))
}

// answer answers a query: to everybody, or to who asks where that is enough.
func (o *outlet) answer(now time.Time, r *responding, a arrival) {
	legacy := a.from.Port() != o.link.Group.Port()
	defend := len(a.message.authority) != 0
	var alone, everybody []record
	for _, q := range a.message.questions {
		for _, answer := range r.zone.answers(q, o.current(r)) {
			if !legacy && known(a.message.answers, &answer) {
				continue
			}
			last := now.Sub(o.sent[answer.identity()])
			switch {
			case legacy, q.unicast && last < time.Duration(answer.ttl)*time.Second/4: // RFC 6762, Section 5.4
				alone = appendNew(alone, answer)
			case last < repeatTime && (!defend || last < defendTime):
			default:
				everybody = appendNew(everybody, answer)
			}
		}
	}
	if len(alone) != 0 {
		o.unicast(now, r, a, alone, legacy)
	}
	o.queue(now, everybody)
}

// known says that the asker has the answer for at least half of its lifetime
// (RFC 6762, Section 7.1).
func known(answers []record, a *record) bool {
	return slices.ContainsFunc(answers, func(k record) bool { return k.same(a) && k.ttl >= a.ttl/2 })
}

func appendNew(list []record, a record) []record {
	if slices.ContainsFunc(list, func(b record) bool { return b.same(&a) }) {
		return list
	}
	return append(list, a)
}

// unicast answers one machine of the link, as often as is bearable.
func (o *outlet) unicast(now time.Time, r *responding, a arrival, answers []record, legacy bool) {
	if now.Sub(o.second) >= time.Second {
		o.second, o.unicasts = now, 0
	}
	if o.unicasts++; o.unicasts > unicastRate {
		return
	}
	m := &message{response: true, answers: answers, additional: r.zone.additional(answers, o.current(r))}
	if legacy {
		// A plain resolver: its question back, short lives, no cache-flush bit
		// (RFC 6762, Section 6.7).
		m.id, m.questions = a.message.id, slices.Clone(a.message.questions)
		for i := range m.questions {
			m.questions[i].unicast = false
		}
		for _, section := range [][]record{m.answers, m.additional} {
			for i := range section {
				section[i].flush, section[i].ttl = false, min(section[i].ttl, ttlLegacy)
			}
		}
	}
	o.send(r, m, a.from)
}

// queue multicasts answers soon. Those that other machines may have as well
// wait for 20 to 120 ms, so that not all answer at once (RFC 6762, Section 6).
func (o *outlet) queue(now time.Time, answers []record) {
	if len(answers) == 0 {
		return
	}
	if o.due.IsZero() {
		o.due = now
		if slices.ContainsFunc(answers, func(a record) bool { return !a.flush }) {
			o.due = now.Add(20*time.Millisecond + rand.N(100*time.Millisecond))
		}
	}
	for _, a := range answers {
		o.pending = appendNew(o.pending, a)
	}
}

// flush multicasts what is due.
func (o *outlet) flush(now time.Time, r *responding) {
	if o.due.IsZero() || o.due.After(now) {
		return
	}
	m := &message{response: true, answers: o.pending, additional: r.zone.additional(o.pending, o.current(r))}
	o.pending, o.due = nil, time.Time{}
	if !r.established() {
		return
	}
	for _, section := range [][]record{m.answers, m.additional} {
		for i := range section {
			o.sent[section[i].identity()] = now
		}
	}
	o.send(r, m, o.link.Group)
}
