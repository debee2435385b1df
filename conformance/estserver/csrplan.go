package estserver

import (
	"bytes"
	"context"
	"encoding/asn1"
	"fmt"
	"slices"

	"github.com/briskest/briskest/conformance"
)

// csrPlans: what the CSR attributes say, where there are any
// (RFC 9908, Section 3).
func csrPlans() []check {
	return slices.Concat(
		in("RFC 9908, Section 3.2", listRules()...),
		in("RFC 9908, Section 3.4", templateRules()...),
	)
}

// item is an entry of CsrAttrs: an OID alone, or an attribute with its values
// (RFC 8951, Section 4).
type item struct {
	id     asn1.ObjectIdentifier
	bare   bool
	values []asn1.RawValue
}

// maxItems is how many entries, values and extensions are looked at.
const maxItems = 200

// items reads the entries; skips where there are none to read.
func (t *Target) items(ctx context.Context) ([]item, error) {
	a, err := t.csrAttrsAnswer(ctx)
	if err != nil {
		return nil, err
	}
	der, err := decode(a.Body)
	if err == nil {
		err = readCSRAttrs(der)
	}
	if err != nil {
		return nil, conformance.Skip("%v, and its body: %v (see RFC8951-4-1)", a, err)
	}
	var list asn1.RawValue
	if err := unmarshal(der, &list); err != nil {
		return nil, err
	}
	var items []item
	for _, raw := range elements(list.Bytes) {
		i, err := readItem(raw)
		if err != nil {
			return nil, conformance.Skip("%v, and its body: %v (see RFC8951-4-1)", a, err)
		}
		items = append(items, i)
	}
	return items, nil
}

func readItem(raw asn1.RawValue) (item, error) {
	if raw.Tag == asn1.TagOID {
		var id asn1.ObjectIdentifier
		err := unmarshal(raw.FullBytes, &id)
		return item{id: id, bare: true}, err
	}
	var attribute struct {
		ID     asn1.ObjectIdentifier
		Values asn1.RawValue
	}
	if err := unmarshal(raw.FullBytes, &attribute); err != nil {
		return item{}, err
	}
	return item{id: attribute.ID, values: elements(attribute.Values.Bytes)}, nil
}

// elements splits what is inside a SEQUENCE or SET; nil for what cannot be read.
func elements(rest []byte) []asn1.RawValue {
	var all []asn1.RawValue
	for len(rest) > 0 && len(all) < maxItems {
		var raw asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &raw); err != nil {
			return nil
		}
		all = append(all, raw)
	}
	return all
}

func named(items []item, id asn1.ObjectIdentifier) []item {
	var found []item
	for _, i := range items {
		if i.id.Equal(id) && !i.bare {
			found = append(found, i)
		}
	}
	return found
}

// keyTypes are the algorithms of public keys.
func keyTypes() []asn1.ObjectIdentifier {
	return []asn1.ObjectIdentifier{{1, 2, 840, 113549, 1, 1, 1}, {1, 2, 840, 10045, 2, 1}, {1, 3, 101, 112}, {1, 3, 101, 113}}
}

// judgeItems is a check of the entries.
func judgeItems(judge func([]item) error) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		items, err := t.items(ctx)
		if err != nil {
			return err
		}
		return judge(items)
	}
}

