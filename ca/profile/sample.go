package profile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"regexp/syntax"
	"strings"

	"github.com/briskest/briskest/ca"
)

// Sample makes the n-th generated subject and SubjectAltName that the profile
// takes, for linting and for tests: even ones with no more than the profile
// demands, odd ones with one of each type. Values are plausible ones where the
// patterns take any, else made from the patterns. The error names a rule for
// which no value was found.
func (p *Profile) Sample(n int) (pkix.RDNSequence, ca.Names, error) {
	s := sampler{n: n, full: n%2 == 1}
	subject, err := s.subject(&p.subject)
	if err != nil {
		return nil, ca.Names{}, err
	}
	names, err := s.names(&p.san)
	if err == nil && len(subject) == 0 && !hasNames(&names) {
		// All is optional; something must be there.
		s.full = true
		if subject, err = s.subject(&p.subject); err == nil {
			names, err = s.names(&p.san)
		}
	}
	if err != nil {
		return nil, ca.Names{}, err
	}
	return subject, names, p.CheckNames(subject, &names)
}

type sampler struct {
	n    int
	full bool
}

// facts of the sample device.
func (s *sampler) facts() *Facts {
	return &Facts{
		DeviceID: "0192f0c1a2b3c4d5e6f7" + s.digits(), SerialNumber: "SN-" + s.digits(), Manufacturer: "Example-Devices",
		Model: "M1", Group: "plant-7", Domain: "default", Label: "plant",
		Attribute: func(string) string { return "A-" + s.digits() },
	}
}

// digits are four that depend on n.
func (s *sampler) digits() string {
	const digits = "0123456789"
	out := []byte("0000")
	for i, n := len(out)-1, s.n; i >= 0; i, n = i-1, n/10 {
		out[i] = digits[n%10]
	}
	return string(out)
}

func (s *sampler) subject(rules *subjectRules) (pkix.RDNSequence, error) {
	var requested pkix.RDNSequence
	mayStayEmpty := rules.allowEmpty
	for i := range rules.rules {
		mayStayEmpty = mayStayEmpty || rules.rules[i].required || rules.rules[i].value != nil
	}
	for i := range rules.rules {
		r := &rules.rules[i]
		if r.value != nil || (!r.required && !s.full && mayStayEmpty) {
			continue
		}
		value, ok := s.find(attributeCandidates(r.word, s.digits()), func(v string) error { return r.checkRequested(v, 1) }, r.source())
		if !ok && r.required {
			return nil, documentError("subject", "no valid %s was found that matches the pattern", r.word)
		}
		if ok {
			requested = append(requested, pkix.RelativeDistinguishedNameSET{{Type: r.oid, Value: value}})
		}
	}
	return rules.decide(requested, s.facts())
}

func (r *attributeRule) source() string {
	if r.pattern == nil {
		return ""
	}
	return r.pattern.String()
}

func attributeCandidates(word, digits string) []string {
	switch word {
	case "country":
		return []string{"DE"}
	case "domain_component":
		return []string{"example"}
	case "email":
		return []string{"device" + digits + "@example.com"}
	default:
		return []string{"device-" + digits, "SN" + digits, digits}
	}
}

// find returns the first candidate that check takes, or a text made from one
// of the patterns.
func (s *sampler) find(candidates []string, check func(string) error, patterns ...string) (string, bool) {
	for _, pattern := range patterns {
		if parsed, err := syntax.Parse(pattern, syntax.Perl); err == nil && pattern != "" {
			var out strings.Builder
			writeMatch(&out, parsed.Simplify(), s.n, 0)
			candidates = append(candidates, out.String())
		}
	}
	for _, candidate := range candidates {
		if check(candidate) == nil {
			return candidate, true
		}
	}
	return "", false
}

// writeMatch writes a text that re matches, leaving out what may be left out;
// n varies the choices.
func writeMatch(out *strings.Builder, re *syntax.Regexp, n, depth int) {
	if depth > 100 || out.Len() > 4096 {
		return
	}
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			out.WriteRune(r)
		}
	case syntax.OpCharClass:
		if len(re.Rune) > 1 {
			low, high := re.Rune[0], re.Rune[1]
			if strings.ContainsRune("*+,-./ ", low) && len(re.Rune) > 3 {
				low, high = re.Rune[2], re.Rune[3] // letters and digits rather than signs
			}
			out.WriteRune(low + rune(n)%(high-low+1))
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		out.WriteByte('a')
	case syntax.OpCapture, syntax.OpPlus:
		writeMatch(out, re.Sub[0], n, depth+1)
	case syntax.OpRepeat:
		for range re.Min {
			writeMatch(out, re.Sub[0], n, depth+1)
		}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			writeMatch(out, sub, n, depth+1)
		}
	case syntax.OpAlternate:
		writeMatch(out, re.Sub[n%len(re.Sub)], n, depth+1)
	}
}

