package admin

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/briskest/briskest/registrar"
)

// Upload is a body that is read as it comes, in place of JSON. Its field's tag body names the media types
// that it may have, separated by commas.
type Upload struct {
	MediaType string
	io.Reader
}

// Download is an answer that is written as it is made, in place of JSON. After an error the connection is
// cut, so that nobody takes a part for the whole.
type Download struct {
	MediaType string
	Name      string // of the file; may be empty
	Write     func(w io.Writer) error
}

// place is where a field of a request comes from.
type place string

const (
	inPath   place = "path"
	inQuery  place = "query"
	inBody   place = "body"
	inUpload place = "upload"
)

// field is one field of a request.
type field struct {
	name     string
	in       place
	index    []int
	typ      reflect.Type
	max      int // 0: no bound but the body's
	enum     []string
	required bool
	doc      string
}

// fieldsOf lists the fields of a request, those of embedded structs included.
func fieldsOf(t reflect.Type, index []int) []field {
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		at := append(append([]int{}, index...), i)
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct && sf.Tag.Get("json") == "" {
			out = append(out, fieldsOf(sf.Type, at)...)
			continue
		}
		f := field{index: at, typ: sf.Type, doc: sf.Tag.Get("doc"), required: sf.Tag.Get("required") == "true"}
		f.max, _ = strconv.Atoi(sf.Tag.Get("max")) //nolint:errcheck // absent is 0
		if e := sf.Tag.Get("enum"); e != "" {
			f.enum = strings.Split(e, ",")
		}
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		switch {
		case sf.Tag.Get("path") != "":
			f.name, f.in, f.required = sf.Tag.Get("path"), inPath, true
		case sf.Tag.Get("query") != "":
			f.name, f.in = sf.Tag.Get("query"), inQuery
		case sf.Tag.Get("body") != "":
			f.name, f.in, f.enum = sf.Tag.Get("body"), inUpload, strings.Split(sf.Tag.Get("body"), ",")
		case name == "-" || !sf.IsExported():
			continue
		default:
			f.name, f.in = name, inBody
		}
		out = append(out, f)
	}
	return out
}

// set gives a field the value of a text from the path or the query.
func (f *field) set(in reflect.Value, values []string) error {
	v := in.FieldByIndex(f.index)
	if f.typ.Kind() == reflect.Slice && f.typ.Elem().Kind() == reflect.String {
		v.Set(reflect.ValueOf(values).Convert(f.typ))
		return nil
	}
	if len(values) != 1 {
		return errors.New("it is there more than once")
	}
	text := values[0]
	if f.typ == reflect.TypeFor[time.Time]() {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return errors.New("it is no time as RFC 3339 writes it")
		}
		v.Set(reflect.ValueOf(at))
		return nil
	}
	switch f.typ.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return errors.New("it is no number")
		}
		v.SetInt(n)
	case reflect.Bool:
		switch text {
		case "true":
			v.SetBool(true)
		case "false":
			v.SetBool(false)
		default:
			return errors.New("it is neither true nor false")
		}
	default:
		panic("admin: internal error: a parameter of type " + f.typ.String())
	}
	return nil
}

// texts returns what set takes; nil for the zero value.
func (f *field) texts(in reflect.Value) []string {
	v := in.FieldByIndex(f.index)
	switch {
	case v.IsZero():
		return nil
	case f.typ.Kind() == reflect.Slice:
		return v.Convert(reflect.TypeFor[[]string]()).Interface().([]string)
	case f.typ == reflect.TypeFor[time.Time]():
		return []string{v.Interface().(time.Time).Format(time.RFC3339Nano)}
	default:
		return []string{fmt.Sprint(v.Interface())}
	}
}

// bounded checks what the tags of a request say.
func (o *operation) bounded(in reflect.Value) error {
	for i := range o.fields {
		if err := o.fields[i].bounded(in); err != nil {
			return fmt.Errorf("%s: %w: %w", o.fields[i].name, registrar.ErrInvalid, err)
		}
	}
	return nil
}

func (f *field) bounded(in reflect.Value) error {
	if f.in == inUpload {
		return nil
	}
	v := in.FieldByIndex(f.index)
	if f.required && v.IsZero() {
		return errors.New("it is missing")
	}
	switch v.Kind() {
	case reflect.String:
		if f.max > 0 && v.Len() > f.max {
			return fmt.Errorf("it is longer than %d bytes", f.max)
		}
		if len(f.enum) > 0 && !v.IsZero() {
			for _, e := range f.enum {
				if v.String() == e {
					return nil
				}
			}
			return fmt.Errorf("it may be %s", strings.Join(f.enum, ", "))
		}
	case reflect.Slice, reflect.Map:
		if f.max > 0 && v.Len() > f.max {
			return fmt.Errorf("it has more than %d elements", f.max)
		}
	case reflect.Int, reflect.Int64:
		if v.Int() < 0 || f.max > 0 && v.Int() > int64(f.max) {
			return fmt.Errorf("it is not between 0 and %d", f.max)
		}
	}
	return nil
}

// query reads the parameters of a URL: each known, and there once.
func (o *operation) query(raw string, in reflect.Value) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return fmt.Errorf("query: %w: %w", registrar.ErrInvalid, err)
	}
	for i := range o.fields {
		f := &o.fields[i]
		if texts, ok := values[f.name]; ok && f.in == inQuery {
			if err := f.set(in, texts); err != nil {
				return fmt.Errorf("query parameter %s: %w: %w", f.name, registrar.ErrInvalid, err)
			}
			delete(values, f.name)
		}
	}
	for name := range values {
		return fmt.Errorf("there is no query parameter %.64q: %w", name, registrar.ErrInvalid)
	}
	return nil
}

// textsIf returns texts of fields of path and query; nil of the others.
func (f *field) textsIf(in reflect.Value) []string {
	if f.in != inPath && f.in != inQuery {
		return nil
	}
	return f.texts(in)
}
