package profile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
)

// facts with one value for every word.
func sameFacts(value string) *profile.Facts {
	return &profile.Facts{
		DeviceID: value, SerialNumber: value, Manufacturer: value, Model: value, Group: value, Domain: value, Label: value,
		Attribute: func(string) string { return value },
	}
}

// R14: whatever a fact holds, the name around it stays what the profile says: as many
// labels, segments and attributes, none of them a wildcard.
func TestNoFactWidensANameOfAnyType(t *testing.T) {
	words := []string{"device_id", "serial_number", "manufacturer", "model", "group", "domain", "label", "attribute.idevid_organization", "attribute.x"}
	places := map[string]func(d *profile.Document, word string){
		"common_name": func(d *profile.Document, word string) {
			d.Subject.Attributes = []profile.AttributeRule{{Type: "common_name", Value: "a " + word + " z"}}
		},
		"dns": func(d *profile.Document, word string) {
			d.SAN.DNS = &profile.NameRule{Values: []string{"a." + word + ".z.example"}}
		},
		"email": func(d *profile.Document, word string) {
			d.SAN.Email = &profile.NameRule{Values: []string{"a-" + word + "@z.example"}}
		},
		"uri": func(d *profile.Document, word string) {
			d.SAN.URI = &profile.NameRule{Values: []string{"https://z.example/a/" + word + "/z"}}
		},
		"hardware_module_name": func(d *profile.Document, word string) {
			d.SAN.HardwareModule = &profile.HardwareModuleRule{Types: []string{"1.2.3"}, Serial: "a " + word}
		},
		"acp_node_name": func(d *profile.Document, word string) {
			d.SAN.ACP = &profile.NameRule{Values: []string{"0+" + word + ".area@z.example"}}
		},
	}
	values := []string{
		"*", "a/b", "a,b", "a\x00", "a\nb", "a+b", "a=b", `a\b`, "a;b", "a@b", "a.b", "..", ".", "a b", " a", "", "\u00fc", "a\u202eb", "\U0001f600", "\xff",
		"a%2fb", "{domain}", "a:b", "a?b", "a#b", "[::1]", "-", strings.Repeat("a", 65), strings.Repeat("a", 5000), "*.example.com", "a\"b", "<a>",
	}
	taken, refused := 0, 0
	for place, put := range places {
		for _, word := range words {
			d := profile.Device()
			d.Name, d.SAN = "template", profile.NameRules{}
			put(d, "{"+word+"}")
			p := mustNew(t, d)
			subject := subjectOf(t, place)
			if _, _, err := p.Names(&profile.Requested{Subject: subject}, sameFacts("M1")); err != nil {
				t.Errorf("%s with {%s}: %v", place, word, err)
			}
			for _, value := range values {
				rdns, names, err := p.Names(&profile.Requested{Subject: subject}, sameFacts(value))
				if err != nil {
					if refused++; !errors.Is(err, ca.ErrRejected) {
						t.Errorf("%s with %q: %v", place, value, err)
					}
					continue
				}
				taken++
				if place != "uri" && strings.ContainsAny(value, "*/,+;=#<>\"\\\x00\n") || value == "" || len(value) > 64 {
					t.Errorf("%s with {%s} of %q: %v %+v", place, word, value, rdns, names)
				}
				for _, u := range names.URI {
					if strings.Count(u.EscapedPath(), "/") != 3 || u.Host != "z.example" || u.RawQuery != "" || u.Fragment != "" || strings.Contains(u.String(), "*") {
						t.Errorf("{%s} of %q gave the URI %s", word, value, u)
					}
				}
				for _, name := range names.DNS {
					if strings.Count(name, ".") != 3 {
						t.Errorf("{%s} of %q gave the DNS name %s", word, value, name)
					}
				}
			}
		}
	}
	t.Logf("%d places, %d words, %d values: %d taken, %d refused", len(places), len(words), len(values), taken, refused)
}

func subjectOf(t *testing.T, place string) []byte {
	if place == "common_name" {
		return nil
	}
	return rawSubject(t, "common_name", "device")
}

func TestWordsThatAreNoneAreRefused(t *testing.T) {
	for _, word := range []string{"serial", "attribute", "attribute.", "attribute.A", "attribute.a-b", "attribute.a.b", "attribute." + strings.Repeat("a", 33), "authority", ""} {
		d := profile.Device()
		d.Subject.Attributes = []profile.AttributeRule{{Type: "common_name", Value: fmt.Sprintf("a {%s}", word)}}
		if _, err := profile.New(d); !errors.Is(err, profile.ErrDocument) {
			t.Errorf("{%s}: %v, want ErrDocument", word, err)
		}
	}
}
