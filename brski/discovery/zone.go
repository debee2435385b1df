package discovery

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Lifetimes that are announced, in seconds (RFC 6762, Section 10): a host's
// name stands in the latter records.
const (
	ttlOther = 75 * 60
	ttlHost  = 120
)

// metaQuery is the name that lists service types (RFC 6763, Section 9).
const metaQuery name = "\x09_services\x07_dns-sd\x04_udp\x05local\x00"

// zone is what a responder announces: names that are its own, until somebody
// else has them.
type zone struct {
	host   name
	offers []offer
}

type offer struct {
	service  name
	instance name
	port     uint16
	text     []byte
}

// zone makes the names of the attempt-th try: a conflict adds a number.
func (r *Responder) zone(host string, attempt int) (*zone, error) {
	instance := r.Instance
	if attempt > 1 {
		instance, host = fmt.Sprintf("%s (%d)", instance, attempt), fmt.Sprintf("%s-%d", host, attempt)
	}
	z := &zone{}
	var err error
	if z.host, err = makeName(host, "local"); err != nil {
		return nil, err
	}
	for _, s := range r.Services {
		o := offer{port: s.Port}
		if o.service, err = serviceName(s.Type); err != nil {
			return nil, err
		}
		if s.Port == 0 {
			return nil, fmt.Errorf("the service %s has no port", s.Type)
		}
		if o.instance, err = makeName(instance); err != nil {
			return nil, err
		}
		o.instance = o.instance[:len(o.instance)-1] + o.service
		if len(o.instance) > maxName {
			return nil, fmt.Errorf("the instance %q is too long", instance)
		}
		if o.text, err = text(s.Text); err != nil {
			return nil, err
		}
		z.offers = append(z.offers, o)
	}
	return z, nil
}

// text encodes strings as a TXT record, which is never empty (RFC 6763, Section 6.1).
func text(lines []string) ([]byte, error) {
	var b []byte
	for _, l := range lines {
		if len(l) > 255 || len(b)+len(l) > 400 {
			return nil, fmt.Errorf("the text %q is too long", l)
		}
		b = append(append(b, byte(len(l))), l...)
	}
	if len(b) == 0 {
		b = []byte{0}
	}
	return b, nil
}

// owns says that n is one of the names that nobody else may have.
func (z *zone) owns(n name) bool {
	n = n.fold()
	return n == z.host.fold() || slices.ContainsFunc(z.offers, func(o offer) bool { return n == o.instance.fold() })
}

// shared are the records that others have under the same names.
func (z *zone) shared() []record {
	var list []record
	for _, o := range z.offers {
		list = append(list,
			record{name: o.service, kind: typePTR, ttl: ttlOther, target: o.instance},
			record{name: metaQuery, kind: typePTR, ttl: ttlOther, target: o.service})
	}
	return list
}

// unique are the records of the zone's own names, with these addresses.
func (z *zone) unique(addresses []netip.Addr) []record {
	var list []record
	for _, o := range z.offers {
		list = append(list,
			record{name: o.instance, kind: typeSRV, flush: true, ttl: ttlHost, target: z.host, port: o.port},
			record{name: o.instance, kind: typeTXT, flush: true, ttl: ttlOther, raw: o.text})
	}
	for _, a := range addresses {
		list = append(list, record{name: z.host, kind: addressType(a), flush: true, ttl: ttlHost, addr: a.WithZone("")})
	}
	return list
}

func addressType(a netip.Addr) uint16 {
	if a.Is4() {
		return typeA
	}
	return typeAAAA
}

// denial says which types one of the zone's own names has, and so that it has
// no others (RFC 6762, Section 6.1).
func (z *zone) denial(n name, own []record) record {
	var bits [4]byte // of types below 32; SRV is 33
	last := 0
	bitmap := append(bits[:], 0)
	for i := range own {
		if own[i].name.fold() == n.fold() {
			bitmap[own[i].kind/8] |= 0x80 >> (own[i].kind % 8)
			last = max(last, int(own[i].kind/8))
		}
	}
	raw := appendName(nil, n, nil)
	raw = append(raw, 0, byte(last+1))
	return record{name: n, kind: typeNSEC, flush: true, ttl: ttlHost, raw: append(raw, bitmap[:last+1]...)}
}

// answers are the records that answer q.
func (z *zone) answers(q question, addresses []netip.Addr) []record {
	n := q.name.fold()
	own := z.unique(addresses)
	var list []record
	for _, r := range append(z.shared(), own...) {
		if r.name.fold() == n && (q.kind == r.kind || q.kind == typeANY) {
			list = append(list, r)
		}
	}
	if len(list) == 0 {
		for i := range own {
			if own[i].name.fold() == n {
				return []record{z.denial(own[i].name, own)}
			}
		}
	}
	return list
}

// additional are the records that whoever reads these answers asks for next
// (RFC 6763, Section 12).
func (z *zone) additional(answers []record, addresses []netip.Addr) []record {
	wanted := make(map[name]bool)
	for _, r := range answers {
		wanted[r.target.fold()] = true
	}
	var list []record
	own := z.unique(addresses)
	for i := range own {
		n := own[i].name.fold()
		if own[i].kind == typeSRV && wanted[n] {
			wanted[z.host.fold()] = true
		}
		if wanted[n] && !slices.ContainsFunc(answers, func(a record) bool { return a.same(&own[i]) }) {
			list = append(list, own[i])
		}
	}
	return list
}

// compareRecords orders by class, type and data, as two who probe for the same
// name at once do (RFC 6762, Section 8.2); class is IN in all.
func compareRecords(a, b record) int {
	if n := cmp.Compare(a.kind, b.kind); n != 0 {
		return n
	}
	return bytes.Compare(a.appendData(nil, nil), b.appendData(nil, nil))
}
