package stepca

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/briskest/briskest/ca"
)

func oidCommonName() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 4, 3} }

// commonName returns that of a subject; empty for none.
func commonName(subject pkix.RDNSequence) string {
	for _, set := range subject {
		for _, one := range set {
			if one.Type.Equal(oidCommonName()) {
				if raw, ok := one.Value.(asn1.RawValue); ok {
					return string(raw.Bytes)
				}
				return fmt.Sprint(one.Value)
			}
		}
	}
	return ""
}

// sans are the names as a token lists them, text whose type step-ca guesses.
func sans(n *ca.Names) []string {
	out := slices.Clone(n.DNS)
	for _, ip := range n.IP {
		out = append(out, ip.String())
	}
	out = append(out, n.Email...)
	for _, u := range n.URI {
		out = append(out, u.String())
	}
	return out
}

// checkNames says whether a token can say the names, and whether step-ca will
// find them in the CSR. A CSR that cannot be read is left to delegate.
func (c *CA) checkNames(r *ca.Request) error {
	cannot := func(format string, args ...any) error {
		return fmt.Errorf("%w: step-ca cannot be told %s", ca.ErrRejected, fmt.Sprintf(format, args...))
	}
	if len(r.Names.Other) > 0 {
		return cannot("SubjectAltNames of other types than DNS, IP, email and URI")
	}
	list, cn := sans(&r.Names), commonName(r.Subject)
	if !c.config.Template {
		if len(r.Subject) != 1 || len(r.Subject[0]) != 1 || cn == "" {
			return cannot("a subject that is not one common name, %.100q; with a template of its own it can (docs/issuers.md)", r.Subject.String())
		}
		if len(list) == 0 {
			return cannot("a certificate without SubjectAltName; with a template of its own it can (docs/issuers.md)")
		}
	}
	for _, name := range r.Names.DNS {
		if net.ParseIP(name) != nil || strings.ContainsAny(name, "@:") {
			return cannot("the DNS name %.100q, which it takes for something else", name)
		}
	}
	for _, u := range r.Names.URI {
		if u.Scheme == "" || u.Host == "" && u.Scheme != "urn" {
			return cannot("the URI %.100q, which it takes for something else", u.String())
		}
	}
	csr, err := x509.ParseCertificateRequest(r.CSR)
	if err != nil {
		return nil
	}
	return agree(r, csr, cn)
}

// agree holds the names of a CSR against the decision as step-ca does: it may
// have none of a type, or the very same.
func agree(r *ca.Request, csr *x509.CertificateRequest, cn string) error {
	if csr.Subject.CommonName != "" && csr.Subject.CommonName != cn {
		return fmt.Errorf("%w: the certification request is passed on whole and its common name is %.100q, not %.100q", ca.ErrRejected, csr.Subject.CommonName, cn)
	}
	differ := func(kind string) error {
		return fmt.Errorf("%w: the certification request is passed on whole and asks for other names of type %s than were decided", ca.ErrRejected, kind)
	}
	switch {
	case !subset(csr.DNSNames, r.Names.DNS):
		return differ("DNS")
	case !subset(csr.EmailAddresses, r.Names.Email):
		return differ("email")
	case !subset(texts(csr.URIs), texts(r.Names.URI)):
		return differ("URI")
	case len(csr.IPAddresses) > 0 && !sameAddresses(csr.IPAddresses, r.Names.IP):
		return differ("IP")
	}
	return nil
}

func texts(list []*url.URL) []string {
	out := make([]string, len(list))
	for i, u := range list {
		out[i] = u.String()
	}
	return out
}

// subset says whether none are asked for, or those decided in any order.
func subset(asked, decided []string) bool {
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
