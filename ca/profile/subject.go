package profile

import (
	"crypto/x509/pkix"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// subjectRules are the checked SubjectRules.
type subjectRules struct {
	rules      []attributeRule
	allowEmpty bool
	ignore     bool // others
}

type attributeRule struct {
	attribute
	value    *template // nil: requested
	required bool
	max      int
	pattern  *regexp.Regexp // nil: no special characters
}

// decide walks the requested attributes in their order and takes each by the
// first rule that fits, then puts the profile's own before them.
func (s *subjectRules) decide(requested pkix.RDNSequence, facts *Facts) (pkix.RDNSequence, error) {
	own := make([]string, len(s.rules))
	for i := range s.rules {
		rule := &s.rules[i]
		if rule.value == nil {
			continue
		}
		text, err := rule.value.render(rule.word, facts)
		if err != nil {
			return nil, err
		}
		own[i] = text
	}
	used := make([]int, len(s.rules))
	fits := func(i int, value string) bool { return own[i] == value }
	var taken pkix.RDNSequence
	for _, rdn := range requested {
		var kept pkix.RelativeDistinguishedNameSET
		for _, atv := range rdn {
			err := s.take(atv, used, fits)
			if err != nil && !(s.ignore && isForeign(err)) {
				return nil, err
			}
			if err == nil {
				kept = append(kept, atv)
			}
		}
		if len(kept) > 0 {
			taken = append(taken, kept)
		}
	}
	var first pkix.RDNSequence
	for i := range s.rules {
		if s.rules[i].value != nil && used[i] == 0 {
			first = append(first, pkix.RelativeDistinguishedNameSET{{Type: s.rules[i].oid, Value: own[i]}})
		}
	}
	return append(first, taken...), nil
}

// isForeign says whether a refused name is one that no rule takes.
func isForeign(err error) bool {
	e, ok := err.(*NameError) //nolint:errorlint // made by take or takeName, never wrapped
	return ok && (e.Kind == ErrNameType || e.Kind == ErrNameDiffers)
}

// take finds the rule for one attribute and counts it. fits says whether the
// value is that of the i-th rule, which has one.
func (s *subjectRules) take(atv pkix.AttributeTypeAndValue, used []int, fits func(i int, value string) bool) error {
	value, ok := atv.Value.(string)
	if !ok {
		return &NameError{Type: atv.Type.String(), Kind: ErrNameEncoding, Hint: "the value is no text"}
	}
	own, requestable := -1, -1
	for i := range s.rules {
		rule := &s.rules[i]
		if !rule.oid.Equal(atv.Type) {
			continue
		}
		if rule.value == nil {
			requestable = i
			continue
		}
		own = i
		if used[i] == 0 && fits(i, value) {
			used[i]++
			return rule.checkSyntax(value)
		}
	}
	switch {
	case requestable >= 0:
		used[requestable]++
		return s.rules[requestable].checkRequested(value, used[requestable])
	case own >= 0:
		return &NameError{Type: s.rules[own].word, Value: value, Kind: ErrNameDiffers}
	default:
		return &NameError{Type: attributeByOID(atv.Type).word, Value: value, Kind: ErrNameType, Hint: "subject attributes it takes: " + s.words()}
	}
}

func (s *subjectRules) words() string {
	var words []string
	for i := range s.rules {
		if !slices.Contains(words, s.rules[i].word) {
			words = append(words, s.rules[i].word)
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

// checkRequested checks the n-th value of a type that comes from the request.
func (r *attributeRule) checkRequested(value string, n int) error {
	if n > r.max {
		return &NameError{Type: r.word, Value: value, Kind: ErrNameCount}
	}
	if err := r.checkSyntax(value); err != nil {
		return err
	}
	if r.pattern != nil {
		if !r.pattern.MatchString(value) {
			return &NameError{Type: r.word, Value: value, Kind: ErrNamePattern}
		}
		return nil
	}
	if strings.ContainsAny(value, specialCharacters) {
		return &NameError{Type: r.word, Value: value, Kind: ErrNameValue, Hint: "it holds one of " + specialCharacters + ", which a pattern in the profile could allow"}
	}
	return nil
}

// checkSyntax checks what holds for every value of the type, whoever gave it.
func (r *attributeRule) checkSyntax(value string) error {
	refuse := func(hint string) error {
		return &NameError{Type: r.word, Value: value, Kind: ErrNameValue, Hint: hint}
	}
	if !cleanText(value) {
		return refuse("it is empty, or holds control characters, spaces at an end or invalid UTF-8")
	}
	if utf8.RuneCountInString(value) > r.longest {
		return refuse("it is too long (RFC 5280, Appendix A.1)")
	}
	switch r.word {
	case "country":
		if len(value) != 2 || strings.ToUpper(value) != value || strings.Trim(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return refuse("a country is two capital letters")
		}
	case "domain_component":
		if !validLabel(value) {
			return refuse("a domain component is one label")
		}
	case "email":
		if !validEmail(value) {
			return refuse("it is no mail address")
		}
	}
	if r.syntax == printableString && !isPrintable(value) {
		return refuse("it holds characters outside PrintableString (RFC 5280, Appendix A.1)")
	}
	return nil
}

// check walks a decided subject by the same rules. A value of a template needs
// only have its form.
func (s *subjectRules) check(subject pkix.RDNSequence) error {
	var counts [16]int
	used := counts[:]
	if len(s.rules) > len(used) {
		used = make([]int, len(s.rules))
	}
	fits := func(i int, value string) bool { return s.rules[i].value.match.MatchString(value) }
	for _, rdn := range subject {
		if len(rdn) == 0 {
			return &NameError{Type: "subject", Kind: ErrNameEncoding, Hint: "an empty set of attributes"}
		}
		for i := range rdn {
			if err := s.take(rdn[i], used, fits); err != nil {
				return err
			}
		}
	}
	if len(subject) == 0 && !s.allowEmpty {
		return &NameError{Type: "subject", Kind: ErrNameMissing, Hint: "the profile takes: " + s.words()}
	}
	for i := range s.rules {
		if used[i] == 0 && (s.rules[i].required || s.rules[i].value != nil) {
			return &NameError{Type: s.rules[i].word, Kind: ErrNameMissing}
		}
	}
	return nil
}
