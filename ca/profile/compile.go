package profile

import (
	"crypto/elliptic"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// compiler turns a document into the parts of a Profile and gathers all that
// is wrong with it.
type compiler struct {
	doc      *Document
	problems []error
}

func (c *compiler) problem(field, format string, args ...any) {
	c.problems = append(c.problems, documentError(field, format, args...))
}

func (c *compiler) compile(p *Profile) {
	d := c.doc
	if d.Schema != Schema {
		c.problem("schema", "is %d; this program reads schema %d", d.Schema, Schema)
		return
	}
	if !isWord(d.Name, 64, "-_") || !isAlphanumeric(rune(d.Name[0])) {
		c.problem("name", "%.80q is not a letter followed by letters, digits, - and _", d.Name)
	}
	if !isWord(d.Version, 32, "-_.") {
		c.problem("version", "%.80q is not 1 to 32 letters, digits, ., - and _", d.Version)
	}
	if len(d.Description) > 1000 {
		c.problem("description", "is longer than 1000 bytes")
	}
	c.subject(&p.subject)
	c.names(&p.san)
	c.keys(p)
	c.content(&p.content)
	c.period(&p.period)
	c.policy(p)
	if len(c.problems) > 0 {
		return
	}
	var usage [keyKinds]keyUsage
	for i := range p.keys {
		usage[p.keys[i].kind] = p.keys[i].usage
	}
	if err := p.content.build(usage, d.ExtendedKeyUsageCritical); err != nil {
		c.problem("name", "the extensions cannot be written: %v", err)
	}
}

// isWord says whether text is 1 to most letters, digits and characters of extra.
func isWord(text string, most int, extra string) bool {
	return text != "" && len(text) <= most && !strings.ContainsFunc(text, func(r rune) bool {
		return !isAlphanumeric(r) && !strings.ContainsRune(extra, r)
	})
}

func (c *compiler) subject(s *subjectRules) {
	d := &c.doc.Subject
	s.allowEmpty = d.AllowEmpty
	s.ignore = c.others("subject.others", d.Others)
	if len(d.Attributes) > maxAttributes {
		c.problem("subject.attributes", "are more than %d", maxAttributes)
		return
	}
	for i := range d.Attributes {
		s.rules = append(s.rules, c.attribute(fmt.Sprintf("subject.attributes[%d]", i), &d.Attributes[i]))
	}
	if len(d.Attributes) == 0 && !d.AllowEmpty {
		c.problem("subject.attributes", "are missing, and allow_empty is not set: no request could pass")
	}
	for i := range s.rules {
		for j := range i {
			if s.rules[i].value == nil && s.rules[j].value == nil && s.rules[i].oid.Equal(s.rules[j].oid) {
				c.problem(fmt.Sprintf("subject.attributes[%d]", i), "%s is there twice; use max", s.rules[i].word)
			}
		}
	}
}

func (c *compiler) attribute(field string, d *AttributeRule) attributeRule {
	a, ok := attributeByWord(d.Type)
	if !ok {
		c.problem(field+".type", "%.80q is no type of attribute and no OID; the words are %s", d.Type, attributeWords())
	}
	r := attributeRule{attribute: a, required: d.Required, max: c.count(field+".max", d.Max, 1, maxAttributes)}
	if d.Value == "" {
		r.pattern = c.pattern(field+".pattern", d.Pattern)
		return r
	}
	if d.Pattern != "" || d.Max != 0 {
		c.problem(field, "has a value, so that pattern and max mean nothing; remove them")
	}
	r.value = c.template(field+".value", d.Value, escapeSubject)
	if r.value != nil && len(r.value.parts) == 1 && !r.value.parts[0].word {
		if err := r.checkSyntax(d.Value); err != nil {
			c.problem(field+".value", "%v", err)
		}
	}
	return r
}

func attributeWords() string {
	var words []string
	for _, a := range attributeTypes() {
		words = append(words, a.word)
	}
	return strings.Join(words, ", ")
}

func (c *compiler) names(s *nameRules) {
	d := &c.doc.SAN
	s.required = d.Required
	s.ignore = c.others("subject_alt_name.others", d.Others)
	c.name(s, wordDNS, d.DNS, escapeLabel)
	c.name(s, wordEmail, d.Email, escapeLabel)
	c.ip(s, d.IP)
	c.name(s, wordURI, d.URI, escapeURI)
	c.hardwareModule(s, d.HardwareModule)
	c.name(s, wordACP, d.ACP, escapeLabel)
	total := 0
	for i := range s.rules {
		total += len(s.rules[i].values)
		if s.rules[i].request {
			total += s.rules[i].max
		}
	}
	if total > maxNames {
		c.problem("subject_alt_name", "takes %d names in all, more than %d; lower max", total, maxNames)
	}
	if s.required && len(s.rules) == 0 {
		c.problem("subject_alt_name.required", "is set, but no type of name is allowed")
	}
}

func (c *compiler) name(s *nameRules, kind string, d *NameRule, e escape) {
	if d == nil {
		return
	}
	field := wordSAN + "." + kind
	r := nameRule{kind: kind, request: d.Request, required: d.Required, max: c.count(field+".max", d.Max, 8, maxNames)}
	for i, text := range d.Patterns {
		if pattern := c.pattern(fmt.Sprintf("%s.patterns[%d]", field, i), text); pattern != nil {
			r.patterns = append(r.patterns, pattern)
		} else {
			c.problem(fmt.Sprintf("%s.patterns[%d]", field, i), "is empty")
		}
	}
	for i, text := range d.Values {
		r.values = append(r.values, c.template(fmt.Sprintf("%s.values[%d]", field, i), text, e))
	}
	c.addRule(s, field, r, len(d.Patterns) > 0)
}

// addRule keeps a rule that allows something and bounds it.
func (c *compiler) addRule(s *nameRules, field string, r nameRule, restricted bool) {
	if !r.request && len(r.values) == 0 {
		c.problem(field, "allows nothing; set request or values, or remove it")
	}
	if !r.request && restricted {
		c.problem(field, "restricts what is requested, but request is not set")
	}
	if len(r.values) > 32 {
		c.problem(field+".values", "are more than 32")
	}
	s.rules = append(s.rules, r)
}

func (c *compiler) ip(s *nameRules, d *IPRule) {
	if d == nil {
		return
	}
	field := wordSAN + "." + wordIP
	r := nameRule{kind: wordIP, request: d.Request, required: d.Required, max: c.count(field+".max", d.Max, 8, maxNames)}
	for i, text := range d.Networks {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix.Masked() != prefix {
			c.problem(fmt.Sprintf("%s.networks[%d]", field, i), "%.80q is no network such as 10.0.0.0/8", text)
			continue
		}
		r.networks = append(r.networks, prefix)
	}
	for i, text := range d.Values {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" || address.Is4In6() || address.String() != text {
			c.problem(fmt.Sprintf("%s.values[%d]", field, i), "%.80q is no address in its shortest form", text)
			continue
		}
		r.values = append(r.values, c.template(field, text, escapeLabel))
	}
	c.addRule(s, field, r, len(d.Networks) > 0)
}