func listRules() []check {
	return []check{
		{
			ID: "RFC9908-3.2-1", Level: must, Text: "extensions that are wanted are in an attribute of type extensionRequest, not under their own names",
			Requirements: rows("EST-9908-3.2-01", "EST-7030-4.5.2-09"), Run: judgeItems(func(items []item) error {
				for _, i := range items {
					if len(i.id) > 3 && i.id[:3].Equal(asn1.ObjectIdentifier{2, 5, 29}) {
						return fmt.Errorf("an entry is the extension %v itself", i.id)
					}
				}
				return nil
			}),
		},
		{
			ID: "RFC9908-3.2-2", Level: must, Text: "there is at most one extensionRequest",
			Requirements: rows("EST-9908-3.2-02"), Run: judgeItems(func(items []item) error {
				if n := len(named(items, oidExtensionRequest)); n > 1 {
					return fmt.Errorf("there are %d extensionRequests", n)
				}
				return nil
			}),
		},
		{
			ID: "RFC9908-3.2-3", Level: must, Text: "an extensionRequest has one value, a list of extensions",
			Requirements: rows("EST-9908-3.2-03"), Run: judgeItems(func(items []item) error {
				requests := named(items, oidExtensionRequest)
				if len(requests) == 0 {
					return conformance.Skip("no extension is wanted")
				}
				for _, r := range requests {
					if len(r.values) != 1 || r.values[0].Tag != asn1.TagSequence && r.values[0].Tag != asn1.TagOID {
						return fmt.Errorf("the extensionRequest has %d values", len(r.values))
					}
				}
				return nil
			}),
		},
		{
			ID: "RFC9908-3.2-4", Level: must, Text: "no extension is wanted twice",
			Requirements: rows("EST-9908-3.2-04"), Run: judgeItems(func(items []item) error {
				requests := named(items, oidExtensionRequest)
				if len(requests) == 0 {
					return conformance.Skip("no extension is wanted")
				}
				return noneTwice(requests[0].values)
			}),
		},
		{
			ID: "RFC9908-3.2-5", Level: must, Text: "one kind of key is wanted at most, by one attribute",
			Requirements: rows("EST-9908-3.2-05"), Run: judgeItems(func(items []item) error {
				n := 0
				for _, id := range keyTypes() {
					n += len(named(items, id))
				}
				if n > 1 {
					return fmt.Errorf("%d attributes want keys of different kinds", n)
				}
				return nil
			}),
		},
		{
			ID: "RFC9908-3.2-6", Level: must, Text: "the value beside the kind of key is a curve for EC and a size for RSA",
			Requirements: rows("EST-9908-3.2-07", "EST-9908-3.2-06", "EST-7030-4.5.2-07"), Run: judgeItems(keyParameters),
		},
	}
}

// noneTwice wants each extension once.
func noneTwice(values []asn1.RawValue) error {
	seen := make(map[string]bool)
	for _, v := range values {
		for _, e := range elements(v.Bytes) {
			parts := elements(e.Bytes)
			if len(parts) == 0 {
				continue
			}
			if id := string(parts[0].FullBytes); seen[id] {
				return fmt.Errorf("the extension %x is wanted twice", id)
			} else {
				seen[id] = true
			}
		}
	}
	return nil
}

func keyParameters(items []item) error {
	types := keyTypes()
	for n, tag := range map[int]int{0: asn1.TagInteger, 1: asn1.TagOID} {
		for _, i := range named(items, types[n]) {
			for _, v := range i.values {
				if v.Tag != tag {
					return fmt.Errorf("the value for keys of type %v has the tag %d, want %d", i.id, v.Tag, tag)
				}
			}
		}
	}
	return nil
}

// template is a CertificationRequestInfoTemplate, in its parts.
type template struct {
	version    []byte
	subject    *asn1.RawValue
	key        *asn1.RawValue
	attributes []item
}

// judgeTemplate is a check of the template; skips where there is none.
func judgeTemplate(judge func(*template) error) func(context.Context, *Target) error {
	return judgeItems(func(items []item) error {
		found := named(items, oidTemplate)
		if len(found) == 0 {
			return conformance.Skip("the CSR attributes have no template, which a server may choose")
		}
		if len(found) > 1 || len(found[0].values) != 1 {
			return fmt.Errorf("there are %d templates with %d values", len(found), len(found[0].values))
		}
		t, err := readTemplate(found[0].values[0])
		if err != nil {
			return err
		}
		return judge(t)
	})
}

// readTemplate reads version, subject, [0] subjectPKInfo and [1] attributes
// (RFC 9908, Section 3.4).
func readTemplate(raw asn1.RawValue) (*template, error) {
	t := new(template)
	for n, part := range elements(raw.Bytes) {
		switch {
		case n == 0 && part.Tag == asn1.TagInteger:
			t.version = part.Bytes
		case part.Class == asn1.ClassUniversal && part.Tag == asn1.TagSequence:
			t.subject = &part
		case part.Class == asn1.ClassContextSpecific && part.Tag == 0:
			t.key = &part
		case part.Class == asn1.ClassContextSpecific && part.Tag == 1:
			for _, e := range elements(part.Bytes) {
				i, err := readItem(e)
				if err != nil {
					return nil, err
				}
				t.attributes = append(t.attributes, i)
			}
		default:
			return nil, fmt.Errorf("the template has a part with the tag %d of class %d", part.Tag, part.Class)
		}
	}
	return t, nil
}

