package profile_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/briskest/briskest/ca/profile"
)

// docs/profiles.md shows every field, in an example that loads, and every shipped profile.
func TestTheDocumentationShowsEveryField(t *testing.T) {
	text, err := os.ReadFile("../../docs/profiles.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(text)
	if example == nil {
		t.Fatal("there is no example")
	}
	p, err := profile.Load(example[1], decode)
	if err != nil {
		t.Fatalf("the example is refused: %v", err)
	}
	if len(p.Warnings()) > 0 {
		t.Errorf("the example has warnings: %q", p.Warnings())
	}
	fields := 0
	var walk func(of reflect.Type)
	walk = func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct {
			return
		}
		for i := range of.NumField() {
			word, _, _ := strings.Cut(of.Field(i).Tag.Get("yaml"), ",")
			if fields++; !regexp.MustCompile(`\b` + word + `:`).Match(example[1]) {
				t.Errorf("docs/profiles.md does not show %s.%s", of.Name(), word)
			}
			walk(of.Field(i).Type)
		}
	}
	walk(reflect.TypeFor[profile.Document]())
	for _, d := range profile.Shipped() {
		if !strings.Contains(string(text), "`"+d.Name+"`") {
			t.Errorf("docs/profiles.md does not name the profile %s", d.Name)
		}
	}
	t.Logf("%d fields", fields)
}