func (c *compiler) hardwareModule(s *nameRules, d *HardwareModuleRule) {
	if d == nil {
		return
	}
	field := wordSAN + "." + wordHardwareModule
	r := nameRule{kind: wordHardwareModule, request: d.Request, required: d.Required, max: 1}
	for i, text := range d.Types {
		r.hwTypes = append(r.hwTypes, c.oid(fmt.Sprintf("%s.types[%d]", field, i), text))
	}
	if len(d.Types) == 0 {
		c.problem(field+".types", "are missing")
	}
	if d.Serial != "" {
		r.values = append(r.values, c.template(field+".serial", d.Serial, escapeSubject))
	}
	c.addRule(s, field, r, false)
}

func (c *compiler) keys(p *Profile) {
	if len(c.doc.Keys) == 0 {
		c.problem("keys", "are missing: no request could pass; add {type: ecdsa}")
	}
	usage := c.usage("key_usage", c.doc.KeyUsage)
	if usage == 0 {
		c.problem("key_usage", "is missing")
	}
	isCA := c.doc.BasicConstraints != nil && c.doc.BasicConstraints.CA
	if isCA != (usage&usageKeyCertSign != 0) {
		c.problem("key_usage", "key_cert_sign and basic_constraints.ca go together (RFC 5280, Section 4.2.1.9)")
	}
	for i := range c.doc.Keys {
		field := fmt.Sprintf("keys[%d]", i)
		r, ok := c.key(field, &c.doc.Keys[i], usage)
		if !ok {
			continue
		}
		if p.keyRuleOf(r.kind) != nil {
			c.problem(field+".type", "%s is there twice", c.doc.Keys[i].Type)
			continue
		}
		p.keys = append(p.keys, r)
	}
}

