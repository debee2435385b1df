package main

import (
	"fmt"
	"slices"
	"strings"
)

// list is a list of requirements and the document that answers it.
type list struct {
	name     string
	document string
	title    string
	of       string   // whose requirements they are, for the introduction
	roles    []string // the document is about; the first ones first in its summary
	prefixes []string // of the ids
}

// lists are the lists that are kept. Servers and clients of EST over TLS, and CAs: the rows
// of RFC 9148 (CoAP), RFC 9480 and RFC 9483 (CMP) and RFC 9733 (CMP in BRSKI) are
// other protocols. Of BRSKI what RFC 8995 and its vouchers ask; the rows of PRM,
// constrained vouchers, GRASP and the ACP are other protocols as well.
func lists() []list {
	return []list{{
		name: "est", document: "docs/conformance-est.md", title: "EST", of: "an EST server or client, or the CA behind it",
		roles: []string{"server", "client", "ca"},
		prefixes: []string{
			"EST-2985-", "EST-2986-", "EST-4210-", "EST-5019-", "EST-5272-", "EST-5273-", "EST-5274-", "EST-5280-", "EST-5652-", "EST-5929-",
			"EST-5967-", "EST-6402-", "EST-6960-", "EST-7030-", "EST-7616-", "EST-7894-", "EST-8295-", "EST-8951-", "EST-9110-", "EST-9112-",
			"EST-9266-", "EST-9325-", "EST-9908-",
		},
	}, {
		name: "brski", document: "docs/conformance-brski.md", title: "BRSKI", of: "a registrar, MASA, pledge or join proxy",
		roles:    []string{"registrar", "masa", "pledge", "join-proxy"},
		prefixes: []string{"BRSKI-8366-", "BRSKI-8366BIS-", "BRSKI-8995-", "BRSKI-8021AR-", "BRSKI-EST-", "BRSKI-JWS-", "BRSKI-CLOUD-"},
	}}
}

func listNamed(name string) (*list, error) {
	all := lists()
	i := slices.IndexFunc(all, func(l list) bool { return l.name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no list %q; want est or brski", name)
	}
	return &all[i], nil
}

// has tells whether an id belongs to the list.
func (l *list) has(id string) bool {
	return slices.ContainsFunc(l.prefixes, func(p string) bool { return strings.HasPrefix(id, p) })
}

// about tells whether the document is about a row: what must and must not be.
func (l *list) about(r row) bool {
	return l.has(r.id) && slices.Contains(l.roles, r.role) && (r.level == "MUST" || r.level == "MUST NOT")
}
