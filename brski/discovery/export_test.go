package discovery

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