func (c *compiler) key(field string, d *KeyRule, usage keyUsage) (keyRule, bool) {
	extra := c.usage(field+".key_usage", d.KeyUsage)
	r := keyRule{usage: usage | extra}
	if extra&usageKeyCertSign != 0 {
		c.problem(field+".key_usage", "key_cert_sign belongs to the profile's key_usage")
	}
	if d.Type != "rsa" && (d.MinBits != 0 || d.MaxBits != 0) {
		c.problem(field, "min_bits and max_bits are for rsa")
	}
	if d.Type != "ecdsa" && len(d.Curves) > 0 {
		c.problem(field+".curves", "are for ecdsa")
	}
	switch d.Type {
	case "rsa":
		r.kind = kindRSA
		r.minBits, r.maxBits = c.count(field+".min_bits", d.MinBits, 2048, 16384), c.count(field+".max_bits", d.MaxBits, 4096, 16384)
		if r.minBits < 2048 || r.minBits > r.maxBits {
			c.problem(field+".min_bits", "%d to %d bits: no range from 2048 up", r.minBits, r.maxBits)
		}
	case "ecdsa":
		r.kind = kindECDSA
		r.curves = c.curves(field, d.Curves)
		// RFC 5480, Section 3, and RFC 8813, Section 3.
		if r.usage&(usageKeyEncipherment|usageDataEncipher) != 0 {
			c.problem(field+".key_usage", "key_encipherment and data_encipherment do not go with ecdsa; give them to the rsa entry of keys")
		}
	case "ed25519":
		r.kind = kindEd25519
		// RFC 8410, Section 5.
		if r.usage&(usageKeyEncipherment|usageDataEncipher|usageKeyAgreement|usageEncipherOnly|usageDecipherOnly) != 0 {
			c.problem(field+".key_usage", "ed25519 keys sign and do nothing else")
		}
	default:
		c.problem(field+".type", "%.80q is none of rsa, ecdsa, ed25519", d.Type)
		return r, false
	}
	if r.usage&(usageEncipherOnly|usageDecipherOnly) != 0 && r.usage&usageKeyAgreement == 0 {
		c.problem(field+".key_usage", "encipher_only and decipher_only mean nothing without key_agreement (RFC 5280, Section 4.2.1.3)")
	}
	return r, true
}

func (c *compiler) curves(field string, words []string) []elliptic.Curve {
	if len(words) == 0 {
		return []elliptic.Curve{elliptic.P256(), elliptic.P384()}
	}
	var curves []elliptic.Curve
	for i, word := range words {
		var curve elliptic.Curve
		switch word {
		case "p256":
			curve = elliptic.P256()
		case "p384":
			curve = elliptic.P384()
		case "p521":
			curve = elliptic.P521()
		default:
			c.problem(fmt.Sprintf("%s.curves[%d]", field, i), "%.80q is none of p256, p384, p521", word)
			continue
		}
		if slices.Contains(curves, curve) {
			c.problem(fmt.Sprintf("%s.curves[%d]", field, i), "%s is there twice", word)
		}
		curves = append(curves, curve)
	}
	return curves
}

func (c *compiler) usage(field string, words []string) keyUsage {
	var usage keyUsage
	for i, word := range words {
		bit, ok := keyUsageByWord(word)
		if !ok {
			c.problem(fmt.Sprintf("%s[%d]", field, i), "%.80q is none of %s", word, strings.Join(keyUsageWords(), ", "))
		}
		usage |= bit
	}
	return usage
}