func (s *sampler) names(rules *nameRules) (ca.Names, error) {
	var requested []generalName
	for i := range rules.rules {
		r := &rules.rules[i]
		wanted := s.full || r.required || (rules.required && i == 0)
		if !r.request || !wanted {
			continue
		}
		g, ok := s.name(r)
		if !ok && r.required {
			return ca.Names{}, documentError(wordSAN+"."+r.kind, "no valid name was found that matches the patterns")
		}
		if ok {
			requested = append(requested, g)
		}
	}
	return rules.decide(requested, s.facts())
}

func (s *sampler) name(r *nameRule) (generalName, bool) {
	g := generalName{kind: r.kind}
	switch r.kind {
	case wordIP:
		g.ip = s.address(r)
		return g, true
	case wordHardwareModule:
		g.hwType, g.text = r.hwTypes[0], "SN-"+s.digits()
		var err error
		g.raw, err = HardwareModuleName(g.hwType, []byte(g.text))
		return g, err == nil
	}
	var sources []string
	for _, pattern := range r.patterns {
		sources = append(sources, pattern.String())
	}
	text, ok := s.find(nameCandidates(r.kind, s.digits()), func(text string) error {
		candidate := generalName{kind: r.kind, text: text}
		if r.kind == wordACP {
			candidate.raw, _ = ACPNodeName(text)
		}
		if err := candidate.checkSyntax(); err != nil {
			return err
		}
		if !r.admits(&candidate) {
			return ErrNamePattern
		}
		g = candidate
		return nil
	}, sources...)
	g.text = text
	return g, ok
}

func nameCandidates(kind, digits string) []string {
	switch kind {
	case wordDNS:
		return []string{"device-" + digits + ".example.com"}
	case wordEmail:
		return []string{"device-" + digits + "@example.com"}
	case wordURI:
		return []string{"urn:dev:ops:32473-M1-" + digits, "https://example.com/devices/" + digits, (&url.URL{Scheme: "spiffe", Host: "example.com", Path: "/device/" + digits}).String()}
	default:
		return []string{"fd89b714f3db0000200000064000" + digits + "+area51.research@acp.example.com"}
	}
}

// address is one of the first rule's network, or of those for documentation.
func (s *sampler) address(r *nameRule) net.IP {
	network := netip.MustParsePrefix("192.0.2.0/24") // RFC 5737, Section 3
	if len(r.networks) > 0 {
		network = r.networks[s.n%len(r.networks)]
	}
	address := network.Addr()
	if next := address.Next(); next.IsValid() && network.Contains(next) {
		address = next
	}
	return net.IP(address.AsSlice())
}

// sampleKeys makes one public key for each kind and curve the profile takes.
// Nobody has a private key for the RSA ones.
func (p *Profile) sampleKeys() ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for i := range p.keys {
		r := &p.keys[i]
		switch r.kind {
		case kindRSA:
			keys = append(keys, sampleRSA(r.minBits))
		case kindECDSA:
			for _, curve := range r.curves {
				key, err := ecdsa.GenerateKey(curve, rand.Reader)
				if err != nil {
					return nil, err
				}
				keys = append(keys, key.Public())
			}
		case kindEd25519:
			pub, _, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				return nil, err
			}
			keys = append(keys, pub)
		}
	}
	return keys, nil
}

// sampleRSA is an odd number of so many bits without small factors, which is
// all that can be said of a modulus from outside.
func sampleRSA(bits int) *rsa.PublicKey {
	data := make([]byte, 0, bits/8+sha256.Size)
	for block := sha256.Sum256([]byte("briskest sample modulus")); len(data) < bits/8+1; block = sha256.Sum256(block[:]) {
		data = append(data, block[:]...)
	}
	n := new(big.Int).SetBytes(data)
	n.Rsh(n, uint(n.BitLen()-bits))
	n.SetBit(n, bits-1, 1)
	n.SetBit(n, bits-2, 1)
	n.SetBit(n, 0, 1)
	for two := big.NewInt(2); hasSmallFactor(n) || isROCA(n); {
		n.Add(n, two)
	}
	return &rsa.PublicKey{N: n, E: 65537}
}
