package profile

import (
	"encoding/asn1"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/briskest/briskest/ca"
)

// nameRules are the checked NameRules. A type without a rule is not in rules.
type nameRules struct {
	rules    []nameRule
	required bool
	ignore   bool // others
}

// nameRule is one type of name.
type nameRule struct {
	kind     string
	request  bool
	patterns []*regexp.Regexp
	networks []netip.Prefix
	hwTypes  []asn1.ObjectIdentifier
	values   []*template
	required bool
	max      int
}

func (s *nameRules) rule(kind string) int {
	for i := range s.rules {
		if s.rules[i].kind == kind {
			return i
		}
	}
	return -1
}

// decide takes or refuses each requested name on its own, then adds the
// profile's own.
func (s *nameRules) decide(requested []generalName, facts *Facts) (ca.Names, error) {
	var own []generalName
	for i := range s.rules {
		values, err := s.rules[i].own(facts)
		if err != nil {
			return ca.Names{}, err
		}
		own = append(own, values...)
	}
	var out ca.Names
	counts := make([]int, len(s.rules))
	seen := make(map[string]bool, len(own)+len(requested))
	for i := range own {
		seen[own[i].kind+" "+own[i].display()] = true
	}
	for i := range requested {
		g := &requested[i]
		key := g.kind + " " + g.display()
		if g.kind == wordDNS {
			key = strings.ToLower(key)
		}
		if seen[key] && s.isOwn(own, g) {
			continue // what the profile gives anyway
		}
		err := s.take(g, counts)
		if err != nil && s.ignore && isForeign(err) {
			continue
		}
		if err != nil {
			return ca.Names{}, err
		}
		// Once checked, twice in the certificate: see R20 in the tests.
		if seen[key] {
			return ca.Names{}, &NameError{Type: g.kind, Value: g.display(), Kind: ErrNameValue, Hint: "it is requested twice"}
		}
		seen[key] = true
		if err := g.add(&out); err != nil {
			return ca.Names{}, err
		}
	}
	for i := range own {
		if err := own[i].add(&out); err != nil {
			return ca.Names{}, err
		}
	}
	return out, nil
}

func (s *nameRules) isOwn(own []generalName, g *generalName) bool {
	for i := range own {
		if own[i].kind == g.kind && own[i].display() == g.display() {
			return true
		}
	}
	return false
}

// own renders the names that the profile gives itself.
func (r *nameRule) own(facts *Facts) ([]generalName, error) {
	var out []generalName
	for _, value := range r.values {
		text, err := value.render(r.kind, facts)
		if err != nil {
			return nil, err
		}
		g := generalName{kind: r.kind, text: text}
		switch r.kind {
		case wordIP:
			g.ip = canonicalIP(net.ParseIP(text))
		case wordHardwareModule:
			g.hwType = r.hwTypes[0]
			g.raw, err = HardwareModuleName(g.hwType, []byte(text))
		case wordACP:
			g.raw, err = ACPNodeName(text)
		}
		if err != nil {
			return nil, &NameError{Type: r.kind, Value: text, Kind: ErrNameValue, Hint: err.Error()}
		}
		out = append(out, g)
	}
	return out, nil
}

// take finds the rule for a requested name and counts it.
func (s *nameRules) take(g *generalName, counts []int) error {
	i := s.rule(g.kind)
	if i < 0 {
		return &NameError{Type: g.kind, Value: g.text, Kind: ErrNameType, Hint: "types it takes: " + s.words()}
	}
	r := &s.rules[i]
	if !r.request {
		return &NameError{Type: g.kind, Value: g.display(), Kind: ErrNameDiffers}
	}
	if counts[i]++; counts[i] > r.max {
		return &NameError{Type: g.kind, Value: g.display(), Kind: ErrNameCount}
	}
	if err := g.checkSyntax(); err != nil {
		return err
	}
	if !r.admits(g) {
		return &NameError{Type: g.kind, Value: g.display(), Kind: ErrNamePattern}
	}
	return nil
}