func (c *compiler) content(f *fixedContent) {
	d := c.doc
	for i, word := range d.ExtendedKeyUsage {
		field := fmt.Sprintf("extended_key_usage[%d]", i)
		oid, ok := extendedKeyUsageByWord(word)
		if !ok {
			c.problem(field, "%.80q is no known purpose and no OID", word)
			continue
		}
		if slices.ContainsFunc(f.eku, oid.Equal) {
			c.problem(field, "%s is there twice", word)
		}
		f.eku = append(f.eku, oid)
	}
	if d.ExtendedKeyUsageCritical && len(d.ExtendedKeyUsage) == 0 {
		c.problem("extended_key_usage_critical", "is set, but there is no extended_key_usage")
	}
	f.constraints = d.BasicConstraints
	if b := d.BasicConstraints; b != nil && b.PathLength != nil && (!b.CA || *b.PathLength < 0 || *b.PathLength > 32) {
		c.problem("basic_constraints.path_length", "is for CAs and between 0 and 32")
	}
	c.nameConstraints(f)
	f.skid = c.oneOf("subject_key_identifier", d.SubjectKeyIdentifier, "sha256", "none") == "sha256"
	f.caIssuers = c.pointers("ca_issuers", d.CAIssuers, "http")
	f.ocsp = c.pointers("ocsp", d.OCSP, "http")
	f.crl = c.pointers("crl", d.CRL, "http", "ldap")
	f.freshest = c.pointers("freshest_crl", d.FreshestCRL, "http", "ldap")
	if f.noCheck = d.OCSPNoCheck; f.noCheck && !slices.ContainsFunc(f.eku, oidKP(9).Equal) {
		c.problem("ocsp_no_check", "is for certificates with the extended key usage ocsp_signing")
	}
	for i, rule := range d.Policies {
		field := fmt.Sprintf("policies[%d]", i)
		f.policies = append(f.policies, policy{oid: c.oid(field+".oid", rule.OID), cps: rule.CPS})
		if rule.CPS != "" {
			c.urls(field+".cps", []string{rule.CPS}, "http", "https")
		}
	}
	c.masa(f)
}

// masa takes an authority or an https URL without query (RFC 8995, Section 2.3.2).
func (c *compiler) masa(f *fixedContent) {
	f.masaURL = c.doc.MASAURL
	if f.masaURL == "" {
		return
	}
	text := f.masaURL
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !isASCII(text) || len(text) > 512 {
		c.problem("masa_url", "%.80q is neither HOST[:PORT] nor an https URL (RFC 8995, Section 2.3.2)", f.masaURL)
	}
}

// pointers are URLs with words: {authority}, and in those of lists {crl_partition}.
func (c *compiler) pointers(field string, texts []string, schemes ...string) []pointer {
	sample := &Content{Serial: []byte{1}, AuthorityKeyID: make([]byte, 20)}
	var plain []string
	for i, p := range pointers(texts) {
		if strings.Contains(p.text, partitionWord) && !strings.HasSuffix(field, "crl") {
			c.problem(fmt.Sprintf("%s[%d]", field, i), "%s is for crl and freshest_crl", partitionWord)
		}
		text := p.resolve(sample)
		if strings.ContainsAny(text, "{}") {
			c.problem(fmt.Sprintf("%s[%d]", field, i), "%.80q has another word than %s and %s", p.text, authorityWord, partitionWord)
			continue
		}
		plain = append(plain, text)
	}
	c.urls(field, plain, schemes...)
	return pointers(texts)
}

func (c *compiler) urls(field string, texts []string, schemes ...string) {
	if len(texts) > 8 {
		c.problem(field, "are more than 8")
	}
	for i, text := range texts {
		u, err := url.Parse(text)
		if err != nil || !slices.Contains(schemes, u.Scheme) || u.Host == "" || u.User != nil || !isASCII(text) || len(text) > 512 {
			c.problem(fmt.Sprintf("%s[%d]", field, i), "%.80q is no %s URL (a client that has to verify a certificate to fetch it may never get there)", text, strings.Join(schemes, " or "))
		}
	}
}

