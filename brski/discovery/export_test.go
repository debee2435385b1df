package discovery

import (
	"net/netip"
	"time"
)

// MulticastOn is Multicast on another port, so that a test meets no daemon.
var MulticastOn = multicast

// Message is a message as the tests see it.
type Message = message

// ParseMessage reads a message.
var ParseMessage = parseMessage

// Append writes m.
func (m *message) Append(b []byte) []byte { return m.append(b) }

// Asks returns the names of the questions of type PTR.
func (m *message) Asks() (names []string) {
	for _, q := range m.questions {
		if q.kind == typePTR {
			names = append(names, q.name.String())
		}
	}
	return names
}

// AsksFor returns the questions in order: type and name.
func (m *message) AsksFor() (list []string) {
	for _, q := range m.questions {
		list = append(list, kindName(q.kind)+" "+q.name.String())
	}
	return list
}

// IsResponse says which kind m is of.
func (m *message) IsResponse() bool { return m.response }

// ID is the message's id.
func (m *message) ID() uint16 { return m.id }

// Answer is a record as the tests see it.
type Answer struct {
	Kind, Name, Data string
	TTL              uint32
	Flush            bool
}

// Answers returns the answers.
func (m *message) Answers() []Answer { return shown(m.answers) }

// Additional returns the additional records.
func (m *message) Additional() []Answer { return shown(m.additional) }

func shown(list []record) []Answer {
	var all []Answer
	for _, r := range list {
		a := Answer{Kind: kindName(r.kind), Name: r.name.String(), TTL: r.ttl, Flush: r.flush}
		switch r.kind {
		case typePTR, typeSRV:
			a.Data = r.target.String()
		case typeA, typeAAAA:
			a.Data = r.addr.String()
		default:
			a.Data = string(r.raw)
		}
		all = append(all, a)
	}
	return all
}

func kindName(kind uint16) string {
	switch kind {
	case typePTR:
		return "PTR"
	case typeSRV:
		return "SRV"
	case typeTXT:
		return "TXT"
	case typeA:
		return "A"
	case typeAAAA:
		return "AAAA"
	case typeNSEC:
		return "NSEC"
	case typeANY:
		return "ANY"
	default:
		return "other"
	}
}

// Hear lets a querier and a responder hear a packet, with the clock at now.
func Hear(link *Link, from netip.AddrPort, packet []byte) (remembered int) {
	m, err := parseMessage(packet)
	if err != nil {
		return 0
	}
	now := time.Now()
	service, _ := serviceName(ServiceProxy)
	c := &cache{link: link, service: service, instances: make(map[name]*instance)}
	c.take(now, from.Addr(), m)
	c.questions(now)
	c.wake()
	candidates([]*cache{c})
	c.expire(now.Add(time.Minute))
	for _, step := range []int{1, probes + announcements} {
		r, err := (&Responder{
			Instance: "door", Host: "pi", Links: []*Link{link}, Services: []Service{{Type: ServiceProxy, Port: 443}},
		}).prepare()
		if err != nil {
			panic(err)
		}
		r.step = step
		r.hear(now, arrival{from: from, message: m})
		r.links[0].flush(now.Add(time.Second), r)
		remembered = max(remembered, len(r.links[0].sent), len(r.links[0].pending))
	}
	return max(remembered, len(c.instances))
}