func (s *nameRules) words() string {
	var words []string
	for i := range s.rules {
		words = append(words, s.rules[i].kind)
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

// admits says whether a valid name is one of those that may be requested.
func (r *nameRule) admits(g *generalName) bool {
	switch r.kind {
	case wordIP:
		address, ok := netip.AddrFromSlice(canonicalIP(g.ip))
		for _, network := range r.networks {
			if ok && network.Contains(address) {
				return true
			}
		}
		return len(r.networks) == 0
	case wordHardwareModule:
		for _, oid := range r.hwTypes {
			if oid.Equal(g.hwType) {
				return true
			}
		}
		return false
	}
	text := g.text
	if r.kind == wordDNS {
		text = strings.ToLower(text)
	}
	for _, pattern := range r.patterns {
		if pattern.MatchString(text) {
			return true
		}
	}
	return len(r.patterns) == 0
}

// checkSyntax checks what holds for every name of the type, whoever gave it.
func (g *generalName) checkSyntax() error {
	refuse := func(hint string) error {
		return &NameError{Type: g.kind, Value: g.display(), Kind: ErrNameValue, Hint: hint}
	}
	switch g.kind {
	case wordDNS:
		if !validDNS(g.text) {
			return refuse("it is no host name: labels of letters, digits and inner hyphens, no wildcard, no final dot")
		}
	case wordEmail:
		if !validEmail(g.text) {
			return refuse("it is no mail address")
		}
	case wordURI:
		return checkURI(g.text)
	case wordIP:
		if len(g.ip) == net.IPv6len && g.ip.To4() != nil {
			return refuse("it is an IPv4 address in the form of an IPv6 one")
		}
		if g.ip.IsUnspecified() {
			return refuse("it is no address of a host")
		}
	case wordHardwareModule:
		if g.text == "" || len(g.text) > 64 {
			return refuse("hwSerialNum has 1 to 64 bytes here")
		}
		if rebuilt, err := HardwareModuleName(g.hwType, []byte(g.text)); err != nil || string(rebuilt) != string(g.raw) {
			return refuse("it is not in DER")
		}
	case wordACP:
		if !validACP(g.text) {
			return refuse("it is no acp-node-name (RFC 8994, Section 6.2.2)")
		}
		if rebuilt, err := ACPNodeName(g.text); err != nil || string(rebuilt) != string(g.raw) {
			return refuse("it is not in DER")
		}
	default:
		return &NameError{Type: g.kind, Kind: ErrNameType}
	}
	return nil
}

// checkURI: absolute, ASCII, with a host or none at all, and no user or
// password in it (RFC 5280, Section 4.2.1.6; RFC 3986, Section 3).
func checkURI(text string) error {
	refuse := func(hint string) error {
		return &NameError{Type: wordURI, Value: text, Kind: ErrNameValue, Hint: hint}
	}
	if len(text) > 1024 || strings.ContainsFunc(text, func(r rune) bool {
		return !isAlphanumeric(r) && !strings.ContainsRune("-._~:/?#[]@!$&'()+;=%", r)
	}) {
		return refuse("it is longer than 1024 bytes or holds characters that URIs escape, * or a comma")
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.String() != text {
		return refuse("it is no absolute URI in its usual form")
	}
	if u.User != nil {
		return refuse("it holds a user")
	}
	if u.Opaque == "" && !validDNS(u.Hostname()) && !hostIsIP(u.Hostname()) {
		return refuse("its host is no host name or address")
	}
	return nil
}

// check walks decided names by the same rules and returns how many there are.
func (s *nameRules) check(names *ca.Names) (int, error) {
	all, err := flatten(names)
	if err != nil {
		return 0, err
	}
	if err := checkDistinct(all); err != nil {
		return 0, err
	}
	counts := make([]int, len(s.rules))
	found := make([]uint64, len(s.rules)) // bit j: the rule's j-th own value is there
	present := make([]bool, len(s.rules))
	for i := range all {
		g := &all[i]
		r := s.rule(g.kind)
		if r >= 0 {
			present[r] = true
			if j := s.rules[r].ownIndex(g, found[r]); j >= 0 {
				found[r] |= 1 << j
				if err := g.checkSyntax(); err != nil {
					return 0, err
				}
				continue
			}
		}
		if err := s.take(g, counts); err != nil {
			return 0, err
		}
	}
	for i := range s.rules {
		r := &s.rules[i]
		if found[i] != 1<<len(r.values)-1 || (r.required && !present[i]) {
			return 0, &NameError{Type: r.kind, Kind: ErrNameMissing}
		}
	}
	if s.required && len(all) == 0 {
		return 0, &NameError{Type: wordSAN, Kind: ErrNameMissing, Hint: "types it takes: " + s.words()}
	}
	return len(all), nil
}

// ownIndex finds which of the rule's own values a name is; -1 for none.
func (r *nameRule) ownIndex(g *generalName, found uint64) int {
	text := g.text
	if r.kind == wordIP {
		text = g.ip.String()
	}
	if r.kind == wordHardwareModule && !g.hwType.Equal(r.hwTypes[0]) {
		return -1
	}
	for j, value := range r.values {
		if found&(1<<j) == 0 && value.match.MatchString(text) {
			return j
		}
	}
	return -1
}

// checkDistinct bounds the names and refuses one that is there twice.
func checkDistinct(all []generalName) error {
	if len(all) > maxNames {
		return &NameError{Type: wordSAN, Kind: ErrNameCount}
	}
	for i := range all {
		for j := range i {
			a, b := &all[i], &all[j]
			if a.kind == b.kind && a.text == b.text && a.ip.Equal(b.ip) && a.hwType.Equal(b.hwType) {
				return &NameError{Type: a.kind, Value: a.display(), Kind: ErrNameValue, Hint: "it is there twice"}
			}
		}
	}
	return nil
}
