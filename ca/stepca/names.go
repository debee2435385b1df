package stepca

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
)

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
// find nothing else in the CSR.
func (c *CA) checkNames(r *ca.Request) error {
	cannot := func(format string, args ...any) error {
		return fmt.Errorf("%w: step-ca cannot be told %s", ca.ErrRejected, fmt.Sprintf(format, args...))
	}
	if len(r.Names.Other) > 0 {
		return cannot("SubjectAltNames of other types than DNS, IP, email and URI")
	}
	list, cn := sans(&r.Names), delegate.CommonName(r.Subject)
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
	return delegate.CheckCSRAgrees(r)
}
