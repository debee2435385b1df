package profile

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"net"
	"net/url"

	"github.com/briskest/briskest/ca"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Bounds of a requested SubjectAltName.
const (
	maxSANBytes = 32 << 10
	maxNames    = 128
)

// Words of the types of names, as in the document.
const (
	wordDNS            = "dns"
	wordEmail          = "email"
	wordURI            = "uri"
	wordIP             = "ip"
	wordHardwareModule = "hardware_module_name"
	wordACP            = "acp_node_name"
	wordSAN            = "subject_alt_name"
)

// generalName is one name, whatever its type.
type generalName struct {
	kind   string                // a word of the document, or a name of the RFC for types that it lacks
	text   string                // the name; hwSerialNum for a HardwareModuleName
	ip     net.IP                // of an ip
	hwType asn1.ObjectIdentifier // of a HardwareModuleName
	raw    []byte                // of an otherName: DER with its tag
}

// display is the name as errors and comparisons show it.
func (g *generalName) display() string {
	switch g.kind {
	case wordIP:
		return g.ip.String()
	case wordHardwareModule:
		return g.hwType.String() + ":" + g.text
	default:
		return g.text
	}
}

func sanUnreadable(hint string) error {
	return &NameError{Type: wordSAN, Kind: ErrNameEncoding, Hint: hint}
}

// parseGeneralNames reads GeneralNames (RFC 5280, Section 4.2.1.6). Each type
// is read; which are taken is decided later.
func parseGeneralNames(der []byte) ([]generalName, error) {
	if len(der) == 0 {
		return nil, nil
	}
	if len(der) > maxSANBytes {
		return nil, sanUnreadable("it is too long")
	}
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() || seq.Empty() {
		return nil, sanUnreadable("it is no list of names")
	}
	var names []generalName
	for !seq.Empty() {
		if len(names) == maxNames {
			return nil, sanUnreadable(fmt.Sprintf("it has more than %d names", maxNames))
		}
		g, err := parseGeneralName(&seq)
		if err != nil {
			return nil, err
		}
		names = append(names, g)
	}
	return names, nil
}

func parseGeneralName(seq *cryptobyte.String) (generalName, error) {
	var element, value cryptobyte.String
	var tag cbasn1.Tag
	if !seq.ReadAnyASN1Element(&element, &tag) {
		return generalName{}, sanUnreadable("a name is cut short")
	}
	rest := element
	rest.ReadAnyASN1(&value, &tag)
	switch tag {
	case cbasn1.Tag(0).ContextSpecific().Constructed():
		return parseOtherName(element, value)
	case cbasn1.Tag(1).ContextSpecific():
		return ia5Name(wordEmail, value)
	case cbasn1.Tag(2).ContextSpecific():
		return ia5Name(wordDNS, value)
	case cbasn1.Tag(6).ContextSpecific():
		return ia5Name(wordURI, value)
	case cbasn1.Tag(7).ContextSpecific():
		if len(value) != net.IPv4len && len(value) != net.IPv6len {
			return generalName{}, sanUnreadable("an address has neither 4 nor 16 bytes")
		}
		return generalName{kind: wordIP, ip: net.IP(value)}, nil
	case cbasn1.Tag(3).ContextSpecific().Constructed():
		return generalName{kind: "x400Address"}, nil
	case cbasn1.Tag(4).ContextSpecific().Constructed():
		return generalName{kind: "directoryName"}, nil
	case cbasn1.Tag(5).ContextSpecific().Constructed():
		return generalName{kind: "ediPartyName"}, nil
	case cbasn1.Tag(8).ContextSpecific():
		return generalName{kind: "registeredID"}, nil
	default:
		return generalName{}, sanUnreadable(fmt.Sprintf("a name has the unknown tag %#x", uint8(tag)))
	}
}

func ia5Name(kind string, value []byte) (generalName, error) {
	if !isASCII(string(value)) {
		return generalName{}, &NameError{Type: kind, Value: string(value), Kind: ErrNameValue, Hint: "it is not ASCII"}
	}
	return generalName{kind: kind, text: string(value)}, nil
}

