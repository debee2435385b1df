package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/briskest/briskest/internal/strictjson"
	"github.com/briskest/briskest/registrar"
)

// maxDepth bounds how deep JSON may be nested.
const maxDepth = 16

// decode reads a JSON body into a request: an object whose members are known, each letter for letter, and
// there once. encoding/json alone takes other cases and repetitions.
func (o *operation) decode(body []byte, in any) error {
	limits := strictjson.Limits{Bytes: int(o.maxBody()), Depth: maxDepth, Members: 1 << 20}
	if err := known(o.in, body, limits); err != nil {
		return fmt.Errorf("request body: %w: %w", registrar.ErrInvalid, err)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		return fmt.Errorf("request body: %w: %w", registrar.ErrInvalid, err)
	}
	return nil
}

// known checks the names of a JSON text against the type that it is read into.
func known(t reflect.Type, text []byte, l strictjson.Limits) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	first := byte(0)
	if trimmed := bytes.TrimLeft(text, " \t\r\n"); len(trimmed) > 0 {
		first = trimmed[0]
	}
	switch {
	case t.Kind() == reflect.Struct && first == '{' && !custom(t):
		return knownMembers(t, text, l)
	case t.Kind() == reflect.Slice && first == '[' && t.Elem().Kind() != reflect.Uint8:
		elements, err := strictjson.Array(text, l)
		if err != nil {
			return err
		}
		for _, e := range elements {
			if err := known(t.Elem(), e, l); err != nil {
				return err
			}
		}
	case first == '{':
		_, err := strictjson.Object(text, l)
		return err
	}
	return nil
}

func knownMembers(t reflect.Type, text []byte, l strictjson.Limits) error {
	members, err := strictjson.Object(text, l)
	if err != nil {
		return err
	}
	types := make(map[string]reflect.Type)
	membersOf(t, types)
	for _, m := range members {
		mt, ok := types[m.Name]
		if !ok {
			return fmt.Errorf("there is no member %.64q", m.Name)
		}
		if err := known(mt, m.Value, l); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return nil
}

// custom tells whether a type reads its JSON itself.
func custom(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

// membersOf lists the JSON members of a struct.
func membersOf(t reflect.Type, out map[string]reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			membersOf(f.Type, out)
		case name == "-" || !f.IsExported():
		case name == "":
			out[f.Name] = f.Type
		default:
			out[name] = f.Type
		}
	}
}