func templateRules() []check {
	return []check{
		{
			ID: "RFC9908-3.4-1", Level: must, Text: "there is one template with one value, which can be read",
			Requirements: rows("EST-9908-3.4-01", "EST-9908-4-01"), Run: judgeTemplate(func(*template) error { return nil }),
		},
		{
			ID: "RFC9908-3.4-2", Level: must, Text: "the template is of version 0",
			Requirements: rows("EST-9908-3.4-02"), Run: judgeTemplate(func(t *template) error {
				if !bytes.Equal(t.version, []byte{0}) {
					return fmt.Errorf("the version is %x", t.version)
				}
				return nil
			}),
		},
		{
			ID: "RFC9908-3.4-3", Level: must, Text: "the template's subject, where there is one, has names: empty it would constrain nothing",
			Requirements: rows("EST-9908-3.4-03", "EST-9908-3.4-04"), Run: judgeTemplate(func(t *template) error {
				if t.subject != nil && len(elements(t.subject.Bytes)) == 0 {
					return fmt.Errorf("the subject is there and empty")
				}
				return nil
			}),
		},
		{
			ID: "RFC9908-3.4-4", Level: must, Text: "the template's key has a placeholder for RSA sizes, and no bits otherwise",
			Requirements: rows("EST-9908-3.4-06", "EST-9908-3.4-07"), Run: judgeTemplate(placeholder),
		},
		{
			ID: "RFC9908-3.4-5", Level: must, Text: "the template has extensionRequest or its own kind of it, once, and not both",
			Requirements: rows("EST-9908-3.4-10", "EST-9908-3.4-11"), Run: judgeTemplate(func(t *template) error {
				plain, open := len(named(t.attributes, oidExtensionRequest)), len(named(t.attributes, oidExtensionTemplate))
				if plain+open > 1 {
					return fmt.Errorf("the template has %d extensionRequests and %d of its own kind", plain, open)
				}
				return nil
			}),
		},
		{
			ID: "RFC9908-3.4-6", Level: must, Text: "extensions whose values are all given are in a plain extensionRequest, with one value",
			Requirements: rows("EST-9908-3.4-09", "EST-9908-3.4-12"), Run: judgeTemplate(extensionsOfTemplate),
		},
	}
}

// placeholder judges subjectPKInfo: [0] IMPLICIT SEQUENCE { algorithm, bits }.
func placeholder(t *template) error {
	if t.key == nil {
		return nil
	}
	parts := elements(t.key.Bytes)
	if len(parts) == 0 {
		return fmt.Errorf("the template's key has no algorithm")
	}
	var algorithm struct {
		ID         asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	if err := unmarshal(parts[0].FullBytes, &algorithm); err != nil {
		return fmt.Errorf("the template's key: %w", err)
	}
	if rsa := algorithm.ID.Equal(keyTypes()[0]); !rsa && len(parts) > 1 {
		return fmt.Errorf("the template's key of type %v has bits: they are for sizes of RSA keys", algorithm.ID)
	}
	return nil
}

func extensionsOfTemplate(t *template) error {
	for _, i := range named(t.attributes, oidExtensionRequest) {
		if len(i.values) != 1 {
			return fmt.Errorf("the template's extensionRequest has %d values", len(i.values))
		}
	}
	for _, i := range named(t.attributes, oidExtensionTemplate) {
		if len(i.values) != 1 {
			return fmt.Errorf("the template's extension template has %d values", len(i.values))
		}
		open := slices.ContainsFunc(elements(i.values[0].Bytes), func(e asn1.RawValue) bool {
			return !slices.ContainsFunc(elements(e.Bytes), func(p asn1.RawValue) bool { return p.Tag == asn1.TagOctetString })
		})
		if !open {
			return fmt.Errorf("every extension of the template has its value: they belong into a plain extensionRequest")
		}
	}
	return nil
}
