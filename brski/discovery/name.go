package discovery

import (
	"errors"
	"fmt"
	"strings"
)

// maxName bounds a name on the wire, in bytes (RFC 1035, Section 3.1).
const maxName = 255

// name is a domain name as on the wire, uncompressed: each label after its
// length, and a zero. Labels hold any bytes, dots included (RFC 6763, Section 4.1.1).
type name string

// makeName puts labels together.
func makeName(labels ...string) (name, error) {
	var b strings.Builder
	for _, l := range labels {
		if l == "" || len(l) > 63 {
			return "", fmt.Errorf("the label %q has %d bytes; 1 to 63 are allowed", l, len(l))
		}
		b.WriteByte(byte(len(l)))
		b.WriteString(l)
	}
	b.WriteByte(0)
	if b.Len() > maxName {
		return "", fmt.Errorf("the name has %d bytes; %d are allowed", b.Len(), maxName)
	}
	return name(b.String()), nil
}

// serviceName is the name that a service type is browsed by, such as that of
// "_brski-proxy._tcp".
func serviceName(service string) (name, error) {
	labels := strings.Split(service, ".")
	if len(labels) != 2 || !strings.HasPrefix(labels[0], "_") || labels[1] != "_tcp" {
		return "", fmt.Errorf("the service %q is not of the form _NAME._tcp", service)
	}
	return makeName(labels[0], labels[1], "local")
}

// fold makes names that differ in the case of ASCII letters alone the same
// (RFC 6762, Section 16). Lengths are below the letters.
func (n name) fold() name {
	for i := range len(n) {
		if c := n[i]; c >= 'A' && c <= 'Z' {
			b := []byte(n)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return name(b)
		}
	}
	return n
}

// first is the first label, and the rest the name without it; the root has neither.
func (n name) first() (label string, rest name) {
	if len(n) < 2 {
		return "", ""
	}
	return string(n[1 : 1+n[0]]), n[1+n[0]:]
}

// String joins the labels with dots, for people.
func (n name) String() string {
	var labels []string
	for label, rest := n.first(); rest != ""; label, rest = rest.first() {
		labels = append(labels, label)
	}
	return strings.Join(labels, ".")
}

var (
	errShort = errors.New("the message ends too early")
	errName  = errors.New("a name is malformed")
)

// readName reads the name at offset of message, and returns where the next
// thing is. A compressed name (RFC 1035, Section 4.1.4) points to what is before
// it only, each time further back, so that reading ends.
func readName(message []byte, offset int) (name, int, error) {
	var (
		b     [maxName]byte
		n     int
		next  = -1 // after the first pointer
		limit = offset
	)
	for {
		if offset >= len(message) {
			return "", 0, errShort
		}
		length := int(message[offset])
		switch length & 0xc0 {
		case 0x00:
			end := offset + 1 + length
			if end > len(message) {
				return "", 0, errShort
			}
			if n+1+length > maxName {
				return "", 0, errName
			}
			n += copy(b[n:], message[offset:end])
			offset = end
			if length == 0 {
				if next < 0 {
					next = offset
				}
				return name(b[:n]), next, nil
			}
		case 0xc0:
			if offset+2 > len(message) {
				return "", 0, errShort
			}
			if next < 0 {
				next = offset + 2
			}
			target := (length&0x3f)<<8 | int(message[offset+1])
			if target >= limit {
				return "", 0, errName
			}
			limit, offset = target, target
		default:
			return "", 0, errName
		}
	}
}

// appendName writes n, compressed by what was written before when seen, which
// notes offsets by name, is not nil.
func appendName(message []byte, n name, seen map[name]int) []byte {
	for rest := n; rest != "\x00"; {
		if at, ok := seen[rest]; ok {
			return append(message, 0xc0|byte(at>>8), byte(at))
		}
		if seen != nil && len(message) < 1<<14 {
			seen[rest] = len(message)
		}
		length := 1 + int(rest[0])
		message = append(message, rest[:length]...)
		rest = rest[length:]
	}
	return append(message, 0)
}
