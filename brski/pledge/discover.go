package pledge

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
)

// Candidate is where a registrar, or a join proxy to one, may answer. Nothing
// in it is trusted (RFC 8995, Section 4.1).
type Candidate struct {
	// URL is https://HOST:PORT. A link-local address has its zone, escaped as in
	// "https://[fe80::1%25eth0]:8443".
	URL string
}

// Discoverer finds registrars and join proxies, as by mDNS (RFC 8995, Appendix B).
type Discoverer interface {
	// Next returns the next candidate and waits until there is one or ctx ends.
	// io.EOF says that it was listened for long enough to try other ways; Next is
	// called again a little later, and listening goes on. A method that asks paces
	// itself: twice as rarely each time, up to an hour (RFC 8995, Section 4.1). A
	// candidate may be returned again: that changes nothing. Next is never called
	// by two goroutines at once.
	Next(ctx context.Context) (Candidate, error)
}

// CandidateAt returns the candidate at an address, whose zone is kept.
func CandidateAt(at netip.AddrPort) Candidate {
	return Candidate{URL: "https://" + strings.ReplaceAll(at.String(), "%", "%25")}
}

// origin is where a server answers, parsed.
type origin struct {
	base    string // https://host:port, a zone escaped
	address string // host:port, lower case: but for a zone: what tells origins apart
	host    string
	via     string // how it was found: one of the constants below
}

// How a registrar was found. It is stored.
const (
	viaGiven      = "" // Config.RegistrarURL, Config.Registrars
	viaDiscovered = "discovered"
	viaCloud      = "cloud"      // Config.CloudURL
	viaRedirect   = "redirect"   // a registrar or the cloud registrar named it
	viaESTDomain  = "est-domain" // a voucher of the cloud registrar named it: plain EST
)

// parseOrigin reads the URL of a server. It may have one of paths, or none.
func parseOrigin(raw, via string, paths ...string) (origin, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return origin{}, fmt.Errorf("registrar URL: %w", err)
	}
	if u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return origin{}, fmt.Errorf("registrar URL %q: https://HOST:PORT was expected", raw)
	}
	if path := strings.TrimSuffix(u.EscapedPath(), "/"); path != "" && !slices.Contains(paths, path) {
		return origin{}, fmt.Errorf("registrar URL %q: https://HOST:PORT was expected, without a path", raw)
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	if err := checkAuthority(u); err != nil {
		return origin{}, err
	}
	name, zone, scoped := strings.Cut(u.Hostname(), "%")
	host := strings.ToLower(name)
	if scoped {
		host += "%" + zone // of an interface, whose name has capitals
	}
	base := url.URL{Scheme: u.Scheme, Host: u.Host}
	return origin{base: base.String(), address: net.JoinHostPort(host, port), host: host, via: via}, nil
}

// checkAuthority takes names, addresses and ports that can be connected to.
func checkAuthority(u *url.URL) error {
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("registrar URL %q: there is no port %s", u, port)
		}
	}
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	strange := func(c rune) bool {
		return c != '.' && c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}
	if len(host) > 253 || strings.ContainsFunc(host, strange) {
		return fmt.Errorf("registrar URL %q: %q is neither a name nor an address", u, host)
	}
	return nil
}

// paths that a redirect may name: they say nothing that is not known.
func redirectPaths() []string {
	return []string{brski.PathPrefix, brski.PathPrefix + "/requestvoucher"}
}

// paths of an est-domain.
func estPaths() []string { return []string{est.PathPrefix} }

// parsePlaces reads the places that the configuration names.
func (p *Pledge) parsePlaces() error {
	given := p.c.Registrars
	if p.c.RegistrarURL != "" {
		given = append([]string{p.c.RegistrarURL}, given...)
	}
	for _, raw := range given {
		o, err := parseOrigin(raw, viaGiven)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(p.given, o.same) {
			p.given = append(p.given, o)
		}
	}
	if p.c.CloudURL != "" {
		o, err := parseOrigin(p.c.CloudURL, viaCloud, brski.PathPrefix)
		if err != nil {
			return fmt.Errorf("cloud %w", err)
		}
		if p.c.CloudAnchors == nil {
			return fmt.Errorf("the cloud registrar %q needs anchors of its own (RFC 8995, Section 2.7)", p.c.CloudURL)
		}
		p.cloud = &o
	}
	return nil
}

func (o origin) same(other origin) bool { return o.address == other.address }

// known returns the registrars to go to with an imprint: the one that it was
// made at comes first. One that the operator named does not count any more
// when others are named.
func (r *run) known() []origin {
	stored, err := parseOrigin(r.st.Registrar, r.st.Via)
	if err != nil {
		return r.given
	}
	if r.st.Via == viaGiven && len(r.given) > 0 && !slices.ContainsFunc(r.given, stored.same) {
		return r.given
	}
	list := []origin{stored}
	for _, o := range r.given {
		if !o.same(stored) {
			list = append(list, o)
		}
	}
	return list
}
