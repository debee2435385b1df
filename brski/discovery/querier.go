package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Querier browses one service type on some links for as long as it runs. The
// fields are set before Run; the methods may be called at any time, by anybody.
type Querier struct {
	// Service is a service type, such as [ServiceProxy].
	Service string
	// Links are where to ask; Run closes them.
	Links []*Link
	Log   *slog.Logger // nil: none

	mu         sync.Mutex
	candidates []Candidate   // guarded by mu
	changed    chan struct{} // guarded by mu; nil until somebody waits
}

// Candidates returns who is known now, in no meaningful but a steady order. At
// most 64 a link are remembered, 8 of them from one address.
func (q *Querier) Candidates() []Candidate {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.candidates)
}

// Changed returns a channel that is closed when what Candidates returns next
// differs. Get it before calling Candidates, and nothing is missed.
func (q *Querier) Changed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return q.changed
}

// Run asks and listens until ctx ends, then closes the links, forgets everybody
// and returns nil. It asks at once, after a second, and then after twice as
// long each time up to an hour, for what it does not hear of by itself
// (RFC 6762, Section 5.2). An error says that it did not begin.
func (q *Querier) Run(ctx context.Context) error {
	service, err := serviceName(q.Service)
	if err == nil && len(q.Links) == 0 {
		err = errors.New("there is no link to ask on")
	}
	if err != nil {
		for _, l := range q.Links {
			err = errors.Join(err, l.Conn.Close())
		}
		return fmt.Errorf("browsing %s: %w", q.Service, err)
	}
	// Machines that start together do not ask together.
	first := time.Now().Add(20*time.Millisecond + rand.N(100*time.Millisecond))
	caches := make([]*cache, len(q.Links))
	for i, l := range q.Links {
		caches[i] = &cache{link: l, service: service, instances: make(map[name]*instance), browse: backoff{next: first}}
	}
	in := listen(q.Links, logger(q.Log))
	q.browse(ctx, caches, in.arrivals)
	q.publish(nil)
	return in.close()
}

// browse is the one goroutine that has the caches.
func (q *Querier) browse(ctx context.Context, caches []*cache, arrivals <-chan arrival) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-arrivals:
			c := caches[a.link]
			// RFC 6762, Section 6: who answers does so from the port of mDNS.
			if !a.message.response || a.from.Port() != c.link.Group.Port() || !c.take(time.Now(), a.from.Addr(), a.message) {
				continue
			}
		case <-timer.C:
		}
		now := time.Now()
		next := now.Add(longestInterval)
		for _, c := range caches {
			c.expire(now)
			q.ask(c, now)
			if at := c.wake(); at.Before(next) {
				next = at
			}
		}
		q.publish(candidates(caches))
		timer.Reset(max(time.Until(next), time.Millisecond))
	}
}

func (q *Querier) ask(c *cache, now time.Time) {
	m := c.questions(now)
	if len(m.questions) == 0 {
		return
	}
	if err := c.link.send(m, c.link.Group); err != nil {
		logger(q.Log).Debug("mDNS: a question could not be sent", slog.String("interface", c.link.Interface), slog.String("error", err.Error()))
	}
}

// publish shows now to the callers of Candidates, and tells those who wait when
// there is something new.
func (q *Querier) publish(now []Candidate) {
	q.mu.Lock()
	defer q.mu.Unlock()
	same := slices.EqualFunc(q.candidates, now, func(a, b Candidate) bool {
		return a.Instance == b.Instance && a.Host == b.Host && a.Interface == b.Interface && a.Port == b.Port && slices.Equal(a.Addresses, b.Addresses)
	})
	q.candidates = now
	if !same && q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// candidates puts together what the links of one interface know of an offer.
func candidates(caches []*cache) []Candidate {
	type key struct {
		instance, host name
		network        string
		port           uint16
	}
	found := make(map[key]*Candidate)
	for _, c := range caches {
		for folded, i := range c.instances {
			if i.host == "" || i.port == 0 || len(i.addresses) == 0 {
				continue
			}
			k := key{folded, i.host, c.link.Interface, i.port}
			if found[k] == nil {
				label, _ := i.name.first()
				found[k] = &Candidate{Instance: label, Host: i.host.String(), Interface: k.network, Port: i.port}
			}
			found[k].add(i)
		}
	}
	list := make([]Candidate, 0, len(found))
	for _, c := range found {
		slices.SortFunc(c.Addresses, compareAddresses)
		c.Addresses = slices.Compact(c.Addresses)
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Candidate) int {
		if n := strings.Compare(a.Interface+"\x00"+a.Instance+"\x00"+a.Host, b.Interface+"\x00"+b.Instance+"\x00"+b.Host); n != 0 {
			return n
		}
		return int(a.Port) - int(b.Port)
	})
	return list
}

// add adds what i knows. The candidate lasts as long as all of it does
// somewhere.
func (c *Candidate) add(i *instance) {
	expires := i.pointer.expires
	if i.service.expires.Before(expires) {
		expires = i.service.expires
	}
	if expires.After(c.Expires) {
		c.Expires = expires
	}
	for a := range i.addresses {
		c.Addresses = append(c.Addresses, a)
	}
}

// compareAddresses puts IPv6 link-local addresses first: they work wherever the
// link does (RFC 8995, Section 4.1), then other IPv6, then IPv4.
func compareAddresses(a, b netip.Addr) int {
	rank := func(a netip.Addr) int {
		switch {
		case a.Is6() && a.IsLinkLocalUnicast():
			return 0
		case a.Is6():
			return 1
		default:
			return 2
		}
	}
	if n := rank(a) - rank(b); n != 0 {
		return n
	}
	return a.Compare(b)
}
