package groups_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/groups"
)

func document(list ...groups.Group) *groups.Document {
	return &groups.Document{Schema: 1, Groups: list}
}

func compiled(t testing.TB, list ...groups.Group) *groups.Set {
	t.Helper()
	s, err := groups.New(document(list...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func device(set func(d *registrar.Device)) *registrar.GroupFacts {
	d := &registrar.Device{Manufacturer: "acme", SerialNumber: "AB-1700", Source: "import", Model: "p7", Firmware: "1.10.2", Attributes: map[string]string{"site": "north"}}
	if set != nil {
		set(d)
	}
	return &registrar.GroupFacts{Device: d}
}

func withIDevID(f *registrar.GroupFacts, subject pkix.Name) *registrar.GroupFacts {
	f.IDevID = func() *x509.Certificate { return &x509.Certificate{Subject: subject} }
	return f
}

// M19.
func TestRulesMatchByFactsOfTheRecordAndTheIDevID(t *testing.T) {
	for _, c := range []struct {
		match string
		facts *registrar.GroupFacts
		want  bool
	}{
		{`true`, device(nil), true},
		{`false`, device(nil), false},
		{`device.model == "p7"`, device(nil), true},
		{`"p7" == device.model`, device(nil), true},
		{`device.model == "p8"`, device(nil), false},
		{`device.model in ["p6", "p7"]`, device(nil), true},
		{`device.model in []`, device(nil), false},
		{`device.serial_number.startsWith("AB-1")`, device(nil), true},
		{`device.serial_number.startsWith("AB-2")`, device(nil), false},
		{`device.model == "p8" || device.serial_number.startsWith("AB")`, device(nil), true},
		{`device.model == "p7" && device.manufacturer == "acme"`, device(nil), true},
		{`device.model == "p7" && device.manufacturer == "other"`, device(nil), false},
		{`!(device.model == "p7")`, device(nil), false},
		{`device.model != "p8"`, device(nil), true},
		{`device.attributes["site"] == "north"`, device(nil), true},
		{`device.attributes.site == "north"`, device(nil), true},
		{`device.attributes.site in ["south", "north"] && device.model == "p7"`, device(nil), true},
		{`device.attributes.line == "3"`, device(nil), false},
		{`device.attributes.line != "3"`, device(nil), false}, // not known: an error, which is no match
		{`has(device.attributes.site)`, device(nil), true},
		{`"line" in device.attributes`, device(nil), false},
		{`device.attributes.site == "north"`, device(func(d *registrar.Device) { d.Attributes = nil }), false},
		{`device.attributes.site == ""`, device(func(d *registrar.Device) { d.Attributes = nil }), false},
		{`at_least(device.firmware, "1.9")`, device(nil), true},
		{`at_least(device.firmware, "1.10.2")`, device(nil), true},
		{`at_least(device.firmware, "1.10.10")`, device(nil), false},
		{`at_least(device.firmware, "1.10.2.1")`, device(nil), false},
		{`at_least(device.firmware, "v1")`, device(nil), true},
		{`at_least(device.firmware, "0")`, device(func(d *registrar.Device) { d.Firmware = "" }), false},
		{`device.serial_number.matches("^AB-[0-9]{4}$")`, device(nil), true},
		{`idevid.present`, device(nil), false},
		{`idevid.present && idevid.organization == "Acme"`, withIDevID(device(nil), pkix.Name{Organization: []string{"Acme"}}), true},
		{`idevid.common_name.startsWith("gw-")`, withIDevID(device(nil), pkix.Name{CommonName: "gw-9"}), true},
		{`idevid.common_name == ""`, device(nil), true},
		{`device.model == "` + strings.Repeat("x", 300) + `"`, device(func(d *registrar.Device) { d.Model = strings.Repeat("x", 300) }), false},
		{`device.model == ""`, &registrar.GroupFacts{}, true},
		{`device.attributes.site == "north"`, &registrar.GroupFacts{}, false},
	} {
		s := compiled(t, groups.Group{Name: "g", Match: c.match})
		group, rule := s.Place(c.facts)
		if got := group == "g"; got != c.want || got && rule != c.match {
			t.Errorf("Place by %s = %q by %q, want match %t", c.match, group, rule, c.want)
		}
		explained := s.Explain(c.facts)
		if len(explained) != 1 || explained[0].Matched != c.want {
			t.Errorf("Explain of %s = %+v, want match %t", c.match, explained, c.want)
		}
	}
}

// M19.
func TestTheHighestPriorityDecidesAndThenTheOrderOfTheDocument(t *testing.T) {
	s := compiled(t,
		groups.Group{Name: "all", Priority: -1, Match: `true`},
		groups.Group{Name: "first", Match: `device.manufacturer == "acme"`},
		groups.Group{Name: "second", Match: `device.model == "p7"`},
		groups.Group{Name: "top", Priority: 9, Match: `device.batch == "b1"`},
		groups.Group{Name: "by-name"},
	)
	for _, c := range []struct {
		batch, maker, model, want string
	}{{"", "acme", "p7", "first"}, {"b1", "acme", "p7", "top"}, {"", "other", "p7", "second"}, {"", "other", "p8", "all"}} {
		got, _ := s.Place(device(func(d *registrar.Device) { d.Batch, d.Manufacturer, d.Model = c.batch, c.maker, c.model }))
		if got != c.want {
			t.Errorf("Place(%+v) = %q, want %q", c, got, c.want)
		}
	}
	if g := s.Group("by-name"); g == nil || !g.Pinned {
		t.Errorf("Group(by-name) = %+v, want one without a rule", g)
	}
	if s.Group("nobody") != nil {
		t.Error("Group(nobody) is not nil")
	}
	var names []string
	for _, g := range s.Groups() {
		names = append(names, g.Name)
	}
	if got := strings.Join(names, " "); got != "top first second by-name all" {
		t.Errorf("Groups() = %s", got)
	}
}

// A device must not choose its group: what it says of itself counts only in rules that
// were marked so, and a name that it chose is no fact of the record.
func TestADeviceDoesNotChooseItsGroupByWhatItSays(t *testing.T) {
	if _, err := groups.New(document(groups.Group{Name: "core", Match: `request.name.startsWith("core-")`})); !errors.Is(err, groups.ErrDocument) {
		t.Errorf("New of a rule about request.name = %v, want it refused", err)
	}
	if _, err := groups.New(document(groups.Group{Name: "core", Match: `idevid.present && request.key_bits > 300`})); !errors.Is(err, groups.ErrDocument) {
		t.Errorf("New of a rule about request.key_bits = %v, want it refused", err)
	}
	s := compiled(t,
		groups.Group{Name: "core", Match: `device.serial_number.startsWith("core-") || device.serial_number == "core"`},
		groups.Group{Name: "guest", Priority: -1, Match: `request.name.startsWith("core-")`, AllowRequestFacts: true},
	)
	claims := &registrar.RequestFacts{Name: "core-1"}
	for name, f := range map[string]*registrar.GroupFacts{
		"no record":          {Auth: &registrar.AuthFacts{Method: "basic"}, Request: claims},
		"a record it made":   {Device: &registrar.Device{SerialNumber: "core-1", Source: "enroll"}, Auth: &registrar.AuthFacts{}, Request: claims},
		"a record, no rules": {Device: &registrar.Device{SerialNumber: "core-1", Source: "enroll", Group: "guest"}},
	} {
		if got, _ := s.Place(f); got != "guest" {
			t.Errorf("%s: Place = %q, want guest", name, got)
		}
	}
	imported := &registrar.GroupFacts{Device: &registrar.Device{SerialNumber: "core-1", Source: "import"}}
	if got, _ := s.Place(imported); got != "core" {
		t.Errorf("Place of an imported device = %q, want core", got)
	}
}

func TestADevicePlacedAtItsFirstContactStaysWhereNoOtherRuleTakesIt(t *testing.T) {
	s := compiled(t,
		groups.Group{Name: "kiosk", Match: `device.attributes.site == "south"`},
		groups.Group{Name: "tokens", Match: `auth.method == "bearer"`},
		groups.Group{Name: "rest", Match: `true`, Priority: -1},
	)
	first := device(nil)
	first.Auth, first.Request = &registrar.AuthFacts{Method: "bearer"}, &registrar.RequestFacts{}
	if got, _ := s.Place(first); got != "tokens" {
		t.Errorf("Place at the first contact = %q, want tokens", got)
	}
	for _, c := range []struct{ now, site, want string }{
		{"tokens", "north", "tokens"}, {"rest", "north", "rest"}, {"", "north", "rest"}, {"gone", "north", "rest"}, {"tokens", "south", "kiosk"},
	} {
		got, _ := s.Place(device(func(d *registrar.Device) { d.Group, d.Attributes = c.now, map[string]string{"site": c.site} }))
		if got != c.want {
			t.Errorf("Place of a device in %q at site %s = %q, want %q", c.now, c.site, got, c.want)
		}
	}
}

// M32.
func TestARequirementThatCannotBeEvaluatedIsNotMet(t *testing.T) {
	s := compiled(t, groups.Group{Name: "g", Match: `true`, Require: []groups.Requirement{
		{Name: "firmware", That: `at_least(device.firmware, "1.10")`, Message: "update the firmware"},
		{Name: "key", That: `request.key_type == "ecdsa" && request.key_bits >= 384`, Message: "use P-384"},
		{Name: "attested", That: `device.attributes.attestation == "hardware"`, Message: "attest the key"},
	}})
	unmet := s.Group("g").Unmet
	facts := func(firmware string, bits int, attestation map[string]string) *registrar.GroupFacts {
		f := device(func(d *registrar.Device) { d.Firmware, d.Attributes = firmware, attestation })
		f.Request = &registrar.RequestFacts{KeyType: "ecdsa", KeyBits: bits}
		return f
	}
	hardware := map[string]string{"attestation": "hardware"}
	for _, c := range []struct {
		f    *registrar.GroupFacts
		want string
	}{
		{facts("1.10.2", 384, hardware), ""},
		{facts("1.9", 384, hardware), "firmware"},
		{facts("1.10.2", 256, hardware), "key"},
		{facts("1.10.2", 384, nil), "attested"}, // an error
		{facts("1.10.2", 384, map[string]string{"attestation": "none"}), "attested"},
		{&registrar.GroupFacts{}, "firmware"},
	} {
		got := ""
		if r := unmet(c.f); r != nil {
			got = r.Name
		}
		if got != c.want {
			t.Errorf("Unmet = %q, want %q", got, c.want)
		}
	}
}

// What the index says is what evaluating each rule in order says.
func TestTheIndexPlacesAsAskingEveryRuleWould(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 6))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	var condition func(depth int) string
	condition = func(depth int) string {
		if depth > 0 && r.IntN(2) == 0 {
			return "(" + condition(depth-1) + pick(" && ", " || ") + condition(depth-1) + ")"
		}
		fact := pick("device.model", "device.batch", "device.serial_number", "device.attributes.site", `device.attributes["line"]`, "idevid.common_name")
		value := pick("", "a", "ab", "abc", "b")
		switch r.IntN(6) {
		case 0:
			return fmt.Sprintf("%s.startsWith(%q)", fact, value)
		case 1:
			return fmt.Sprintf("%s in [%q, %q]", fact, value, pick("a", "b"))
		case 2:
			return fmt.Sprintf("!(%s == %q)", fact, value)
		case 3:
			return pick("true", "false", "idevid.present", "has(device.attributes.site)")
		default:
			return fmt.Sprintf("%s == %q", fact, value)
		}
	}
	for range 60 {
		var list []groups.Group
		for i := range 20 {
			list = append(list, groups.Group{Name: fmt.Sprint("g", i), Priority: r.IntN(3), Match: condition(3)})
		}
		s := compiled(t, list...)
		for range 60 {
			f := device(func(d *registrar.Device) {
				d.Model, d.Batch, d.SerialNumber = pick("", "a", "ab", "abcd"), pick("", "b", "abc"), pick("a", "ab", "c")
				d.Attributes = map[string]string{pick("site", "line", "x"): pick("", "a", "ab", "b")}
			})
			if r.IntN(2) == 0 {
				withIDevID(f, pkix.Name{CommonName: pick("", "a", "abc")})
			}
			want := ""
			if explained := s.Explain(f); explained[len(explained)-1].Matched {
				want = explained[len(explained)-1].Group
			}
			if got, _ := s.Place(f); got != want {
				t.Fatalf("Place(%+v) = %q, want %q of %+v", f.Device, got, want, list)
			}
		}
	}
}

// R18: what an operator, or who got hold of one's token, sends costs a bounded time.
func TestBombsAreRefusedQuickly(t *testing.T) {
	nested := strings.Repeat("(", 5000) + "true" + strings.Repeat(")", 5000)
	loops := `[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, a+b+c > 0)))`
	for name, match := range map[string]string{
		"nested":            nested,
		"nested within":     strings.Repeat("(", 900) + "true" + strings.Repeat(")", 900),
		"loops":             loops,
		"map":               `[1,2,3].map(x, x*2).size() > 0`,
		"exists":            `device.attributes.exists(k, k == "a")`,
		"huge string":       `device.model == "` + strings.Repeat("x", 1<<20) + `"`,
		"huge list":         `device.model in [` + strings.Repeat(`"x",`, 1<<18) + `"y"]`,
		"list of nodes":     `device.model in [` + strings.Repeat(`"",`, 660) + `""]`,
		"regex of its own":  `device.serial_number.matches(device.model)`,
		"regex by request":  `"a".matches(request.name)`,
		"regex, function":   `matches(device.model, device.batch)`,
		"regex size":        `device.model.matches("((a{100}){100}){100}")`,
		"regex size 2":      `device.model.matches("((((a|b){0,30}){0,30})){0,1}x")`,
		"regex syntax":      `device.model.matches("(")`,
		"unknown fact":      `device.colour == "red"`,
		"own group":         `device.group == "core"`,
		"not a condition":   `device.model`,
		"number":            `1`,
		"syntax":            `device.model == `,
		"many errors":       strings.Repeat("] ", 1000),
		"control":           "device.model == \"\x00\" && \x01",
		"whole device":      `device == "x"`,
		"dynamic":           `dyn(device).group == "x"`,
		"type of attribute": `device.attributes.site == 3`,
		"not true but null": `null`,
	} {
		begun := time.Now()
		_, err := groups.New(document(groups.Group{Name: "g", Match: match, AllowRequestFacts: true}))
		took := time.Since(begun)
		if !errors.Is(err, groups.ErrDocument) {
			t.Errorf("%s: New = %v, want ErrDocument", name, err)
		} else if len(err.Error()) > 1000 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
		if took > 2*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
}

// R18.
func TestDocumentsBeyondTheLimitsAreRefused(t *testing.T) {
	many := func(n int, match func(i int) string) *groups.Document {
		d := document()
		for i := range n {
			d.Groups = append(d.Groups, groups.Group{Name: fmt.Sprint("g", i), Match: match(i)})
		}
		return d
	}
	for name, d := range map[string]*groups.Document{
		"schema":          {Schema: 2},
		"groups":          many(groups.MaxGroups+1, func(int) string { return "" }),
		"expressions":     many(300, func(int) string { return `device.model == "` + strings.Repeat("x", 2000) + `"` }),
		"scans":           many(groups.MaxEvaluated+1, func(i int) string { return fmt.Sprintf("device.model != %q", fmt.Sprint(i)) }),
		"one value":       many(groups.MaxEvaluated+1, func(i int) string { return fmt.Sprintf(`device.model == "m" && device.batch != %q`, fmt.Sprint(i)) }),
		"one prefix":      many(groups.MaxEvaluated+1, func(i int) string { return `device.model.startsWith("m")` }),
		"twice":           document(groups.Group{Name: "a"}, groups.Group{Name: "a"}),
		"no name":         document(groups.Group{}),
		"name":            document(groups.Group{Name: "Größe"}),
		"name 2":          document(groups.Group{Name: "-a"}),
		"long name":       document(groups.Group{Name: strings.Repeat("a", 65)}),
		"decision":        document(groups.Group{Name: "a", Decision: "maybe"}),
		"priority":        document(groups.Group{Name: "a", Priority: 1 << 30}),
		"window":          document(groups.Group{Name: "a", Lifetime: groups.Duration(48 * time.Hour), RenewalWindow: groups.Duration(48 * time.Hour)}),
		"lifetime":        document(groups.Group{Name: "a", Lifetime: groups.Duration(time.Minute)}),
		"template key":    document(groups.Group{Name: "a", Names: map[string]string{"Org Unit": "x"}}),
		"template value":  document(groups.Group{Name: "a", Names: map[string]string{"ou": ""}}),
		"control":         document(groups.Group{Name: "a", Names: map[string]string{"ou": "a\nb"}}),
		"long text":       document(groups.Group{Name: "a", Description: strings.Repeat("x", 600)}),
		"endpoint":        document(groups.Group{Name: "a", Applications: map[string]groups.Application{"mqtt": {Endpoints: []string{"broker"}}}}),
		"secret in a URL": document(groups.Group{Name: "a", Applications: map[string]groups.Application{"mqtt": {Endpoints: []string{"mqtts://u:p@broker.example.com"}}}}),
		"no message":      document(groups.Group{Name: "a", Require: []groups.Requirement{{Name: "x", That: "true"}}}),
		"bad requirement": document(groups.Group{Name: "a", Require: []groups.Requirement{{Name: "x", That: "device.x", Message: "y"}}}),
		"requirements":    document(groups.Group{Name: "a", Require: make([]groups.Requirement, groups.MaxRequire+1)}),
	} {
		if _, err := groups.New(d); !errors.Is(err, groups.ErrDocument) {
			t.Errorf("%s: New = %v, want ErrDocument", name, err)
		}
	}
	for name, text := range map[string]string{
		"depth":     strings.Repeat("[", 10000) + strings.Repeat("]", 10000),
		"size":      `{"schema":1,"groups":[` + strings.Repeat(" ", groups.MaxDocument) + `]}`,
		"members":   `{"schema":1,"groups":[` + strings.Repeat("{},", 600_000) + `{}]}`,
		"unknown":   `{"schema":1,"groups":[{"name":"a","matches":"true"}]}`,
		"duplicate": `{"schema":1,"groups":[{"name":"a","match":"false","match":"true"}]}`,
		"after":     `{"schema":1,"groups":[]} {}`,
		"no object": `[]`,
		"duration":  `{"schema":1,"groups":[{"name":"a","lifetime":"-3d"}]}`,
		"duration2": `{"schema":1,"groups":[{"name":"a","lifetime":"99999999d"}]}`,
	} {
		if _, err := groups.Parse([]byte(text)); !errors.Is(err, groups.ErrDocument) {
			t.Errorf("%s: Parse = %v, want ErrDocument", name, err)
		}
	}
}

// M18, M09.
func TestADocumentComesBackAsItWasWritten(t *testing.T) {
	text := `{"schema":1,"groups":[{"name":"plant-7","priority":5,"match":"device.model == \"p7\"","profile":"device","lifetime":"90d","renewal_window":"36h0m0s",` +
		`"names":{"ou":"Plant 7"},"applications":{"mqtt":{"names":["gw"],"endpoints":["mqtts://broker.example.com:8883"],"publish":["plant7/#"]}},"baseline":"plant-7"}]}`
	d, err := groups.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	again, err := d.JSON()
	if err != nil || string(again) != text {
		t.Errorf("JSON = %s, %v, want %s", again, err, text)
	}
	s, err := groups.Compile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	g := s.Group("plant-7")
	if g.Lifetime != 90*24*time.Hour || g.RenewalWindow != 36*time.Hour || g.Names["ou"] != "Plant 7" || g.Applications["mqtt"].Publish[0] != "plant7/#" ||
		g.Profile != "device" || g.Baseline != "plant-7" || g.Unmet != nil || g.Pinned {
		t.Errorf("Group = %+v", g)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add([]byte(`{"schema":1,"groups":[{"name":"a","match":"device.model == \"x\"","require":[{"name":"r","that":"true","message":"m"}]}]}`))
	f.Add([]byte(`{"schema":1,"groups":[{"name":"a","match":"has(device.attributes.a) || idevid.present","lifetime":"3d"}]}`))
	f.Add([]byte(`{"schema":1,"groups":[{"name":"a","match":"at_least(device.firmware, '1')"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := groups.Compile(data)
		if err != nil {
			if !errors.Is(err, groups.ErrDocument) {
				t.Errorf("Compile = %v, which is no ErrDocument", err)
			}
			return
		}
		facts := device(nil)
		got, _ := s.Place(facts)
		want := ""
		for _, v := range s.Explain(facts) {
			if v.Matched {
				want = v.Group
			}
		}
		if got != want {
			t.Errorf("Place = %q, Explain says %q", got, want)
		}
	})
}

func FuzzExpression(f *testing.F) {
	for _, seed := range []string{`device.model == "x"`, `device.attributes["a"].matches("^a{3}$")`, `request.key_bits > 3 ? true : idevid.present`, `{"a": 1}["a"] == 1 || [1][0] == 2`, `duration("1h") > duration("2s")`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := groups.New(document(groups.Group{Name: "g", Match: text, AllowRequestFacts: true}))
		if err == nil {
			s.Place(device(nil))
		}
	})
}

func BenchmarkPlaceAmongThousandGroups(b *testing.B) {
	list := []groups.Group{{Name: "rest", Priority: -1, Match: "true"}}
	for i := range 1000 {
		list = append(list, groups.Group{Name: fmt.Sprint("g", i), Match: fmt.Sprintf(`device.manufacturer == "acme" && device.batch == "b%d"`, i)})
	}
	s := compiled(b, list...)
	f := device(func(d *registrar.Device) { d.Batch = "b700" })
	b.ReportAllocs()
	for b.Loop() {
		if got, _ := s.Place(f); got != "g700" {
			b.Fatal(got)
		}
	}
}

func BenchmarkCompileThousandGroups(b *testing.B) {
	var list []groups.Group
	for i := range 1000 {
		list = append(list, groups.Group{Name: fmt.Sprint("g", i), Match: fmt.Sprintf(`device.manufacturer == "acme" && device.batch == "b%d"`, i)})
	}
	for b.Loop() {
		compiled(b, list...)
	}
}
