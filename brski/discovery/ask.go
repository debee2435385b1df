package discovery

import "time"

// questions are what to ask now: for the service, for what is missing, and for
// what will be forgotten soon.
func (c *cache) questions(now time.Time) *message {
	m := &message{}
	if c.quiet.After(now) {
		return m
	}
	browse := c.browse.due(now)
	for _, i := range c.instances {
		browse = i.pointer.due(now) || browse
	}
	if browse {
		m.questions = append(m.questions, question{name: c.service, kind: typePTR})
		m.answers = c.knownAnswers(now)
	}
	const atOnce = 16
	for _, i := range c.instances {
		if len(m.questions) >= atOnce {
			break
		}
		m.questions = append(m.questions, i.questions(now)...)
	}
	if len(m.questions) != 0 {
		c.quiet = now.Add(quietTime)
	}
	return m
}

// questions are what to ask about one offer.
func (i *instance) questions(now time.Time) []question {
	if i.host == "" {
		if i.search.due(now) {
			return []question{{name: i.name, kind: typeSRV}}
		}
		return nil
	}
	var ask []question
	if i.service.due(now) {
		ask = append(ask, question{name: i.name, kind: typeSRV})
	}
	four, six := false, false
	for a, l := range i.addresses {
		if l.due(now) {
			four, six = four || a.Is4(), six || a.Is6()
		}
	}
	if len(i.addresses) == 0 && i.search.due(now) {
		four, six = true, true
	}
	if four {
		ask = append(ask, question{name: i.host, kind: typeA})
	}
	if six {
		ask = append(ask, question{name: i.host, kind: typeAAAA})
	}
	return ask
}

// knownAnswers are the offers that need no answer, as they are known for longer
// than half of their time (RFC 6762, Section 7.1).
func (c *cache) knownAnswers(now time.Time) []record {
	const most = 20
	var known []record
	for _, i := range c.instances {
		if left := i.pointer.expires.Sub(now); left > i.pointer.ttl/2 && len(known) < most {
			known = append(known, record{name: c.service, kind: typePTR, ttl: uint32(left / time.Second), target: i.name})
		}
	}
	return known
}

// wake is when there is something to do next. A question may have to wait.
func (c *cache) wake() time.Time {
	next := c.browse.next
	sooner := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	record := func(l *lease) {
		sooner(l.expires)
		if at := l.refresh(); !at.IsZero() {
			sooner(later(at, c.quiet))
		}
	}
	for _, i := range c.instances {
		record(&i.pointer)
		if i.host != "" {
			record(&i.service)
		}
		for _, l := range i.addresses {
			record(l)
		}
		if i.host == "" || len(i.addresses) == 0 {
			sooner(later(i.search.next, c.quiet))
		}
	}
	return next
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
