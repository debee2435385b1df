package registrar

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/briskest/briskest/ca"
)

// namesHash is SHA-256 over subject and SubjectAltName: equal names give equal
// hashes, whatever the order in the SubjectAltName, the case of DNS names and
// the string types of the request.
func namesHash(subject pkix.RDNSequence, names *ca.Names) [32]byte {
	b := make([]byte, 0, 256)
	for _, rdn := range subject {
		b = append(b, 'R')
		for _, a := range rdn {
			b = append(b, 'A')
			for _, n := range a.Type {
				b = binary.AppendUvarint(b, uint64(n)) //nolint:gosec // arcs are never negative
			}
			b = appendPart(b, '=', text(a.Value))
		}
	}
	for _, part := range sanParts(names) {
		b = appendPart(b, 'S', part)
	}
	return sha256.Sum256(b)
}

func appendPart(b []byte, tag byte, part string) []byte {
	b = append(b, tag)
	b = binary.AppendUvarint(b, uint64(len(part)))
	return append(b, part...)
}

func text(value any) string {
	if s, ok := value.(string); ok {
		return s
	}
	return fmt.Sprint(value)
}

// sanParts lists the names, each with its type, sorted and without repetition.
func sanParts(n *ca.Names) []string {
	parts := make([]string, 0, len(n.DNS)+len(n.IP)+len(n.Email)+len(n.URI)+len(n.Other))
	for _, name := range n.DNS {
		parts = append(parts, "dns:"+strings.ToLower(name))
	}
	for _, ip := range n.IP {
		parts = append(parts, "ip:"+string(ip.To16()))
	}
	for _, name := range n.Email {
		parts = append(parts, "email:"+name)
	}
	for _, u := range n.URI {
		parts = append(parts, "uri:"+u.String())
	}
	for _, der := range n.Other {
		parts = append(parts, "other:"+string(der))
	}
	slices.Sort(parts)
	return slices.Compact(parts)
}

// certificateNames reads the names of a certificate as far as crypto/x509
// understands them; whole tells whether that is all of them.
func certificateNames(cert *x509.Certificate) (pkix.RDNSequence, *ca.Names, error) {
	var subject pkix.RDNSequence
	if rest, err := asn1.Unmarshal(cert.RawSubject, &subject); err != nil || len(rest) > 0 {
		return nil, nil, fmt.Errorf("subject of the certificate: %w", err)
	}
	return subject, &ca.Names{DNS: cert.DNSNames, IP: cert.IPAddresses, Email: cert.EmailAddresses, URI: cert.URIs}, nil
}

func isCommonName(t asn1.ObjectIdentifier) bool { return isX520(t, 3) }

func isSerialNumber(t asn1.ObjectIdentifier) bool { return isX520(t, 5) }

// isX520 tells whether t is 2.5.4.n.
func isX520(t asn1.ObjectIdentifier, n int) bool {
	return len(t) == 4 && t[0] == 2 && t[1] == 5 && t[2] == 4 && t[3] == n
}

// subjectValue returns the first value of a kind in the subject.
func subjectValue(subject pkix.RDNSequence, is func(asn1.ObjectIdentifier) bool) string {
	for _, rdn := range subject {
		for _, a := range rdn {
			if is(a.Type) {
				return text(a.Value)
			}
		}
	}
	return ""
}

// EnrolledName is what a device without an IDevID is known by: the common
// name, else the serial number, else the first DNS name, address, URI or
// e-mail address that was decided. Empty for none.
func EnrolledName(subject pkix.RDNSequence, names *ca.Names) string {
	if name := subjectValue(subject, isCommonName); name != "" {
		return name
	}
	if name := subjectValue(subject, isSerialNumber); name != "" {
		return name
	}
	switch {
	case len(names.DNS) > 0:
		return strings.ToLower(names.DNS[0])
	case len(names.IP) > 0:
		return names.IP[0].String()
	case len(names.URI) > 0:
		return names.URI[0].String()
	case len(names.Email) > 0:
		return names.Email[0]
	default:
		return ""
	}
}

// claimedNames are the names by which somebody could take the certificate for
// that of a device with an IDevID: every common name, serial number and DNS
// name, and each DNS name's first label, in the form of folded. Addresses, URIs
// and e-mail addresses are not compared with serial numbers.
func claimedNames(subject pkix.RDNSequence, names *ca.Names) []string {
	var claimed []string
	for _, rdn := range subject {
		for _, a := range rdn {
			if isCommonName(a.Type) || isSerialNumber(a.Type) {
				claimed = append(claimed, folded(text(a.Value)))
			}
		}
	}
	for _, name := range names.DNS {
		name = folded(strings.TrimSuffix(name, "."))
		first, _, _ := strings.Cut(name, ".")
		claimed = append(claimed, name, first)
	}
	slices.Sort(claimed)
	return slices.Compact(claimed)
}

// folded is the form in which names differ that are not equal
// (RFC 5280, Section 7.1): lower-case, the few other letters whose lower case is ASCII
// among them, and without spaces around it or more than one within.
func folded(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '\u017f' { // long s, whose upper case is S
			return 's'
		}
		return unicode.ToLower(r)
	}, name)
	return strings.Join(strings.Fields(name), " ")
}

// OwnNames tells whether every name is the device's own: common name and
// serial number equal to name, DNS names equal to it or below it ("name" or
// "name.example.com"), and nothing else but attributes that name no device.
// At least one of them must name it.
func OwnNames(name string, subject pkix.RDNSequence, names *ca.Names) bool {
	named := false
	for _, rdn := range subject {
		for _, a := range rdn {
			if !isCommonName(a.Type) && !isSerialNumber(a.Type) {
				continue
			}
			if text(a.Value) != name {
				return false
			}
			named = true
		}
	}
	for _, dns := range names.DNS {
		dns, own := strings.ToLower(dns), strings.ToLower(name)
		if dns != own && !strings.HasPrefix(dns, own+".") {
			return false
		}
		named = true
	}
	return named && len(names.IP) == 0 && len(names.Email) == 0 && len(names.URI) == 0
}