func (c *compiler) period(p *period) {
	d := &c.doc.Validity
	p.outlive = d.AllowOutliveIssuer
	p.lifetime = c.lifetime("validity.lifetime", d.Lifetime)
	p.max = p.lifetime
	if d.Max != "" {
		p.max = c.lifetime("validity.max", d.Max)
	}
	if p.max.shorter(p.lifetime) {
		c.problem("validity.max", "is shorter than validity.lifetime")
	}
	p.backdate = c.duration("validity.backdate", cmpOr(d.Backdate, "5m"))
	// What links two keys of a CA begins where the old key did (RFC 4210, Section 4.4.1).
	if isCA := c.doc.BasicConstraints != nil && c.doc.BasicConstraints.CA; p.backdate > maxBackdate && !isCA {
		c.problem("validity.backdate", "is longer than 30d")
	}
}

func (c *compiler) policy(p *Profile) {
	d := c.doc
	p.sigAlg = SignatureAlgorithm(d.SignatureAlgorithm)
	if p.sigAlg != "" && !p.sigAlg.known() {
		c.problem("signature_algorithm", "%.80q is unknown", d.SignatureAlgorithm)
	}
	p.policy = Policy{
		ServerKeyGeneration:   c.oneOf("server_key_generation.mode", d.ServerKeyGeneration.Mode, "off", "cleartext", "encrypted"),
		ExpiredGrace:          c.duration("renewal.expired_grace", cmpOr(d.Renewal.ExpiredGrace, "0s")),
		RenewalWindow:         c.duration("renewal.window", cmpOr(d.Renewal.Window, "0s")),
		MaxRenewals:           d.Renewal.Max,
		RefuseSameKey:         c.oneOf("renewal.same_key", d.Renewal.SameKey, "allow", "refuse") == "refuse",
		RefuseSharedKey:       c.oneOf("shared_key", d.SharedKey, "allow", "refuse") == "refuse",
		ChangeNames:           d.Renewal.ChangeNames,
		Linking:               c.oneOf("proof_of_possession_linking", d.ProofOfPossessionLinking, "if-present", "required", "off"),
		AllowSameNameOtherKey: d.AllowSameNameOtherKey,
	}
	if d.Renewal.Max < 0 {
		c.problem("renewal.max", "is negative; 0 is no limit")
	}
	if p.policy.ServerKeyGeneration == "off" {
		if d.ServerKeyGeneration.Algorithm != "" || len(d.ServerKeyGeneration.OnRequest) > 0 {
			c.problem("server_key_generation.algorithm", "is set, but the mode is off")
		}
		return
	}
	p.policy.ServerKeyAlgorithm = cmpOr(d.ServerKeyGeneration.Algorithm, "p256")
	c.serverKey(p, "server_key_generation.algorithm", p.policy.ServerKeyAlgorithm)
	p.policy.ServerKeyWishes = slices.Clone(d.ServerKeyGeneration.OnRequest)
	for i, word := range p.policy.ServerKeyWishes {
		c.serverKey(p, fmt.Sprintf("server_key_generation.on_request[%d]", i), word)
	}
}

// serverKey refuses a generated key that the profile itself would refuse.
func (c *compiler) serverKey(p *Profile, field, word string) {
	taken := false
	switch word {
	case "p256", "p384", "p521":
		r := p.keyRuleOf(kindECDSA)
		curve := c.curves(field, []string{word})
		taken = r != nil && slices.Contains(r.curves, curve[0])
	case "rsa2048", "rsa3072", "rsa4096":
		r := p.keyRuleOf(kindRSA)
		bits := map[string]int{"rsa2048": 2048, "rsa3072": 3072, "rsa4096": 4096}[word]
		taken = r != nil && bits >= r.minBits && bits <= r.maxBits
	case "ed25519":
		taken = p.keyRuleOf(kindEd25519) != nil
	default:
		c.problem(field, "%.80q is none of p256, p384, p521, rsa2048, rsa3072, rsa4096, ed25519", word)
		return
	}
	if !taken {
		c.problem(field, "%s is no key that keys takes", word)
	}
}
