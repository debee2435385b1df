package strictjson_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/strictjson"
)

func limits() strictjson.Limits { return strictjson.Limits{Bytes: 4096, Depth: 4, Members: 16} }

func TestWhatEncodingJSONLetsPassIsRefused(t *testing.T) {
	for text, want := range map[string]error{
		`{"a":1,"a":2}`:        strictjson.ErrDuplicate,
		`{"a":1,"\u0061":2}`:   strictjson.ErrDuplicate,
		`{"x":{"a":1,"a":2}}`:  strictjson.ErrDuplicate,
		`{"a":"\ud800"}`:       strictjson.ErrSyntax,
		`{"a":"\udc00\ud800"}`: strictjson.ErrSyntax,
		"{\"a\":\"\xff\"}":     strictjson.ErrSyntax,
		`{"a":1}{}`:            strictjson.ErrTrailingData,
		`[]`:                   strictjson.ErrSyntax,
		``:                     strictjson.ErrSyntax,
		`{"a":[[[[]]]]}`:       strictjson.ErrTooDeep,
		`{"a":[` + strings.Repeat("1,", 20) + `1]}`: strictjson.ErrTooLarge,
		`{"a":"` + strings.Repeat("x", 4096) + `"}`: strictjson.ErrTooLarge,
	} {
		if _, err := strictjson.Object([]byte(text), limits()); !errors.Is(err, want) {
			t.Errorf("Object(%.60q) = %v, want %v", text, err, want)
		}
	}
	var twice *strictjson.DuplicateError
	_, err := strictjson.Object([]byte(`{"long`+strings.Repeat("x", 200)+`":1,"long`+strings.Repeat("x", 200)+`":2}`), limits())
	if !errors.As(err, &twice) || len(twice.Name) != 204 || len(err.Error()) > 100 {
		t.Errorf("Object(a long name twice) = %v, want the name, shortened in the text", err)
	}
}

func TestMembersAndElementsArePartsOfTheText(t *testing.T) {
	members, err := strictjson.Object([]byte(` { "a" : [1, {"b":null}] , "\u0063":"\/" } `), limits())
	if err != nil || len(members) != 2 || members[0].Name != "a" || string(members[0].Value) != `[1, {"b":null}]` || members[1].Name != "c" {
		t.Fatalf("Object() = %q, %v", members, err)
	}
	elements, err := strictjson.Array(members[0].Value, limits())
	if err != nil || len(elements) != 2 || string(elements[1]) != `{"b":null}` {
		t.Errorf("Array() = %q, %v", elements, err)
	}
	if text, err := strictjson.Text(members[1].Value); err != nil || text != "/" {
		t.Errorf("Text() = %q, %v; want a slash", text, err)
	}
	for _, notText := range []string{``, `7`, `null`, `{}`} {
		if _, err := strictjson.Text([]byte(notText)); !errors.Is(err, strictjson.ErrSyntax) {
			t.Errorf("Text(%q) = %v, want %v", notText, err, strictjson.ErrSyntax)
		}
	}
	if err := strictjson.Value([]byte(`[[]]`), limits(), 4); !errors.Is(err, strictjson.ErrTooDeep) {
		t.Errorf("Value(at the last depth) = %v, want %v", err, strictjson.ErrTooDeep)
	}
	if _, err := strictjson.Array([]byte(`{}`), limits()); !errors.Is(err, strictjson.ErrSyntax) {
		t.Errorf("Array({}) = %v, want %v", err, strictjson.ErrSyntax)
	}
}

// What is taken is JSON to encoding/json too, and means the same there.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"a":[1,-2.5e3,true,null,"\ud83d\ude00"],"b":{"c":""}}`, `{"a":1,"a":2}`, `[]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		members, err := strictjson.Object(data, limits())
		if err != nil {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil || len(want) != len(members) {
			t.Fatalf("Object(%q) has %d members, encoding/json %d and %v", data, len(members), len(want), err)
		}
		for _, m := range members {
			if string(want[m.Name]) != string(m.Value) {
				t.Errorf("Object(%q): member %q is %q, to encoding/json %q", data, m.Name, m.Value, want[m.Name])
			}
		}
	})
}
