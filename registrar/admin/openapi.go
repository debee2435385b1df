package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object. encoding/json writes its members in order of name, so that the document is always the same.
type object map[string]any

// OpenAPI returns the API's OpenAPI 3.1 document, as indented JSON. It is made from the table of operations and the Go
// types of their requests and answers, so that what it says is what is enforced.
func OpenAPI() []byte {
	d := schemas{schemas: object{}}
	paths := object{
		Prefix + "/domains": object{"get": object{
			"operationId": "domain-list", "summary": "Who asks, and the domains in which that somebody has a role.", "tags": []string{"domain"},
			"responses": d.responses(reflect.TypeFor[DomainList](), http.MethodGet),
		}},
		Prefix + "/openapi.json": object{"get": object{
			"operationId": "api-openapi", "summary": "This document.", "tags": []string{"api"},
			"responses": object{"200": object{"description": "OpenAPI 3.1", "content": object{"application/json": object{"schema": object{"type": "object"}}}}, "default": d.problem()},
		}},
	}
	for _, o := range operations().list {
		path := domainPrefix + "{domain}" + o.Path
		if paths[path] == nil {
			paths[path] = object{}
		}
		paths[path].(object)[strings.ToLower(o.Method)] = d.operation(&o)
	}
	roles := make([]string, 0, len(Roles()))
	for _, r := range Roles() {
		roles = append(roles, string(r))
	}
	return indented(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Briskest registrar", "version": "1",
			"description": "The operators' API. Each operation needs one of the roles " + strings.Join(roles, ", ") + " in its domain (x-role). " +
				"Lists go on with next as the parameter cursor. Answers to GET have an ETag, which If-None-Match and, where an operation names it, If-Match take. " +
				"A POST with Idempotency-Key is done once. Refusals are application/problem+json with a stable reason.",
			"license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":  []object{{"url": "/"}},
		"security": []object{{"token": []string{}}, {"certificate": []string{}}},
		"paths":    paths,
		"components": object{"schemas": d.schemas, "securitySchemes": object{
			"token":       object{"type": "http", "scheme": "bearer", "description": "a token of briskest token create, or of an OpenID Connect issuer"},
			"certificate": object{"type": "mutualTLS"},
		}},
	})
}

func indented(v any) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil { // objects, texts and numbers
		panic("admin: internal error: " + err.Error())
	}
	return out.Bytes()
}

// schemas collects the schemas that its operations name.
type schemas struct{ schemas object }

func (d *schemas) operation(o *operation) object {
	subject, _, _ := strings.Cut(o.ID, "-")
	out := object{
		"operationId": o.ID, "summary": o.Summary, "tags": []string{subject}, "x-role": string(o.Role),
		"parameters": d.parameters(o), "responses": d.responses(o.out, o.Method),
	}
	if o.Secret {
		out["x-secret"] = true
	}
	if o.hasBody() {
		out["requestBody"] = d.requestBody(o)
	}
	return out
}

func (d *schemas) parameters(o *operation) []object {
	out := []object{{"name": "domain", "in": "path", "required": true, "schema": object{"type": "string"}}}
	for i := range o.fields {
		f := &o.fields[i]
		if f.in != inPath && f.in != inQuery {
			continue
		}
		p := object{"name": f.name, "in": string(f.in), "schema": d.bounded(f.typ, f.max, f.enum)}
		if f.required {
			p["required"] = true
		}
		if f.doc != "" {
			p["description"] = f.doc
		}
		out = append(out, p)
	}
	header := func(name, text string) {
		out = append(out, object{"name": name, "in": "header", "schema": object{"type": "string"}, "description": text})
	}
	switch {
	case o.Method == http.MethodGet:
		header("If-None-Match", "an ETag; 304 when it is still good")
	case o.Method == http.MethodPost && o.upload == nil:
		header("Idempotency-Key", "what is asked under one key is done once; kept for a day")
	case o.Of != "":
		header("If-Match", "the ETag of "+o.Of+"; 412 when it is another by now")
	}
	return out
}

func (d *schemas) requestBody(o *operation) object {
	if o.upload != nil {
		content := object{}
		for _, m := range o.upload.enum {
			content[m] = object{"schema": object{"type": "string", "contentMediaType": m}}
		}
		return object{"required": true, "content": content}
	}
	required := false
	for i := range o.fields {
		required = required || o.fields[i].in == inBody && o.fields[i].required
	}
	return object{"required": required, "content": object{"application/json": object{"schema": d.members(o.in, true)}}}
}

func (d *schemas) responses(out reflect.Type, method string) object {
	content := object{"application/json": object{"schema": d.schema(out)}}
	if out == reflect.TypeFor[Download]() {
		content = object{"application/octet-stream": object{}}
	}
	ok := object{"description": "done", "content": content}
	answers := object{"200": ok, "default": d.problem()}
	if method == http.MethodGet && out != reflect.TypeFor[Download]() {
		ok["headers"] = object{"ETag": object{"schema": object{"type": "string"}}}
		answers["304"] = object{"description": "as it was"}
	}
	return answers
}

func (d *schemas) problem() object {
	return object{"description": "refused, or failed", "content": object{"application/problem+json": object{"schema": d.schema(reflect.TypeFor[Error]())}}}
}

func (d *schemas) bounded(t reflect.Type, most int, enum []string) object {
	s := d.schema(t)
	if most > 0 {
		switch t.Kind() {
		case reflect.String:
			s["maxLength"] = most
		case reflect.Slice:
			s["maxItems"] = most
		case reflect.Map:
			s["maxProperties"] = most
		default:
			s["minimum"], s["maximum"] = 0, most
		}
	}
	if len(enum) > 0 {
		s["enum"] = enum
	}
	return s
}

// schema describes a type. Structs become components.
func (d *schemas) schema(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return object{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Uint, reflect.Uint32, reflect.Int64, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		return object{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Interface:
		return object{}
	case reflect.Struct:
		if d.schemas[t.Name()] == nil {
			d.schemas[t.Name()] = object{} // for types that hold themselves
			d.schemas[t.Name()] = d.members(t, false)
		}
		return object{"$ref": "#/components/schemas/" + t.Name()}
	default:
		panic("admin: internal error: a schema of " + t.String())
	}
}

// members describes a struct's JSON. A request's is closed: what is unknown is refused.
func (d *schemas) members(t reflect.Type, request bool) object {
	properties, required := object{}, []string{}
	d.collect(t, properties, &required, request)
	s := object{"type": "object", "properties": properties}
	if request {
		s["additionalProperties"] = false
	}
	if len(required) > 0 {
		slices.Sort(required)
		s["required"] = required
	}
	return s
}

func (d *schemas) collect(t reflect.Type, properties object, required *[]string, request bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			d.collect(f.Type, properties, required, request)
			continue
		case name == "-" || !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		most, _ := strconv.Atoi(f.Tag.Get("max")) //nolint:errcheck // absent is 0
		var enum []string
		if e := f.Tag.Get("enum"); e != "" {
			enum = strings.Split(e, ",")
		}
		s := d.bounded(f.Type, most, enum)
		if doc := f.Tag.Get("doc"); doc != "" {
			s["description"] = doc
		}
		properties[name] = s
		if request && f.Tag.Get("required") == "true" || !request && !strings.Contains(options, "omitempty") {
			*required = append(*required, name)
		}
	}
}