// parseOtherName reads an otherName of a known type; one of another type keeps
// its OID as its kind.
func parseOtherName(element, value cryptobyte.String) (generalName, error) {
	g := generalName{raw: bytes.Clone(element)}
	var oid asn1.ObjectIdentifier
	var inner cryptobyte.String
	if !value.ReadASN1ObjectIdentifier(&oid) || !value.ReadASN1(&inner, cbasn1.Tag(0).ContextSpecific().Constructed()) || !value.Empty() {
		return g, sanUnreadable("an otherName is no type with a value")
	}
	switch {
	case oid.Equal(oidOtherName(4)):
		g.kind = wordHardwareModule
		var seq, serial cryptobyte.String
		if !inner.ReadASN1(&seq, cbasn1.SEQUENCE) || !inner.Empty() || !seq.ReadASN1ObjectIdentifier(&g.hwType) ||
			!seq.ReadASN1(&serial, cbasn1.OCTET_STRING) || !seq.Empty() {
			return g, &NameError{Type: wordHardwareModule, Kind: ErrNameEncoding, Hint: "it is no hwType with an hwSerialNum (RFC 4108, Section 5)"}
		}
		g.text = string(serial)
	case oid.Equal(oidOtherName(10)):
		g.kind = wordACP
		var text cryptobyte.String
		if !inner.ReadASN1(&text, cbasn1.IA5String) || !inner.Empty() || !isASCII(string(text)) {
			return g, &NameError{Type: wordACP, Kind: ErrNameEncoding, Hint: "it is no IA5String (RFC 8994, Section 6.2.2.1)"}
		}
		g.text = string(text)
	default:
		g.kind = "otherName " + oid.String()
	}
	return g, nil
}

// appendGeneralNames writes the names: DNS, email, IP, URI, others, the order
// in which crypto/x509 writes requests.
func appendGeneralNames(b *cryptobyte.Builder, n *ca.Names) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, d := range n.DNS {
			appendTagged(b, 2, []byte(d))
		}
		for _, e := range n.Email {
			appendTagged(b, 1, []byte(e))
		}
		for _, ip := range n.IP {
			appendTagged(b, 7, canonicalIP(ip))
		}
		for _, u := range n.URI {
			appendTagged(b, 6, []byte(u.String()))
		}
		for _, raw := range n.Other {
			b.AddBytes(raw)
		}
	})
}

func appendTagged(b *cryptobyte.Builder, tag cbasn1.Tag, value []byte) {
	b.AddASN1(tag.ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(value) })
}

// otherName writes an otherName (RFC 5280, Section 4.2.1.6) with its tag.
func otherName(oid asn1.ObjectIdentifier, value func(b *cryptobyte.Builder)) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), value)
	})
	return b.Bytes()
}

// HardwareModuleName returns the otherName with a HardwareModuleName (RFC
// 4108, Section 5) for [ca.Names].Other.
func HardwareModuleName(hwType asn1.ObjectIdentifier, serial []byte) ([]byte, error) {
	return otherName(oidOtherName(4), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(hwType)
			b.AddASN1OctetString(serial)
		})
	})
}

// ACPNodeName returns the otherName with an AcpNodeName (RFC 8994, Section
// 6.2.2.1) for [ca.Names].Other.
func ACPNodeName(name string) ([]byte, error) {
	return otherName(oidOtherName(10), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.IA5String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
	})
}

// add puts a taken name where ca.Names keeps its type.
func (g *generalName) add(n *ca.Names) error {
	switch g.kind {
	case wordDNS:
		n.DNS = append(n.DNS, g.text)
	case wordEmail:
		n.Email = append(n.Email, g.text)
	case wordIP:
		n.IP = append(n.IP, canonicalIP(g.ip))
	case wordURI:
		u, err := url.Parse(g.text)
		if err != nil {
			return &NameError{Type: wordURI, Value: g.text, Kind: ErrNameValue, Hint: "it is no URI"}
		}
		n.URI = append(n.URI, u)
	default:
		n.Other = append(n.Other, g.raw)
	}
	return nil
}

// flatten is the reverse of add over all of n.
func flatten(n *ca.Names) ([]generalName, error) {
	names := make([]generalName, 0, len(n.DNS)+len(n.Email)+len(n.IP)+len(n.URI)+len(n.Other))
	for _, d := range n.DNS {
		names = append(names, generalName{kind: wordDNS, text: d})
	}
	for _, e := range n.Email {
		names = append(names, generalName{kind: wordEmail, text: e})
	}
	for _, ip := range n.IP {
		names = append(names, generalName{kind: wordIP, ip: canonicalIP(ip)})
	}
	for _, u := range n.URI {
		names = append(names, generalName{kind: wordURI, text: u.String()})
	}
	for _, raw := range n.Other {
		in := cryptobyte.String(raw)
		g, err := parseGeneralName(&in)
		if err != nil {
			return nil, err
		}
		if !in.Empty() || g.raw == nil {
			return nil, sanUnreadable("an entry of Other is no single otherName")
		}
		names = append(names, g)
	}
	return names, nil
}
