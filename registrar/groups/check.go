package groups

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/briskest/briskest/registrar"
)

// check says what is wrong with a document but for its expressions.
func (d *Document) check() error {
	switch {
	case d.Schema != 1:
		return fmt.Errorf("%w: schema is %d; this program reads 1", ErrDocument, d.Schema)
	case len(d.Groups) > MaxGroups:
		return fmt.Errorf("%w: %d groups; at most %d", ErrDocument, len(d.Groups), MaxGroups)
	}
	seen, expressions := make(map[string]bool, len(d.Groups)), 0
	for i := range d.Groups {
		g := &d.Groups[i]
		if !isName(g.Name) {
			return fmt.Errorf("%w: group %d: the name %.80q is not 1 to %d of a-z 0-9 - _ . with a letter or digit first", ErrDocument, i+1, g.Name, maxName)
		}
		if seen[g.Name] {
			return fmt.Errorf("%w: group %q is there twice", ErrDocument, g.Name)
		}
		seen[g.Name] = true
		if err := g.check(); err != nil {
			return fmt.Errorf("%w: group %q: %w", ErrDocument, g.Name, err)
		}
		expressions += len(g.Match)
		for _, r := range g.Require {
			expressions += len(r.That)
		}
	}
	if expressions > MaxExpressions {
		return fmt.Errorf("%w: its expressions have %d bytes; at most %d", ErrDocument, expressions, MaxExpressions)
	}
	return nil
}

func (g *Group) check() error {
	switch registrar.GroupDecision(g.Decision) {
	case registrar.GroupAllow, registrar.GroupDeny, registrar.GroupApprove, registrar.GroupAsk:
	default:
		return fmt.Errorf("decision is %.40q; it may be deny, approve, webhook or nothing", g.Decision)
	}
	const room = time.Hour
	switch {
	case g.Priority < -1_000_000 || g.Priority > 1_000_000:
		return fmt.Errorf("priority %d is not between -1000000 and 1000000", g.Priority)
	case g.Lifetime != 0 && time.Duration(g.Lifetime) < room:
		return fmt.Errorf("lifetime %s is shorter than %s", time.Duration(g.Lifetime), room)
	case g.Lifetime != 0 && g.RenewalWindow >= g.Lifetime:
		return fmt.Errorf("renewal_window is not shorter than lifetime")
	case g.AllowRequestFacts && g.Match == "":
		return fmt.Errorf("allow_request_facts is set and there is no match that could read them")
	case len(g.Require) > MaxRequire:
		return fmt.Errorf("%d requirements; at most %d", len(g.Require), MaxRequire)
	case len(g.Names) > maxValues:
		return fmt.Errorf("%d names; at most %d", len(g.Names), maxValues)
	case len(g.Applications) > maxValues:
		return fmt.Errorf("%d applications; at most %d", len(g.Applications), maxValues)
	}
	if err := g.checkTexts(); err != nil {
		return err
	}
	for name, a := range g.Applications {
		if err := a.check(); err != nil {
			return fmt.Errorf("application %q: %w", name, err)
		}
	}
	return nil
}

func (g *Group) checkTexts() error {
	texts := []struct{ what, text string }{{"description", g.Description}, {"profile", g.Profile}, {"baseline", g.Baseline}}
	for key, value := range g.Names {
		if !isTemplateKey(key) {
			return fmt.Errorf("names: %.40q is not 1 to 26 of a-z 0-9 _", key)
		}
		if value == "" {
			return fmt.Errorf("names: %q is empty", key)
		}
		texts = append(texts, struct{ what, text string }{"names: " + key, value})
	}
	named := make(map[string]bool, len(g.Require))
	for i, r := range g.Require {
		switch {
		case !isName(r.Name) || named[r.Name]:
			return fmt.Errorf("requirement %d: the name %.80q is no name, or there twice", i+1, r.Name)
		case r.That == "":
			return fmt.Errorf("requirement %q: that is missing", r.Name)
		case r.Message == "":
			return fmt.Errorf("requirement %q: message is missing; say what to do about a device that does not meet it", r.Name)
		}
		named[r.Name] = true
		texts = append(texts, struct{ what, text string }{"requirement " + r.Name, r.Message})
	}
	for name := range g.Applications {
		if !isName(name) {
			return fmt.Errorf("applications: %.80q is no name", name)
		}
	}
	for _, t := range texts {
		if !isText(t.text) {
			return fmt.Errorf("%s is longer than %d bytes or has characters that are not printed", t.what, maxText)
		}
	}
	return nil
}

func (a *Application) check() error {
	lists := map[string][]string{"names": a.Names, "endpoints": a.Endpoints, "publish": a.Publish, "subscribe": a.Subscribe, "profile": {a.Profile}}
	for what, list := range lists {
		if len(list) > maxValues {
			return fmt.Errorf("%s has %d values; at most %d", what, len(list), maxValues)
		}
		for _, value := range list {
			if value == "" && what != "profile" || !isText(value) {
				return fmt.Errorf("%s has a value that is empty, longer than %d bytes or not printed", what, maxText)
			}
		}
	}
	for _, endpoint := range a.Endpoints {
		if u, err := url.Parse(endpoint); err != nil || u.Scheme == "" || u.Host == "" || u.User != nil {
			return fmt.Errorf("endpoint %.100q is no URL such as mqtts://broker.example.com:8883, without credentials", endpoint)
		}
	}
	return nil
}

func isName(name string) bool {
	if name == "" || len(name) > maxName || strings.ContainsRune("-_.", rune(name[0])) {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	})
}

// isTemplateKey tells whether group_KEY is a name that templates of profiles can have.
func isTemplateKey(key string) bool {
	const room = 32 - len("group_")
	return key != "" && len(key) <= room && !strings.ContainsFunc(key, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
	})
}

func isText(text string) bool {
	return len(text) <= maxText && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}
