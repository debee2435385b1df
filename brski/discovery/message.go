package discovery

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Bounds on one message. RFC 6762, Section 17 allows 9000 bytes; real ones have
// a few dozen records.
const (
	maxMessage   = 9000
	maxQuestions = 64
	maxRecords   = 256
)

// Record types (RFC 1035, Section 3.2.2; RFC 3596, Section 2.1; RFC 2782; RFC 4034, Section 4).
const (
	typeA    = 1
	typePTR  = 12
	typeTXT  = 16
	typeAAAA = 28
	typeSRV  = 33
	typeNSEC = 47
	typeANY  = 255
)

const (
	classIN  = 1
	classANY = 255
	// topBit of a class is the cache-flush bit of a record (RFC 6762, Section
	// 10.2) and asks for a unicast answer in a question (RFC 6762, Section 5.4).
	topBit = 1 << 15

	flagResponse      = 1 << 15
	flagAuthoritative = 1 << 10
	flagTruncated     = 1 << 9
	maskOpcodeRcode   = 0x780f
)

// message is one mDNS message.
type message struct {
	id         uint16
	response   bool
	questions  []question
	answers    []record
	authority  []record
	additional []record
}

type question struct {
	name    name
	kind    uint16 // a record type
	unicast bool
}

// record is a resource record of class IN. Which of the last fields count is
// for kind to say.
type record struct {
	name   name
	kind   uint16
	flush  bool
	ttl    uint32     // seconds
	target name       // PTR, SRV
	port   uint16     // SRV
	addr   netip.Addr // A, AAAA
	raw    []byte     // all others, as they came
}

var errMessage = errors.New("not an mDNS message that anybody here sends or reads")

// parseMessage reads b, of at most maxMessage bytes, whole or not at all. Records
// of other classes than IN are left out. Messages with an opcode or an error are
// refused (RFC 6762, Sections 18.3 and 18.11).
func parseMessage(b []byte) (*message, error) {
	if len(b) < 12 || len(b) > maxMessage {
		return nil, errMessage
	}
	flags := binary.BigEndian.Uint16(b[2:])
	var count [4]int
	for i := range count {
		count[i] = int(binary.BigEndian.Uint16(b[4+2*i:]))
	}
	if flags&maskOpcodeRcode != 0 || count[0] > maxQuestions || count[1]+count[2]+count[3] > maxRecords {
		return nil, errMessage
	}
	m := &message{id: binary.BigEndian.Uint16(b), response: flags&flagResponse != 0}
	at := 12
	for range count[0] {
		var err error
		if at, err = m.readQuestion(b, at); err != nil {
			return nil, err
		}
	}
	for i, section := range []*[]record{&m.answers, &m.authority, &m.additional} {
		for range count[1+i] {
			r, class, next, err := readRecord(b, at)
			if err != nil {
				return nil, err
			}
			at = next
			if class == classIN {
				*section = append(*section, r)
			}
		}
	}
	return m, nil
}

func (m *message) readQuestion(b []byte, at int) (int, error) {
	n, at, err := readName(b, at)
	if err != nil {
		return 0, err
	}
	if at+4 > len(b) {
		return 0, errShort
	}
	class := binary.BigEndian.Uint16(b[at+2:])
	if c := class &^ topBit; c == classIN || c == classANY {
		m.questions = append(m.questions, question{name: n, kind: binary.BigEndian.Uint16(b[at:]), unicast: class&topBit != 0})
	}
	return at + 4, nil
}

// readRecord reads the record at offset at, and returns its class without the
// topmost bit, and what follows.
func readRecord(b []byte, at int) (r record, class uint16, next int, err error) {
	if r.name, at, err = readName(b, at); err != nil {
		return r, 0, 0, err
	}
	if at+10 > len(b) {
		return r, 0, 0, errShort
	}
	r.kind, class = binary.BigEndian.Uint16(b[at:]), binary.BigEndian.Uint16(b[at+2:])
	r.flush, class = class&topBit != 0, class&^topBit
	r.ttl = binary.BigEndian.Uint32(b[at+4:])
	data := at + 10
	next = data + int(binary.BigEndian.Uint16(b[at+8:]))
	if next > len(b) {
		return r, 0, 0, errShort
	}
	return r, class, next, r.readData(b[:next], data)
}

// readData reads the data from offset at to the end of b; all of it, or it is an error.
func (r *record) readData(b []byte, at int) error {
	end := at
	var err error
	switch r.kind {
	case typePTR:
		r.target, end, err = readName(b, at)
	case typeSRV:
		if at+6 > len(b) {
			return errShort
		}
		r.port = binary.BigEndian.Uint16(b[at+4:])
		r.target, end, err = readName(b, at+6)
	case typeA, typeAAAA:
		r.addr, _ = netip.AddrFromSlice(b[at:])
		if r.addr.Is4() == (r.kind == typeA) && r.addr.IsValid() {
			end = len(b)
		}
	default:
		r.raw, end = b[at:], len(b)
	}
	if err == nil && end != len(b) {
		err = errMessage
	}
	return err
}

// append writes m as a whole message. A legacy answer keeps to what plain DNS
// knows (RFC 6762, Section 6.7).
func (m *message) append(b []byte) []byte {
	flags := uint16(0)
	if m.response {
		flags = flagResponse | flagAuthoritative
	}
	start := len(b)
	for _, v := range []int{int(m.id), int(flags), len(m.questions), len(m.answers), len(m.authority), len(m.additional)} {
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	seen := make(map[name]int)
	if start != 0 {
		seen = nil // offsets count from the message's beginning
	}
	for _, q := range m.questions {
		b = appendName(b, q.name, seen)
		b = binary.BigEndian.AppendUint16(b, q.kind)
		b = binary.BigEndian.AppendUint16(b, classWith(q.unicast))
	}
	for _, section := range [][]record{m.answers, m.authority, m.additional} {
		for i := range section {
			b = section[i].append(b, seen)
		}
	}
	return b
}

func classWith(top bool) uint16 {
	if top {
		return classIN | topBit
	}
	return classIN
}

func (r *record) append(b []byte, seen map[name]int) []byte {
	b = appendName(b, r.name, seen)
	b = binary.BigEndian.AppendUint16(b, r.kind)
	b = binary.BigEndian.AppendUint16(b, classWith(r.flush))
	b = binary.BigEndian.AppendUint32(b, r.ttl)
	length := len(b)
	b = r.appendData(append(b, 0, 0), seen)
	binary.BigEndian.PutUint16(b[length:], uint16(len(b)-length-2))
	return b
}

// appendData writes the data. The target of an SRV stays uncompressed: plain
// resolvers read it too (RFC 6762, Section 18.14).
func (r *record) appendData(b []byte, seen map[name]int) []byte {
	switch r.kind {
	case typePTR:
		return appendName(b, r.target, seen)
	case typeSRV:
		b = append(b, 0, 0, 0, 0) // priority and weight
		b = binary.BigEndian.AppendUint16(b, r.port)
		return appendName(b, r.target, nil)
	case typeA, typeAAAA:
		return append(b, r.addr.AsSlice()...)
	default:
		return append(b, r.raw...)
	}
}

// same says that two records have the same name, type and data (RFC 6762, Section 8.1).
func (r *record) same(o *record) bool {
	return r.kind == o.kind && r.name.fold() == o.name.fold() && r.target.fold() == o.target.fold() &&
		r.port == o.port && r.addr == o.addr && string(r.raw) == string(o.raw)
}
