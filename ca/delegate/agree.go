package delegate

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net"
	"net/url"
	"slices"

	"github.com/briskest/briskest/ca"
)

// CommonName returns that of a subject as people read it; empty for none.
func CommonName(subject pkix.RDNSequence) string {
	for _, set := range subject {
		for _, one := range set {
			if one.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) {
				return text(one.Value)
			}
		}
	}
	return ""
}

// CheckCSRAgrees holds the common name and the SubjectAltName of a CSR against
// the decision, for CAs that get the names beside it: of each type it may have
// none, or those decided. The error wraps ca.ErrRejected. A CSR that cannot be
// read is left to [Rules.Begin].
func CheckCSRAgrees(r *ca.Request) error {
	csr, err := x509.ParseCertificateRequest(r.CSR)
	if err != nil {
		return nil
	}
	cn := CommonName(r.Subject)
	if csr.Subject.CommonName != "" && csr.Subject.CommonName != cn {
		return fmt.Errorf("%w: the certification request is passed on whole and its common name is %.100q, not %.100q", ca.ErrRejected, csr.Subject.CommonName, cn)
	}
	differ := func(kind string) error {
		return fmt.Errorf("%w: the certification request is passed on whole and asks for other names of type %s than were decided", ca.ErrRejected, kind)
	}
	switch {
	case !noneOrSame(csr.DNSNames, r.Names.DNS):
		return differ("DNS")
	case !noneOrSame(csr.EmailAddresses, r.Names.Email):
		return differ("email")
	case !noneOrSame(uriTexts(csr.URIs), uriTexts(r.Names.URI)):
		return differ("URI")
	case len(csr.IPAddresses) > 0 && !sameAddresses(csr.IPAddresses, r.Names.IP):
		return differ("IP")
	}
	return nil
}

func uriTexts(list []*url.URL) []string {
	out := make([]string, len(list))
	for i, u := range list {
		out[i] = u.String()
	}
	return out
}

// noneOrSame says whether none are asked for, or those decided in any order.
func noneOrSame(asked, decided []string) bool {
	if len(asked) == 0 {
		return true
	}
	asked, decided = slices.Clone(asked), slices.Clone(decided)
	slices.Sort(asked)
	slices.Sort(decided)
	return slices.Equal(slices.Compact(asked), slices.Compact(decided))
}

func sameAddresses(a, b []net.IP) bool {
	sorted := func(list []net.IP) []net.IP {
		out := make([]net.IP, len(list))
		for i, ip := range list {
			out[i] = ip.To16()
		}
		slices.SortFunc(out, func(x, y net.IP) int { return bytes.Compare(x, y) })
		return out
	}
	return slices.EqualFunc(sorted(a), sorted(b), net.IP.Equal)
}
