package events

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// schema is a JSON Schema of 2020-12, as much of it as is used.
type schema struct {
	Dialect     string             `json:"$schema,omitempty"`
	ID          string             `json:"$id,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        string             `json:"type,omitempty"`
	Const       string             `json:"const,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Format      string             `json:"format,omitempty"`
	MinLength   int                `json:"minLength,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
}

// Schema is the JSON Schema (2020-12) of the whole event, envelope and data. Members that it
// does not name may come with later releases: a receiver ignores them.
func (t *Type) Schema() []byte {
	text := func() *schema { return &schema{Type: "string", MinLength: 1} }
	data := describe(reflect.TypeFor[Data]())
	for name := range data.Properties {
		if name != "domain" && !slices.Contains(t.Members, name) {
			delete(data.Properties, name)
		}
	}
	data.Required = append([]string{"domain"}, t.Members[:t.Required]...)
	s := &schema{
		Dialect: "https://json-schema.org/draft/2020-12/schema", ID: t.SchemaURI(), Title: t.Name, Description: t.Text, Type: "object",
		Properties: map[string]*schema{
			"specversion": {Type: "string", Const: "1.0"}, "id": text(), "source": text(), "type": {Type: "string", Const: t.Name},
			"subject": text(), "partitionkey": text(), "time": {Type: "string", Format: "date-time"},
			"datacontenttype": {Type: "string", Const: "application/json"}, "dataschema": {Type: "string", Const: t.SchemaURI()},
			"sequence": {Type: "string", Pattern: "^[0-9]{19}$"}, "data": data,
		},
		Required: []string{"specversion", "id", "source", "type", "time", "datacontenttype", "dataschema", "sequence", "data"},
	}
	if slices.Contains(data.Required, "device") {
		s.Required = append(s.Required, "subject", "partitionkey")
	}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("events: internal error: " + err.Error()) // text alone
	}
	return append(out, '\n')
}

// describe makes the schema of a Go type by its json tags.
func describe(t reflect.Type) *schema {
	switch t.Kind() {
	case reflect.Pointer:
		return describe(t.Elem())
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Int:
		return &schema{Type: "integer"}
	case reflect.Slice:
		return &schema{Type: "array", Items: describe(t.Elem())}
	case reflect.Struct:
		s := &schema{Type: "object", Properties: make(map[string]*schema)}
		for i := range t.NumField() {
			name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			s.Properties[name] = describe(t.Field(i).Type)
			if options == "" {
				s.Required = append(s.Required, name)
			}
		}
		return s
	default:
		panic("events: internal error: no schema for " + t.String())
	}
}
